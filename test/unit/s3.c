/* sources: src/provider/s3*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The S3 provider: its options, and its conversations replayed (s3_play.h), but
 * for PUT in parts and MOVE (s3_more.c).
 */
#include "postgres_fe.h"

#include "common/base64.h"
#include "s3_play.h"

static const char *
opened(const char *const *pairs)
{
	CsOption list[12] = {{NULL}};
	CsFailure failure = {0};
	CsService *made;

	for (int i = 0; pairs[2 * i] != NULL; i++)
	{
		list[i].key = pairs[2 * i];
		list[i].value = pairs[2 * i + 1];
	}
	made = cs_provider_s3.open(list, &failure);
	if (made == NULL)
		return psprintf("%s: %s", class_names[failure.failure_class],
						failure.message);
	return psprintf("%s %s %s", made->url, made->account, made->region);
}

#define OPENED(...) opened((const char *const[]){__VA_ARGS__, NULL})

static void
test_options(void)
{
	tap_is(OPENED("bucket", "buck"),
		   "https://buck.s3.us-east-1.amazonaws.com buck us-east-1", "Amazon");
	tap_is(OPENED("bucket", "buck", "region", "eu-west-3", "prefix", "/a/b/"),
		   "https://buck.s3.eu-west-3.amazonaws.com buck/a/b eu-west-3",
		   "another region, a prefix");
	tap_is(OPENED("bucket", "buck", "path_style", "true"),
		   "https://s3.us-east-1.amazonaws.com/buck buck us-east-1",
		   "path style");
	tap_is(OPENED("bucket", "my.buck"),
		   "https://s3.us-east-1.amazonaws.com/my.buck my.buck us-east-1",
		   "no certificate is for a name with dots");
	tap_is(OPENED("bucket", "buck", "region", "cn-north-1"),
		   "https://buck.s3.cn-north-1.amazonaws.com.cn buck cn-north-1",
		   "China");
	tap_is(
		OPENED("bucket", "buck", "endpoint", "HTTP://Minio.Local:9000/"),
		"http://minio.local:9000/buck http://minio.local:9000/buck us-east-1",
		"an endpoint");
	tap_is(OPENED("bucket", "buck", "endpoint", "https://x.org", "path_style",
				  "false", "prefix", "p"),
		   "https://buck.x.org https://x.org/buck/p us-east-1",
		   "an endpoint, the bucket in its name");
	tap_is(OPENED("bucket", "buck", "endpoint",
				  "https://s3.eu-west-3.amazonaws.com"),
		   "https://s3.eu-west-3.amazonaws.com/buck buck us-east-1",
		   "Amazon's own endpoint is the same account");
	tap_is(OPENED("bucket", "bu/ck"),
		   "refused: option \"bucket\" is no bucket's name", "no '/'");
	tap_is(OPENED("bucket", ".."),
		   "refused: option \"bucket\" is no bucket's name", "no dots alone");
	tap_is(OPENED("bucket", "b", "region", "eu/1"),
		   "refused: option \"region\" is no region's name", "region");
	tap_ok(strncmp(OPENED("bucket", "b", "endpoint", "file:///etc"),
				   "refused: option \"endpoint\"", 26) == 0,
		   "endpoint that is none");
	tap_ok(strncmp(OPENED("bucket", "b", "prefix", "a/../b"),
				   "refused: option \"prefix\"", 24) == 0,
		   "prefix that is none");
	tap_ok(strncmp(OPENED("bucket", "b", "server_side_encryption", "best"),
				   "refused: option \"server_side", 28) == 0,
		   "encryption that is none");
	tap_ok(strncmp(OPENED("bucket", "b", "sse_kms_key_id", "k"),
				   "refused: option \"sse_kms_key_id\"", 32) == 0,
		   "a key without encryption");
	tap_ok(strncmp(OPENED("bucket", "b", "storage_class", "a\r\nb: c"),
				   "refused: option \"storage_class\"", 31) == 0,
		   "no header within a header");
}

static CsOp
put(void)
{
	CsOp op = {0};

	op.kind = CS_OP_PUT;
	op.path = "/d/f é.txt";
	op.size = 5;
	op.has_sha256 = true;
	memset(op.sha256, 'a', CS_SHA256_LENGTH);
	return op;
}

