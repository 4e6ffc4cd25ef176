/* sources: src/provider/gdrive*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Google Drive provider's PUT, small and in sessions, DISCARD, MOVE and
 * TRASH, replayed (gdrive_play.h).
 */
#include "postgres_fe.h"

#include "gdrive_put.h"

#define DIR LOOK("root", "d") " = " FILES(FOLDER("D", "d"))

static void
test_new(void)
{
	CsOp op = put();

	fresh(NULL);
	op.fresh_folder = true;
	PLAY("new", &op, DIR, IDS, "CHECKPOINT 5 x id:N1",
		 NEW("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:a:r1",
		 "DONE verified " P " N1 a*:5:r1");
	PLAY("one request", &op, "CHECKPOINT 5 x id:N2",
		 NEW("N2") " = 200 b:5 h:x m:a f:N2:f.txt:D:5:a:r1",
		 "DONE verified " P " N2 a*:5:r1");
	PLAY("the answer is lost, it is there", &op, "CHECKPOINT 5 x id:N3",
		 NEW("N3") " = lost b:5 h:x m:a",
		 "GET files/N3 = " THERE("N3", "a", "r1"),
		 "DONE verified " P " N3 a*:5:r1");
	PLAY("lost, it is not there", &op, IDS, "CHECKPOINT 5 x id:N1",
		 NEW("N1") " = 503 b:5 h:x m:a", "GET files/N1 = 404 e:notFound",
		 "FAILED retry later");
	op.session = "id:N1";
	PLAY("a second attempt under that id", &op,
		 NEW("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:a:r1",
		 "DONE verified " P " N1 a*:5:r1");
	PLAY("which was made", &op, NEW("N1") " = 409 e:duplicate",
		 "GET files/N1 = " THERE("N1", "a", "r1"),
		 "DONE adopted verified " P " N1 a*:5:r1");
	PLAY("was made with other bytes", &op, NEW("N1") " = 409 e:duplicate",
		 "GET files/N1 = " THERE("N1", "b", "r1"),
		 REPLACE("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:a:r2",
		 "DONE verified " P " N1 a*:5:r2");
	op.has_intended = true;
	op.intended_size = 5;
	op.intended_checksum = repeated('c', 32);
	PLAY("was made, and edited by its customer", &op,
		 NEW("N1") " = 409 e:duplicate",
		 "GET files/N1 = " THERE("N1", "b", "r2"), "FAILED conflict");
	PLAY("was made with the bytes of before", &op,
		 NEW("N1") " = 409 e:duplicate",
		 "GET files/N1 = " THERE("N1", "c", "r1"),
		 REPLACE("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:a:r2",
		 "DONE verified " P " N1 a*:5:r2");
	PLAY("was made, and put into the trash", &op,
		 NEW("N1") " = 409 e:duplicate",
		 "GET files/N1 = 200 f:N1:f.txt:D:5:a:r1:trashed",
		 "CHECKPOINT 5 x id:N2",
		 NEW("N2") " = 200 b:5 h:x m:a f:N2:f.txt:D:5:a:r1",
		 "DONE verified " P " N2 a*:5:r1");
	op = put();
	op.fresh_folder = true;
	PLAY("arrives as something else", &op, "CHECKPOINT 5 x id:N3",
		 NEW("N3") " = 200 b:5 h:x m:a f:N3:f.txt:D:5:b:r1",
		 REPLACE("N3") " = 200 b:5 h:x m:a f:N3:f.txt:D:5:a:r2",
		 "DONE verified " P " N3 a*:5:r2");
	PLAY("always", &op, IDS, "CHECKPOINT 5 x id:N1",
		 NEW("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:b:r1",
		 REPLACE("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:b:r2",
		 REPLACE("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:b:r3",
		 "FAILED retry later");
	PLAY("the store is full", &op, "CHECKPOINT 5 x id:N2",
		 NEW("N2") " = 403 e:storageQuotaExceeded", "FAILED quota");
	PLAY("the body fails", &op, "CHECKPOINT 5 x id:N3", NEW("N3") " = bodyfail",
		 "FAILED changed");
	PLAY("its folder is gone", &op, IDS, "CHECKPOINT 5 x id:N1",
		 NEW("N1") " = 404 e:notFound", LOOK("root", "d") " = " NOTHING,
		 "FAILED retry later");
}

static void
test_look(void)
{
	CsOp op = put();

	fresh(NULL);
	PLAY("nothing there", &op, DIR, LOOK("D", "f.txt") " = " NOTHING, IDS,
		 "CHECKPOINT 5 x id:N1",
		 NEW("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:a:r1",
		 "DONE verified " P " N1 a*:5:r1");
	PLAY("our bytes", &op,
		 LOOK("D",
			  "f.txt") " = " FILES(FILE("2", "f.txt") "," FILE("1", "f.txt")),
		 "GET files/1 = " THERE("1", "a", "r1"),
		 "DONE adopted verified " P " 1 a*:5:r1");
	PLAY("somebody else's", &op,
		 LOOK("D", "f.txt") " = " FILES(FILE("1", "f.txt")),
		 "GET files/1 = " THERE("1", "b", "r1"), "FAILED conflict");
	PLAY("a folder", &op, LOOK("D", "f.txt") " = " FILES(FOLDER("1", "f.txt")),
		 "GET files/1 = 200 d:1:f.txt:D", "FAILED conflict");
	op.overwrite = true;
	PLAY("to be replaced", &op,
		 LOOK("D", "f.txt") " = " FILES(FILE("1", "f.txt")),
		 "GET files/1 = " THERE("1", "b", "r1"),
		 REPLACE("1") " = 200 b:5 h:x m:a f:1:f.txt:D:5:a:r2",
		 "DONE verified " P " 1 a*:5:r2");
	op.overwrite = false;
	op.has_sha256 = false;
	op.checksum = NULL;
	PLAY("not hashed before", &op, LOOK("D", "f.txt") " = " NOTHING,
		 "BODY 0 = b:5 h:x m:a", "CHECKPOINT 5 x id:N2",
		 NEW("N2") " = 200 b:5 h:x m:a f:N2:f.txt:D:5:a:r1",
		 "DONE verified " P " N2 a*:5:r1");
	op.size = -1;
	PLAY("of unknown length", &op, LOOK("D", "f.txt") " = " NOTHING,
		 "BODY 0+17039360 = b:5 h:x m:a", "CHECKPOINT 5 x id:N3",
		 NEW("N3") " = 200 b:5 h:x m:a f:N3:f.txt:D:5:a:r1",
		 "DONE verified " P " N3 a*:5:r1");
	op = put();
	fresh(NULL);
	PLAY("lost, it is in the trash, and somebody's has the name by now", &op,
		 DIR, LOOK("D", "f.txt") " = " NOTHING, IDS, "CHECKPOINT 5 x id:N1",
		 NEW("N1") " = 503 b:5 h:x m:a",
		 "GET files/N1 = 200 f:N1:f.txt:D:5:a:r1:trashed",
		 LOOK("D", "f.txt") " = " FILES(FILE("9", "f.txt")),
		 "GET files/9 = " THERE("9", "b", "r1"), "FAILED conflict");
}

static void
test_replace(void)
{
	CsOp op = put();

	op.id = "F";
	op.known_version = version('b', "r1");
	op.has_intended = true;
	op.intended_size = 5;
	op.intended_checksum = repeated('b', 32);
	fresh(NULL);
	PLAY("ours", &op, "GET files/F = " THERE("F", "b", "r1"),
		 REPLACE("F") " = 200 b:5 h:x m:a f:F:f.txt:D:5:a:r2",
		 "DONE verified " P " F a*:5:r2");
	PLAY("written again with the same bytes", &op,
		 "GET files/F = " THERE("F", "b", "r9"),
		 REPLACE("F") " = 200 b:5 h:x m:a f:F:f.txt:D:5:a:r2",
		 "DONE verified " P " F a*:5:r2");
	PLAY("changed by its customer", &op, "GET files/F = " THERE("F", "c", "r2"),
		 "FAILED conflict");
	PLAY("our new bytes already", &op, "GET files/F = " THERE("F", "a", "r2"),
		 "DONE adopted verified " P " F a*:5:r2");
	PLAY("lost, and as before", &op, "GET files/F = " THERE("F", "b", "r1"),
		 REPLACE("F") " = 502 b:5 h:x m:a",
		 "GET files/F = " THERE("F", "b", "r1"), "FAILED retry later");
	PLAY("lost, and done", &op, "GET files/F = " THERE("F", "b", "r1"),
		 REPLACE("F") " = lost b:5 h:x m:a",
		 "GET files/F = " THERE("F", "a", "r2"),
		 "DONE verified " P " F a*:5:r2");
	PLAY("in the trash: made anew", &op,
		 "GET files/F = 200 f:F:f.txt:D:5:b:r1:trashed", DIR,
		 LOOK("D", "f.txt") " = " NOTHING, IDS, "CHECKPOINT 5 x id:N1",
		 NEW("N1") " = 200 b:5 h:x m:a f:N1:f.txt:D:5:a:r1",
		 "DONE verified " P " N1 a*:5:r1");
	op.session = "id:N2";
	PLAY("gone, and made anew by an attempt", &op,
		 "GET files/F = 404 e:notFound", NEW("N2") " = 409 e:duplicate",
		 "GET files/N2 = " THERE("N2", "a", "r1"),
		 "DONE adopted verified " P " N2 a*:5:r1");
	PLAY("not ours to write", &op, "GET files/F = " THERE("F", "b", "r1"),
		 REPLACE("F") " = 403 e:insufficientFilePermissions",
		 "FAILED forbidden");
}

#define BEGIN(id)                                                              \
	"POST up/files uploadType=resumable {\"id\":\"" id                         \
	"\",\"name\":\"f.txt\",\"mimeType\":\"text/plain\",\"parents\":[\"D\"]}"
#define AT "/upload/drive/v3/files?uploadType=resumable&upload_id=U"
#define PIECE(range, body)                                                     \
	"PUT up/files uploadType=resumable upload_id=U bytes " range " " body
#define SECRET(id, size)                                                       \
	"secret:" id " size:" size " upload:https://www.googleapis.com" AT
#define BIG "200 b:40000000 h:y m:a f:N1:f.txt:D:40000000:a:r1"

static CsOp
large(void)
{
	CsOp op = put();

	op.size = 40000000;
	op.has_sha256 = false;
	op.checksum = NULL;
	op.fresh_folder = true;
	return op;
}

#define STATUS                                                                 \
	"PUT up/files uploadType=resumable upload_id=U bytes */40000000"

static void
test_upload(void)
{
	CsOp op = large();

	fresh(NULL);
	PLAY("in pieces", &op, DIR, IDS, BEGIN("N1") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id:N1", "40000000"),
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308 r:0-16777215",
		 PIECE("16777216-33554431/40000000",
			   "[16777216+16777216]") " = 308 r:0-20000255",
		 /* less was kept: from there on, and the rest is hashed before */
		 PIECE("20000256-36777471/40000000",
			   "[20000256+16777216]") " = 308 r:0-36777471",
		 "BODY 36777472+3222528 = b:3222528 h:y m:a",
		 "CHECKPOINT 40000000 y " SECRET("id:N1", "40000000"),
		 PIECE("36777472-39999999/40000000",
			   "[36777472+3222528]") " = 200 b:3222528 h:y m:a "
									 "f:N1:f.txt:D:40000000:a:r1",
		 "DONE verified " P " N1 a*:40000000:r1");
	op.session = SECRET("id:N1", "40000000");
	PLAY("gone on with", &op,
		 "PUT up/files uploadType=resumable upload_id=U bytes */40000000 = 308 "
		 "r:0-33554431",
		 "BODY 0+33554432 = b:33554432 h:z m:b",
		 "BODY 33554432+6445568 = b:6445568 h:y m:a",
		 "CHECKPOINT 40000000 y " SECRET("id:N1", "40000000"),
		 PIECE("33554432-39999999/40000000", "[33554432+6445568]") " = 503",
		 "PUT up/files uploadType=resumable upload_id=U bytes */40000000 = 200 "
		 "f:N1:f.txt:D:40000000:a:r1",
		 "DONE verified " P " N1 a*:40000000:r1");
	PLAY("was finished", &op,
		 "PUT up/files uploadType=resumable upload_id=U bytes */40000000 = 201 "
		 "f:N1:f.txt:D:40000000:a:r1",
		 "GET files/N1 = 200 f:N1:f.txt:D:40000000:a:r1",
		 "BODY 0 = b:40000000 h:y m:a",
		 "DONE adopted verified " P " N1 a*:40000000:r1");
	PLAY("the session is gone, and the file there", &op,
		 "PUT up/files uploadType=resumable upload_id=U bytes */40000000 = 404",
		 BEGIN("N1") " = 409 e:duplicate",
		 "GET files/N1 = 200 f:N1:f.txt:D:40000000:a:r1",
		 "BODY 0 = b:40000000 h:y m:a",
		 "DONE adopted verified " P " N1 a*:40000000:r1");
	op.session = NULL;
	PLAY("nothing is kept", &op, BEGIN("N2") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id:N2", "40000000"),
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308",
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308",
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308",
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308",
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308",
		 "FAILED retry later");
	PLAY("a Range that makes no sense: another session", &op,
		 BEGIN("N3") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id:N3", "40000000"),
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308 r:0-99999999",
		 BEGIN("N3") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id:N3", "40000000"),
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308 r:0-16777216",
		 BEGIN("N3") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id:N3", "40000000"),
		 PIECE("0-16777215/40000000", "[0+16777216]") " = 308 r:5-9",
		 "FAILED retry later");
	PLAY("an address elsewhere", &op, IDS,
		 BEGIN("N1") " = 200 l:https://evil.org/upload", "FAILED broken");
	PLAY("an address that no request can have", &op,
		 BEGIN("N2") " = 200 l:" AT "\xc3\xa9", "FAILED broken");
	PLAY("an address without end", &op,
		 psprintf(BEGIN("N3") " = 200 l:" AT "%04000d", 0), "FAILED broken");
	PLAY("the day's limit", &op, IDS, BEGIN("N1") " = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id:N1", "40000000"),
		 PIECE("0-16777215/40000000",
			   "[0+16777216]") " = 403 e:userRateLimitExceeded",
		 "FAILED retry later");
}

/* Sessions of an attempt before that cannot be gone on with. */
static void
test_upload_before(void)
{
	CsOp op = large();

	op.session = SECRET("id:N1", "40000000");
	fresh(NULL);
	op.session_is_stale = true;
	PLAY("of other bytes: begun anew under that id", &op,
		 "DELETE up/files uploadType=resumable upload_id=U = 499", DIR,
		 BEGIN("N1") " = 403 e:storageQuotaExceeded", "FAILED quota");
	op.session_is_stale = false;
	PLAY("of an attempt before: no more than there is", &op,
		 "PUT up/files uploadType=resumable upload_id=U bytes */40000000 = 308 "
		 "r:0-40000000",
		 BEGIN("N1") " = 403 e:userRateLimitExceeded", "FAILED retry later");
	PLAY("all is there, and it is not finished: another session", &op,
		 STATUS " = 308 r:0-39999999", STATUS " = 308 r:0-39999999",
		 STATUS " = 308 r:0-39999999",
		 BEGIN("N1") " = 409 e:duplicate",
		 "GET files/N1 = 200 f:N1:f.txt:D:40000000:a:r1",
		 "BODY 0 = b:40000000 h:y m:a",
		 "DONE adopted verified " P " N1 a*:40000000:r1");
	op.session = SECRET("id:N1", "40000000") "-AND-ITS-SECRET";
	PLAY("what is said of a session does not repeat its address", &op,
		 "PUT up/files uploadType=resumable upload_id=U-AND-ITS-SECRET bytes "
		 "*/40000000 = 403 x:{\"error\":{\"message\":\"no U-AND-ITS-SECRET\"}}",
		 "FAILED forbidden");
}

static void
test_upload_unknown(void)
{
	CsOp op = large();

	fresh(NULL);
	op.size = -1;
	op.session = SECRET("id:N1", "-1");
	PLAY("of unknown length, gone on with", &op, DIR,
		 "BODY 0+17039360 = b:17039360",
		 "PUT up/files uploadType=resumable upload_id=U bytes */* = 308 "
		 "r:0-16777215",
		 "BODY 0+16777216 = b:16777216", "BODY 17039360+16777216 = b:10 h:y m:a",
		 "CHECKPOINT 17039370 y " SECRET("id:N1", "17039370"),
		 PIECE("16777216-17039369/17039370",
			   "[16777216+262154]") " = 200 b:262154 h:y m:a "
									"f:N1:f.txt:D:17039370:a:r1",
		 "DONE verified " P " N1 a*:17039370:r1");
	PLAY("and shorter by now than what was sent", &op,
		 "BODY 0+17039360 = b:17039360",
		 "PUT up/files uploadType=resumable upload_id=U bytes */* = 308 "
		 "r:0-33554431",
		 "BODY 0+33554432 = b:17039370", BEGIN("N1") " = 503",
		 "FAILED retry later");
	op.session = NULL;
	fresh(NULL);
	PLAY("of unknown length", &op, DIR, IDS, "BODY 0+17039360 = b:17039360",
		 BEGIN("N1") " = 200 l:" AT, "CHECKPOINT -1 - " SECRET("id:N1", "-1"),
		 PIECE("0-16777215/*", "[0+16777216]") " = 308 r:0-16777215",
		 "BODY 17039360+16777216 = b:10 h:y m:a",
		 "CHECKPOINT 17039370 y " SECRET("id:N1", "17039370"),
		 PIECE("16777216-17039369/17039370",
			   "[16777216+262154]") " = 200 b:262154 h:y m:a "
									"f:N1:f.txt:D:17039370:a:r1",
		 "DONE verified " P " N1 a*:17039370:r1");
}

static void
test_upload_replace(void)
{
	CsOp op = large();

	op.size = 6000000;
	op.id = "F";
	op.known_version = version('b', "r1");
	fresh(NULL);
	PLAY("replaced, looked at again", &op,
		 "GET files/F = " THERE("F", "b", "r1"),
		 "PATCH up/files/F uploadType=resumable {} = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id!:F", "6000000"),
		 "BODY 0+6000000 = b:6000000 h:y m:a",
		 "CHECKPOINT 6000000 y " SECRET("id!:F", "6000000"),
		 "GET files/F = " THERE("F", "b", "r1"),
		 PIECE("0-5999999/6000000", "[0+6000000]") " = 200 b:6000000 h:y m:a "
												   "f:F:f.txt:D:6000000:a:r2",
		 "DONE verified " P " F a*:6000000:r2");
	PLAY("changed while it was uploaded", &op,
		 "GET files/F = " THERE("F", "b", "r1"),
		 "PATCH up/files/F uploadType=resumable {} = 200 l:" AT,
		 "CHECKPOINT -1 - " SECRET("id!:F", "6000000"),
		 "BODY 0+6000000 = b:6000000 h:y m:a",
		 "CHECKPOINT 6000000 y " SECRET("id!:F", "6000000"),
		 "GET files/F = " THERE("F", "c", "r2"), "FAILED conflict");
}

static void
test_discard(void)
{
	CsOp op = {0};

	op.kind = CS_OP_DISCARD;
	op.path = "/d/.cloudsync-0123456789abcdef.part";
	op.to_path = P;
	fresh(NULL);
	PLAY("nothing", &op, "DONE");
	op.session = "id:N1";
	PLAY("an id alone", &op, "DONE");
	op.session = SECRET("id:N1", "5");
	PLAY("an upload", &op,
		 "DELETE up/files uploadType=resumable upload_id=U = 499", "DONE");
	PLAY("that is gone", &op,
		 "DELETE up/files uploadType=resumable upload_id=U = 404", "DONE");
	PLAY("no answer", &op,
		 "DELETE up/files uploadType=resumable upload_id=U = lost",
		 "FAILED retry later");
	op.session = "secret:id:N1 size:5 upload:https://evil.org/x";
	PLAY("elsewhere", &op, "DONE");
}

static CsOp
move_of(CsOpKind kind)
{
	CsOp op = {0};

	op.kind = kind;
	op.path = P;
	op.to_path = "/e/g.txt";
	op.id = "F";
	op.known_version = version('a', "r1");
	return op;
}

#define TO LOOK("root", "e") " = " FILES(FOLDER("E", "e"))
#define MOVE "PATCH files/F addParents=E removeParents=D {\"name\":\"g.txt\"}"

static void
test_move(void)
{
	CsOp op = move_of(CS_OP_MOVE);

	fresh(NULL);
	PLAY("moved and renamed", &op, "GET files/F = " THERE("F", "a", "r1"), TO,
		 LOOK("E", "g.txt") " = " NOTHING, MOVE " = 200 f:F:g.txt:E:5:a:r1",
		 "DONE /e/g.txt F a*:5:r1");
	PLAY("is there already", &op, "GET files/F = 200 f:F:g.txt:E:5:a:r1",
		 "DONE /e/g.txt F a*:5:r1");
	PLAY("something has the name", &op, "GET files/F = " THERE("F", "a", "r1"),
		 LOOK("E", "g.txt") " = " FILES(FILE("1", "g.txt")), "FAILED conflict");
	PLAY("changed by its customer", &op, "GET files/F = " THERE("F", "b", "r2"),
		 "FAILED conflict");
	PLAY("gone", &op, "GET files/F = 404 e:notFound", "FAILED gone");
	PLAY("in the trash", &op, "GET files/F = 200 f:F:f.txt:D:5:a:r1:trashed",
		 "FAILED gone");
	PLAY("lost, and done", &op, "GET files/F = " THERE("F", "a", "r1"),
		 LOOK("E", "g.txt") " = " NOTHING, MOVE " = lost",
		 "GET files/F = 200 f:F:g.txt:E:5:a:r1", "DONE /e/g.txt F a*:5:r1");
	PLAY("lost, and not done", &op, "GET files/F = " THERE("F", "a", "r1"),
		 LOOK("E", "g.txt") " = " NOTHING, MOVE " = 500",
		 "GET files/F = " THERE("F", "a", "r1"), "FAILED retry later");
	PLAY("not allowed", &op, "GET files/F = " THERE("F", "a", "r1"),
		 LOOK("E", "g.txt") " = " NOTHING,
		 MOVE " = 403 e:insufficientFilePermissions", "FAILED forbidden");
	op.to_path = "/d/g.txt";
	PLAY("renamed alone", &op, "GET files/F = " THERE("F", "a", "r1"), DIR,
		 LOOK("D", "g.txt") " = " NOTHING,
		 "PATCH files/F {\"name\":\"g.txt\"} = 200 f:F:g.txt:D:5:a:r1",
		 "DONE /d/g.txt F a*:5:r1");
	op.id = NULL;
	op.known_version = NULL;
	op.session = "id:N7";
	op.has_intended = true;
	op.intended_size = 5;
	op.intended_checksum = repeated('a', 32);
	PLAY("of an attempt that did not say so", &op,
		 "GET files/N7 = " THERE("N7", "a", "r1"),
		 LOOK("D", "g.txt") " = " NOTHING,
		 "PATCH files/N7 {\"name\":\"g.txt\"} = 200 f:N7:g.txt:D:5:a:r1",
		 "DONE /d/g.txt N7 a*:5:r1");
	op = move_of(CS_OP_MOVE);
	op.path = "/d";
	op.to_path = "/e/d";
	op.id = "D";
	PLAY("a folder, after which nothing is known of paths", &op,
		 "GET files/D = 200 d:D:d:R", LOOK("E", "d") " = " NOTHING,
		 "PATCH files/D addParents=E removeParents=R {\"name\":\"d\"} = "
		 "200 d:D:d:E",
		 "DONE /e/d/ D");
	op.to_path = "/d2";
	PLAY("to the root, whose id is asked for", &op,
		 "GET files/D = 200 d:D:d:R", "GET files/root = 200 x:{\"id\":\"R\"}",
		 LOOK("R", "d2") " = " NOTHING,
		 "PATCH files/D {\"name\":\"d2\"} = 200 d:D:d2:R", "DONE /d2/ D");
	PLAY("once", &op, "GET files/D = 200 d:D:d2:R", "DONE /d2/ D");
	fresh(NULL);
	PLAY("or cannot be had", &op, "GET files/D = 200 d:D:d:E",
		 "GET files/root = 404 e:notFound", LOOK("root", "d2") " = " NOTHING,
		 "PATCH files/D addParents=root removeParents=E {\"name\":\"d2\"} = "
		 "200 d:D:d2:R",
		 "DONE /d2/ D");
	op.to_path = "/e/d2";
	PLAY("and again", &op, "GET files/D = 200 d:D:d:E", TO,
		 LOOK("E", "d2") " = " NOTHING,
		 "PATCH files/D {\"name\":\"d2\"} = 200 d:D:d2:E", "DONE /e/d2/ D");
}

static void
test_trash(void)
{
	CsOp op = move_of(CS_OP_TRASH);

	op.to_path = "/.trash/d/f.txt";
	fresh(NULL);
	PLAY("to the service's own", &op, "GET files/F = " THERE("F", "a", "r1"),
		 "PATCH files/F {\"trashed\":true} = 200 f:F:f.txt:D:5:a:r1:trashed",
		 "DONE " P " F a*:5:r1");
	PLAY("there already", &op, "GET files/F = 200 f:F:f.txt:D:5:a:r1:trashed",
		 "DONE " P " F a*:5:r1");
	PLAY("gone", &op, "GET files/F = 404 e:notFound", "FAILED gone");
	PLAY("changed by its customer", &op, "GET files/F = " THERE("F", "b", "r2"),
		 "FAILED conflict");
	PLAY("lost, and done", &op, "GET files/F = " THERE("F", "a", "r1"),
		 "PATCH files/F {\"trashed\":true} = lost",
		 "GET files/F = 200 f:F:f.txt:D:5:a:r1:trashed",
		 "DONE " P " F a*:5:r1");
	op.id = NULL;
	op.known_version = NULL;
	op.has_intended = true;
	op.intended_size = 5;
	op.intended_checksum = repeated('a', 32);
	PLAY("by path", &op, DIR,
		 LOOK("D", "f.txt") " = " FILES(FILE("1", "f.txt")),
		 "GET files/1 = " THERE("1", "a", "r1"),
		 "PATCH files/1 {\"trashed\":true} = 200 f:1:f.txt:D:5:a:r1:trashed",
		 "DONE " P " 1 a*:5:r1");
}

int
main(void)
{
	test_new();
	test_look();
	test_replace();
	test_upload();
	test_upload_before();
	test_upload_unknown();
	test_upload_replace();
	test_discard();
	test_move();
	test_trash();
	return tap_done();
}
