/* sources: src/provider/graph*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * Listings and GET of the Microsoft Graph provider: what seldom happens, replayed
 * (graph_play.h). Addresses that are stale or none, downloads without end, two
 * conversations at once.
 */
#include "postgres_fe.h"

#include "graph_play.h"
#include "lib/stringinfo.h"

#define HEX_A "6161616161616161616161616161616161616161616161616161616161616161"
#define BEGIN_NEW

/* --- listings --------------------------------------------------------------------- */

#define CHILD(id, hash, link)                                                  \
	"{\"id\":\"" id "\",\"name\":\"" id "\",\"size\":5,\"file\":{\"hashes\":{" \
	"\"quickXorHash\":\"" hash "\"}},\"@microsoft.graph.downloadUrl\":\"" link \
	"\"}"
#define API "https://graph.microsoft.com/v1.0"
#define LIST "GET /root:/a:/children = "

static void
test_list(void)
{
	CsOp op = of(CS_OP_LIST, "/a");
	char *deep = repeated('b', 4090);

	WORK;
	PLAY("sent to another host", &op, LIST "302 l:https://evil.org/",
		 "FAILED unreachable");
	PLAY("goes on at an address with what is no ASCII", &op,
		 LIST "200 x:{\"value\":[],\"@odata.nextLink\":\"" API "/p\xc3\xa9\"}",
		 "FAILED broken");
	PLAY("sent on and on", &op, LIST "302 l:" API "/1",
		 "GET /1 = 302 l:" API "/2", "GET /2 = 302 l:" API "/3",
		 "GET /3 = 302 l:" API "/4", "GET /4 = 302 l:" API "/5",
		 "GET /5 = 302 l:" API "/6", "GET /6 = 302 l:" API "/7",
		 "GET /7 = 302 l:" API "/8", "GET /8 = 302 l:" API "/9",
		 "FAILED unreachable");
	PLAY("what is deleted is not in it", &op,
		 LIST "200 x:{\"value\":[{\"id\":\"i1\",\"name\":\"x\",\"file\":{},"
			  "\"deleted\":{}}]}",
		 "DONE");
	op.path = psprintf("/%s", deep);
	op.id = "f0";
	op.recursive = true;
	PLAY("a folder deeper than any is, in itself perhaps", &op,
		 "GET /items/f0/children = 200 x:{\"value\":[{\"id\":\"f1\","
		 "\"name\":\"ccccccccc\",\"folder\":{}}]}",
		 psprintf("PAGE /%s/ccccccccc/", deep), "DONE incomplete");
	op = of(CS_OP_LIST, "/");
	op.recursive = true;
	op.follow = true;
	op.cursor = "b!d - work " API "/delta?t1";
	PLAY("a cursor of a drive whose root was not told", &op,
		 "GET /delta?t1 = 200 x:{\"value\":[" ROOT
		 ",{\"id\":\"f1\",\"name\":\"a\",\"folder\":{},\"parentReference\":{"
		 "\"id\":\"root1\"}}],\"@odata.deltaLink\":\"" API "/delta?t2\"}",
		 "PAGE /a/", "DONE b!d root1 work " API "/delta?t2");
}

/* Addresses that listings give. */
static void
test_links(void)
{
	CsOp list = of(CS_OP_LIST, "/a");
	CsOp op = of(CS_OP_GET, "/a/x");

	WORK;
	PLAY(
		"listed", &list,
		LIST
		"200 x:{\"value\":[" CHILD("i1", HA, "https://down/SECRET1") "," CHILD(
			"i2", HA,
			"https://down/SECRET2") "," CHILD("i3", HA,
											  "https://down/SECRET3") "," CHILD("i4",
																				HA,
																				"http://down/SECRET4") "]}",
		"PAGE /a/i1 /a/i2 /a/i3 /a/i4", "DONE");
	op.id = "i1";
	op.expect_version = "q:" HA;
	PLAY("one that is stale by then", &op, "GET -https://down/SECRET1 = 403",
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 b:5 h:a q:" HA,
		 "DONE verified /a/x q:" HA);
	op.id = "i2";
	op.expect_version = "q:" HB;
	PLAY("one of another version", &op, "GET /items/i2/content = 200 b:5 q:" HB,
		 "DONE verified /a/x q:" HB);
	op.id = "i3";
	op.expect_version = NULL;
	PLAY("of whatever version", &op, "GET -https://down/SECRET3 = refused",
		 "FAILED retry later");
	op.id = "i4";
	op.expect_version = "q:" HA;
	PLAY("one that is not safe", &op, "GET /items/i4/content = 429",
		 "FAILED retry later");
}

