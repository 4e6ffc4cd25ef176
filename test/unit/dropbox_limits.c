/* sources: src/provider/dropbox*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Dropbox provider: where it stops trying, and answers that cannot be,
 * replayed (dropbox_play.h).
 */
#include "postgres_fe.h"

#include "dropbox_play.h"

#define ACCOUNT "API users/get_current_account null"
#define USAGE "API users/get_space_usage null"
#define LOOK(path) "API files/get_metadata {\"path\":\"" path "\"} = "
#define NOT_FOUND PATH_ERROR("not_found")
#define F(name, path, id, rev, size, hash)                                     \
	"{\".tag\":\"file\"," FILE_JSON(name, path, id, rev, size, hash) "}"
#define D(name, path, id) "{\".tag\":\"folder\"," FOLDER_JSON(name, path, id) "}"
#define SLOW(after) "429 {\"error\":{\"reason\":" TAG("too_many_requests") ",\"retry_after\":" after "}}"
#define CLOSED_ACCOUNT "200 {\"account_id\":\"dbid:1\"}"

static void
test_waits(void)
{
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};

	FRESH;
	PLAY("a wait that nobody believes", &op, ACCOUNT " = " SLOW("9000000000000000"), ACCOUNT " wait 1 = 401", "FAILED needs consent");
	PLAY("nor this", &op, ACCOUNT " = " SLOW("-7"), ACCOUNT " wait 1 = 401", "FAILED needs consent");
	PLAY("each request begins anew", &op, ACCOUNT " = 429", ACCOUNT " wait 1 = 429", ACCOUNT " wait 2 = " CLOSED_ACCOUNT,
		 USAGE " = 429", USAGE " wait 1 = 401", "FAILED needs consent");
	PLAY("a team's room", &op, ACCOUNT " = " CLOSED_ACCOUNT,
		 USAGE " = 200 {\"used\":5,\"allocation\":{\".tag\":\"team\",\"used\":50,\"allocated\":90,\"user_within_team_space_allocated\":0}}",
		 "DONE // of dbid:1 50/90");
	PLAY("a member's own", &op, ACCOUNT " = " CLOSED_ACCOUNT,
		 USAGE " = 200 {\"used\":5,\"allocation\":{\".tag\":\"team\",\"used\":50,\"allocated\":90,\"user_within_team_space_allocated\":20}}",
		 "DONE // of dbid:1 5/20");
}

static void
test_entries(void)
{
	CsOp stat = {.kind = CS_OP_STAT, .path = "/f", .id = "id:1"};
	CsOp named = {.kind = CS_OP_STAT, .path = "/f"};
	CsOp folder = {.kind = CS_OP_MKDIR, .path = "/f"};

	FRESH;
	PLAY("a size below nothing", &stat, LOOK("id:1") "200 " F("f", "/f", "id:1", "r1", "-5", "#a"), "FAILED retry later");
	PLAY("a file that is the root", &stat, LOOK("id:1") "200 " F("f", "/", "id:1", "r1", "5", "#a"), "DONE /// r1 5");
	PLAY("a name that cannot be", &named, LOOK("/f") "400 t:Error in call: path: '/f' did not match pattern '(/.*)'", "FAILED refused");
	PLAY("which other words do not say", &named, LOOK("/f") "400 t:Error in call: path: nonsense", "FAILED broken");
	PLAY("a file where a folder is to be", &folder, "API files/create_folder_v2 {\"path\":\"/f\",\"autorename\":false} = lost",
		 LOOK("/f") "200 " F("f", "/f", "id:1", "r1", "5", "#a"), "FAILED conflict");
}

#define LIST_A                                                                 \
	"API files/list_folder {\"path\":\"/A\",\"recursive\":true,\"limit\":2000," \
	"\"include_deleted\":false,\"include_mounted_folders\":true,"             \
	"\"include_non_downloadable_files\":true} = "
#define PAGE(entries) "200 {\"entries\":[" entries "],\"cursor\":\"c1\",\"has_more\":false}"
#define AT(name, lower, shown)                                                 \
	"{\".tag\":\"file\",\"name\":\"" name "\",\"path_lower\":\"" lower         \
	"\",\"path_display\":\"" shown "\",\"id\":\"id:9\",\"rev\":\"r1\",\"size\":5}"

