/*
 * dropbox.h
 *	  What the files of the Dropbox provider share: the service, the
 *	  conversation and its tools. Not for use elsewhere.
 */
#ifndef CLOUDSYNC_DROPBOX_H
#define CLOUDSYNC_DROPBOX_H

#include "cloudsync/json.h"
#include "cloudsync/provider.h"

#define DBX_BLOCK (INT64CONST(4) * 1024 * 1024)	 /* of the content hash */
#define DBX_ONE (INT64CONST(16) * 1024 * 1024)	 /* up to this: one request */
#define DBX_CHUNK (INT64CONST(16) * 1024 * 1024) /* of an upload session */
#define DBX_PAGE 2000							 /* entries asked for at once */
#define DBX_MAX_COMMIT 1000						 /* files of one commit */
#define DBX_MAX_ARG 7500 /* bytes of an argument that goes in a header */
#define DBX_MAX_SENT 3	 /* times a file that arrives damaged */
#define DBX_MAX_LOOKS 4	 /* at a target that changes between looks */
#define DBX_MAX_BREAKS 8 /* of one transfer, gone on with each time */
#define DBX_MAX_BUSY 5	 /* times a request is put off */
#define DBX_HASH_LENGTH 64
#define DBX_MAX_SESSION 1000 /* characters of an upload session's id */

typedef struct DbxService
{
	CsService head; /* url: of the API's host */
	char *content;	/* host for what carries bytes */
	char *notify;	/* host that tells of changes */
	char *root;		/* value of Dropbox-API-Path-Root, or NULL */
	char *member;	/* value of Dropbox-API-Select-User, or NULL */
	bool team_root; /* it is the account's root, to be asked for */

	/* learnt of the service on the way */
	bool no_append_batch; /* it does not take it */
	int commit_size;	  /* files that one commit had better have */
	uint32 turns;		  /* of those that were put off, to part them */
} DbxService;

/* A folder's path as its own entry spells it, by the service's path_lower. */
typedef struct DbxFolder
{
	char *lower;
	char *path;
} DbxFolder;

/* One of many files on its way. */
typedef struct DbxMany
{
	int64 from; /* where it begins in the body */
	char *session;
	bool stored;	/* its bytes are in the session, which is closed */
	bool settled;	/* its result is known */
	bool overwrite; /* damaged when it arrived: the rev is to be replaced */
	char *rev;
	bool is_new; /* nothing was there before us */
	int sent;
} DbxMany;

struct CsConversation
{
	CsStep (*step)(CsConversation *c, const CsResponse *answer,
				   CsRequest *request, CsResult *result);
	DbxService *service;
	CsOp op;
	int phase;		/* of the operation's own enum */
	bool rooting;	/* asking for the account's root first */
	char *root;		/* that it began with: the same to its end */
	CsRequest last; /* the request being made, to be made again */
	int n_headers;
	int busy; /* times it was put off */
#ifndef FRONTEND
	MemoryContext lasting; /* until the end */
	MemoryContext passing; /* until the next step */
#endif

	CsFailure failure; /* to be given once what was begun is cleaned up */
	CsResponse gone;   /* that says so, while another place is looked at */
	int looks;
	int breaks;
	int times_sent;

	/* ABOUT */
	char *account;
	char *account_name;

	/* LIST */
	char *cursor;
	bool has_more;
	DbxFolder *folders; /* by hash of lower; open addressing */
	int n_folders;
	int folders_room;
	int empty_pages;

	/* PUT */
	int64 size;
	uint8 sha256[CS_SHA256_LENGTH];
	char hash[DBX_HASH_LENGTH + 1]; /* content hash; "" unknown */
	char *update_rev;				/* what is to be replaced, or NULL */
	bool is_new;					/* it made the file itself */
	char *session;
	char *session_text; /* as it is kept for a later attempt */
	int64 offset;		/* of the next chunk */
	int64 hashed;		/* bytes that went into sha256 and hash */
	int64 chunk;		/* bytes of the one being sent */
	bool ended;			/* no more bytes come */
	bool tried_session; /* of an earlier attempt */
	bool body_known;	/* all of it was hashed before anything is sent */
	int sessions;		/* begun */

	/* PUT_MANY */
	DbxMany *many;
	CsPutResult *puts;
	int first; /* of the part being sent or committed */
	int count;
	bool asked; /* its owner let it commit */
	bool commit_lost;

	/* GET */
	int64 got;
	char *rev;

	/* MOVE, TRASH */
	char *found_id;
};

/* dropbox_request.c: memory, requests, what answers say of an entry */
extern char *cs_dropbox_keep(CsConversation *c, const char *text);
extern CsStep cs_dropbox_rpc(CsConversation *c, CsRequest *request, int phase,
							 const char *route, const char *json);
/* To the host that tells of changes, which must not be told who asks. */
extern CsStep cs_dropbox_ask_notify(CsConversation *c, CsRequest *request,
									int phase, const char *route,
									const char *json);
/* With bytes of the body; length 0: with none. */
extern CsStep cs_dropbox_upload(CsConversation *c, CsRequest *request,
								int phase, const char *route, const char *arg,
								int64 from, int64 length);
extern CsStep cs_dropbox_download(CsConversation *c, CsRequest *request,
								  int phase, const char *path, int64 from);
extern CsStep cs_dropbox_hash(CsConversation *c, CsRequest *request, int phase,
							  int64 from, int64 length);
/* {"path": ...} of a path or "id:..." */
extern char *cs_dropbox_path_arg(const char *path);
extern CsStep cs_dropbox_look(CsConversation *c, CsRequest *request, int phase,
							  const char *path);
