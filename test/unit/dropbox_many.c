/* sources: src/provider/dropbox*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Dropbox provider: many files sent together, replayed (dropbox_play.h).
 */
#include "postgres_fe.h"

#include "dropbox_play.h"

#define F(name, path, id, rev, size, hash)                                     \
	"{\".tag\":\"file\"," FILE_JSON(name, path, id, rev, size, hash) "}"
#define HOW "\"autorename\":false,\"mute\":true,\"strict_conflict\":false"

static CsPut three[3];

static CsOp
many(void)
{
	CsOp op = {
		.kind = CS_OP_PUT_MANY, .path = "/d", .puts = three, .n_puts = 3};

	memset(three, 0, sizeof(three));
	three[0].path = "/d/a";
	three[0].size = 5;
	three[1].path = "/d/b";
	three[1].size = 0;
	three[2].path = "/d/c";
	three[2].size = 7;
	three[2].known_version = "r0";
	for (int i = 0; i < 3; i++)
		memset(three[i].sha256, 'a' + i, CS_SHA256_LENGTH);
	return op;
}

#define START3 "API files/upload_session/start_batch {\"num_sessions\":3} = "
#define STARTED3 START3 "200 {\"session_ids\":[\"u1\",\"u2\",\"u3\"]}"
#define PIECE(s, n)                                                            \
	"{\"cursor\":{\"session_id\":\"" s "\",\"offset\":0},\"length\":" n        \
	",\"close\":true}"
#define APPEND3                                                                \
	"CON files/upload_session/append_batch {\"entries\":[" PIECE(              \
		"u1", "5") "," PIECE("u2", "0") "," PIECE("u3",                        \
												  "7") "],\"content_hash\":"   \
													   "\"#d\"} body 0+12 = "
#define OK "{\".tag\":\"success\"}"
#define FAILED(error) "{\".tag\":\"failure\",\"failure\":" error "}"
#define ENTRIES(list) "200 {\"entries\":[" list "]}"
#define COMMIT(s, n, path, mode)                                               \
	"{\"cursor\":{\"session_id\":\"" s "\",\"offset\":" n                      \
	"},\"commit\":{\"path\":\"" path "\",\"mode\":" mode "," HOW "}}"
#define UPDATE "{\".tag\":\"update\",\"update\":\"r0\"}"
#define COMMIT_A COMMIT("u1", "5", "/d/a", "\"add\"")
#define COMMIT_B COMMIT("u2", "0", "/d/b", "\"add\"")
#define COMMIT_C COMMIT("u3", "7", "/d/c", UPDATE)
#define FINISH_OF(list)                                                        \
	"API files/upload_session/finish_batch_v2 {\"entries\":[" list "]}"
#define FINISH3 FINISH_OF(COMMIT_A "," COMMIT_B "," COMMIT_C)
#define GOT(name, path, rev, size, hash)                                       \
	"{\".tag\":\"success\"," FILE_JSON(name, path, "id:" name, rev, size,      \
									   hash) "}"
#define GOT_A GOT("a", "/d/a", "ra", "5", "#a")
#define GOT_B GOT("b", "/d/b", "rb", "0", "#0")
#define GOT_C GOT("c", "/d/c", "rc", "7", "#c")
#define STORED3                                                                \
	STARTED3, "BODY 0+12 = b:12 p:d", APPEND3 ENTRIES(OK "," OK "," OK),       \
		"CHECKPOINT -1 -"

