/*
 * sigv4.h
 *	  AWS Signature Version 4 of a request ("Signature Version 4 signing
 *	  process", AWS General Reference). By OpenSSL's EVP; no clock, no I/O.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_SIGV4_H
#define CLOUDSYNC_SIGV4_H

#include "cloudsync/provider.h"

typedef struct CsSigv4
{
	const char *access_key_id;
	const char *secret_access_key;
	const char *session_token; /* or NULL */
	const char *region;
	const char *service; /* "s3" */
	int64 now;			 /* microseconds since 1970-01-01 UTC */
} CsSigv4;

/*
 * The headers that sign a request: x-amz-date, for S3 x-amz-content-sha256 (the
 * payload's hexadecimal SHA-256, or a word such as UNSIGNED-PAYLOAD; NULL: of
 * nothing), x-amz-security-token where there is one, and authorization; ended
 * by a NULL name. The url is absolute and percent-encoded, and is signed as it
 * stands; of headers (ended by a NULL name) all are signed, besides host.
 * palloc'd; the caller cleanses the values if they outlive the request.
 */
extern CsHeader *cs_sigv4_sign(const CsSigv4 *keys, const char *method,
							   const char *url, const CsHeader *headers,
							   const char *payload_sha256);

#endif
