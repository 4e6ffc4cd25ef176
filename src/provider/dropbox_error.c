/*
 * dropbox_error.c
 *	  What an answer of Dropbox means: the tags of its error decide, wherever in
 *	  the error they stand, and its status only where there are none.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "dropbox.h"

#define MAX_TAGS 8
#define TAGS_ROOM 160
#define MAX_RETRY_AFTER_MS (INT64CONST(24) * 60 * 60 * 1000)

/*
 * What tags mean, and what a person can do about it. The first that stands
 * anywhere among an error's tags counts, so those that only say where the error
 * is come last or not at all.
 */
static const struct
{
	const char *tag;
	CsFailureClass failure_class;
	const char *what;
	const char *advice;
} tags_known[] = {
	/* 401 */
	{"expired_access_token", CS_FAIL_NEEDS_CONSENT,
	 "the access token has expired", NULL},
	{"invalid_access_token", CS_FAIL_NEEDS_CONSENT,
	 "the authorisation was taken back",
	 "Connect again under the same name to renew the consent."},
	{"missing_scope", CS_FAIL_NEEDS_CONSENT, "the consent lacks a scope",
	 "Tick the scope in the app's console, then connect again under the same "
	 "name."},
	{"user_suspended", CS_FAIL_UNREACHABLE, "the account is suspended", NULL},
	{"route_access_denied", CS_FAIL_FORBIDDEN,
	 "the app may not use this part of the service", NULL},
	{"invalid_select_user", CS_FAIL_NEEDS_CONSENT,
	 "the member of the option \"select_user\" is not of the team",
	 "Connect again under the same name with another member's id."},
	{"invalid_select_admin", CS_FAIL_BROKEN, "the member is not known", NULL},
	/* 403 */
	{"feature", CS_FAIL_QUOTA,
	 "the team's uploads of this month are used up, or its plan has none",
	 "Data transport starts anew on the first of the month."},
	{"invalid_account_type", CS_FAIL_FORBIDDEN,
	 "the account's plan does not include it", NULL},
	{"paper_access_denied", CS_FAIL_FORBIDDEN, "Paper may not be used", NULL},
	{"team_access_denied", CS_FAIL_FORBIDDEN, "the team does not allow the app",
	 NULL},
	/* 422 */
	{"invalid_root", CS_FAIL_RETRY_LATER,
	 "the account's root is another one by now", NULL},
	{"no_permission", CS_FAIL_UNREACHABLE,
	 "the namespace of the option \"path_root\" may not be used", NULL},
	/* 429 and namespace locks */
	{"too_many_requests", CS_FAIL_RETRY_LATER,
	 "the service asks for fewer requests", NULL},
	{"too_many_write_operations", CS_FAIL_RETRY_LATER,
	 "others are writing in the same Dropbox at this moment", NULL},
	/* of writing */
	{"insufficient_space", CS_FAIL_QUOTA, "the Dropbox is full", NULL},
	{"insufficient_quota", CS_FAIL_QUOTA, "the Dropbox is full", NULL},
	{"content_hash_mismatch", CS_FAIL_RETRY_NOW,
	 "what arrived is not what was sent", NULL},
	{"disallowed_name", CS_FAIL_REFUSED, "Dropbox does not take its name",
	 NULL},
	{"malformed_path", CS_FAIL_REFUSED, "Dropbox does not take its name", NULL},
	{"no_write_permission", CS_FAIL_FORBIDDEN, "the folder may only be read",
	 NULL},
	{"team_folder", CS_FAIL_FORBIDDEN, "a team folder cannot be changed so",
	 NULL},
	{"access_restricted", CS_FAIL_FORBIDDEN,
	 "access to the folder is restricted", NULL},
	{"operation_suppressed", CS_FAIL_FORBIDDEN, "Dropbox does not carry it out",
	 NULL},
	{"file_ancestor", CS_FAIL_FORBIDDEN,
	 "a file is in the place of a folder on the way to it", NULL},
	{"too_large", CS_FAIL_REFUSED, "it is larger than Dropbox takes", NULL},
	{"payload_too_large", CS_FAIL_BROKEN, "the request was too large", NULL},
	{"too_many_files", CS_FAIL_REFUSED,
	 "more than 10,000 files would have to be moved", NULL},
	{"cant_transfer_ownership", CS_FAIL_FORBIDDEN,
	 "it would have another owner there", NULL},
	{"cant_move_shared_folder", CS_FAIL_FORBIDDEN,
	 "a shared folder cannot be moved there", NULL},
	{"cant_nest_shared_folder", CS_FAIL_FORBIDDEN,
	 "a shared folder cannot be moved there", NULL},
	{"cant_move_folder_into_itself", CS_FAIL_CONFLICT,
	 "a folder cannot be moved into itself", NULL},
	{"cant_move_into_vault", CS_FAIL_FORBIDDEN,
	 "it cannot be moved into the vault", NULL},
	{"cant_move_into_family", CS_FAIL_FORBIDDEN,
	 "it cannot be moved into the family folder", NULL},
	{"duplicated_or_nested_paths", CS_FAIL_CONFLICT, "it is there already",
	 NULL},
	{"encryption_not_supported", CS_FAIL_FORBIDDEN,
	 "the folder is encrypted from end to end", NULL},
	{"too_many_shared_folder_targets", CS_FAIL_BROKEN,
	 "the commit was for too many shared folders", NULL},
	{"conflict", CS_FAIL_CONFLICT, "it was made or changed by somebody else",
	 NULL},
	/* of upload sessions, where nobody deals with them */
	{"incorrect_offset", CS_FAIL_RETRY_NOW,
	 "the upload session is at another place", NULL},
	{"not_closed", CS_FAIL_RETRY_NOW, "the upload session is not closed", NULL},
	{"closed", CS_FAIL_RETRY_NOW, "the upload session is closed", NULL},
	{"lookup_failed", CS_FAIL_RETRY_NOW,
	 "the upload session is not there any more", NULL},
	/* of reading */
	{"reset", CS_FAIL_RESET, "the cursor is not taken any more", NULL},
	{"restricted_content", CS_FAIL_REFUSED,
	 "Dropbox blocks it for legal reasons", NULL},
	{"unsupported_content_type", CS_FAIL_REFUSED, "it cannot be downloaded",
	 NULL},
	{"unsupported_file", CS_FAIL_REFUSED, "it cannot be downloaded", NULL},
	{"locked", CS_FAIL_RETRY_LATER, "it is locked", NULL},
	{"not_found", CS_FAIL_GONE, "it is not there", NULL},
	{"not_file", CS_FAIL_GONE, "it is no file any more", NULL},
	{"not_folder", CS_FAIL_GONE, "it is no folder any more", NULL},
	{"internal_error", CS_FAIL_RETRY_LATER, "the service had an error", NULL},
	{"other", CS_FAIL_RETRY_LATER, "for a reason that it does not name", NULL},
};