static void
test_many(void)
{
	CsOp op = many();

	FRESH;
	PLAY("three requests", &op, STORED3,
		 FINISH3 " = " ENTRIES(GOT_A "," GOT_B "," GOT_C), "DONE ra rb rc");
	PLAY("each is judged", &op, STORED3,
		 FINISH3 " = " ENTRIES(
			 FAILED(IN("path", IN("conflict", TAG("file")))) "," FAILED(
				 IN("path", TAG("disallowed_name"))) "," GOT("c", "/d/c", "r0",
															 "7", "#c")),
		 "DONE (conflict) (refused) r0=");
	PLAY("full", &op, STORED3,
		 FINISH3 " = " ENTRIES(
			 GOT_A "," FAILED(IN("path", TAG("insufficient_space"))) "," GOT_C),
		 "DONE ra (quota) rc");
	PLAY("the append's answer is lost", &op, STARTED3, "BODY 0+12 = b:12 p:d",
		 APPEND3 "lost",
		 APPEND3 ENTRIES(FAILED(TAG("closed")) "," FAILED(
			 TAG("closed")) "," FAILED("{\".tag\":\"incorrect_offset\","
									   "\"correct_offset\":7}")),
		 "CHECKPOINT -1 -", FINISH3 " = " ENTRIES(GOT_A "," GOT_B "," GOT_C),
		 "DONE ra rb rc");
	PLAY("damaged on the way", &op, STARTED3, "BODY 0+12 = b:12 p:d",
		 APPEND3 "409 " ERROR(TAG("content_hash_mismatch")),
		 APPEND3 ENTRIES(OK "," OK "," OK), "CHECKPOINT -1 -",
		 FINISH3 " = " ENTRIES(GOT_A "," GOT_B "," GOT_C), "DONE ra rb rc");
	PLAY("a session is lost", &op, STARTED3, "BODY 0+12 = b:12 p:d",
		 APPEND3 ENTRIES(OK "," FAILED(TAG("not_found")) "," OK),
		 "API files/upload_session/start_batch {\"num_sessions\":1} = 200 "
		 "{\"session_ids\":[\"u2\"]}",
		 "BODY 5+0 = b:0 p:0",
		 "CON files/upload_session/append_batch {\"entries\":[" PIECE(
			 "u2", "0") "],\"content_hash\":\"#0\"} = " ENTRIES(OK),
		 "CHECKPOINT -1 -", FINISH3 " = " ENTRIES(GOT_A "," GOT_B "," GOT_C),
		 "DONE ra rb rc");
	PLAY("the commit's answer is lost", &op, STORED3, FINISH3 " = lost",
		 FINISH3 " = " ENTRIES(
			 FAILED(IN("lookup_failed", TAG("not_found"))) "," GOT_B "," GOT_C),
		 "DONE (retry now) rb rc");
	PLAY("the server is down", &op, STORED3, FINISH3 " = 503", FINISH3 " = 503",
		 FINISH3 " = 503", FINISH3 " = 503", FINISH3 " = 503",
		 "FAILED retry later");
	PLAY("nonsense", &op, STORED3, FINISH3 " = " ENTRIES(GOT_A),
		 "DONE ra (retry later) (retry later)");
	PLAY("not begun", &op, START3 "401 " ERROR(TAG("invalid_access_token")),
		 "FAILED needs consent");
	PLAY("damaged there", &op, STORED3,
		 FINISH3
		 " = " ENTRIES(GOT_A "," GOT_B "," GOT("c", "/d/c", "rc", "7", "#e")),
		 "CON files/upload {\"path\":\"/d/c\",\"mode\":{\".tag\":\"update\","
		 "\"update\":\"rc\"}," HOW
		 ",\"content_hash\":\"#c\"} body 5+7 = 200 " F("c", "/d/c", "id:c",
													   "rd", "7", "#c"),
		 "DONE ra rb rd");
}

