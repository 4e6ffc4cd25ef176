/*
 * graph.h
 *	  What the files of the Microsoft Graph provider share (OneDrive and
 *	  SharePoint): the service, the conversation and its small tools. Not for
 *	  use elsewhere.
 *
 *	  graph.c			what it is, its options; ABOUT, STAT, DISCARD
 *	  graph_oauth.c		how tokens are come by
 *	  graph_drive.c		which drive it is: found once for each service
 *	  graph_request.c	addresses, requests, what is remembered of folders
 *	  graph_error.c		what an answer means
 *	  graph_item.c		a driveItem as an entry; whose it is
 *	  graph_make.c		MKDIR
 *	  graph_list.c		LIST of a folder
 *	  graph_delta.c		LIST of the whole drive, and what changed since
 *	  graph_put.c		PUT: what is at the target, and what is done about it
 *	  graph_send.c		PUT: the request that sends a small file, and its answer
 *	  graph_session.c	PUT: upload sessions
 *	  graph_get.c		GET
 *	  graph_move.c		MOVE, TRASH
 */
#ifndef CLOUDSYNC_GRAPH_H
#define CLOUDSYNC_GRAPH_H

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/json.h"
#include "cloudsync/provider.h"

#define GR_API "https://graph.microsoft.com/v1.0"
#define GR_LOGIN "https://login.microsoftonline.com"

#define GR_SMALL 4000000		  /* up to this: one PUT */
#define GR_FRAGMENT (32 * 327680) /* of an upload session: 10 MiB */
#define GR_PAGE (16 * 1024 * 1024) /* bytes of a page of a listing */
#define GR_MAX_LOOKS 4			  /* at a target that changes between looks */
#define GR_MAX_BREAKS 8			  /* of a transfer, gone on with each time */
/* A service's own changes of what it was sent follow within this time. */
#define GR_REWRITING_US (INT64CONST(10) * 60 * 1000000)
/* Its clocks and ours agree to this once they are compared; or if they are not. */
#define GR_COMPARED_US (INT64CONST(10) * 1000000)
#define GR_UNCOMPARED_US (INT64CONST(5) * 60 * 1000000)
#define GR_STRINGS 12			  /* of one request */
#define GR_KNOWN 512			  /* folders that are remembered */
#define GR_ID 80
#define GR_LINKS 16384 /* download addresses that are remembered, at most, */
#define GR_LINK_PLACES 16 /* each in one of so many places, */
#define GR_LINK_BYTES (12 * 1024 * 1024) /* and their bytes together */

/* What is asked for of an item, and of each of many. */
#define GR_SELECT                                                              \
	"$select=id,name,size,eTag,webUrl,createdDateTime,lastModifiedDateTime,"   \
	"createdBy,lastModifiedBy,parentReference,file,folder,package,remoteItem," \
	"root,malware"
#define GR_SELECT_MANY                                                         \
	"$top=1000&$select=id,name,size,eTag,webUrl,lastModifiedDateTime,"         \
	"parentReference,file,folder,package,remoteItem,root,deleted,malware,"     \
	"@microsoft.graph.downloadUrl"

/* A folder that was there a moment ago. */
typedef struct GrKnown
{
	uint64 hash; /* of its path; 0: none */
	char id[GR_ID];
} GrKnown;

/* Where an item's bytes are to be had for a while: a secret. */
typedef struct GrLink
{
	char *id;
	char *version;
	char *url;
} GrLink;

typedef struct GrService
{
	CsService head; /* url: of the API */
	bool sharepoint;
	bool by_path; /* this cloud does not take names below an id */

	/* which drive, as the options say */
	char *user;
	char *site_host;
	char *site_path; /* without '/' in front; "" for the host's own */
	char *library;

	/* our program and person there, as our last answer said; NULL: none yet */
	char *us;

	/* as it was found; drive NULL: not yet */
	char *drive;
	char *root_id; /* NULL: unknown */
	bool personal; /* OneDrive of a person's own account */

	GrKnown known[GR_KNOWN];
	GrLink *links; /* NULL: none yet */
	size_t link_bytes;
} GrService;

/* An item, as an answer says. Strings are the conversation's or the answer's. */
typedef struct GrItem
{
	bool there;
	CsEntryKind kind;
	const char *id;
	const char *name;
	const char *parent_id;
	const char *parent_path; /* "/a/b"; NULL: not said */
	char *decoded;			 /* the same, if it is not as it was said */
	const char *etag;
	const char *version;  /* NULL of a folder */
	const char *checksum; /* QuickXorHash in base64 */
	bool has_sha256;
	uint8 sha256[CS_SHA256_LENGTH];
	int64 size;
	int64 created;
	int64 modified;
	const char *web_url;
	const char *link; /* its bytes are there */
	const char *refused;
	bool is_root;
	bool deleted;
	const char *maker;	/* program and person that made it, */
	const char *editor; /* and that changed it last; NULL: none is said */
} GrItem;

