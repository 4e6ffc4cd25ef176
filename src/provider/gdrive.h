/*
 * gdrive.h
 *	  What the files of the Google Drive provider share: the service, what was
 *	  learnt of it, the conversation and its small tools. Not for use elsewhere.
 *
 *	  gdrive.c			what it is, options, OAuth; ABOUT, DISCARD
 *	  gdrive_request.c	requests, ids, folders known, sessions
 *	  gdrive_file.c		files as Drive tells of them, as entries
 *	  gdrive_error.c	failures, by Drive's reasons
 *	  gdrive_way.c		from paths to ids; MKDIR; ids given beforehand
 *	  gdrive_stat.c		STAT, from ids to paths
 *	  gdrive_list.c		LIST in full
 *	  gdrive_changes.c	LIST by the feed of changes
 *	  gdrive_put.c		PUT: what stands there, small files
 *	  gdrive_upload.c	PUT of larger files, in resumable sessions
 *	  gdrive_get.c		GET, exports
 *	  gdrive_move.c		MOVE, TRASH
 */
#ifndef CLOUDSYNC_GDRIVE_H
#define CLOUDSYNC_GDRIVE_H

#include "lib/stringinfo.h"

#include "cloudsync/http.h"
#include "cloudsync/json.h"
#include "cloudsync/oauth.h"
#include "cloudsync/provider.h"

/* Up to this size a file goes in one request, with what is said of it. */
#define GD_SMALL (5 * 1024 * 1024)
/* Larger ones go in pieces of this size, a multiple of 256 KiB. */
#define GD_CHUNK (16 * 1024 * 1024)
/* Of a body of unknown length, more is read before a piece is sent: it may be
 * the last. */
#define GD_AHEAD (GD_CHUNK + 256 * 1024)
#define GD_IDS 1000				   /* ids asked for at once, */
#define GD_FEW_IDS 64			   /* again when no more are left than that */
#define GD_ID 96					   /* bytes of an id, with its NUL */
#define GD_KNOWN 512				   /* folders remembered */
#define GD_MAKING 128				   /* folders that are being made */
#define GD_PAGE 1000				   /* files of a page */
#define GD_MAX_PAGE (16 * 1024 * 1024) /* its bytes */
#define GD_MAX_NAME 1000			   /* bytes of a name as shown */
#define GD_MAX_DEPTH 120			   /* levels; Drive has 100 */
#define GD_MAX_EMPTY 1000			   /* pages one after the other without a file */
#define GD_STRINGS 12				   /* of one request */
#define GD_KEY 16

#define GD_FOLDER "application/vnd.google-apps.folder"
#define GD_SHORTCUT "application/vnd.google-apps.shortcut"
#define GD_NATIVE "application/vnd.google-apps."

/* A folder by its path, or by its parent's id and its name. */
typedef struct GdKnown
{
	uint8 key[GD_KEY]; /* of SHA-256 */
	char id[GD_ID];	   /* "": none */
} GdKnown;

typedef struct GdService
{
	CsService head;
	char *drive_id;	  /* of a shared drive, or NULL */
	const char *root; /* an id that stands for the root */
	char *docs;		  /* host of the links of exports that are large */
	char *formats;	  /* of exports, in order: " pdf "; NULL: none */

	/* learnt on the way */
	char root_id[GD_ID]; /* the root's real id, or "" */
	char ids[GD_IDS][GD_ID];
	int n_ids; /* of them not used yet */
	int few_ids;	 /* with so many left, one conversation asks for more */
	bool asking_ids; /* it does */
	GdKnown known[GD_KNOWN];
	GdKnown making[GD_MAKING]; /* ids under which folders are being made */
	int next_making;
} GdService;

/* A file or folder, as an answer tells of it. Strings are the answer's. */
typedef struct GdFile
{
	const char *id;
	const char *name;
	const char *mime;
	const char *parent;	  /* NULL: none that we see */
	const char *md5;	  /* NULL: not said */
	const char *revision; /* of its content; NULL: not said */
	const char *counter;  /* that grows with every change */
	const char *created;
	const char *changed; /* modifiedTime */
	const char *target;	 /* of a shortcut, or NULL */
	const char *target_mime;
	const char *link;
	int64 size; /* -1: not said */
	bool trashed;
	bool has_sha256;
	bool locked; /* may not be downloaded */
	uint8 sha256[CS_SHA256_LENGTH];
} GdFile;

