/*
 * vault.c
 *	  Secrets as sessions give them (S1): taken from jsonb into the vault, and
 *	  all of them encrypted anew.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "cloudsync/compat.h"
#include "cloudsync/vault.h"

PG_FUNCTION_INFO_V1(cloudsync_keep_secret);
PG_FUNCTION_INFO_V1(cloudsync_is_secret);
PG_FUNCTION_INFO_V1(cloudsync_rotate_secrets);

/* A string as it is, anything else as JSON text. */
static char *
value_text(const JsonbValue *value)
{
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	if (value->type == jbvBinary)
		return JsonbToCString(NULL, value->val.binary.data,
							  value->val.binary.len);
	elog(ERROR, "a secret's value has type %d", (int) value->type);
	pg_unreachable();
}

static void
append_text(CsSecret *secret, int *room, const char *text)
{
	int length = strlen(text) + 1;

	if (secret->length + length > *room)
	{
		char *old = secret->bytes;

		*room = (secret->length + length) * 2;
		secret->bytes = palloc(*room);
		memcpy(secret->bytes, old, secret->length);
		OPENSSL_cleanse(old, secret->length);
		pfree(old);
	}
	memcpy(secret->bytes + secret->length, text, length);
	secret->length += length;
}

static void
secret_of_jsonb(Jsonb *given, CsSecret *secret)
{
	JsonbIterator *iterator = JsonbIteratorInit(&given->root);
	JsonbIteratorToken token;
	JsonbValue value;
	int room = 256;

	secret->bytes = palloc(room);
	secret->length = 0;
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *text;

		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		text = value_text(&value);
		append_text(secret, &room, text);
		OPENSSL_cleanse(text, strlen(text));
		pfree(text);
	}
}

/* Is it what is stored? Not if that cannot be read. */
static bool
is_stored(const CsSecretOwner *owner, const CsSecret *secret)
{
	CsKeyring *ring;
	CsFailure failure = {0};
	CsSealed sealed;
	CsSecret stored = {0};
	bool same = false;

	if (!cs_secret_read(owner, &sealed, CurrentMemoryContext))
		return false;
	ring = palloc(sizeof(CsKeyring));
	if (cs_keyring_load(ring, false, &failure) &&
		cs_sealed_open(&sealed, owner, ring, &stored, &failure))
		same = stored.length == secret->length &&
			   memcmp(stored.bytes, secret->bytes, stored.length) == 0;
	cs_secret_forget(&stored);
	cs_keyring_forget(ring);
	pfree(ring);
	return same;
}

/* Is it what is stored? If not, it is from now on, if it is to be kept. */
static bool
compare(PG_FUNCTION_ARGS, bool keep)
{
	CsSecretOwner owner = {.kind = text_to_cstring(PG_GETARG_TEXT_PP(0)),
						   .id = PG_GETARG_INT64(1),
						   .tenant = text_to_cstring(PG_GETARG_TEXT_PP(2))};
	CsSecret secret = {0};
	bool same = false;

	secret_of_jsonb(PG_GETARG_JSONB_P(3), &secret);
	SPI_connect();
	PG_TRY();
	{
		same = is_stored(&owner, &secret);
		if (!same && keep)
			cs_secret_store(&owner, &secret);
	}
	PG_FINALLY();
	{
		OPENSSL_cleanse(secret.bytes, secret.length);
	}
	PG_END_TRY();
	SPI_finish();
	return same;
}

Datum
cloudsync_keep_secret(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!compare(fcinfo, true));
}

Datum
cloudsync_is_secret(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo, false));
}

Datum
cloudsync_rotate_secrets(PG_FUNCTION_ARGS)
{
	int turned;

	SPI_connect();
	turned = cs_secrets_rotate();
	SPI_finish();
	PG_RETURN_INT32(turned);
}
