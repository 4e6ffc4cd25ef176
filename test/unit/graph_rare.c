/* sources: src/provider/graph*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Microsoft Graph provider: what seldom happens, replayed (graph_play.h).
 * Upload sessions that are not to be believed, addresses that are stale or none,
 * files without a hash, downloads and listings without end.
 */
#include "postgres_fe.h"

#include "graph_play.h"
#include "lib/stringinfo.h"

#define FAIL "?@microsoft.graph.conflictBehavior=fail"
#define REPLACE "?@microsoft.graph.conflictBehavior=replace"
#define NEW "PUT /root:/d/a:/content" FAIL
#define OURS "PUT /items/i1/content" REPLACE " if \"e1\""
#define LOOK "GET /root:/d/a"
#define MADE "x:" FILE_OF("i1", "a", "e1", "5", HA)
#define OTHER "x:" FILE_OF("i1", "a", "e9", "9", HC)
#define PLAIN(etag, size, time)                                                \
	"x:{\"id\":\"i1\",\"name\":\"a\",\"eTag\":\"" etag "\",\"size\":" size     \
	",\"lastModifiedDateTime\":\"2026-11-22T" time "Z\",\"file\":{}}"
#define WORD(id, size, hash, maker, editor)                                    \
	"x:{\"id\":\"" id "\",\"name\":\"a.docx\",\"eTag\":\"e2\",\"size\":" size  \
	",\"file\":{\"hashes\":{\"quickXorHash\":\"" hash "\"}},"                  \
	"\"createdDateTime\":\"2026-11-22T10:00:00Z\","                            \
	"\"lastModifiedDateTime\":\"2026-11-22T10:00:01Z\","                       \
	"\"createdBy\":{\"application\":{\"id\":\"us\"},\"user\":{\"id\":\"" maker \
	"\"}},\"lastModifiedBy\":{\"application\":{\"id\":\"us\"},\"user\":"       \
	"{\"id\":\"" editor "\"}}}"

#define HEX_A "6161616161616161616161616161616161616161616161616161616161616161"
#define BEGIN_NEW                                                              \
	"POST /root:/d/a:/createUploadSession "                                    \
	"{\"item\":{\"@microsoft.graph.conflictBehavior\":\"fail\",\"name\":"      \
	"\"a\"}}"
#define BEGIN_OURS                                                             \
	"POST /items/i1/createUploadSession "                                      \
	"{\"item\":{\"@microsoft.graph.conflictBehavior\":\"replace\"}}"
#define BEGUN " = 200 x:{\"uploadUrl\":\"https://up/SECRET\"}"
#define UP "PUT -https://up/SECRET bytes "
#define P1 UP "0-10485759/25000000"
#define P2 UP "10485760-20971519/25000000"
#define P3 UP "20971520-24999999/25000000"
#define EXPECTS(n) "x:{\"nextExpectedRanges\":[\"" n "-\"]}"
#define TWO_PARTS                                                              \
	P1 " = 202 " EXPECTS("10485760"), P2 " = 202 " EXPECTS("20971520")
#define BIG_MADE "x:" FILE_OF("i1", "a", "e1", "25000000", HA)
#define READ "BODY 0 = b:25000000 h:a q:" HA
#define RECORDED                                                               \
	"CHECKPOINT 25000000 a " HA " secret:" HEX_A " https://up/SECRET"
#define WHERE "GET -https://up/SECRET"
#define ENDED "DELETE -https://up/SECRET = 204"
#define BEFORE "x:" FILE_OF("i1", "a", "e1", "7", HB)
#define SEEN "GET /items/i1 = 200 "

static CsOp
put(void)
{
	CsOp op = {0};

	op.kind = CS_OP_PUT;
	op.path = "/d/a";
	op.size = 5;
	op.has_sha256 = true;
	memset(op.sha256, 'a', CS_SHA256_LENGTH);
	op.checksum = HA;
	return op;
}

static CsOp
large(void)
{
	CsOp op = put();

	op.has_sha256 = false;
	op.checksum = NULL;
	op.size = 25000000;
	return op;
}

static CsOp
large_ours(void)
{
	CsOp op = large();

	op.id = "i1";
	op.known_version = "q:" HB;
	return op;
}

/* --- whose it is, at the last look --------------------------------------------- */