/* What is wrong again and again, or cannot be. */
static void
test_many_limits(void)
{
	CsOp op = many();
#define AGAIN                                                                  \
	"API files/upload_session/start_batch {\"num_sessions\":1} = 200 "         \
	"{\"session_ids\":[\"u2\"]}",                                              \
		"BODY 5+0 = b:0 p:0",                                                  \
		"CON files/upload_session/append_batch {\"entries\":[" PIECE(          \
			"u2", "0") "],\"content_hash\":\"#0\"} = " ENTRIES(                \
			FAILED(TAG("not_found")))
#define REPAIR(path, from, rev, hash)                                          \
	"CON files/upload {\"path\":\"" path                                       \
	"\",\"mode\":{\".tag\":\"update\",\"update\":\"" rev "\"}," HOW            \
	",\"content_hash\":\"" hash "\"} body " from " = 200 "
#define BAD_A(rev) F("a", "/d/a", "id:a", rev, "5", "#e")
#define BAD_C(rev) F("c", "/d/c", "id:c", rev, "7", "#e")

	FRESH;
	PLAY("a session is lost again and again", &op, STARTED3,
		 "BODY 0+12 = b:12 p:d",
		 APPEND3 ENTRIES(OK "," FAILED(TAG("not_found")) "," OK), AGAIN, AGAIN,
		 "CHECKPOINT -1 -",
		 FINISH_OF(COMMIT_A "," COMMIT_C) " = " ENTRIES(GOT_A "," GOT_C),
		 "DONE ra (gone) rc");
	PLAY("fewer than were sent", &op, STARTED3, "BODY 0+12 = b:12 p:d",
		 APPEND3 ENTRIES(OK "," OK), "FAILED retry later");
	PLAY("a session without its bytes", &op, STARTED3, "BODY 0+12 = b:12 p:d",
		 APPEND3 ENTRIES(OK "," OK "," FAILED("{\".tag\":\"incorrect_offset\","
											  "\"correct_offset\":3}")),
		 "API files/upload_session/start_batch {\"num_sessions\":1} = 401",
		 "FAILED needs consent");
	PLAY("an id without end", &op,
		 psprintf(START3 "200 {\"session_ids\":[\"%01001d\",\"u2\",\"u3\"]}", 1),
		 "FAILED retry later");
	PLAY("a new one damaged for ever goes away", &op, STORED3,
		 FINISH3 " = " ENTRIES(GOT("a", "/d/a", "r1", "5", "#e") "," GOT_B "," GOT_C),
		 REPAIR("/d/a", "0+5", "r1", "#a") BAD_A("r2"),
		 REPAIR("/d/a", "0+5", "r2", "#a") BAD_A("r3"),
		 REPAIR("/d/a", "0+5", "r3", "#a") BAD_A("r4"),
		 "API files/delete_v2 {\"path\":\"/d/a\",\"parent_rev\":\"r4\"} = 200 {}",
		 "DONE (retry later) rb rc");
	PLAY("what was there before does not", &op, STORED3,
		 FINISH3 " = " ENTRIES(GOT_A "," GOT_B "," GOT("c", "/d/c", "r1", "7", "#e")),
		 REPAIR("/d/c", "5+7", "r1", "#c") BAD_C("r2"),
		 REPAIR("/d/c", "5+7", "r2", "#c") BAD_C("r3"),
		 REPAIR("/d/c", "5+7", "r3", "#c") BAD_C("r4"),
		 "DONE ra rb (retry later)");
}

static void
test_many_locked(void)
{
	CsOp op = many();
#define LOCKED FAILED(TAG("too_many_write_operations"))

	FRESH;
	PLAY(
		"some are put off", &op, STORED3,
		FINISH3 " = " ENTRIES(LOCKED "," GOT_B "," LOCKED),
		FINISH_OF(COMMIT_A "," COMMIT_C) " wait 1 = " ENTRIES(LOCKED "," GOT_C),
		FINISH_OF(COMMIT_A) " wait 2 = " ENTRIES(GOT_A), "DONE ra rb rc");
	FRESH;
	PLAY("locked for ever", &op, STORED3,
		 FINISH3 " = " ENTRIES(LOCKED "," GOT_B "," GOT_C),
		 FINISH_OF(COMMIT_A) " wait 1 = " ENTRIES(LOCKED),
		 FINISH_OF(COMMIT_A) " wait 2 = " ENTRIES(LOCKED),
		 FINISH_OF(COMMIT_A) " wait 4 = " ENTRIES(LOCKED),
		 FINISH_OF(COMMIT_A) " wait 8 = " ENTRIES(LOCKED),
		 FINISH_OF(COMMIT_A) " wait 16 = " ENTRIES(LOCKED),
		 "DONE (retry later) rb rc");
	FRESH;
	PLAY("the whole commit is", &op, STORED3,
		 FINISH3
		 " = 429 {\"error\":{\"reason\":" TAG("too_many_write_operations") "}}",
		 FINISH3 " wait 1 = " ENTRIES(GOT_A "," GOT_B "," GOT_C),
		 "DONE ra rb rc");
	FRESH;
}

