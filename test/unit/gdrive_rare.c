/* sources: src/provider/gdrive*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Google Drive provider: what seldom happens, replayed (gdrive_play.h).
 * Answers that tell of less or of something else, ids that turn out to be of no
 * use, sessions that began with other bytes, twins, downloads without end.
 */
#include "postgres_fe.h"

#include "gdrive_put.h"

#define DIR LOOK("root", "d") " = " FILES(FOLDER("D", "d"))
#define MADE(id) NEW(id) " = 200 b:5 h:x m:a f:" id ":f.txt:D:5:a:r1"
#define IS_THERE(id) "DONE verified " P " " id " a*:5:r1"

static void
test_new(void)
{
	CsOp op = put();

	fresh(NULL);
	op.fresh_folder = true;
	PLAY("less was sent than there is", &op, DIR, IDS, "CHECKPOINT 5 x id:N1",
		 NEW("N1") " = 200 b:4 h:x m:a f:N1:f.txt:D:5:a:r1",
		 "FAILED retry now");
	PLAY("it arrives in the trash, since its folder is there", &op,
		 "CHECKPOINT 5 x id:N2",
		 NEW("N2") " = 200 b:5 h:x m:a f:N2:f.txt:D:5:a:r1:trashed",
		 "FAILED retry later");
	op.session = "id:N1";
	PLAY("the id of an attempt before is not taken any more: another one", &op,
		 DIR, NEW("N1") " = 400 e:invalid", "GET files/N1 = 404 e:notFound",
		 "CHECKPOINT 5 x id:N3", MADE("N3"), IS_THERE("N3"));
	op.session = NULL;
	PLAY("one of our own that is not taken is a failure", &op, IDS,
		 "CHECKPOINT 5 x id:N1", NEW("N1") " = 400 e:invalid", "FAILED broken");
	op.fresh_folder = false;
	PLAY("what had the name is gone by the time it is looked at", &op,
		 LOOK("D", "f.txt") " = " FILES(FILE("1", "f.txt")),
		 "GET files/1 = 404 e:notFound", "CHECKPOINT 5 x id:N2", MADE("N2"),
		 IS_THERE("N2"));
	PLAY("the folder is gone by the time that it is looked into", &op,
		 LOOK("D", "f.txt") " = 404 e:notFound",
		 LOOK("root", "d") " = " NOTHING, "FAILED retry later");
}

#define DOC                                                                    \
	"{\"id\":\"1\",\"name\":\"f.txt\",\"mimeType\":"                           \
	"\"application/vnd.google-apps.document\",\"size\":\"5\"}"
#define SHORT                                                                  \
	"{\"id\":\"1\",\"name\":\"f.txt\",\"mimeType\":"                           \
	"\"application/vnd.google-apps.shortcut\","                                \
	"\"shortcutDetails\":{\"targetId\":\"7\"}}"
#define TWIN(id)                                                               \
	"{\"id\":\"" id "\",\"name\":\"f.txt\",\"mimeType\":"                      \
	"\"text/plain\",\"createdTime\":\"2026-01-01T10:00:00.000Z\"}"

static void
test_in_the_way(void)
{
	CsOp op = put();

	fresh(NULL);
	op.overwrite = true;
	PLAY("a document of Google's own is not replaced by bytes", &op, DIR,
		 LOOK("D", "f.txt") " = " FILES(DOC), "GET files/1 = 200 x:" DOC,
		 "FAILED conflict");
	PLAY("nor is a shortcut", &op, LOOK("D", "f.txt") " = " FILES(SHORT),
		 "GET files/1 = 200 x:" SHORT, "FAILED conflict");
	op.overwrite = false;
	PLAY("of twins of one moment everybody takes the same", &op,
		 LOOK("D", "f.txt") " = " FILES(TWIN("A") "," TWIN("B")),
		 "GET files/A = " THERE("A", "b", "r1"), "FAILED conflict");
	PLAY("in whatever order they are told", &op,
		 LOOK("D", "f.txt") " = " FILES(TWIN("B") "," TWIN("A")),
		 "GET files/A = " THERE("A", "b", "r1"), "FAILED conflict");
	op.has_sha256 = false;
	op.checksum = NULL;
	PLAY("without a checksum it is read once, and is not the same", &op,
		 LOOK("D", "f.txt") " = " FILES(FILE("1", "f.txt")),
		 "GET files/1 = " THERE("1", "a", "r1"), "BODY 0 = b:5 h:x",
		 "FAILED conflict");
}

