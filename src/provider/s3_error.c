/*
 * s3_error.c
 *	  What an answer of an S3 service means: its error document's code decides,
 *	  and its status only where there is none.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "s3.h"

/* No service may put work off for longer than this. */
#define MAX_RETRY_AFTER_MS (24 * 60 * 60 * 1000)

typedef struct TextWanted
{
	const char *name;
	bool found;
	char text[1024];
} TextWanted;

static void
start_element(void *arg, const char *space, const char *name,
			  const char **attributes)
{
}

static void
end_element(void *arg, const char *space, const char *name, const char *text)
{
	TextWanted *wanted = arg;

	if (wanted->found || strcmp(name, wanted->name) != 0)
		return;
	wanted->found = true;
	strlcpy(wanted->text, text, sizeof(wanted->text));
}

char *
cs_s3_xml_text(const CsResponse *answer, const char *name)
{
	static const CsXmlHandler handler = {start_element, end_element};
	TextWanted wanted = {name};
	CsXml *xml;

	if (answer->text == NULL || answer->text_len == 0)
		return NULL;
	xml = cs_xml_create(&handler, &wanted, 8192);
	/* What was read before a fault still says more than nothing. */
	(void) cs_xml_parse(xml, answer->text, answer->text_len, true);
	cs_xml_free(xml);
	return wanted.found ? pstrdup(wanted.text) : NULL;
}

bool
cs_s3_has_code(const CsResponse *answer, const char *code)
{
	char *found = cs_s3_xml_text(answer, "Code");
	bool same = found != NULL && strcmp(found, code) == 0;

	if (found != NULL)
		pfree(found);
	return same;
}

bool
cs_s3_may_be_done(const CsResponse *answer)
{
	if (answer->status == 0)
		return answer->sent;
	/* 503 is said before anything is done; the others also by gateways. */
	return answer->status == 500 || answer->status == 502 ||
		   answer->status == 504;
}

/* What codes mean, and what a person can do about it. */
static const struct
{
	const char *code;
	CsFailureClass failure_class;
	const char *what;
	const char *advice;
} codes[] = {
	{"AccessDenied", CS_FAIL_FORBIDDEN, "access denied",
	 "Give the access key's user the rights that docs/providers/s3.md lists."},
	{"AllAccessDisabled", CS_FAIL_FORBIDDEN, "access disabled", NULL},
	{"AccountProblem", CS_FAIL_NEEDS_CONSENT, "the account has a problem",
	 NULL},
	{"NotSignedUp", CS_FAIL_NEEDS_CONSENT, "the account has a problem", NULL},
	{"InvalidAccessKeyId", CS_FAIL_NEEDS_CONSENT,
	 "the access key is not known there",
	 "Connect again under the same name with a valid access key."},
	{"SignatureDoesNotMatch", CS_FAIL_NEEDS_CONSENT,
	 "the service refuses the signature",
	 "Connect again under the same name with the right secret access key."},
	{"ExpiredToken", CS_FAIL_NEEDS_CONSENT, "the session token has expired",
	 "Connect again under the same name with a new session token, or with "
	 "credentials that do not expire."},
	{"InvalidToken", CS_FAIL_NEEDS_CONSENT, "the session token is not valid",
	 "Connect again under the same name with a new session token."},
	{"TokenRefreshRequired", CS_FAIL_NEEDS_CONSENT,
	 "the session token must be renewed",
	 "Connect again under the same name with a new session token."},
	{"RequestTimeTooSkewed", CS_FAIL_RETRY_LATER,
	 "the clocks of this server and of the service differ too much",
	 "Set this server's clock by NTP."},
	{"RequestExpired", CS_FAIL_RETRY_LATER,
	 "the clocks of this server and of the service differ too much",
	 "Set this server's clock by NTP."},
	{"NoSuchBucket", CS_FAIL_UNREACHABLE, "the bucket does not exist",
	 "Make the bucket, or disconnect and connect with another."},
	{"InvalidBucketName", CS_FAIL_UNREACHABLE,
	 "the service does not take the bucket's name", NULL},
	{"PermanentRedirect", CS_FAIL_UNREACHABLE,
	 "the bucket is in another region", NULL},
	{"TemporaryRedirect", CS_FAIL_UNREACHABLE,
	 "the bucket is in another region, or was made a moment ago", NULL},
	{"AuthorizationHeaderMalformed", CS_FAIL_UNREACHABLE,
	 "the service expects another region", NULL},
	{"IllegalLocationConstraintException", CS_FAIL_UNREACHABLE,
	 "the service expects another region", NULL},
	{"NoSuchKey", CS_FAIL_GONE, "it is not there", NULL},
	{"NoSuchVersion", CS_FAIL_GONE, "it is not there", NULL},
	{"NoSuchUpload", CS_FAIL_RETRY_NOW, "the upload is not there any more",
	 NULL},
	{"InvalidPart", CS_FAIL_RETRY_NOW, "a part is not there any more", NULL},
	{"InvalidPartOrder", CS_FAIL_BROKEN, "the parts are in another order",
	 NULL},
	{"PreconditionFailed", CS_FAIL_CONFLICT,
	 "it was made or changed by somebody else", NULL},
	{"ConditionalRequestConflict", CS_FAIL_RETRY_NOW,
	 "somebody else is writing it at this moment", NULL},
	{"OperationAborted", CS_FAIL_RETRY_LATER,
	 "another operation on it is under way", NULL},
	{"InvalidObjectState", CS_FAIL_FORBIDDEN,
	 "it is archived and cannot be read",
	 "Restore the object first; it is then taken by itself."},
	{"QuotaExceeded", CS_FAIL_QUOTA, "the store is full", NULL},
	{"XMinioStorageFull", CS_FAIL_QUOTA, "the store is full", NULL},
	{"InsufficientStorage", CS_FAIL_QUOTA, "the store is full", NULL},
	{"EntityTooLarge", CS_FAIL_REFUSED, "it is larger than the service takes",
	 NULL},
	{"KeyTooLongError", CS_FAIL_REFUSED, "its name is too long", NULL},
	{"KeyTooLong", CS_FAIL_REFUSED, "its name is too long", NULL},
	{"InvalidURI", CS_FAIL_REFUSED, "the service does not take its name", NULL},
	{"XAmzContentSHA256Mismatch", CS_FAIL_CHANGED,
	 "what arrived is not what was announced", NULL},
	{"BadDigest", CS_FAIL_RETRY_NOW, "what arrived is not what was sent", NULL},
	{"InvalidDigest", CS_FAIL_BROKEN, "the service refuses the checksum", NULL},
	{"IncompleteBody", CS_FAIL_RETRY_LATER, "not all of it arrived", NULL},
	{"RequestTimeout", CS_FAIL_RETRY_LATER, "the connection was too slow",
	 NULL},
	{"SlowDown", CS_FAIL_RETRY_LATER, "the service asks to slow down", NULL},
	{"SlowDownRead", CS_FAIL_RETRY_LATER, "the service asks to slow down",
	 NULL},
	{"SlowDownWrite", CS_FAIL_RETRY_LATER, "the service asks to slow down",
	 NULL},
	{"TooManyRequests", CS_FAIL_RETRY_LATER, "the service asks to slow down",
	 NULL},
	{"Busy", CS_FAIL_RETRY_LATER, "the service is busy", NULL},
	{"ServiceUnavailable", CS_FAIL_RETRY_LATER, "the service is not available",
	 NULL},
	{"InternalError", CS_FAIL_RETRY_LATER, "the service has an internal error",
	 NULL},
	{"KMS.DisabledException", CS_FAIL_FORBIDDEN,
	 "the encryption key is disabled", NULL},
	{"KMS.NotFoundException", CS_FAIL_FORBIDDEN,
	 "the encryption key does not exist", NULL},
};