typedef enum GrSub
{
	GR_ASK, /* request is filled in */
	GR_OK,
	GR_FAIL /* c->failure */
} GrSub;

typedef enum GrLook
{
	GR_THERE, /* c->item */
	GR_ABSENT,
	GR_FAILED /* c->failure */
} GrLook;

typedef struct GrMaking
{
	char **levels; /* paths from the top */
	int n_levels;
	int at;
	int asked;
	bool looking;
	CsFailure failure; /* of the last that may have been made or not */
} GrMaking;

/* A folder of the drive, while all of it is listed. */
typedef struct GrFolder
{
	char *id;
	char *path;
	struct GrFolder *next; /* of the same bucket */
} GrFolder;

struct CsConversation
{
	GrService *service;
	CsStep (*step)(CsConversation *c, const CsResponse *answer,
				   CsRequest *request, CsResult *result);
	CsOp op;   /* with copies of its strings */
	int phase; /* of the operation's own enum */
	bool ready; /* the drive is known, or need not be */
	bool indirect; /* the drive is to be known first after all */
	int drive_phase;
	char *strings[GR_STRINGS]; /* of the request being made */
	int n_strings;
	char *address; /* the last pre-authenticated one: a secret; or NULL */
	const CsJson *json; /* of the last answer read */

	GrItem item;	   /* as last seen, with copies of its strings */
	CsFailure failure; /* to be given once what was begun is cleaned up */
	int looks;
	GrMaking making;

	/* LIST */
	char **folders; /* id, path, id, path ... still to be listed */
	int n_folders;
	int folders_room;
	char *folder; /* path of the one being listed */
	char *next_url;
	char *cursor;
	CsEntry *page;
	int n_page;
	int page_room;
	GrFolder **tree; /* buckets */
	CsEntry *orphans; /* whose folders have not been seen yet */
	int n_orphans;
	int orphans_room;
	int pages;
	int empty_pages;
	uint64 circle_hash; /* of an address of before */
	bool incomplete;

	/* PUT */
	bool body_known; /* size and sha256 are those of the body */
	int64 size;
	uint8 sha256[CS_SHA256_LENGTH];
	char *checksum; /* of the body, once it is known */
	bool checkpointed;
	bool replaces; /* the item as seen is to be replaced */
	bool id_gone;  /* what op.id names is not there any more */
	bool compares; /* the body is hashed to be compared */
	bool parents_made;
	int name_taken; /* refused so often since the name is in use */
	bool lost;		 /* no answer came: is it there? */
	int64 clock;	 /* when the target was looked at, by the service's clock, */
	int64 clock_us;	 /* by ours, or 0, */
	int64 slack;	 /* and how far the two may be apart */
	bool unreadable; /* the target's bytes could not be compared */
	bool target_known;
	uint8 target_sha256[CS_SHA256_LENGTH];
	int times_sent;
	bool adopted;
	bool verified;
	CsHash *hash; /* of an item that is read back */
	int64 hashed;

	/* PUT by a session */
	char *upload_url; /* a secret */
	char *session;	  /* to be recorded; with that in it */
	int64 offset;
	int64 fragment;
	int64 sent_to; /* it can have no more than that; -1: not known */
	bool is_last; /* the fragment being sent */
	bool old_session;
	bool looked_again;
	bool begin_lost; /* no answer came to the request that begins one */
	int breaks;
	int sessions;

	/* GET */
	char *link;
	bool fresh_link;
	int resumes;  /* of this GET, */
	int restarts; /* and how often all was read again */
	int64 got;
	int64 total; /* -1: not said */

	/* MOVE, TRASH */
	char *parent; /* id of the folder it goes to */
};

/* --- graph_request.c ------------------------------------------------------- */
/* Remembers a palloc'd string until the next request is made. */
extern char *gr_keep(CsConversation *c, char *string);
/* "{api}/drives/{drive}/root:/a/b:/action?query"; action and query may be NULL.
 * palloc'd. */
extern char *gr_path_url(const CsConversation *c, const char *path,
						 const char *action, const char *query);
extern char *gr_id_url(const CsConversation *c, const char *id,
					   const char *action, const char *query);
/* The same of a path, by its folder's id if that is known. *by_id: it was. */
extern char *gr_url(const CsConversation *c, const char *path,
					const char *action, const char *query, bool *by_id);
