/* sources: src/provider/web.c src/provider/op.c src/base/[a-z]*.c */
/*
 * Contents by address: the conversation replayed (play.h).
 *
 *	GET http://h/a known "v1" = 200 e:"v1" b:5
 *		a request, with the version that need not be delivered ("known"), or
 *		"from 5 if "v1"": the rest of it. Words of its own: e: ETag, m: minutes
 *		since Last-Modified, l: Location, t: text
 *	DONE version size		DONE unchanged version		FAILED class
 */
#include "postgres_fe.h"

#include <time.h>

#include "cloudsync/http.h"
#include "play.h"

#define A "http://h/a"
#define NOW INT64CONST(1763800000000000)

static const char *
say_web_request(const CsRequest *request)
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
say_web_done(const CsOp *op, const CsResult *result)
{
	return psprintf("DONE %s%s%s", result->adopted ? "unchanged " : "",
					result->entry.version ? result->entry.version : "-",
					result->adopted
						? ""
						: psprintf(" %d", (int) result->entry.size));
}

static char *
minutes_ago(int minutes)
{
	time_t then = NOW / 1000000 - minutes * 60;
	char *text = palloc(64);

	strftime(text, 64, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&then));
	return text;
}

static bool
take_web_word(CsResponse *response, char *word)
{
	const char *value = word + 2;

	response->clock = NOW;
	switch (word[0])
	{
		case 'e':
			add_header(response, "etag", value);
			break;
		case 'm':
			add_header(response, "last-modified", minutes_ago(atoi(value)));
			break;
		case 'l':
			add_header(response, "location", value);
			break;
		case 't':
			response->text = pstrdup(value);
			break;
		default:
			return false;
	}
	return true;
}

static Script script = {.provider = &cs_provider_web,
						.say_request = say_web_request,
						.say_done = say_web_done,
						.take_word = take_web_word};

static void
play_get(const char *title, const char *address, const char *known,
	 const char *const *lines)
{
	CsOp op = {
		.kind = CS_OP_GET, .path = address, .known_version = known, .size = -1};

	play(title, &op, lines);
}

#undef PLAY
#define PLAY(title, address, known, ...)                                       \
	play_get(title, address, known, (const char *const[]){__VA_ARGS__, NULL})

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
	play("another operation", &op,
			(const char *const[]){"FAILED broken", NULL});
}

int
main(void)
{
	body_failure.failure_class = CS_FAIL_REFUSED;
	test_versions();
	test_redirects();
	test_breaks();
	test_failures();
	return tap_done();
}
