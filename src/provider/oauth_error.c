/*
 * oauth_error.c
 *	  Why a token server gives no tokens (include/cloudsync/oauth.h): its error
 *	  turned into a class, and into words that say what to do about it. The
 *	  codes are those of RFC 6749 and 8628 and of the three services' own.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "oauth.h"

typedef struct Known
{
	const char *error;
	CsFailureClass failure_class;
	const char *words;
} Known;

#define CONSENT CS_FAIL_NEEDS_CONSENT
#define ADMIN CS_FAIL_FORBIDDEN
#define LATER CS_FAIL_RETRY_LATER

static const Known errors[] = {
	{"invalid_grant", CONSENT, "the consent has expired or was revoked"},
	{"invalid_rapt", CONSENT, "the organisation wants its users to sign in again"},
	{"interaction_required", CONSENT, "the service wants the user to sign in again"},
	{"consent_required", CONSENT, "the service wants consent to be given again"},
	{"login_required", CONSENT, "the service wants the user to sign in again"},
	{"access_denied", CONSENT, "consent was refused"},
	{"authorization_declined", CONSENT, "consent was refused"},
	{"expired_token", CONSENT, "the device code was not used in time"},
	{"code_expired", CONSENT, "the device code was not used in time"},
	{"bad_verification_code", CONSENT, "the device code is not known any more"},
	{"admin_policy_enforced", CONSENT, "an administrator of the organisation does not allow the application"},
	{"org_internal", CONSENT, "the application is for users of another organisation alone"},
	{"disabled_client", ADMIN, "the registered application is disabled"},
	{"deleted_client", ADMIN, "the registered application was deleted"},
	{"invalid_client", ADMIN, "the service does not accept the registered application's identifier or secret"},
	{"unauthorized_client", ADMIN, "the registered application may not ask for tokens in this way"},
	{"invalid_scope", ADMIN, "a scope that is needed may not be asked for"},
	{"redirect_uri_mismatch", ADMIN, "the redirect URI is not one that is registered for the application"},
	{"invalid_request", ADMIN, "the token server refused the request"},
	{"invalid_resource", ADMIN, "the token server refused the request"},
	{"unsupported_grant_type", ADMIN, "the token server does not offer this way to authenticate"},
	{"unsupported_response_type", ADMIN, "the token server does not offer this way to authenticate"},
	{"temporarily_unavailable", LATER, "the token server is not available for the moment"},
	{"server_error", LATER, "the token server has a fault"},
	{"slow_down", LATER, "the token server was asked too often"},
	/* of what an access token takes back: another one is come by */
	{"expired_access_token", CS_FAIL_RETRY_NOW, "the access token has expired"},
	{NULL}};

/* Microsoft's numbers (AADSTSn), where they say more than the error does. */
typedef struct Number
{
	int64 number;
	CsFailureClass failure_class;
	const char *words;
} Number;

static const Number numbers[] = {
	{50011, ADMIN, "the redirect URI is not one that is registered for the application"},
	{50012, ADMIN, "the certificate's signature was refused"},
	{50034, CONSENT, "the user is not known to the organisation"},
	{50053, CONSENT, "the user's account is locked"},
	{50055, CONSENT, "the user's password has expired"},
	{50057, CONSENT, "the user's account is disabled"},
	{50059, ADMIN, "the option \"tenant\" must name the organisation itself"},
	{50074, CONSENT, "the organisation wants a second factor: sign in again"},
	{50076, CONSENT, "the organisation wants a second factor: sign in again"},
	{50078, CONSENT, "the second factor has expired: sign in again"},
	{50079, CONSENT, "the organisation wants a second factor to be set up"},
	{50089, CONSENT, "the consent took too long"},
	{50105, CONSENT, "the user is not assigned to the application"},
	{50173, CONSENT, "the consent was revoked, or the user's password was reset"},
	{50194, ADMIN, "the application is for one organisation: name it in the option \"tenant\""},
	{50196, LATER, "the token server was asked too often"},
	{53003, CONSENT, "a conditional access policy of the organisation blocks the application"},
	{54005, CONSENT, "the code was used before"},
	{65001, CONSENT, "consent to the application was not given or was taken back"},
	{65004, CONSENT, "consent was refused"},
	{65005, ADMIN, "the registered application lacks a permission"},
	{70008, CONSENT, "the consent has expired: it was not used for too long"},
	{700082, CONSENT, "the consent has expired: it was not used for too long"},
	{700084, CONSENT, "the consent has expired: it was given to a single-page application"},
	{700016, ADMIN, "the registered application is not known to the organisation"},
	{700024, ADMIN, "the claim's time was refused: compare the server's clock"},
	{700025, ADMIN, "the registered application is a public one and takes no secret"},
	{700027, ADMIN, "the certificate is not one that is registered for the application"},
	{7000215, ADMIN, "the client secret is wrong (its value is needed, not its identifier)"},
	{7000218, ADMIN, "the registered application needs a client secret or a certificate"},
	{7000222, ADMIN, "the client secret has expired"},
	{70019, CONSENT, "the device code was not used in time"},
	{70043, CONSENT, "the organisation's sign-in frequency wants the user to sign in again"},
	{90002, ADMIN, "the organisation that the option \"tenant\" names is not known"},
	{90055, LATER, "the organisation's tokens are throttled"},
	{90094, CONSENT, "an administrator of the organisation must consent"},
	{501481, CONSENT, "the code does not belong to this request for consent"},
	{9001023, ADMIN, "the option \"tenant\" must name the organisation itself"},
	{0}};

