/*
 * webdav.h
 *	  What the files of the WebDAV provider share: the service, what was learnt
 *	  of it, the conversation and its small tools. Not for use elsewhere.
 *
 *	  webdav.c		what it is; ABOUT, STAT, DISCARD, redirects
 *	  webdav_look.c	requests, failures, PROPFIND answers, looks, hashes
 *	  webdav_make.c	MKDIR, and the folders known to exist
 *	  webdav_list.c	LIST
 *	  webdav_put.c	PUT: what is at the target, and what may be done about it
 *	  webdav_send.c	PUT: the requests that send, and what they come to
 *	  webdav_chunk.c	uploads in chunks (Nextcloud)
 *	  webdav_get.c	GET
 *	  webdav_move.c	MOVE, TRASH
 */
#ifndef CLOUDSYNC_WEBDAV_H
#define CLOUDSYNC_WEBDAV_H

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "cloudsync/xml.h"

/* Up to this size a file whose SHA-256 is known goes in one request. */
#define WD_SMALL (1024 * 1024)
/* Nextcloud: larger files are sent in chunks, of so many bytes at least. */
#define WD_CHUNKED (20 * 1024 * 1024)
#define WD_CHUNK (10 * 1024 * 1024)
/* Larger files are looked at under their temporary name before they get the
 * final one: one more request is nothing to them. */
#define WD_LOOK_SIZE (64 * 1024 * 1024)
/* How often a target may be found changed since the look before. */
#define WD_MAX_LOOKS 4
#define WD_MAX_REDIRECTS 3
#define WD_MAX_NAME 1020 /* bytes of a name found there */

#define WD_KNOWN 512
#define WD_ID 48

/* A folder that was there a moment ago. */
typedef struct WdKnown
{
	uint64 hash; /* of its path; 0: none */
	char id[WD_ID];
} WdKnown;

typedef struct WdService
{
	CsService head;
	char *base_path;  /* of the URL, decoded, "" for none */
	char *uploads;	  /* Nextcloud: URL of the upload folders, else NULL */
	char *files_page; /* Nextcloud: URL to which an id can be appended */

	/* learnt on the way */
	enum
	{
		WD_UNKNOWN,
		WD_YES,
		WD_NO
	} conditions;	  /* does PUT obey If-Match and If-None-Match? */
	int probes;		  /* made so far to find that out */
	bool no_move;	  /* it has no MOVE */
	bool no_checksum; /* it refuses OC-Checksum of SHA-256 */
	WdKnown known[WD_KNOWN];
} WdService;

/* One <response> of a PROPFIND answer, as it came. */
typedef struct WdResource
{
	struct WdResource *next;
	char *href;
	int status; /* of the whole; 0: not said */
	bool has_properties;
	bool collection;
	char *etag;
	char *length;
	char *modified;
	char *fileid;
	char *checksums;
	char *used;
	char *available;
} WdResource;

typedef struct WdParser WdParser;

typedef struct WdMaking
{
	char **levels; /* from the top */
	int n_levels;
	int at;
	int asked;
	bool looking;
	bool made; /* anything; */
	bool made_last; /* the lowest level, by the server's own word */
	char *id;
} WdMaking;

typedef enum WdSub
{
	WD_ASK, /* request is filled in */
	WD_OK,
	WD_FAIL /* c->failure */
} WdSub;

typedef enum WdLook
{
	WD_THERE, /* c->entry */
	WD_ABSENT,
	WD_FAILED /* c->failure */
} WdLook;

struct CsConversation
{
	WdService *service;
	CsStep (*step)(CsConversation *c, const CsResponse *answer,
				   CsRequest *request, CsResult *result);
	CsOp op;		 /* with copies of its strings */
	int phase;		 /* of the operation's own enum */
	CsRequest asked; /* the last request */
	char *url;		 /* strings of it */
	char *strings[4];
	int n_strings;
	int redirects;

	CsEntry entry;	   /* as last seen, with copies of its strings */
	CsFailure failure; /* to be given once what was begun is cleaned up */
	int64 used_bytes;
	int64 quota_bytes;
	int looks;
	WdMaking making;
	CsHash *hash; /* of a file read to be compared */
	int64 target_size;
	uint8 target_sha256[CS_SHA256_LENGTH];

	/* LIST */
	WdParser *parser;
	char **folders;
	int n_folders;
	int folders_room;
	char *folder;
	bool seen_self;
	bool dropped;
	bool incomplete;
	CsEntry *page;
	int n_page;
	int page_room;

