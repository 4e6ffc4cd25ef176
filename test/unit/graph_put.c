/* sources: src/provider/graph*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * PUT of the Microsoft Graph provider replayed (graph_play.h): small files,
 * upload sessions, whose a file is, and files that the service rewrites (P17).
 */
#include "postgres_fe.h"

#include "graph_put.h"

#define FAIL "?@microsoft.graph.conflictBehavior=fail"
#define REPLACE "?@microsoft.graph.conflictBehavior=replace"
#define NEW "PUT /root:/d/a:/content" FAIL
#define OURS "PUT /items/i1/content" REPLACE " if \"e1\""
#define LOOK "GET /root:/d/a"
#define MADE "x:" FILE_OF("i1", "a", "e1", "5", HA)
#define OTHER "x:" FILE_OF("i1", "a", "e9", "9", HC)

static void
test_new(void)
{
	CsOp op = put();

	WORK;
	PLAY("an answer that cannot be read, and it is there", &op,
		 NEW " = 201 b:5 x:<html>", LOOK " = 200 " MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("an answer that cannot be read, and it is not", &op,
		 NEW " = 200 b:5 x:<html>", LOOK " = 404 " ERROR("itemNotFound"),
		 "FAILED broken");
	PLAY("one request", &op, NEW " = 201 b:5 h:a q:" HA " " MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("no more than the size is said", &op,
		 NEW " = 201 b:5 h:a q:" HA
			 " x:{\"id\":\"i1\",\"name\":\"a\",\"eTag\":\"e1\",\"size\":5,"
			 "\"file\":{}}",
		 "DONE /d/a e:e1");
	PLAY("the same is there", &op,
		 NEW " = 409 " ERROR("nameAlreadyExists"), LOOK " = 200 " MADE,
		 "DONE adopted verified /d/a q:" HA);
	PLAY("somebody else's is there", &op,
		 NEW " = 409 " ERROR("nameAlreadyExists"), LOOK " = 200 " OTHER,
		 "FAILED conflict");
	PLAY("it went again", &op, NEW " = 409 " ERROR("nameAlreadyExists"),
		 LOOK " = 404 " ERROR("itemNotFound"), NEW " = 201 b:5 " MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("a folder is there", &op, NEW " = 409 " ERROR("nameAlreadyExists"),
		 LOOK " = 200 x:" FOLDER_OF("f1", "a"), "FAILED conflict");
	PLAY("its folder went", &op, NEW " = 404 " ERROR("itemNotFound"),
		 "GET /root:/d = 404 " ERROR("itemNotFound"),
		 "POST /root/children {\"@microsoft.graph.conflictBehavior\":\"fail\","
		 "\"name\":\"d\",\"folder\":{}} = 201 x:" FOLDER_OF("f1", "d"),
		 "PUT /items/f1:/a:/content" FAIL " = 201 b:5 " MADE,
		 "DONE verified /d/a q:" HA);
	WORK;
	PLAY("the answer is lost, and it is there", &op, NEW " = lost",
		 LOOK " = 200 " MADE, "DONE verified /d/a q:" HA);
	PLAY("the answer is lost, and it is not", &op, NEW " = 502",
		 LOOK " = 404 " ERROR("itemNotFound"), "FAILED retry later");
	PLAY("nothing arrived", &op, NEW " = refused", "FAILED retry later");
	PLAY("the body failed", &op, NEW " = bodyfail", "FAILED changed");
	PLAY("full", &op, NEW " = 507 " ERROR("quotaLimitReached"), "FAILED quota");
	PLAY("too fast", &op, NEW " = 429 w:3", "FAILED retry later");
	PLAY("arrived as something else", &op,
		 NEW " = 201 b:5 x:" FILE_OF("i1", "a", "e1", "5", HB),
		 OURS " = 200 b:5 " MADE, "DONE verified /d/a q:" HA);
	PLAY("arrives as something else", &op,
		 NEW " = 201 b:5 x:" FILE_OF("i1", "a", "e1", "5", HB),
		 OURS " = 200 b:5 x:" FILE_OF("i1", "a", "e1", "5", HB),
		 OURS " = 200 b:5 x:" FILE_OF("i1", "a", "e1", "5", HB),
		 "DELETE /items/i1 = 204", "FAILED retry later");
	op.has_sha256 = false;
	op.checksum = NULL;
	PLAY("written down before it is sent", &op, "BODY 0 = b:5 h:a q:" HA,
		 "CHECKPOINT 5 a " HA, NEW " = 201 b:5 h:a q:" HA " " MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("changed between", &op, "BODY 0 = b:5 h:a q:" HA, "CHECKPOINT 5 a " HA,
		 NEW " = 201 b:5 h:b q:" HB " " MADE, "FAILED changed");
	op.size = 0;
	PLAY("empty", &op, "BODY 0 = b:0 h:a q:" HA, "CHECKPOINT 0 a " HA,
		 NEW " = 201 b:0 h:a "
			 "x:{\"id\":\"i1\",\"name\":\"a\",\"eTag\":\"e1\",\"size\":0,"
			 "\"file\":{}}",
		 "DONE verified /d/a empty");
}

static void
test_ours(void)
{
	CsOp op = put();

	WORK;
	op.id = "i1";
	op.known_version = "q:" HB;
	PLAY("ours is replaced", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "7", HB),
		 OURS " = 200 b:5 " MADE, "DONE verified /d/a q:" HA);
	PLAY("changed by somebody", &op, "GET /items/i1 = 200 " OTHER,
		 "FAILED conflict");
	PLAY("changed between", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "7", HB),
		 OURS " = 412 " INNER("resourceModified", "entityTagDoesNotMatch"),
		 "GET /items/i1 = 200 " OTHER, "FAILED conflict");
	PLAY("changed between, whatever the answer's code", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "7", HB),
		 OURS " = 412 " ERROR("resourceModified"),
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "7", HB),
		 OURS " = 200 b:5 " MADE, "DONE verified /d/a q:" HA);
	PLAY("removed, and made anew", &op,
		 "GET /items/i1 = 404 " ERROR("itemNotFound"),
		 LOOK " = 404 " ERROR("itemNotFound"), NEW " = 201 b:5 " MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("open in Office", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "7", HB),
		 OURS " = 423 " INNER("notAllowed", "resourceLocked"),
		 "FAILED retry later");
	PLAY("an upload holds its name", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "7", HB),
		 OURS " = 409 " ERROR("nameAlreadyExists"),
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "7", HB),
		 OURS " = 409 " ERROR("nameAlreadyExists"),
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "7", HB),
		 "FAILED retry later");
	op.overwrite = true;
	PLAY("overwrite", &op, "GET /items/i1 = 200 " OTHER,
		 "PUT /items/i1/content" REPLACE " if \"e9\" = 200 b:5 " MADE,
		 "DONE verified /d/a q:" HA);
	op = put();
	op.has_intended = true;
	op.intended_size = 9;
	op.intended_checksum = HC;
	PLAY("of an attempt cut off, told by its hash", &op,
		 NEW " = 409 " ERROR("nameAlreadyExists"), LOOK " = 200 " OTHER,
		 "PUT /items/i1/content" REPLACE " if \"e9\" = 200 b:5 " MADE,
		 "DONE verified /d/a q:" HA);
	op.intended_checksum = NULL;
	op.intended_size = 3;
	cs_sha256("abc", 3, op.intended_sha256);
	PLAY("told by its bytes", &op, NEW " = 409 " ERROR("nameAlreadyExists"),
		 LOOK " = 200 x:" FILE_OF("i1", "a", "e1", "3", HC),
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 d:abc", OURS " = 200 b:5 " MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("others' bytes", &op, NEW " = 409 " ERROR("nameAlreadyExists"),
		 LOOK " = 200 x:" FILE_OF("i1", "a", "e1", "3", HC),
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 d:abd", "FAILED conflict");
}