/* Lists n children, with addresses of so many bytes. */
static void
list_many(int n, int bytes)
{
	CsOp op = of(CS_OP_LIST, "/a");
	CsConversation *c = script.provider->begin(service, &op);
	char *filler = repeated('s', bytes);
	StringInfoData text;
	CsResponse answer = {.status = 200, .sent = true};
	CsRequest request;
	CsResult result = {0};

	initStringInfo(&text);
	appendStringInfoString(&text, "{\"value\":[");
	for (int i = 0; i < n; i++)
		appendStringInfo(&text, "%s" CHILD("m%d", HA, "https://down/%s"),
						 i > 0 ? "," : "", i, i, filler);
	appendStringInfoString(&text, "]}");
	answer.text = text.data;
	answer.text_len = text.len;
	script.provider->next(c, NULL, &request, &result);
	tap_ok(script.provider->next(c, &answer, &request, &result) == CS_STEP_PAGE,
		   "%d children", n);
}

static void
test_many_links(void)
{
	CsOp op = of(CS_OP_GET, "/a/x");

	WORK;
	list_many(40000, 1);
	op.id = "other";
	op.expect_version = "q:" HA;
	PLAY("where all places are taken, another's is not taken for one's own",
		 &op, "GET /items/other/content = 429", "FAILED retry later");
	WORK;
	list_many(4000, 3600);
	op.id = "m3999";
	PLAY("no more are remembered than there is room for", &op,
		 "GET /items/m3999/content = 429", "FAILED retry later");
	op.id = "m10";
	PLAY("the first ones are", &op,
		 psprintf("GET -https://down/%s = 503", repeated('s', 3600)),
		 "FAILED retry later");
}

/* --- downloads -------------------------------------------------------------------- */

#define LINK "GET /items/i1/content = 302 l:https://down/SECRET"
#define DOWN "GET -https://down/SECRET"

static void
test_get(void)
{
	CsOp op = of(CS_OP_GET, "/a/x");

	WORK;
	op.id = "i1";
	op.expect_version = "q:" HA;
	PLAY("goes on where we did not stop: all of it again", &op, LINK,
		 DOWN " = broke b:5", DOWN " bytes=5- = 206 g:4/10 b:6", LINK,
		 DOWN " = 200 b:10 h:a q:" HA, "DONE verified /a/x q:" HA);
	PLAY("so it is if that breaks off", &op, LINK, DOWN " = broke b:5",
		 DOWN " bytes=5- = broke g:4/10 b:3", LINK,
		 DOWN " = 200 b:10 h:a q:" HA, "DONE verified /a/x q:" HA);
	PLAY("or is of a file of another size", &op, LINK,
		 DOWN " = 200 broke b:5 n:10", DOWN " bytes=5- = 206 g:5/12 b:7", LINK,
		 DOWN " = 200 b:12 h:a q:" HA, "DONE verified /a/x q:" HA);
	PLAY("given at once, and broken off", &op,
		 "GET /items/i1/content = broke b:5",
		 "GET /items/i1/content = 200 b:10 h:a q:" HA,
		 "DONE verified /a/x q:" HA);
	PLAY("nothing comes", &op, LINK, DOWN " = lost", "FAILED retry later");
	PLAY("the key is missing", &op, "GET /items/i1/content = locked",
		 "FAILED locked");
	PLAY("its address ends again and again", &op, LINK, DOWN " = broke b:5",
		 DOWN " bytes=5- = 403", LINK, DOWN " bytes=5- = 403", LINK,
		 DOWN " bytes=5- = 403", LINK, DOWN " bytes=5- = 403", LINK,
		 DOWN " bytes=5- = 403", "FAILED forbidden");
	op.expect_version = "empty";
	PLAY("nothing is in it", &op, "GET /items/i1/content = 200 b:0",
		 "DONE verified /a/x empty");
	op.expect_version = "e:e1";
	PLAY("SHA-256 is said", &op, "GET /items/i1/content = 200 b:5 h:a q:" HB,
		 "GET /items/i1 = 200 x:{\"id\":\"i1\",\"name\":\"x\",\"eTag\":\"e1\","
		 "\"size\":5,\"file\":{\"hashes\":{\"sha256Hash\":\"" HEX_A "\"}}}",
		 "DONE verified /a/x e:e1");
}