static void
test_replace(void)
{
	CsOp op = put();

	op.id = "F";
	op.known_version = version('b', "r1");
	op.has_intended = true;
	op.intended_size = 5;
	op.intended_checksum = repeated('a', 32);
	fresh(NULL);
	PLAY("lost, and done, as an attempt before had meant to", &op,
		 "GET files/F = " THERE("F", "b", "r1"),
		 REPLACE("F") " = lost b:5 h:x m:a",
		 "GET files/F = " THERE("F", "a", "r2"),
		 "DONE verified " P " F a*:5:r2");
	PLAY("gone just then: nothing is gone for good", &op,
		 "GET files/F = " THERE("F", "b", "r1"),
		 REPLACE("F") " = 404 e:notFound", "FAILED retry later");
	op.has_intended = false;
	op.session = "id:N2";
	PLAY("back from the trash, and edited by its customer: theirs", &op,
		 "GET files/F = " THERE("F", "c", "r2"), "FAILED conflict");
}

#define SIZE "40000000"
#define BEGIN(id)                                                              \
	"POST up/files uploadType=resumable {\"id\":\"" id                         \
	"\",\"name\":\"f.txt\",\"mimeType\":\"text/plain\",\"parents\":[\"D\"]}"
#define ANEW(id) "PATCH up/files/" id " uploadType=resumable {}"
#define AT "/upload/drive/v3/files?uploadType=resumable&upload_id=U"
#define PIECE(range, body)                                                     \
	"PUT up/files uploadType=resumable upload_id=U bytes " range " " body
#define SECRET(id, size)                                                       \
	"secret:" id " size:" size " upload:https://www.googleapis.com" AT
#define STATUS "PUT up/files uploadType=resumable upload_id=U bytes */" SIZE
#define DROP "DELETE up/files uploadType=resumable upload_id=U = 499"
#define P1 PIECE("0-16777215/" SIZE, "[0+16777216]")
#define P2 PIECE("16777216-33554431/" SIZE, "[16777216+16777216]")
#define P3 PIECE("33554432-39999999/" SIZE, "[33554432+6445568]")
#define BOTH P1 " = 308 r:0-16777215", P2 " = 308 r:0-33554431"
#define REST "BODY 33554432+6445568 = b:6445568 h:y m:a"
#define BIG(m, rev) "f:F:f.txt:D:" SIZE ":" m ":" rev

static CsOp
large(void)
{
	CsOp op = put();

	op.size = 40000000;
	op.has_sha256 = false;
	op.checksum = NULL;
	return op;
}

/* Sessions of attempts before that are not gone on with. */
static void
test_sessions(void)
{
	CsOp op = large();

	fresh(NULL);
	op.fresh_folder = true;
	op.session = SECRET("id:N1", "30000000");
	PLAY("begun with another size", &op, DROP, DIR,
		 BEGIN("N1") " = 403 e:storageQuotaExceeded", "FAILED quota");
	op.session = "secret:id:N1 size:30000000 upload:https://evil.org/x";
	PLAY("one that is elsewhere is not even ended", &op,
		 BEGIN("N1") " = 403 e:storageQuotaExceeded", "FAILED quota");
	op.session = SECRET("id:N1", SIZE);
	PLAY("was finished with other bytes: they are replaced, in a new one", &op,
		 STATUS " = 201 f:N1:f.txt:D:" SIZE ":b:r1",
		 "GET files/N1 = 200 f:N1:f.txt:D:" SIZE ":b:r1",
		 "BODY 0 = b:" SIZE " h:y m:a", ANEW("N1") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id!:N1", SIZE), BOTH,
		 "CHECKPOINT " SIZE " y " SECRET("id!:N1", SIZE),
		 "GET files/N1 = 200 f:N1:f.txt:D:" SIZE ":b:r1",
		 P3 " = 200 b:6445568 h:y m:a f:N1:f.txt:D:" SIZE ":a:r2",
		 "DONE verified " P " N1 a*:" SIZE ":r2");
	op.session = SECRET("id!:G", SIZE);
	op.id = "F";
	op.known_version = version('b', "r1");
	PLAY("which replaced another file than this one", &op,
		 "GET files/F = " THERE("F", "b", "r1"),
		 ANEW("F") " = 403 e:storageQuotaExceeded", "FAILED quota");
}