#define WORD_OF(etag, size, hash, created, modified, maker, editor)            \
	"x:{\"id\":\"i1\",\"name\":\"a.docx\",\"eTag\":\"" etag                    \
	"\",\"size\":" size ",\"file\":{\"hashes\":{\"quickXorHash\":\"" hash      \
	"\"}},\"createdDateTime\":\"2026-11-22T" created                           \
	"Z\",\"lastModifiedDateTime\":\"2026-11-22T" modified                      \
	"Z\",\"createdBy\":{\"application\":{\"id\":\"" maker                      \
	"\"}},\"lastModifiedBy\":{\"application\":{\"id\":\"" editor "\"}}}"
#define NEW_WORD "PUT /root:/d/a.docx:/content" FAIL
#define LOOK_WORD "GET /root:/d/a.docx"

static void
test_rewritten(void)
{
	CsOp op = put();

	WORK;
	service->client_id = "us";
	op.path = "/d/a.docx";
	PLAY("rewritten as it comes", &op,
		 NEW_WORD " = 201 b:5 " WORD_OF("e1", "99", HB, "10:00:00", "10:00:01",
										"us", "us"),
		 "DONE /d/a.docx q:" HB);
	op.since = cs_iso_date("2026-11-22T09:00:00Z");
	/* an hour apart, and told so */
	PLAY("the answer is lost", &op, NEW_WORD " = lost",
		 LOOK_WORD " = 200 k:2026-11-22T09:01:00Z t:10:01:00 " WORD_OF(
			 "e1", "99", HB, "10:00:00", "10:00:01", "us", "us"),
		 "DONE /d/a.docx q:" HB);
	PLAY("it stood there before", &op, NEW_WORD " = lost",
		 LOOK_WORD " = 200 k:2026-11-22T09:01:00Z t:10:01:00 " WORD_OF(
			 "e1", "99", HB, "09:59:00", "09:59:01", "us", "us"),
		 "FAILED retry later");
	PLAY("it comes from another time", &op, NEW_WORD " = lost",
		 LOOK_WORD " = 200 k:2026-11-22T09:01:00Z t:10:01:00 " WORD_OF(
			 "e1", "99", HB, "10:02:00", "10:02:01", "us", "us"),
		 "FAILED retry later");
	PLAY("another program made it", &op, NEW_WORD " = lost",
		 LOOK_WORD " = 200 k:2026-11-22T09:01:00Z t:10:01:00 " WORD_OF(
			 "e1", "99", HB, "10:00:00", "10:00:01", "them", "them"),
		 "FAILED retry later");
	PLAY("the service's clock is not told: minutes are allowed for", &op,
		 NEW_WORD " = lost",
		 LOOK_WORD " = 200 k:2026-11-22T09:01:00Z " WORD_OF(
			 "e1", "99", HB, "08:58:00", "08:58:01", "us", "us"),
		 "DONE /d/a.docx q:" HB);
	PLAY("but no hour", &op, NEW_WORD " = lost",
		 LOOK_WORD " = 200 k:2026-11-22T09:01:00Z " WORD_OF(
			 "e1", "99", HB, "10:00:00", "10:00:01", "us", "us"),
		 "FAILED retry later");
	PLAY("somebody's is there", &op,
		 NEW_WORD " = 409 " ERROR("nameAlreadyExists"),
		 LOOK_WORD " = 200 " WORD_OF("e1", "99", HB, "09:00:00", "09:00:01",
									 "us", "us"),
		 "FAILED conflict");
}

