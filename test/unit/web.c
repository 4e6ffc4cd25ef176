/* sources: src/provider/web.c src/provider/op.c src/base/[a-z]*.c */
/*
 * Contents by address: the conversation replayed. A script's line is what it
 * must say and what it is answered:
 *
 *	GET http://h/a known "v1" = 200 e:"v1" b:5
 *		a request, with the version that need not be delivered ("known"), or
 *		"from 5 if "v1"": the rest of it. The answer: a status, then
 *		e: ETag, m: minutes since Last-Modified, l: Location, g: where the
 *		range begins, b: bytes of the body, t: text; or broke: what came before
 *		says how far, or bodyfail
 *	DONE version size		DONE unchanged version		FAILED class
 */
#include "postgres_fe.h"

#include <time.h>

#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "tap.h"

static const char *const class_names[] = {
	"none",		   "retry now", "retry later", "needs consent", "gone",
	"conflict",	   "changed",	"quota",	   "forbidden",		"refused",
	"unreachable", "reset",		"locked",	   "broken"};

#define A "http://h/a"
#define NOW INT64CONST(1763800000000000)

static CsFailure last_failure;

static const char *
header_of(const CsRequest *request, const char *name)
{
	for (int i = 0; request->headers[i].name != NULL; i++)
	{
		if (strcmp(request->headers[i].name, name) == 0)
			return request->headers[i].value;
	}
	return NULL;
}

static const char *
say_request(const CsRequest *request)
{
	const char *known = header_of(request, "If-None-Match");
	const char *since = header_of(request, "If-Modified-Since");
	const char *range = header_of(request, "Range");
	const char *condition = header_of(request, "If-Range");
	char *text = psprintf("%s %s", request->method, request->url);

	if (known != NULL)
		text = psprintf("%s known %s", text, known);
	if (since != NULL)
		text = psprintf("%s since %s", text, since);
	if (range != NULL || request->append || request->body_status != 200)
		text =
			psprintf("%s from %d if %s%s%s", text,
					 range != NULL ? atoi(range + strlen("bytes=")) : -1,
					 condition != NULL ? condition : "nothing",
					 request->append ? "" : " anew",
					 request->body_status == 206 ? "" : " of another status");
	if (!request->anonymous || request->kind != CS_REQ_HTTP ||
		request->into != CS_INTO_BODY || request->send != CS_SEND_NOTHING)
		text = psprintf("%s oddly", text);
	return text;
}

static const char *
say(CsStep step, const CsRequest *request, const CsResult *result)
{
	switch (step)
	{
		case CS_STEP_REQUEST:
			return say_request(request);
		case CS_STEP_DONE:
			return psprintf("DONE %s%s%s", result->adopted ? "unchanged " : "",
							result->entry.version ? result->entry.version : "-",
							result->adopted
								? ""
								: psprintf(" %d", (int) result->entry.size));
		case CS_STEP_FAILED:
			last_failure = result->failure;
			return psprintf("FAILED %s",
							class_names[result->failure.failure_class]);
		default:
			return "something else";
	}
}

static char *
minutes_ago(int minutes)
{
	time_t then = NOW / 1000000 - minutes * 60;
	char *text = palloc(64);

	strftime(text, 64, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&then));
	return text;
}

static CsHeader answer_headers[8];
static CsFailure reset = {CS_FAIL_RETRY_LATER, 0, "the connection broke", ""};
static CsFailure ours = {CS_FAIL_REFUSED, 0, "it is too large", ""};

static void
add_header(CsResponse *response, const char *name, const char *value)
{
	answer_headers[response->n_headers].name = name;
	answer_headers[response->n_headers++].value = value;
	response->headers = answer_headers;
}

static void
fill_word(CsResponse *response, const char *word)
{
	const char *value = word + 2;

	if (strcmp(word, "broke") == 0)
	{
		response->error = EIO;
		response->failure = &reset;
	}
	else if (strcmp(word, "bodyfail") == 0)
	{
		response->error = ECANCELED;
		response->body_failure = &ours;
	}
	else if (word[1] != ':')
		response->status = atoi(word);
	else if (word[0] == 'e')
		add_header(response, "etag", value);
	else if (word[0] == 'm')
		add_header(response, "last-modified", minutes_ago(atoi(value)));
	else if (word[0] == 'l')
		add_header(response, "location", value);
	else if (word[0] == 'g')
		add_header(response, "content-range",
				   psprintf("bytes %s-99/100", value));
	else if (word[0] == 'b')
		response->size = atoi(value);
	else if (word[0] == 't')
	{
		response->text = value;
		response->text_len = strlen(value);
	}
}

