/* sources: src/base/jwt.c src/base/json.c src/base/failure.c src/base/hash.c src/base/utf8.c */
/*
 * Signed claims (include/cloudsync/jwt.h): what OpenSSL verifies is what a token
 * server does; keys and certificates of a fresh pair.
 */
#include "postgres_fe.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "cloudsync/json.h"
#include "cloudsync/jwt.h"
#include "tap.h"

static EVP_PKEY *pair;
static char *key_pem;
static char *certificate_pem;
static uint8 certificate_sha256[32];

static char *
bio_text(BIO *bio)
{
	char *data;
	long n = BIO_get_mem_data(bio, &data);
	char *text = pnstrdup(data, n);

	BIO_free(bio);
	return text;
}

static char *
key_text(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	return bio_text(bio);
}

static void
make_pair(void)
{
	X509 *x509 = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned len = 32;

	pair = EVP_RSA_gen(2048);
	key_pem = key_text(pair);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), 7);
	ASN1_TIME_set(X509_getm_notBefore(x509), 1700000000);
	ASN1_TIME_set(X509_getm_notAfter(x509), 1900000000);
	X509_set_pubkey(x509, pair);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
							   (const unsigned char *) "cloudsync", -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(x509));
	X509_sign(x509, pair, EVP_sha256());
	X509_digest(x509, EVP_sha256(), certificate_sha256, &len);
	PEM_write_bio_X509(bio, x509);
	certificate_pem = bio_text(bio);
	X509_free(x509);
}

/* One part of a JWT, decoded. */
static char *
part(const char *jwt, int n, size_t *len)
{
	char *text = palloc0(strlen(jwt) + 8);
	char *bytes;
	size_t used;

	while (n-- > 0)
		jwt = strchr(jwt, '.') + 1;
	used = strcspn(jwt, ".");
	memcpy(text, jwt, used);
	for (size_t i = 0; i < used; i++)
		text[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	while (used % 4 != 0)
		text[used++] = '=';
	bytes = palloc0(used + 1);
	*len = EVP_DecodeBlock((unsigned char *) bytes, (unsigned char *) text, (int) used);
	for (size_t i = used; i > 0 && text[i - 1] == '='; i--)
		(*len)--;
	return bytes;
}

static const CsJson *
json_part(const char *jwt, int n)
{
	size_t len;
	char *text = part(jwt, n, &len);
	const char *problem;

	return cs_json_parse(text, len, &problem);
}

static bool
verified(const char *jwt, bool pss)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *options;
	size_t len;
	char *signature = part(jwt, 2, &len);
	size_t signed_len = strrchr(jwt, '.') - jwt;
	bool ok;

	EVP_DigestVerifyInit(context, &options, EVP_sha256(), NULL, pair);
	if (pss)
	{
		EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(options, 32);
	}
	ok = EVP_DigestVerify(context, (unsigned char *) signature, len,
						  (const unsigned char *) jwt, signed_len) == 1;
	EVP_MD_CTX_free(context);
	return ok;
}

static bool
number_is(const CsJson *json, const char *key, int64 wanted)
{
	const CsJson *member = cs_json_member(json, key);
	int64 number;

	return member != NULL && member->kind == CS_JSON_NUMBER &&
		   cs_json_int64(json, key, &number) && number == wanted;
}

static char *
key_file(const char *email, const char *key)
{
	StringInfoData file;

	initStringInfo(&file);
	appendStringInfoString(&file, "{\"type\": \"service_account\", \"private_key_id\": \"k1\", "
								  "\"token_uri\": \"https://evil.example/token\", \"client_email\": ");
	cs_json_quote(&file, email);
	appendStringInfoString(&file, ", \"private_key\": ");
	cs_json_quote(&file, key);
	appendStringInfoChar(&file, '}');
	return file.data;
}