typedef enum GdSub
{
	GD_ASK,		   /* request is filled in */
	GD_CHECKPOINT, /* result is */
	GD_OK,
	GD_ABSENT,
	GD_FAIL /* c->failure */
} GdSub;

/* A name looked for in a folder. */
typedef struct GdLook
{
	char *parent;
	char *name;
	char *query;
	bool folders; /* only these are of interest */
	/* the one chosen of what has that name */
	char id[GD_ID]; /* "": none */
	char created[64];
	bool is_folder;
	bool incomplete; /* not all was looked at */
} GdLook;

/* A folder's path on the way to its id. */
typedef struct GdWay
{
	char *path;
	size_t done;	/* bytes of path whose id is known */
	char id[GD_ID]; /* that id */
	int phase;
	bool make;	/* what is missing */
	bool made;	/* the last level */
	bool known; /* the last level was not asked for */
	int restarts;
	int new_ids; /* taken since one turned out to be of no use */
	char next_id[GD_ID];
	StringInfoData session; /* ids of folders made, "id path\n" each */
} GdWay;

/* A folder still to be listed. */
typedef struct GdFolder
{
	char *path;
	char *id;
} GdFolder;

struct CsConversation
{
	GdService *service;
	CsStep (*step)(CsConversation *c, const CsResponse *answer,
				   CsRequest *request, CsResult *result);
	CsOp op;   /* with copies of its strings */
	int phase; /* of the operation's own enum */

	/* the request being made, and its answer */
	char *strings[GD_STRINGS];
	int n_strings;
	char *address; /* the last that the service named: a secret; or NULL */
	int n_headers;
	const CsJson *tree; /* until the next answer */

	CsFailure failure;
	CsEntry entry; /* result's */
	GdWay way;
	GdLook look;

	/* the file or folder in question, as last seen */
	bool seen;
	GdFile file;
	CsJson *file_tree; /* whose strings file's are */

	/* STAT by id: names from below */
	char *tail;
	int depth;
	char *up; /* the folder looked at */

	/* LIST */
	GdFolder *folders;
	int n_folders;
	int next_folder;
	int folders_room;
	char **visited; /* ids of folders, sorted */
	int n_visited;
	int visited_room;
	char *page_token; /* of the folder being listed, or of the feed */
	char *before;	  /* a token of before, to notice circles by */
	int pages;
	int empty_pages;
	char *new_token;  /* of the feed, where the next listing begins */
	CsEntry *entries;
	int n_entries;
	int entries_room;
	int next_shortcut; /* entry whose target is to be looked at */
	char **targets;	   /* of entries that are shortcuts, else NULL */
	bool incomplete;
	bool feed;

	/* PUT */
	char id[GD_ID];	   /* of the file that is made or replaced */
	bool is_new;	   /* it is made */
	bool from_session; /* an attempt that was cut off had that id */
	bool sent;		   /* this conversation has sent it once */
	bool lost;		   /* and does not know what came of it: c->failure */
	bool body_known;
	int64 size;	  /* -1: not known yet */
	int64 hashed; /* bytes read to be hashed, from the first on */
	uint8 sha256[CS_SHA256_LENGTH];
	char *checksum; /* MD5 of the body, or NULL */
	bool checkpointed;
	int tries;
	int restarts;
	char *session;

	/* PUT in a resumable session */
	char *upload; /* its address */
	int64 offset;
	int64 piece; /* bytes being sent from there */
	int64 sent_to; /* it can have no more than that; -1: not known */
	int breaks;
	bool looked_again;

	/* GET */
	const char *format; /* of an export */
	char *link;			/* that has no limit of size, or NULL */
	int hops;			/* that it led on */
	int resumes;		/* of this GET, restarts included */
	int64 got;
	bool again;
	bool told; /* what the file is was asked for */