static void
test_rewritten_lost(void)
{
	CsOp op = put();

	op.path = "/d/a.docx";
	op.since = cs_iso_date("2026-11-22T09:00:00Z");
	WORK;
	service->client_id = "US";
	PLAY("before any answer, too", &op, NEW_WORD " = lost",
		 LOOK_WORD " = 200 k:2026-11-22T09:01:00Z t:10:01:00 " WORD_OF(
			 "e1", "99", HB, "10:00:00", "10:00:01", "us", "us"),
		 "DONE /d/a.docx q:" HB);
	PLAY("another program's is not ours", &op, NEW_WORD " = lost",
		 LOOK_WORD " = 200 k:2026-11-22T09:01:00Z t:10:01:00 " WORD_OF(
			 "e1", "99", HB, "10:00:00", "10:00:01", "any", "any"),
		 "FAILED retry later");
	op.has_intended = true;
	op.intended_size = 5;
	memset(op.intended_sha256, 'a', CS_SHA256_LENGTH);
	PLAY("of an attempt cut off: not sent again", &op,
		 NEW_WORD " = 409 " ERROR("nameAlreadyExists"),
		 LOOK_WORD " = 200 k:2026-11-22T11:01:00Z " WORD_OF(
			 "e1", "99", HB, "10:00:00", "10:00:01", "us", "us"),
		 "DONE adopted /d/a.docx q:" HB);
	PLAY("older than that attempt", &op,
		 NEW_WORD " = 409 " ERROR("nameAlreadyExists"),
		 LOOK_WORD " = 200 k:2026-11-22T11:01:00Z " WORD_OF(
			 "e1", "99", HB, "08:00:00", "08:00:01", "us", "us"),
		 "FAILED conflict");
	PLAY("somebody edited it", &op,
		 NEW_WORD " = 409 " ERROR("nameAlreadyExists"),
		 LOOK_WORD " = 200 k:2026-11-22T11:01:00Z " WORD_OF(
			 "e1", "99", HB, "10:00:00", "10:00:01", "us", "anna"),
		 "FAILED conflict");
}

