/*
 * plan.h
 *	  What a push of one dossier would do now (P15): the dossier as it stands in
 *	  the active snapshot, compared with what was pushed. The same function
 *	  serves cloudsync_plan and the claim of a push.
 *
 * Paths are from the account's root.
 */
#ifndef CLOUDSYNC_PLAN_H
#define CLOUDSYNC_PLAN_H

#include "postgres.h"

#include "cloudsync/appdata.h"
#include "cloudsync/provider.h"
#include "utils/timestamp.h"

/* source_id of the manifest, which is no file of the application */
#define CS_MANIFEST_SOURCE 0
#define CS_MANIFEST_NAME "manifest.json"

typedef struct CsPushSetting
{
	int64 connection_id;
	int64 destination_id;
	const CsProvider *provider;
	char *tenant;
	char *root;		 /* as set: "/CloudSync" */
	char *root_path; /* where it is now: a customer may have renamed it */
	char *root_id;	 /* its remote id, or NULL */
	char *folder;	 /* template */
	char *on_conflict;
	char *time_zone;
	bool trash; /* what is deleted goes to the trash */
	bool manifest;
	CsTemplate *template;
} CsPushSetting;

/* What is recorded of a file at the destination (cloudsync.pushed_file). */
typedef struct CsRecord
{
	int source_id;
	char *file_key;
	char *path; /* NULL: it never got there */
	char *wanted;
	char *remote_id;
	char *remote_version;
	char *content_version;
	char *content_tag; /* of one that is elsewhere: its version there, or NULL */
	char *state;
	int64 size;
	bool has_sha256;
	uint8 sha256[CS_SHA256_LENGTH];
	char *checksum; /* the service's of what is there, else ours of it; or NULL */
	char *intent_path;
	char *intent_temp;
	int64 intent_size;
	bool has_intent_sha256;
	uint8 intent_sha256[CS_SHA256_LENGTH];
	char *intent_checksum;
	char *intent_session;
	TimestampTz intent_at; /* 0: not known */
	int attempts;
	bool trash_confirmed;
	bool taken;			/* by a row of the application */
	char *seen_version; /* of what is at the remote now, if it was looked at */
} CsRecord;

typedef enum CsAction
{
	CS_ACTION_SKIP, /* nothing to be done */
	CS_ACTION_CREATE,
	CS_ACTION_UPDATE, /* after a move, if from_path differs */
	CS_ACTION_MOVE,
	CS_ACTION_TRASH,
	CS_ACTION_KEEP,		 /* gone from the database, stays at the remote */
	CS_ACTION_WAIT_TRASH /* to the trash once somebody confirms it */
} CsAction;

typedef struct CsPlanFile
{
	CsFileRow *row;	  /* NULL: gone from the database, or untracked */
	CsRecord *record; /* NULL: never pushed */
	int source_id;
	char *file_key;
	CsAction action;
	char *path;
	char *from_path; /* where it is now, after a move of the folder; or NULL */
	char *wanted;	 /* below the dossier's folder, before a number */
	int64 size;		 /* -1: unknown */
	bool untracked;	 /* its table is no longer tracked: stays as it is */
} CsPlanFile;

typedef struct CsPlan
{
	CsPushSetting *setting;
	CsDossierTable *table;
	int dossiers_id;
	char *dossier;
	bool present;		/* it exists, and belongs to the connection's tenant */
	bool recorded;		/* it was pushed before */
	char *wanted;		/* folder that the templates give */
	char *folder;		/* where it is to be */
	char *from_folder;	/* where it is; NULL: nowhere */
	char *folder_id;	/* remote id of from_folder, or NULL */
	char *intent_folder; /* where a move was bringing it that was cut off */
	char *folder_session; /* of a folder that was being made, or NULL */
	char *label;		/* for the manifest */
	List *files;		/* of CsPlanFile */
	CsRecord *manifest; /* what is recorded of it, or NULL */
} CsPlan;

/* The connection's settings; NULL if it has none. In the current context. */
extern CsPushSetting *cs_push_setting_read(int64 connection_id);

/*
 * The plan for a dossier, in the current context and the active snapshot.
 * by_hand: what somebody deleted at the remote is sent again. taken_folders
 * (may be NULL) holds keys of folders that plans made before would take, and
 * gets this plan's. trash_left is how many files may go to the trash without
 * being confirmed, and is reduced by those of this plan.
 */
extern CsPlan *cs_plan_dossier(CsPushSetting *setting, int dossiers_id,
							   const char *dossier, bool by_hand,
							   List **taken_folders, int64 *trash_left);

/* How many files may go to the trash now without being confirmed (P9). */
extern int64 cs_trash_left(int64 connection_id, TimestampTz now);

/* store/pushed.c: what is recorded of a dossier; list of CsRecord. */
extern List *cs_records_read(int64 destination_id, int dossiers_id,
							 const char *dossier);

#endif