/* Asks for a request to a palloc'd URL; its answer is looked at in phase. */
extern CsStep gr_ask(CsConversation *c, CsRequest *request, int phase,
					 const char *method, char *url);
/* With a body of JSON, palloc'd. */
extern CsStep gr_ask_json(CsConversation *c, CsRequest *request, int phase,
						  const char *method, char *url, char *json);
/* To a pre-authenticated address: without credentials. */
extern CsStep gr_ask_anonymous(CsConversation *c, CsRequest *request, int phase,
							   const char *method, const char *url);
extern void gr_header(CsRequest *request, const char *name, const char *value);
extern CsStep gr_hash_body(CsConversation *c, CsRequest *request, int phase,
						   int64 length);
/* Reads an answer's JSON; NULL: it is none. Lives until the next. */
extern const CsJson *gr_json(CsConversation *c, const CsResponse *answer);
extern const char *gr_known(const GrService *service, const char *path);
extern void gr_remember(GrService *service, const char *path, const char *id);
extern void gr_forget(GrService *service, const char *path);
/* A copy that lives as long as the service. */
extern char *gr_lasting(GrService *service, const char *text);
extern void gr_remember_link(GrService *service, const GrItem *item);
/* Before changes are listed, whose documents are fetched next. */
extern void gr_make_room_for_links(GrService *service);
/* Of that version, taken out; palloc'd, or NULL. */
extern char *gr_take_link(GrService *service, const char *id,
						  const char *version);
extern uint64 gr_hash(const char *text); /* never 0 */
extern void gr_forget_all(GrService *service);
/* The condition that c->item is as it was seen. */
extern void gr_if_match(CsConversation *c, CsRequest *request);
/* Is it an address of the service itself? */
extern bool gr_is_own(const GrService *service, const char *url);
/* Or one that may be asked without credentials? */
extern bool gr_is_safe(const GrService *service, const char *url);
extern bool gr_good(const CsResponse *answer);
/* May the service have acted, though it did not say so? */
extern bool gr_lost(const CsResponse *answer);

/* --- graph_error.c --------------------------------------------------------- */
extern void gr_failure(CsFailure *failure, const CsResponse *answer,
					   const char *action, const char *path);
extern CsStep gr_failed(CsResult *result, const CsResponse *answer,
						const char *action, const char *path);
extern CsStep gr_fail(CsResult *result, CsFailureClass failure_class,
					  const char *path, const char *what);
/* Does the answer's error have that code, at whatever depth? */
extern bool gr_has_code(const CsResponse *answer, const char *code);

/* --- graph_item.c ---------------------------------------------------------- */
/*
 * Strings of the item are those of json, but for some of its own, which go with
 * gr_item_free. False: it is none.
 */
extern bool gr_read_item(const CsJson *json, GrItem *item);
extern void gr_item_free(GrItem *item);
extern void gr_keep_item(CsConversation *c, const GrItem *item);
/* Reads the answer's item to c->item. False: it has none. */
extern bool gr_answered_item(CsConversation *c, const CsResponse *answer);
/* Strings of the entry are the item's, but for path. */
extern void gr_entry(const GrItem *item, const char *path, CsEntry *entry);
/* Does this kind of file get other bytes there than it was sent with (P17)? */
extern bool gr_is_rewritten(const GrService *service, const char *path);
/* What an answer to our own writing says of us is remembered. */
extern void gr_learn_us(CsConversation *c);
/* Has our program changed c->item last? */
extern bool gr_is_edited_by_us(const CsConversation *c);
/* Have we made it and nobody changed it, since we were about to? */
extern bool gr_is_made_by_us(const CsConversation *c);
/* Looks at a path, or at an id. */
extern CsStep gr_look(CsConversation *c, CsRequest *request, int phase,
					  const char *path, const char *id);
extern GrLook gr_looked(CsConversation *c, const CsResponse *answer,
						const char *path);
/* The path that a look by id has shown; NULL: it is not said. palloc'd. */
extern char *gr_item_path(const GrItem *item);
typedef enum GrOwner
{
	GR_OURS,
	GR_OTHERS,
	GR_ASK_BYTES
} GrOwner;
/* Whose is c->item, by the op's known and intended versions? */
extern GrOwner gr_owner(const CsConversation *c);

/* --- graph_oauth.c --------------------------------------------------------- */
extern const struct CsOAuth gr_oauth;

/* --- graph_drive.c --------------------------------------------------------- */
extern bool gr_goes_direct(const CsConversation *c);
extern void gr_learn_drive(CsConversation *c);
extern GrSub gr_find_drive(CsConversation *c, const CsResponse *answer,
						   CsRequest *request);
