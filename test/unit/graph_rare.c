/* sources: src/provider/graph*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Microsoft Graph provider: what seldom happens, replayed (graph_play.h).
 * Upload sessions that are not to be believed, files without a hash, whose a file
 * is that the service rewrites. Of listings and GET: graph_get.c.
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

int
main(void)
{
	test_last_look();
	test_no_hash();
	test_session();
	test_small();
	test_intended();
	test_rewritten();
	return tap_done();
}
