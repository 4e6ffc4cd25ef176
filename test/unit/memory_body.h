/*
 * memory_body.h
 *	  A body in memory, for tests: it can fail at a given byte, and do something
 *	  to the file system meanwhile.
 */
#ifndef CLOUDSYNC_MEMORY_BODY_H
#define CLOUDSYNC_MEMORY_BODY_H

#include "cloudsync/transfer.h"

typedef struct MemoryBody
{
	CsBody body;
	char *bytes;
	int64 size;
	int64 room;
	int64 fail_at; /* -1: never */
	void (*meanwhile)(void);
} MemoryBody;

static int64
memory_read(CsBody *body, int64 offset, char *buf, int64 cap,
			CsFailure *failure)
{
	MemoryBody *memory = body->owner;
	int64 n = Min(cap, memory->size - offset);

	if (memory->fail_at >= 0 && offset >= memory->fail_at)
	{
		cs_failure_set(failure, CS_FAIL_CHANGED, NULL, "the value changed");
		return -1;
	}
	memcpy(buf, memory->bytes + offset, n);
	return n;
}

static bool
memory_write(CsBody *body, const char *buf, int64 len, CsFailure *failure)
{
	MemoryBody *memory = body->owner;

	if (memory->fail_at >= 0 && memory->size + len > memory->fail_at)
	{
		cs_failure_set(failure, CS_FAIL_QUOTA, NULL, "the database is full");
		return false;
	}
	memcpy(memory->bytes + memory->size, buf, len);
	memory->size += len;
	if (memory->meanwhile != NULL)
		memory->meanwhile();
	return true;
}

static bool
memory_restart(CsBody *body, CsFailure *failure)
{
	((MemoryBody *) body->owner)->size = 0;
	return true;
}

static MemoryBody *
new_body(int64 size, char fill)
{
	MemoryBody *memory = palloc0(sizeof(MemoryBody));

	memory->body = (CsBody){memory_read, memory_write, memory_restart, memory};
	memory->room = Max(size, 8 * 1024 * 1024);
	memory->bytes = palloc0(memory->room);
	memset(memory->bytes, fill, size);
	memory->size = size;
	memory->fail_at = -1;
	return memory;
}

#endif