/*
 * A member that is a struct has its fields beside the tag, any other is below a
 * key of the tag's name; a 429's reason has no tag above it.
 */
void
cs_dropbox_tags(const CsJson *error, char *tags, size_t room)
{
	tags[0] = '\0';
	for (int i = 0; i < MAX_TAGS && error != NULL; i++)
	{
		const char *tag = cs_json_text(error, ".tag");
		const CsJson *inner = NULL;

		if (tag != NULL)
		{
			if (tags[0] != '\0')
				strlcat(tags, "/", room);
			strlcat(tags, tag, room);
			inner = cs_json_member(error, tag);
		}
		if (inner == NULL)
			inner = cs_json_member(error, "reason");
		error = inner;
	}
}

/* Is it one of the tags? */
static bool
among(const char *tags, const char *tag)
{
	size_t len = strlen(tag);

	for (;;)
	{
		size_t n = strcspn(tags, "/");

		if (n == len && strncmp(tags, tag, len) == 0)
			return true;
		if (tags[n] == '\0')
			return false;
		tags += n + 1;
	}
}

static void
tags_of(const CsResponse *answer, char *tags)
{
	const CsJson *json = NULL;

	tags[0] = '\0';
	if (answer->status == 401 || answer->status == 403 ||
		answer->status == 409 || answer->status == 422 || answer->status == 429)
		json = cs_dropbox_json(answer);
	if (json != NULL)
		cs_dropbox_tags(cs_json_member(json, "error"), tags, TAGS_ROOM);
}

bool
cs_dropbox_has_tag(const CsResponse *answer, const char *tag)
{
	char tags[TAGS_ROOM];

	if (answer->error != 0)
		return false;
	tags_of(answer, tags);
	return among(tags, tag);
}

bool
cs_dropbox_may_be_done(const CsResponse *answer)
{
	if (answer->body_failure != NULL)
		return false;
	if (answer->status == 0)
		return answer->sent;
	return answer->status / 100 == 5;
}

/* Put off: a 429 may have no JSON, and its time to wait in either place. */
bool
cs_dropbox_is_busy(const CsResponse *answer, int64 *wait_ms)
{
	int64 seconds;
	bool busy;

	if (answer->error != 0)
		return false;
	busy = answer->status == 429 ||
		   (answer->status == 409 &&
			cs_dropbox_has_tag(answer, "too_many_write_operations"));
	if (!busy)
		return false;
	*wait_ms = -1;
	if (answer->status == 429 &&
		cs_json_int64(cs_dropbox_json(answer), "error/retry_after", &seconds) &&
		seconds >= 0 && seconds <= MAX_RETRY_AFTER_MS / 1000)
		*wait_ms = seconds * 1000;
	else if (answer->retry_after_ms >= 0)
		*wait_ms = answer->retry_after_ms;
	return true;
}