/* What was deleted was being made anew, and is back. */
static void
test_session_and_back(void)
{
	CsOp op = large();

	fresh(NULL);
	op.id = "F";
	op.known_version = version('b', "r1");
	op.session = SECRET("id:N2", SIZE);
	PLAY("the session of the new one is not for it", &op,
		 "GET files/F = " THERE("F", "b", "r1"),
		 ANEW("F") " = 403 e:storageQuotaExceeded", "FAILED quota");
}

/* What is known of a session counts for no other one. */
static void
test_session_anew(void)
{
	CsOp op = large();

	fresh(NULL);
	op.fresh_folder = true;
	PLAY("is gone: what was sent to it counts no more", &op, DIR, IDS,
		 BEGIN("N1") " = 200 l:" AT, "CHECKPOINT -1 - " SECRET("id:N1", SIZE),
		 BOTH, REST, "CHECKPOINT " SIZE " y " SECRET("id:N1", SIZE),
		 P3 " = 404", BEGIN("N1") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id:N1", SIZE), P1 " = 308 r:0-33554431",
		 BEGIN("N1") " = 503", "FAILED retry later");
	PLAY("makes no sense: its breaks count no more", &op,
		 BEGIN("N2") " = 200 l:" AT, "CHECKPOINT -1 - " SECRET("id:N2", SIZE),
		 P1 " = 308", P1 " = 308", P1 " = 308", P1 " = 308", P1 " = 308 r:7-9",
		 BEGIN("N2") " = 200 l:" AT, "CHECKPOINT -1 - " SECRET("id:N2", SIZE),
		 P1 " = 308", P1 " = 308", P1 " = 308", P1 " = 308", P1 " = 308",
		 "FAILED retry later");
}

static void
test_upload_replace(void)
{
	CsOp op = large();

	op.id = "F";
	op.known_version = version('b', "r1");
	fresh(NULL);
	PLAY("put into the trash while it was uploaded", &op,
		 "GET files/F = " THERE("F", "b", "r1"), ANEW("F") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id!:F", SIZE), BOTH, REST,
		 "CHECKPOINT " SIZE " y " SECRET("id!:F", SIZE),
		 "GET files/F = 200 f:F:f.txt:D:5:b:r1:trashed", "FAILED conflict");
	PLAY("its session is gone: looked at again, before the next one ends", &op,
		 "GET files/F = " THERE("F", "b", "r1"), ANEW("F") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id!:F", SIZE), BOTH, REST,
		 "CHECKPOINT " SIZE " y " SECRET("id!:F", SIZE),
		 "GET files/F = " THERE("F", "b", "r1"), P3 " = 404",
		 ANEW("F") " = 200 l:" AT, "CHECKPOINT -1 - " SECRET("id!:F", SIZE),
		 BOTH, "GET files/F = " THERE("F", "c", "r2"), "FAILED conflict");
	PLAY("arrives as something else, which is not taken for an edit", &op,
		 "GET files/F = " THERE("F", "b", "r1"), ANEW("F") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id!:F", SIZE), BOTH, REST,
		 "CHECKPOINT " SIZE " y " SECRET("id!:F", SIZE),
		 "GET files/F = " THERE("F", "b", "r1"),
		 P3 " = 200 b:6445568 h:y m:a " BIG("c", "r2"),
		 ANEW("F") " = 200 l:" AT, "CHECKPOINT -1 - " SECRET("id!:F", SIZE),
		 BOTH, "GET files/F = 200 " BIG("c", "r2"),
		 P3 " = 200 b:6445568 h:y m:a " BIG("a", "r3"),
		 "DONE verified " P " F a*:" SIZE ":r3");
	op.overwrite = true;
	PLAY("whatever it is, it is to be replaced", &op,
		 "GET files/F = " THERE("F", "c", "r2"), ANEW("F") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id!:F", SIZE), BOTH, REST,
		 "CHECKPOINT " SIZE " y " SECRET("id!:F", SIZE),
		 P3 " = 200 b:6445568 h:y m:a " BIG("a", "r3"),
		 "DONE verified " P " F a*:" SIZE ":r3");
}