/* What Google says of a service account, and of clocks, in words alone. */
static const Known phrases[] = {
	{"short-lived token", ADMIN, "the claim's time was refused: compare the server's clock"},
	{"Invalid JWT Signature", ADMIN, "the service account's key was deleted or is another's"},
	{"account not found", ADMIN, "the service account does not exist any more"},
	{"Invalid email or User ID", ADMIN, "the user that \"subject\" names does not exist"},
	{NULL}};

static const Number *
by_number(const CsJson *json)
{
	const CsJson *codes = cs_json_member(json, "error_codes");

	for (const CsJson *code = codes != NULL ? codes->first : NULL;
		 code != NULL && code->text != NULL; code = code->next)
	{
		for (const Number *one = numbers; one->number != 0; one++)
			if (strtoll(code->text, NULL, 10) == one->number)
				return one;
	}
	return NULL;
}

/* ---- no secret in any text ---- */

/* As it is, and as it stands in a form or in JSON that nobody parsed. */
static void
hide(char *text, const char *secret)
{
	StringInfoData escaped;

	if (secret == NULL)
		return;
	cs_failure_hide(text, secret);
	cs_failure_hide(text, cs_url_encode(secret));
	initStringInfo(&escaped);
	for (const char *c = secret; *c != '\0'; c++)
		appendStringInfo(&escaped, *c == '/' ? "\\/" : "%c", *c);
	cs_failure_hide(text, escaped.data);
}

static void
hide_grant(const CsGrant *grant, char *text)
{
	hide(text, grant->client_assertion);
	hide(text, grant->assertion);
	hide(text, grant->client_secret);
	hide(text, grant->refresh_token);
	hide(text, grant->access_token);
	hide(text, grant->code);
	hide(text, grant->verifier);
	hide(text, grant->device_code);
}

/* ---- the failure ---- */

static const char *
error_of(const CsJson *json)
{
	const char *error = cs_json_text(json, "error");

	/* as an API answers: {"error": {"status": ...}} or {".tag": ...} */
	if (error == NULL)
		error = cs_json_text(json, "error/.tag");
	if (error == NULL)
		error = cs_json_text(json, "error/status");
	return error;
}

/* See oauth.h. */
bool
cs_oauth_pending(const CsGrant *grant, const CsJson *json, CsTokens *tokens)
{
	const char *error = cs_json_text(json, "error");

	if (grant->kind != CS_GRANT_DEVICE || error == NULL)
		return false;
	tokens->slow_down = strcmp(error, "slow_down") == 0;
	tokens->pending =
		tokens->slow_down || strcmp(error, "authorization_pending") == 0;
	return tokens->pending;
}

/*
 * See oauth.h. 503 and the like say nothing of it, and an access token that has
 * expired nothing of the refresh token.
 */
bool
cs_oauth_is_dead(const CsResponse *answer, const CsJson *json)
{
	const char *error = error_of(json);

	if (answer->status == 401)
		return error == NULL || strcmp(error, "expired_access_token") != 0;
	return answer->status == 400 && error != NULL &&
		   (strcmp(error, "invalid_token") == 0 ||
			strcmp(error, "invalid_grant") == 0 ||
			strcmp(error, "invalid_access_token") == 0);
}

static void
set_failure(const CsGrant *grant, CsFailureClass failure_class,
			const char *words, const char *error, const CsJson *json,
			CsFailure *failure)
{
	const char *description = cs_json_text(json, "error_description");
	const char *subtype = cs_json_text(json, "error_subtype");
	char *detail = psprintf("%s%s%s%s%s", error, subtype != NULL ? "/" : "",
							subtype != NULL ? subtype : "",
							description != NULL ? ": " : "",
							description != NULL ? description : "");

	if (subtype == NULL && (subtype = cs_json_text(json, "suberror")) != NULL)
		detail = psprintf("%s (%s)", detail, subtype);
	hide_grant(grant, detail);
	cs_failure_set(failure, failure_class, detail, "%s", words);
}

/* See oauth.h. */
void
cs_oauth_failure(const CsGrant *grant, const CsResponse *answer,
				 const CsJson *json, CsFailure *failure)
{
	const char *error = error_of(json);
	const char *description = cs_json_text(json, "error_description");
	const Number *number = by_number(json);

	if (answer->status == 0 || error == NULL || answer->status == 429 ||
		answer->status >= 500)
	{
		cs_http_failure(failure, answer, "ask the token server for a token",
						error);
		if (failure->failure_class == CS_FAIL_NEEDS_CONSENT)
			failure->failure_class = CS_FAIL_FORBIDDEN;
		if (failure->failure_class == CS_FAIL_GONE ||
			failure->failure_class == CS_FAIL_CONFLICT)
			failure->failure_class = CS_FAIL_BROKEN;
		hide_grant(grant, failure->message);
		hide_grant(grant, failure->detail);
		return;
	}
	for (const Known *one = phrases; one->error != NULL && description != NULL; one++)
	{
		if (strcmp(error, "invalid_grant") == 0 &&
			strstr(description, one->error) != NULL)
		{
			set_failure(grant, one->failure_class, one->words, error, json, failure);
			return;
		}
	}
	if (number != NULL)
	{
		set_failure(grant, number->failure_class, number->words, error, json, failure);
		return;
	}
	for (const Known *one = errors; one->error != NULL; one++)
	{
		if (strcmp(error, one->error) != 0)
			continue;
		set_failure(grant, one->failure_class,
					grant->kind == CS_GRANT_CODE && one->failure_class == CONSENT &&
							strcmp(error, "invalid_grant") == 0
						? "the code is not valid: it was used before, has expired, or belongs to another request for consent"
						: one->words,
					error, json, failure);
		return;
	}
	set_failure(grant, CS_FAIL_BROKEN,
				"the token server refused with an error that is not known",
				error, json, failure);
}