static void
test_many_one_by_one(void)
{
	CsOp op = many();
#define ONE(hash, body)                                                        \
	"CON files/upload_session/start {\"close\":true,\"content_hash\":\"" hash  \
	"\"}" body " = "
#define ONE_BY_ONE                                                             \
	ONE("#a", " body 0+5")                                                     \
	"200 {\"session_id\":\"u1\"}",                                             \
		ONE("#0", "") "200 {\"session_id\":\"u2\"}",                           \
		ONE("#c", " body 5+7") "200 {\"session_id\":\"u3\"}",                  \
		"CHECKPOINT -1 -", FINISH3 " = " ENTRIES(GOT_A "," GOT_B "," GOT_C),   \
		"DONE ra rb rc"

	FRESH;
	PLAY("batches are not known", &op, STARTED3, "BODY 0+12 = b:12 p:d",
		 APPEND3 "400 t:Unknown API function", ONE_BY_ONE);
	PLAY("which is remembered", &op, ONE_BY_ONE);
	PLAY("a file is lost on the way", &op, ONE("#a", " body 0+5") "lost",
		 ONE_BY_ONE);
	PLAY("a body is damaged", &op,
		 ONE("#a", " body 0+5") "409 " ERROR(TAG("content_hash_mismatch")),
		 ONE_BY_ONE);
	FRESH;
	PLAY("nor are sessions", &op, START3 "404", ONE_BY_ONE);
	FRESH;
	PLAY("the header is too long", &op, STARTED3, "BODY 0+12 = b:12 p:d",
		 APPEND3 "431", ONE_BY_ONE);
}

/* Arguments go in a header: no more of them than fit. */
static void
test_many_header(void)
{
	enum
	{
		N = 300
	};
	CsPut *list = palloc0(N * sizeof(CsPut));
	CsOp op = {.kind = CS_OP_PUT_MANY, .path = "/d", .puts = list, .n_puts = N};
	StringInfoData ids;
	CsConversation *c;
	CsResponse response;
	CsRequest request;
	CsResult result;
	CsStep step;
	int n_appends = 0;
	int n = 0;
	size_t longest = 0;

	FRESH;
	initStringInfo(&ids);
	for (int i = 0; i < N; i++)
	{
		list[i].path = psprintf("/d/%d", i);
		list[i].size = 10;
		appendStringInfo(&ids, "%s\"pid_upload_session:%040d\"",
						 i > 0 ? "," : "", i);
	}
	c = cs_provider_dropbox.begin(service, &op);
	step = cs_provider_dropbox.next(c, NULL, &request, &result);
	fill_response(&response, &request, psprintf("200 {\"session_ids\":[%s]}", ids.data));
	while (step == CS_STEP_REQUEST)
	{
		step = cs_provider_dropbox.next(c, &response, &request, &result);
		if (step != CS_STEP_REQUEST)
			break;
		if (request.kind == CS_REQ_HASH_BODY)
		{
			n = (int) request.length / 10;
			fill_response(&response, &request, psprintf("b:%d p:d", n * 10));
			continue;
		}
		longest = Max(longest, strlen(header_of(&request, "dropbox-api-arg")));
		n_appends++;
		ids.len = 0;
		for (int i = 0; i < n; i++)
			appendStringInfo(&ids, "%s" OK, i > 0 ? "," : "");
		fill_response(&response, &request, psprintf(ENTRIES("%s"), ids.data));
	}
	tap_ok(step == CS_STEP_CHECKPOINT, "all are stored");
	tap_ok(longest < 8190 && longest > 5000, "a header has its bounds: %d",
		   (int) longest);
	tap_ok(n_appends * 20 < N, "%d requests for %d files", n_appends, N);
}

int
main(void)
{
	test_many();
	test_many_limits();
	test_many_locked();
	test_many_one_by_one();
	test_many_header();
	return tap_done();
}
