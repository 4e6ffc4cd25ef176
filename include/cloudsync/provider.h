/*
 * provider.h
 *	  The interface between the engine and a storage service. A provider is a
 *	  set of conversations without I/O (design decision 1): it is asked for its
 *	  next request, is given the answer, and says what comes next. It sees no
 *	  socket, no file, no clock and no database, so that every conversation can
 *	  be replayed, fuzzed and tested at every fault in a plain program.
 *
 * A provider's file uses only this header, the headers of base/ and what
 * PostgreSQL's common library gives the server and plain programs alike
 * (palloc, StringInfo, cryptohash). docs/providers.md shows how one is written.
 *
 * Memory: a conversation is allocated in the memory context that is current in
 * begin() (in a plain program: malloc) and keeps what it needs by copying; all
 * of it goes when the transfer that carries it is deleted. Strings in requests
 * and results belong to the conversation and live until its next step.
 *
 * Paths are UTF-8, absolute from the account's root, with '/' between names, no
 * '/' at the end, and never contain an empty, "." or ".." component: the root
 * itself is "/". The engine guarantees this for operations; a provider
 * guarantees it for entries that it returns. An entry whose name has no such
 * path (it is not UTF-8, say) is refused, and has a readable path of a form
 * that no real path has (an empty component), so that it stands for itself
 * alone.
 *
 * Secrets are not a provider's business either: it names what is to be asked,
 * and the carrier (transfer/) authenticates the request with what the
 * connection's credentials are.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_PROVIDER_H
#define CLOUDSYNC_PROVIDER_H

#include "cloudsync/failure.h"

#define CS_SHA256_LENGTH 32

typedef enum CsEntryKind
{
	CS_ENTRY_FILE,
	CS_ENTRY_FOLDER,
	CS_ENTRY_OTHER /* a link, a device, a FIFO, ...: shown, never followed */
} CsEntryKind;

/* A file or folder at the provider. */
typedef struct CsEntry
{
	CsEntryKind kind;
	const char *path; /* from the account's root */
	const char *name; /* last component */
	const char *id;	  /* the provider's id, NULL where it has none */
	const char
		*version;	/* opaque; equal means the bytes are the same. A listing
						  * gives every file one; the answer to a PUT need
						  * not: then its folder is listed afterwards */
	int64 size;		/* bytes; -1 unknown */
	int64 modified; /* microseconds since 1970-01-01 UTC; 0 unknown */
	bool has_sha256;
	uint8 sha256[CS_SHA256_LENGTH]; /* by the provider's word */
	const char *checksum;  /* by the provider's word, of the kind that it
						   * computes (CsProvider), in its own notation; or
						   * NULL. See CsProvider.checksum_is_strong */
	const char *parent_id; /* LIST by a cursor, where the provider has ids: of
							* the folder it is in; NULL: path says it. With
							* feed_of_account all but what is gone has it, and
							* path may be NULL: name is what it is called */
	const char *link_id;   /* of the shortcut that leads to it: path and parent
							* are the shortcut's, all else is its target's. By
							* a cursor both ids may be told of. NULL: none */
	bool gone; /* LIST by a cursor: it is not there any more, nor what was below
				* it: what id names if there is one, else path. The listed
				* folder itself, too: it is then looked for by its id */
	const char *web_url; /* NULL: none */
	const char *refused; /* why it can never be collected; NULL: it can */
} CsEntry;

/* What is to be done. */
typedef enum CsOpKind
{
	CS_OP_ABOUT,	/* is the account's root there? quota */
	CS_OP_STAT,		/* path (or id): the entry, or failure GONE */
	CS_OP_LIST,		/* folder at path: pages of entries, recursive or not */
	CS_OP_MKDIR,	/* path, with its missing parents; existing is success */
	CS_OP_PUT,		/* a file's bytes to path, by the rules below */
	CS_OP_GET,		/* a file's bytes from path */
	CS_OP_MOVE,		/* path to to_path; parents exist; never onto another */
	CS_OP_TRASH,	/* path to the provider's trash, or to to_path if none */
	CS_OP_PUT_MANY, /* puts: small files that go together (put_many) */
	CS_OP_TOKEN,	/* grant: a token server is asked (oauth.h) */
	CS_OP_DISCARD,	/* path: what an attempt that was cut off left under its
				   * temporary name, on the way to to_path, or in its upload
				   * session; what is not there is success */
	CS_OP_WATCH		/* cursor, of a LIST: until something changes after it, or
				   * for wait_s (CsProvider.watches) */
} CsOpKind;

