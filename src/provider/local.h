/*
 * local.h
 *	  What the files of the local provider share: the conversation and its small
 *	  tools. Not for use elsewhere.
 */
#ifndef CLOUDSYNC_LOCAL_H
#define CLOUDSYNC_LOCAL_H

#include "cloudsync/provider.h"

/* A look at the target that finds it changed since the look before: how often
 * that may happen before the attempt ends. */
#define LOCAL_MAX_LOOKS 4

struct CsConversation
{
	CsStep (*step)(CsConversation *c, const CsResponse *answer,
				   CsRequest *request, CsResult *result);
	CsOp op;   /* with copies of its strings */
	int phase; /* of the operation's own enum */

	CsEntry entry;	   /* as last seen, with copies of its strings */
	CsFailure failure; /* to be given once what was begun is cleaned up */
	bool incomplete;   /* LIST */
	int looks;		   /* PUT, MOVE, TRASH: looks at the subject */

	/* LIST: folders still to be listed; MKDIR, TRASH: levels to be made */
	char **folders;
	int n_folders;
	int folders_room;
	int level;
	char *folder; /* LIST: the one being listed */

	/* PUT */
	char *temp_path;
	bool temp_written;
	bool body_known; /* size and sha256 are those of the body */
	bool replaces;	 /* entry is what will be replaced */
	bool known; /* PUT: the target is as we left it */
	bool ours;		 /* entry has the intended bytes */
	int64 size;
	uint8 sha256[CS_SHA256_LENGTH];
	uint8 target_sha256[CS_SHA256_LENGTH];

	/* MOVE, TRASH */
	char *target; /* to_path, or numbered after it */
	int number;
};

/* The operations' step functions, one file a group. */
extern CsStep cs_local_put(CsConversation *c, const CsResponse *answer,
						   CsRequest *request, CsResult *result);
extern CsStep cs_local_move(CsConversation *c, const CsResponse *answer,
							CsRequest *request, CsResult *result);
extern CsStep cs_local_list(CsConversation *c, const CsResponse *answer,
							CsRequest *request, CsResult *result);

/* Asks for a request; the answer is looked at in phase. */
extern CsStep cs_local_ask(CsConversation *c, CsRequest *request, int phase,
						   CsRequestKind kind, const char *path);
/* Ends with the failure that the answer's errno stands for. action: "read", ...
 */
extern CsStep cs_local_failed(CsResult *result, const CsResponse *answer,
							  const char *action, const char *path);
/* The same, into *failure. */
extern void cs_local_failure(CsFailure *failure, const CsResponse *answer,
							 const char *action, const char *path);
/* Keeps a copy of the entry as the one last seen. */
extern void cs_local_keep(CsConversation *c, const CsEntry *entry);
/* Is the entry still the one last seen? */
extern bool cs_local_same(const CsConversation *c, const CsEntry *entry);
/* Does nothing stand at a path: ENOENT, or a parent that is no folder? */
extern bool cs_local_is_temp_name(const char *name);
extern bool cs_local_absent(const CsResponse *answer);
/* Sets folders to the levels of a path, from the top. */
extern void cs_local_levels(CsConversation *c, const char *path);
extern void cs_local_push_folder(CsConversation *c, const char *path);

#endif
