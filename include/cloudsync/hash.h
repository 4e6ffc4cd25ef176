/*
 * hash.h
 *	  SHA-256 of a stream, piece by piece. Include postgres.h or postgres_fe.h
 *	  before this header.
 */
#ifndef CLOUDSYNC_HASH_H
#define CLOUDSYNC_HASH_H

#include "cloudsync/provider.h"

typedef struct CsHash CsHash;

/* In the current memory context, with which it goes; or by cs_hash_free. */
extern CsHash *cs_hash_create(void);
extern void cs_hash_restart(CsHash *hash);
extern void cs_hash_update(CsHash *hash, const void *data, size_t len);
/* The digest; the hash may be used again after cs_hash_restart. */
extern void cs_hash_final(CsHash *hash, uint8 sha256[CS_SHA256_LENGTH]);
/* The digest of what came so far; the hash goes on. */
extern void cs_hash_so_far(const CsHash *hash, uint8 sha256[CS_SHA256_LENGTH]);
/* Another that goes on from the same bytes, in the current memory context. */
extern CsHash *cs_hash_copy(const CsHash *hash);
extern void cs_hash_free(CsHash *hash);

/* Of bytes in memory, at once. */
extern void cs_sha256(const void *data, size_t len,
					  uint8 sha256[CS_SHA256_LENGTH]);

/* Lower-case hexadecimal, palloc'd. */
extern char *cs_hex(const uint8 *bytes, int len);
/*
 * len bytes from twice as many hexadecimal digits of either case, with which
 * text begins; false: it does not. text may be NULL.
 */
extern bool cs_unhex(const char *text, uint8 *bytes, int len);

/* Base64 with its padding, palloc'd. */
extern char *cs_base64(const void *bytes, size_t len);
/*
 * A SHA-256 in base64, with which text begins, padding or not; false: it does not.
 * text may be NULL.
 */
extern bool cs_sha256_from_base64(const char *text, uint8 sha256[CS_SHA256_LENGTH]);

#endif
