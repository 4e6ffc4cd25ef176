/* sources: src/provider/s3*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The S3 provider's longer conversations, replayed (s3_play.h): PUT in parts,
 * and MOVE and TRASH, which are copying and deleting.
 */
#include "postgres_fe.h"

#include <openssl/evp.h>

#include "common/base64.h"
#include "s3_play.h"

#define MIB (1024 * 1024)
#define PART 16777216
#define UP "?uploadId=u1"
#define SESSION "16777216 u1 d/big"
#define BEGINS "CHECKPOINT -1 - begin 0 d/big"
#define POSTED "POST /d/big?uploads= = 200 x:<R><UploadId>u1</UploadId></R>"
#define BEGUN BEGINS, POSTED
#define PARTS "&uploadId=u1"
#define LISTED "GET /d/big?max-parts=1000&part-number-marker="
#define COMPLETE "POST /d/big" UP
#define ETAG(etag) " = 200 x:<R><ETag>&quot;" etag "&quot;</ETag></R>"

/* A body of 40 MiB: two parts and a half. */
static CsOp
big(void)
{
	CsOp op = {0};

	op.kind = CS_OP_PUT;
	op.path = "/d/big";
	op.size = 40 * MIB;
	return op;
}

#define BODY1 "BODY 0+16777216 = b:16777216 h:1 p:x m:a"
#define BODY2 "BODY 16777216+16777216 = b:16777216 h:2 p:y m:b"
#define BODY3 "BODY 33554432+8388608 = b:8388608 h:3 p:z m:c"
#define SEND1 "PUT /d/big?partNumber=1" PARTS
#define SEND2 "PUT /d/big?partNumber=2" PARTS
#define SEND3 "PUT /d/big?partNumber=3" PARTS
#define SENT1 SEND1 " = 200 e:MDa"
#define SENT2 SEND2 " = 200 e:MDb"
#define SENT3 SEND3 " = 200 e:MDc"
#define RECORDED "CHECKPOINT -1 - " SESSION
#define WHOLE "CHECKPOINT 41943040 3 " SESSION
#define LOOK "HEAD /d/big = 404"

/* The MD5 of the parts' MD5s, and the number of parts. */
static char expected[64];

