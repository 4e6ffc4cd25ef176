/* sources: src/provider/oauth*.c src/base/[a-z]*.c */
/*
 * Conversations with token servers, replayed: what is posted for each kind of
 * grant, what comes of answers and of each error that the services are known to
 * give (their fact sheets), and that no text shows a secret.
 */
#include "postgres_fe.h"

#include "cloudsync/oauth.h"
#include "tap.h"

static const char *const class_names[] = {
	"none",		   "retry now", "retry later", "needs consent", "gone",
	"conflict",	   "changed",	"quota",	   "forbidden",		"refused",
	"unreachable", "reset",		"locked",	   "broken"};

static CsRequest request;
static CsResult result;

static CsConversation *
begun(const CsGrant *grant)
{
	CsGrant copy = *grant;
	CsOp op = {.kind = CS_OP_TOKEN, .grant = &copy};
	CsConversation *conversation;

	copy.url = "https://login.example/token";
	conversation = cs_oauth_conversations.begin(NULL, &op);
	if (cs_oauth_conversations.next(conversation, NULL, &request, &result) != CS_STEP_REQUEST)
		abort();
	return conversation;
}

static CsStep
told(CsConversation *conversation, int status, const char *text)
{
	CsResponse answer = {.status = status, .text = text, .text_len = strlen(text), .retry_after_ms = -1};
	CsFailure none = {.failure_class = CS_FAIL_UNREACHABLE, .message = "no connection to login.example:443"};

	if (status == 0)
	{
		answer.error = EIO;
		answer.failure = &none;
	}
	if (status == 429)
		answer.retry_after_ms = 7000;
	return cs_oauth_conversations.next(conversation, &answer, &request, &result);
}

static const char *
header(const char *name)
{
	for (int i = 0; request.headers[i].name != NULL; i++)
		if (pg_strcasecmp(request.headers[i].name, name) == 0)
			return request.headers[i].value;
	return "none";
}

static void
posts(const CsGrant *grant, const char *text, const char *what)
{
	(void) begun(grant);
	tap_is(request.text, text, what);
	tap_ok(strcmp(request.url, "https://login.example/token") == 0 && strcmp(request.method, "POST") == 0 &&
			   request.text_len == (int64) strlen(text) && request.send == CS_SEND_TEXT &&
			   strcmp(header("content-type"), "application/x-www-form-urlencoded") == 0,
		   "... as a form, in the body");
}

