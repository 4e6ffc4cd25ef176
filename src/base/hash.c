/*
 * hash.c
 *	  SHA-256 of a stream (include/cloudsync/hash.h). By OpenSSL's EVP and not
 *	  by common/cryptohash.h: that belongs to the current resource owner, and a
 *	  transfer's hash outlives many transactions.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/evp.h>

#include "cloudsync/hash.h"

struct CsHash
{
	EVP_MD_CTX *context; /* malloc'd by OpenSSL */
#ifndef FRONTEND
	MemoryContextCallback callback;
#endif
};

/* OpenSSL refuses SHA-256 only when it is out of memory or misconfigured. */
static void
digest_failed(void)
{
#ifndef FRONTEND
	ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					errmsg("could not compute a SHA-256 digest")));
#else
	fprintf(stderr, "could not compute a SHA-256 digest\n");
	abort();
#endif
}

static void
release(void *arg)
{
	CsHash *hash = arg;

	EVP_MD_CTX_free(hash->context);
	hash->context = NULL;
}

CsHash *
cs_hash_create(void)
{
	CsHash *hash = palloc0(sizeof(CsHash));

#ifndef FRONTEND
	hash->callback.func = release;
	hash->callback.arg = hash;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &hash->callback);
#endif
	hash->context = EVP_MD_CTX_new();
	if (hash->context == NULL)
		digest_failed();
	cs_hash_restart(hash);
	return hash;
}

void
cs_hash_restart(CsHash *hash)
{
	if (EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1)
		digest_failed();
}

void
cs_hash_update(CsHash *hash, const void *data, size_t len)
{
	if (EVP_DigestUpdate(hash->context, data, len) != 1)
		digest_failed();
}

void
cs_hash_final(CsHash *hash, uint8 sha256[CS_SHA256_LENGTH])
{
	if (EVP_DigestFinal_ex(hash->context, sha256, NULL) != 1)
		digest_failed();
}

void
cs_hash_so_far(const CsHash *hash, uint8 sha256[CS_SHA256_LENGTH])
{
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	bool ok = copy != NULL && EVP_MD_CTX_copy_ex(copy, hash->context) == 1 &&
			  EVP_DigestFinal_ex(copy, sha256, NULL) == 1;

	EVP_MD_CTX_free(copy);
	if (!ok)
		digest_failed();
}

CsHash *
cs_hash_copy(const CsHash *hash)
{
	CsHash *copy = cs_hash_create();

	if (EVP_MD_CTX_copy_ex(copy->context, hash->context) != 1)
		digest_failed();
	return copy;
}

/*
 * Releases what OpenSSL holds. In the server the few bytes of the CsHash itself
 * stay with their memory context, whose callback they are.
 */
void
cs_hash_free(CsHash *hash)
{
	release(hash);
#ifdef FRONTEND
	pfree(hash);
#endif
}

void
cs_sha256(const void *data, size_t len, uint8 sha256[CS_SHA256_LENGTH])
{
	if (EVP_Digest(data, len, sha256, NULL, EVP_sha256(), NULL) != 1)
		digest_failed();
}

char *
cs_hex(const uint8 *bytes, int len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = palloc(2 * (size_t) len + 1);

	for (int i = 0; i < len; i++)
	{
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * len] = '\0';
	return text;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = pg_tolower((unsigned char) c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* See hash.h. A text that ends too soon ends at its NUL, which is no digit. */
bool
cs_unhex(const char *text, uint8 *bytes, int len)
{
	if (text == NULL)
		return false;
	for (int i = 0; i < 2 * len; i++)
	{
		int value = hex_value(text[i]);

		if (value < 0)
			return false;
		bytes[i / 2] = (uint8) (i % 2 == 0 ? value << 4 : bytes[i / 2] | value);
	}
	return true;
}

/* See hash.h. */
char *
cs_base64(const void *bytes, size_t len)
{
	char *text = palloc(4 * ((len + 2) / 3) + 1);

	EVP_EncodeBlock((unsigned char *) text, bytes, (int) len);
	return text;
}

/* See hash.h. Its 43 letters are decoded with the padding that belongs to them. */
bool
cs_sha256_from_base64(const char *text, uint8 sha256[CS_SHA256_LENGTH])
{
	char letters[45];
	uint8 bytes[33];

	/* OpenSSL would take padding within them for zeros */
	if (text == NULL || strnlen(text, 43) < 43 || memchr(text, '=', 43) != NULL)
		return false;
	memcpy(letters, text, 43);
	strcpy(letters + 43, "=");
	if (EVP_DecodeBlock(bytes, (unsigned char *) letters, 44) !=
		(int) sizeof(bytes))
		return false;
	memcpy(sha256, bytes, CS_SHA256_LENGTH);
	return true;
}