/*
 * PUT, MOVE and TRASH touch only what is ours (P8, P9). The subject is ours if
 * its version is known_version (what we last left there), or if its size and
 * SHA-256 are the intended ones (a crash came between making it visible and
 * settling). Anything else in the way is failure CONFLICT, unless overwrite.
 * A MOVE or TRASH whose subject is gone but whose target is ours is done. A
 * folder has no version: it is ours if its id is the op's. A TRASH into a
 * folder (to_path) makes that folder, and numbers the name if it is taken
 * there.
 */
typedef struct CsOp
{
	CsOpKind kind;
	const char *path;
	const char *id;		 /* remote id if known, else NULL */
	const char *to_path; /* MOVE, TRASH */
	bool recursive;		 /* LIST */
	bool follow;  /* LIST: a cursor for what changes after it is wanted, and
				  * cursor is one of those (CsProvider.incremental). Without a
				  * cursor: a full listing of which nothing that changes from
				  * its beginning on is missed by following its cursor. One
				  * that is refused is failure RESET; that its folder is not
				  * there any more is GONE */
	bool seen;	  /* LIST: a STAT has just shown that folder to be there */
	bool visible; /* MKDIR: it is to be seen before anything is in it (P4) */
	const char *cursor;		   /* LIST: where to go on; NULL: from the start */
	int wait_s;				   /* WATCH: as far as the service takes it */
	const char *temp_name;	   /* PUT: name beside the target to write under */
	int64 size;				   /* PUT: bytes of the body; -1: not known */
	bool overwrite;			   /* PUT: replace also what is not ours */
	const char *known_version; /* PUT, MOVE, TRASH: as we left it; or NULL.
								* GET of an address: nothing is delivered while
								* it is that version (adopted) */
	bool has_intended;	 /* PUT, MOVE, TRASH: of an earlier attempt's intent, */
	int64 intended_size; /* or of what was pushed before */
	uint8 intended_sha256[CS_SHA256_LENGTH];
	const char *expect_version; /* GET: fail with CHANGED if it differs */

	/*
	 * PUT: the body's SHA-256, known beforehand and written down with the
	 * intent already, so that no checkpoint is needed.
	 */
	bool has_sha256;
	uint8 sha256[CS_SHA256_LENGTH];
	const char *checksum; /* with sha256, of checksum_kind; or NULL */
	bool fresh_folder; /* PUT: a moment ago nothing was at path. MKDIR: we never
						* made it, so most likely it is not there */
	const char
		*session; /* PUT, MKDIR, DISCARD: of an attempt cut off (CsResult);
				   * MOVE, TRASH without an id: of the PUT that made it */
	bool session_is_stale; /* PUT: the session was begun with other bytes:
							* an id in it counts, what was sent does not */

	/* PUT, MOVE, TRASH: checksum of an earlier attempt's intent, or NULL */
	const char *intended_checksum;
	int64 since; /* PUT: nothing of ours was sent to path before that, by our
				  * clock (microseconds since 1970); 0: not known */

	const struct CsGrant *grant; /* TOKEN */

	/* PUT_MANY: the files, whose bytes follow each other in the body */
	const struct CsPut *puts;
	int n_puts;
} CsOp;

/*
 * One of many files that go together (CS_OP_PUT_MANY): new ones, or known_version
 * says what they replace; each small, whole in memory, hashed beforehand.
 */
typedef struct CsPut
{
	const char *path;
	const char *id;
	const char *known_version;
	int64 size; /* it begins where the one before ended */
	uint8 sha256[CS_SHA256_LENGTH];
	const char *checksum; /* as with PUT */
	bool overwrite;
	bool has_intended; /* as with PUT */
	int64 intended_size;
	uint8 intended_sha256[CS_SHA256_LENGTH];
	const char *intended_checksum;
} CsPut;