static void
fill_response(CsResponse *response, const char *line)
{
	char *words = pstrdup(line);

	memset(response, 0, sizeof(*response));
	response->retry_after_ms = -1;
	response->clock = NOW;
	for (char *word = strtok(words, " "); word != NULL;
		 word = strtok(NULL, " "))
		fill_word(response, word);
}

static void
play_op(const char *title, const CsOp *op, const char *const *lines)
{
	CsConversation *c = cs_provider_web.begin(NULL, op);
	CsResponse response;
	const CsResponse *answer = NULL;

	for (; *lines != NULL; lines++)
	{
		const char *equals = strstr(*lines, " = ");
		char *wanted = pstrdup(*lines);
		CsRequest request;
		CsResult result = {0};
		CsStep step = cs_provider_web.next(c, answer, &request, &result);

		if (equals != NULL)
			wanted[equals - *lines] = '\0';
		if (!tap_is(say(step, &request, &result), wanted,
					psprintf("%s: %s", title, wanted)))
			return;
		if (step != CS_STEP_REQUEST)
		{
			tap_ok(lines[1] == NULL, "%s: that is the end", title);
			return;
		}
		fill_response(&response, equals != NULL ? equals + 3 : "");
		answer = &response;
	}
	tap_ok(false, "%s: did not end", title);
}

static void
play(const char *title, const char *address, const char *known,
	 const char *const *lines)
{
	CsOp op = {
		.kind = CS_OP_GET, .path = address, .known_version = known, .size = -1};

	play_op(title, &op, lines);
}

#define PLAY(title, address, known, ...)                                       \
	play(title, address, known, (const char *const[]){__VA_ARGS__, NULL})

static void
test_versions(void)
{
	char *old = minutes_ago(5);

	PLAY("a content", A, NULL, "GET " A " = 200 e:\"v1\" b:5", "DONE \"v1\" 5");
	PLAY("an empty one", A, NULL, "GET " A " = 200", "DONE - 0");
	PLAY("a weak ETag", A, NULL, "GET " A " = 200 e:W/\"v1\" b:5",
		 "DONE W/\"v1\" 5");
	PLAY("an ETag without quotes", A, NULL, "GET " A " = 200 e:v1 b:5",
		 "DONE - 5");
	PLAY("a date", A, NULL, "GET " A " = 200 m:5 b:5",
		 psprintf("DONE %s 5", old));
	PLAY("a date of this moment", A, NULL, "GET " A " = 200 m:0 b:5",
		 "DONE - 5");
	PLAY("a date to come", A, NULL, "GET " A " = 200 m:-60 b:5", "DONE - 5");
	PLAY("an ETag before a date", A, NULL, "GET " A " = 200 m:5 e:\"v1\" b:5",
		 "DONE \"v1\" 5");
	PLAY("unchanged", A, "\"v1\"", "GET " A " known \"v1\" = 304",
		 "DONE unchanged \"v1\"");
	PLAY("unchanged by its date", A, old,
		 psprintf("GET " A " since %s = 304", old),
		 psprintf("DONE unchanged %s", old));
	PLAY("changed", A, "\"v1\"", "GET " A " known \"v1\" = 200 e:\"v2\" b:6",
		 "DONE \"v2\" 6");
	PLAY("unchanged, which was not asked", A, NULL, "GET " A " = 304",
		 "FAILED unreachable");
}

