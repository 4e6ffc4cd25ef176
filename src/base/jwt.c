/*
 * jwt.c
 *	  Signed claims for token servers (include/cloudsync/jwt.h), by OpenSSL's
 *	  EVP. Relies on json.h for the JSON of key files and claims.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "cloudsync/hash.h"
#include "cloudsync/json.h"
#include "cloudsync/jwt.h"

#define SKEW_SECONDS 10		/* the token server's clock may be behind */
#define SERVICE_SECONDS 3500 /* an hour is the most that Google takes */
#define CLIENT_SECONDS 600
#define PSS_SALT 32

/* See jwt.h. */
char *
cs_base64url(const void *bytes, size_t len)
{
	char *text = cs_base64(bytes, len);
	size_t n = strlen(text);

	while (n > 0 && text[n - 1] == '=')
		n--;
	text[n] = '\0';
	for (size_t i = 0; i < n; i++)
	{
		if (text[i] == '+')
			text[i] = '-';
		else if (text[i] == '/')
			text[i] = '_';
	}
	return text;
}

/* Keys are given without a password: none is asked for at a terminal. */
static int
no_password(char *buffer, int size, int writing, void *arg)
{
	return -1;
}

static EVP_PKEY *
read_key(const char *text, CsFailure *failure)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *key =
		bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)
					: NULL;

	BIO_free(bio);
	if (key != NULL && EVP_PKEY_base_id(key) == EVP_PKEY_RSA)
		return key;
	cs_failure_set(failure, CS_FAIL_FORBIDDEN,
				   "It must be an RSA key in PEM, without a password: a text "
				   "that begins with -----BEGIN PRIVATE KEY-----.",
				   key != NULL ? "the private key is no RSA key"
							   : "the private key cannot be read");
	EVP_PKEY_free(key);
	return NULL;
}

/* The signature in base64url, or NULL. */
static char *
signature_of(CsJwtAlgorithm algorithm, EVP_PKEY *key, const char *text)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *options = NULL;
	size_t len = EVP_PKEY_size(key);
	unsigned char *bytes = palloc(len);
	char *signature = NULL;

	if (context != NULL &&
		EVP_DigestSignInit(context, &options, EVP_sha256(), NULL, key) == 1 &&
		(algorithm == CS_JWT_RS256 ||
		 (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_rsa_pss_saltlen(options, PSS_SALT) == 1)) &&
		EVP_DigestSign(context, bytes, &len, (const unsigned char *) text,
					   strlen(text)) == 1)
		signature = cs_base64url(bytes, len);
	EVP_MD_CTX_free(context);
	pfree(bytes);
	return signature;
}

/* See jwt.h. */
char *
cs_jwt_sign(CsJwtAlgorithm algorithm, const char *header, const char *claims,
			const char *key, CsFailure *failure)
{
	EVP_PKEY *private = read_key(key, failure);
	char *signature;
	char *text;
	char *jwt;

	if (private == NULL)
		return NULL;
	text = psprintf("%s.%s", cs_base64url(header, strlen(header)),
					cs_base64url(claims, strlen(claims)));
	signature = signature_of(algorithm, private, text);
	EVP_PKEY_free(private);
	if (signature == NULL)
	{
		cs_failure_set(failure, CS_FAIL_FORBIDDEN,
					   "OpenSSL refused to sign; keys below 2048 bits are too "
					   "short.",
					   "a claim could not be signed by the private key");
		return NULL;
	}
	jwt = psprintf("%s.%s", text, signature);
	OPENSSL_cleanse(signature, strlen(signature));
	return jwt;
}

static void
add_member(StringInfo target, const char *key, const char *value)
{
	appendStringInfoChar(target, target->len == 0 ? '{' : ',');
	cs_json_quote(target, key);
	appendStringInfoChar(target, ':');
	cs_json_quote(target, value);
}