/* What came of one of them. */
typedef struct CsPutResult
{
	bool ok;
	bool adopted;
	bool verified;
	CsEntry entry;	   /* if ok */
	CsFailure failure; /* else */
} CsPutResult;

/*
 * What a conversation asks its carrier to do. File requests are carried out by
 * transfer/file.c below the account's root, which no path can leave and in
 * which no link is followed; HTTP requests by transfer/http.c.
 */
typedef enum CsRequestKind
{
	CS_REQ_FILE_SPACE,	/* -> used_bytes, quota_bytes, entry of the root */
	CS_REQ_FILE_STAT,	/* path -> entry, or errno ENOENT */
	CS_REQ_FILE_LIST,	/* path -> entries, a page of them; the next page is
						 * asked for with more, until last_page */
	CS_REQ_FILE_MKDIR,	/* path: one level; EEXIST if there; fsyncs parent */
	CS_REQ_FILE_WRITE,	/* path: body to a new or emptied file, fsync -> size,
						 * sha256, entry */
	CS_REQ_FILE_HASH,	/* path: read back -> size, sha256, entry; ESTALE if
						 * it changed meanwhile */
	CS_REQ_FILE_READ,	/* path -> body, size, sha256; entry before and after
						 * must agree, else errno ESTALE */
	CS_REQ_FILE_RENAME, /* path -> to_path, fsync of both folders -> entry;
						 * EEXIST if target is there and !replace */
	CS_REQ_FILE_UNLINK, /* path: ENOENT is an answer like any other */
	CS_REQ_HASH_BODY,	/* read from..from+length of the body, or as far as it
						 * goes, without sending it -> size, sha256; the body
						 * is then rewound */
	CS_REQ_HTTP			/* one HTTP exchange -> status, headers, text, size */
} CsRequestKind;

typedef struct CsHeader
{
	const char *name;
	const char *value;
} CsHeader;

/* What an HTTP request carries. */
typedef enum CsSend
{
	CS_SEND_NOTHING,
	CS_SEND_TEXT, /* text, text_len */
	CS_SEND_BODY  /* from..from+length of the transfer's body; text, if there is
				   * one, goes before it and tail after it (an envelope of
				   * several parts, of a length known beforehand) */
} CsSend;

/* Where an HTTP answer's content goes. */
typedef enum CsInto
{
	CS_INTO_MEMORY, /* to text, up to max_answer bytes; more is a failure */
	CS_INTO_BODY,	/* if the status is body_status: written to the
					 * transfer's body; otherwise to text */
	CS_INTO_TAKE	/* if the status is body_status: given piece by piece to
					 * the provider's take(); otherwise to text */
} CsInto;

#define CS_REQUEST_HEADERS 16
#define CS_ANSWER_MAX (1024 * 1024)

typedef struct CsRequest
{
	CsRequestKind kind;
	const char *path;
	const char *to_path;
	bool replace; /* FILE_RENAME */
	bool more;	  /* FILE_LIST: go on with the listing begun before */

	/* HASH_BODY, and HTTP with CS_SEND_BODY */
	int64 from;
	int64 length;	  /* -1: to the end, of a length not known before */
	bool part_sha256; /* part_sha256 of the answer is wanted */
	bool md5;		  /* md5 of the answer is wanted, of these bytes */

	/*
	 * HTTP. The url is absolute and percent-encoded. The connection's
	 * credentials are added only where its scheme, host and port are those of
	 * the service (CsService's url), and never if anonymous is set.
	 */
	const char *method;
	const char *url;
	CsHeader headers[CS_REQUEST_HEADERS]; /* ended by a NULL name */
	bool anonymous;
	CsSend send;
	const char *text;
	int64 text_len;
	const char *tail;
	int64 tail_len;
	const char *payload_sha256; /* for signatures: hexadecimal of what is sent,
								 * or a word of the protocol; NULL: the carrier
								 * computes it of text or of nothing */
	CsInto into;
	int body_status;  /* 200, 206, 207 */
	bool append;	  /* INTO_BODY: goes on where the answer before ended */
	int64 max_answer; /* bytes of text; 0: CS_ANSWER_MAX */
	int64 wait_ms;	  /* HTTP: it is made so much later, as the service asked;
					   * 0: at once */
	int64 held_ms;	  /* HTTP: the service may hold its answer back so long; no
					   * other limit of time counts but that for connecting.
					   * 0: it answers as it can */
} CsRequest;

