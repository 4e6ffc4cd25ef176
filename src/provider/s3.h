/*
 * s3.h
 *	  What the files of the S3 provider share: the service, the conversation and
 *	  its tools. Not for use elsewhere.
 */
#ifndef CLOUDSYNC_S3_H
#define CLOUDSYNC_S3_H

#include "cloudsync/hash.h"
#include "cloudsync/provider.h"
#include "cloudsync/xml.h"

#define S3_PART (INT64CONST(16) * 1024 * 1024) /* up to this: one PUT */
#define S3_MAX_PARTS 10000
#define S3_MAX_COPY (INT64CONST(5) * 1024 * 1024 * 1024)
#define S3_MAX_KEY 1024
#define S3_MAX_LOOKS 4	/* at a target that changes between looks */
#define S3_MAX_BREAKS 8 /* of one download, resumed each time */
#define S3_STRINGS 24	/* of one request */
#define S3_MAX_UPLOAD_ID 1024
#define S3_MAX_ORPHANS 8 /* ended by one attempt */

typedef enum S3Can
{
	S3_UNKNOWN, /* not tried yet: safe on both sides */
	S3_YES,
	S3_NO
} S3Can;

typedef struct S3Service
{
	CsService head; /* url: of the bucket */
	char *bucket;
	char *prefix;				  /* "" or "a/b/" */
	char *server_side_encryption; /* NULL: the bucket's own */
	char *sse_kms_key_id;
	char *storage_class;

	/* learnt of the server on the way */
	S3Can conditions;  /* PUT with If-None-Match and If-Match */
	bool probing;	   /* somebody is trying that now */
	bool no_checksums; /* does not take x-amz-checksum-sha256 */
	bool no_conditional_delete;
	bool etag_is_no_md5; /* though it looks like one */
} S3Service;

/* An object, as an answer's headers or a listing say. */
typedef struct S3Object
{
	bool there;
	char etag[160]; /* without quotes; "" unknown */
	int64 size;
	int64 modified;
	bool has_sha256; /* of the whole object */
	uint8 sha256[CS_SHA256_LENGTH];
	bool encrypted; /* by a key of the service: its ETag is no MD5 */
} S3Object;

typedef struct S3Part
{
	uint8 sha256[CS_SHA256_LENGTH];
	uint8 md5[16]; /* its ETag's bytes, if it is one */
	bool md5_known;
	char *etag;
	int64 size;
} S3Part;

/* An entry of a listing's document, as it was written there. */
typedef struct S3Row
{
	char *key;
	char *etag;
	char *modified;
	int64 size;
	bool is_prefix;
} S3Row;

/* A listing's document being read. */
typedef struct S3Listing
{
	CsXml *xml;
	S3Row row; /* being read */
	bool in_row;
	S3Row *rows;
	int n_rows;
	int room;
	bool encoded;	/* keys are percent-encoded */
	bool truncated; /* there is another page */
	char *token;	/* with which to ask for it */
	bool any;		/* it had a key or a prefix */
	bool is_list;	/* it was a listing's document at all */
} S3Listing;

typedef enum S3Taking
{
	S3_TAKE_NOTHING,
	S3_TAKE_LIST,
	S3_TAKE_HASH
} S3Taking;

struct CsConversation
{
	CsStep (*step)(CsConversation *c, const CsResponse *answer,
				   CsRequest *request, CsResult *result);
	S3Service *service;
	CsOp op;   /* with copies of its strings */
	int phase; /* of the operation's own enum */
	char *key; /* of op.path; LIST: what begins the keys below it */

	/* the request being made */
	char *strings[S3_STRINGS];
	int n_strings;
	int n_headers;
	bool head;		  /* a HEAD: an answer without words */
	bool explaining;  /* asking for the words that a HEAD's answer lacks */
	CsResponse plain; /* that answer */

	CsEntry entry;	   /* result's, with copies of its strings */
	CsFailure failure; /* to be given once what was begun is cleaned up */
	S3Object object;   /* the subject or target, as last seen */
	int looks;

	S3Taking taking;
	S3Listing list; /* LIST, MOVE of a folder */
	char *last_key;
	bool is_file[S3_MAX_KEY + 2]; /* is so much of last_key a file's key? */
	int empty_pages;
	char *token; /* with which this page was asked for, or NULL */
	bool incomplete;
	CsEntry *entries; /* a page */
	int n_entries;
	int entries_room;
	CsHash *hash; /* of an object that is read back */
	int64 hashed;

	/* PUT */
	bool body_known; /* size and sha256 are those of the body */
	int64 size;
	uint8 sha256[CS_SHA256_LENGTH];
	bool has_md5;
	uint8 md5[16];
	bool replaces;	 /* the object as seen is to be replaced */
	bool unreadable; /* the target may not be read, so is not ours */
	bool checkpointed;
	bool sent_condition;
	bool sent_checksum;
	int probes;
	int times_sent;
	bool lost; /* no answer came: look whether it is there */

	/* PUT in parts */
	char *upload_id;
	char *session;
	int64 part_size;
	int64 offset;
	S3Part *parts;
	int n_parts;
	int parts_room;
	int n_found; /* of them, of an earlier attempt */
	int part;	 /* the one at offset */
	int part_tries;
	bool body_ended;
	bool part_checksums; /* the upload takes them */
	bool doubt;			 /* an ETag is not its part's MD5 */
	int64 looked_at;	 /* the target, by the service's clock; 0: not said */
	int64 begun_since;	 /* uploads may have been begun and not recorded */
	char orphans[S3_MAX_ORPHANS][S3_MAX_UPLOAD_ID + 1];
	int n_orphans;

	/* GET */
	int breaks;
	int64 got;
	bool again;
	uint8 first_sha256[CS_SHA256_LENGTH];

