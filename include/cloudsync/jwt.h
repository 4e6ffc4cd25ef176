/*
 * jwt.h
 *	  Signed claims (JWT) by which a client or a service account proves itself
 *	  to a token server: RS256 and PS256 by OpenSSL's EVP. Does no I/O and knows
 *	  no clock; usable in the server and in plain programs.
 *
 * Failures are of class FORBIDDEN: what is wrong is a key or a certificate that
 * somebody gave. Their texts hold nothing of a key.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_JWT_H
#define CLOUDSYNC_JWT_H

#include "cloudsync/failure.h"

typedef enum CsJwtAlgorithm
{
	CS_JWT_RS256, /* RSASSA-PKCS1-v1_5, SHA-256 */
	CS_JWT_PS256  /* RSASSA-PSS, SHA-256, salt of 32 bytes */
} CsJwtAlgorithm;

/* Bytes in base64url without padding. palloc'd. */
extern char *cs_base64url(const void *bytes, size_t len);

/*
 * header.claims.signature: header and claims are JSON texts, key a private RSA
 * key in PEM. NULL with *failure. palloc'd; the caller cleanses it.
 */
extern char *cs_jwt_sign(CsJwtAlgorithm algorithm, const char *header,
						 const char *claims, const char *key,
						 CsFailure *failure);

/*
 * What a Google service account says of itself: file is the key file's JSON,
 * subject the user for whom it acts, or NULL; audience the token server; now in
 * seconds since 1970. Whatever addresses the file holds are not looked at.
 */
extern char *cs_jwt_service_account(const char *file, const char *subject,
									const char *scope, const char *audience,
									int64 now, CsFailure *failure);

/*
 * What a client with a certificate says of itself (Microsoft: PS256 with
 * x5t#S256). certificate and key are PEM and must belong together; id is an
 * identifier that was never used before.
 */
extern char *cs_jwt_client(const char *certificate, const char *key,
						   const char *client_id, const char *audience,
						   const char *id, int64 now, CsFailure *failure);

/* When a certificate ends, in seconds since 1970; 0: it cannot be read. */
extern int64 cs_certificate_end(const char *certificate);

#endif
