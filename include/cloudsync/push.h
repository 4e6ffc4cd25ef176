/*
 * push.h
 *	  What the parts of a push share: the plan of a dossier (plan.h) being
 *	  carried out as a job (engine.h). push.c takes dossiers that are due,
 *	  push_job.c goes from step to step, push_look.c looks at what is at the
 *	  remote, push_move.c and push_send.c say what is moved and sent,
 *	  push_intent.c and push_settle.c record.
 */
#ifndef CLOUDSYNC_PUSH_H
#define CLOUDSYNC_PUSH_H

#include "postgres.h"

#include "cloudsync/engine.h"
#include "cloudsync/plan.h"
#include "cloudsync/run.h"
#include "cloudsync/text_table.h"

/* Contents up to this size are read many at a time, and kept until sent. */
#define CS_PUSH_SMALL (1024 * 1024)

/* In this order; a step that has nothing to do is passed over. */
typedef enum CsPushStep
{
	CS_PUSH_OPEN,		 /* the account's folder */
	CS_PUSH_ROOT,		 /* is the root where it was? */
	CS_PUSH_FIND_ROOT,	 /* no: has its customer renamed it? */
	CS_PUSH_FOLDER,		 /* is the dossier's folder where it was? */
	CS_PUSH_LIST,		 /* and the files in it? */
	CS_PUSH_FIND,		 /* no: have they been moved? */
	CS_PUSH_MAKE_PARENT, /* of a folder that moves */
	CS_PUSH_MOVE_FOLDER,
	CS_PUSH_MAKE_FOLDER,
	CS_PUSH_DISCARD, /* what an attempt that was cut off left elsewhere */
	CS_PUSH_TRASH,
	CS_PUSH_SUBFOLDERS,
	CS_PUSH_MOVES,
	CS_PUSH_RECLAIM, /* what one that was cut off left under another name */
	CS_PUSH_SURVEY,	 /* what stands where files are to be made */
	CS_PUSH_SEND,
	CS_PUSH_CONFIRM, /* what was sent without a word about its version */
	CS_PUSH_MANIFEST,
	CS_PUSH_CONFIRM_MANIFEST,
	CS_PUSH_EMPTY_FOLDER, /* of a deleted dossier: is anything left in it? */
	CS_PUSH_TRASH_FOLDER,
	CS_PUSH_END
} CsPushStep;

typedef enum CsPushFileState
{
	CS_FILE_WAITING,
	CS_FILE_RUNNING,
	CS_FILE_SENT, /* to be confirmed by a listing */
	CS_FILE_DONE,
	CS_FILE_FAILED
} CsPushFileState;

/* A file of the plan on its way. */
typedef struct CsPushFile
{
	CsPlanFile *plan;
	CsPushFileState state;
	bool settled;	/* what came of it is recorded */
	const char *did; /* for history; NULL: nothing that is told */
	char *now_at;	/* where ours is now; NULL: nowhere */
	char *now_key;	/* of it, while it stands in the way of others' moves */
	char *path;		/* where it goes */
	char *intent;	/* written down as such; NULL: nothing is */
	char *temp;		/* name under which it is written first */
	bool marked;	/* beside somebody else's */
	bool known;		/* what is at path is (supposed to be) ours */
	int tries;
	int marks;
	CsFailure failure;
	CsTransfer *transfer;
	MemoryContext context; /* of the transfer */
	CsBody body;
	CsContent content;
	struct CsPull *pull; /* of content that is elsewhere, while it comes */
	bool asks;	  /* only if that is another one now than the one pushed */
	bool skimmed; /* it was pulled once, and is another one */
	char *tag;	  /* its version there */
	const char *bytes; /* of the manifest, instead of content */
	char *held;		   /* content read beforehand, in context, until it is sent */
	bool hashed;	   /* sha256 and checksum are of what was held, also afterwards */
	bool intended;	   /* small, and its intent is written */
	bool alone;		   /* not (again) with others */
	char *session;	   /* of an upload that can be gone on with */
	bool reserved;	   /* it was given beforehand, for a file that is not there */
	int64 arrived_at;  /* by the service's clock; 0 unknown */
	int64 seen_size;   /* by the listing that confirms it; -1 unknown */
	int64 seen_at;	   /* it says that it was changed then; 0 unknown */
	bool damaged;	   /* what is there is ours, and not what was sent */
	/* what came of it */
	char *remote_id;
	char *remote_version;
	char *web_url;
	int64 size;
	uint8 sha256[CS_SHA256_LENGTH]; /* of held, too */
	bool has_sha256;
	char *checksum;		   /* ours with sha256, in the service's notation; or NULL */
	char *remote_checksum; /* the service's word, or NULL */
	int64 sent;
} CsPushFile;