static void
test_rewritten_later(void)
{
	CsOp op = put();

	WORK;
	service->client_id = "us";
	op.path = "/d/a.docx";
	op.id = "i1";
	op.known_version = "q:" HA;
	PLAY("rewritten later: still ours", &op,
		 "GET /items/i1 = 200 " WORD_OF("e1", "99", HB, "10:00:00", "11:00:01",
										"us", "us"),
		 "PUT /items/i1/content" REPLACE
		 " if \"e1\" = 200 b:5 " WORD_OF("e2", "99", HC, "10:00:00",
										 "12:00:01", "us", "us"),
		 "DONE /d/a.docx q:" HC);
	PLAY("made by a customer, left by us, rewritten later: still ours", &op,
		 "GET /items/i1 = 200 " WORD_OF("e1", "99", HB, "10:00:00", "11:00:01",
										"anna", "us"),
		 "PUT /items/i1/content" REPLACE
		 " if \"e1\" = 200 b:5 " WORD_OF("e2", "99", HC, "10:00:00",
										 "12:00:01", "anna", "us"),
		 "DONE /d/a.docx q:" HC);
	PLAY("made and edited by others: not ours", &op,
		 "GET /items/i1 = 200 " WORD_OF("e1", "99", HB, "10:00:00", "11:00:01",
										"anna", "anna"),
		 "FAILED conflict");
	PLAY("edited by somebody: not ours", &op,
		 "GET /items/i1 = 200 " WORD_OF("e1", "99", HB, "10:00:00", "11:00:01",
										"us", "anna"),
		 "FAILED conflict");
	OPEN("drive_id", "ab");
	op.id = NULL;
	op.known_version = NULL;
	PLAY("not on a personal drive", &op,
		 "PUT /drives/ab/root:/d/a.docx:/content" FAIL
		 " = 201 b:5 " WORD_OF("e1", "99", HB, "10:00:00", "10:00:01", "us",
							   "us"),
		 "PUT /drives/ab/items/i1/content" REPLACE " if \"e1\" = 429",
		 "FAILED retry later");
}

#define BIG 25000000
#define HEX_A                                                                  \
	"6161616161616161616161616161616161616161616161616161616161616161"
#define HEX_B                                                                  \
	"6262626262626262626262626262626262626262626262626262626262626262"
#define BEGIN_NEW                                                              \
	"POST /root:/d/a:/createUploadSession "                                    \
	"{\"item\":{\"@microsoft.graph.conflictBehavior\":\"fail\",\"name\":"      \
	"\"a\"}}"
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
#define RECORDED "CHECKPOINT 25000000 a " HA " secret:" HEX_A " https://up/SECRET"
#define WHERE "GET -https://up/SECRET"
#define ENDED "DELETE -https://up/SECRET = 204"

