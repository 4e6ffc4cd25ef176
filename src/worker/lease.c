/*
 * lease.c
 *	  Session-level locks of classes that SQL cannot take: a connection's lease and
 *	  its tokens, and what one process of a database does alone (CsLockClass). They
 *	  die with their process and survive nothing (design decision 7).
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lock.h"

#include "internal.h"

/*
 * Advisory locks have 1 or 2 in field 4 when SQL takes them; ours have the
 * class there.
 */
static void
set_tag(LOCKTAG *tag, CsLockClass lock, int64 id)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, (uint32) (id >> 32), (uint32) id,
						 (uint16) lock);
}

bool
cs_lock_take(CsLockClass lock, int64 id, bool wait)
{
	LOCKTAG tag;
	LockAcquireResult result;
	MemoryContext context = CurrentMemoryContext;
	bool own = !IsTransactionState();

	set_tag(&tag, lock, id);
	if (own)
		StartTransactionCommand();
	result = LockAcquire(&tag, ExclusiveLock, true, !wait);
	/* a session that has it already does not get it a second time */
	if (result == LOCKACQUIRE_ALREADY_HELD)
		(void) LockRelease(&tag, ExclusiveLock, true);
	if (own)
		CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return result == LOCKACQUIRE_OK;
}

void
cs_lock_release(CsLockClass lock, int64 id)
{
	LOCKTAG tag;

	set_tag(&tag, lock, id);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

bool
cs_lease_take(int64 connection_id)
{
	return cs_lock_take(CS_LOCK_LEASE, connection_id, false);
}

void
cs_lease_release(int64 connection_id)
{
	cs_lock_release(CS_LOCK_LEASE, connection_id);
}

bool
cs_token_lock(int64 connection_id)
{
	return cs_lock_take(CS_LOCK_TOKEN, connection_id, false);
}

void
cs_token_unlock(int64 connection_id)
{
	cs_lock_release(CS_LOCK_TOKEN, connection_id);
}
