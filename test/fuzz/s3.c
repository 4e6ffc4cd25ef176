/*
 * s3.c
 *	  Fuzz target: the S3 provider's conversations with a service that says
 *	  anything (web.h): Amazon, or another, by the first byte.
 */
#include "postgres_fe.h"

#include "web.h"

#define KEY(key, size, etag)                                                   \
	"<Contents><Key>" key "</Key><LastModified>2026-11-22T10:00:00.000Z"       \
	"</LastModified><ETag>" etag "</ETag><Size>" size "</Size></Contents>"
#define PART(number, size)                                                     \
	"<Part><PartNumber>" number                                                \
	"</PartNumber><ETag>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</ETag><Size>" size    \
	"</Size></Part>"

#define LISTING(inner)                                                         \
	"<ListBucketResult><EncodingType>url</EncodingType>" inner                 \
	"</ListBucketResult>"

static const char *const words[] = {
	LISTING(KEY("d/f.txt", "5", "\"v1\"")),
	LISTING(KEY("d/f.txt/a", "5", "\"v1\"")
				KEY("d/f.txt/b%2Bc/d", "9", "\"v2\"")),
	LISTING(KEY("p/d/f.txt/a", "5", "\"v1\"") KEY(
		"p/d/f.txt/../e", "1", "\"v1\"") KEY("p/d/f.txt/c//d", "1", "x")),
	LISTING(KEY("d/f.txt/../e", "1", "\"v1\"") KEY(
		"d/f.txt/c//d", "1", "\"v1\"") KEY("d/f.txt/", "0", "\"v1\"")
				KEY("elsewhere", "1", "\"v1\"") KEY("d/f.txt/%FF", "-5", "")),
	LISTING("<CommonPrefixes><Prefix>d/f.txt/sub/</Prefix></CommonPrefixes>"
			"<CommonPrefixes><Prefix>d/f.txt/../</Prefix></CommonPrefixes>"),
	LISTING(
		KEY("d/f.txt/e", "5",
			"\"v1\"") "<IsTruncated>true</IsTruncated>"
					  "<NextContinuationToken>t&amp;1</NextContinuationToken>"),
	LISTING(""),
	"<ListBucketResult><EncodingType>url</EncodingType>",
	"<ListBucketResult>",
	"</ListBucketResult>",
	KEY("d/f.txt", "5", "\"v1\""),
	KEY("d/f.txt/a%2Bb", "9", "\"v2\""),
	KEY("d/f.txt/", "0", "\"v1\""),
	KEY("d/f.txt/c//d", "1", "\"v1\""),
	KEY("d/f.txt/../e", "1", "\"v1\""),
	KEY("d/f.txt/%FF", "-5", ""),
	KEY("elsewhere", "1", "\"v1\""),
	KEY("p/d/f.txt/a", "1", "\"v1\""),
	KEY("", "99999999999999999999", "\"v1\""),
	"<CommonPrefixes><Prefix>d/f.txt/sub/</Prefix></CommonPrefixes>",
	"<CommonPrefixes><Prefix>d/f.txt/</Prefix></CommonPrefixes>",
	"<CommonPrefixes><Prefix>/</Prefix></CommonPrefixes>",
	"<IsTruncated>true</IsTruncated>",
	"<NextContinuationToken>t&amp;1</NextContinuationToken>",
	"<NextContinuationToken/>",
	"<InitiateMultipartUploadResult><UploadId>u1</UploadId>"
	"</InitiateMultipartUploadResult>",
	"<R><UploadId>u 1</UploadId></R>",
	"<R><ETag>&quot;o-3&quot;</ETag></R>",
	"<ListPartsResult>" PART("1", "16777216") "</ListPartsResult>",
	"<ListPartsResult>" PART("1", "16777216")
		PART("2", "16777216") "</ListPartsResult>",
	"<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1"
	"</NextPartNumberMarker></ListPartsResult>",
	"<ListPartsResult>" PART("1", "16777216") PART("3", "5"),
	PART("10001", "5"),
	PART("-1", "5"),
	"<NextPartNumberMarker>1</NextPartNumberMarker>",
	"</ListPartsResult>",
	"<Error><Code>NoSuchKey</Code></Error>",
	"<Error><Code>NoSuchBucket</Code><Message>its words</Message></Error>",
	"<Error><Code>NoSuchUpload</Code></Error>",
	"<Error><Code>AccessDenied</Code></Error>",
	"<Error><Code>SignatureDoesNotMatch</Code></Error>",
	"<Error><Code>RequestTimeTooSkewed</Code></Error>",
	"<Error><Code>AuthorizationHeaderMalformed</Code><Region>x</Region></"
	"Error>",
	"<Error><Code>SlowDown</Code></Error>",
	"<Error><Code>InternalError</Code></Error>",
	"<CopyObjectResult><ETag>\"v1\"</ETag></CopyObjectResult>",
	"<!DOCTYPE d [<!ENTITY a \"b\">]>",
	"<a>",
	"</a>",
	"&#0;",
	"\"v1\"",
	"\"v2\"",
	"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
	"\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"",
	"\"o-3\"",
	"YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=",
	"SHA256",
	"aws:kms",
	"5",
	"9",
	"-1",
	"16777216",
	"40000000",
	"99999999999999999999",
	"bytes 5-8/9",
	"Sun, 22 Nov 2026 09:00:00 GMT",
	"eu-west-3",
	"https://other.example/",
	"\xff"};

