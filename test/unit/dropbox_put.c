/* sources: src/provider/dropbox*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Dropbox provider: what it sends of one file, in one request or in
 * sessions, replayed (dropbox_play.h).
 */
#include "postgres_fe.h"

#include "dropbox_play.h"

#define LOOK(path) "API files/get_metadata {\"path\":\"" path "\"} = "
#define NOT_FOUND PATH_ERROR("not_found")
#define F(name, path, id, rev, size, hash)                                     \
	"{\".tag\":\"file\"," FILE_JSON(name, path, id, rev, size, hash) "}"
#define HOW "\"autorename\":false,\"mute\":true,\"strict_conflict\":false"
#define ADD "\"path\":\"/d/f\",\"mode\":\"add\"," HOW
#define OVER "\"path\":\"/d/f\",\"mode\":\"overwrite\"," HOW
#define UPD(rev)                                                               \
	"\"path\":\"/d/f\",\"mode\":{\".tag\":\"update\",\"update\":\"" rev        \
	"\"}," HOW
#define PUT(how, hash)                                                         \
	"CON files/upload {" how ",\"content_hash\":\"" hash "\"} body 0+5"
#define MADE(rev, hash) "200 b:5 h:a " F("f", "/d/f", "id:1", rev, "5", hash)
#define THERE(rev, hash) "200 " F("f", "/d/f", "id:1", rev, "5", hash)
#define CONFLICT UPLOAD_ERROR(IN("conflict", TAG("file")))

static CsOp
put(void)
{
	CsOp op = {.kind = CS_OP_PUT, .path = "/d/f", .size = 5};

	op.has_sha256 = true;
	memset(op.sha256, 'a', CS_SHA256_LENGTH);
	return op;
}

static void
test_put_one(void)
{
	CsOp op = put();
	CsOp over = put();
	CsOp unknown = put();
	CsOp empty = put();

	over.overwrite = true;
	unknown.has_sha256 = false;
	empty.size = 0;
	FRESH;
	PLAY("one request", &op, PUT(ADD, "#a") " = " MADE("r1", "#a"),
		 "DONE verified /d/f r1 5");
	PLAY("nothing in it", &empty,
		 "CON files/upload {" ADD ",\"content_hash\":\"#0\"} = 200 " F(
			 "f", "/d/f", "id:1", "r1", "0", "#0"),
		 "DONE verified /d/f r1 0");
	PLAY("over anything", &over, PUT(OVER, "#a") " = " MADE("r1", "#a"),
		 "DONE verified /d/f r1 5");
	PLAY("hashed first", &unknown, "BODY 0+5 = b:5 h:a c:a", "CHECKPOINT 5 a",
		 PUT(ADD, "#a") " = " MADE("r1", "#a"), "DONE verified /d/f r1 5");
	PLAY("hashed by its size", &unknown, "BODY 0+5 = b:5 h:a", "CHECKPOINT 5 a",
		 PUT(ADD, "#a") " = " MADE("r1", "#a"), "DONE verified /d/f r1 5");
	PLAY("cannot be read", &unknown, "BODY 0+5 = bodyfail", "FAILED changed");
	op.known_version = "r0";
	PLAY("an update", &op, PUT(UPD("r0"), "#a") " = " MADE("r1", "#a"),
		 "DONE verified /d/f r1 5");
	PLAY("as it was", &op, PUT(UPD("r0"), "#a") " = " MADE("r0", "#a"),
		 "DONE adopted verified /d/f r0 5");
	open_with("path_root", "123");
	PLAY("somewhere", &op,
		 PUT(UPD("r0"), "#a") " root {\".tag\":\"namespace_id\","
							  "\"namespace_id\":\"123\"} = " MADE("r1", "#a"),
		 "DONE verified /d/f r1 5");
}