/* By its tags. False: none of them is known. */
static bool
failure_by_tags(CsFailure *failure, const char *tags, const char *summary,
				const char *words, const char *action, const char *path)
{
	for (int i = 0; i < (int) lengthof(tags_known); i++)
	{
		StringInfoData detail;

		if (!among(tags, tags_known[i].tag))
			continue;
		initStringInfo(&detail);
		appendStringInfoString(&detail, summary != NULL ? summary : tags);
		if (words != NULL)
			appendStringInfo(&detail, ": %s", words);
		if (tags_known[i].advice != NULL)
			appendStringInfo(&detail, " %s", tags_known[i].advice);
		cs_failure_set(failure, tags_known[i].failure_class, detail.data,
					   "could not %s \"%s\": %s", action, path,
					   tags_known[i].what);
		pfree(detail.data);
		return true;
	}
	return false;
}

void
cs_dropbox_entry_failure(CsFailure *failure, const CsJson *error,
						 const char *action, const char *path)
{
	char tags[TAGS_ROOM];

	cs_dropbox_tags(error, tags, sizeof(tags));
	if (!failure_by_tags(failure, tags, NULL, NULL, action, path))
		cs_failure_set(failure, CS_FAIL_RETRY_LATER, tags,
					   "could not %s \"%s\": the service refuses it", action,
					   path);
}

/*
 * The account's root has changed: the next attempt asks what it is now, unless
 * another has done so already.
 */
static void
forget_root(CsConversation *c)
{
	if (!c->service->team_root || c->service->root == NULL || c->root == NULL ||
		strcmp(c->service->root, c->root) != 0)
		return;
	pfree(c->service->root);
	c->service->root = NULL;
}

/* Words of a 400 are a text; it is about a name only if they say so. */
static bool
is_bad_name(const CsResponse *answer)
{
	return answer->status == 400 && answer->text != NULL &&
		   strstr(answer->text, "did not match pattern") != NULL &&
		   strstr(answer->text, "path") != NULL;
}

bool
cs_dropbox_bad_cursor(const CsResponse *answer)
{
	return answer->error == 0 && answer->status == 400 &&
		   answer->text != NULL && strstr(answer->text, "cursor") != NULL;
}

void
cs_dropbox_failure(CsConversation *c, CsFailure *failure,
				   const CsResponse *answer, const char *action,
				   const char *path)
{
	const char *id = answer->error == 0
						 ? cs_http_header(answer, "x-dropbox-request-id")
						 : NULL;
	const CsJson *json;
	char tags[TAGS_ROOM];
	char *words;
	int64 wait_ms;

	if (answer->error != 0 || answer->body_failure != NULL)
	{
		cs_http_failure(failure, answer, psprintf("%s \"%s\"", action, path),
						NULL);
		return;
	}
	tags_of(answer, tags);
	if (among(tags, "invalid_root"))
		forget_root(c);
	json = answer->status / 100 == 4 ? cs_dropbox_json(answer) : NULL;
	words =
		psprintf("%s%s%s%s", id != NULL ? "request " : "", id != NULL ? id : "",
				 cs_json_text(json, "user_message/text") ? ", " : "",
				 cs_json_text(json, "user_message/text")
					 ? cs_json_text(json, "user_message/text")
					 : "");
	if (cs_json_text(json, "error/required_scope") != NULL)
		words = psprintf("%s, %s", words,
						 cs_json_text(json, "error/required_scope"));
	if (!failure_by_tags(failure, tags, cs_json_text(json, "error_summary"),
						 words[0] != '\0' ? words : NULL, action, path))
	{
		cs_http_failure(failure, answer, psprintf("%s \"%s\"", action, path),
						cs_json_text(json, "error_summary"));
		/* tags that are new are no conflict; a 404 is no file's */
		if (answer->status == 409 && tags[0] != '\0')
			failure->failure_class = CS_FAIL_RETRY_LATER;
		else if (answer->status == 409 || answer->status == 404 ||
				 failure->failure_class == CS_FAIL_NONE)
			failure->failure_class = CS_FAIL_BROKEN;
	}
	if (is_bad_name(answer))
		failure->failure_class = CS_FAIL_REFUSED;
	if (cs_dropbox_is_busy(answer, &wait_ms) && wait_ms > 0)
		failure->retry_after_ms = (int) Min(wait_ms, MAX_RETRY_AFTER_MS);
}

CsStep
cs_dropbox_failed(CsConversation *c, CsResult *result, const CsResponse *answer,
				  const char *action, const char *path)
{
	cs_dropbox_failure(c, &result->failure, answer, action, path);
	return CS_STEP_FAILED;
}

CsStep
cs_dropbox_fail(CsResult *result, CsFailureClass failure_class,
				const char *path, const char *what)
{
	cs_failure_set(&result->failure, failure_class, NULL, "\"%s\" %s", path,
				   what);
	return CS_STEP_FAILED;
}

CsStep
cs_dropbox_nonsense(CsResult *result, const char *path)
{
	cs_failure_set(&result->failure, CS_FAIL_RETRY_LATER, NULL,
				   "the service's answer about \"%s\" makes no sense", path);
	return CS_STEP_FAILED;
}