	/* PUT */
	enum
	{
		WD_STRAIGHT,
		WD_TEMP,
		WD_CHUNKS
	} way;
	char *temp_path;
	bool temp_written; /* there, whole */
	bool temp_left;	   /* something may be there */
	bool checkpointed;
	bool compares;		/* the body is hashed to be compared */
	bool looked;		/* the target was looked at, and is as judged */
	bool replaces;		/* the target is to be replaced, if it is expected */
	bool ours;			/* the target has the intended bytes */
	bool conditioned;	/* the request carries a condition */
	bool unconditional; /* it shall not */
	bool parents_made;	/* once is enough */
	bool sent_checksum; /* OC-Checksum was in the request */
	int64 arrived_at;	/* by the server's clock; 0: not said */
	char *expected;		/* version of what is to be replaced */
	bool body_known;
	int64 size;
	uint8 sha256[CS_SHA256_LENGTH];
	int tries;
	bool adopted;
	bool verified;

	/* PUT in chunks */
	char *upload;  /* URL of its folder */
	char *session; /* to be recorded */
	int64 chunk_bytes;
	int chunk;	/* number of the next */
	int64 sent; /* bytes that are there */
	int chunk_phase;
	bool upload_left;

	/* GET */
	int64 got;
	int64 total;	 /* -1: not said */
	char *version;	 /* as the first answer said */
	char *validator; /* for If-Range */

	/* MOVE, TRASH */
	char *target; /* to_path, or numbered after it */
	int number;
};

/* --- webdav_look.c --------------------------------------------------------- */
/* URL of a path; folder: with a '/' at the end. palloc'd. */
extern char *wd_url(const WdService *service, const char *path, bool folder);
/* Asks for a request; the answer is looked at in phase. */
extern CsStep wd_ask(CsConversation *c, CsRequest *request, int phase,
					 const char *method, const char *path, bool folder);
/* The same to a URL (palloc'd, taken over). */
extern CsStep wd_ask_url(CsConversation *c, CsRequest *request, int phase,
						 const char *method, char *url);
extern void wd_header(CsRequest *request, const char *name, const char *value);
/* A header whose value is palloc'd; it is freed with the next request. */
extern void wd_header_own(CsConversation *c, CsRequest *request,
						  const char *name, char *value);
/* PROPFIND of depth "0" or "1". */
extern CsStep wd_propfind(CsConversation *c, CsRequest *request, int phase,
						  const char *path, bool folder, const char *depth);

extern void wd_failure(CsConversation *c, CsFailure *failure,
					   const CsResponse *answer, const char *action,
					   const char *path);
extern CsStep wd_failed(CsConversation *c, CsResult *result,
						const CsResponse *answer, const char *action,
						const char *path);
extern bool wd_good(const CsResponse *answer); /* 200, 201, 204 */
/* May the server have acted, though it did not say so? */
extern bool wd_lost(const CsResponse *answer);
extern bool wd_is_etag(const char *version);

extern CsStep wd_look(CsConversation *c, CsRequest *request, int phase,
					  const char *path);
extern WdLook wd_looked(CsConversation *c, const CsResponse *answer,
						const char *path);
/* Reads a file to compare its bytes; c->target_* are filled in when it is ok */
extern CsStep wd_hash(CsConversation *c, CsRequest *request, int phase,
					  const char *path);
typedef enum WdHashed
{
	WD_HASHED,
	WD_OTHER_NOW, /* it is not there any more, or not what was looked at */
	WD_HASH_FAILED
} WdHashed;
extern WdHashed wd_hashed(CsConversation *c, const CsResponse *answer,
						  const char *path);

/* Version and id by the headers of a GET or PUT answer; NULL: not said.
 * palloc'd. */
extern char *wd_header_version(const CsResponse *answer, int64 size);
extern char *wd_header_etag(const CsResponse *answer);
extern char *wd_header_id(const CsResponse *answer);
/* SHA-256 that an answer's headers say. */
extern bool wd_header_sha256(const CsResponse *answer, uint8 *sha256);

extern char *wd_copy(const char *string);
extern void wd_free(void *string);
extern void wd_keep(CsConversation *c, const CsEntry *entry);
extern void wd_web_url(const WdService *service, CsEntry *entry);

