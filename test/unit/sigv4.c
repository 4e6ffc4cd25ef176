/* sources: src/base/sigv4.c src/base/hash.c */
/*
 * Signatures against what AWS publishes: the examples of the S3 API reference
 * ("Signature Calculations for the Authorization Header: Transferring Payload
 * in a Single Chunk") and requests of the Signature Version 4 test suite.
 */
#include "postgres_fe.h"

#include "cloudsync/hash.h"
#include "cloudsync/sigv4.h"
#include "tap.h"

#define BUCKET "https://examplebucket.s3.amazonaws.com"
#define HOST "https://example.amazonaws.com"

static const CsSigv4 s3_keys = {
	.access_key_id = "AKIAIOSFODNN7EXAMPLE",
	.secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	.region = "us-east-1",
	.service = "s3",
	.now = INT64CONST(1369353600) * 1000000, /* 2013-05-24 00:00:00 */
};

static const CsSigv4 suite_keys = {
	.access_key_id = "AKIDEXAMPLE",
	.secret_access_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
	.region = "us-east-1",
	.service = "service",
	.now = INT64CONST(1440938160) * 1000000, /* 2015-08-30 12:36:00 */
};

static const char *
value_of(const CsHeader *headers, const char *name)
{
	for (int i = 0; headers[i].name != NULL; i++)
	{
		if (strcmp(headers[i].name, name) == 0)
			return headers[i].value;
	}
	return NULL;
}

/* Signs, and compares the names signed and the signature. */
static void
check(const char *title, const CsSigv4 *keys, const char *method,
	  const char *url, const CsHeader *headers, const char *payload,
	  const char *signed_names, const char *signature)
{
	uint8 digest[CS_SHA256_LENGTH];
	const CsHeader *result;
	const char *authorization;

	cs_sha256(payload, strlen(payload), digest);
	result = cs_sigv4_sign(keys, method, url, headers,
						   cs_hex(digest, CS_SHA256_LENGTH));
	authorization = value_of(result, "authorization");
	tap_is(authorization,
		   psprintf("AWS4-HMAC-SHA256 Credential=%s/%s/us-east-1/%s/"
					"aws4_request, SignedHeaders=%s, Signature=%s",
					keys->access_key_id,
					strcmp(keys->service, "s3") == 0 ? "20130524" : "20150830",
					keys->service, signed_names, signature),
		   title);
}

static void
test_s3_examples(void)
{
	const CsHeader range[] = {{"Range", "bytes=0-9"}, {NULL}};
	const CsHeader put[] = {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
							{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
							{NULL}};

	check("GET object with a range", &s3_keys, "GET", BUCKET "/test.txt", range,
		  "", "host;range;x-amz-content-sha256;x-amz-date",
		  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
	check("PUT object", &s3_keys, "PUT", BUCKET "/test%24file.text", put,
		  "Welcome to Amazon S3.",
		  "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
	check("GET bucket lifecycle: a parameter without a value", &s3_keys, "GET",
		  BUCKET "/?lifecycle", NULL, "",
		  "host;x-amz-content-sha256;x-amz-date",
		  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
	check("list objects", &s3_keys, "GET", BUCKET "/?max-keys=2&prefix=J", NULL,
		  "", "host;x-amz-content-sha256;x-amz-date",
		  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
	check("list objects, in another order, without a path", &s3_keys, "GET",
		  BUCKET "?prefix=J&max-keys=2", NULL, "",
		  "host;x-amz-content-sha256;x-amz-date",
		  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
	check("the scheme's own port is not part of the host", &s3_keys, "GET",
		  "https://examplebucket.s3.amazonaws.com:443/?lifecycle", NULL, "",
		  "host;x-amz-content-sha256;x-amz-date",
		  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void
test_suite(void)
{
	const CsHeader trim[] = {
		{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}, {NULL}};
	const CsHeader twice[] = {{"My-Header1", "value2"},
							  {"My-Header1", "value2"},
							  {"My-Header1", "value1"},
							  {NULL}};
	const CsHeader host[] = {{"Host", "another.example"}, {NULL}};

	check("get-vanilla", &suite_keys, "GET", HOST "/", NULL, "",
		  "host;x-amz-date",
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	check("the host is the url's", &suite_keys, "GET", HOST "/", host, "",
		  "host;x-amz-date",
		  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	check("post-vanilla", &suite_keys, "POST", HOST "/", NULL, "",
		  "host;x-amz-date",
		  "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
	check("get-vanilla-query-order-key-case", &suite_keys, "GET",
		  HOST "/?Param2=value2&Param1=value1", NULL, "", "host;x-amz-date",
		  "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
	check("get-utf8", &suite_keys, "GET", HOST "/%E1%88%B4", NULL, "",
		  "host;x-amz-date",
		  "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
	check("get-header-value-trim", &suite_keys, "GET", HOST "/", trim, "",
		  "host;my-header1;my-header2;x-amz-date",
		  "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
	check("get-header-key-duplicate", &suite_keys, "GET", HOST "/", twice, "",
		  "host;my-header1;x-amz-date",
		  "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea");
}

static void
test_headers(void)
{
	CsSigv4 keys = s3_keys;
	const CsHeader *headers =
		cs_sigv4_sign(&keys, "GET", "http://127.0.0.1:9000/b/k", NULL, NULL);

	tap_is(value_of(headers, "x-amz-date"), "20130524T000000Z", "date");
	tap_is(value_of(headers, "x-amz-content-sha256"),
		   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		   "without a payload's hash it is that of nothing");
	tap_is(value_of(headers, "x-amz-security-token"), NULL, "no token");
	keys.session_token = "tok/en==";
	headers = cs_sigv4_sign(&keys, "PUT", "http://127.0.0.1:9000/b/k", NULL,
							"UNSIGNED-PAYLOAD");
	tap_is(value_of(headers, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD",
		   "a word stands for the hash");
	tap_is(value_of(headers, "x-amz-security-token"),
		   "tok/en==", "a session's token is sent");
	tap_ok(strstr(value_of(headers, "authorization"),
				  "x-amz-date;x-amz-security-token,") != NULL,
		   "... and signed");
	tap_ok(value_of(headers, "host") == NULL,
		   "the host is left to the carrier");
}

int
main(void)
{
	test_s3_examples();
	test_suite();
	test_headers();
	return tap_done();
}