/* The region where the bucket is, as the service says, or NULL. */
static char *
region_of(const CsResponse *answer)
{
	const char *header = cs_http_header(answer, "x-amz-bucket-region");

	if (header != NULL)
		return pstrdup(header);
	return cs_s3_xml_text(answer, "Region");
}

static void
failure_of_code(CsFailure *failure, const CsResponse *answer,
				const char *action, const char *path, int i)
{
	char *message = cs_s3_xml_text(answer, "Message");
	char *region = NULL;
	char *detail;

	if (codes[i].failure_class == CS_FAIL_UNREACHABLE)
		region = region_of(answer);
	detail = psprintf(
		"%s%s%s%s%s%s", codes[i].code, message != NULL ? ": " : "",
		message != NULL ? message : "", codes[i].advice != NULL ? " " : "",
		codes[i].advice != NULL ? codes[i].advice : "",
		region != NULL
			? psprintf(" Set the option \"region\" to \"%s\".", region)
			: "");
	cs_failure_set(failure, codes[i].failure_class, detail,
				   "could not %s \"%s\": %s", action, path, codes[i].what);
	if (answer->retry_after_ms > 0)
		failure->retry_after_ms =
			(int) Min(answer->retry_after_ms, MAX_RETRY_AFTER_MS);
}

/* A redirect without words: as good as any says where the bucket is. */
static bool
failure_of_redirect(CsFailure *failure, const CsResponse *answer,
					const char *action, const char *path)
{
	char *region = region_of(answer);

	if (answer->status / 100 != 3 || region == NULL)
		return false;
	cs_failure_set(failure, CS_FAIL_UNREACHABLE,
				   psprintf("Set the option \"region\" to \"%s\".", region),
				   "could not %s \"%s\": the bucket is in another region",
				   action, path);
	return true;
}

void
cs_s3_failure(CsFailure *failure, const CsResponse *answer, const char *action,
			  const char *path)
{
	char *code;
	char *message;

	if (answer->body_failure != NULL)
	{
		*failure = *answer->body_failure;
		return;
	}
	code = answer->status != 0 ? cs_s3_xml_text(answer, "Code") : NULL;
	for (int i = 0; code != NULL && i < (int) lengthof(codes); i++)
	{
		if (strcmp(code, codes[i].code) == 0)
		{
			failure_of_code(failure, answer, action, path, i);
			return;
		}
	}
	if (failure_of_redirect(failure, answer, action, path))
		return;
	message = code != NULL ? cs_s3_xml_text(answer, "Message") : NULL;
	cs_http_failure(failure, answer, psprintf("%s \"%s\"", action, path),
					code == NULL
						? NULL
						: psprintf("%s%s%s", code, message != NULL ? ": " : "",
								   message != NULL ? message : ""));
	/* What is in the way is found by looking: this is said for other reasons. */
	if (failure->failure_class == CS_FAIL_CONFLICT && answer->status == 409)
		failure->failure_class = CS_FAIL_RETRY_LATER;
	/* A 200 with an error in it that we do not know. */
	if (failure->failure_class == CS_FAIL_NONE)
		failure->failure_class = CS_FAIL_RETRY_LATER;
}

CsStep
cs_s3_failed(CsResult *result, const CsResponse *answer, const char *action,
			 const char *path)
{
	cs_s3_failure(&result->failure, answer, action, path);
	return CS_STEP_FAILED;
}

CsStep
cs_s3_fail(CsResult *result, CsFailureClass failure_class, const char *path,
		   const char *what)
{
	cs_failure_set(&result->failure, failure_class, NULL, "\"%s\" %s", path,
				   what);
	return CS_STEP_FAILED;
}
