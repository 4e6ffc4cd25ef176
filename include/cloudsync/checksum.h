/*
 * checksum.h
 *	  The checksums that services give their files (CsChecksumKind), of a stream
 *	  piece by piece, in the notation of the service. Include postgres.h or
 *	  postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_CHECKSUM_H
#define CLOUDSYNC_CHECKSUM_H

#include "cloudsync/provider.h"

#define CS_CHECKSUM_TEXT (2 * CS_SHA256_LENGTH + 1)

typedef struct CsChecksum CsChecksum;

/*
 * In the current memory context, with which it goes; or by cs_checksum_free.
 * NULL if there is none of this kind, or this server may not compute it (MD5
 * where FIPS 140 is enforced).
 */
extern CsChecksum *cs_checksum_create(CsChecksumKind kind);
extern void cs_checksum_restart(CsChecksum *sum);
extern void cs_checksum_update(CsChecksum *sum, const void *data, size_t len);
/* The checksum of what came so far; it goes on. */
extern void cs_checksum_so_far(const CsChecksum *sum,
							   char text[CS_CHECKSUM_TEXT]);
extern void cs_checksum_free(CsChecksum *sum);

/* Of bytes in memory, at once: palloc'd, or NULL as above. */
extern char *cs_checksum(CsChecksumKind kind, const void *data, size_t len);

#endif