static void
test_put_conflict(void)
{
	CsOp op = put();
	CsOp intended = put();

	intended.has_intended = true;
	intended.intended_size = 5;
	memset(intended.intended_sha256, 'b', CS_SHA256_LENGTH);
	FRESH;
	PLAY("somebody's", &op, PUT(ADD, "#a") " = " CONFLICT,
		 LOOK("/d/f") THERE("r9", "#c"), "FAILED conflict");
	PLAY("a folder", &op,
		 PUT(ADD, "#a") " = " UPLOAD_ERROR(IN("conflict", TAG("folder"))),
		 LOOK("/d/f") "200 {\".tag\":\"folder\"," FOLDER_JSON("f", "/d/f",
															  "id:2") "}",
		 "FAILED conflict");
	PLAY(
		"below a file", &op,
		PUT(ADD, "#a") " = " UPLOAD_ERROR(IN("conflict", TAG("file_ancestor"))),
		"FAILED forbidden");
	PLAY("our bytes", &op, PUT(ADD, "#a") " = " CONFLICT,
		 LOOK("/d/f") THERE("r9", "#a"), "DONE adopted verified /d/f r9 5");
	PLAY("of an attempt before", &intended, PUT(ADD, "#a") " = " CONFLICT,
		 LOOK("/d/f") THERE("r9", "#b"),
		 PUT(UPD("r9"), "#a") " = " MADE("r10", "#a"),
		 "DONE verified /d/f r10 5");
	PLAY("gone meanwhile", &op, PUT(ADD, "#a") " = " CONFLICT,
		 LOOK("/d/f") NOT_FOUND, PUT(ADD, "#a") " = " MADE("r1", "#a"),
		 "DONE verified /d/f r1 5");
	PLAY("comes and goes", &op, PUT(ADD, "#a") " = " CONFLICT,
		 LOOK("/d/f") NOT_FOUND, PUT(ADD, "#a") " = " CONFLICT,
		 LOOK("/d/f") NOT_FOUND, PUT(ADD, "#a") " = " CONFLICT,
		 LOOK("/d/f") NOT_FOUND, PUT(ADD, "#a") " = " CONFLICT,
		 LOOK("/d/f") NOT_FOUND, PUT(ADD, "#a") " = " CONFLICT,
		 "FAILED retry later");
	op.known_version = "r0";
	PLAY("changed by somebody", &op, PUT(UPD("r0"), "#a") " = " CONFLICT,
		 LOOK("/d/f") THERE("r9", "#c"), "FAILED conflict");
}