/* What was seen at the remote of something recorded. */
typedef struct CsLook
{
	CsRecord *record; /* NULL: the dossier's folder */
	const char *path;
	const char *id;
	bool at_path;	  /* something is at its path */
	char *found_path; /* where its id was found */
	bool asked;		  /* for its id alone */
	bool removed;	  /* it was removed there, and may have come back */
	bool sent_anew;	  /* this push is about to send it again */
	bool is_same;	  /* what was found has the bytes that were pushed */
	/* without an id: where a move was bringing it that was cut off */
	char *with_folder; /* with its folder, or NULL */
	bool is_with_folder;
	bool is_at_intent; /* at the record's intent_path */
} CsLook;

typedef struct CsPushMany CsPushMany;

typedef struct CsPushJob
{
	CsJob job; /* first, so that one is the other */
	int dossiers_id;
	char *dossier;
	bool by_hand;
	int64 generation; /* of the due row that was claimed; 0: none */
	CsPushSetting *setting;
	CsPlan *plan;
	CsPushStep step;
	CsEndpoint *endpoint;
	CsTransfer *single; /* the step's one transfer */
	MemoryContext single_context;
	/* looking */
	bool looked; /* where everything is has been seen and recorded */
	bool incomplete; /* a listing that proves no absence */
	bool folder_there;
	bool folder_gone;
	bool located;
	List *looks;	 /* of CsLook */
	HTAB *by_path;
	HTAB *by_id;
	HTAB *by_folder; /* by with_folder, */
	HTAB *by_intent; /* and by intent_path */
	List *look_in;	 /* folders still to be listed */
	CsLook *asked;	 /* the one that is asked for by its id */
	const char *listed; /* the one that is being */
	char *root_found;
	bool anything_left;
	/* moving and sending */
	List *files;	   /* of CsPushFile */
	CsPushFile *moving;
	HTAB *in_the_way; /* MOVES: now_key of what is, or was, to be moved */
	char *moved_from;  /* where the folder was before this push moved it */
	char *detour;	   /* MOVES: where to on the way, when names are swapped */
	List *subfolders;  /* still to be made */
	List *discards;	   /* of CsOp, still to be carried out */
	List *queue;	   /* SEND: files that wait, from queue_next on */
	int queue_next;
	List *active; /* SEND: files that are on their way, */
	List *many;	  /* and those that go together: CsPushMany */
	bool surveying; /* what is listed is noted as what stands in its folder */
	char *surveyed; /* that folder */
	HTAB *standing; /* keys of what is in it; NULL: unknown */
	TimestampTz surveyed_at; /* DT_NOEND: the survey came to nothing */
	List *unconfirmed; /* sent, and to be looked for */
	HTAB *sent_keys;   /* of them, while a folder is listed */
	List *confirmed;   /* beside the others that were still sent */
	int n_beside;	   /* for how many that was asked, so far */
	bool confirmed_late;
	TimestampTz intents_since; /* nothing was sent before that; 0: nothing yet */
	int unsettled;
	TimestampTz unsettled_since;
	/* counters */
	int done;
	int skipped;
	int failed;
	int64 requests;
	int64 sent;
	bool again; /* something changed while it was read */
	TimestampTz next_try;
	char *first_error;
} CsPushJob;