static void
service_accounts(void)
{
	CsFailure failure = {0};
	char *jwt = cs_jwt_service_account(key_file("push@p.iam.example", key_pem), "anna@example.com", "a b",
									   "https://oauth2.googleapis.com/token", 1800000000, &failure);
	const CsJson *header;
	const CsJson *claims;

	tap_ok(jwt != NULL && verified(jwt, false), "a service account's claim is signed by RS256");
	tap_ok(strpbrk(jwt, "=+/\n") == NULL, "in base64url without padding");
	header = json_part(jwt, 0);
	claims = json_part(jwt, 1);
	tap_is(cs_json_text(header, "alg"), "RS256", "its header names RS256");
	tap_is(cs_json_text(header, "kid"), "k1", "... and the key");
	tap_is(cs_json_text(claims, "iss"), "push@p.iam.example", "it names the account");
	tap_is(cs_json_text(claims, "sub"), "anna@example.com", "... for whom it acts");
	tap_is(cs_json_text(claims, "scope"), "a b", "... what for");
	tap_is(cs_json_text(claims, "aud"), "https://oauth2.googleapis.com/token",
		   "... and the token server asked, not the one that the file names");
	tap_ok(number_is(claims, "iat", 1799999990) && number_is(claims, "exp", 1799999990 + 3500),
		   "times are numbers, dated back a little, and end within an hour");
	jwt = cs_jwt_service_account(key_file("x", key_pem), NULL, "a", "b", 1800000000, &failure);
	tap_ok(cs_json_member(json_part(jwt, 1), "sub") == NULL, "without a subject it has none");
}

static void
clients(void)
{
	CsFailure failure = {0};
	char *jwt = cs_jwt_client(certificate_pem, key_pem, "app-1", "https://login/t/token", "id-1", 1800000000, &failure);
	const CsJson *header;
	const CsJson *claims;

	tap_ok(jwt != NULL && verified(jwt, true), "a client's claim is signed by PS256 with a salt of 32 bytes");
	header = json_part(jwt, 0);
	claims = json_part(jwt, 1);
	tap_is(cs_json_text(header, "alg"), "PS256", "its header names PS256");
	tap_is(cs_json_text(header, "x5t#S256"), cs_base64url(certificate_sha256, 32), "... and the certificate");
	tap_ok(strcmp(cs_json_text(claims, "iss"), "app-1") == 0 && strcmp(cs_json_text(claims, "sub"), "app-1") == 0,
		   "it names the client twice");
	tap_is(cs_json_text(claims, "jti"), "id-1", "... its own number");
	tap_ok(number_is(claims, "nbf", 1799999990) && number_is(claims, "exp", 1800000600), "... and ends in ten minutes");
	tap_ok(cs_certificate_end(certificate_pem) == 1900000000, "the certificate's end is known");
	tap_ok(cs_certificate_end("nonsense") == 0, "but not of nonsense");
}

static void
refused(const char *jwt, const CsFailure *failure, const char *words, const char *what)
{
	bool good = jwt == NULL && failure->failure_class == CS_FAIL_FORBIDDEN && strstr(failure->message, words) != NULL &&
				strstr(failure->message, "PRIVATE KEY-----\nM") == NULL;

	tap_ok(good, "%s is refused", what);
	if (!good)
		printf("# %s: %s\n", failure->message, failure->detail);
}

static void
bad_keys(void)
{
	CsFailure failure = {0};
	EVP_PKEY *other = EVP_RSA_gen(2048);
	EVP_PKEY *curve = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());

	refused(cs_jwt_service_account("{}", NULL, "s", "a", 1, &failure), &failure, "key file", "an empty key file");
	refused(cs_jwt_service_account("nonsense", NULL, "s", "a", 1, &failure), &failure, "key file", "one that is no JSON");
	refused(cs_jwt_service_account("{\"type\":\"authorized_user\",\"client_email\":\"a\",\"private_key\":\"b\"}", NULL, "s",
								   "a", 1, &failure),
			&failure, "key file", "one of another type");
	refused(cs_jwt_service_account(key_file("x", "nonsense"), NULL, "s", "a", 1, &failure), &failure,
			"cannot be read", "a key that is none");
	refused(cs_jwt_service_account(key_file("x", key_text(curve)), NULL, "s", "a", 1, &failure), &failure,
			"no RSA key", "a key of another kind");
	refused(cs_jwt_client(certificate_pem, key_text(other), "c", "a", "i", 1, &failure), &failure,
			"do not belong together", "a key that is not the certificate's");
	refused(cs_jwt_client("nonsense", key_pem, "c", "a", "i", 1, &failure), &failure, "certificate cannot be read",
			"a certificate that is none");
	PEM_write_bio_PKCS8PrivateKey(bio, pair, EVP_aes_256_cbc(), "secret", 6, NULL, NULL);
	refused(cs_jwt_client(certificate_pem, bio_text(bio), "c", "a", "i", 1, &failure), &failure, "cannot be read",
			"a key with a password, without asking for it,");
	EVP_PKEY_free(other);
	EVP_PKEY_free(curve);
}

int
main(void)
{
	make_pair();
	service_accounts();
	clients();
	bad_keys();
	return tap_done();
}
