/*
 * vault.c
 *	  The rows of cloudsync.secret (S1): stored, read, opened, encrypted anew.
 *
 * The associated data of each names its tenant, kind and owner, so that a
 * ciphertext copied to another row opens nothing. Relies on vault_cipher.c and
 * vault_key.c, and on db.h for SQL.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/compat.h"
#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/vault.h"

#define OWNER_IS                                                               \
	"owner_kind OPERATOR(pg_catalog.=) $1 AND owner_id OPERATOR(pg_catalog.=) $2"

const char *
cs_secret_get(const CsSecret *secret, const char *key)
{
	const char *p = secret->bytes;
	const char *end = p + secret->length;

	while (p < end)
	{
		const char *value = p + strlen(p) + 1;

		if (strcmp(p, key) == 0)
			return value;
		p = value + strlen(value) + 1;
	}
	return NULL;
}

void
cs_secret_forget(CsSecret *secret)
{
	if (secret->bytes != NULL)
	{
		OPENSSL_cleanse(secret->bytes, secret->length);
		pfree(secret->bytes);
	}
	secret->bytes = NULL;
	secret->length = 0;
}

static void
bind_owner(StringInfo bound, const CsSecretOwner *owner)
{
	initStringInfo(bound);
	appendStringInfoString(bound, "cloudsync secret 1");
	appendStringInfoChar(bound, '\0');
	appendStringInfoString(bound, owner->tenant);
	appendStringInfoChar(bound, '\0');
	appendStringInfoString(bound, owner->kind);
	appendStringInfoChar(bound, '\0');
	appendStringInfo(bound, INT64_FORMAT, owner->id);
}

static Datum
make_bytea(const void *bytes, int length)
{
	bytea *result = palloc(VARHDRSZ + length);

	SET_VARSIZE(result, VARHDRSZ + length);
	memcpy(VARDATA(result), bytes, length);
	return PointerGetDatum(result);
}

/* Encrypts by the ring's last key; the sealed bytes as a datum. */
static Datum
seal(const CsKeyring *ring, const CsSecretOwner *owner, const CsSecret *secret,
	 uint8 *nonce)
{
	uint8 *sealed = palloc(secret->length + CS_TAG_BYTES);
	StringInfoData bound;

	if (!pg_strong_random(nonce, CS_NONCE_BYTES))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not encrypt a secret: no random numbers")));
	bind_owner(&bound, owner);
	if (!cs_cipher_seal(&ring->keys[ring->n - 1], nonce, bound.data, bound.len,
						secret->bytes, secret->length, sealed))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not encrypt a secret"),
				 errdetail("OpenSSL refused AES-256-GCM.")));
	return make_bytea(sealed, secret->length + CS_TAG_BYTES);
}

static void
write_row(const CsKeyring *ring, const CsSecretOwner *owner,
		  const CsSecret *secret)
{
	uint8 nonce[CS_NONCE_BYTES];
	Oid types[] = {TEXTOID, INT8OID, TEXTOID, TEXTOID, BYTEAOID, BYTEAOID};
	Datum sealed = seal(ring, owner, secret, nonce);
	Datum values[] = {CStringGetTextDatum(owner->kind),
					  Int64GetDatum(owner->id),
					  CStringGetTextDatum(owner->tenant),
					  CStringGetTextDatum(ring->keys[ring->n - 1].id),
					  make_bytea(nonce, CS_NONCE_BYTES),
					  sealed};

	cs_execute("INSERT INTO cloudsync.secret AS s (owner_kind, owner_id, tenant, "
			   "key_id, nonce, sealed) VALUES ($1, $2, $3, $4, $5, $6) "
			   "ON CONFLICT (owner_kind, owner_id) DO UPDATE SET tenant = $3, "
			   "key_id = $4, nonce = $5, sealed = $6, "
			   "stored_at = pg_catalog.clock_timestamp()",
			   6, types, values, NULL, false);
}

static void
raise_locked(const CsFailure *failure)
{
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					errmsg("%s", failure->message),
					failure->detail[0] ? errhint("%s", failure->detail) : 0));
}

/*
 * A keyring is made only while there is nothing that another one has encrypted:
 * this database's secrets are what can be seen from here.
 */
void
cs_secret_store(const CsSecretOwner *owner, const CsSecret *secret)
{
	CsKeyring *ring = palloc(sizeof(CsKeyring));
	CsFailure failure = {0};
	bool none = cs_execute("SELECT FROM cloudsync.secret LIMIT 1", 0, NULL,
						   NULL, NULL, true) == 0;

	if (!cs_keyring_load(ring, none, &failure))
		raise_locked(&failure);
	PG_TRY();
	{
		write_row(ring, owner, secret);
	}
	PG_FINALLY();
	{
		cs_keyring_forget(ring);
	}
	PG_END_TRY();
	pfree(ring);
}

static bytea *
get_bytea(uint64 row, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
								column, &isnull);

	return isnull ? NULL : DatumGetByteaPP(value);
}

