/*
 * graph_error.c
 *	  What an answer of Microsoft Graph means: the deepest code of its error
 *	  that is known decides, and its status only where there is none.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "graph.h"

/* No service may put work off for longer than this. */
#define MAX_RETRY_AFTER_MS (24 * 60 * 60 * 1000)
/* Somebody has the file open in Office. */
#define LOCKED_MS (5 * 60 * 1000)
#define MAX_LEVELS 8

/* What codes mean, and what a person can do about it. */
static const struct
{
	const char *code; /* compared without regard to case */
	CsFailureClass failure_class;
	const char *what;
	const char *advice;
} codes[] = {
	{"unauthenticated", CS_FAIL_NEEDS_CONSENT,
	 "the service does not accept the credentials", NULL},
	{"InvalidAuthenticationToken", CS_FAIL_NEEDS_CONSENT,
	 "the service does not accept the credentials", NULL},
	{"Authorization_RequestDenied", CS_FAIL_FORBIDDEN,
	 "the app has not been given this permission",
	 "An administrator must consent to the scopes that the provider's page "
	 "lists."},
	{"accessDenied", CS_FAIL_FORBIDDEN, "access denied",
	 "With Sites.Selected the app must be granted the site."},
	{"accessRestricted", CS_FAIL_FORBIDDEN, "access is restricted", NULL},
	{"notAllowed", CS_FAIL_FORBIDDEN, "the service does not allow it", NULL},
	{"itemNotFound", CS_FAIL_GONE, "it is not there", NULL},
	{"nameAlreadyExists", CS_FAIL_CONFLICT, "the name is taken", NULL},
	{"entityTagDoesNotMatch", CS_FAIL_CONFLICT,
	 "it was changed by somebody else", NULL},
	{"malformedEntityTag", CS_FAIL_BROKEN,
	 "the service does not take its own entity tag", NULL},
	{"resourceModified", CS_FAIL_RETRY_NOW,
	 "somebody else is changing it at this moment", NULL},
	{"resourceLocked", CS_FAIL_RETRY_LATER, "somebody has it open", NULL},
	{"lockMismatch", CS_FAIL_RETRY_LATER, "somebody has it open", NULL},
	{"notesAreLocked", CS_FAIL_RETRY_LATER, "somebody has it open", NULL},
	{"quotaLimitReached", CS_FAIL_QUOTA, "the store is full", NULL},
	{"activityLimitReached", CS_FAIL_RETRY_LATER,
	 "the service asks for fewer requests", NULL},
	{"throttledRequest", CS_FAIL_RETRY_LATER,
	 "the service asks for fewer requests", NULL},
	{"tooManyRequests", CS_FAIL_RETRY_LATER,
	 "the service asks for fewer requests", NULL},
	{"serviceNotAvailable", CS_FAIL_RETRY_LATER, "the service is not available",
	 NULL},
	{"serviceReadOnly", CS_FAIL_RETRY_LATER,
	 "the service takes no changes at this time", NULL},
	{"resourceBeingProvisioned", CS_FAIL_RETRY_LATER,
	 "the drive is still being made", NULL},
	{"provisioningNotAllowed", CS_FAIL_FORBIDDEN, "the user has no OneDrive",
	 "Give the user a licence that includes OneDrive."},
	{"malwareDetected", CS_FAIL_REFUSED, "the service has found malware in it",
	 NULL},
	{"virusSuspicious", CS_FAIL_REFUSED, "the service suspects malware in it",
	 NULL},
	{"invalidPath", CS_FAIL_REFUSED, "the service does not take its name",
	 NULL},
	{"pathIsTooLong", CS_FAIL_REFUSED,
	 "its path is longer than the 400 characters that the service takes",
	 "Make the folder template or the root shorter."},
	{"pathTooDeep", CS_FAIL_REFUSED, "it is below too many folders", NULL},
	{"maxFileSizeExceeded", CS_FAIL_REFUSED,
	 "it is larger than the service takes", NULL},
	{"childItemCountExceeded", CS_FAIL_REFUSED,
	 "there are too many items in the folder", NULL},
	{"cannotSnapshotTree", CS_FAIL_RETRY_LATER,
	 "the folder is being changed at this moment", NULL},
	{"truncationNotAllowed", CS_FAIL_RETRY_LATER,
	 "the service does not let it become shorter", NULL},
	{"uploadSessionFailed", CS_FAIL_RETRY_LATER, "the upload failed", NULL},
	{"uploadSessionIncomplete", CS_FAIL_RETRY_LATER,
	 "the upload is incomplete", NULL},
	{"uploadSessionNotFound", CS_FAIL_RETRY_NOW,
	 "the upload is not there any more", NULL},
	{"fragmentOverlap", CS_FAIL_RETRY_NOW,
	 "a part of the upload is there already", NULL},
	{"fragmentOutOfOrder", CS_FAIL_RETRY_NOW,
	 "a part of the upload is missing", NULL},
	{"fragmentLengthMismatch", CS_FAIL_RETRY_NOW,
	 "a part of the upload has another length", NULL},
	{"maxFragmentLengthExceeded", CS_FAIL_BROKEN,
	 "a part of the upload is too long", NULL},
	{"invalidRange", CS_FAIL_RETRY_NOW,
	 "the service expects another part of the upload", NULL},
	{"resyncRequired", CS_FAIL_RESET, "the service wants a new listing", NULL},
	{"resyncApplyDifferences", CS_FAIL_RESET,
	 "the service wants a new listing", NULL},
	{"resyncUploadDifferences", CS_FAIL_RESET,
	 "the service wants a new listing", NULL},
	{"resyncChangesApplyDifferences", CS_FAIL_RESET,
	 "the service wants a new listing", NULL},
	{"resyncChangesUploadDifferences", CS_FAIL_RESET,
	 "the service wants a new listing", NULL},
	{"syncStateNotFound", CS_FAIL_RESET, "the service wants a new listing",
	 NULL},
	{"notSupported", CS_FAIL_BROKEN, "the service does not offer it", NULL},
};