/* push_job.c */
extern const CsJobMethods cs_push_methods;
/* The step's one transfer. */
extern void cs_push_start_single(CsPushJob *push, const CsOp *op);
/* Ends the job: failure (may be NULL) is the connection's or the dossier's. */
extern void cs_push_end(CsPushJob *push, const CsFailure *failure, TimestampTz now);

/* push_plan.c: plans (anew), in a transaction; and writes the intents. */
extern void cs_push_make_plan(CsPushJob *push, TimestampTz now);

/* push_look.c */
extern void cs_push_look_prepare(CsPushJob *push);
/* The next folder that is to be listed, or NULL; and what came of it. */
extern const char *cs_push_look_next(CsPushJob *push);
extern void cs_push_look_listed(CsPushJob *push, const CsFailure *failure,
								bool incomplete);
extern void cs_push_look_page(CsPushJob *push);
/* A page of whatever the step lists. */
extern void cs_push_take_page(CsPushJob *push);
/* by_id: that could be elsewhere, by its id. */
extern bool cs_push_look_missing(CsPushJob *push, bool by_id);
/* Is it known of the id whether it is there? */
extern bool cs_push_was_looked_for(CsPushJob *push, const char *id);
/* What was looked for is there, as entry says. */
extern void cs_push_look_noted(CsPushJob *push, CsLook *look, const CsEntry *entry);
/* Records what was seen, in a transaction of its own; true: plan anew. */
extern bool cs_push_look_apply(CsPushJob *push, TimestampTz now);
/* The root was looked for; id: of what stands at its path, or NULL. */
extern void cs_push_root_looked_for(CsPushJob *push, const char *id, TimestampTz now);

/*
 * push_folder.c. Does the service go by ids, so that what is not at its path is
 * asked for? What is to be asked for next, or false; and what came of it. Was
 * the dossier's folder found at its path? (Elsewhere it is listed there.)
 */
extern bool cs_push_goes_by_ids(const CsPushJob *push);
extern bool cs_push_find_next(CsPushJob *push, CsOp *op);
extern void cs_push_found(CsPushJob *push);
extern bool cs_push_folder_found(CsPushJob *push);
/* The id of the folder that is listed, if the service goes by ids. */
extern const char *cs_push_id_of_listed(const CsPushJob *push);
extern void cs_push_root_found(CsPushJob *push, const char *id);
/* A folder is about to be made: writes its session down. It was made. */
extern void cs_push_folder_checkpoint(CsPushJob *push);
extern void cs_push_folder_made(CsPushJob *push, TimestampTz now);
/* Made or moved: recorded at once, since everything hangs on where it is. */
extern void cs_push_folder_is_at(CsPushJob *push, bool moved, TimestampTz now);

/* push_send.c: true when all files are sent or have failed. */
extern bool cs_push_send(CsPushJob *push, TimestampTz now);
extern void cs_push_measure(CsJob *job);
extern void cs_push_fill_queue(CsPushJob *push);
extern void cs_push_stop_all(CsPushJob *push);
/* Ends the file's transfer, if any, and lets go of what it held. */
extern void cs_push_stop_file(CsPushJob *push, CsPushFile *file);
/* It failed: again at once if that may help and it was not tried too often. */
extern void cs_push_failed(CsPushJob *push, CsPushFile *file,
						   const CsFailure *failure, TimestampTz now);
/* It is there; result says what it is like. */
extern void cs_push_sent(CsPushJob *push, CsPushFile *file, const CsResult *result,
						 TimestampTz now);