/* Columns from `column` on are key_id, nonce and sealed. */
static void
get_sealed(uint64 row, int column, CsSealed *sealed, MemoryContext context)
{
	char *key_id = cs_get_text(row, column);
	bytea *nonce = get_bytea(row, column + 1);
	bytea *bytes = get_bytea(row, column + 2);

	memset(sealed, 0, sizeof(*sealed));
	if (key_id == NULL || nonce == NULL || bytes == NULL ||
		VARSIZE_ANY_EXHDR(nonce) != CS_NONCE_BYTES)
		elog(ERROR, "a row of cloudsync.secret makes no sense");
	strlcpy(sealed->key_id, key_id, sizeof(sealed->key_id));
	memcpy(sealed->nonce, VARDATA_ANY(nonce), CS_NONCE_BYTES);
	sealed->length = VARSIZE_ANY_EXHDR(bytes);
	sealed->bytes = MemoryContextAlloc(context, sealed->length + 1);
	memcpy(sealed->bytes, VARDATA_ANY(bytes), sealed->length);
}

bool
cs_secret_read(const CsSecretOwner *owner, CsSealed *sealed,
			   MemoryContext context)
{
	Oid types[] = {TEXTOID, INT8OID};
	Datum values[] = {CStringGetTextDatum(owner->kind),
					  Int64GetDatum(owner->id)};

	if (cs_execute("SELECT key_id, nonce, sealed FROM cloudsync.secret "
				   "WHERE " OWNER_IS,
				   2, types, values, NULL, true) == 0)
		return false;
	get_sealed(0, 1, sealed, context);
	return true;
}

bool
cs_sealed_open(const CsSealed *sealed, const CsSecretOwner *owner,
			   const CsKeyring *ring, CsSecret *secret, CsFailure *failure)
{
	const CsKey *key = cs_keyring_find(ring, sealed->key_id);
	StringInfoData bound;

	if (key == NULL)
	{
		cs_failure_set(failure, CS_FAIL_LOCKED,
					   "Put the keyring that has it back; nothing else is "
					   "lost. Credentials given anew with cloudsync_connect "
					   "are encrypted by the key of now.",
					   "the keyring has not the key %s, by which its secrets "
					   "are encrypted",
					   sealed->key_id);
		return false;
	}
	bind_owner(&bound, owner);
	secret->length = Max(sealed->length - CS_TAG_BYTES, 0);
	secret->bytes = palloc(secret->length + 1);
	if (cs_cipher_open(key, sealed->nonce, bound.data, bound.len,
					   sealed->bytes, sealed->length, secret->bytes))
		return true;
	cs_secret_forget(secret);
	cs_failure_set(failure, CS_FAIL_LOCKED,
				   "Give its credentials anew with cloudsync_connect.",
				   "its stored secrets cannot be decrypted: they were changed, "
				   "or are another's");
	return false;
}

typedef struct Row
{
	CsSecretOwner owner;
	CsSealed sealed;
} Row;

static Row *
read_rows(int *n)
{
	MemoryContext context = CurrentMemoryContext;
	Row *rows;

	cs_execute("LOCK TABLE cloudsync.secret IN SHARE ROW EXCLUSIVE MODE", 0,
			   NULL, NULL, NULL, false);
	*n = (int) cs_execute("SELECT owner_kind, owner_id, tenant, key_id, nonce, "
						  "sealed FROM cloudsync.secret ORDER BY 1, 2",
						  0, NULL, NULL, NULL, false);
	rows = palloc0(sizeof(Row) * (*n + 1));
	for (int i = 0; i < *n; i++)
	{
		rows[i].owner.kind = cs_get_text(i, 1);
		rows[i].owner.id = cs_get_int64(i, 2, 0);
		rows[i].owner.tenant = cs_get_text(i, 3);
		get_sealed(i, 4, &rows[i].sealed, context);
	}
	return rows;
}

/* Opens one row, and writes it by the ring's last key if seal_it. */
static void
turn_row(const Row *row, const CsKeyring *ring, bool seal_it)
{
	CsSecret secret = {0};
	CsFailure failure = {0};

	if (!cs_sealed_open(&row->sealed, &row->owner, ring, &secret, &failure))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the secrets of %s " INT64_FORMAT
						" cannot be read: %s",
						row->owner.kind, row->owner.id, failure.message),
				 errhint("%s", failure.detail)));
	PG_TRY();
	{
		if (seal_it)
			write_row(ring, &row->owner, &secret);
	}
	PG_FINALLY();
	{
		cs_secret_forget(&secret);
	}
	PG_END_TRY();
}

/*
 * Nothing is changed unless every row can be read; the fresh key is in the
 * keyring, durably, before the first row depends on it. A command's keys are its
 * own business: the last one that it prints is taken.
 */
int
cs_secrets_rotate(void)
{
	CsKeyring *ring = palloc(sizeof(CsKeyring));
	CsFailure failure = {0};
	int n;
	Row *rows = read_rows(&n);

	if (!cs_keyring_load(ring, n == 0, &failure))
		raise_locked(&failure);
	PG_TRY();
	{
		for (int i = 0; i < n; i++)
			turn_row(&rows[i], ring, false);
		if (!cs_keyring_is_command())
			cs_keyring_append(ring);
		for (int i = 0; i < n; i++)
			turn_row(&rows[i], ring, true);
		CS_CRASH_POINT("vault.after_reencrypt");
	}
	PG_FINALLY();
	{
		cs_keyring_forget(ring);
	}
	PG_END_TRY();
	pfree(ring);
	return n;
}
