/*
 * file.c
 *	  The requests of file.h that move bytes or list, in slices of a megabyte or
 *	  a thousand entries at most. What is written is durable when it is
 *	  reported. Only regular files are ever opened.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cloudsync/crash.h"
#include "file.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif

/* Write-back is started this often, so that the last sync has little to do. */
#define FLUSH_EVERY (8 * 1024 * 1024)
/* Entries looked at in a slice of a listing. */
#define LIST_SLICE 250

void
cs_file_init(CsFileTask *task, int root, CsBody *body, char *buffer)
{
	memset(task, 0, sizeof(*task));
	task->root = root;
	task->body = body;
	task->buffer = buffer;
	task->fd = -1;
#ifndef FRONTEND
	task->page = AllocSetContextCreate(CurrentMemoryContext, "cloudsync answer",
									   ALLOCSET_DEFAULT_SIZES);
	task->scratch = AllocSetContextCreate(
		CurrentMemoryContext, "cloudsync body", ALLOCSET_DEFAULT_SIZES);
#endif
}

/* A copy that outlives the answer. */
static char *
keep_string(CsFileTask *task, const char *string)
{
#ifndef FRONTEND
	return MemoryContextStrdup(MemoryContextGetParent(task->page), string);
#else
	return pstrdup(string);
#endif
}

static void
close_file(CsFileTask *task)
{
	if (task->fd >= 0)
		cs_fd_close(task->fd);
	task->fd = -1;
}

static void
close_folder(CsFileTask *task)
{
	if (task->dir != NULL)
	{
		closedir(task->dir);
		cs_fd_forget();
		task->dir = NULL;
	}
	if (task->dir_path != NULL)
		pfree(task->dir_path);
	task->dir_path = NULL;
}

static void
set_unfinished(CsFileTask *task, const char *path)
{
	if (task->unfinished != NULL)
		pfree(task->unfinished);
	task->unfinished = path != NULL ? keep_string(task, path) : NULL;
}

void
cs_file_forget_unfinished(CsFileTask *task, const char *path)
{
	if (task->unfinished != NULL && strcmp(task->unfinished, path) == 0)
		set_unfinished(task, NULL);
}

void
cs_file_close(CsFileTask *task, bool remove_unfinished)
{
	close_file(task);
	close_folder(task);
	if (task->unfinished != NULL && remove_unfinished)
	{
		const char *name;
		int folder = cs_walk_parent(task->root, task->unfinished, &name);

		if (folder >= 0)
		{
			unlinkat(folder, name, 0);
			cs_fd_close(folder);
		}
	}
	task->unfinished = NULL;
	if (task->hash != NULL)
		cs_hash_free(task->hash);
	task->hash = NULL;
}

static void
start_hash(CsFileTask *task)
{
	if (task->hash == NULL)
	{
#ifndef FRONTEND
		/* It outlives the page; the task's context goes with the page's parent.
		 */
		MemoryContext old =
			MemoryContextSwitchTo(MemoryContextGetParent(task->page));

		task->hash = cs_hash_create();
		MemoryContextSwitchTo(old);
#else
		task->hash = cs_hash_create();
#endif
	}
	else
		cs_hash_restart(task->hash);
	task->offset = 0;
	task->flushed = 0;
}