static void
test_redirects(void)
{
	PLAY("redirected", A, "\"v1\"", "GET " A " known \"v1\" = 302 l:/b?c#d",
		 "GET http://h/b?c known \"v1\" = 301 l:https://i:8/e",
		 "GET https://i:8/e known \"v1\" = 200 b:5", "DONE - 5");
	PLAY("redirected to nowhere", A, NULL, "GET " A " = 302",
		 "FAILED unreachable");
	PLAY("redirected to a file", A, NULL,
		 "GET " A " = 307 l:file:///etc/passwd", "FAILED refused");
	PLAY("redirected too often", A, NULL, "GET " A " = 303 l:/1",
		 "GET http://h/1 = 308 l:/2", "GET http://h/2 = 302 l:/3",
		 "GET http://h/3 = 302 l:/4", "GET http://h/4 = 302 l:/5",
		 "GET http://h/5 = 302 l:/6", "FAILED refused");
}

static void
test_breaks(void)
{
	PLAY("it breaks off", A, NULL, "GET " A " = 200 e:\"v1\" b:5 broke",
		 "GET " A " from 5 if \"v1\" = 206 g:5 b:3 broke",
		 "GET " A " from 8 if \"v1\" = 206 g:8 b:2", "DONE \"v1\" 10");
	PLAY("and has changed", A, NULL, "GET " A " = 200 e:\"v1\" b:5 broke",
		 "GET " A " from 5 if \"v1\" = 200 e:\"v2\"",
		 "GET " A " = 200 e:\"v2\" b:7", "DONE \"v2\" 7");
	PLAY("and another part comes", A, NULL,
		 "GET " A " = 200 e:\"v1\" b:5 broke",
		 "GET " A " from 5 if \"v1\" = 206 g:0 b:10",
		 "GET " A " = 200 e:\"v1\" b:10", "DONE \"v1\" 10");
	PLAY("and another part breaks off", A, NULL,
		 "GET " A " = 200 e:\"v1\" b:5 broke",
		 "GET " A " from 5 if \"v1\" = 206 g:0 b:10 broke",
		 "GET " A " = 200 e:\"v1\" b:10 broke", "FAILED retry now");
	PLAY("with nothing to tell that it is the same", A, NULL,
		 "GET " A " = 200 e:W/\"v1\" b:5 broke", "FAILED retry now");
	PLAY("a part that was not asked for", A, NULL,
		 "GET " A " = 206 g:0 e:\"v1\" b:5", "FAILED broken");
	PLAY("before anything came", A, NULL, "GET " A " = broke",
		 "FAILED retry later");
	PLAY("always", A, NULL, "GET " A " = 200 e:\"v1\" b:1 broke",
		 "GET " A " from 1 if \"v1\" = 206 g:1 b:1 broke",
		 "GET " A " from 2 if \"v1\" = 206 g:2 b:1 broke",
		 "GET " A " from 3 if \"v1\" = 206 g:3 b:1 broke",
		 "GET " A " from 4 if \"v1\" = 206 g:4 b:1 broke",
		 "GET " A " from 5 if \"v1\" = 206 g:5 b:1 broke", "FAILED retry now");
	PLAY("where it goes has no more room", A, NULL,
		 "GET " A " = 200 e:\"v1\" b:5 bodyfail", "FAILED refused");
}

static void
test_failures(void)
{
	static const char secret[] = "http://ann:sesame@h/a?token=opensesame#x";
	CsOp op = {.kind = CS_OP_LIST, .path = A};

	PLAY("not there", A, NULL, "GET " A " = 404", "FAILED gone");
	PLAY("too much", A, NULL, "GET " A " = 429", "FAILED retry later");
	PLAY("not for us", secret, NULL,
		 "GET http://ann:sesame@h/a?token=opensesame#x = 403 "
		 "t:no-opensesame-here",
		 "FAILED forbidden");
	tap_ok(strstr(last_failure.message, "sesame") == NULL &&
			   strstr(last_failure.message, "http://h/a\"") != NULL,
		   "the address is said without what may be secret in it");
	tap_is(last_failure.detail, "", "nor does a server's word tell it");
	PLAY("a server's words", A, NULL, "GET " A " = 403 t:closed",
		 "FAILED forbidden");
	tap_is(last_failure.detail, "closed", "are told");
	play_op("another operation", &op,
			(const char *const[]){"FAILED broken", NULL});
}

int
main(void)
{
	test_versions();
	test_redirects();
	test_breaks();
	test_failures();
	return tap_done();
}
