/*
 * file_body.c
 *	  Bodies of file requests on their way: pieces read from the owner and given
 *	  to it, at the endpoint's pace.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <time.h>

#include "file.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

/* See file.h. */
int64
cs_file_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* See file.h. */
int64
cs_file_room(CsFileTask *task, int64 wanted)
{
	task->wake_at = 0;
	if (task->pace == NULL)
		return wanted;
	return cs_pace_bytes(task->pace, wanted, cs_file_now(), &task->wake_at);
}

/* See file.h. */
void
cs_file_give_back(CsFileTask *task, int64 bytes)
{
	if (task->pace != NULL)
		cs_pace_give_back(task->pace, bytes);
}

/* What the body's functions leave in memory goes at once. */
static int64
call_read(CsFileTask *task, int64 room, CsFailure *failure)
{
	int64 n;
#ifndef FRONTEND
	MemoryContext old = MemoryContextSwitchTo(task->scratch);
#endif

	n = task->body->read(task->body, task->offset, task->buffer, room, failure);
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
	MemoryContextReset(task->scratch);
#endif
	return n;
}

/* See file.h. */
bool
cs_file_write_body(CsFileTask *task, int64 n, CsFailure *failure)
{
	bool ok;
#ifndef FRONTEND
	MemoryContext old = MemoryContextSwitchTo(task->scratch);
#endif

	ok = task->body->write(task->body, task->buffer, n, failure);
#ifndef FRONTEND
	MemoryContextSwitchTo(old);
	MemoryContextReset(task->scratch);
#endif
	return ok;
}

/* See file.h. */
void
cs_file_body_failed(CsFileTask *task, const CsFailure *failure)
{
	task->body_failure = *failure;
	task->response.error = ECANCELED;
	task->response.body_failure = &task->body_failure;
	task->response.detail = task->body_failure.message;
}

/* See file.h. */
bool
cs_file_read_body(CsFileTask *task, int64 room, int64 *n)
{
	CsFailure failure = {0};

	*n = 0;
	task->body_waits = false;
	if (room == 0)
		return true; /* it rests */
	*n = call_read(task, room, &failure);
	if (task->request.kind == CS_REQ_FILE_WRITE)
		cs_file_give_back(task, room - Max(*n, 0));
	task->body_waits = *n == CS_BODY_WAIT;
	if (task->body_waits || (*n >= 0 && *n <= room))
		return true;
	if (failure.failure_class == CS_FAIL_NONE)
		cs_failure_set(&failure, CS_FAIL_BROKEN, NULL,
					   "the content could not be read");
	cs_file_body_failed(task, &failure);
	return false;
}