static void
test_last_look(void)
{
	CsOp op = large_ours();

	WORK;
	PLAY("removed meanwhile", &op, SEEN BEFORE, READ, BEGIN_OURS BEGUN,
		 RECORDED, TWO_PARTS, "GET /items/i1 = 404 " ERROR("itemNotFound"),
		 "FAILED retry now");
	PLAY("consent is wanted: the upload is gone on with later", &op,
		 SEEN BEFORE, READ, BEGIN_OURS BEGUN, RECORDED, TWO_PARTS,
		 "GET /items/i1 = 401 " ERROR("InvalidAuthenticationToken"),
		 "FAILED needs consent");
	PLAY("so it is if Graph cannot be reached", &op, SEEN BEFORE, READ,
		 BEGIN_OURS BEGUN, RECORDED, TWO_PARTS,
		 "GET /items/i1 = 302 l:https://portal/", "FAILED unreachable");
	PLAY("or the key is missing", &op, SEEN BEFORE, READ, BEGIN_OURS BEGUN,
		 RECORDED, TWO_PARTS, "GET /items/i1 = locked", "FAILED locked");
	PLAY("looked at again, if the session is another one by then", &op,
		 SEEN BEFORE, READ, BEGIN_OURS BEGUN, RECORDED, TWO_PARTS, SEEN BEFORE,
		 P3 " = 503", "FAILED retry later");
	PLAY("looked at once more where the last part comes twice", &op,
		 SEEN BEFORE, READ, BEGIN_OURS BEGUN, RECORDED, TWO_PARTS, SEEN BEFORE,
		 P3 " = lost", WHERE " = 200 " EXPECTS("10485760"), P2 " = 404",
		 WHERE " = 404", BEGIN_OURS BEGUN, RECORDED, TWO_PARTS, SEEN OTHER,
		 ENDED, "FAILED conflict");
	op.overwrite = true;
	PLAY("whatever it is, it is to be replaced", &op, SEEN BEFORE, READ,
		 BEGIN_OURS BEGUN, RECORDED, TWO_PARTS, SEEN OTHER,
		 P3 " = 200 " BIG_MADE, "DONE verified /d/a q:" HA);
	op.overwrite = false;
	op.path = "/d/a.docx";
	service->client_id = "us";
	PLAY("the service has rewritten it meanwhile: still ours", &op, SEEN BEFORE,
		 READ, BEGIN_OURS BEGUN, RECORDED, TWO_PARTS,
		 SEEN WORD("i1", "99", HC, "u", "u"), P3 " = 200 " BIG_MADE,
		 "DONE verified /d/a.docx q:" HA);
	PLAY("another file by now, though our program left it", &op,
		 "GET /items/i1 = 404 " ERROR("itemNotFound"),
		 "GET /root:/d/a.docx = 200 " WORD("i9", "99", HC, "u", "u"),
		 "FAILED conflict");
}