typedef enum Download
{
	GETS_ON,   /* each answer breaks off after so many bytes */
	NO_RANGES, /* and all comes where a range is asked for */
	WRONG	   /* or another range, which breaks off */
} Download;

/* How many requests does a download make that never comes to its end? */
static int
requests_of(Download kind, int64 bytes)
{
	CsOp op = of(CS_OP_GET, "/a/x");
	CsConversation *c;
	CsResponse answer = {0};
	const CsResponse *last = NULL;
	CsRequest request;
	CsResult result = {0};
	int n = 0;

	op.id = "i1";
	op.expect_version = "q:" HA;
	c = script.provider->begin(service, &op);
	while (script.provider->next(c, last, &request, &result) == CS_STEP_REQUEST)
	{
		const char *range = header_of(&request, "Range");
		int64 from = range != NULL ? atoll(range + strlen("bytes=")) : 0;

		n++;
		memset(&answer, 0, sizeof(answer));
		answer.sent = true;
		answer.text = "";
		last = &answer;
		if (!request.anonymous)
		{
			answer.status = 302;
			add_header(&answer, "location", "https://down/SECRET");
		}
		else if (range != NULL && kind == NO_RANGES)
			answer.status = 200;
		else
		{
			answer.error = EIO;
			answer.failure = &lost_failure;
			answer.size = bytes;
			add_header(&answer, "content-range",
					   psprintf("bytes " INT64_FORMAT "-9/9999999999999",
								kind == WRONG ? from + 1 : from));
		}
	}
	tap_ok(result.failure.failure_class != CS_FAIL_NONE, "it ends, and fails");
	return n;
}

static void
test_get_without_end(void)
{
	WORK;
	tap_is(psprintf("%d", requests_of(GETS_ON, 5)), "7",
		   "5 breaks with little in between");
	tap_is(psprintf("%d", requests_of(GETS_ON, 1024 * 1024)), "2002",
		   "as often as it gets on, but not for ever");
	tap_is(psprintf("%d", requests_of(NO_RANGES, 1024 * 1024)), "18",
		   "5 times anew where there are no ranges");
	tap_is(psprintf("%d", requests_of(WRONG, 1024 * 1024)), "18",
		   "or other ones");
}

/* Two look at an item each before it is known which drive is theirs. */
static void
test_two_at_once(void)
{
	static const char item[] =
		"{\"id\":\"i1\",\"name\":\"a\",\"folder\":{},"
		"\"parentReference\":{\"driveId\":\"b!d\",\"driveType\":\"business\"}}";
	CsResponse answer = {.status = 200, .text = item, .text_len = sizeof(item) - 1};
	CsOp op = of(CS_OP_STAT, "/a");
	CsConversation *looks[2];
	CsRequest request;
	CsResult result;

	OPEN("tenant", "t");
	for (int i = 0; i < 2; i++)
	{
		looks[i] = script.provider->begin(service, &op);
		tap_ok(script.provider->next(looks[i], NULL, &request, &result) == CS_STEP_REQUEST,
			   "one of two looks");
	}
	for (int i = 0; i < 2; i++)
		tap_ok(script.provider->next(looks[i], &answer, &request, &result) == CS_STEP_DONE &&
				   result.entry.kind == CS_ENTRY_FOLDER,
			   "is answered, whoever learnt the drive meanwhile");
}

int
main(void)
{
	test_list();
	test_two_at_once();
	test_links();
	test_many_links();
	test_get();
	test_get_without_end();
	return tap_done();
}
