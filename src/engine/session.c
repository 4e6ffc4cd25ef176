/*
 * session.c
 *	  What lets a later attempt go on with an upload (CsResult.session), as it is
 *	  stored: with the version of the content that it was begun with, since what
 *	  was sent of another is of no use. One whose address alone lets anybody write
 *	  ("secret:" begins it) is encrypted by the keyring, bound to the file that it
 *	  is of; where there is no key, it is not kept, and the upload begins anew.
 *
 * Not to be called in a transaction: a keyring's command may take its time.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "cloudsync/hash.h"
#include "cloudsync/vault.h"
#include "push_args.h"

#define SECRET "secret:"
#define SEALED "sealed:"
#define PLAIN "plain:" /* without it: stored before versions were */

static bool
begins_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Whose session it is; copied to another row it opens nothing. */
static char *
bound_to(const CsPushJob *push, int source_id, const char *file_key)
{
	return psprintf("cloudsync session 1/" INT64_FORMAT "/%d/%s/%d/%s",
					push->setting->destination_id, push->dossiers_id,
					push->dossier, source_id, file_key);
}

/* The keyring, or NULL. */
static CsKeyring *
keyring(void)
{
	CsKeyring *ring = palloc(sizeof(CsKeyring));
	CsFailure failure;

	if (cs_keyring_load(ring, false, &failure) && ring->n > 0)
		return ring;
	pfree(ring);
	return NULL;
}

static char *
seal(const CsKey *key, const char *bound, const char *text)
{
	int length = (int) strlen(text);
	uint8 nonce[CS_NONCE_BYTES];
	uint8 *bytes = palloc(length + CS_TAG_BYTES);
	char *sealed = NULL;

	if (pg_strong_random(nonce, sizeof(nonce)) &&
		cs_cipher_seal(key, nonce, bound, (int) strlen(bound), text, length, bytes))
		sealed = psprintf(SEALED "%s:%s%s", key->id, cs_hex(nonce, sizeof(nonce)),
						  cs_hex(bytes, length + CS_TAG_BYTES));
	pfree(bytes);
	return sealed;
}

/* Of the content that is sent: what was sent of another is of no use. */
static const char *
version_of(const CsFileRow *row)
{
	return row != NULL && row->version != NULL ? row->version : "";
}

/* See push.h. */
char *
cs_session_seal(const CsPushJob *push, const CsPlanFile *plan, const char *session)
{
	CsKeyring *ring;
	char *sealed;

	if (session == NULL)
		return NULL;
	if (!begins_with(session, SECRET))
		return psprintf(PLAIN "%s\n%s", version_of(plan->row), session);
	ring = keyring();
	if (ring == NULL)
		return NULL;
	sealed = seal(&ring->keys[ring->n - 1],
				  bound_to(push, plan->source_id, plan->file_key),
				  psprintf("%s\n%s", version_of(plan->row), session));
	cs_keyring_forget(ring);
	pfree(ring);
	return sealed;
}

/* Hexadecimal digits as bytes; the number, -1 if they are none. */
static int
read_hex(const char *text, uint8 *bytes)
{
	size_t digits = strlen(text);

	if (digits % 2 != 0 || strspn(text, "0123456789abcdef") != digits)
		return -1;
	for (size_t i = 0; i < digits / 2; i++)
	{
		unsigned byte = 0;

		sscanf(text + 2 * i, "%2x", &byte);
		bytes[i] = (uint8) byte;
	}
	return (int) (digits / 2);
}

static char *
unseal(const CsKeyring *ring, const char *bound, const char *sealed)
{
	char id[CS_KEY_ID_SIZE];
	const CsKey *key;
	uint8 *bytes;
	char *text;
	int length;

	if (strlen(sealed) <= CS_KEY_ID_SIZE || sealed[CS_KEY_ID_SIZE - 1] != ':')
		return NULL;
	strlcpy(id, sealed, CS_KEY_ID_SIZE);
	sealed += CS_KEY_ID_SIZE;
	bytes = palloc(strlen(sealed) / 2 + 1);
	text = palloc0(strlen(sealed) / 2 + 1);
	length = read_hex(sealed, bytes) - CS_NONCE_BYTES;
	key = cs_keyring_find(ring, id);
	if (key == NULL || length < CS_TAG_BYTES ||
		!cs_cipher_open(key, bytes, bound, (int) strlen(bound),
						bytes + CS_NONCE_BYTES, length, text))
		return NULL;
	text[length - CS_TAG_BYTES] = '\0';
	return text;
}

static char *
open_sealed(const CsPushJob *push, const CsRecord *record, const char *sealed)
{
	CsKeyring *ring = keyring();
	char *text;

	if (ring == NULL)
		return NULL;
	text = unseal(ring, bound_to(push, record->source_id, record->file_key), sealed);
	cs_keyring_forget(ring);
	pfree(ring);
	return text;
}

/* See push.h. */
char *
cs_session_open(const CsPushJob *push, const CsRecord *record,
				const CsFileRow *row, bool *stale)
{
	const char *session = record->intent_session;
	char *text;
	char *end;

	if (session == NULL)
		return NULL;
	if (begins_with(session, SEALED))
		text = open_sealed(push, record, session + strlen(SEALED));
	else if (begins_with(session, PLAIN))
		text = pstrdup(session + strlen(PLAIN));
	else
		return pstrdup(session);
	end = text != NULL ? strchr(text, '\n') : NULL;
	if (end == NULL)
		return NULL;
	*end = '\0';
	if (stale != NULL)
		*stale = strcmp(text, version_of(row)) != 0;
	return end + 1;
}