/* Files without a hash, whose tag changes with the session. */
static void
test_no_hash(void)
{
	CsOp op = large_ours();

	WORK;
	op.known_version = "e:e1";
	PLAY("a tag that moved with the session is nobody's change", &op,
		 SEEN PLAIN("e1", "7", "10:00:00"), READ, BEGIN_OURS BEGUN,
		 RECORDED " 7/1795341600000000", TWO_PARTS,
		 SEEN PLAIN("e2", "7", "10:00:00"), P3 " = 200 " BIG_MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("another time is somebody's", &op, SEEN PLAIN("e1", "7", "10:00:00"),
		 READ, BEGIN_OURS BEGUN, RECORDED " 7/1795341600000000", TWO_PARTS,
		 SEEN PLAIN("e2", "7", "10:00:01"), ENDED, "FAILED conflict");
	PLAY("so is another size", &op, SEEN PLAIN("e1", "7", "10:00:00"), READ,
		 BEGIN_OURS BEGUN, RECORDED " 7/1795341600000000", TWO_PARTS,
		 SEEN PLAIN("e2", "8", "10:00:00"), ENDED, "FAILED conflict");
	op.session = "secret:" HEX_A " https://up/SECRET 7/1795341600000000";
	PLAY("gone on with by another attempt", &op,
		 SEEN PLAIN("e2", "7", "10:00:00"), READ,
		 WHERE " = 200 " EXPECTS("20971520"), SEEN PLAIN("e2", "7", "10:00:00"),
		 P3 " = 200 " BIG_MADE, "DONE verified /d/a q:" HA);
	PLAY("that finds somebody's", &op, SEEN PLAIN("e2", "7", "10:00:01"),
		 "FAILED conflict");
}

/* --- upload sessions ------------------------------------------------------------ */

static void
test_session(void)
{
	CsOp op = large();

	WORK;
	PLAY("wants what comes after its end", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 TWO_PARTS, P3 " = 202 " EXPECTS("25000000"),
		 WHERE " = 200 " EXPECTS("25000000"), ENDED,
		 LOOK " = 404 " ERROR("itemNotFound"), BEGIN_NEW " = 429",
		 "FAILED retry later");
	PLAY("what was sent to one before counts for no other", &op, READ,
		 BEGIN_NEW BEGUN, RECORDED, P1 " = 202 " EXPECTS("10485760"),
		 P2 " = 404", WHERE " = 404", BEGIN_NEW BEGUN, RECORDED,
		 P1 " = 202 " EXPECTS("20971520"), WHERE " = 200 " EXPECTS("20971520"),
		 ENDED, LOOK " = 404 " ERROR("itemNotFound"), BEGIN_NEW " = 429",
		 "FAILED retry later");
	PLAY("breaks off again and again", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 P1 " = lost", WHERE " = 200 " EXPECTS("0"), P1 " = lost",
		 WHERE " = 200 " EXPECTS("0"), P1 " = lost",
		 WHERE " = 200 " EXPECTS("0"), P1 " = lost",
		 WHERE " = 200 " EXPECTS("0"), P1 " = lost",
		 WHERE " = 200 " EXPECTS("0"), P1 " = lost",
		 WHERE " = 200 " EXPECTS("0"), P1 " = lost",
		 WHERE " = 200 " EXPECTS("0"), P1 " = lost",
		 WHERE " = 200 " EXPECTS("0"), P1 " = lost", "FAILED retry later");
	PLAY("is lost again and again", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 P1 " = 401", BEGIN_NEW BEGUN, RECORDED, P1 " = 401", BEGIN_NEW BEGUN,
		 RECORDED, P1 " = 401", "FAILED retry later");
	PLAY("its bytes are refused", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 P1 " = 403 " INNER("accessDenied", "malwareDetected"), ENDED,
		 "FAILED refused");
	PLAY("an address with a space", &op, READ,
		 BEGIN_NEW " = 200 x:{\"uploadUrl\":\"https://up/SECRET x\"}",
		 "FAILED broken");
	PLAY("an address with what is no ASCII", &op, READ,
		 BEGIN_NEW " = 200 x:{\"uploadUrl\":\"https://up/SECRET\xc3\xa9\"}",
		 "FAILED broken");
	op.session = "secret:" HEX_A " https://up/SECRET";
	PLAY("had ended", &op, READ, WHERE " = 410", LOOK " = 200 " BIG_MADE,
		 "DONE adopted verified /d/a q:" HA);
	PLAY("and is not ours to ask for", &op, READ, WHERE " = 403",
		 LOOK " = 200 " BIG_MADE, "DONE adopted verified /d/a q:" HA);
	PLAY("wants what comes after its end, of an attempt before", &op, READ,
		 WHERE " = 200 " EXPECTS("25000000"), ENDED,
		 LOOK " = 404 " ERROR("itemNotFound"), BEGIN_NEW " = 429",
		 "FAILED retry later");
	op.session = "secret:" HEX_A "/https://up/SECRET";
	PLAY("something that is none", &op, READ, BEGIN_NEW " = 429",
		 "FAILED retry later");
	op = large_ours();
	PLAY("its tag has changed, whatever the answer's code", &op, SEEN BEFORE,
		 READ, BEGIN_OURS " = 412 " ERROR("resourceModified"), SEEN OTHER,
		 "FAILED conflict");
	PLAY("what it was to replace has gone", &op, SEEN BEFORE, READ,
		 BEGIN_OURS " = 404 " ERROR("itemNotFound"),
		 "GET /items/i1 = 404 " ERROR("itemNotFound"),
		 LOOK " = 404 " ERROR("itemNotFound"), BEGIN_NEW " = 429",
		 "FAILED retry later");
}

/* --- small files ------------------------------------------------------------------ */

static void
test_small(void)
{
	CsOp op = put();

	WORK;
	PLAY("less was sent than there is", &op, NEW " = 201 b:4 " MADE,
		 "FAILED retry now");
	PLAY("what is in the way is what the first of two made", &op,
		 NEW " = resent 409 " ERROR("nameAlreadyExists"), LOOK " = 200 " MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("its folder goes again and again", &op,
		 NEW " = 404 " ERROR("itemNotFound"),
		 "GET /root:/d = 404 " ERROR("itemNotFound"),
		 "POST /root/children {\"@microsoft.graph.conflictBehavior\":\"fail\","
		 "\"name\":\"d\",\"folder\":{}} = 201 x:" FOLDER_OF("f1", "d"),
		 "PUT /items/f1:/a:/content" FAIL " = 404 " ERROR("itemNotFound"),
		 "FAILED gone");
	WORK;
	PLAY("SHA-256 is said", &op,
		 NEW " = 201 b:5 x:{\"id\":\"i1\",\"name\":\"a\",\"eTag\":\"e1\","
			 "\"size\":5,\"file\":{\"hashes\":{\"sha256Hash\":\"" HEX_A "\"}}}",
		 "DONE verified /d/a e:e1");
	op.checksum = NULL;
	PLAY("changed in the database by the time it is compared", &op,
		 NEW " = 409 " ERROR("nameAlreadyExists"), LOOK " = 200 " MADE,
		 "BODY 0 = b:5 h:b q:" HA, "FAILED changed");
	op.size = INT64CONST(300) * 1024 * 1024 * 1024;
	PLAY("larger than any file there", &op, "FAILED refused");
	op = put();
	op.id = "i1";
	op.known_version = "q:" HB;
	PLAY("changes at each look", &op, SEEN BEFORE, OURS " = 412", SEEN BEFORE,
		 OURS " = 412", SEEN BEFORE, OURS " = 412", SEEN BEFORE, OURS " = 412",
		 SEEN BEFORE, OURS " = 412", "FAILED retry later");
}

#define HASHLESS                                                               \
	"x:{\"id\":\"i1\",\"name\":\"a\",\"eTag\":\"e1\",\"size\":3,"              \
	"\"file\":{}}"
#define BYTES                                                                  \
	LOOK " = 200 " HASHLESS, "GET /items/i1/content = 302 "                    \
							 "l:https://down/SECRET"

/* Of an attempt that was cut off. */
static void
test_intended(void)
{
	CsOp op = put();

	WORK;
	op.size = 3;
	op.has_intended = true;
	op.intended_size = 3;
	cs_sha256("abc", 3, op.intended_sha256);
	PLAY("only part of its bytes comes: not to be told, and so not ours", &op,
		 NEW " = 409 " ERROR("nameAlreadyExists"), BYTES,
		 "GET -https://down/SECRET = 200 d:ab", "FAILED conflict");
	cs_sha256("abc", 3, op.sha256);
	PLAY("by its bytes it is what is to be there", &op,
		 NEW " = 409 " ERROR("nameAlreadyExists"), BYTES,
		 "GET -https://down/SECRET = 200 d:abc",
		 "DONE adopted verified /d/a e:e1");
	op = put();
	op.has_intended = true;
	op.intended_size = 0;
	op.intended_checksum = HB;
	PLAY("an empty one, whatever its hash", &op,
		 NEW " = 409 " ERROR("nameAlreadyExists"),
		 LOOK " = 200 x:" FILE_OF("i1", "a", "e1", "0", HC),
		 OURS " = 200 b:5 " MADE, "DONE verified /d/a q:" HA);
}

#define NEW_WORD "PUT /root:/d/a.docx:/content" FAIL
#define LOOK_WORD "GET /root:/d/a.docx = 200 k:2026-11-22T10:01:00Z t:10:01:00 "

/* Whose what the service rewrites is (P17). */
static void
test_rewritten(void)
{
	CsOp op = put();

	WORK;
	service->client_id = "us";
	op.path = "/d/a.docx";
	op.since = cs_iso_date("2026-11-22T09:59:00Z");
	PLAY("rewritten as it comes: so we learn who we are", &op,
		 NEW_WORD " = 201 b:5 " WORD("i1", "99", HB, "u1", "u1"),
		 "DONE /d/a.docx q:" HB);
	PLAY("ours", &op, NEW_WORD " = lost",
		 LOOK_WORD WORD("i1", "99", HB, "u1", "u1"), "DONE /d/a.docx q:" HB);
	PLAY("our program's, for another person", &op, NEW_WORD " = lost",
		 LOOK_WORD WORD("i1", "99", HB, "u2", "u2"), "FAILED retry later");
	op.id = "i1";
	op.known_version = "q:" HC;
	PLAY("one that is replaced was there before", &op,
		 SEEN "x:" FILE_OF("i1", "a.docx", "e1", "5", HC), OURS " = lost",
		 "GET /items/i1 = 200 k:2026-11-22T10:01:00Z t:10:01:00 " WORD(
			 "i1", "99", HB, "u1", "u1"),
		 "FAILED retry later");
}

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
	PLAY("goes on at an address with a space", &op,
		 LIST "200 x:{\"value\":[],\"@odata.nextLink\":\"" API "/p 2\"}",
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

int
main(void)
{
	test_last_look();
	test_no_hash();
	test_session();
	test_small();
	test_intended();
	test_rewritten();
	test_list();
	test_links();
	test_many_links();
	test_get();
	test_get_without_end();
	return tap_done();
}
