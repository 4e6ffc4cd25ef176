/*
 * file_names.c
 *	  The requests of file.h that are done in one slice, since they move no
 *	  bytes: what is there, a new folder, another name, gone. Folders are synced
 *	  before a change is reported.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cloudsync/crash.h"
#include "file.h"

/* Answers with errno; always true, for the end of a slice. */
bool
cs_file_answer_errno(CsFileTask *task)
{
	int error = errno;
	struct stat root;

	/* Below a folder that was removed nothing can be said of any file. */
	if (error == ENOENT && fstat(task->root, &root) == 0 && root.st_nlink == 0)
		error = ENODEV;
	task->response.error = error;
	task->response.detail = pstrdup(strerror(error));
	return true;
}

bool
cs_file_space(CsFileTask *task)
{
	struct statvfs space;
	struct statx stat;
	int64 used;

	if (fstatvfs(task->root, &space) < 0 ||
		cs_walk_stat(task->root, "", &stat) < 0)
		return cs_file_answer_errno(task);
	if (stat.stx_nlink == 0)
	{
		errno = ENODEV;
		return cs_file_answer_errno(task);
	}
	used = (int64) (space.f_blocks - space.f_bfree) * (int64) space.f_frsize;
	task->response.used_bytes = used;
	task->response.quota_bytes =
		used + (int64) space.f_bavail * (int64) space.f_frsize;
	cs_entry_fill(&task->response.entry, "/", &stat);
	return true;
}

/* The entry at path, as it is now, into the response. */
static bool
answer_entry(CsFileTask *task, int folder, const char *name, const char *path)
{
	struct statx stat;

	if (cs_walk_stat(folder, name, &stat) < 0)
		return cs_file_answer_errno(task);
	if (name[0] == '.' && name[1] == '\0' && stat.stx_nlink == 0)
	{
		errno = ENODEV;
		return cs_file_answer_errno(task);
	}
	cs_entry_fill(&task->response.entry, path, &stat);
	return true;
}

bool
cs_file_stat(CsFileTask *task, int folder, const char *name)
{
	return answer_entry(task, folder, name, task->request.path);
}

bool
cs_file_mkdir(CsFileTask *task, int folder, const char *name)
{
	mode_t mask = umask(0027);
	int result = mkdirat(folder, name, 0750);

	umask(mask);
	if (result < 0 || cs_walk_sync(folder) < 0)
		return cs_file_answer_errno(task);
	return true;
}

bool
cs_file_unlink(CsFileTask *task, int folder, const char *name)
{
	if (unlinkat(folder, name, 0) < 0)
		return cs_file_answer_errno(task);
	cs_file_forget_unfinished(task, task->request.path);
	return true;
}

/*
 * Are both names links of one file? So they are when the process was killed
 * between the two halves of the rename below. One link under two names is one
 * name to a file system that ignores case.
 */
static bool
same_file(const struct statx *stat, int to, const char *to_name)
{
	struct statx other;

	return stat->stx_nlink > 1 && cs_walk_stat(to, to_name, &other) == 0 &&
		   stat->stx_ino == other.stx_ino &&
		   stat->stx_dev_major == other.stx_dev_major &&
		   stat->stx_dev_minor == other.stx_dev_minor;
}

/*
 * For file systems without RENAME_NOREPLACE: a second link never replaces. For
 * folders, and where there are no links, a look just before must do.
 */
static int
rename_without_flag(int from, const char *name, int to, const char *to_name)
{
	struct statx stat;

	if (cs_walk_stat(from, name, &stat) < 0)
		return -1;
	if (S_ISREG(stat.stx_mode))
	{
		if (linkat(from, name, to, to_name, 0) == 0)
			return unlinkat(from, name, 0);
		if (errno == EEXIST && same_file(&stat, to, to_name))
			return unlinkat(from, name, 0);
		if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS &&
			errno != EMLINK)
			return -1;
	}
	if (cs_walk_stat(to, to_name, &stat) == 0)
	{
		errno = EEXIST;
		return -1;
	}
	if (errno != ENOENT)
		return -1;
	return renameat(from, name, to, to_name);
}

static int
rename_noreplace(int from, const char *name, int to, const char *to_name)
{
	if (renameat2(from, name, to, to_name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -1;
	return rename_without_flag(from, name, to, to_name);
}

static bool
same_folder(const char *a, const char *b)
{
	size_t len = strrchr(a, '/') - a;

	return len == strrchr(b, '/') - b && memcmp(a, b, len) == 0;
}

bool
cs_file_rename(CsFileTask *task, int folder, const char *name)
{
	const char *to_name;
	int to = cs_walk_parent(task->root, task->request.to_path, &to_name);
	int result;

	if (to < 0)
		return cs_file_answer_errno(task);
	result = task->request.replace
				 ? renameat(folder, name, to, to_name)
				 : rename_noreplace(folder, name, to, to_name);
	if (result == 0)
	{
		CS_CRASH_POINT("transfer.renamed");
		cs_file_forget_unfinished(task, task->request.path);
		result = cs_walk_sync(to);
	}
	if (result == 0 &&
		!same_folder(task->request.path, task->request.to_path))
		result = cs_walk_sync(folder);
	if (result < 0)
		cs_file_answer_errno(task);
	else
		answer_entry(task, to, to_name, task->request.to_path);
	cs_fd_close(to);
	return true;
}