static bool
begin_write(CsFileTask *task, int folder, const char *name)
{
	/* A leftover is removed, not written into: it may have a second name. */
	if (unlinkat(folder, name, 0) < 0 && errno != ENOENT)
		return cs_file_answer_errno(task);
	task->fd = cs_fd_openat(folder, name,
							O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
	if (task->fd < 0)
		return cs_file_answer_errno(task);
	set_unfinished(task, task->request.path);
	start_hash(task);
	task->done = 0;
	return false;
}

static bool
write_all(int fd, const char *bytes, int64 len)
{
	while (len > 0)
	{
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENOSPC;
		if (n <= 0)
			return false;
		bytes += n;
		len -= n;
	}
	return true;
}

/* The owner holds the whole body, and knows its hash: it is not taken again. */
static bool
is_known(const CsFileTask *task)
{
	return task->body->sha256 != NULL;
}

static bool
finish_write(CsFileTask *task)
{
	struct statx stat;

	if (cs_fd_sync(task->fd) < 0 || cs_walk_stat(task->fd, "", &stat) < 0)
		cs_file_answer_errno(task);
	else
		cs_entry_fill(&task->response.entry, task->request.path, &stat);
	close_file(task);
	task->response.size = task->offset;
	if (is_known(task))
		memcpy(task->response.sha256, task->body->sha256, CS_SHA256_LENGTH);
	else
		cs_hash_final(task->hash, task->response.sha256);
	return true;
}

static bool
slice_write(CsFileTask *task)
{
	int64 n;

	if (!cs_file_read_body(task, cs_file_room(task, CS_FILE_SLICE), &n))
	{
		close_file(task);
		return true;
	}
	if (task->body_waits || task->wake_at > 0)
		return false;
	if (n == 0)
		return finish_write(task);
	if (!is_known(task))
		cs_hash_update(task->hash, task->buffer, n);
	if (CS_FAULT("transfer.flip"))
		task->buffer[n / 2] ^= 1;
	if (!write_all(task->fd, task->buffer, n))
	{
		cs_file_answer_errno(task);
		close_file(task);
		return true;
	}
	task->offset += n;
	task->done = task->offset;
	CS_CRASH_POINT("transfer.slice_written");
	if (task->offset - task->flushed >= FLUSH_EVERY)
	{
		/* Wait for the stretch before, start on this one. */
		if (task->flushed >= FLUSH_EVERY)
			sync_file_range(task->fd, task->flushed - FLUSH_EVERY, FLUSH_EVERY,
							SYNC_FILE_RANGE_WAIT_BEFORE |
								SYNC_FILE_RANGE_WRITE |
								SYNC_FILE_RANGE_WAIT_AFTER);
		sync_file_range(task->fd, task->flushed, task->offset - task->flushed,
						SYNC_FILE_RANGE_WRITE);
		task->flushed = task->offset;
	}
	return false;
}

static bool
slice_hash_body(CsFileTask *task)
{
	int64 n;
	int64 end = task->request.length < 0
					? PG_INT64_MAX
					: task->request.from + task->request.length;

	if (is_known(task) && task->request.from == 0 && end == PG_INT64_MAX)
	{
		task->response.size = task->body->size;
		memcpy(task->response.sha256, task->body->sha256, CS_SHA256_LENGTH);
		return true;
	}
	if (task->offset >= end)
		n = 0;
	else if (!cs_file_read_body(task, CS_FILE_SLICE, &n))
		return true;
	if (task->body_waits)
		return false;
	n = Min(n, end - task->offset);
	if (n > 0)
	{
		cs_hash_update(task->hash, task->buffer, n);
		task->offset += n;
		return false;
	}
	task->response.size = task->offset - task->request.from;
	cs_hash_final(task->hash, task->response.sha256);
	return true;
}

/* Opens a regular file; anything else is not even opened. */
static bool
begin_read(CsFileTask *task, int folder, const char *name)
{
	if (cs_walk_stat(folder, name, &task->before) < 0)
		return cs_file_answer_errno(task);
	errno = S_ISREG(task->before.stx_mode)	 ? 0
			: S_ISDIR(task->before.stx_mode) ? EISDIR
			: S_ISLNK(task->before.stx_mode) ? ELOOP
											 : EOPNOTSUPP;
	if (errno != 0)
		return cs_file_answer_errno(task);
	task->fd = cs_fd_openat(folder, name,
							O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (task->fd < 0)
		return cs_file_answer_errno(task);
	if (cs_walk_stat(task->fd, "", &task->before) < 0 ||
		!S_ISREG(task->before.stx_mode))
	{
		close_file(task);
		errno = ESTALE;
		return cs_file_answer_errno(task);
	}
	start_hash(task);
	if (task->request.kind == CS_REQ_FILE_HASH)
	{
		/* What is synced is dropped from memory, so that the store is read. */
		posix_fadvise(task->fd, 0, 0, POSIX_FADV_DONTNEED);
		return false;
	}
	task->done = 0;
	if (task->delivered && task->body->restart != NULL &&
		!task->body->restart(task->body, &task->body_failure))
	{
		close_file(task);
		cs_file_body_failed(task, &task->body_failure);
		return true;
	}
	if (task->body->announce != NULL)
		task->body->announce(task->body, (int64) task->before.stx_size);
	return false;
}

static bool
finish_read(CsFileTask *task)
{
	struct statx after;

	if (cs_walk_stat(task->fd, "", &after) < 0)
		cs_file_answer_errno(task);
	else if (!cs_entry_unchanged(&task->before, &after) ||
			 task->offset != (int64) after.stx_size)
	{
		errno = ESTALE;
		cs_file_answer_errno(task);
	}
	else
		cs_entry_fill(&task->response.entry, task->request.path, &after);
	close_file(task);
	task->response.size = task->offset;
	cs_hash_final(task->hash, task->response.sha256);
	return true;
}

/* How much of a file read may be handed on now. */
static int64
room_for(const CsFileTask *task)
{
	if (task->request.kind != CS_REQ_FILE_READ || task->body->room == NULL)
		return CS_FILE_SLICE;
	return Min(task->body->room(task->body), CS_FILE_SLICE);
}

/* And is not too much for the connection's pace; 0: it rests. */
static int64
paced_room(CsFileTask *task, int64 room)
{
	return task->request.kind == CS_REQ_FILE_READ ? cs_file_room(task, room)
												  : room;
}

static bool
slice_read(CsFileTask *task)
{
	int64 room = room_for(task);
	ssize_t n;

	if ((task->body_waits = room <= 0))
		return false;
	room = paced_room(task, room);
	if (room == 0)
		return false;
	do
		n = pread(task->fd, task->buffer, room, task->offset);
	while (n < 0 && errno == EINTR);
	if (task->request.kind == CS_REQ_FILE_READ)
		cs_file_give_back(task, room - Max(n, 0));
	/* A file that grows as fast as it is read would never end. */
	if (n == 0 || (n > 0 && task->offset + n > (int64) task->before.stx_size))
	{
		task->offset += n;
		return finish_read(task);
	}
	if (n < 0)
	{
		cs_file_answer_errno(task);
		close_file(task);
		return true;
	}
	cs_hash_update(task->hash, task->buffer, n);
	if (task->request.kind == CS_REQ_FILE_READ)
	{
		CsFailure failure = {0};

		task->delivered = true;
		if (!cs_file_write_body(task, n, &failure))
		{
			close_file(task);
			cs_file_body_failed(task, &failure);
			return true;
		}
		task->done = task->offset + n;
	}
	task->offset += n;
	return false;
}

static bool
begin_list(CsFileTask *task)
{
	int fd;

	close_folder(task);
	fd = cs_walk_folder(task->root, task->request.path);
	if (fd < 0)
		return cs_file_answer_errno(task);
	task->dir = fdopendir(fd);
	if (task->dir == NULL)
	{
		cs_fd_close(fd);
		return cs_file_answer_errno(task);
	}
	task->dir_path = keep_string(task, task->request.path);
	return false;
}

static bool
list_failed(CsFileTask *task)
{
	cs_file_answer_errno(task);
	task->response.n_entries = 0;
	close_folder(task);
	return true;
}

static bool
slice_list(CsFileTask *task)
{
	CsResponse *response = &task->response;

	if (response->entries == NULL)
		response->entries = palloc(CS_FILE_PAGE * sizeof(CsEntry));
	for (int i = 0; i < LIST_SLICE && response->n_entries < CS_FILE_PAGE; i++)
	{
		struct dirent *found;
		struct statx stat;

		errno = 0;
		found = readdir(task->dir);
		if (found == NULL)
		{
			if (errno != 0)
				return list_failed(task);
			response->last_page = true;
			close_folder(task);
			return true;
		}
		if (!cs_walk_name_ok(found->d_name, strlen(found->d_name)))
			continue; /* "." and ".." */
		if (cs_walk_stat(dirfd(task->dir), found->d_name, &stat) < 0)
		{
			if (errno == ENOENT)
				continue; /* gone since */
			return list_failed(task);
		}
		cs_entry_of_name(&response->entries[response->n_entries++],
						 task->dir_path, found->d_name, &stat);
	}
	return response->n_entries == CS_FILE_PAGE;
}

/* ---- dispatch ---- */

void
cs_file_begin(CsFileTask *task, const CsRequest *request)
{
#ifndef FRONTEND
	MemoryContextReset(task->page);
#endif
	close_file(task);
	if (!request->more)
		close_folder(task);
	memset(&task->response, 0, sizeof(task->response));
	task->response.used_bytes = -1;
	task->response.quota_bytes = -1;
	task->request = *request;
	task->body_waits = false;
	task->wake_at = 0;
	task->offset = -1; /* not begun */
}

/* Requests about a name in a folder; false: more slices are to come. */
static bool
begin_in_folder(CsFileTask *task)
{
	const char *name;
	int folder = cs_walk_parent(task->root, task->request.path, &name);
	bool done;

	if (folder < 0)
		return cs_file_answer_errno(task);
	switch (task->request.kind)
	{
		case CS_REQ_FILE_STAT:
			done = cs_file_stat(task, folder, name);
			break;
		case CS_REQ_FILE_MKDIR:
			done = cs_file_mkdir(task, folder, name);
			break;
		case CS_REQ_FILE_UNLINK:
			done = cs_file_unlink(task, folder, name);
			break;
		case CS_REQ_FILE_RENAME:
			done = cs_file_rename(task, folder, name);
			break;
		case CS_REQ_FILE_WRITE:
			done = begin_write(task, folder, name);
			break;
		default: /* HASH, READ */
			done = begin_read(task, folder, name);
			break;
	}
	cs_fd_close(folder);
	return done;
}

static bool
begin_request(CsFileTask *task)
{
	task->offset = 0;
	switch (task->request.kind)
	{
		case CS_REQ_FILE_SPACE:
			return cs_file_space(task);
		case CS_REQ_HASH_BODY:
			start_hash(task);
			task->offset = task->request.from;
			return false;
		case CS_REQ_FILE_LIST:
			if (task->request.more && task->dir != NULL)
				return false;
			return begin_list(task);
		default:
			return begin_in_folder(task);
	}
}

static bool
slice(CsFileTask *task)
{
	if (task->offset < 0)
		return begin_request(task);
	switch (task->request.kind)
	{
		case CS_REQ_FILE_WRITE:
			return slice_write(task);
		case CS_REQ_HASH_BODY:
			return slice_hash_body(task);
		case CS_REQ_FILE_LIST:
			return slice_list(task);
		default:
			return slice_read(task);
	}
}

bool
cs_file_slice(CsFileTask *task)
{
#ifndef FRONTEND
	MemoryContext old = MemoryContextSwitchTo(task->page);
	bool done = slice(task);

	MemoryContextSwitchTo(old);
	return done;
#else
	return slice(task);
#endif
}