	/* MOVE, TRASH */
	char *to_parent;
	bool asked_root;
};

/* --- gdrive_request.c ------------------------------------------------------ */
/* Remembers a palloc'd string until the next request is made. */
extern char *gd_keep(CsConversation *c, char *string);
/* A request; path is of the service's URL, with its query; palloc'd. */
extern CsStep gd_ask(CsConversation *c, CsRequest *request, int phase,
					 const char *method, char *path);
extern void gd_header(CsConversation *c, CsRequest *request, const char *name,
					  const char *value);
extern void gd_send_json(CsConversation *c, CsRequest *request,
						 StringInfo json);
/* "/drive/v3/files/ID?supportsAllDrives=true&..." of an id; palloc'd. */
extern char *gd_file_path(const char *id, const char *more);
#define GD_FIELDS                                                              \
	"id,name,mimeType,parents,size,md5Checksum,sha256Checksum,createdTime,"    \
	"modifiedTime,version,headRevisionId,trashed,"                             \
	"shortcutDetails(targetId,targetMimeType),capabilities(canDownload),"      \
	"webViewLink"
extern const char *gd_fields(void); /* "fields=..." encoded */
/* Looks at a file by its id. */
extern CsStep gd_ask_file(CsConversation *c, CsRequest *request, int phase,
						  const char *id);
extern bool gd_id_ok(const char *id);
extern bool gd_good(const CsResponse *answer); /* 200, 201 */
/* May the service have acted, though it did not say so? */
extern bool gd_lost(const CsResponse *answer);
/* The answer's JSON, an object; else c->failure. Kept until the next. */
extern const CsJson *gd_json(CsConversation *c, const CsResponse *answer,
							 const char *action, const char *path);

/* Folders known by their paths. */
extern const char *gd_known(const GdService *service, const char *path,
							size_t len);
extern void gd_remember(GdService *service, const char *path, size_t len,
						const char *id);
extern void gd_forget(GdService *service, const char *path); /* and above */
extern void gd_forget_all(GdService *service);
/*
 * Is the next page's token one of before? Counts pages of a listing, a page's
 * files, and begins anew without a token.
 */
extern bool gd_goes_in_circles(CsConversation *c, const char *token,
							   const CsJson *files);
/* The id under which somebody is making a folder just now, or NULL. */
extern const char *gd_making(const GdService *service, const char *parent,
							 const char *name);
extern void gd_is_making(GdService *service, const char *parent,
						 const char *name, const char *id);
/* Ids given beforehand: takes one; false: there is none, ask for some. */
extern bool gd_take_id(GdService *service, char *id);
extern bool gd_wants_ids(const GdService *service);
extern CsStep gd_ask_ids(CsConversation *c, CsRequest *request, int phase);
extern bool gd_read_ids(CsConversation *c, const CsResponse *answer);

/* What a PUT's session says: see gd_session. */
typedef struct GdSession
{
	char id[GD_ID];
	bool is_new;
	int64 size;
	char *upload; /* or NULL */
} GdSession;
extern bool gd_session_read(const char *session, GdSession *parts);
extern char *gd_session(const GdSession *parts);

/* --- gdrive_file.c --------------------------------------------------------- */
extern bool gd_file_read(const CsJson *json, GdFile *file);
/* The file of an answer into c->file, kept; false: c->failure. */
extern bool gd_take_file(CsConversation *c, const CsResponse *answer,
						 const char *action, const char *path);
extern bool gd_is_folder(const GdFile *file);
extern bool gd_is_native(const GdFile *file);
extern char *gd_name(const GdFile *file, const char *format);
extern char *gd_version(const GdFile *file, const char *format);
/* NULL: it tells of none. size -1: nor of a size. */
extern const char *gd_md5_of_version(const char *version, int64 *size);
/* The file as an entry at a path, or in a folder; strings palloc'd. */
extern void gd_entry_at(const GdService *service, const GdFile *file,
						const char *path, CsEntry *entry);