/* --- webdav_xml.c ---------------------------------------------------------- */
extern WdParser *wd_parser_create(void);
/* False: wd_parser_problem. */
extern bool wd_parse(WdParser *parser, const char *buf, int64 len, bool last);
extern const char *wd_parser_problem(WdParser *parser);
/* The resources that are complete by now, taken out; freed one by one. */
extern WdResource *wd_parser_take(WdParser *parser);
extern void wd_resource_free(WdResource *resource);
extern void wd_parser_free(WdParser *parser);

/* local_list.c: .cloudsync-<16 hexadecimal digits>.part */
extern bool cs_local_is_temp_name(const char *name);

/* Where a resource is, seen from a folder. */
typedef enum WdPlace
{
	WD_SELF,
	WD_CHILD,
	WD_ELSEWHERE
} WdPlace;
/* Fills in the entry (strings palloc'd) of a SELF or CHILD of path. */
extern WdPlace wd_entry(const WdService *service, const char *path,
						const WdResource *resource, CsEntry *entry);
extern void wd_entry_free(CsEntry *entry);
extern char *wd_version(const char *etag, int64 size, int64 modified);
extern bool wd_sha256_of(const char *text, uint8 *sha256);
extern int64 wd_number(const char *text); /* -1: none */

/* --- webdav_make.c --------------------------------------------------------- */
extern bool wd_known(const WdService *service, const char *path,
					 const char **id);
extern void wd_remember(WdService *service, const char *path, const char *id);
/* Forgets a folder and those it is in. */
extern void wd_forget(WdService *service, const char *path);
/* Makes a folder with its parents; WD_ASK: the answer goes to wd_made. */
extern WdSub wd_make(CsConversation *c, CsRequest *request, int phase,
					 const char *path);
extern WdSub wd_made(CsConversation *c, const CsResponse *answer,
					 CsRequest *request);
extern CsStep wd_mkdir(CsConversation *c, const CsResponse *answer,
					   CsRequest *request, CsResult *result);

/* --- the operations -------------------------------------------------------- */
extern CsStep wd_list(CsConversation *c, const CsResponse *answer,
					  CsRequest *request, CsResult *result);
extern CsStep wd_list_take(CsConversation *c, const char *buf, int64 len,
						   CsResult *result);
extern CsStep wd_put(CsConversation *c, const CsResponse *answer,
					 CsRequest *request, CsResult *result);
/* Phases of a PUT, and what its two files do for each other. */
enum
{
	PUT_START,
	PUT_PROBED,
	PUT_PROBE_REMOVED,
	PUT_LOOKED,
	PUT_TARGET_HASHED,
	PUT_BODY_HASHED,
	PUT_CHECKPOINTED,
	PUT_LAST_LOOKED,
	PUT_SENT,
	PUT_WRITTEN,
	PUT_TEMP_LOOKED,
	PUT_CHUNK,
	PUT_MOVED,
	PUT_MAKING_PARENTS,
	PUT_LOST_LOOKED,
	PUT_LOST_HASHED,
	PUT_CLEANED,
	PUT_TIDIED
};
/* Looks at the target, and goes on as what is there allows. */
extern CsStep wd_put_look(CsConversation *c, CsRequest *request,
						  CsResult *result);
/* Ends with c->failure, once what was begun is removed. */
extern CsStep wd_put_clean_up(CsConversation *c, CsRequest *request,
							  CsResult *result);
extern CsStep wd_put_fail(CsConversation *c, CsRequest *request,
						  CsResult *result, CsFailureClass failure_class,
						  const char *what);
extern CsStep wd_put_done(CsConversation *c, CsRequest *request,
						  CsResult *result);
/* The way is free: what comes next. */
extern CsStep wd_put_go_on(CsConversation *c, CsRequest *request,
						   CsResult *result);
/* Answers of requests that send. */
extern CsStep wd_put_sent(CsConversation *c, const CsResponse *answer,
						  CsRequest *request, CsResult *result);
/* Uploads in chunks. */
extern char *wd_upload_url(const CsConversation *c, const char *temp_name);
extern CsStep wd_chunk_start(CsConversation *c, CsRequest *request,
							 CsResult *result);
extern CsStep wd_chunk(CsConversation *c, const CsResponse *answer,
					   CsRequest *request, CsResult *result);
extern CsStep wd_get(CsConversation *c, const CsResponse *answer,
					 CsRequest *request, CsResult *result);
extern CsStep wd_move(CsConversation *c, const CsResponse *answer,
					  CsRequest *request, CsResult *result);

#endif
