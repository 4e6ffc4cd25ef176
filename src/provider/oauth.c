/*
 * oauth.c
 *	  Conversations with a token server (include/cloudsync/oauth.h): one form is
 *	  posted, and its answer is tokens, or an error that is told apart
 *	  (oauth_error.c).
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/json.h"
#include "lib/stringinfo.h"
#include "oauth.h"

#define JWT_BEARER "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define DEVICE_CODE "urn:ietf:params:oauth:grant-type:device_code"
#define CLIENT_JWT "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#define DEVICE_INTERVAL 5 /* s, where the server does not say */
#define MAX_USER_CODE 100 /* characters of what a person is shown */
#define MAX_SHOWN_URL 1000

struct CsConversation
{
	CsGrantKind kind;
	char *url;
	char *text;			 /* the form */
	char *authorization; /* or NULL */
	CsGrant grant;		 /* whose secrets no text may show */
	CsTokens tokens;
#ifndef FRONTEND
	MemoryContextCallback callback;
#endif
};

/* ---- the request ---- */

static void
add(StringInfo form, const char *key, const char *value)
{
	char *encoded;

	if (value == NULL)
		return;
	encoded = cs_url_encode(value);
	appendStringInfo(form, "%s%s=%s", form->len > 0 ? "&" : "", key, encoded);
	OPENSSL_cleanse(encoded, strlen(encoded));
}

/* Who asks: in the form, or by HTTP Basic. */
static void
add_client(CsConversation *conversation, StringInfo form)
{
	const CsGrant *grant = &conversation->grant;

	if (grant->basic && grant->client_secret != NULL)
	{
		char *pair = psprintf("%s:%s", cs_url_encode(grant->client_id),
							  cs_url_encode(grant->client_secret));
		size_t len = strlen(pair);
		char *encoded = cs_base64(pair, len);

		conversation->authorization = psprintf("Basic %s", encoded);
		OPENSSL_cleanse(pair, len);
		OPENSSL_cleanse(encoded, strlen(encoded));
		return;
	}
	add(form, "client_id", grant->client_id);
	if (grant->client_assertion != NULL)
	{
		add(form, "client_assertion_type", CLIENT_JWT);
		add(form, "client_assertion", grant->client_assertion);
	}
	else
		add(form, "client_secret", grant->client_secret);
}

static void
add_grant(CsConversation *conversation, StringInfo form)
{
	const CsGrant *grant = &conversation->grant;

	switch (grant->kind)
	{
		case CS_GRANT_CODE:
			add(form, "grant_type", "authorization_code");
			add(form, "code", grant->code);
			add(form, "code_verifier", grant->verifier);
			add(form, "redirect_uri", grant->redirect_uri);
			break;
		case CS_GRANT_REFRESH:
			add(form, "grant_type", "refresh_token");
			add(form, "refresh_token", grant->refresh_token);
			break;
		case CS_GRANT_ASSERTION:
			add(form, "grant_type", JWT_BEARER);
			add(form, "assertion", grant->assertion);
			return; /* the assertion says who asks, and for what */
		case CS_GRANT_CLIENT:
			add(form, "grant_type", "client_credentials");
			break;
		case CS_GRANT_DEVICE_START:
			add(form, "client_id", grant->client_id);
			add(form, "scope", grant->scope);
			return; /* nobody has to prove anything yet */
		case CS_GRANT_DEVICE:
			add(form, "grant_type", DEVICE_CODE);
			add(form, "device_code", grant->device_code);
			break;
		case CS_GRANT_REVOKE:
			add(form, "token", grant->refresh_token);
			return;
	}
	add(form, "scope", grant->scope);
	add_client(conversation, form);
}