static void
test_put_faults(void)
{
	CsOp op = put();

	FRESH;
	PLAY("lost and there", &op, PUT(ADD, "#a") " = lost",
		 LOOK("/d/f") THERE("r1", "#a"), "DONE verified /d/f r1 5");
	PLAY("lost and not there", &op, PUT(ADD, "#a") " = 503",
		 LOOK("/d/f") NOT_FOUND, "FAILED retry later");
	PLAY("lost and another there", &op, PUT(ADD, "#a") " = lost",
		 LOOK("/d/f") THERE("r1", "#b"), "FAILED retry later");
	PLAY("never arrived", &op, PUT(ADD, "#a") " = refused",
		 "FAILED retry later");
	PLAY("body", &op, PUT(ADD, "#a") " = bodyfail", "FAILED changed");
	PLAY("damaged on the way", &op,
		 PUT(ADD, "#a") " = 409 " ERROR(TAG("content_hash_mismatch")),
		 PUT(ADD, "#a") " = " MADE("r1", "#a"), "DONE verified /d/f r1 5");
	PLAY("damaged there", &op, PUT(ADD, "#a") " = " MADE("r1", "#b"),
		 PUT(UPD("r1"), "#a") " = " MADE("r2", "#a"),
		 "DONE verified /d/f r2 5");
	PLAY("damaged for ever", &op, PUT(ADD, "#a") " = " MADE("r1", "#b"),
		 PUT(UPD("r1"), "#a") " = " MADE("r2", "#b"),
		 PUT(UPD("r2"), "#a") " = " MADE("r3", "#b"),
		 "API files/delete_v2 {\"path\":\"/d/f\",\"parent_rev\":\"r3\"} = 200 "
		 "{}",
		 "FAILED retry later");
	PLAY("full", &op,
		 PUT(ADD, "#a") " = " UPLOAD_ERROR(TAG("insufficient_space")),
		 "FAILED quota");
	PLAY("disallowed", &op,
		 PUT(ADD, "#a") " = " UPLOAD_ERROR(TAG("disallowed_name")),
		 "FAILED refused");
	PLAY("malformed", &op,
		 PUT(ADD, "#a") " = " UPLOAD_ERROR(
			 "{\".tag\":\"malformed_path\",\"malformed_path\":\"/d/f\"}"),
		 "FAILED refused");
	PLAY("suppressed", &op,
		 PUT(ADD, "#a") " = " UPLOAD_ERROR(TAG("operation_suppressed")),
		 "FAILED forbidden");
	PLAY("restricted", &op,
		 PUT(ADD, "#a") " = " UPLOAD_ERROR(TAG("access_restricted")),
		 "FAILED forbidden");
	PLAY("too large", &op,
		 PUT(ADD, "#a") " = 409 " ERROR(TAG("payload_too_large")),
		 "FAILED broken");
	PLAY("encrypted", &op,
		 PUT(ADD, "#a") " = 409 " ERROR(TAG("encryption_not_supported")),
		 "FAILED forbidden");
	PLAY("the month's uploads", &op,
		 PUT(ADD,
			 "#a") " = 403 " ERROR(IN("invalid_account_type", TAG("feature"))),
		 "FAILED quota");
	PLAY("locked", &op,
		 PUT(ADD, "#a") " = " UPLOAD_ERROR(TAG("too_many_write_operations")),
		 PUT(ADD, "#a") " wait 1 = " MADE("r1", "#a"),
		 "DONE verified /d/f r1 5");
	PLAY("nonsense", &op, PUT(ADD, "#a") " = 200 b:5 {\"a\":1}",
		 "FAILED retry later");
}

/* 40 MiB: two chunks of 16 MiB and one of 8 */
#define M16 "16777216"
#define M32 "33554432"
#define M40 "41943040"
#define START "CON files/upload_session/start {\"close\":false} = "
#define STARTED START "200 {\"session_id\":\"u1\"}"
#define APPEND(session, at)                                                    \
	"CON files/upload_session/append_v2 "                                      \
	"{\"cursor\":{\"session_id\":\"" session "\",\"offset\":" at               \
	"},\"close\":false}"
#define CHUNK1(s) APPEND(s, "0") " body 0+" M16
#define CHUNK2(s) APPEND(s, M16) " body " M16 "+" M16
#define CHUNK3(s) APPEND(s, M32) " body " M32 "+8388608"
#define FINISH(s, how)                                                         \
	"CON files/upload_session/finish {\"cursor\":{\"session_id\":\"" s         \
	"\",\"offset\":" M40 "},\"commit\":{" how "}} = "
#define SENT(n) "200 b:" n " h:a c:a"
#define BIG(rev, hash) F("f", "/d/f", "id:1", rev, M40, hash)
#define OFFSET(n)                                                              \
	"409 " ERROR("{\".tag\":\"incorrect_offset\",\"correct_offset\":" n "}")
#define LAST(s) "CHECKPOINT " M40 " a s:" s
#define LOST_SESSION "409 " ERROR(TAG("not_found"))

static CsOp
big(void)
{
	CsOp op = {.kind = CS_OP_PUT, .path = "/d/f", .size = 41943040};

	op.fresh_folder = true;
	return op;
}