extern void gd_entry_in(const GdService *service, const GdFile *file,
						const char *folder, CsEntry *entry);
extern void gd_entry_free(CsEntry *entry);
/* Formats of exports: one that the service's option chooses for a file. */
extern const char *gd_format(const GdService *service, const char *mime);
extern const char *gd_format_mime(const char *format, size_t len);

/* --- gdrive_error.c -------------------------------------------------------- */
extern void gd_failure(CsFailure *failure, const CsResponse *answer,
					   const char *action, const char *path);
extern CsStep gd_failed(CsResult *result, const CsResponse *answer,
						const char *action, const char *path);
extern CsStep gd_fail(CsResult *result, CsFailureClass failure_class,
					  const char *path, const char *what);
extern CsStep gd_give_failure(CsConversation *c, CsResult *result);
extern bool gd_is_gone(const CsResponse *answer); /* 404 notFound */

/* --- gdrive_way.c ---------------------------------------------------------- */
/* The folder's id goes to c->way.id. Answers go to gd_way. */
extern GdSub gd_way_begin(CsConversation *c, CsRequest *request,
						  CsResult *result, const char *path, bool make);
extern GdSub gd_way(CsConversation *c, const CsResponse *answer,
					CsRequest *request, CsResult *result);
/* A name in a folder; what is there goes to c->look. Answers go to gd_looked. */
extern CsStep gd_look(CsConversation *c, CsRequest *request, const char *parent,
					  const char *name, bool folders);
extern GdSub gd_looked(CsConversation *c, const CsResponse *answer,
					   CsRequest *request);
extern CsStep gd_mkdir(CsConversation *c, const CsResponse *answer,
					   CsRequest *request, CsResult *result);

/* --- the operations -------------------------------------------------------- */
extern CsStep gd_stat(CsConversation *c, const CsResponse *answer,
					  CsRequest *request, CsResult *result);
extern CsStep gd_list(CsConversation *c, const CsResponse *answer,
					  CsRequest *request, CsResult *result);
extern CsStep gd_changes(CsConversation *c, const CsResponse *answer,
						 CsRequest *request, CsResult *result);
extern CsStep gd_put(CsConversation *c, const CsResponse *answer,
					 CsRequest *request, CsResult *result);
extern CsStep gd_upload(CsConversation *c, const CsResponse *answer,
						CsRequest *request, CsResult *result);
extern CsStep gd_get(CsConversation *c, const CsResponse *answer,
					 CsRequest *request, CsResult *result);
extern CsStep gd_move(CsConversation *c, const CsResponse *answer,
					  CsRequest *request, CsResult *result);

/* gdrive_list.c, for gdrive_changes.c: a page's entries and their shortcuts */
extern void gd_page_add(CsConversation *c, const GdFile *file,
						const char *folder);
extern CsEntry *gd_page_new(CsConversation *c);
extern CsStep gd_page_targets(CsConversation *c, const CsResponse *answer,
							  CsRequest *request, int phase);
extern void gd_page_clear(CsConversation *c);

/* gdrive_put.c, for gdrive_upload.c */
extern bool gd_is_body(const CsConversation *c, const GdFile *file);
extern CsStep gd_put_done(CsConversation *c, CsResult *result, bool adopted);
extern CsStep gd_put_arrived(CsConversation *c, const CsResponse *answer,
							 CsRequest *request, CsResult *result);
/* No answer, or that the id is in use: looks at it. */
extern CsStep gd_put_check(CsConversation *c, CsRequest *request);
/* Is the id refused under which it is to be made? */
extern bool gd_id_is_useless(const CsConversation *c, const CsResponse *answer);
extern void gd_take_hash(CsConversation *c, const CsResponse *answer);
extern void gd_put_metadata(CsConversation *c, StringInfo json);
extern CsStep gd_put_parent_gone(CsConversation *c, CsRequest *request,
								 CsResult *result);
extern CsStep gd_hash_body(CsConversation *c, CsRequest *request, int phase,
						   int64 from, int64 length);
extern bool gd_is_ours(const CsConversation *c, const GdFile *file);

#endif