static const char *const headers[] = {"etag",
									  "content-length",
									  "content-range",
									  "last-modified",
									  "location",
									  "x-amz-checksum-sha256",
									  "x-amz-checksum-type",
									  "x-amz-server-side-encryption",
									  "x-amz-bucket-region",
									  "x-amz-checksum-algorithm",
									  "content-type",
									  "retry-after"};

static const char *
healthy(const CsRequest *request)
{
	if (strstr(request->url, "?uploads") != NULL)
		return "<R><UploadId>u1</UploadId></R>";
	if (strstr(request->url, "part-number-marker=") != NULL)
		return "<ListPartsResult>" PART("1", "16777216") "</ListPartsResult>";
	if (strcmp(request->method, "GET") == 0)
		return LISTING(KEY("d/f.txt", "5", "\"v1\"")
						   KEY("d/f.txt/a", "5", "\"v1\""));
	return "<R><ETag>\"v1\"</ETag></R>";
}

/* Only a move deletes an object; nothing unrecorded becomes visible. */
static void
check(const CsOp *op, const CsRequest *request, bool recorded)
{
	bool upload = strstr(request->url, "uploadId=") != NULL;
	bool is_put = strcmp(request->method, "PUT") == 0;

	if (strcmp(request->method, "DELETE") == 0)
		MUST(upload || op->kind == CS_OP_MOVE || op->kind == CS_OP_TRASH);
	if (request->send == CS_SEND_BODY && !upload)
		MUST(is_put && recorded);
	if (strcmp(request->method, "POST") == 0 && upload)
		MUST(op->kind != CS_OP_PUT || recorded);
	if (is_put)
		MUST(op->kind == CS_OP_PUT || op->kind == CS_OP_MKDIR ||
			 op->kind == CS_OP_MOVE || op->kind == CS_OP_TRASH);
}

static const CsOption amazon[] = {{"bucket", "buck"}, {NULL}};
static const CsOption elsewhere[] = {{"bucket", "buck"},
									 {"endpoint", "http://127.0.0.1:9000"},
									 {"prefix", "p"},
									 {NULL}};

static const WebTarget target = {
	.ways = {{&cs_provider_s3, amazon}, {&cs_provider_s3, elsewhere}},
	.version = "v1",
	.session = "16777216 u1 d/f.txt",
	.headers = headers,
	.n_headers = lengthof(headers),
	.words = words,
	.n_words = lengthof(words),
	.healthy = healthy,
	.check = check,
};