static void
test_session(void)
{
	CsOp op = put();

	WORK;
	op.has_sha256 = false;
	op.checksum = NULL;
	op.size = BIG;
	PLAY("in parts", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 TWO_PARTS,
		 P3 " = 201 " BIG_MADE, "DONE verified /d/a q:" HA);
	PLAY("a part is lost", &op, READ, BEGIN_NEW BEGUN, RECORDED, P1 " = lost",
		 WHERE " = 200 " EXPECTS("10485760"), P2 " = 503 w:4",
		 "FAILED retry later");
	PLAY("overlaps", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 P1 " = 416 " INNER("invalidRange", "fragmentOverlap"),
		 WHERE " = 200 " EXPECTS("10485760"), P2 " = 202 " EXPECTS("20971520"),
		 P3 " = 201 " BIG_MADE, "DONE verified /d/a q:" HA);
	PLAY("the session is lost", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 P1 " = 404 " INNER("itemNotFound", "uploadSessionNotFound"),
		 WHERE " = 404", BEGIN_NEW BEGUN, RECORDED,
		 TWO_PARTS,
		 P3 " = 201 " BIG_MADE, "DONE verified /d/a q:" HA);
	PLAY("its address is over", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 P1 " = 401", BEGIN_NEW " = 429", "FAILED retry later");
	PLAY("the last answer is lost, and it is there", &op, READ,
		 BEGIN_NEW BEGUN, RECORDED, TWO_PARTS,
		 P3 " = 500", WHERE " = 404", LOOK " = 200 " BIG_MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("the last answer is lost, and it is not", &op, READ, BEGIN_NEW BEGUN,
		 RECORDED, TWO_PARTS, P3 " = 500",
		 WHERE " = 404", LOOK " = 404 " ERROR("itemNotFound"),
		 "FAILED retry now");
	PLAY("asks for what is there", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 TWO_PARTS, P3 " = 202 x:{}", WHERE " = 404",
		 LOOK " = 200 " BIG_MADE, "DONE verified /d/a q:" HA);
	PLAY("the name was taken meanwhile", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 TWO_PARTS,
		 P3 " = 409 " ERROR("nameAlreadyExists"), ENDED, LOOK " = 200 " OTHER,
		 "FAILED conflict");
	PLAY("the body changes", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 P1 " = bodyfail", ENDED, "FAILED changed");
	PLAY("full", &op, READ, BEGIN_NEW BEGUN, RECORDED,
		 P1 " = 507 " ERROR("quotaLimitReached"), ENDED, "FAILED quota");
	PLAY("the name is taken", &op, READ,
		 BEGIN_NEW " = 409 " ERROR("nameAlreadyExists"), LOOK " = 200 " BIG_MADE,
		 "DONE adopted verified /d/a q:" HA);
	PLAY("an upload of which we were not told holds the name", &op, READ,
		 BEGIN_NEW " = lost", BEGIN_NEW " = 409 " ERROR("nameAlreadyExists"),
		 LOOK " = 404 " ERROR("itemNotFound"), "FAILED retry later");
	tap_ok(last_failure.retry_after_ms == 15 * 60 * 1000,
		   "until the service ends it");
	PLAY("the first one never came to be", &op, READ, BEGIN_NEW " = 502",
		 BEGIN_NEW BEGUN, RECORDED, TWO_PARTS,
		 P3 " = 201 " BIG_MADE, "DONE verified /d/a q:" HA);
	PLAY("its name is held and then taken by somebody", &op, READ,
		 BEGIN_NEW " = 409 " ERROR("nameAlreadyExists"), LOOK " = 200 " OTHER,
		 "FAILED conflict");
	PLAY("an address that is not safe", &op, READ,
		 BEGIN_NEW " = 200 x:{\"uploadUrl\":\"http://up/SECRET\"}",
		 "FAILED broken");
	PLAY("no session at all", &op, READ, BEGIN_NEW " = 403 " ERROR("accessDenied"),
		 "FAILED forbidden");
	op.session = "secret:" HEX_A " https://up/SECRET";
	PLAY("goes on after a restart", &op, READ,
		 WHERE " = 200 " EXPECTS("20971520"), P3 " = 201 " BIG_MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("had been complete", &op, READ, WHERE " = 404", LOOK " = 200 " BIG_MADE,
		 "DONE adopted verified /d/a q:" HA);
	PLAY("had been lost", &op, READ, WHERE " = 404",
		 LOOK " = 404 " ERROR("itemNotFound"), BEGIN_NEW BEGUN, RECORDED,
		 P1 " = refused", WHERE " = refused", "FAILED retry later");
	op.session = "secret:" HEX_B " https://up/SECRET";
	PLAY("of other bytes: ended", &op, READ, ENDED,
		 LOOK " = 404 " ERROR("itemNotFound"), BEGIN_NEW " = 429",
		 "FAILED retry later");
}

/* Sessions that are not to be believed. */
static void
test_session_nonsense(void)
{
	CsOp op = put();

	WORK;
	op.has_sha256 = false;
	op.checksum = NULL;
	op.size = BIG;
	PLAY("has more than was sent: one that can be believed", &op, READ,
		 BEGIN_NEW BEGUN, RECORDED, P1 " = 202 " EXPECTS("20971520"),
		 WHERE " = 200 " EXPECTS("20971520"), ENDED,
		 LOOK " = 404 " ERROR("itemNotFound"), BEGIN_NEW BEGUN, RECORDED,
		 TWO_PARTS, P3 " = 201 " BIG_MADE, "DONE verified /d/a q:" HA);
	PLAY("takes nothing more, and is not complete: another one", &op, READ,
		 BEGIN_NEW BEGUN, RECORDED, TWO_PARTS, P3 " = 202 x:{}",
		 WHERE " = 200 x:{\"nextExpectedRanges\":[]}", ENDED,
		 LOOK " = 404 " ERROR("itemNotFound"), BEGIN_NEW " = 429",
		 "FAILED retry later");
	PLAY("what its host says does not repeat its address", &op, READ,
		 BEGIN_NEW " = 200 x:{\"uploadUrl\":\"https://up/SECRET-in-the-path\"}",
		 "CHECKPOINT 25000000 a " HA " secret:" HEX_A
		 " https://up/SECRET-in-the-path",
		 "PUT -https://up/SECRET-in-the-path bytes 0-10485759/25000000 = 400 "
		 "x:{\"error\":{\"code\":\"x\",\"message\":\"no SECRET-in-the-path\"}}",
		 "DELETE -https://up/SECRET-in-the-path = 204", "FAILED broken");
}

#define BEGIN_OURS                                                             \
	"POST /items/i1/createUploadSession "                                      \
	"{\"item\":{\"@microsoft.graph.conflictBehavior\":\"replace\"}}"
#define BEFORE "x:" FILE_OF("i1", "a", "e1", "7", HB)

static void
test_session_of_ours(void)
{
	CsOp op = put();

	WORK;
	op.has_sha256 = false;
	op.checksum = NULL;
	op.size = BIG;
	op.id = "i1";
	op.known_version = "q:" HB;
	PLAY("ours is replaced, looked at before the last part", &op,
		 "GET /items/i1 = 200 " BEFORE, READ, BEGIN_OURS BEGUN, RECORDED,
		 TWO_PARTS,
		 "GET /items/i1 = 200 " BEFORE, P3 " = 200 " BIG_MADE,
		 "DONE verified /d/a q:" HA);
	PLAY("an upload of which we were not told holds its name", &op,
		 "GET /items/i1 = 200 " BEFORE, READ, BEGIN_OURS " = lost",
		 BEGIN_OURS " = 409 " ERROR("nameAlreadyExists"),
		 "GET /items/i1 = 200 " BEFORE, "FAILED retry later");
	tap_ok(last_failure.retry_after_ms == 15 * 60 * 1000,
		   "until the service ends it");
	PLAY("changed by somebody while it was sent", &op,
		 "GET /items/i1 = 200 " BEFORE, READ, BEGIN_OURS BEGUN, RECORDED,
		 TWO_PARTS, "GET /items/i1 = 200 " OTHER, ENDED,
		 "FAILED conflict");
}

int
main(void)
{
	test_new();
	test_ours();
	test_rewritten();
	test_rewritten_lost();
	test_rewritten_later();
	test_session();
	test_session_nonsense();
	test_session_of_ours();
	return tap_done();
}