static void
test_parts(void)
{
	CsOp op = big();

	AMAZON;
	PLAY("in parts", &op, LOOK, BEGUN, RECORDED, BODY1, SENT1, BODY2, SENT2,
		 BODY3, SENT3, WHOLE,
		 psprintf("%s new = 200 x:<R><ETag>%s</ETag></R>", COMPLETE, expected),
		 psprintf("DONE verified /d/big %s 41943040", expected));
	PLAY("with the parts' checksums, where they are taken", &op, LOOK, BEGINS,
		 "POST /d/big?uploads= = 200 a:SHA256 "
		 "x:<R><UploadId>u1</UploadId></R>",
		 RECORDED, BODY1, SENT1, BODY2, SENT2, BODY3, SENT3, WHOLE,
		 psprintf("%s new sums = 200 x:<R><ETag>%s</ETag></R>", COMPLETE,
				  expected),
		 psprintf("DONE verified /d/big %s 41943040", expected));
	PLAY("under another ETag", &op, LOOK, BEGUN, RECORDED, BODY1, SENT1, BODY2,
		 SENT2, BODY3, SENT3, WHOLE, COMPLETE " new" ETAG("o-3"),
		 "HEAD /d/big = 200 e:o-3 n:41943040",
		 "DONE verified /d/big o-3 41943040");
	PLAY("of another size", &op, LOOK, BEGUN, RECORDED, BODY1, SENT1, BODY2,
		 SENT2, BODY3, SENT3, WHOLE, COMPLETE " new" ETAG("o-3"),
		 "HEAD /d/big = 200 e:o-3 n:7", "FAILED retry now");
	PLAY("a part arrives as something else", &op, LOOK, BEGUN, RECORDED, BODY1,
		 SEND1 " = 200 e:MDd", BODY2, SENT2, BODY3, SENT3, WHOLE,
		 COMPLETE " new" ETAG("o-3"), "HEAD /d/big = 200 e:o-3 n:41943040",
		 "GET /d/big if o-3 = 200 d:other", "FAILED retry now");
	PLAY("a part is lost, and sent again", &op, LOOK, BEGUN, RECORDED, BODY1,
		 SEND1 " = lost", SEND1 " = 502", SENT1, BODY2, SEND2 " = lost",
		 SEND2 " = lost", SEND2 " = lost", "FAILED retry later");
	PLAY("no upload can be begun", &op, LOOK, BEGINS,
		 "POST /d/big?uploads= = 403 c:AccessDenied", "FAILED forbidden");
	PLAY("an upload without a name", &op, LOOK, BEGINS,
		 "POST /d/big?uploads= = 200 x:<R/>", "FAILED broken");
	PLAY("changed while it is read", &op, LOOK, BEGUN, RECORDED, BODY1, SENT1,
		 "BODY 16777216+16777216 = bodyfail", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
	PLAY("shorter than said", &op, LOOK, BEGUN, RECORDED, BODY1, SENT1,
		 "BODY 16777216+16777216 = b:5 h:2", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
	PLAY("somebody was faster", &op, LOOK, BEGUN, RECORDED, BODY1, SENT1, BODY2,
		 SENT2, BODY3, SENT3, WHOLE, COMPLETE " new = 412",
		 "HEAD /d/big = 200 e:w n:9", "DELETE /d/big" UP " = 204",
		 "FAILED conflict");
	PLAY("somebody was faster, and is gone", &op, LOOK, BEGUN, RECORDED, BODY1,
		 SENT1, BODY2, SENT2, BODY3, SENT3, WHOLE, COMPLETE " new = 412",
		 "HEAD /d/big = 404", "FAILED retry later");
	PLAY("an error under a 200", &op, LOOK, BEGUN, RECORDED, BODY1, SENT1,
		 BODY2, SENT2, BODY3, SENT3, WHOLE,
		 COMPLETE " new = 200 c:InternalError", "FAILED retry later");
	op.has_sha256 = true;
	memset(op.sha256, '4', CS_SHA256_LENGTH);
	PLAY("not what was announced", &op, LOOK, BEGUN, RECORDED, BODY1, SENT1,
		 BODY2, SENT2, BODY3, SENT3, "DELETE /d/big" UP " = 204",
		 "FAILED changed");
}

static void
test_lost_end(void)
{
	CsOp op = big();
	CsOp tiny = big();

	AMAZON;
#define UNTIL LOOK, BEGUN, RECORDED, BODY1, SENT1, BODY2, SENT2, BODY3, SENT3
	PLAY("the end is lost, and it is there", &op, UNTIL, WHOLE,
		 COMPLETE " new = lost",
		 psprintf("HEAD /d/big = 200 n:41943040 e:%s", expected),
		 psprintf("DONE adopted verified /d/big %s 41943040", expected));
	PLAY("and it is not", &op, UNTIL, WHOLE, COMPLETE " new = lost",
		 "HEAD /d/big = 404", "FAILED retry later");
	PLAY("and something else is", &op, UNTIL, WHOLE, COMPLETE " new = 504",
		 "HEAD /d/big = 200 e:w n:9", "FAILED retry later");
	PLAY("the upload is gone", &op, UNTIL, WHOLE,
		 COMPLETE " new = 404 c:NoSuchUpload", "HEAD /d/big = 404",
		 "FAILED retry now");
	/* of a size that is not known, read back in the end */
	tiny.size = -1;
	PLAY("size not known", &tiny, "BODY 0+16777216 = b:16777216 h:0",
		 "HEAD /d/big = 404", BEGUN, "CHECKPOINT -1 - " SESSION,
		 "BODY 0+16777216 = b:16777216 h:4 p:x m:a", SENT1,
		 "BODY 16777216+16777216 = b:5 h:5 p:y m:b", SENT2,
		 "CHECKPOINT 16777221 5 " SESSION, COMPLETE " new" ETAG("o-2"),
		 "HEAD /d/big = 200 n:16777221 e:o-2",
		 "DONE verified /d/big o-2 16777221");
	PLAY("and a multiple of the part's", &tiny,
		 "BODY 0+16777216 = b:16777216 h:0", "HEAD /d/big = 404", BEGUN,
		 "CHECKPOINT -1 - " SESSION,
		 "BODY 0+16777216 = b:16777216 h:5 p:x m:a", SENT1,
		 "BODY 16777216+16777216 = b:0 h:5",
		 "CHECKPOINT 16777216 5 " SESSION, COMPLETE " new" ETAG("o-1"),
		 "HEAD /d/big = 200 n:16777216 e:o-1",
		 "DONE verified /d/big o-1 16777216");
}

#define FOUND(number, size, digit)                                             \
	"<Part><PartNumber>" number "</PartNumber><ETag>" digit digit digit digit  \
		digit digit digit digit digit digit digit digit digit digit digit      \
			digit digit digit digit digit digit digit digit digit digit digit  \
				digit digit digit digit digit digit "</ETag><Size>" size       \
	"</Size></Part>"

static void
test_resumed(void)
{
	CsOp op = big();

	AMAZON;
	op.session = SESSION;
	PLAY("gone on with", &op, LOOK,
		 LISTED "0" PARTS " = 200 x:<ListPartsResult>" //
		 FOUND("1", "16777216", "a")
			 FOUND("2", "16777216", "b") "</ListPartsResult>",
		 BODY1, BODY2, BODY3, SENT3, WHOLE,
		 psprintf("%s new = 200 x:<R><ETag>%s</ETag></R>", COMPLETE, expected),
		 psprintf("DONE verified /d/big %s 41943040", expected));
	PLAY("a part has other bytes, another is missing", &op, LOOK,
		 LISTED "0" PARTS " = 200 x:<ListPartsResult>" //
		 FOUND("1", "16777216", "d")
			 FOUND("3", "8388608", "c") "</ListPartsResult>",
		 BODY1, SENT1, BODY2, SENT2, BODY3, SENT3, WHOLE,
		 psprintf("%s new = 200 x:<R><ETag>%s</ETag></R>", COMPLETE, expected),
		 psprintf("DONE verified /d/big %s 41943040", expected));
	PLAY("pages of parts", &op, LOOK,
		 LISTED "0" PARTS " = 200 x:<ListPartsResult>" //
		 FOUND("1", "16777216",
			   "a") "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1"
					"</NextPartNumberMarker></ListPartsResult>",
		 LISTED "1" PARTS " = 200 x:<ListPartsResult>" //
		 FOUND("2", "16777216", "b") "</ListPartsResult>",
		 BODY1, BODY2, BODY3, SENT3, WHOLE, COMPLETE " new = lost",
		 "HEAD /d/big = 404", "FAILED retry later");
	PLAY("the upload is gone", &op, LOOK,
		 LISTED "0" PARTS " = 404 c:NoSuchUpload", BEGUN, RECORDED, BODY1,
		 "PUT /d/big?partNumber=1" PARTS " = refused", "FAILED retry later");
	PLAY("nonsense", &op, LOOK, LISTED "0" PARTS " = 200 x:<html>",
		 "DELETE /d/big" UP " = 204", "FAILED broken");
	op.session = "16777216 u0 d/other";
	PLAY("an upload of another object is ended", &op, LOOK,
		 "DELETE /d/other?uploadId=u0 = 204", BEGUN, RECORDED,
		 "BODY 0+16777216 = bodyfail", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
}

/* 784111777 is 1994-11-06 08:49:37 UTC */
#define SINCE "784111777000000"
#define BEGIN_OF(since) "CHECKPOINT -1 - begin " since " d/big"
#define UPLOADS "GET /?max-uploads=1000&prefix=d%2Fbig&uploads="
#define UPLOAD(key, id, time)                                                  \
	"<Upload><Key>" key "</Key><UploadId>" id "</UploadId><Initiator>"         \
	"<ID>me</ID></Initiator><Initiated>1994-11-06T08:" time                    \
	".000Z</Initiated></Upload>"

/* The answer to what begins an upload was lost: one may be there. */
static void
test_lost_begin(void)
{
	CsOp op = big();
	CsOp gone = {.kind = CS_OP_DISCARD, .path = "/d/.part"};

	AMAZON;
	PLAY("the begin is lost", &op, "HEAD /d/big = 404 t:37", BEGIN_OF(SINCE),
		 "POST /d/big?uploads= = lost", "FAILED retry later");
	op.session = "begin " SINCE " d/big";
	PLAY("what was begun then is ended", &op, "HEAD /d/big = 404 t:59",
		 UPLOADS " = 200 x:<ListMultipartUploadsResult>" //
		 UPLOAD("d/big", "u7", "49:37") UPLOAD("d/big2", "u8", "49:40")
			 UPLOAD("d/big", "u9", "49:41")
				 UPLOAD("d/big", "u6", "48:59") "</ListMultipartUploadsResult>",
		 "DELETE /d/big?uploadId=u9 = 204", "DELETE /d/big?uploadId=u7 = 500",
		 BEGIN_OF("784111799000000"), POSTED, RECORDED,
		 "BODY 0+16777216 = bodyfail", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
	PLAY("they may not be listed: then later", &op, "HEAD /d/big = 404 t:59",
		 UPLOADS " = 403 c:AccessDenied", BEGIN_OF(SINCE), POSTED, RECORDED,
		 "BODY 0+16777216 = bodyfail", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
	PLAY("nonsense is no list", &op, "HEAD /d/big = 404 t:59",
		 UPLOADS " = 200 x:<html>", BEGIN_OF(SINCE), POSTED, RECORDED,
		 "BODY 0+16777216 = bodyfail", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
	op.session = "begin 0 d/big";
	PLAY("nor is anything ended without knowing since when", &op,
		 "HEAD /d/big = 404 t:37", BEGIN_OF(SINCE), POSTED, RECORDED,
		 "BODY 0+16777216 = bodyfail", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
	gone.session = "begin " SINCE " d/big";
	PLAY("the file is not wanted any more", &gone,
		 UPLOADS " = 200 x:<ListMultipartUploadsResult>" //
		 UPLOAD("d/big", "u7", "49:37") "</ListMultipartUploadsResult>",
		 "DELETE /d/big?uploadId=u7 = 204", "DONE");
	PLAY("and nothing was begun", &gone,
		 UPLOADS " = 200 x:<ListMultipartUploadsResult/>", "DONE");
}

static void
test_last_look(void)
{
	CsOp op = big();

	ELSEWHERE;
	PLAY("without conditions: a last look", &op, UNTIL, WHOLE,
		 "HEAD /d/big = 404",
		 psprintf("%s = 200 x:<R><ETag>%s</ETag></R>", COMPLETE, expected),
		 psprintf("DONE verified /d/big %s 41943040", expected));
	PLAY("somebody was faster", &op, UNTIL, WHOLE, "HEAD /d/big = 200 e:w n:9",
		 "DELETE /d/big" UP " = 204", "FAILED conflict");
	PLAY("no checksums", &op, LOOK, BEGINS, "POST /d/big?uploads= = 501", POSTED,
		 RECORDED, "BODY 0+16777216 = bodyfail", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
	op.known_version = "v1";
	PLAY("ours is replaced", &op, "HEAD /d/big = 200 e:v1 n:9", BEGUN, RECORDED,
		 BODY1, SENT1, BODY2, SENT2, BODY3, SENT3, WHOLE,
		 "HEAD /d/big = 200 e:v1 n:9",
		 psprintf("%s = 200 x:<R><ETag>%s</ETag></R>", COMPLETE, expected),
		 psprintf("DONE verified /d/big %s 41943040", expected));
	op.size = INT64CONST(6) * 1024 * 1024 * MIB;
	PLAY("larger than S3 takes", &op, "FAILED refused");
	op.size = INT64CONST(1024) * 1024 * MIB;
	op.known_version = NULL;
	PLAY("parts grow, since there are 10,000 at most", &op, "HEAD /d/big = 404",
		 BEGUN, "CHECKPOINT -1 - 110100480 u1 d/big",
		 "BODY 0+110100480 = bodyfail", "DELETE /d/big" UP " = 204",
		 "FAILED changed");
}

#define COPY "PUT /b copy /buck/a if v1"
#define COPIED(etag)                                                           \
	" = 200 x:<CopyObjectResult><ETag>" etag "</ETag></CopyObjectResult>"

static void
test_move(void)
{
	CsOp op = {.kind = CS_OP_MOVE,
			   .path = "/a",
			   .to_path = "/b",
			   .known_version = "v1"};

	AMAZON;
	PLAY("ours is moved", &op, "HEAD /a = 200 e:v1 n:5", "HEAD /b = 404",
		 COPY COPIED("v1"), "DELETE /a if v1 = 204", "DONE /b v1 5");
	PLAY("gets another ETag", &op, "HEAD /a = 200 e:v1 n:5", "HEAD /b = 404",
		 COPY COPIED("v2"), "HEAD /b = 200 e:v2 n:5", "DELETE /a if v1 = 204",
		 "DONE /b v2 5");
	PLAY("is not copied as it is", &op, "HEAD /a = 200 e:v1 n:5",
		 "HEAD /b = 404", COPY COPIED("v2"), "HEAD /b = 200 e:v2 n:4",
		 "FAILED retry later");
	PLAY("is replaced as soon as it is copied", &op, "HEAD /a = 200 e:v1 n:5",
		 "HEAD /b = 404", COPY COPIED("v2"), "HEAD /b = 200 e:w n:5",
		 "FAILED retry later");
	PLAY("not ours", &op, "HEAD /a = 200 e:w n:5", "FAILED conflict");
	PLAY("the target is taken", &op, "HEAD /a = 200 e:v1 n:5",
		 "HEAD /b = 200 e:w n:5", "FAILED conflict");
	PLAY("copied already", &op, "HEAD /a = 200 e:v1 n:5",
		 "HEAD /b = 200 e:v1 n:5", "DELETE /a if v1 = 204", "DONE /b v1 5");
	PLAY("moved already", &op, "HEAD /a = 404", "HEAD /b = 200 e:v1 n:5",
		 "DONE /b v1 5");
	PLAY("gone", &op, "HEAD /a = 404", "HEAD /b = 404", "FAILED gone");
	PLAY("gone, the target is another's", &op, "HEAD /a = 404",
		 "HEAD /b = 200 e:w n:5", "FAILED gone");
	PLAY("changed before it was copied", &op, "HEAD /a = 200 e:v1 n:5",
		 "HEAD /b = 404", COPY " = 412", "HEAD /a = 200 e:w n:5",
		 "FAILED conflict");
	PLAY("only said to have changed", &op, "HEAD /a = 200 e:v1 n:5",
		 "HEAD /b = 404", COPY " = 412", "HEAD /a = 200 e:v1 n:5",
		 "PUT /b copy /buck/a" COPIED("v1"), "DELETE /a if v1 = 204",
		 "DONE /b v1 5");
	PLAY("removed before it was copied", &op, "HEAD /a = 200 e:v1 n:5",
		 "HEAD /b = 404", COPY " = 404 c:NoSuchKey", "FAILED retry now");
	PLAY("an error under a 200", &op, "HEAD /a = 200 e:v1 n:5", "HEAD /b = 404",
		 COPY " = 200 c:InternalError", "FAILED retry later");
	PLAY("lost, and there", &op, "HEAD /a = 200 e:v1 n:5", "HEAD /b = 404",
		 COPY " = lost", "HEAD /b = 200 e:v1 n:5", "DELETE /a if v1 = 204",
		 "DONE /b v1 5");
	PLAY("lost", &op, "HEAD /a = 200 e:v1 n:5", "HEAD /b = 404", COPY " = 502",
		 "HEAD /b = 404", "FAILED retry later");
	PLAY("changed after it was copied: ours goes", &op,
		 "HEAD /a = 200 e:v1 n:5", "HEAD /b = 404", COPY COPIED("v1"),
		 "DELETE /a if v1 = 412", "DELETE /b = 204", "FAILED conflict");
	PLAY("may not be deleted", &op, "HEAD /a = 200 e:v1 n:5", "HEAD /b = 404",
		 COPY COPIED("v1"), "DELETE /a if v1 = 403 c:AccessDenied",
		 "DELETE /b = 204", "FAILED forbidden");
	PLAY("deletion without a condition", &op, "HEAD /a = 200 e:v1 n:5",
		 "HEAD /b = 404", COPY COPIED("v1"), "DELETE /a if v1 = 501",
		 "DELETE /a = 204", "DONE /b v1 5");
	PLAY("larger than can be copied", &op, "HEAD /a = 200 e:v1 n:9999999999",
		 "HEAD /b = 404", "FAILED refused");
	op.to_path = "/a";
	PLAY("nowhere else", &op, "HEAD /a = 200 e:v1 n:5", "DONE /a v1 5");
	op.to_path = NULL;
	PLAY("nowhere", &op, "FAILED broken");
}

static void
test_move_by_bytes(void)
{
	CsOp op = {.kind = CS_OP_MOVE, .path = "/a", .to_path = "/b"};

	ELSEWHERE;
	op.has_intended = true;
	op.intended_size = 5;
	cs_sha256("hello", 5, op.intended_sha256);
	PLAY("ours by its bytes", &op, "HEAD /a = 200 e:v1 n:5",
		 "GET /a if v1 = 200 d:hello", "HEAD /b = 404", COPY COPIED("v1"),
		 "DELETE /a = 204", "DONE /b v1 5");
	PLAY("not ours by its bytes", &op, "HEAD /a = 200 e:v1 n:5",
		 "GET /a if v1 = 200 d:world", "FAILED conflict");
	PLAY("changed while it was looked at", &op, "HEAD /a = 200 e:v1 n:5",
		 "GET /a if v1 = 412", "FAILED conflict");
	PLAY("copied already, under another ETag", &op, "HEAD /a = 200 e:v1 n:5",
		 "GET /a if v1 = 200 d:hello", "HEAD /b = 200 e:v2 n:5",
		 "GET /b if v2 = 200 d:hello", "DELETE /a = 204", "DONE /b v2 5");
	PLAY("moved already", &op, "HEAD /a = 404", "HEAD /b = 200 e:v2 n:5",
		 "GET /b if v2 = 200 d:hello", "DONE /b v2 5");
}

static void
test_trash(void)
{
	CsOp op = {.kind = CS_OP_TRASH,
			   .path = "/r/a.txt",
			   .to_path = "/.trash/a.txt",
			   .known_version = "v1"};

	ELSEWHERE;
	PLAY("to the trash", &op, "HEAD /r/a.txt = 200 e:v1 n:5",
		 "HEAD /.trash/a.txt = 404",
		 "PUT /.trash/a.txt copy /buck/r/a.txt if v1" COPIED("v1"),
		 "DELETE /r/a.txt = 204", "DONE /.trash/a.txt v1 5");
	PLAY("taken there", &op, "HEAD /r/a.txt = 200 e:v1 n:5",
		 "HEAD /.trash/a.txt = 200 e:w n:4",
		 "HEAD /.trash/a%20%282%29.txt = 404",
		 "PUT /.trash/a%20%282%29.txt copy /buck/r/a.txt if v1" COPIED("v1"),
		 "DELETE /r/a.txt = 204", "DONE /.trash/a (2).txt v1 5");
	PLAY("there already, under a number", &op, "HEAD /r/a.txt = 404",
		 "HEAD /.trash/a.txt = 200 e:w n:4",
		 "HEAD /.trash/a%20%282%29.txt = 200 e:v1 n:5",
		 "DONE /.trash/a (2).txt v1 5");
}

#define BELOW "?list-type=2&encoding-type=url&max-keys=100&prefix=f%2F"

static void
test_folder(void)
{
	CsOp op = {.kind = CS_OP_MOVE, .path = "/f", .to_path = "/g/h"};

	ELSEWHERE;
	PLAY("a folder is what is below it", &op,
		 "GET /" BELOW " = 200 " LIST_XML(
			 KEY("f/", "0", "m") KEY("f/a+b", "5", "v1") KEY("f/../x", "1", "v")
				 KEY("other", "1",
					 "v") "<IsTruncated>true</IsTruncated>"
						  "<NextContinuationToken>t</NextContinuationToken>"),
		 "HEAD /g/h/ = 404", "PUT /g/h/ copy /buck/f/ if m" COPIED("m"),
		 "DELETE /f/ = 204", "HEAD /g/h/a%20b = 404",
		 "PUT /g/h/a%20b copy /buck/f/a%20b if v1" COPIED("v1"),
		 "DELETE /f/a%20b = 204",
		 "GET /" BELOW
		 "&start-after=f%2F..%2Fx = 200 " LIST_XML(KEY("f/c", "5", "v2")),
		 "HEAD /g/h/c = 200 e:v2 n:5", "DELETE /f/c = 204", "DONE /g/h/");
	PLAY("never onto another", &op,
		 "GET /" BELOW " = 200 " LIST_XML(KEY("f/c", "5", "v2")),
		 "HEAD /g/h/c = 200 e:w n:5", "FAILED conflict");
	PLAY("moved already", &op, "GET /" BELOW " = 200 " LIST_XML(""),
		 "GET /" ONE "g%2Fh%2F = 200 " LIST_XML(KEY("g/h/c", "5", "v2")),
		 "DONE /g/h/");
	PLAY("gone", &op, "GET /" BELOW " = 200 " LIST_XML(""),
		 "GET /" ONE "g%2Fh%2F = 200 " LIST_XML(""), "FAILED gone");
	PLAY("no listing", &op, "GET /" BELOW " = 503", "FAILED retry later");
}

int
main(void)
{
	uint8 md5s[48];
	uint8 md5[16];

	memset(md5s, 0xaa, 16);
	memset(md5s + 16, 0xbb, 16);
	memset(md5s + 32, 0xcc, 16);
	EVP_Digest(md5s, sizeof(md5s), md5, NULL, EVP_md5(), NULL);
	snprintf(expected, sizeof(expected), "%s-3", cs_hex(md5, 16));
	test_parts();
	test_lost_end();
	test_resumed();
	test_lost_begin();
	test_last_look();
	test_move();
	test_move_by_bytes();
	test_trash();
	test_folder();
	return tap_done();
}