static int
find_code(const char *code)
{
	for (int i = 0; code != NULL && i < (int) lengthof(codes); i++)
	{
		if (pg_strcasecmp(code, codes[i].code) == 0)
			return i;
	}
	return -1;
}

/* The error within an error, in either spelling. */
static const CsJson *
inner_error(const CsJson *error)
{
	const CsJson *inner = cs_json_member(error, "innerError");

	return inner != NULL ? inner : cs_json_member(error, "innererror");
}

static const CsJson *
parse_error(const CsResponse *answer)
{
	const char *problem;

	if (answer->text == NULL || answer->text_len <= 0)
		return NULL;
	return cs_json_parse(answer->text, answer->text_len, &problem);
}

bool
gr_has_code(const CsResponse *answer, const char *code)
{
	const CsJson *json = answer->error == 0 ? parse_error(answer) : NULL;
	const CsJson *error = cs_json_member(json, "error");
	bool found = false;

	for (int i = 0; error != NULL && i < MAX_LEVELS; i++)
	{
		const char *said = cs_json_text(error, "code");

		found = found || (said != NULL && pg_strcasecmp(said, code) == 0);
		error = inner_error(error);
	}
	cs_json_free(json);
	return found;
}

/* The service's own words: code, message, and what its support asks for. */
static char *
words_of(const CsResponse *answer, const CsJson *error, const char *code,
		 const char *advice)
{
	const char *message = cs_json_text(error, "message");
	const char *request_id = cs_http_header(answer, "request-id");

	return psprintf("%s%s%s%s%s%s%s%s", code != NULL ? code : "",
					message != NULL && code != NULL ? ": " : "",
					message != NULL ? message : "",
					advice != NULL ? " " : "", advice != NULL ? advice : "",
					request_id != NULL ? " (request-id " : "",
					request_id != NULL ? request_id : "",
					request_id != NULL ? ")" : "");
}

/*
 * Words are those of Graph alone: what another host answers to a
 * pre-authenticated address may repeat that address.
 */
void
gr_failure(CsFailure *failure, const CsResponse *answer, const char *action,
		   const char *path)
{
	const CsJson *json;
	const CsJson *error;
	const char *said = NULL;
	char *what;
	int known = -1;

	if (answer->body_failure != NULL)
	{
		*failure = *answer->body_failure;
		return;
	}
	json = answer->status != 0 ? parse_error(answer) : NULL;
	error = cs_json_member(json, "error");
	said = cs_json_text(error, "code");
	for (const CsJson *at = error; at != NULL; at = inner_error(at))
	{
		int found = find_code(cs_json_text(at, "code"));

		if (found >= 0)
			known = found;
	}
	what = psprintf("%s \"%s\"", action, path);
	cs_http_failure(failure, answer, what,
					error != NULL ? words_of(answer, error, said, NULL) : "");
	pfree(what);
	if (known >= 0)
		cs_failure_set(
			failure, codes[known].failure_class,
			words_of(answer, error, said, codes[known].advice),
			"could not %s \"%s\": %s", action, path, codes[known].what);
	if (failure->failure_class == CS_FAIL_RETRY_LATER &&
		answer->retry_after_ms > 0)
		failure->retry_after_ms =
			(int) Min(answer->retry_after_ms, MAX_RETRY_AFTER_MS);
	else if (failure->failure_class == CS_FAIL_RETRY_LATER &&
			 answer->status == 423)
		failure->retry_after_ms = LOCKED_MS;
	/* an answer that was taken for a failure though its status is none */
	if (failure->failure_class == CS_FAIL_NONE ||
		(answer->error == 0 && answer->status / 100 == 2))
		failure->failure_class = CS_FAIL_BROKEN;
	cs_json_free(json);
}

CsStep
gr_failed(CsResult *result, const CsResponse *answer, const char *action,
		  const char *path)
{
	gr_failure(&result->failure, answer, action, path);
	return CS_STEP_FAILED;
}

CsStep
gr_fail(CsResult *result, CsFailureClass failure_class, const char *path,
		const char *what)
{
	cs_failure_set(&result->failure, failure_class, NULL, "\"%s\" %s", path,
				   what);
	return CS_STEP_FAILED;
}
