/*
 * vault.h
 *	  Secrets at rest (S1): the keyring by which they are encrypted, and the
 *	  rows of cloudsync.secret. Implemented in src/store/vault*.c.
 *
 * A secret is a list of keys and values, each ended by a NUL, as credentials
 * are given. What is readable lives in a CsSecret alone, and is overwritten when
 * that is dropped; keys live in a CsKeyring, likewise.
 */
#ifndef CLOUDSYNC_VAULT_H
#define CLOUDSYNC_VAULT_H

#include "postgres.h"

#include "cloudsync/failure.h"

#define CS_KEY_BYTES 32
#define CS_KEY_ID_SIZE 17 /* 16 hexadecimal digits and a NUL */
#define CS_NONCE_BYTES 12
#define CS_TAG_BYTES 16
#define CS_KEYS_MAX 256

/* One key and its fingerprint, by which rows name it. */
typedef struct CsKey
{
	uint8 bytes[CS_KEY_BYTES];
	char id[CS_KEY_ID_SIZE];
} CsKey;

/* All keys there are, oldest first: the last one encrypts. */
typedef struct CsKeyring
{
	int n;
	CsKey keys[CS_KEYS_MAX];
} CsKeyring;

/* To whom a secret belongs; bound to it by the encryption. */
typedef struct CsSecretOwner
{
	const char *tenant;
	const char *kind; /* 'connection', 'token', 'app', ...: as in sql/vault.sql */
	int64 id;
} CsSecretOwner;

typedef struct CsSecret
{
	char *bytes; /* key NUL value NUL ..., palloc'd */
	int length;
} CsSecret;

/* vault_cipher.c: pure, usable in plain programs */

extern void cs_key_set(CsKey *key, const uint8 *bytes);
/* palloc'd text and tag; false only if the library of ciphers fails. */
extern bool cs_cipher_seal(const CsKey *key, const uint8 *nonce,
						   const char *bound, int bound_length,
						   const char *plain, int length, uint8 *sealed);
/* False: another key, another owner, or changed. */
extern bool cs_cipher_open(const CsKey *key, const uint8 *nonce,
						   const char *bound, int bound_length,
						   const uint8 *sealed, int length, char *plain);
/*
 * Reads a keyring's text: 64 hexadecimal digits a line; lines that are empty or
 * begin with '#' mean nothing, nor does a last line that was not finished.
 * NULL, or what is wrong. *end is where what counts ends.
 */
extern const char *cs_keyring_parse(CsKeyring *ring, const char *text,
									int length, int *end);
/* The key of that fingerprint, in the ring; NULL: it has none. */
extern const CsKey *cs_keyring_find(const CsKeyring *ring, const char *id);
/* Overwrites its keys. */
extern void cs_keyring_forget(CsKeyring *ring);

/* vault_key.c: outside of transactions where a command may run */

/*
 * Reads the keyring, from the file or the command. create: a file that is not
 * there is made. False with *failure (class LOCKED: it is missing, damaged or
 * not safe; message and detail name no path).
 */
extern bool cs_keyring_load(CsKeyring *ring, bool create, CsFailure *failure);
/* Appends a fresh key to the file, durably, and to *ring; raises an error. */
extern void cs_keyring_append(CsKeyring *ring);
extern bool cs_keyring_is_command(void);

/* vault_command.c */

/*
 * Runs a program and gives what it printed, up to size bytes, within the time.
 * The words of the command are its arguments; no shell sees them. -1 with *why.
 */
extern int cs_command_read(const char *command, char *out, int size,
						   int timeout_ms, const char **why);

/* vault.c: in a transaction, with SPI connected */

/* Encrypts and stores the secret in place of the owner's former one. */
extern void cs_secret_store(const CsSecretOwner *owner, const CsSecret *secret);
/*
 * The owner's row, as it is stored: false if there is none. To be opened with
 * cs_sealed_open, out of the transaction.
 */
typedef struct CsSealed
{
	char key_id[CS_KEY_ID_SIZE];
	uint8 nonce[CS_NONCE_BYTES];
	uint8 *bytes; /* palloc'd in the context given */
	int length;
} CsSealed;

extern bool cs_secret_read(const CsSecretOwner *owner, CsSealed *sealed,
						   MemoryContext context);
/* False with *failure (class LOCKED). */
extern bool cs_sealed_open(const CsSealed *sealed, const CsSecretOwner *owner,
						   const CsKeyring *ring, CsSecret *secret,
						   CsFailure *failure);
/* All rows by the ring's last key, which is appended first; how many. */
extern int cs_secrets_rotate(void);

/* A value of the secret, or NULL. Lives as long as the secret. */
extern const char *cs_secret_get(const CsSecret *secret, const char *key);
/* Overwrites and frees it; an empty one is left alone. */
extern void cs_secret_forget(CsSecret *secret);

/* src/sql/hide.c: keeps statements that bring secrets out of the log */
extern void cs_hide_init(void);

#endif