/*
 * What came of a request. Lives until the next request, so that a page of
 * entries can be passed on as it is.
 */
typedef struct CsResponse
{
	int error;			/* 0, or an errno value; ENODEV: the store itself is
						 * gone; ECANCELED: the body failed */
	const char *detail; /* the system's words for it */
	const CsFailure *body_failure; /* why the body failed, else NULL */
	CsEntry entry;				   /* SPACE, STAT, WRITE, HASH, READ, RENAME */
	int64 size;					   /* WRITE, HASH, READ, HASH_BODY */
	uint8 sha256[CS_SHA256_LENGTH];
	const char *checksum; /* wherever sha256 is valid: of the same bytes, as
						   * the provider's checksum_kind says; else NULL */
	CsEntry *entries;	  /* LIST: this page */
	int n_entries;
	bool last_page;
	int64 used_bytes; /* SPACE; -1 unknown */
	int64 quota_bytes;

	/*
	 * HTTP. size and sha256 above are of the body: size the bytes that this
	 * request sent or delivered to it; sha256, if has_sha256, of all its bytes
	 * from the first to the last one sent, hashed or delivered so far, in
	 * however many requests, in order and without a gap.
	 *
	 * status 0: there was no complete answer. failure says why (with error set
	 * too, so that a non-zero error always means that the request failed), and
	 * sent whether the server may have acted on the request: false only if no
	 * byte of it can have arrived. size is then what was delivered until it
	 * broke off, and complete headers may be there. body_failure and ECANCELED
	 * as with files.
	 */
	int status;
	const CsHeader *headers; /* of the last answer, names in lower case */
	int n_headers;
	const char *text; /* ended by a NUL not counted in text_len */
	int64 text_len;
	int64 retry_after_ms; /* as the server said, in either form; -1: did not */
	const CsFailure *failure;
	bool sent;
	bool resent; /* it was sent twice, over a connection that broke and over a
				  * fresh one: the first may have been acted on */
	bool has_sha256;
	uint8 part_sha256[CS_SHA256_LENGTH]; /* of this request's bytes */
	uint8 md5[16];
	int64 clock; /* microseconds since 1970-01-01 UTC when it ended */
} CsResponse;

/* What next() says. */
typedef enum CsStep
{
	CS_STEP_REQUEST,	/* request is filled in: carry it out */
	CS_STEP_CHECKPOINT, /* result has size, sha256 (size -1: not yet) and
						 * session: to be recorded before going on; next(NULL
						 * answer) follows. PUT_MANY: all is there, and what
						 * makes it visible follows, which the owner lets only
						 * one of an account's do at a time */
	CS_STEP_PAGE,		/* result has a page of entries: to be stored before
						 * going on; next(NULL answer) follows */
	CS_STEP_DONE,		/* result is final */
	CS_STEP_FAILED		/* result.failure is */
} CsStep;