static void
test_session(void)
{
	CsOp op = big();
	CsOp looks = big();
	CsOp unknown = big();

	looks.fresh_folder = false;
	unknown.size = -1;
	FRESH;
	PLAY("in chunks", &op, STARTED, "CHECKPOINT -1 - s:u1",
		 CHUNK1("u1") " = " SENT(M16), CHUNK2("u1") " = " SENT(M16),
		 CHUNK3("u1") " = " SENT("8388608"), LAST("u1"),
		 FINISH("u1", ADD) "200 " BIG("r1", "#a"),
		 "DONE verified /d/f r1 41943040");
	PLAY("of a length not known", &unknown, STARTED, "CHECKPOINT -1 - s:u1",
		 "BODY 0+" M16 " = b:5 h:a c:a",
		 APPEND("u1", "0") " body 0+5 = " SENT("5"),
		 "BODY 5+" M16 " = b:0 h:a c:a", "CHECKPOINT 5 a s:u1",
		 "CON files/upload_session/finish {\"cursor\":{\"session_id\":\"u1\","
		 "\"offset\":5},\"commit\":{" ADD "}} = " THERE("r1", "#a"),
		 "DONE verified /d/f r1 5");
	/* of unknown length, and in the end empty */
	unknown.fresh_folder = false;
	PLAY("nothing of it where something is", &unknown, LOOK("/d/f") THERE("r9", "#c"),
		 "BODY 0 = b:0 h:0 c:0", LOOK("/d/f") THERE("r9", "#c"), "FAILED conflict");
	PLAY("nothing of it where nothing is", &unknown, LOOK("/d/f") "200 " F("f", "/d/f", "id:1", "r9", "0", "#0"),
		 "BODY 0 = b:0 h:0 c:0", LOOK("/d/f") "200 " F("f", "/d/f", "id:1", "r9", "0", "#0"),
		 "DONE adopted verified /d/f r9 0");
	PLAY("somebody's is there", &looks, LOOK("/d/f") THERE("r9", "#c"),
		 "FAILED conflict");
	PLAY("as large as ours", &looks, LOOK("/d/f") "200 " BIG("r9", "#c"),
		 "BODY 0+" M40 " = b:" M40 " h:a c:a",
		 LOOK("/d/f") "200 " BIG("r9", "#c"), "FAILED conflict");
	PLAY("ours", &looks, LOOK("/d/f") "200 " BIG("r9", "#a"),
		 "BODY 0+" M40 " = b:" M40 " h:a c:a",
		 LOOK("/d/f") "200 " BIG("r9", "#a"),
		 "DONE adopted verified /d/f r9 41943040");
	looks.known_version = "r9";
	PLAY("an update", &looks, LOOK("/d/f") THERE("r9", "#c"), STARTED,
		 "CHECKPOINT -1 - s:u1", CHUNK1("u1") " = " SENT(M16),
		 CHUNK2("u1") " = " SENT(M16), CHUNK3("u1") " = " SENT("8388608"),
		 LAST("u1"), FINISH("u1", UPD("r9")) "200 " BIG("r10", "#a"),
		 "DONE verified /d/f r10 41943040");
	PLAY("not begun", &op, START "lost", "FAILED retry later");
}