	/* MOVE, TRASH */
	char *target; /* path: to_path, or numbered after it */
	int number;
	bool copied;
	bool unconditional; /* the copy, since the service cannot compare */
	S3Object source;
	char *from_key; /* of the object being moved */
	char *to_key;
	bool is_folder;
	int row;
	bool moved_any;
};

/* s3_request.c: keys, requests, answers */
extern char *cs_s3_key(const S3Service *service, const char *path);
/* Remembers a palloc'd string until the next request is made. */
extern char *cs_s3_keep(CsConversation *c, char *string);
extern CsStep cs_s3_ask(CsConversation *c, CsRequest *request, int phase,
						const char *method, const char *key, const char *query);
extern void cs_s3_header(CsConversation *c, CsRequest *request,
						 const char *name, const char *value);
extern CsStep cs_s3_ask_head(CsConversation *c, CsRequest *request, int phase,
							 const char *key);
/* What is below a key (which ends in '/' or is empty)? max_keys of it. */
extern CsStep cs_s3_ask_list(CsConversation *c, CsRequest *request, int phase,
							 const char *prefix, bool recursive, int max_keys,
							 const char *token, const char *start_after);
/* Reads an object to hash it. */
extern CsStep cs_s3_ask_read(CsConversation *c, CsRequest *request, int phase,
							 const char *key, const char *etag);
/* The headers that options ask for, for a new object. */
extern void cs_s3_storage_headers(CsConversation *c, CsRequest *request);
extern void cs_s3_object(S3Object *object, const CsResponse *answer);
extern void cs_s3_etag(char *etag, size_t room, const char *value);
extern char *cs_s3_quoted(CsConversation *c, const char *etag);
extern bool cs_s3_is_md5(const char *etag, uint8 md5[16]);
/* The entry of a file as result's. */
extern void cs_s3_entry(CsConversation *c, CsResult *result, const char *path,
						const S3Object *object);
extern void cs_s3_folder_entry(CsConversation *c, CsResult *result,
							   const char *path);

/* s3_error.c: what an answer means */
extern void cs_s3_failure(CsFailure *failure, const CsResponse *answer,
						  const char *action, const char *path);
extern CsStep cs_s3_failed(CsResult *result, const CsResponse *answer,
						   const char *action, const char *path);
extern CsStep cs_s3_fail(CsResult *result, CsFailureClass failure_class,
						 const char *path, const char *what);
/* The text directly in the first element of that name, or NULL. palloc'd. */
extern char *cs_s3_xml_text(const CsResponse *answer, const char *name);
extern bool cs_s3_has_code(const CsResponse *answer, const char *code);
/* May the service have carried out what it was asked, though it did not say? */
extern bool cs_s3_may_be_done(const CsResponse *answer);

/* the operations' step functions */
extern CsStep cs_s3_list(CsConversation *c, const CsResponse *answer,
						 CsRequest *request, CsResult *result);
extern CsStep cs_s3_list_take(CsConversation *c, const char *buf, int64 len,
							  CsResult *result);
extern bool cs_s3_list_whole(CsConversation *c, const CsResponse *answer,
							 CsResult *result);
extern CsStep cs_s3_get(CsConversation *c, const CsResponse *answer,
						CsRequest *request, CsResult *result);
extern CsStep cs_s3_put(CsConversation *c, const CsResponse *answer,
						CsRequest *request, CsResult *result);
extern CsStep cs_s3_put_done(CsConversation *c, CsResult *result,
							 const S3Object *object, bool adopted);
extern CsStep cs_s3_parts_begin(CsConversation *c, CsRequest *request,
								CsResult *result);
extern CsStep cs_s3_parts(CsConversation *c, const CsResponse *answer,
						  CsRequest *request, CsResult *result);
extern CsStep cs_s3_move(CsConversation *c, const CsResponse *answer,
						 CsRequest *request, CsResult *result);

/* s3_upload.c: uploads in parts as such */
extern char *cs_s3_session(int64 part_size, const char *upload_id,
						   const char *key);
/* False: it is none. *key: a pointer into session. */
extern bool cs_s3_session_parse(const char *session, int64 *part_size,
								char **upload_id, const char **key);
extern CsStep cs_s3_ask_abort(CsConversation *c, CsRequest *request, int phase,
							  const char *key, const char *upload_id);
extern S3Part *cs_s3_part(CsConversation *c, int i);
/* Reads a page of ListParts. *next: where the next begins, 0: there is none. */
extern bool cs_s3_read_parts(CsConversation *c, const CsResponse *answer,
							 int *next);
extern char *cs_s3_complete_text(const CsConversation *c);
/* The ETag that the whole object will have; false: that cannot be said. */
extern bool cs_s3_expected_etag(const CsConversation *c, char *etag,
								size_t room);

/* s3_orphan.c: uploads whose begin was lost */
extern char *cs_s3_begin_session(int64 since, const char *key);
extern bool cs_s3_begin_session_parse(const char *session, int64 *since,
									  const char **key);
extern CsStep cs_s3_ask_uploads(CsConversation *c, CsRequest *request,
								int phase, const char *key);
extern bool cs_s3_read_uploads(CsConversation *c, const CsResponse *answer,
							   int64 since, const char *key);
extern bool cs_s3_ask_end_orphan(CsConversation *c, CsRequest *request,
								 int phase, const char *key);

/* s3_xml.c: a listing's document, piece by piece */
extern void cs_s3_listing_begin(S3Listing *list);
extern void cs_s3_listing_end(S3Listing *list);
extern void cs_s3_listing_clear(S3Listing *list); /* the rows given */
extern char *cs_s3_listed_key(const S3Listing *list, const char *written);

#endif
