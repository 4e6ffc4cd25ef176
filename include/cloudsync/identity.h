/*
 * identity.h
 *	  Which file of a collected folder is new, known, changed or a duplicate (L4,
 *	  L9): pure decisions, without I/O and without the database.
 *
 * Relies on nothing but c.h.
 */
#ifndef CLOUDSYNC_IDENTITY_H
#define CLOUDSYNC_IDENTITY_H

typedef enum CsItemState
{
	CS_ITEM_NONE, /* no row, or a folder */
	CS_ITEM_NEW,
	CS_ITEM_COLLECTED,
	CS_ITEM_DUPLICATE,
	CS_ITEM_EXCLUDED,
	CS_ITEM_CHANGED,
	CS_ITEM_FAILED,
	CS_ITEM_GONE
} CsItemState;

/* As in cloudsync.item.state; NULL for NONE. */
extern const char *cs_item_state_name(CsItemState state);
extern CsItemState cs_item_state_by_name(const char *name);

typedef enum CsDedup
{
	CS_DEDUP_CONTENT,
	CS_DEDUP_ITEM,
	CS_DEDUP_VERSION
} CsDedup;

/* A file as a listing shows it, and what is known of its path and its id. */
typedef struct CsListed
{
	CsDedup dedup;
	bool stable_ids;   /* the provider's ids are identity by themselves */
	bool excluded;	   /* by the channel's filters or by its kind */
	bool pushed;	   /* it is, unchanged, what this extension pushed */
	const char *version;
	int64 size;
	/* the item at this path in the channel */
	CsItemState state; /* NONE: there was none */
	const char *item_version;
	bool verify;
	int64 document_size; /* of what was collected from it; -1: nothing was */
	bool same_as_item;	 /* a strong checksum says: the bytes collected from it */
	/* the dedup record of this file id in the account */
	bool recorded;
	const char *record_version;
	int64 record_size;
	bool same_as_record; /* a strong checksum says: the bytes recorded */
} CsListed;

typedef struct CsVerdict
{
	CsItemState state;
	bool verify;	  /* compare the bytes before saying that it changed */
	bool take_record; /* its document is the recorded one */
} CsVerdict;

extern CsVerdict cs_identity_listed(const CsListed *listed);

/* A file whose bytes were received, and what is known of them. */
typedef struct CsReceived
{
	CsDedup dedup;
	bool stable_ids;
	bool again;			 /* somebody asked to collect it again */
	bool pushed;		 /* id and bytes are those of what we pushed */
	bool verify;		 /* it stands where something was collected from */
	bool same_as_item;	 /* bytes as they were collected from there */
	bool id_recorded;
	bool same_as_id;	 /* bytes as recorded for the file id */
	bool content_recorded;
	bool content_from_here; /* the recorded content came from this path */
	bool version_recorded;
} CsReceived;

typedef enum CsReceivedAs
{
	CS_AS_DOCUMENT,	 /* a new document */
	CS_AS_KNOWN,	 /* the document is there already: the same file */
	CS_AS_DUPLICATE, /* the same bytes as another file of the channel */
	CS_AS_CHANGED,	 /* changed in place: shown, not collected */
	CS_AS_PUSHED	 /* ours */
} CsReceivedAs;

extern CsReceivedAs cs_identity_received(const CsReceived *received);

/*
 * Is the file complete, as far as one can tell (L9)? modified, now and delay in
 * the same unit; unchanged_since: since when it has looked like this, 0 unknown.
 */
extern bool cs_identity_stable(int64 modified, int64 unchanged_since,
							   int64 now, int64 delay);

#endif
