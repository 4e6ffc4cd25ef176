/*
 * gdrive_error.c
 *	  What Google Drive's refusals mean. The status says little (403 is a full
 *	  store, a missing right or a request too many): the reason in the answer
 *	  decides. Answers may be HTML or empty, and are never relied on.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "gdrive.h"

#define HOUR_MS (60 * 60 * 1000)

typedef struct Reason
{
	const char *reason;
	CsFailureClass failure_class;
	int retry_after_ms; /* 0: as the answer says, or by backoff */
	const char *what;
} Reason;

static const Reason reasons[] = {
	{"userRateLimitExceeded", CS_FAIL_RETRY_LATER, 0, "too many requests"},
	{"rateLimitExceeded", CS_FAIL_RETRY_LATER, 0, "too many requests"},
	{"RATE_LIMIT_EXCEEDED", CS_FAIL_RETRY_LATER, 0, "too many requests"},
	{"sharingRateLimitExceeded", CS_FAIL_RETRY_LATER, HOUR_MS / 4,
	 "too much was shared"},
	{"dailyLimitExceeded", CS_FAIL_RETRY_LATER, HOUR_MS,
	 "the day's limit of the app's project is used up"},
	{"downloadQuotaExceeded", CS_FAIL_RETRY_LATER, HOUR_MS,
	 "the file was downloaded too often today"},
	{"backendError", CS_FAIL_RETRY_LATER, 0, "the server had an error"},
	{"internalError", CS_FAIL_RETRY_LATER, 0, "the server had an error"},
	{"transientError", CS_FAIL_RETRY_LATER, 0, "the server had an error"},
	{"storageQuotaExceeded", CS_FAIL_QUOTA, 0, "the storage is full"},
	{"quotaExceeded", CS_FAIL_QUOTA, 0, "the storage is full"},
	{"activeItemCreationLimitExceeded", CS_FAIL_QUOTA, 0,
	 "the account has as many items as it may have"},
	{"teamDriveFileLimitExceeded", CS_FAIL_QUOTA, 0,
	 "the shared drive has as many items as it may have, those in its trash "
	 "counted"},
	{"numChildrenInNonRootLimitExceeded", CS_FAIL_FORBIDDEN, 0,
	 "the folder has as many items as it may have"},
	{"myDriveHierarchyDepthLimitExceeded", CS_FAIL_FORBIDDEN, 0,
	 "folders are nested too deeply"},
	{"teamDriveHierarchyTooDeep", CS_FAIL_FORBIDDEN, 0,
	 "folders are nested too deeply"},
	{"insufficientFilePermissions", CS_FAIL_FORBIDDEN, 0,
	 "the account may not do this with the file"},
	{"insufficientParentPermissions", CS_FAIL_FORBIDDEN, 0,
	 "the account may not do this in the folder"},
	{"appNotAuthorizedToFile", CS_FAIL_FORBIDDEN, 0,
	 "the scope drive.file covers only what this app has made"},
	{"domainPolicy", CS_FAIL_FORBIDDEN, 0,
	 "the domain's administrator does not allow this app"},
	{"teamDriveMembershipRequired", CS_FAIL_FORBIDDEN, 0,
	 "the account is no member of the shared drive"},
	{"accessNotConfigured", CS_FAIL_UNREACHABLE, 0,
	 "the Google Drive API is not enabled in the app's project"},
	{"SERVICE_DISABLED", CS_FAIL_UNREACHABLE, 0,
	 "the Google Drive API is not enabled in the app's project"},
	{"insufficientPermissions", CS_FAIL_NEEDS_CONSENT, 0,
	 "the consent does not cover this: a scope is missing"},
	{"insufficientScopes", CS_FAIL_NEEDS_CONSENT, 0,
	 "the consent does not cover this: a scope is missing"},
	{"ACCESS_TOKEN_SCOPE_INSUFFICIENT", CS_FAIL_NEEDS_CONSENT, 0,
	 "the consent does not cover this: a scope is missing"},
	{"cannotDownloadAbusiveFile", CS_FAIL_REFUSED, 0,
	 "Google holds the file to be harmful and gives it to its owner alone"},
	{"fileNotDownloadable", CS_FAIL_REFUSED, 0,
	 "the file has no content that can be downloaded"},
	{"cannotDownloadFile", CS_FAIL_REFUSED, 0,
	 "its owner does not allow it to be downloaded"},
	{"exportSizeLimitExceeded", CS_FAIL_REFUSED, 0,
	 "the document is larger than Google exports (10 MB)"},
	{"fileNotExportable", CS_FAIL_REFUSED, 0,
	 "Google offers no export of this file"},
	{"notFound", CS_FAIL_GONE, 0,
	 "it is not there, or the account does not see it"},
	{"duplicate", CS_FAIL_CONFLICT, 0, "the id is in use already"},
	{"fileIdInUse", CS_FAIL_CONFLICT, 0, "the id is in use already"},
	{"authError", CS_FAIL_NEEDS_CONSENT, 0,
	 "the access was revoked or has "
	 "expired"},
};