static void
requests(void)
{
	CsGrant code = {.kind = CS_GRANT_CODE, .client_id = "app", .code = "4/0A b", .verifier = "ver", .redirect_uri = "https://a.example/done?x=1"};
	CsGrant refresh = {.kind = CS_GRANT_REFRESH, .client_id = "app", .client_secret = "s~+/=", .refresh_token = "r1"};
	CsGrant assertion = {.kind = CS_GRANT_ASSERTION, .client_id = "app", .assertion = "a.b.c"};
	CsGrant client = {.kind = CS_GRANT_CLIENT, .client_id = "app", .client_assertion = "a.b.c", .client_secret = "not sent",
					  .scope = "https://graph.microsoft.com/.default"};
	CsGrant start = {.kind = CS_GRANT_DEVICE_START, .client_id = "app", .client_secret = "not sent", .scope = "a b"};
	CsGrant device = {.kind = CS_GRANT_DEVICE, .client_id = "app", .device_code = "d1"};
	CsGrant revoke = {.kind = CS_GRANT_REVOKE, .client_id = "app", .refresh_token = "r1"};
	CsGrant bearer = {.kind = CS_GRANT_REVOKE, .access_token = "t1", .refresh_token = "r1"};

	posts(&code, "grant_type=authorization_code&code=4%2F0A%20b&code_verifier=ver&redirect_uri=https%3A%2F%2Fa.example%2Fdone%3Fx%3D1&client_id=app",
		  "a code, with its verifier, of a client without a secret");
	posts(&refresh, "grant_type=refresh_token&refresh_token=r1&client_id=app&client_secret=s~%2B%2F%3D", "a refresh, secrets encoded");
	posts(&assertion, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c", "a service account");
	posts(&client,
		  "grant_type=client_credentials&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default&client_id=app&"
		  "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.b.c",
		  "a client with a certificate");
	posts(&start, "client_id=app&scope=a%20b", "a device code is asked for");
	posts(&device, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d1&client_id=app", "a device code is asked about");
	posts(&revoke, "token=r1", "a refresh token is taken back");
	refresh.basic = true;
	posts(&refresh, "grant_type=refresh_token&refresh_token=r1", "a client by HTTP Basic");
	tap_is(header("authorization"), "Basic YXBwOnN+JTJCJTJGJTNE", "... encoded as RFC 6749 wants it");
	(void) begun(&bearer);
	tap_is(header("authorization"), "Bearer t1", "an access token takes itself back");
	tap_is(request.text, "null", "... with the argument null");
	tap_is(header("content-type"), "application/json", "... in JSON");
}

static void
answers(void)
{
	CsGrant refresh = {.kind = CS_GRANT_REFRESH, .client_id = "app", .refresh_token = "r1"};
	CsGrant start = {.kind = CS_GRANT_DEVICE_START, .client_id = "app"};
	CsGrant device = {.kind = CS_GRANT_DEVICE, .client_id = "app", .device_code = "d1"};
	CsGrant revoke = {.kind = CS_GRANT_REVOKE, .refresh_token = "r1"};
	char *token = palloc(100001);
	const CsTokens *tokens;

	tap_ok(told(begun(&refresh), 200, "{\"access_token\":\"t1\",\"token_type\":\"bearer\",\"expires_in\":\"3599\"}") == CS_STEP_DONE &&
			   strcmp(result.tokens->access_token, "t1") == 0 && result.tokens->expires_in == 3599 &&
			   result.tokens->refresh_token == NULL && result.tokens->scope == NULL,
		   "a token without a new refresh token, its lifetime a string");
	told(begun(&refresh), 200,
		 "{\"access_token\":\"t1\",\"token_type\":\"Bearer\",\"expires_in\":3599,\"refresh_token\":\"r2\",\"scope\":\"a b\","
		 "\"refresh_token_expires_in\":604799,\"account_id\":\"dbid:A\"}");
	tokens = result.tokens;
	tap_ok(strcmp(tokens->refresh_token, "r2") == 0 && strcmp(tokens->scope, "a b") == 0 &&
			   tokens->refresh_expires_in == 604799 && strcmp(tokens->account, "dbid:A") == 0,
		   "a rotated refresh token, scopes, the end of the consent, the account");
	memset(token, 'x', 100000);
	token[100000] = '\0';
	tap_ok(told(begun(&refresh), 200, psprintf("{\"access_token\":\"%s\",\"token_type\":\"Bearer\"}", token)) == CS_STEP_DONE &&
			   strcmp(result.tokens->access_token, token) == 0,
		   "a token of 100,000 characters");
	tap_ok(told(begun(&refresh), 200, "{\"token_type\":\"Bearer\"}") == CS_STEP_FAILED &&
			   result.failure.failure_class == CS_FAIL_BROKEN,
		   "an answer without a token makes no sense");
	tap_ok(told(begun(&refresh), 200, "{\"access_token\":\"a\\r\\nX: y\"}") == CS_STEP_FAILED, "nor one that would end a header");
	tap_ok(told(begun(&refresh), 200, "{\"access_token\":\"a\",\"token_type\":\"mac\"}") == CS_STEP_FAILED, "nor one of another type");
	tap_ok(told(begun(&refresh), 200, "<html>Welcome</html>") == CS_STEP_FAILED, "nor a page of a portal");
	told(begun(&start), 200, "{\"device_code\":\"d\",\"user_code\":\"AB\",\"verification_uri\":\"https://m.example/d\",\"interval\":\"7\",\"expires_in\":900}");
	tokens = result.tokens;
	tap_ok(strcmp(tokens->user_code, "AB") == 0 && strcmp(tokens->verification_url, "https://m.example/d") == 0 &&
			   tokens->interval == 7 && tokens->expires_in == 900,
		   "a device code");
	tap_ok(told(begun(&start), 200, "{\"device_code\":\"d\",\"user_code\":\"AB\",\"verification_url\":\"https://m.example/d\"}") == CS_STEP_DONE &&
			   result.tokens->interval == 5,
		   "in Google's words, and every 5 seconds");
	tap_ok(told(begun(&start), 200, "{\"device_code\":\"d\",\"user_code\":\"AB\",\"verification_uri\":\"javascript:1\"}") == CS_STEP_FAILED,
		   "but not with an address that is none");
	tap_ok(told(begun(&start), 200, "{\"device_code\":\"d\",\"user_code\":\"A\\u001b[2J\",\"verification_uri\":\"https://m.example/d\"}") == CS_STEP_FAILED,
		   "nor with a code that plays with a terminal");
	tap_ok(told(begun(&start), 200, "{\"device_code\":\"d\",\"user_code\":\"AB\",\"verification_uri\":\"https://m.example/\\n\"}") == CS_STEP_FAILED,
		   "nor with such an address");
	tap_ok(told(begun(&start), 200, psprintf("{\"device_code\":\"d\",\"user_code\":\"%0101d\",\"verification_uri\":\"https://m.example/d\"}", 7)) == CS_STEP_FAILED,
		   "nor with a code that nobody types");
	tap_ok(told(begun(&start), 200, psprintf("{\"device_code\":\"d\",\"user_code\":\"AB\",\"verification_uri\":\"https://m.example/%01000d\"}", 7)) == CS_STEP_FAILED,
		   "nor with an address without end");
	tap_ok(told(begun(&device), 400, "{\"error\":\"authorization_pending\"}") == CS_STEP_DONE && result.tokens->pending &&
			   !result.tokens->slow_down,
		   "nobody has consented yet");
	tap_ok(told(begun(&device), 400, "{\"error\":\"slow_down\"}") == CS_STEP_DONE && result.tokens->slow_down, "and is asked about too often");
	tap_ok(told(begun(&device), 428, "{\"error\":\"authorization_pending\"}") == CS_STEP_DONE && result.tokens->pending, "with Google's status");
	tap_ok(told(begun(&revoke), 200, "{}") == CS_STEP_DONE, "what is revoked is done");
	tap_ok(told(begun(&revoke), 400, "{\"error\":\"invalid_token\"}") == CS_STEP_DONE, "and what was dead already");
	tap_ok(told(begun(&revoke), 401, "{\"error\":{\".tag\":\"invalid_access_token\"}}") == CS_STEP_DONE, "in Dropbox's words too");
	tap_ok(told(begun(&revoke), 401, "{\"error\":{\".tag\":\"expired_access_token\"}}") == CS_STEP_FAILED && result.failure.failure_class == CS_FAIL_RETRY_NOW,
		   "but an access token that has expired takes nothing back");
	tap_ok(told(begun(&revoke), 503, "") == CS_STEP_FAILED && result.failure.failure_class == CS_FAIL_RETRY_LATER, "but not without an answer");
}

/* Answers that no server should give. */
static void
odd_answers(void)
{
	CsGrant refresh = {.kind = CS_GRANT_REFRESH, .client_id = "app", .refresh_token = "r1"};
	CsGrant start = {.kind = CS_GRANT_DEVICE_START, .client_id = "app"};
#define CODE(interval) "{\"device_code\":\"d\",\"user_code\":\"AB\",\"verification_uri\":\"https://m.example/d\",\"interval\":" interval "}"

	tap_ok(told(begun(&refresh), 200, "{\"access_token\":\"caf\\u00e9\"}") == CS_STEP_FAILED, "a token that no header takes");
	tap_ok(told(begun(&refresh), 200, "{\"access_token\":\"a\",\"refresh_token\":\"a b\"}") == CS_STEP_FAILED, "and such a refresh token");
	tap_ok(told(begun(&refresh), 200, "{\"access_token\":\"a\",\"expires_in\":-5}") == CS_STEP_DONE && result.tokens->expires_in == 0,
		   "a lifetime below nothing is none");
	tap_ok(told(begun(&refresh), 200, "{\"access_token\":\"a\",\"expires_in\":9000000000000000000}") == CS_STEP_DONE &&
			   result.tokens->expires_in == INT64CONST(315360000),
		   "ten years are the longest");
	tap_ok(told(begun(&start), 200, CODE("0")) == CS_STEP_DONE && result.tokens->interval == 5 &&
			   told(begun(&start), 200, CODE("601")) == CS_STEP_DONE && result.tokens->interval == 5 &&
			   told(begun(&start), 200, CODE("600")) == CS_STEP_DONE && result.tokens->interval == 600,
		   "an interval that cannot be is five seconds");
	tap_ok(told(begun(&refresh), 400, "{\"error\":\"authorization_pending\"}") == CS_STEP_FAILED, "nobody waits for a device that was not asked about");
}

typedef struct Told
{
	int status;
	const char *text;
	CsFailureClass failure_class;
	const char *words;
} Told;

/* Each of the errors in the three fact sheets, as it is given. */
static const Told errors[] = {
	{400, "{\"error\":\"invalid_grant\",\"error_description\":\"refresh token is invalid or revoked\"}", CS_FAIL_NEEDS_CONSENT, "expired or was revoked"},
	{400, "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or revoked.\"}", CS_FAIL_NEEDS_CONSENT, "expired or was revoked"},
	{400, "{\"error\":\"invalid_grant\",\"error_description\":\"Bad Request\",\"error_subtype\":\"invalid_rapt\"}", CS_FAIL_NEEDS_CONSENT, "expired"},
	{400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.\"}", CS_FAIL_FORBIDDEN, "clock"},
	{400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}", CS_FAIL_FORBIDDEN, "service account's key"},
	{400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid grant: account not found\"}", CS_FAIL_FORBIDDEN, "does not exist"},
	{400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid email or User ID\"}", CS_FAIL_FORBIDDEN, "subject"},
	{401, "{\"error\":\"unauthorized_client\",\"error_description\":\"Client is unauthorized to retrieve access tokens using this method\"}", CS_FAIL_FORBIDDEN, "may not ask"},
	{401, "{\"error\":\"invalid_client\",\"error_description\":\"The provided client secret is invalid.\"}", CS_FAIL_FORBIDDEN, "identifier or secret"},
	{400, "{\"error\":\"invalid_request\"}", CS_FAIL_FORBIDDEN, "refused the request"},
	{400, "{\"error\":\"invalid_scope\",\"error_description\":\"x\"}", CS_FAIL_FORBIDDEN, "scope"},
	{400, "{\"error\":\"redirect_uri_mismatch\",\"error_description\":\"Bad Request\"}", CS_FAIL_FORBIDDEN, "redirect URI"},
	{403, "{\"error\":\"access_denied\"}", CS_FAIL_NEEDS_CONSENT, "refused"},
	{403, "{\"error\":\"org_internal\"}", CS_FAIL_NEEDS_CONSENT, "another organisation"},
	{400, "{\"error\":\"admin_policy_enforced\"}", CS_FAIL_NEEDS_CONSENT, "does not allow"},
	{400, "{\"error\":\"unsupported_grant_type\"}", CS_FAIL_FORBIDDEN, "way to authenticate"},
	{400, "{\"error\":\"invalid_grant\",\"error_codes\":[700082],\"error_description\":\"AADSTS700082: The refresh token has expired due to inactivity.\"}", CS_FAIL_NEEDS_CONSENT, "not used for too long"},
	{400, "{\"error\":\"invalid_grant\",\"error_codes\":[50173],\"error_description\":\"AADSTS50173\"}", CS_FAIL_NEEDS_CONSENT, "password was reset"},
	{400, "{\"error\":\"interaction_required\",\"error_codes\":[50076],\"suberror\":\"basic_action\"}", CS_FAIL_NEEDS_CONSENT, "second factor"},
	{400, "{\"error\":\"interaction_required\"}", CS_FAIL_NEEDS_CONSENT, "sign in"},
	{400, "{\"error\":\"consent_required\",\"error_codes\":[65001]}", CS_FAIL_NEEDS_CONSENT, "taken back"},
	{400, "{\"error\":\"login_required\"}", CS_FAIL_NEEDS_CONSENT, "sign in"},
	{400, "{\"error\":\"invalid_grant\",\"error_codes\":[50057]}", CS_FAIL_NEEDS_CONSENT, "disabled"},
	{400, "{\"error\":\"invalid_grant\",\"error_codes\":[53003]}", CS_FAIL_NEEDS_CONSENT, "conditional access"},
	{401, "{\"error\":\"invalid_client\",\"error_codes\":[7000215]}", CS_FAIL_FORBIDDEN, "its value is needed"},
	{401, "{\"error\":\"invalid_client\",\"error_codes\":[7000222]}", CS_FAIL_FORBIDDEN, "secret has expired"},
	{401, "{\"error\":\"invalid_client\",\"error_codes\":[7000218]}", CS_FAIL_FORBIDDEN, "needs a client secret"},
	{401, "{\"error\":\"invalid_client\",\"error_codes\":[700025]}", CS_FAIL_FORBIDDEN, "public"},
	{401, "{\"error\":\"invalid_client\",\"error_codes\":[700027]}", CS_FAIL_FORBIDDEN, "certificate"},
	{401, "{\"error\":\"invalid_client\",\"error_codes\":[700024]}", CS_FAIL_FORBIDDEN, "clock"},
	{400, "{\"error\":\"unauthorized_client\",\"error_codes\":[700016]}", CS_FAIL_FORBIDDEN, "not known to the organisation"},
	{400, "{\"error\":\"invalid_request\",\"error_codes\":[50194]}", CS_FAIL_FORBIDDEN, "tenant"},
	{400, "{\"error\":\"invalid_request\",\"error_codes\":[9001023]}", CS_FAIL_FORBIDDEN, "tenant"},
	{400, "{\"error\":\"invalid_request\",\"error_codes\":[90002]}", CS_FAIL_FORBIDDEN, "not known"},
	{400, "{\"error\":\"invalid_request\",\"error_codes\":[50196]}", CS_FAIL_RETRY_LATER, "too often"},
	{400, "{\"error\":\"invalid_grant\",\"error_codes\":[90055]}", CS_FAIL_RETRY_LATER, "throttled"},
	{503, "{\"error\":\"temporarily_unavailable\"}", CS_FAIL_RETRY_LATER, "503"},
	{400, "{\"error\":\"temporarily_unavailable\"}", CS_FAIL_RETRY_LATER, "not available"},
	{429, "{\"error\":\"invalid_request\"}", CS_FAIL_RETRY_LATER, "429"},
	{500, "oops", CS_FAIL_RETRY_LATER, "500"},
	{302, "", CS_FAIL_UNREACHABLE, "302"},
	{401, "who?", CS_FAIL_FORBIDDEN, "401"},
	{404, "<html>no</html>", CS_FAIL_BROKEN, "404"},
	{0, "", CS_FAIL_UNREACHABLE, "no connection"},
	{400, "{\"error\":\"out_of_cheese\"}", CS_FAIL_BROKEN, "not known"},
	{400, "{\"error\":[1]}", CS_FAIL_BROKEN, "400"}};

static void
failures(void)
{
	CsGrant refresh = {.kind = CS_GRANT_REFRESH, .client_id = "app", .refresh_token = "r1"};
	CsGrant code = {.kind = CS_GRANT_CODE, .client_id = "app", .code = "c0de", .verifier = "verifier"};
	CsGrant device = {.kind = CS_GRANT_DEVICE, .client_id = "app", .device_code = "d1"};

	for (int i = 0; i < lengthof(errors); i++)
	{
		const Told *one = &errors[i];
		bool good = told(begun(&refresh), one->status, one->text) == CS_STEP_FAILED &&
					result.failure.failure_class == one->failure_class && strstr(result.failure.message, one->words) != NULL;

		tap_ok(good, "%d %.90s", one->status, one->text);
		if (!good)
			printf("# %s: %s: %s\n", class_names[result.failure.failure_class], result.failure.message, result.failure.detail);
	}
	told(begun(&refresh), 429, "{}");
	tap_ok(result.failure.retry_after_ms == 7000, "a wait that is asked for is known");
	told(begun(&code), 400, "{\"error\":\"invalid_grant\",\"error_description\":\"code doesn't exist or has expired\"}");
	tap_ok(strstr(result.failure.message, "the code is not valid") != NULL && strstr(result.failure.detail, "code doesn't exist") != NULL,
		   "of a code, the code is what is wrong, in the service's own words besides");
	told(begun(&device), 400, "{\"error\":\"expired_token\"}");
	tap_ok(result.failure.failure_class == CS_FAIL_NEEDS_CONSENT, "a device code ends");
	told(begun(&device), 400, "{\"error\":\"authorization_declined\"}");
	tap_ok(result.failure.failure_class == CS_FAIL_NEEDS_CONSENT, "or is refused");
}

/* A server that says everything it was told. */
static void
secrets(void)
{
	CsGrant grant = {.kind = CS_GRANT_CODE, .client_id = "app", .client_secret = "S3cret", .code = "C0de1", .verifier = "Ver1fier",
					 .refresh_token = "Refr3sh", .access_token = NULL, .client_assertion = "a.s.sertion", .device_code = "Dev1ce"};
	const char *text = "S3cret C0de1 Ver1fier Refr3sh a.s.sertion Dev1ce";
	static const int statuses[] = {400, 401, 403, 404, 500, 503};

	for (int i = 0; i < lengthof(statuses); i++)
	{
		told(begun(&grant), statuses[i], psprintf("{\"error\":\"invalid_grant\",\"error_description\":\"%s\",\"suberror\":\"%s\"}", text, text));
		tap_ok((statuses[i] >= 500 || strstr(result.failure.detail, "***") != NULL) && strstr(result.failure.detail, "3") == NULL &&
				   strstr(result.failure.detail, "1") == NULL && strstr(result.failure.detail, "sertion") == NULL,
			   "no secret is told (%d)", statuses[i]);
		told(begun(&grant), statuses[i], text);
		tap_ok(strpbrk(result.failure.detail, "31") == NULL, "nor in what is no JSON (%d)", statuses[i]);
	}
	grant.refresh_token = "1//0Refr+sh/Token";
	told(begun(&grant), 500, "1//0Refr+sh/Token and 1%2F%2F0Refr%2Bsh%2FToken and 1\\/\\/0Refr+sh\\/Token");
	tap_is(result.failure.detail, "*** and *** and ***", "nor as it stands in a form, or in JSON");
	grant.refresh_token = psprintf("1.%01500d", 7);
	told(begun(&grant), 500, psprintf("bad token: %s", grant.refresh_token));
	tap_is(result.failure.detail, "bad token: ***", "nor the start of one that the text is too short for");
}

int
main(void)
{
	requests();
	answers();
	odd_answers();
	failures();
	secrets();
	return tap_done();
}