static char *
copy(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

static void
copy_grant(CsGrant *target, const CsGrant *grant)
{
	*target = *grant;
	target->url = copy(grant->url);
	target->client_id = copy(grant->client_id);
	target->client_secret = copy(grant->client_secret);
	target->client_assertion = copy(grant->client_assertion);
	target->code = copy(grant->code);
	target->verifier = copy(grant->verifier);
	target->redirect_uri = copy(grant->redirect_uri);
	target->refresh_token = copy(grant->refresh_token);
	target->access_token = copy(grant->access_token);
	target->assertion = copy(grant->assertion);
	target->device_code = copy(grant->device_code);
	target->scope = copy(grant->scope);
}

#ifndef FRONTEND
static void
cleanse(const char *secret)
{
	if (secret != NULL)
		OPENSSL_cleanse(unconstify(char *, secret), strlen(secret));
}

/* The conversation goes: nothing readable is left of it. */
static void
forget(void *arg)
{
	CsConversation *conversation = arg;
	const CsGrant *grant = &conversation->grant;
	const CsTokens *tokens = &conversation->tokens;

	cleanse(conversation->text);
	cleanse(conversation->authorization);
	cleanse(grant->client_secret);
	cleanse(grant->client_assertion);
	cleanse(grant->code);
	cleanse(grant->verifier);
	cleanse(grant->refresh_token);
	cleanse(grant->access_token);
	cleanse(grant->assertion);
	cleanse(grant->device_code);
	cleanse(tokens->access_token);
	cleanse(tokens->refresh_token);
	cleanse(tokens->device_code);
}
#endif

static CsConversation *
begin(CsService *service, const CsOp *op)
{
	CsConversation *conversation = palloc0(sizeof(CsConversation));
	StringInfoData form;

	copy_grant(&conversation->grant, op->grant);
	conversation->kind = op->grant->kind;
#ifndef FRONTEND
	conversation->callback.func = forget;
	conversation->callback.arg = conversation;
	MemoryContextRegisterResetCallback(CurrentMemoryContext,
									   &conversation->callback);
#endif
	initStringInfo(&form);
	/* Dropbox takes back what the request itself is authorised by */
	if (op->grant->kind == CS_GRANT_REVOKE && op->grant->access_token != NULL)
	{
		conversation->authorization =
			psprintf("Bearer %s", op->grant->access_token);
		appendStringInfoString(&form, "null");
	}
	else
		add_grant(conversation, &form);
	conversation->text = form.data;
	return conversation;
}

static CsStep
post(CsConversation *conversation, CsRequest *request)
{
	bool json = conversation->kind == CS_GRANT_REVOKE &&
				conversation->grant.access_token != NULL;
	int n = 0;

	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HTTP;
	request->method = "POST";
	request->url = conversation->grant.url;
	request->headers[n].name = "Content-Type";
	request->headers[n++].value =
		json ? "application/json" : "application/x-www-form-urlencoded";
	request->headers[n].name = "Accept";
	request->headers[n++].value = "application/json";
	if (conversation->authorization != NULL)
	{
		request->headers[n].name = "Authorization";
		request->headers[n++].value = conversation->authorization;
	}
	request->send = CS_SEND_TEXT;
	request->text = conversation->text;
	request->text_len = (int64) strlen(conversation->text);
	return CS_STEP_REQUEST;
}

/* ---- the answer ---- */

/* Can it stand in a header, and be shown? */
static bool
is_token(const char *text)
{
	if (text == NULL || *text == '\0')
		return false;
	for (; *text != '\0'; text++)
		if ((unsigned char) *text <= ' ' || (unsigned char) *text >= 0x7f)
			return false;
	return true;
}

static void
take_lifetime(const CsJson *json, const char *key, int64 *seconds)
{
	if (!cs_json_int64(json, key, seconds) || *seconds < 0)
		*seconds = 0;
	*seconds = Min(*seconds, (int64) 10 * 365 * 86400);
}

/* False: there is no token in it. */
static bool
take_tokens(CsConversation *conversation, const CsJson *json)
{
	CsTokens *tokens = &conversation->tokens;
	const char *type = cs_json_text(json, "token_type");

	tokens->access_token = copy(cs_json_text(json, "access_token"));
	tokens->refresh_token = copy(cs_json_text(json, "refresh_token"));
	take_lifetime(json, "expires_in", &tokens->expires_in);
	take_lifetime(json, "refresh_token_expires_in", &tokens->refresh_expires_in);
	tokens->scope = copy(cs_json_text(json, "scope"));
	tokens->account = copy(cs_json_text(json, "account_id"));
	return is_token(tokens->access_token) &&
		   (tokens->refresh_token == NULL || is_token(tokens->refresh_token)) &&
		   (type == NULL || pg_strcasecmp(type, "bearer") == 0);
}

static bool
take_device(CsConversation *conversation, const CsJson *json)
{
	CsTokens *tokens = &conversation->tokens;
	const char *url = cs_json_text(json, "verification_uri");

	if (url == NULL)
		url = cs_json_text(json, "verification_url");
	tokens->device_code = copy(cs_json_text(json, "device_code"));
	tokens->user_code = copy(cs_json_text(json, "user_code"));
	tokens->verification_url = copy(url);
	take_lifetime(json, "expires_in", &tokens->expires_in);
	if (!cs_json_int64(json, "interval", &tokens->interval) ||
		tokens->interval < 1 || tokens->interval > 600)
		tokens->interval = DEVICE_INTERVAL;
	return tokens->device_code != NULL && is_token(tokens->user_code) &&
		   strlen(tokens->user_code) <= MAX_USER_CODE && is_token(url) &&
		   strlen(url) <= MAX_SHOWN_URL && strncmp(url, "https://", 8) == 0;
}

static CsStep
answered(CsConversation *conversation, const CsResponse *answer,
		 CsResult *result)
{
	const char *problem = NULL;
	const CsJson *json =
		answer->status == 0
			? NULL
			: cs_json_parse(answer->text, answer->text_len, &problem);
	bool good = answer->status >= 200 && answer->status < 300;

	memset(result, 0, sizeof(*result));
	result->tokens = &conversation->tokens;
	if (conversation->kind == CS_GRANT_REVOKE && (good || cs_oauth_is_dead(answer, json)))
		return CS_STEP_DONE;
	if (!good)
	{
		if (cs_oauth_pending(&conversation->grant, json, &conversation->tokens))
			return CS_STEP_DONE;
		cs_oauth_failure(&conversation->grant, answer, json, &result->failure);
		return CS_STEP_FAILED;
	}
	if (json != NULL && (conversation->kind == CS_GRANT_DEVICE_START
							 ? take_device(conversation, json)
							 : take_tokens(conversation, json)))
		return CS_STEP_DONE;
	cs_failure_set(&result->failure, CS_FAIL_BROKEN, problem,
				   "the token server's answer has no %s in it",
				   conversation->kind == CS_GRANT_DEVICE_START
					   ? "device code"
					   : "access token that can be used");
	return CS_STEP_FAILED;
}

static CsStep
next(CsConversation *conversation, const CsResponse *answer, CsRequest *request,
	 CsResult *result)
{
	if (answer == NULL)
		return post(conversation, request);
	return answered(conversation, answer, result);
}

/* Not in the table of providers: nobody connects to a token server. */
const CsProvider cs_oauth_conversations = {
	.name = "oauth",
	.title = "Token server",
	.begin = begin,
	.next = next,
};