#define F "/d/f%20%C3%A9.txt"
#define P "/d/f é.txt"
#define GOOD "200 b:5 h:a s:a"

static void
test_put_one(void)
{
	CsOp op = put();

	AMAZON;
	PLAY("one request", &op, "PUT " F " new = " GOOD " e:v1",
		 "DONE verified " P " v1 5");
	PLAY("verified by MD5", &op, "PUT " F " new = 200 b:5 h:a e:MDb m:b",
		 "DONE verified " P " bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
	PLAY("by an encrypted one's acceptance", &op,
		 "PUT " F " new = 200 b:5 h:a e:MDb m:c k:aws:kms",
		 "DONE verified " P " bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
	PLAY("arrived as something else", &op, "PUT " F " new = 200 b:5 s:b e:v1",
		 "PUT " F " if v1 = " GOOD " e:v2", "DONE verified " P " v2 5");
	PLAY("arrives as something else", &op, "PUT " F " new = 200 b:5 s:b e:v1",
		 "PUT " F " if v1 = 200 b:5 s:b e:v2",
		 "PUT " F " if v2 = 200 b:5 s:b e:v3", "DELETE " F " if v3 = 204",
		 "FAILED retry later");
	PLAY("there without a version", &op, "PUT " F " new = 412",
		 "HEAD " F " = 200 n:9", "FAILED broken");
	PLAY("refused for another reason", &op, "PUT " F " new = 409",
		 "FAILED retry later");
	PLAY("not all was sent", &op, "PUT " F " new = 200 b:4 s:a e:v1",
		 "FAILED retry now");
	PLAY("MD5 differs, and so do the bytes", &op,
		 "PUT " F " new = 200 b:5 h:a e:MDb m:c",
		 "GET " F " if bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb = 200 d:other",
		 "PUT " F " if bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb = " GOOD " e:v2",
		 "DONE verified " P " v2 5");
	op.known_version = "v1";
	PLAY("ours is replaced", &op, "PUT " F " if v1 = " GOOD " e:v2",
		 "DONE verified " P " v2 5");
	PLAY("removed meanwhile", &op, "PUT " F " if v1 = 404 c:NoSuchKey",
		 "HEAD " F " = 404", "PUT " F " new = " GOOD " e:v2",
		 "DONE verified " P " v2 5");
	PLAY("changed by somebody", &op,
		 "PUT " F " if v1 = 412 c:PreconditionFailed",
		 "HEAD " F " = 200 e:w n:9", "FAILED conflict");
	PLAY("changed again and again", &op, "PUT " F " if v1 = 412",
		 "HEAD " F " = 404", "PUT " F " new = 412", "HEAD " F " = 404",
		 "PUT " F " new = 412", "HEAD " F " = 404", "PUT " F " new = 412",
		 "HEAD " F " = 404", "PUT " F " new = 412", "FAILED retry later");
	op.overwrite = true;
	PLAY("overwrite", &op, "PUT " F " if v1 = 412", "HEAD " F " = 200 e:w n:9",
		 "PUT " F " if w = " GOOD " e:v2", "DONE verified " P " v2 5");
}

static void
test_put_found(void)
{
	CsOp op = put();

	AMAZON;
	PLAY("the same bytes are there, by checksum", &op,
		 "PUT " F " new = 412 b:5", "HEAD " F " = 200 e:w n:5 s:a",
		 "DONE adopted verified " P " w 5");
	PLAY("by MD5", &op, "PUT " F " new = 412 b:5 m:b",
		 "HEAD " F " = 200 e:MDb n:5",
		 "DONE adopted verified " P " bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
	cs_sha256("hello", 5, op.sha256);
	PLAY("by reading them", &op, "PUT " F " new = 412 b:1",
		 "HEAD " F " = 200 e:w n:5", "GET " F " if w = 200 d:hello",
		 "DONE adopted verified " P " w 5");
	PLAY("others of that size", &op, "PUT " F " new = 412",
		 "HEAD " F " = 200 e:w n:5", "GET " F " if w = 200 d:world",
		 "FAILED conflict");
	PLAY("that may not be read", &op, "PUT " F " new = 412",
		 "HEAD " F " = 200 e:w n:5", "GET " F " if w = 403 c:AccessDenied",
		 "FAILED conflict");
	PLAY("changed while they are read", &op, "PUT " F " new = 412",
		 "HEAD " F " = 200 e:w n:5", "GET " F " if w = 412", "HEAD " F " = 404",
		 "PUT " F " new = 200 b:5 e:v1", "DONE verified " P " v1 5");
	op.has_intended = true;
	op.intended_size = 9;
	memset(op.intended_sha256, 'i', CS_SHA256_LENGTH);
	PLAY("ours, of an attempt that died", &op, "PUT " F " new = 412",
		 "HEAD " F " = 200 e:w n:9 s:i", "PUT " F " if w = 200 b:5 e:v2",
		 "DONE verified " P " v2 5");
	PLAY("as large as ours, but not ours", &op, "PUT " F " new = 412",
		 "HEAD " F " = 200 e:w n:9 s:o", "FAILED conflict");
	op.known_version = "v1";
	op.intended_size = 5;
	memcpy(op.intended_sha256, op.sha256, CS_SHA256_LENGTH);
	ELSEWHERE;
	PLAY("as we left it, with these very bytes", &op,
		 "HEAD " F " = 200 e:v1 n:5", "DONE adopted verified " P " v1 5");
}

static void
test_put_lost(void)
{
	CsOp op = put();

	AMAZON;
	PLAY("lost, and there", &op, "PUT " F " new = lost",
		 "HEAD " F " = 200 e:v1 n:5 s:a", "DONE adopted verified " P " v1 5");
	PLAY("lost, and not there", &op, "PUT " F " new = lost", "HEAD " F " = 404",
		 "FAILED retry later");
	PLAY("lost, and another is there", &op, "PUT " F " new = 502",
		 "HEAD " F " = 200 e:w n:9", "FAILED retry later");
	PLAY("lost, and no look possible", &op, "PUT " F " new = 504",
		 "HEAD " F " = refused", "FAILED retry later");
	PLAY("never arrived", &op, "PUT " F " new = refused", "FAILED retry later");
	cs_sha256("hello", 5, op.sha256);
	PLAY("lost, told by its bytes", &op, "PUT " F " new = 500 c:InternalError",
		 "HEAD " F " = 200 e:v1 n:5", "GET " F " if v1 = 200 d:hello",
		 "DONE adopted verified " P " v1 5");
	PLAY("lost, other bytes", &op, "PUT " F " new = lost",
		 "HEAD " F " = 200 e:v1 n:5", "GET " F " if v1 = 200 d:world",
		 "FAILED retry later");
	PLAY("the body fails", &op, "PUT " F " new = bodyfail", "FAILED changed");
}

/* Not known beforehand what it holds. */
static void
test_put_unread(void)
{
	CsOp op = put();

	AMAZON;
	op.has_sha256 = false;
	PLAY("read first", &op, "BODY 0 = b:5 h:a", "CHECKPOINT 5 a",
		 "PUT " F " new = " GOOD " e:v1", "DONE verified " P " v1 5");
	PLAY("shorter than said", &op, "BODY 0 = b:4 h:a", "FAILED changed");
	PLAY("the body fails", &op, "BODY 0 = bodyfail", "FAILED changed");
	PLAY("somebody was faster", &op, "BODY 0 = b:5 h:a", "CHECKPOINT 5 a",
		 "PUT " F " new = 412", "HEAD " F " = 200 e:w n:6", "FAILED conflict");
	op.size = -1;
	PLAY("size not known", &op, "BODY 0+16777216 = b:7 h:a", "CHECKPOINT 7 a",
		 "PUT " F " new = 200 b:7 s:a e:v1", "DONE verified " P " v1 7");
	ELSEWHERE;
	op.size = 5;
	op.path = "/";
	PLAY("no name", &op, "FAILED broken");
	op.path = psprintf("/%s", repeated('n', 1025));
	PLAY("a name too long", &op, "FAILED refused");
}

/* Services of which it is not known what they can do. */
static void
test_put_learns(void)
{
	CsOp op = put();

	ELSEWHERE;
	PLAY("looked at first; conditions are tried", &op, "HEAD " F " = 404",
		 "PUT " F " new = " GOOD " e:v1", "PUT " F " new = 412",
		 "PUT " F " if 00000000000000000000000000000000 = 412",
		 "DONE verified " P " v1 5");
	PLAY("they hold: no more looks", &op, "PUT " F " new = " GOOD " e:v2",
		 "DONE verified " P " v2 5");
	ELSEWHERE;
	PLAY("not taken at all", &op, "HEAD " F " = 404",
		 "PUT " F " new = 501 c:NotImplemented", "HEAD " F " = 404",
		 "PUT " F " = " GOOD " e:v1", "DONE verified " P " v1 5");
	PLAY("a look each time, then", &op, "HEAD " F " = 404",
		 "PUT " F " = " GOOD " e:v1", "DONE verified " P " v1 5");
	PLAY("and somebody else's file is seen", &op, "HEAD " F " = 200 e:w n:9",
		 "FAILED conflict");
	op.fresh_folder = true;
	PLAY("but not where nothing can be", &op, "PUT " F " = " GOOD " e:v1",
		 "DONE verified " P " v1 5");
	ELSEWHERE;
	PLAY("nor before it is known", &op, "PUT " F " new = 501",
		 "PUT " F " = 501", "PUT " F " = 200 b:5 h:a e:v1",
		 "DONE verified " P " v1 5");
	op.fresh_folder = false;
	ELSEWHERE;
	PLAY("a condition is overlooked", &op, "HEAD " F " = 404",
		 "PUT " F " new = " GOOD " e:v1", "PUT " F " new = " GOOD " e:v2",
		 "DONE verified " P " v2 5");
	PLAY("so it is not relied on", &op, "HEAD " F " = 404",
		 "PUT " F " = " GOOD " e:v1", "DONE verified " P " v1 5");
	ELSEWHERE;
	PLAY("only If-Match is overlooked", &op, "HEAD " F " = 404",
		 "PUT " F " new = " GOOD " e:v1", "PUT " F " new = 412",
		 "PUT " F " if 00000000000000000000000000000000 = " GOOD " e:v3",
		 "DONE verified " P " v3 5");
	cs_sha256("hello", 5, op.sha256);
	PLAY("an ETag that only looks like an MD5", &op, "HEAD " F " = 404",
		 "PUT " F " = 200 b:5 h:a e:MDb m:c",
		 "GET " F " if bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb = 200 d:hello",
		 "DONE verified " P " bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
}

static void
test_get(void)
{
	CsOp op = {.kind = CS_OP_GET, .path = "/f", .expect_version = "v1"};

	AMAZON;
	PLAY("by checksum", &op, "GET /f if v1 = 200 e:v1 n:5 s:a b:5 h:a",
		 "DONE verified /f v1 5");
	PLAY("a wrong checksum", &op, "GET /f if v1 = 200 e:v1 n:5 s:a b:5 h:b",
		 "FAILED retry now");
	PLAY("without any", &op, "GET /f if v1 = 200 e:v1 n:5 b:5 h:b",
		 "DONE /f v1 5");
	PLAY("by MD5", &op, "GET /f if v1 = 200 e:MDb n:5 b:5 h:b m:b",
		 "DONE verified /f bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
	PLAY("another MD5, twice other bytes", &op,
		 "GET /f if v1 = 200 e:MDb n:5 b:5 h:b m:c",
		 "GET /f if v1 = 200 e:MDb n:5 b:5 h:c m:d", "FAILED retry now");
	PLAY("another MD5, the second is right", &op,
		 "GET /f if v1 = 200 e:MDb n:5 b:5 h:b m:c",
		 "GET /f if v1 = 200 e:MDb n:5 b:5 h:c m:b",
		 "DONE verified /f bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
	PLAY("encrypted: its ETag is no MD5", &op,
		 "GET /f if v1 = 200 e:MDb n:5 b:5 h:b m:c k:aws:kms",
		 "DONE /f bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
	PLAY("resumed", &op, "GET /f if v1 = broke e:v1 n:9 b:5",
		 "GET /f if v1 bytes=5- = broke b:1",
		 "GET /f if v1 bytes=6- = 206 e:v1 g:6 b:3 h:a", "DONE /f v1 9");
	PLAY("resumed, verified", &op, "GET /f if v1 = broke e:v1 n:9 s:a b:5",
		 "GET /f if v1 bytes=5- = 206 e:v1 g:5 b:4 h:a",
		 "DONE verified /f v1 9");
	PLAY("resumed elsewhere", &op, "GET /f if v1 = broke e:v1 n:9 b:5",
		 "GET /f if v1 bytes=5- = 206 e:v1 g:0 b:9", "FAILED retry now");
	PLAY("cannot be resumed", &op, "GET /f if v1 = broke e:v1 n:9 b:5",
		 "GET /f if v1 bytes=5- = 200 e:v1", "FAILED retry now");
	PLAY("changed before it was resumed", &op,
		 "GET /f if v1 = broke e:v1 n:9 b:5", "GET /f if v1 bytes=5- = 412",
		 "FAILED changed");
	PLAY("too short in the end", &op, "GET /f if v1 = broke e:v1 n:9 b:5",
		 "GET /f if v1 bytes=5- = 206 e:v1 g:5 b:3", "FAILED retry later");
	PLAY("breaks again and again", &op, "GET /f if v1 = broke e:v1 n:99 b:1",
		 "GET /f if v1 bytes=1- = broke b:1",
		 "GET /f if v1 bytes=2- = broke b:1",
		 "GET /f if v1 bytes=3- = broke b:1",
		 "GET /f if v1 bytes=4- = broke b:1",
		 "GET /f if v1 bytes=5- = broke b:1",
		 "GET /f if v1 bytes=6- = broke b:1",
		 "GET /f if v1 bytes=7- = broke b:1",
		 "GET /f if v1 bytes=8- = broke b:1", "FAILED retry later");
	PLAY("broke before anything came", &op, "GET /f if v1 = broke",
		 "FAILED retry later");
	PLAY("broke, without an ETag", &op, "GET /f if v1 = broke n:9 b:5",
		 "FAILED retry later");
	PLAY("the database cannot take it", &op, "GET /f if v1 = bodyfail b:3",
		 "FAILED changed");
	PLAY("another version", &op, "GET /f if v1 = 412 c:PreconditionFailed",
		 "FAILED changed");
	PLAY("gone", &op, "GET /f if v1 = 404 c:NoSuchKey", "FAILED gone");
	PLAY("archived", &op, "GET /f if v1 = 403 c:InvalidObjectState",
		 "FAILED forbidden");
	op.expect_version = NULL;
	PLAY("any version", &op, "GET /f = 200 e:v9 n:0 b:0 h:a", "DONE /f v9 0");
	AMAZON;
	PLAY("an ETag that only looks like an MD5", &op,
		 "GET /f = 200 e:MDb n:5 b:5 h:b m:c",
		 "GET /f = 200 e:MDb n:5 b:5 h:b m:c",
		 "DONE /f bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
	PLAY("is told once only", &op, "GET /f = 200 e:MDb n:5 b:5 h:b m:c",
		 "DONE /f bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb 5");
}

static void
test_list(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/in", .recursive = true};

	AMAZON;
	PLAY("folders are told from keys", &op,
		 "GET /" ALL "in%2F = 200 " LIST_XML(
			 KEY("in/", "0", "m") KEY("in/a+b", "5", "v1")
				 KEY("in/s/", "0", "m") KEY("in/s/t/u", "1", "v")
					 KEY("in/s/t/v%2Bw", "1", "v") KEY("in/t/x", "1", "v")
						 KEY("other", "1", "v")),
		 "PAGE /in/a b /in/s/ /in/s/t/ /in/s/t/u /in/s/t/v+w /in/t/ /in/t/x",
		 "DONE");
	PLAY("keys that are no paths", &op,
		 "GET /" ALL "in%2F = 200 " LIST_XML(
			 KEY("in//a", "1", "v") KEY("in/../etc/passwd", "1", "v")
				 KEY("in/a%0Ab", "1", "v") KEY("in/%FF", "1", "v")
					 KEY("in/%00", "1", "v") KEY("in/x/", "7", "v")
						 KEY("in/./y", "1", "v")),
		 "PAGE /in///a! /in//../etc/passwd! /in//a\\x0ab! /in//\\xff! "
		 "/in//in/%00! /in//x/! /in//./y!",
		 "DONE");
	PLAY("a file and a folder of one name", &op,
		 "GET /" ALL "in%2F = 200 " LIST_XML(
			 KEY("in/x", "1", "v") KEY("in/x-y", "1", "v")
				 KEY("in/x/z", "1", "v") KEY("in/x/zz", "1", "v")),
		 "PAGE /in/x /in/x-y /in/x/z /in/x/zz", "DONE");
	PLAY("pages", &op,
		 "GET /" ALL
		 "in%2F = 200 " LIST_XML("<NextContinuationToken>t/1="
								 "</NextContinuationToken><IsTruncated>true"
								 "</IsTruncated>" KEY("in/s/a", "1", "v")),
		 "PAGE /in/s/ /in/s/a",
		 "GET /" ALL "in%2F&continuation-token=t%2F1%3D = 200 " LIST_XML(
			 KEY("in/s/b", "1", "v")),
		 "PAGE /in/s/b", "DONE");
	PLAY("empty", &op, "GET /" ALL "in%2F = 200 " LIST_XML(""), "DONE");
	PLAY("more, but not where", &op,
		 "GET /" ALL "in%2F = 200 " LIST_XML("<IsTruncated>true</IsTruncated>"),
		 "FAILED broken");
	PLAY("no XML", &op, "GET /" ALL "in%2F = 200 x:<html><br></html>",
		 "FAILED broken");
	PLAY("another document", &op, "GET /" ALL "in%2F = 200 x:<a><b/></a>",
		 "FAILED broken");
	PLAY("cut off", &op, "GET /" ALL "in%2F = 200 x:<ListBucketResult>",
		 "FAILED broken");
	PLAY("breaks", &op, "GET /" ALL "in%2F = broke", "FAILED retry later");
	PLAY("no bucket", &op, "GET /" ALL "in%2F = 404 c:NoSuchBucket",
		 "FAILED unreachable");
	op.recursive = false;
	op.path = "/";
	PLAY("one folder only", &op,
		 "GET /" ALL "&delimiter=%2F = 200 " LIST_XML(
			 KEY("a", "1", "v") KEY("b", "2", "v") PREFIX("b/") PREFIX("c+d/")),
		 "PAGE /a /b /c d/", "DONE");
}

static void
test_list_encoding(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/", .recursive = true};

	AMAZON;
	PLAY("keys that are not encoded", &op,
		 "GET /" ALL " = 200 x:<ListBucketResult>" KEY("a+b%20c", "1", "v") //
		 "</ListBucketResult>",
		 "PAGE /a+b%20c", "DONE");
	PLAY("said at the end that they are", &op,
		 "GET /" ALL " = 200 x:<ListBucketResult>" KEY("a+b%20c", "1", "v") //
		 "<EncodingType>url</EncodingType></ListBucketResult>",
		 "PAGE /a b c", "DONE");
}

static void
test_small(void)
{
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};

	AMAZON;
	PLAY("about", &op, "GET /" ONE " = 200 " LIST_XML(""), "DONE //");
	op.kind = CS_OP_STAT;
	PLAY("the root", &op, "GET /" ONE " = 200 " LIST_XML(""), "DONE //");
	op.path = "/a";
	PLAY("stat", &op, "HEAD /a = 200 e:v n:7", "DONE /a v 7");
	PLAY("a folder", &op, "HEAD /a = 404",
		 "GET /" ONE "a%2F = 200 " LIST_XML(KEY("a/b", "1", "v")), "DONE /a/");
	PLAY("nothing", &op, "HEAD /a = 404",
		 "GET /" ONE "a%2F = 200 " LIST_XML(""), "FAILED gone");
	PLAY("refused, and why", &op, "HEAD /a = 403",
		 "GET /" WHY "a = 403 c:RequestTimeTooSkewed", "FAILED retry later");
	tap_ok(strstr(last_failure.detail, "clock") != NULL, "the hint");
	PLAY("refused this alone", &op, "HEAD /a = 403",
		 "GET /" WHY "a = 200 " LIST_XML(""), "FAILED forbidden");
	PLAY("another region", &op, "HEAD /a = 301",
		 "GET /" WHY "a = 301 c:PermanentRedirect r:eu-west-1",
		 "FAILED unreachable");
	tap_ok(strstr(last_failure.detail, "\"eu-west-1\"") != NULL, "which");
	op.kind = CS_OP_MKDIR;
	op.path = "/a/b";
	PLAY("folders need not be made", &op, "DONE /a/b/");
	op.visible = true;
	PLAY("but for one to be seen", &op,
		 "GET /" ONE "a%2Fb%2F = 200 " LIST_XML(""), "PUT /a/b/ = 200 e:m",
		 "DONE /a/b/");
	PLAY("that is there", &op,
		 "GET /" ONE "a%2Fb%2F = 200 " LIST_XML(KEY("a/b/c", "1", "v")),
		 "DONE /a/b/");
	PLAY("or cannot be made", &op, "GET /" ONE "a%2Fb%2F = 200 " LIST_XML(""),
		 "PUT /a/b/ = 403 c:AccessDenied", "FAILED forbidden");
	op.path = "/";
	PLAY("the root", &op, "GET /" ONE " = 200 " LIST_XML(""), "DONE //");
	op.kind = CS_OP_DISCARD;
	op.path = "/d/x";
	PLAY("nothing to discard", &op, "DONE");
	op.session = "16777216 up/1 d/f g";
	PLAY("an upload", &op, "DELETE /d/f%20g?uploadId=up%2F1 = 204", "DONE");
	PLAY("that is gone", &op,
		 "DELETE /d/f%20g?uploadId=up%2F1 = 404 c:NoSuchUpload", "DONE");
	PLAY("that stays", &op, "DELETE /d/f%20g?uploadId=up%2F1 = 503",
		 "FAILED retry later");
	op.session = "nonsense";
	PLAY("what is no upload", &op, "DONE");
}

/* What each code means, wherever it comes. */
static void
test_codes(void)
{
	static const char *const means[][2] = {
		{"403 c:AccessDenied", "forbidden"},
		{"403 c:InvalidAccessKeyId", "needs consent"},
		{"403 c:SignatureDoesNotMatch", "needs consent"},
		{"400 c:ExpiredToken", "needs consent"},
		{"403 c:RequestTimeTooSkewed", "retry later"},
		{"404 c:NoSuchBucket", "unreachable"},
		{"301 c:PermanentRedirect", "unreachable"},
		{"307 c:TemporaryRedirect", "unreachable"},
		{"302", "unreachable"},
		{"400 c:AuthorizationHeaderMalformed", "unreachable"},
		{"503 c:SlowDown", "retry later"},
		{"503", "retry later"},
		{"429", "retry later"},
		{"403 c:QuotaExceeded", "quota"},
		{"507", "quota"},
		{"400 c:EntityTooLarge", "refused"},
		{"400 c:KeyTooLongError", "refused"},
		{"400 c:BadDigest", "retry now"},
		{"400 c:XAmzContentSHA256Mismatch", "changed"},
		{"409 c:ConditionalRequestConflict", "retry now"},
		{"409 c:OperationAborted", "retry later"},
		{"401", "needs consent"},
		{"400 c:SomethingNew", "broken"},
		{"200 c:InternalError", "retry later"},
	};
	CsOp op = put();
	CsOp list = {.kind = CS_OP_LIST, .path = "/"};

	AMAZON;
	for (int i = 0; i < (int) lengthof(means); i++)
	{
		const char *failed = psprintf("FAILED %s", means[i][1]);

		if (strncmp(means[i][0], "200", 3) == 0)
			continue;
		PLAY(means[i][0], &op, psprintf("PUT %s new = %s", F, means[i][0]),
			 failed);
		PLAY(means[i][0], &list,
			 psprintf("GET /" ALL "&delimiter=%%2F = %s", means[i][0]), failed);
	}
	PLAY("as the service says", &op, "PUT " F " new = 503 c:SlowDown w:7",
		 "FAILED retry later");
	tap_ok(last_failure.retry_after_ms == 7000, "Retry-After");
	tap_is(last_failure.message,
		   "could not write \"" P "\": the service asks to slow down",
		   "the message");
	tap_is(last_failure.detail, "SlowDown: its words", "the detail");
	PLAY("the region", &op,
		 "PUT " F " new = 400 c:AuthorizationHeaderMalformed",
		 "FAILED unreachable");
	tap_ok(strstr(last_failure.detail, "\"eu-west-3\"") != NULL, "which");
}

int
main(void)
{
	test_options();
	test_put_one();
	test_put_found();
	test_put_lost();
	test_put_unread();
	test_put_learns();
	test_get();
	test_list();
	test_list_encoding();
	test_small();
	test_codes();
	return tap_done();
}