typedef struct CsResult
{
	CsEntry entry; /* STAT, MKDIR, PUT, MOVE, TRASH: as it is there now. PUT
					* without a version: modified is when it had arrived, by
					* the service's clock, or 0 */
	bool adopted;  /* PUT: was there already with our bytes; nothing sent */
	bool made;	   /* MKDIR: it was made just now, so nothing is in it */
	bool verified; /* PUT, GET: checksum compared, not only size */
	int64 size;	   /* PUT, GET: bytes */
	uint8 sha256[CS_SHA256_LENGTH];
	CsEntry *entries; /* LIST: a page */
	int n_entries;
	const char *cursor;	 /* LIST: to be stored with the page; or NULL */
	bool incomplete;	 /* LIST, at DONE: a folder (its entry says why in
						 * refused) could not be listed, so what was not seen
						 * need not be gone (L10) */
	bool changed;		 /* WATCH: there may be something new */
	int64 quiet_ms;		 /* WATCH: the service wants no other so long; 0 */
	const char *session; /* CHECKPOINT of a PUT or MKDIR: what lets a later
						  * attempt go on with it, or know what it made (a
						  * session of an upload, an id given beforehand);
						  * or NULL */
	const char
		*checksum; /* CHECKPOINT, PUT: of the body, checksum_kind; or NULL */
	CsPutResult *puts; /* PUT_MANY, at DONE: one for each, in order */
	const struct CsTokens *tokens; /* TOKEN */
	/*
	 * ABOUT, where the options alone do not say whose account it is (oauth):
	 * what stands for it for good, such as an id of the user and, where that is
	 * not all, of the drive; and what people know it by, or NULL.
	 */
	const char *account;
	const char *account_name;
	/* who it is, where one person has several accounts; NULL: the account */
	const char *person;
	int64 used_bytes;			   /* ABOUT; -1 unknown */
	int64 quota_bytes;
	CsFailure failure;
} CsResult;

typedef struct CsConversation CsConversation; /* each provider's own */

/*
 * A connection's service: what its options say (endpoint, bucket), and what was
 * learnt of it on the way (folders that exist, what the server cannot do).
 * Lives as long as the worker serves the connection, in the memory context that
 * was current in open(). Each provider's own; it begins with this head.
 */
typedef struct CsService
{
	const char *url; /* of its root, without a '/' at the end: where its
						  * credentials may go */
	const char *more_urls[3]; /* where they may go too; NULL: no more */
	const char *account;	  /* the account that the options stand for (C2);
							   * NULL: only ABOUT can tell (CsResult) */
	const char *region;		  /* for signatures, or NULL */
	const char *client_id;	  /* set by who opened it: as which application it
							   * knows us (OAuth); or NULL */
	bool http2;				  /* worth it with this service */
} CsService;

typedef struct CsOption
{
	const char *key;
	const char *value; /* "true" and "false" for booleans */
} CsOption;

typedef enum CsKeyType
{
	CS_KEY_TEXT, /* a JSON string */
	CS_KEY_BOOLEAN,
	CS_KEY_OBJECT
} CsKeyType;

/* A key of options or credentials, with one line of help. */
typedef struct CsProviderKey
{
	const char *key;
	const char *help;
	bool required;
	CsKeyType type;
} CsProviderKey;

/* A checksum of a body that the carrier keeps besides SHA-256. */
typedef enum CsChecksumKind
{
	CS_CHECKSUM_NONE,
	CS_CHECKSUM_BLOCKS, /* SHA-256 of the SHA-256 of each 4 MiB, hexadecimal:
						   * Dropbox's content hash */
	CS_CHECKSUM_QUICKXOR, /* QuickXorHash, base64: OneDrive for work, SharePoint */
	CS_CHECKSUM_MD5		  /* hexadecimal: Google Drive */
} CsChecksumKind;

/* How the provider takes names (P10). */
typedef struct CsNameRules
{
	int max_name_bytes;		 /* of one component, UTF-8 */
	const char *forbidden;	 /* characters replaced, besides '/' and controls */
	bool ignore_case;		 /* two names that differ in case are one */
	bool ignore_normal_form; /* two names that differ in NFC/NFD are one */
	bool trim_ends;			 /* no space at either end, no dot at the end */
	/*
	 * What is refused in whatever case, ended by NULL: "name", "name.*" (also
	 * with anything behind a dot), "start*", "*within*"; with a '/' behind it, of
	 * folders alone. ASCII. NULL: none
	 */
	const char *const *reserved;
} CsNameRules;