extern void cs_push_queue(CsPushJob *push, CsPushFile *file);
extern void cs_push_fill_put(CsPushJob *push, CsPushFile *file, CsOp *op);
/* A push that forgot a file must never look as if it had succeeded. */
extern void cs_push_check_all_sent(CsPushJob *push);
/*
 * push_read.c: reads the one at a place of the queue and what follows it, as far
 * as they are small. In a transaction of its own.
 */
extern void cs_push_read_ahead(CsPushJob *push, int at);
/*
 * push_many.c: starts those of the queue's next that go together, if any do now;
 * takes what came of them (false: the connection as a whole has failed).
 */
typedef enum CsPushTaken
{
	CS_PUSH_TAKES_ONE,	/* the next goes by itself */
	CS_PUSH_TAKES_MANY, /* they were started */
	CS_PUSH_TAKES_NONE	/* when others have ended */
} CsPushTaken;
extern CsPushTaken cs_push_start_many(CsPushJob *push);
extern bool cs_push_take_many(CsPushJob *push, TimestampTz now);
extern void cs_push_stop_many(CsPushJob *push);
extern int64 cs_push_many_bytes(const CsPushJob *push);
/* Is it (still) to be read that way? Its intent is written then, not before. */
extern bool cs_push_is_small(const CsPushFile *file);
/*
 * push_source.c: files whose content is elsewhere. Is it one; does it have to
 * be asked whether it has changed; begins (false with *failure); what has come
 * since: files that can be sent now, with what is written down of them.
 */
extern bool cs_push_is_elsewhere(const CsPushFile *file);
extern bool cs_push_asks(CsPushJob *push, CsPushFile *file);
extern bool cs_push_pull(CsPushJob *push, CsPushFile *file, CsFailure *failure);
extern List *cs_push_pulled(CsPushJob *push, TimestampTz now);
/*
 * push_survey.c: is it worth it that a listing (of folder, or one more if NULL)
 * says what stands where files go; it begins, brings a page, ends; was nothing
 * at the file's path a moment ago?
 */
extern bool cs_push_wants_survey(CsPushJob *push, const char *folder);
/* What a listing said of the folder is too old for the many files still to be made. */
extern bool cs_push_survey_is_stale(const CsPushJob *push);
extern void cs_push_survey_begin(CsPushJob *push);
extern void cs_push_survey_page(CsPushJob *push);
extern void cs_push_survey_end(CsPushJob *push, TimestampTz now);
extern bool cs_push_is_fresh(CsPushJob *push, const CsPushFile *file);
/*
 * push_confirm.c: takes note of a file that is to be confirmed; the folder to
 * be listed next, or NULL; takes a page of that listing; judges what it showed.
 */
extern void cs_push_await_confirmation(CsPushJob *push, CsPushFile *file);
extern const char *cs_push_next_confirmation(CsPushJob *push);
extern void cs_push_confirm_page(CsPushJob *push);
extern void cs_push_confirm_end(CsPushJob *push, TimestampTz now);
/*
 * Beside what is still being sent: begins to confirm, if it is time, and passes
 * a few on that were (all: each of them); what that listing came to.
 */
extern void cs_push_confirm_beside(CsPushJob *push, bool all, TimestampTz now);
extern void cs_push_confirm_beside_end(CsPushJob *push);
/* push_manifest.c: puts the manifest into the queue; false: none is to be sent. */
extern bool cs_push_manifest(CsPushJob *push);

/* push_move.c: the file to be moved next, or NULL. */
extern CsPushFile *cs_push_next_move(CsPushJob *push);
/* Has another of our files stood there that was moved away? */
extern bool cs_push_was_vacated(CsPushJob *push, const char *path);
extern void cs_push_list_subfolders(CsPushJob *push);
extern bool cs_push_needs_folder(CsPushJob *push);
extern bool cs_push_folder_moves(CsPushJob *push);
extern CsPushFile *cs_push_next_trash(CsPushJob *push);
/* Was all of a deleted dossier brought to the trash? */
extern bool cs_push_all_trashed(CsPushJob *push);
extern void cs_push_moved(CsPushJob *push, CsPushFile *file, const CsTransfer *transfer,
						  TimestampTz now);