static void
test_move(void)
{
	CsOp op = {.kind = CS_OP_MOVE, .path = "/d", .to_path = "/d2"};

	op.id = "D";
	fresh(NULL);
	PLAY("is what has the name, in a root whose id is not told", &op,
		 "GET files/D = 200 d:D:d2:R", "GET files/root = 404 e:notFound",
		 LOOK("root", "d2") " = " FILES(FOLDER("D", "d2")), "DONE /d2/ D");
}

static void
test_list(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/d"};

	op.id = "D";
	op.seen = true;
	fresh(NULL);
	PLAY("the folder itself is gone", &op, ALL("D") " = 404 e:notFound",
		 "FAILED gone");
	PLAY("names that no path can have", &op,
		 ALL("D") " = " FILES(FILE("1", ".") "," FILE("2", "..") "," FILE(
			 "3", "a/b") "," FILE("4", "")),
		 "PAGE /d/\xE2\x80\xA4#1 /d/\xE2\x80\xA4\xE2\x80\xA4#2 "
		 "/d/a\xE2\x88\x95"
		 "b#3 /d/_#4",
		 "DONE");
	fresh("0AD");
	op.follow = true;
	op.cursor = "12";
	PLAY(
		"the root itself is no change of anything in it", &op,
		"GET changes pageToken=12 driveId=0AD = 200 "
		"x:{\"newStartPageToken\":\"13\",\"changes\":[{\"changeType\":\"file\","
		"\"fileId\":\"0AD\",\"file\":{\"id\":\"0AD\",\"name\":\"Drive\","
		"\"mimeType\":\"application/vnd.google-apps.folder\"}}]}",
		"DONE cursor 13");
}

/*
 * Answers each request of a download with a break after so many bytes, or with
 * all of it where a range was asked for: how many requests are there?
 */
static int
requests_of(int64 bytes, bool no_ranges)
{
	CsOp op = {.kind = CS_OP_GET, .path = P};
	CsConversation *c;
	CsResponse answer = {0};
	const CsResponse *last = NULL;
	CsRequest request;
	CsResult result = {0};
	int n = 0;

	op.id = "F1";
	op.expect_version = version('a', "r1");
	c = script.provider->begin(service, &op);
	while (script.provider->next(c, last, &request, &result) == CS_STEP_REQUEST)
	{
		bool ranged = header_of(&request, "Range") != NULL;

		n++;
		memset(&answer, 0, sizeof(answer));
		answer.sent = true;
		answer.text = "";
		if (no_ranges && ranged)
			answer.status = 200;
		else
		{
			answer.error = EIO;
			answer.failure = &lost_failure;
			answer.size = bytes;
		}
		last = &answer;
	}
	tap_ok(result.failure.failure_class != CS_FAIL_NONE, "it ends, and fails");
	return n;
}

static void
test_get(void)
{
	fresh(NULL);
	tap_ok(requests_of(5, false) == 9, "8 breaks with little in between");
	tap_ok(requests_of(1024 * 1024, false) == 2001,
		   "as often as it gets on, but not for ever");
	tap_ok(requests_of(1024 * 1024, true) == 17,
		   "8 times anew where there are no ranges, however much comes");
}

int
main(void)
{
	test_new();
	test_in_the_way();
	test_replace();
	test_sessions();
	test_session_and_back();
	test_session_anew();
	test_upload_replace();
	test_move();
	test_list();
	test_get();
	return tap_done();
}