static const Reason *
find_reason(const char *reason)
{
	for (int i = 0; i < (int) lengthof(reasons) && reason != NULL; i++)
	{
		if (strcmp(reasons[i].reason, reason) == 0)
			return &reasons[i];
	}
	return NULL;
}

/* The first reason that is known, in either form of the answer. */
static const Reason *
reason_of(const CsJson *json)
{
	static const char *const lists[] = {"error/errors", "error/details"};

	for (int i = 0; i < (int) lengthof(lists); i++)
	{
		const CsJson *list = cs_json_find(json, lists[i]);

		for (const CsJson *each = list != NULL ? list->first : NULL;
			 each != NULL; each = each->next)
		{
			const Reason *reason = find_reason(cs_json_text(each, "reason"));

			if (reason != NULL)
				return reason;
		}
	}
	return NULL;
}

/* What stands behind two reasons that are given for several things. */
static const char *
what_of(const Reason *reason, const char *words, int *retry_after_ms)
{
	if (reason->failure_class == CS_FAIL_QUOTA && words != NULL &&
		strstr(words, "Service Accounts do not have storage quota") != NULL)
		return "a service account has no storage of its own: it needs a shared "
			   "drive (option drive_id) or a person to act for (credential "
			   "subject)";
	if (strcmp(reason->reason, "userRateLimitExceeded") == 0 && words != NULL &&
		strcmp(words, "User rate limit exceeded.") == 0)
	{
		*retry_after_ms = HOUR_MS / 4;
		return "too many requests, or more than 750 GB in a day";
	}
	return reason->what;
}

/* See gdrive.h. */
void
gd_failure(CsFailure *failure, const CsResponse *answer, const char *action,
		   const char *path)
{
	const char *problem;
	const CsJson *json = NULL;
	const Reason *reason;
	const char *words;
	int retry_after_ms;
	const char *what;
	char *doing;

	if (answer->error == 0 && answer->status >= 400 && answer->text_len > 0)
		json = cs_json_parse(answer->text, answer->text_len, &problem);
	reason = reason_of(json);
	words = cs_json_text(json, "error/message");
	if (reason == NULL || answer->status >= 500 || answer->status == 401)
	{
		doing = psprintf("%s \"%s\"", action, path);
		cs_http_failure(failure, answer, doing, words);
		/* there are no conditions that somebody's file could fail */
		if (failure->failure_class == CS_FAIL_CONFLICT)
			failure->failure_class = CS_FAIL_RETRY_LATER;
		pfree(doing);
		return;
	}
	retry_after_ms = reason->retry_after_ms;
	what = what_of(reason, words, &retry_after_ms);
	cs_failure_set(failure, reason->failure_class, words,
				   "could not %s \"%s\": %s", action, path, what);
	if (reason->failure_class != CS_FAIL_RETRY_LATER)
		return;
	failure->retry_after_ms = retry_after_ms;
	if (answer->retry_after_ms > 0)
		failure->retry_after_ms =
			(int) Min(answer->retry_after_ms, INT64CONST(24) * HOUR_MS);
}

/* See gdrive.h. */
CsStep
gd_failed(CsResult *result, const CsResponse *answer, const char *action,
		  const char *path)
{
	gd_failure(&result->failure, answer, action, path);
	return CS_STEP_FAILED;
}

/* See gdrive.h. */
CsStep
gd_fail(CsResult *result, CsFailureClass failure_class, const char *path,
		const char *what)
{
	cs_failure_set(&result->failure, failure_class, NULL, "\"%s\" %s", path,
				   what);
	return CS_STEP_FAILED;
}

/* See gdrive.h. */
CsStep
gd_give_failure(CsConversation *c, CsResult *result)
{
	result->failure = c->failure;
	return CS_STEP_FAILED;
}

/* See gdrive.h. */
bool
gd_is_gone(const CsResponse *answer)
{
	return answer->error == 0 &&
		   (answer->status == 404 || answer->status == 410);
}