extern void cs_push_trashed(CsPushJob *push, CsPushFile *file, const CsTransfer *transfer);
extern void cs_push_folder_moved(CsPushJob *push, const char *remote_id);
extern char *cs_push_trash_path(CsPushJob *push, const char *path);

/*
 * push_reclaim.c: CsOps that discard what earlier attempts left half-written
 * where this push writes over none; and that bring what became visible under a
 * name of the time to the name it has now.
 */
extern List *cs_push_leftovers(CsPushJob *push);
extern List *cs_push_reclaims(CsPushJob *push);

/* push_intent.c */
extern void cs_push_write_intents(CsPushJob *push);
/*
 * In a transaction: what is about to be brought where, of one or of many; of
 * those that are held, their size and SHA-256 too.
 */
extern void cs_push_write_intent(CsPushJob *push, CsPushFile *file);
extern void cs_push_write_intents_of(CsPushJob *push, List *files);
extern void cs_push_checkpoint(CsPushJob *push, List *files);
/* Was a move of it cut off, so that it may be where it was going to? */
extern bool cs_push_is_between(const CsRecord *record);
/*
 * Before a file without an id is moved to target, in transactions of its own:
 * where it goes, unless that is written down; and, if another of ours stood
 * there before, where that one is now.
 */
extern void cs_push_before_move(CsPushJob *push, CsPushFile *file,
								const char *target, TimestampTz now);
/* In a transaction: size and SHA-256 of a content that is held. */
extern void cs_push_write_hash(CsPushJob *push, CsPushFile *file);

/*
 * session.c, outside of transactions: an upload's session as it is stored of a
 * file, and as it was; NULL: none, or there are no keys for it. palloc'd. stale
 * (may be NULL): it is of another content than row's.
 */
extern char *cs_session_seal(const CsPushJob *push, const CsPlanFile *plan,
							 const char *session);
extern char *cs_session_open(const CsPushJob *push, const CsRecord *record,
							 const CsFileRow *row, bool *stale);

/* push_settle.c */
extern void cs_push_file_done(CsPushJob *push, CsPushFile *file, TimestampTz now);
extern void cs_push_file_failed(CsPushJob *push, CsPushFile *file,
								const CsFailure *failure, TimestampTz now);
/* Records all that is done or failed and not recorded, in a transaction. */
extern void cs_push_settle_files(CsPushJob *push, TimestampTz now);
/* The same, and where those are that were moved and are not done yet. */
extern void cs_push_settle_places(CsPushJob *push, TimestampTz now);
/*
 * push_settle_sent.c, in a transaction: records files that were sent; what
 * cannot be recorded has failed.
 */
extern void cs_push_settle_sent(CsPushJob *push, List *files, TimestampTz now);
extern void cs_push_settle_failed(CsPushJob *push, CsPushFile *file,
								  TimestampTz now);
/* As cs_push_settle_files, in a transaction of the caller's. */
extern void cs_push_settle_rest(CsPushJob *push, TimestampTz now);
extern void cs_push_record_folder(CsPushJob *push, const char *folder,
								  const char *remote_id);
extern void cs_push_settle_dossier(CsPushJob *push, const char *state,
								   const char *error, TimestampTz now);
/* Cancelled: what was due stays so, but not at once. */
extern void cs_push_release_due(CsPushJob *push, TimestampTz now);
extern void cs_push_record_below(CsPushJob *push, const char *from, const char *to);
extern void cs_push_settle_due(CsPushJob *push, bool success, const char *error,
							   TimestampTz now);
extern void cs_push_note_file(CsPushJob *push, const char *action, const char *path,
							  int64 size, const uint8 *sha256, const char *error);

#endif