/* See jwt.h. */
char *
cs_jwt_service_account(const char *file, const char *subject,
					   const char *scope, const char *audience, int64 now,
					   CsFailure *failure)
{
	const char *problem = "is no JSON object";
	const CsJson *json = cs_json_parse(file, strlen(file), &problem);
	const char *email = cs_json_text(json, "client_email");
	const char *key = cs_json_text(json, "private_key");
	const char *key_id = cs_json_text(json, "private_key_id");
	const char *type = cs_json_text(json, "type");
	StringInfoData header;
	StringInfoData claims;
	char *jwt;

	if (email == NULL || key == NULL ||
		(type != NULL && strcmp(type, "service_account") != 0))
	{
		cs_failure_set(failure, CS_FAIL_FORBIDDEN,
					   "Give the whole key file, as it was downloaded: type is "
					   "service_account, client_email and private_key are in "
					   "it.",
					   "the service account's key file %s",
					   json == NULL ? problem : "is not one");
		return NULL;
	}
	initStringInfo(&header);
	initStringInfo(&claims);
	add_member(&header, "alg", "RS256");
	add_member(&header, "typ", "JWT");
	if (key_id != NULL)
		add_member(&header, "kid", key_id);
	appendStringInfoChar(&header, '}');
	add_member(&claims, "iss", email);
	add_member(&claims, "scope", scope);
	add_member(&claims, "aud", audience);
	if (subject != NULL)
		add_member(&claims, "sub", subject);
	appendStringInfo(&claims, ",\"iat\":" INT64_FORMAT ",\"exp\":" INT64_FORMAT "}",
					 now - SKEW_SECONDS, now - SKEW_SECONDS + SERVICE_SECONDS);
	jwt = cs_jwt_sign(CS_JWT_RS256, header.data, claims.data, key, failure);
	OPENSSL_cleanse(unconstify(char *, key), strlen(key));
	return jwt;
}

static X509 *
read_certificate(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	X509 *certificate =
		bio != NULL ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	return certificate;
}

/* SHA-256 of the certificate in base64url, if it is the key's; or NULL. */
static char *
thumbprint(const char *certificate, const char *key, CsFailure *failure)
{
	X509 *x509 = read_certificate(certificate);
	EVP_PKEY *private = x509 != NULL ? read_key(key, failure) : NULL;
	uint8 digest[EVP_MAX_MD_SIZE];
	unsigned len = sizeof(digest);
	char *print = NULL;

	if (x509 == NULL)
		cs_failure_set(failure, CS_FAIL_FORBIDDEN,
					   "It must be in PEM: a text that begins with "
					   "-----BEGIN CERTIFICATE-----.",
					   "the certificate cannot be read");
	else if (private == NULL)
		; /* said so */
	else if (X509_check_private_key(x509, private) != 1)
		cs_failure_set(failure, CS_FAIL_FORBIDDEN,
					   "Give the key that the certificate was made for.",
					   "the certificate and the private key do not belong "
					   "together");
	else if (X509_digest(x509, EVP_sha256(), digest, &len) == 1)
		print = cs_base64url(digest, len);
	else
		cs_failure_set(failure, CS_FAIL_FORBIDDEN, NULL,
					   "the certificate cannot be hashed");
	EVP_PKEY_free(private);
	X509_free(x509);
	return print;
}

/* See jwt.h. */
char *
cs_jwt_client(const char *certificate, const char *key, const char *client_id,
			  const char *audience, const char *id, int64 now,
			  CsFailure *failure)
{
	char *print = thumbprint(certificate, key, failure);
	StringInfoData header;
	StringInfoData claims;

	if (print == NULL)
		return NULL;
	initStringInfo(&header);
	initStringInfo(&claims);
	add_member(&header, "alg", "PS256");
	add_member(&header, "typ", "JWT");
	add_member(&header, "x5t#S256", print);
	appendStringInfoChar(&header, '}');
	add_member(&claims, "aud", audience);
	add_member(&claims, "iss", client_id);
	add_member(&claims, "sub", client_id);
	add_member(&claims, "jti", id);
	appendStringInfo(&claims,
					 ",\"nbf\":" INT64_FORMAT ",\"iat\":" INT64_FORMAT
					 ",\"exp\":" INT64_FORMAT "}",
					 now - SKEW_SECONDS, now - SKEW_SECONDS,
					 now + CLIENT_SECONDS);
	return cs_jwt_sign(CS_JWT_PS256, header.data, claims.data, key, failure);
}

/* See jwt.h. */
int64
cs_certificate_end(const char *certificate)
{
	X509 *x509 = read_certificate(certificate);
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int64 end = 0;
	int days;
	int seconds;

	if (x509 != NULL && epoch != NULL &&
		ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(x509)) == 1)
		end = (int64) days * 86400 + seconds;
	ASN1_TIME_free(epoch);
	X509_free(x509);
	return end;
}