static void
test_list(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/A", .recursive = true};
	CsConversation *c;
	CsResponse answer;
	CsRequest request;
	CsResult result;
	CsStep step;
	int n = 0;

	FRESH;
	PLAY("what is elsewhere", &op, LIST_A PAGE(AT("x", "/a/b/x", "/x") "," AT("y", "y", "y") "," AT("z", "/a/z", "/a/z")), "PAGE /A/z", "DONE");
	PLAY("a folder that is spelled anew", &op,
		 LIST_A PAGE(D("d", "/a/d", "id:3") "," D("D", "/a/d", "id:3") "," F("x", "/a/d/x", "id:4", "r1", "5", "#a")),
		 "PAGE /A/d/ /A/D/ /A/D/x", "DONE");
	c = script.provider->begin(service, &op);
	step = script.provider->next(c, NULL, &request, &result);
	fill_response(&answer, &request, "200 {\"entries\":[],\"cursor\":\"c1\",\"has_more\":true}");
	while (step == CS_STEP_REQUEST && ++n < 2000)
		step = script.provider->next(c, &answer, &request, &result);
	tap_ok(step == CS_STEP_FAILED && result.failure.failure_class == CS_FAIL_RETRY_LATER, "empty pages without end: %d", n);
}

#define GET(path) "CON files/download {\"path\":\"" path "\"}"
#define META(rev, size, hash) " r:{" FILE_JSON("f", "/f", "id:1", rev, size, hash) "}"

static void
test_get(void)
{
	CsOp op = {.kind = CS_OP_GET, .path = "/f"};

	FRESH;
	PLAY("what cannot be written is not gone on with", &op, GET("/f") " = bodyfail b:2" META("r1", "5", "#a"), "FAILED changed");
	PLAY("the rest of another revision", &op, GET("/f") " = broke b:2" META("r1", "5", "#a"),
		 GET("rev:r1") " bytes=2- = 206 b:3 h:a c:a" META("r2", "5", "#a"), "FAILED retry now");
}

#define HOW "\"autorename\":false,\"mute\":true,\"strict_conflict\":false"
#define ADD "\"path\":\"/d/f\",\"mode\":\"add\"," HOW
#define UPD(rev) "\"path\":\"/d/f\",\"mode\":{\".tag\":\"update\",\"update\":\"" rev "\"}," HOW
#define PUT(how, hash) "CON files/upload {" how ",\"content_hash\":\"" hash "\"} body 0+5 = "
#define MADE(rev, size, hash) "200 b:5 h:a " F("f", "/d/f", "id:1", rev, size, hash)
#define CONFLICT UPLOAD_ERROR(IN("conflict", TAG("file")))
#define MISMATCH "409 " ERROR(TAG("content_hash_mismatch"))

static void
test_put(void)
{
	CsOp op = {.kind = CS_OP_PUT, .path = "/d/f", .size = 5, .has_sha256 = true};
	CsOp middle = {.kind = CS_OP_PUT, .path = "/d/f", .size = 5000000, .has_sha256 = true, .has_intended = true, .intended_size = 5000000};

	memset(op.sha256, 'a', CS_SHA256_LENGTH);
	memset(middle.sha256, 'a', CS_SHA256_LENGTH);
	memset(middle.intended_sha256, 'b', CS_SHA256_LENGTH);
	middle.checksum = hash_of_letter('a');
	FRESH;
	PLAY("damaged each time", &op, PUT(ADD, "#a") MISMATCH, PUT(ADD, "#a") MISMATCH, PUT(ADD, "#a") MISMATCH, "FAILED retry now");
	PLAY("shorter there", &op, PUT(ADD, "#a") MADE("r1", "4", "#a"), PUT(UPD("r1"), "#a") MADE("r2", "5", "#a"), "DONE verified /d/f r2 5");
	PLAY("shorter there, without a hash", &op,
		 PUT(ADD, "#a") "200 b:5 h:a {\"name\":\"f\",\"path_lower\":\"/d/f\",\"id\":\"id:1\",\"rev\":\"r1\",\"size\":4}",
		 PUT(UPD("r1"), "#a") MADE("r2", "5", "#a"), "DONE verified /d/f r2 5");
	PLAY("of a large one the SHA-256 tells nothing", &middle,
		 "CON files/upload {" ADD ",\"content_hash\":\"#a\"} body 0+5000000 = " CONFLICT,
		 LOOK("/d/f") "200 " F("f", "/d/f", "id:1", "r9", "5000000", "#b"), "FAILED conflict");
	op.known_version = "r0";
	PLAY("gone, made anew and damaged for ever", &op, PUT(UPD("r0"), "#a") CONFLICT, LOOK("/d/f") NOT_FOUND,
		 PUT(ADD, "#a") MADE("r1", "5", "#b"), PUT(UPD("r1"), "#a") MADE("r2", "5", "#b"),
		 "API files/delete_v2 {\"path\":\"/d/f\",\"parent_rev\":\"r2\"} = 200 {}", "FAILED retry later");
}