static void
test_session_resume(void)
{
	CsOp op = big();

	op.session = "s:u0";
	FRESH;
	PLAY("goes on", &op, LOOK("/d/f") NOT_FOUND,
		 APPEND("u0", "0") " = " OFFSET(M32), "BODY 0+" M32 " = b:" M32 " h:c",
		 CHUNK3("u0") " = " SENT("8388608"), LAST("u0"),
		 FINISH("u0", ADD) "200 " BIG("r1", "#a"),
		 "DONE verified /d/f r1 41943040");
	PLAY("all was there", &op, LOOK("/d/f") NOT_FOUND,
		 APPEND("u0", "0") " = " OFFSET(M40),
		 "BODY 0+" M40 " = b:" M40 " h:a c:a", LAST("u0"),
		 FINISH("u0", ADD) "200 " BIG("r1", "#a"),
		 "DONE verified /d/f r1 41943040");
	PLAY("nothing was there", &op, LOOK("/d/f") NOT_FOUND,
		 APPEND("u0", "0") " = 200 {}", CHUNK1("u0") " = bodyfail",
		 "FAILED changed");
	PLAY("its body is shorter now", &op, LOOK("/d/f") NOT_FOUND,
		 APPEND("u0", "0") " = " OFFSET(M32), "BODY 0+" M32 " = b:7 h:c",
		 "FAILED changed");
	PLAY("the session is gone", &op, LOOK("/d/f") NOT_FOUND,
		 APPEND("u0", "0") " = " LOST_SESSION, STARTED, "CHECKPOINT -1 - s:u1",
		 CHUNK1("u1") " = bodyfail", "FAILED changed");
	PLAY("more than there is", &op, LOOK("/d/f") NOT_FOUND,
		 APPEND("u0", "0") " = " OFFSET("99999999"), STARTED,
		 "CHECKPOINT -1 - s:u1", CHUNK1("u1") " = bodyfail", "FAILED changed");
	op.session_is_stale = true;
	PLAY("begun with other bytes", &op, LOOK("/d/f") NOT_FOUND, STARTED,
		 "CHECKPOINT -1 - s:u1", CHUNK1("u1") " = bodyfail", "FAILED changed");
	op.session_is_stale = false;
	op.has_intended = true;
	op.intended_size = 41943040;
	op.intended_checksum = hash_of_letter('b');
	PLAY("an attempt before made it", &op, LOOK("/d/f") "200 " BIG("r1", "#b"),
		 "BODY 0+" M40 " = b:" M40 " h:b c:b",
		 LOOK("/d/f") "200 " BIG("r1", "#b"),
		 "DONE adopted verified /d/f r1 41943040");
	PLAY("and the body is another since", &op,
		 LOOK("/d/f") "200 " BIG("r1", "#b"),
		 "BODY 0+" M40 " = b:" M40 " h:a c:a",
		 LOOK("/d/f") "200 " BIG("r1", "#b"),
		 APPEND("u0", "0") " = " OFFSET(M40), LAST("u0"),
		 FINISH("u0", UPD("r1")) "200 " BIG("r2", "#a"),
		 "DONE verified /d/f r2 41943040");
}