typedef struct CsProvider
{
	const char *name;			  /* 'local' */
	const char *title;			  /* 'Local folder' */
	const char *authentication;	  /* ways to authenticate, for people */
	const CsProviderKey *options; /* ended by a NULL key */
	const CsProviderKey *credentials;
	const char *checksum;		  /* it verifies with; NULL: none */
	CsChecksumKind checksum_kind; /* that the carrier is to keep of bodies */
	bool checksum_is_strong;	  /* equal checksums are equal bytes (L9) */
	int64 max_file_size;		  /* bytes; 0: no limit known */
	bool incremental;			  /* lists by cursor */
	bool feed_of_account; /* a cursor is of the whole account, whatever the
							 * folder (L11): one serves all channels */
	bool watches;		  /* has WATCH, which asks for no credentials, and the
						   * option "longpoll" (a boolean) that wants it */
	bool same_names;	  /* a folder may have several of one name: the id alone
							 * tells them apart */
	int put_many;		  /* files that one PUT_MANY may have; 0: it has none */
	int64 put_many_bytes; /* of them together */
	bool stable_ids;	  /* ids never name another file later: an id
							 * alone is identity (L4) */
	bool has_trash;		  /* of its own; else a .trash folder */
	bool look_before; /* making a file only where there is none cannot always
					   * be asked for: a listing before many spares looks */
	bool implied_folders;	/* a folder is there by what is in it: an absent one
						   * is an empty one, and is listed as such */
	int64 rereads; /* bytes of a body that it hashes before it sends them, one
					* stretch after the other; 0: it reads on and on */
	bool needs_stable_file; /* a file may still be being written (L9) */
	const char *hosts; /* its own hosts, patterns as in reach.h; NULL: none */
	CsNameRules names;

	/*
	 * Over HTTP: reads the options (ended by a NULL key, already checked for
	 * unknown and missing ones) into a service of its own. NULL with *failure
	 * if they cannot be (message: what is wrong; detail: what to do). The
	 * provider "local" has none (open is NULL, service below is NULL).
	 */
	CsService *(*open)(const CsOption *options, CsFailure *failure);

	/*
	 * For a PUT with fresh_folder: the session (CsResult) of a file that will be
	 * new, such as an id that was given beforehand; never a secret. Written down
	 * with the intent, it spares that PUT its checkpoint. palloc'd; NULL: none is at hand, the PUT
	 * gets one by itself. The function is NULL where there are none.
	 */
	char *(*reserve)(CsService *service);

	/* How tokens are come by (oauth.h); NULL: the credentials are no tokens. */
	const struct CsOAuth *oauth;

	/* Starts a conversation. op is copied as far as it is needed. */
	CsConversation *(*begin)(CsService *service, const CsOp *op);

	/*
	 * The next step. answer is NULL the first time and after CHECKPOINT and
	 * PAGE, otherwise what came of the last request. Fills in request or
	 * result as the step says. Never fails by other means than FAILED.
	 */
	CsStep (*next)(CsConversation *conversation, const CsResponse *answer,
				   CsRequest *request, CsResult *result);

	/*
	 * A piece of the answer to a request with CS_INTO_TAKE, in order. REQUEST:
	 * go on. PAGE: result has a page of entries, to be stored before the next
	 * piece comes. FAILED: the rest is not wanted; result has the failure.
	 */
	CsStep (*take)(CsConversation *conversation, const char *buf, int64 len,
				   CsResult *result);
} CsProvider;

/*
 * For begin(): the op with copies of its strings and puts (a grant's secrets are
 * not copied), in the current memory context; and the step of what a provider
 * does not offer. src/provider/op.c.
 */
extern void cs_op_copy(CsOp *target, const CsOp *op);
extern CsStep cs_step_not_offered(CsConversation *conversation,
								  const CsResponse *answer, CsRequest *request,
								  CsResult *result);

/* All providers, ended by NULL, and one by its name (NULL: unknown). */
extern const CsProvider *const cs_providers[];
extern const CsProvider *cs_provider_by_name(const char *name);

/*
 * What an address leads to (web.c): GET alone, with an absolute URL as path. No
 * connection has it, so it is not among those above.
 */
extern const CsProvider cs_provider_web;

extern const CsProvider cs_provider_local;
extern const CsProvider cs_provider_webdav;
extern const CsProvider cs_provider_s3;
extern const CsProvider cs_provider_gdrive;
extern const CsProvider cs_provider_onedrive;
extern const CsProvider cs_provider_sharepoint;
extern const CsProvider cs_provider_dropbox;

#endif
