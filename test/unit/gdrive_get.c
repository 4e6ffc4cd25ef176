/* sources: src/provider/gdrive*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Google Drive provider's GET and its exports, replayed (gdrive_play.h).
 */
#include "postgres_fe.h"

#include "gdrive_play.h"

#define EXPORT "GET files/F1/export mimeType=application/pdf = "
#define LINKS(url) \
	"GET files/F1 = 200 x:{\"exportLinks\":{\"application/pdf\":\"" url "\"}}"
#define DOC "https://docs.google.com/feeds/download/documents/export/Export?id=1"

/* What is too large for an export comes by a link. */
static void
test_export_links(CsOp *op)
{
	op->expect_version = "doc:pdf:T";
	PLAY("a link for what is large", op, EXPORT "403 e:exportSizeLimitExceeded",
		 LINKS(DOC), "GET elsewhere: " DOC " = 200 b:9 h:x m:c",
		 "DONE /d/f.txt F1 doc:pdf:T");
	PLAY("of a PDF an error says so", op, EXPORT "500", LINKS(DOC),
		 "GET elsewhere: " DOC " = 200 b:9 h:x m:c",
		 "DONE /d/f.txt F1 doc:pdf:T");
	PLAY("an error it is", op, EXPORT "500", LINKS(DOC),
		 "GET elsewhere: " DOC " = 500", "FAILED retry later");
	PLAY("it leads on, without the token", op,
		 EXPORT "403 e:exportSizeLimitExceeded", LINKS(DOC),
		 "GET elsewhere: " DOC " = 307 l:https://x.googleusercontent.com/y",
		 "GET elsewhere unnamed: https://x.googleusercontent.com/y = 200 b:9 "
		 "h:x m:c",
		 "DONE /d/f.txt F1 doc:pdf:T");
	PLAY("not over plain HTTP", op, EXPORT "403 e:exportSizeLimitExceeded",
		 LINKS(DOC),
		 "GET elsewhere: " DOC " = 307 l:http://x.googleusercontent.com/y",
		 "FAILED broken");
	PLAY("in a circle", op, EXPORT "403 e:exportSizeLimitExceeded", LINKS(DOC),
		 "GET elsewhere: " DOC " = 307 l:" DOC,
		 "GET elsewhere: " DOC " = 307 l:" DOC,
		 "GET elsewhere: " DOC " = 307 l:" DOC,
		 "GET elsewhere: " DOC " = 307 l:" DOC,
		 "GET elsewhere: " DOC " = 307 l:" DOC, "FAILED broken");
	PLAY("somebody else's link", op, EXPORT "403 e:exportSizeLimitExceeded",
		 LINKS("https://docs.example/"), "FAILED refused");
	PLAY("it is gone by then", op, EXPORT "403 e:exportSizeLimitExceeded",
		 "GET files/F1 = 404 e:notFound", "FAILED gone");
}