#define M16 "16777216"
#define M20 "20971520"
#define START(s) "CON files/upload_session/start {\"close\":false} = 200 {\"session_id\":\"" s "\"}", "CHECKPOINT -1 - s:" s
#define APPEND(s, at) "CON files/upload_session/append_v2 {\"cursor\":{\"session_id\":\"" s "\",\"offset\":" at "},\"close\":false}"
#define CHUNK1(s) APPEND(s, "0") " body 0+" M16 " = "
#define CHUNK2(s) APPEND(s, M16) " body " M16 "+4194304 = "
#define LOST1 CHUNK1("u1") "lost", APPEND("u1", "0") " = 200 {}"
#define LOST2 CHUNK2("u1") "lost", APPEND("u1", "0") " = " OFFSET(M16)
#define SENT(n) "200 b:" n " h:a c:a"
#define OFFSET(n) "409 " ERROR("{\".tag\":\"incorrect_offset\",\"correct_offset\":" n "}")
#define LOST_SESSION "409 " ERROR(TAG("not_found"))
#define ALL START("u1"), CHUNK1("u1") SENT(M16), CHUNK2("u1") SENT("4194304"), "CHECKPOINT " M20 " a s:u1"
#define FINISH                                                                 \
	"CON files/upload_session/finish {\"cursor\":{\"session_id\":\"u1\","      \
	"\"offset\":" M20 "},\"commit\":{" ADD "}} = "
#define TAKEN FINISH "409 " ERROR(IN("path", IN("conflict", TAG("file"))))
#define MOVED CHUNK1("u1") OFFSET("0")

static void
test_session(void)
{
	CsOp op = {.kind = CS_OP_PUT, .path = "/d/f", .size = 20971520, .fresh_folder = true};

	FRESH;
	PLAY("sessions that are lost", &op, START("u1"), CHUNK1("u1") LOST_SESSION, START("u2"), CHUNK1("u2") LOST_SESSION,
		 START("u3"), CHUNK1("u3") LOST_SESSION, "FAILED retry later");
	PLAY("one that goes nowhere", &op, START("u1"), MOVED, MOVED, MOVED, MOVED, MOVED, MOVED, MOVED, MOVED, MOVED, "FAILED retry now");
	PLAY("answers that do not come", &op, START("u1"), LOST1, LOST1, LOST1, LOST1, CHUNK1("u1") "lost", "FAILED retry later");
	PLAY("each chunk begins anew", &op, START("u1"), LOST1, LOST1, LOST1, CHUNK1("u1") SENT(M16), LOST2, LOST2,
		 CHUNK2("u1") "bodyfail", "FAILED changed");
	PLAY("it comes and goes", &op, ALL, TAKEN, LOOK("/d/f") NOT_FOUND, TAKEN, LOOK("/d/f") NOT_FOUND, TAKEN, LOOK("/d/f") NOT_FOUND,
		 TAKEN, LOOK("/d/f") NOT_FOUND, TAKEN, LOOK("/d/f") NOT_FOUND, "FAILED retry later");
	PLAY("nobody knows whether it was made", &op, ALL, FINISH "409 " ERROR(IN("lookup_failed", TAG("not_found"))),
		 LOOK("/d/f") "503", "FAILED retry now");
}

static void
test_trash(void)
{
	CsOp op = {.kind = CS_OP_TRASH, .path = "/a/n", .id = "id:1", .known_version = "r1"};
#define DELETE                                                                 \
	"API files/delete_v2 {\"path\":\"id:1\",\"parent_rev\":\"r1\"} = 409 "    \
	ERROR(IN("path_write", IN("conflict", TAG("file"))))
#define OURS LOOK("id:1") "200 " F("n", "/a/n", "id:1", "r1", "5", "#a")

	FRESH;
	PLAY("refused for ever", &op, DELETE, OURS, DELETE, OURS, DELETE, OURS, DELETE, OURS, DELETE, OURS, "FAILED conflict");
}

int
main(void)
{
	test_waits();
	test_entries();
	test_list();
	test_get();
	test_put();
	test_session();
	test_trash();
	return tap_done();
}