/* "ABC!123" of a personal drive in the form that all answers agree on. */
extern char *gr_drive_id(const char *id);
extern bool gr_read_drive(CsConversation *c, const CsJson *json);

/* --- graph_make.c ---------------------------------------------------------- */
/* Makes a folder with its parents; GR_ASK: the answer goes to gr_made. */
extern GrSub gr_make(CsConversation *c, CsRequest *request, int phase,
					 const char *path);
extern GrSub gr_made(CsConversation *c, const CsResponse *answer,
					 CsRequest *request);

/* --- the operations -------------------------------------------------------- */
extern CsStep gr_mkdir(CsConversation *c, const CsResponse *answer,
					   CsRequest *request, CsResult *result);
extern CsStep gr_list(CsConversation *c, const CsResponse *answer,
					  CsRequest *request, CsResult *result);
extern CsStep gr_delta(CsConversation *c, const CsResponse *answer,
					   CsRequest *request, CsResult *result);
/* Is all of the drive to be listed? */
extern bool gr_is_whole_drive(const CsOp *op);
extern bool gr_cursor_read(CsConversation *c);
/* Is the next page's address one of before? Counts pages. */
extern bool gr_goes_in_circles(CsConversation *c, const char *next);
/* A page of a listing: begun, added to, given. */
extern void gr_entry_free(CsEntry *entry);
extern void gr_page_clear(CsConversation *c);
extern void gr_page_add(CsConversation *c, const CsEntry *entry);
/* Gives the page; of one without entries nobody is told. */
extern CsStep gr_page(CsConversation *c, CsRequest *request, CsResult *result,
					  int phase);
extern CsStep gr_get(CsConversation *c, const CsResponse *answer,
					 CsRequest *request, CsResult *result);
extern CsStep gr_move(CsConversation *c, const CsResponse *answer,
					  CsRequest *request, CsResult *result);
extern CsStep gr_put(CsConversation *c, const CsResponse *answer,
					 CsRequest *request, CsResult *result);

/* Phases of a PUT, and what its files do for each other. */
enum
{
	PUT_START,
	PUT_LOOKED,
	PUT_BODY_HASHED,
	PUT_CHECKPOINTED,
	PUT_SENT,
	PUT_PARENTS,
	PUT_REMOVED,
	PUT_READ_LINK,
	PUT_READ,
	/* from here on: of an upload session */
	PUT_SESSION,
	PUT_SESSION_BEGUN = PUT_SESSION,
	PUT_SESSION_RECORDED,
	PUT_SESSION_POSITION,
	PUT_SESSION_SENT,
	PUT_SESSION_LAST_LOOK,
	PUT_SESSION_ENDED,
	PUT_SESSION_REPLACED
};
extern CsStep gr_put_look(CsConversation *c, CsRequest *request,
						  CsResult *result);
extern CsStep gr_put_fail(CsConversation *c, CsRequest *request,
						  CsResult *result, CsFailureClass failure_class,
						  const char *what);
/* Ends with c->failure, once what was begun is removed. */
extern CsStep gr_put_give_up(CsConversation *c, CsRequest *request,
							 CsResult *result);
/* What is to be sent is known, and what stands there. */
extern CsStep gr_put_go_on(CsConversation *c, CsRequest *request,
						   CsResult *result);
/* No answer came to what we sent: looks for it; c->failure if it is not there. */
extern CsStep gr_put_lost(CsConversation *c, CsRequest *request,
						  CsResult *result);
/* Its name is in use, and nothing is there. */
extern CsStep gr_put_held(CsConversation *c, CsRequest *request,
						  CsResult *result);
extern CsStep gr_put_make_parents(CsConversation *c, CsRequest *request,
								  CsResult *result);
/* The service has taken it, and c->item is what it says. */
extern CsStep gr_put_taken(CsConversation *c, CsRequest *request,
						   CsResult *result);
extern CsStep gr_put_done(CsConversation *c, CsResult *result);
/* Is c->item the body that was sent, by what the service says of it? */
extern bool gr_put_is_body(const CsConversation *c);
extern CsStep gr_send(CsConversation *c, CsRequest *request, CsResult *result);
extern CsStep gr_sent(CsConversation *c, const CsResponse *answer,
					  CsRequest *request, CsResult *result);
extern CsStep gr_session_begin(CsConversation *c, CsRequest *request,
							   CsResult *result);
extern CsStep gr_session(CsConversation *c, const CsResponse *answer,
						 CsRequest *request, CsResult *result);
/* The upload's address of a session's text, palloc'd, or NULL. */
extern char *gr_session_url(const char *session, const char **sha256);
/* Was this, without a hash, what the session began to replace? */
extern bool gr_session_saw(const char *session, const GrItem *item);

#endif