static void
test_get(void)
{
	CsOp op = {.kind = CS_OP_GET, .path = "/d/f.txt"};

	op.id = "F1";
	op.expect_version = psprintf("%s:5:r1", repeated('a', 32));
	fresh(NULL);
	PLAY("one request", &op, "GET files/F1 alt=media = 200 b:5 h:x m:a",
		 "DONE verified /d/f.txt F1 a*:5:r1");
	PLAY("broken off", &op, "GET files/F1 alt=media = broke b:2",
		 "GET files/F1 alt=media bytes=2- = 206 b:3 h:x m:a",
		 "DONE verified /d/f.txt F1 a*:5:r1");
	PLAY("goes on elsewhere: all of it again", &op,
		 "GET files/F1 alt=media = broke b:2",
		 "GET files/F1 alt=media bytes=2- = 206 g:1 b:3 h:x m:a",
		 "GET files/F1 alt=media = 200 b:5 h:x m:a",
		 "DONE verified /d/f.txt F1 a*:5:r1");
	PLAY("all of it comes, not the rest", &op,
		 "GET files/F1 alt=media = broke b:2",
		 "GET files/F1 alt=media bytes=2- = 200 x:abcde",
		 "GET files/F1 alt=media = 200 b:5 h:x m:a",
		 "DONE verified /d/f.txt F1 a*:5:r1");
	PLAY("and is more than is kept of it", &op,
		 "GET files/F1 alt=media = broke b:2",
		 "GET files/F1 alt=media bytes=2- = toolong",
		 "GET files/F1 alt=media = 200 b:5 h:x m:a",
		 "DONE verified /d/f.txt F1 a*:5:r1");
	PLAY("broken off again, before anything came", &op,
		 "GET files/F1 alt=media = broke b:2",
		 "GET files/F1 alt=media bytes=2- = lost",
		 "GET files/F1 alt=media bytes=2- = 206 g:2 b:3 h:x m:a",
		 "DONE verified /d/f.txt F1 a*:5:r1");
	PLAY("not even asked", &op, "GET files/F1 alt=media = broke b:2",
		 "GET files/F1 alt=media bytes=2- = refused", "FAILED retry later");
	PLAY("changed meanwhile", &op, "GET files/F1 alt=media = 200 b:5 h:x m:b",
		 "GET files/F1 = 200 f:F1:f.txt:D:5:b:r2", "FAILED changed");
	PLAY("damaged", &op, "GET files/F1 alt=media = 200 b:5 h:x m:b",
		 "GET files/F1 = 200 f:F1:f.txt:D:5:a:r1",
		 "GET files/F1 alt=media = 200 b:5 h:x m:a",
		 "DONE verified /d/f.txt F1 a*:5:r1");
	PLAY("damaged for good", &op, "GET files/F1 alt=media = 200 b:5 h:x m:b",
		 "GET files/F1 = 200 f:F1:f.txt:D:5:a:r1",
		 "GET files/F1 alt=media = 200 b:5 h:x m:b",
		 "GET files/F1 = 200 f:F1:f.txt:D:5:a:r1", "FAILED retry later");
	PLAY("harmful", &op,
		 "GET files/F1 alt=media = 403 e:cannotDownloadAbusiveFile",
		 "GET files/F1 = 200 f:F1:f.txt:D:5:b:r2", "FAILED changed");
	PLAY("gone", &op, "GET files/F1 alt=media = 404 e:notFound", "FAILED gone");
	PLAY("the body fails", &op, "GET files/F1 alt=media = bodyfail",
		 "FAILED changed");
	op.expect_version = psprintf("%s:0:r1", "d41d8cd98f00b204e9800998ecf8427e");
	PLAY("no bytes at all", &op, "GET files/F1 alt=media = 200 b:0",
		 "DONE verified /d/f.txt F1 d*:0:r1");
	op.expect_version = ":7:r1";
	PLAY("of which no MD5 is said: by its size", &op,
		 "GET files/F1 alt=media = 200 b:7 h:x m:b",
		 "DONE /d/f.txt F1 :7:r1");
	PLAY("which is another one", &op, "GET files/F1 alt=media = 200 b:5 h:x m:b",
		 "GET files/F1 = 200 f:F1:f.txt:D:5:b:r2", "FAILED changed");
	op.expect_version = "doc:docx:T";
	PLAY("an export", &op,
		 "GET files/F1/export mimeType=application/vnd.openxmlformats-"
		 "officedocument.wordprocessingml.document = 200 b:9 h:x m:c",
		 "DONE /d/f.txt F1 doc:docx:T");
	PLAY("too large to be exported", &op,
		 "GET files/F1/export mimeType=application/vnd.openxmlformats-"
		 "officedocument.wordprocessingml.document = 403 "
		 "e:exportSizeLimitExceeded",
		 "GET files/F1 = 200 x:{\"exportLinks\":{}}", "FAILED refused");
	test_export_links(&op);
	op.id = NULL;
	op.expect_version = NULL;
	PLAY("by path", &op, LOOK("root", "d") " = " FILES(FOLDER("D", "d")),
		 LOOK("D", "f.txt") " = " FILES(FILE("F", "f.txt")),
		 "GET files/F = 200 f:F:f.txt:D:5:a:r1",
		 "GET files/F alt=media = 200 b:5 h:x m:a",
		 "DONE verified /d/f.txt F a*:5:r1");
}

int
main(void)
{
	test_get();
	return tap_done();
}