static void
test_session_faults(void)
{
	CsOp op = big();
#define BEGIN STARTED, "CHECKPOINT -1 - s:u1", CHUNK1("u1") " = " SENT(M16)
#define ALL                                                                    \
	BEGIN, CHUNK2("u1") " = " SENT(M16), CHUNK3("u1") " = " SENT("8388608"),   \
		LAST("u1")

	FRESH;
	PLAY("a chunk that had arrived", &op, BEGIN, CHUNK2("u1") " = lost",
		 APPEND("u1", "0") " = " OFFSET(M32),
		 "BODY " M16 "+" M16 " = b:" M16 " h:c",
		 CHUNK3("u1") " = " SENT("8388608"), LAST("u1"),
		 FINISH("u1", ADD) "200 " BIG("r1", "#a"),
		 "DONE verified /d/f r1 41943040");
	PLAY("a chunk that had not", &op, BEGIN, CHUNK2("u1") " = 502",
		 APPEND("u1", "0") " = " OFFSET(M16), CHUNK2("u1") " = bodyfail",
		 "FAILED changed");
	PLAY("part of a chunk", &op, BEGIN, CHUNK2("u1") " = " OFFSET("20000000"),
		 "BODY " M16 "+3222784 = b:3222784 h:c",
		 APPEND("u1", "20000000") " body 20000000+" M16 " = bodyfail",
		 "FAILED changed");
	PLAY("the net is down", &op, BEGIN, CHUNK2("u1") " = lost",
		 APPEND("u1", "0") " = refused", "FAILED retry later");
	PLAY("the session is lost", &op, BEGIN, CHUNK2("u1") " = " LOST_SESSION,
		 START "200 {\"session_id\":\"u2\"}", "CHECKPOINT -1 - s:u2",
		 CHUNK1("u2") " = bodyfail", "FAILED changed");
	PLAY("too large", &op, BEGIN,
		 CHUNK2("u1") " = 409 " ERROR(TAG("too_large")), "FAILED refused");
	PLAY("the commit's answer is lost", &op, ALL, FINISH("u1", ADD) "lost",
		 LOOK("/d/f") "200 " BIG("r1", "#a"), "DONE verified /d/f r1 41943040");
	PLAY("and it was not made", &op, ALL, FINISH("u1", ADD) "503",
		 LOOK("/d/f") NOT_FOUND, "FAILED retry later");
	PLAY("committed before", &op, ALL,
		 FINISH("u1", ADD) "409 " ERROR(IN("lookup_failed", TAG("not_found"))),
		 LOOK("/d/f") "200 " BIG("r1", "#a"), "DONE verified /d/f r1 41943040");
	PLAY("lost before the commit", &op, ALL,
		 FINISH("u1", ADD) "409 " ERROR(IN("lookup_failed", TAG("not_found"))),
		 LOOK("/d/f") NOT_FOUND, START "200 {\"session_id\":\"u2\"}",
		 "CHECKPOINT -1 - s:u2", CHUNK1("u2") " = bodyfail", "FAILED changed");
	PLAY("at another place", &op, ALL,
		 FINISH("u1", ADD) "409 " ERROR(
			 IN("lookup_failed",
				"{\".tag\":\"incorrect_offset\",\"correct_offset\":" M32 "}")),
		 CHUNK3("u1") " = " SENT("8388608"), LAST("u1"),
		 FINISH("u1", ADD) "200 " BIG("r1", "#a"),
		 "DONE verified /d/f r1 41943040");
	PLAY(
		"somebody was quicker", &op, ALL,
		FINISH("u1", ADD) "409 " ERROR(IN("path", IN("conflict", TAG("file")))),
		LOOK("/d/f") THERE("r9", "#c"), "FAILED conflict");
	PLAY(
		"ourselves", &op, ALL,
		FINISH("u1", ADD) "409 " ERROR(IN("path", IN("conflict", TAG("file")))),
		LOOK("/d/f") "200 " BIG("r9", "#a"),
		"DONE adopted verified /d/f r9 41943040");
	PLAY("locked", &op, ALL,
		 FINISH("u1", ADD) "409 " ERROR(TAG("too_many_write_operations")),
		 "CON files/upload_session/finish {\"cursor\":{\"session_id\":\"u1\","
		 "\"offset\":" M40 "},\"commit\":{" ADD
		 "}} wait 1 = 200 " BIG("r1", "#a"),
		 "DONE verified /d/f r1 41943040");
	PLAY("full", &op, ALL,
		 FINISH("u1", ADD) "409 " ERROR(IN("path", TAG("insufficient_space"))),
		 "FAILED quota");
	PLAY("damaged", &op, ALL, FINISH("u1", ADD) "200 " BIG("r1", "#b"),
		 START "200 {\"session_id\":\"u2\"}", "CHECKPOINT -1 - s:u2",
		 CHUNK1("u2") " = " SENT(M16), CHUNK2("u2") " = " SENT(M16),
		 CHUNK3("u2") " = " SENT("8388608"), LAST("u2"),
		 FINISH("u2", UPD("r1")) "200 " BIG("r2", "#a"),
		 "DONE verified /d/f r2 41943040");
}

/* ---- many ---- */

int
main(void)
{
	test_put_one();
	test_put_conflict();
	test_put_faults();
	test_session();
	test_session_resume();
	test_session_faults();
	return tap_done();
}
