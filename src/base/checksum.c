/*
 * checksum.c
 *	  The checksums that services give their files
 *	  (include/cloudsync/checksum.h). Digests by OpenSSL's EVP, as in hash.c.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/evp.h>

#include "cloudsync/checksum.h"
#include "cloudsync/hash.h"

#define BLOCK_BYTES (4 * 1024 * 1024)

/*
 * QuickXorHash: the bits of byte i are xored into a ring of 160 bits from bit 11
 * * i on, which comes back to the same bit after 160 bytes. So bytes are
 * gathered in 160 cells first, and these are laid into the ring at the end.
 */
#define RING_BITS 160
#define RING_BYTES (RING_BITS / 8)
#define RING_STEP 11

struct CsChecksum
{
	CsChecksumKind kind;
	CsHash *whole;		/* BLOCKS: of the digests of the blocks that ended */
	CsHash *block;		/* of the one that did not */
	size_t in_block;	/* bytes of it */
	EVP_MD_CTX *digest; /* MD5 */
	uint8 cells[RING_BITS];
	uint64 len;
#ifndef FRONTEND
	MemoryContextCallback callback;
#endif
};

static void
release(void *arg)
{
	CsChecksum *sum = arg;

	EVP_MD_CTX_free(sum->digest);
	sum->digest = NULL;
}

static bool
start_md5(CsChecksum *sum)
{
	return sum->digest != NULL &&
		   EVP_DigestInit_ex(sum->digest, EVP_md5(), NULL) == 1;
}

CsChecksum *
cs_checksum_create(CsChecksumKind kind)
{
	CsChecksum *sum;

	if (kind == CS_CHECKSUM_NONE)
		return NULL;
	sum = palloc0(sizeof(CsChecksum));
#ifndef FRONTEND
	sum->callback.func = release;
	sum->callback.arg = sum;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &sum->callback);
#endif
	sum->kind = kind;
	if (kind == CS_CHECKSUM_BLOCKS)
	{
		sum->whole = cs_hash_create();
		sum->block = cs_hash_create();
	}
	if (kind == CS_CHECKSUM_MD5)
	{
		sum->digest = EVP_MD_CTX_new();
		if (!start_md5(sum))
		{
			cs_checksum_free(sum);
			return NULL;
		}
	}
	return sum;
}

void
cs_checksum_restart(CsChecksum *sum)
{
	if (sum->kind == CS_CHECKSUM_BLOCKS)
	{
		cs_hash_restart(sum->whole);
		cs_hash_restart(sum->block);
		sum->in_block = 0;
	}
	if (sum->kind == CS_CHECKSUM_MD5)
		(void) start_md5(sum); /* as it could before */
	memset(sum->cells, 0, sizeof(sum->cells));
	sum->len = 0;
}

static void
update_blocks(CsChecksum *sum, const uint8 *data, size_t len)
{
	while (len > 0)
	{
		size_t n = Min(len, BLOCK_BYTES - sum->in_block);

		cs_hash_update(sum->block, data, n);
		sum->in_block += n;
		data += n;
		len -= n;
		if (sum->in_block == BLOCK_BYTES)
		{
			uint8 digest[CS_SHA256_LENGTH];

			cs_hash_final(sum->block, digest);
			cs_hash_restart(sum->block);
			cs_hash_update(sum->whole, digest, sizeof(digest));
			sum->in_block = 0;
		}
	}
}

static void
update_cells(CsChecksum *sum, const uint8 *data, size_t len)
{
	size_t at = sum->len % RING_BITS;

	while (len > 0)
	{
		size_t n = Min(len, RING_BITS - at);

		for (size_t i = 0; i < n; i++)
			sum->cells[at + i] ^= data[i];
		data += n;
		len -= n;
		at = 0;
	}
}

void
cs_checksum_update(CsChecksum *sum, const void *data, size_t len)
{
	switch (sum->kind)
	{
		case CS_CHECKSUM_BLOCKS:
			update_blocks(sum, data, len);
			break;
		case CS_CHECKSUM_QUICKXOR:
			update_cells(sum, data, len);
			break;
		case CS_CHECKSUM_MD5:
			EVP_DigestUpdate(sum->digest, data, len);
			break;
		case CS_CHECKSUM_NONE:
			break;
	}
	sum->len += len;
}

static void
to_hex(const uint8 *bytes, int len, char *text)
{
	char *hex = cs_hex(bytes, len);

	strlcpy(text, hex, CS_CHECKSUM_TEXT);
	pfree(hex);
}

static void
blocks_so_far(const CsChecksum *sum, char *text)
{
	uint8 digest[CS_SHA256_LENGTH];

	if (sum->in_block == 0)
		cs_hash_so_far(sum->whole, digest);
	else
	{
		CsHash *whole = cs_hash_copy(sum->whole);

		cs_hash_so_far(sum->block, digest);
		cs_hash_update(whole, digest, sizeof(digest));
		cs_hash_final(whole, digest);
		cs_hash_free(whole);
	}
	to_hex(digest, sizeof(digest), text);
}

static void
cells_so_far(const CsChecksum *sum, char *text)
{
	uint8 ring[RING_BYTES] = {0};
	char *encoded;

	for (int i = 0; i < RING_BITS; i++)
	{
		int bit = i * RING_STEP % RING_BITS;
		unsigned shifted = (unsigned) sum->cells[i] << (bit % 8);

		ring[bit / 8] ^= shifted & 255;
		ring[(bit / 8 + 1) % RING_BYTES] ^= shifted >> 8;
	}
	for (int i = 0; i < 8; i++)
		ring[RING_BYTES - 8 + i] ^= (sum->len >> (8 * i)) & 255;
	encoded = cs_base64(ring, RING_BYTES);
	strlcpy(text, encoded, CS_CHECKSUM_TEXT);
	pfree(encoded);
}

static void
md5_so_far(const CsChecksum *sum, char *text)
{
	uint8 digest[16] = {0};
	EVP_MD_CTX *copy = EVP_MD_CTX_new();

	if (copy != NULL && EVP_MD_CTX_copy_ex(copy, sum->digest) == 1)
		EVP_DigestFinal_ex(copy, digest, NULL);
	EVP_MD_CTX_free(copy);
	to_hex(digest, sizeof(digest), text);
}

void
cs_checksum_so_far(const CsChecksum *sum, char text[CS_CHECKSUM_TEXT])
{
	text[0] = '\0';
	switch (sum->kind)
	{
		case CS_CHECKSUM_BLOCKS:
			blocks_so_far(sum, text);
			break;
		case CS_CHECKSUM_QUICKXOR:
			cells_so_far(sum, text);
			break;
		case CS_CHECKSUM_MD5:
			md5_so_far(sum, text);
			break;
		case CS_CHECKSUM_NONE:
			break;
	}
}

/* As with cs_hash_free, in the server the struct stays with its context. */
void
cs_checksum_free(CsChecksum *sum)
{
	if (sum->whole != NULL)
		cs_hash_free(sum->whole);
	if (sum->block != NULL)
		cs_hash_free(sum->block);
	sum->whole = sum->block = NULL;
	release(sum);
#ifdef FRONTEND
	pfree(sum);
#endif
}

char *
cs_checksum(CsChecksumKind kind, const void *data, size_t len)
{
	CsChecksum *sum = cs_checksum_create(kind);
	char *text;

	if (sum == NULL)
		return NULL;
	text = palloc(CS_CHECKSUM_TEXT);
	cs_checksum_update(sum, data, len);
	cs_checksum_so_far(sum, text);
	cs_checksum_free(sum);
	return text;
}