/* As the service writes a path: the root is "". */
extern const char *cs_dropbox_path(const char *path);
extern void cs_dropbox_commit_info(CsConversation *c, StringInfo text,
								   const char *path, const char *rev,
								   bool overwrite);
/* The answer's JSON, or NULL. */
extern const CsJson *cs_dropbox_json(const CsResponse *answer);
/* The entry of a metadata; path: where it is, if that is known. */
extern bool cs_dropbox_entry(CsEntry *entry, const CsJson *metadata,
							 const char *path);
extern CsStep cs_dropbox_folder_entry(CsResult *result, const char *path,
									  const char *id);
/* path with its last name as the service spells it. */
extern char *cs_dropbox_spelled(const char *path, const char *name);
/* The content hash of bytes up to DBX_BLOCK long, by their SHA-256. */
extern void cs_dropbox_small_hash(char *hash, const uint8 *sha256, int64 size);

/* dropbox_error.c: what an answer means */
/* The tags of an error within each other, as "path/conflict/file". */
extern void cs_dropbox_tags(const CsJson *error, char *tags, size_t room);
extern bool cs_dropbox_has_tag(const CsResponse *answer, const char *tag);
/* Does the service take the cursor for none at all? */
extern bool cs_dropbox_bad_cursor(const CsResponse *answer);
extern void cs_dropbox_failure(CsConversation *c, CsFailure *failure,
							   const CsResponse *answer, const char *action,
							   const char *path);
/* The same of an error within a batch's answer. */
extern void cs_dropbox_entry_failure(CsFailure *failure, const CsJson *error,
									 const char *action, const char *path);
extern CsStep cs_dropbox_failed(CsConversation *c, CsResult *result,
								const CsResponse *answer, const char *action,
								const char *path);
extern CsStep cs_dropbox_fail(CsResult *result, CsFailureClass failure_class,
							  const char *path, const char *what);
/* An answer that is not what the protocol says. */
extern CsStep cs_dropbox_nonsense(CsResult *result, const char *path);
/* May the service have carried out what it was asked, though it did not say? */
extern bool cs_dropbox_may_be_done(const CsResponse *answer);
/* Is it to be asked again, and when? */
extern bool cs_dropbox_is_busy(const CsResponse *answer, int64 *wait_ms);

/* the operations' step functions */
extern CsStep cs_dropbox_list(CsConversation *c, const CsResponse *answer,
							  CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_get(CsConversation *c, const CsResponse *answer,
							 CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_put(CsConversation *c, const CsResponse *answer,
							 CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_session(CsConversation *c, const CsResponse *answer,
								 CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_many(CsConversation *c, const CsResponse *answer,
							  CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_move(CsConversation *c, const CsResponse *answer,
							  CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_trash(CsConversation *c, const CsResponse *answer,
							   CsRequest *request, CsResult *result);

extern CsStep cs_dropbox_watch(CsConversation *c, const CsResponse *answer,
							   CsRequest *request, CsResult *result);

/* dropbox_many.c, for its two halves */
typedef enum DbxManyPhase
{
	MANY_START,
	MANY_STARTED,	/* sessions, together */
	MANY_HASHED,	/* the part that is appended next */
	MANY_APPENDED,	/* that part */
	MANY_ONE_SENT,	/* a session with its file */
	MANY_ASKED,		/* the owner lets it commit */
	MANY_COMMITTED, /* a part */
	MANY_REPAIRED,	/* a file that had arrived damaged */
	MANY_UNDONE
} DbxManyPhase;

extern void cs_dropbox_settle(CsConversation *c, int i,
							  const CsFailure *failure);
extern CsStep cs_dropbox_many_failed(CsConversation *c,
									 const CsResponse *answer,
									 CsResult *result);
extern CsStep cs_dropbox_many_nonsense(CsConversation *c, CsResult *result);
extern bool cs_dropbox_many_repeats(CsConversation *c,
									const CsResponse *answer);
extern void cs_dropbox_put_hash(const CsConversation *c, int i, char *hash);
extern void cs_dropbox_many_cursor(StringInfo text, const DbxMany *file,
								   int64 offset);
extern CsStep cs_dropbox_many_next(CsConversation *c, CsRequest *request,
								   CsResult *result, int64 wait_ms);

/* dropbox_store.c */
extern CsStep cs_dropbox_store_next(CsConversation *c, CsRequest *request);
extern CsStep cs_dropbox_store_started(CsConversation *c,
									   const CsResponse *answer,
									   CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_store_hashed(CsConversation *c,
									  const CsResponse *answer,
									  CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_store_appended(CsConversation *c,
										const CsResponse *answer,
										CsRequest *request, CsResult *result);
extern CsStep cs_dropbox_store_one_sent(CsConversation *c,
										const CsResponse *answer,
										CsRequest *request, CsResult *result);

/* dropbox_put.c, for large files too */
extern CsStep cs_dropbox_put_done(CsConversation *c, CsResult *result,
								  const CsJson *metadata, bool adopted);
/* Are these the bytes of the body? Of an earlier attempt's intent? */
extern bool cs_dropbox_is_body(const CsConversation *c, const CsEntry *entry);
extern bool cs_dropbox_is_intended(const CsConversation *c,
								   const CsEntry *entry);
extern CsStep cs_dropbox_others(CsResult *result, const char *path);
extern CsStep cs_dropbox_checkpoint(CsConversation *c, CsResult *result,
									int phase);
/* What it made itself, and arrived damaged, is taken away again. */
extern CsStep cs_dropbox_undo(CsConversation *c, CsRequest *request, int phase,
							  const char *path, const char *rev);

#endif
