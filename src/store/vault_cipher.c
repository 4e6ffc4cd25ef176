/*
 * vault_cipher.c
 *	  What of the vault is a pure function: AES-256-GCM, fingerprints of keys,
 *	  and the keyring's text (vault.h). Relies on OpenSSL's EVP.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "cloudsync/hash.h"
#include "cloudsync/hex.h"
#include "cloudsync/vault.h"

#define KEY_DIGITS (CS_KEY_BYTES * 2)

/* See vault.h. A fingerprint says nothing of the key's own bytes. */
void
cs_key_set(CsKey *key, const uint8 *bytes)
{
	static const char prefix[] = "cloudsync master key";
	uint8 input[sizeof(prefix) + CS_KEY_BYTES];
	uint8 digest[CS_SHA256_LENGTH];

	memcpy(input, prefix, sizeof(prefix));
	memcpy(input + sizeof(prefix), bytes, CS_KEY_BYTES);
	cs_sha256(input, sizeof(input), digest);
	memcpy(key->bytes, bytes, CS_KEY_BYTES);
	for (int i = 0; i < (CS_KEY_ID_SIZE - 1) / 2; i++)
		snprintf(key->id + i * 2, 3, "%02x", digest[i]);
	OPENSSL_cleanse(input, sizeof(input));
}

bool
cs_cipher_seal(const CsKey *key, const uint8 *nonce, const char *bound,
			   int bound_length, const char *plain, int length, uint8 *sealed)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0;
	int rest = 0;
	bool ok;

	ok = ctx != NULL &&
		 EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce) ==
			 1 &&
		 EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *) bound,
						   bound_length) == 1 &&
		 EVP_EncryptUpdate(ctx, sealed, &n, (const unsigned char *) plain,
						   length) == 1 &&
		 EVP_EncryptFinal_ex(ctx, sealed + n, &rest) == 1 &&
		 n + rest == length &&
		 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, CS_TAG_BYTES,
							 sealed + length) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

bool
cs_cipher_open(const CsKey *key, const uint8 *nonce, const char *bound,
			   int bound_length, const uint8 *sealed, int length, char *plain)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int text = length - CS_TAG_BYTES;
	int n = 0;
	int rest = 0;
	bool ok;

	ok = ctx != NULL && text >= 0 &&
		 EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce) ==
			 1 &&
		 EVP_DecryptUpdate(ctx, NULL, &n, (const unsigned char *) bound,
						   bound_length) == 1 &&
		 EVP_DecryptUpdate(ctx, (unsigned char *) plain, &n, sealed, text) ==
			 1 &&
		 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, CS_TAG_BYTES,
							 (void *) (sealed + text)) == 1 &&
		 EVP_DecryptFinal_ex(ctx, (unsigned char *) plain + n, &rest) == 1 &&
		 n + rest == text;
	EVP_CIPHER_CTX_free(ctx);
	if (!ok && text > 0)
		OPENSSL_cleanse(plain, text);
	return ok;
}

/* One line that is not empty and no comment. */
static bool
parse_key(const char *line, int length, CsKey *key)
{
	uint8 bytes[CS_KEY_BYTES];

	if (length != KEY_DIGITS)
		return false;
	for (int i = 0; i < CS_KEY_BYTES; i++)
	{
		int high = cs_hex_digit(line[i * 2]);
		int low = cs_hex_digit(line[i * 2 + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8) (high << 4 | low);
	}
	cs_key_set(key, bytes);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return true;
}

const char *
cs_keyring_parse(CsKeyring *ring, const char *text, int length, int *end)
{
	int at = 0;

	ring->n = 0;
	*end = 0;
	while (at < length)
	{
		const char *newline = memchr(text + at, '\n', length - at);
		int next = newline != NULL ? (int) (newline - text) + 1 : length;
		int stop = newline != NULL ? next - 1 : length;

		while (at < stop && strchr(" \t\r", text[at]) != NULL)
			at++;
		while (stop > at && strchr(" \t\r", text[stop - 1]) != NULL)
			stop--;
		if (at < stop && text[at] != '#')
		{
			if (ring->n == CS_KEYS_MAX)
				return "it has more keys than it can";
			if (parse_key(text + at, stop - at, &ring->keys[ring->n]))
				ring->n++;
			else if (newline != NULL)
				return "a line of it is no key of 64 hexadecimal digits";
			else
				break; /* of a rotation that was cut off */
		}
		at = next;
		*end = next;
	}
	return ring->n > 0 ? NULL : "it has no key";
}

const CsKey *
cs_keyring_find(const CsKeyring *ring, const char *id)
{
	for (int i = ring->n - 1; i >= 0; i--)
	{
		if (strcmp(ring->keys[i].id, id) == 0)
			return &ring->keys[i];
	}
	return NULL;
}

void
cs_keyring_forget(CsKeyring *ring)
{
	OPENSSL_cleanse(ring, sizeof(*ring));
}
