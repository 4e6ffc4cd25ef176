/*
 * walk.c
 *	  Ways below a folder held open, one component at a time, so that no link is
 *	  followed and nothing outside is reached whoever renames what meanwhile;
 *	  and the descriptors of the transfer layer, which are counted.
 *
 * Usable in the server, where descriptors are also announced to fd.c, and in
 * plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <fcntl.h>
#include <unistd.h>

#include "file.h"
#ifndef FRONTEND
#include "storage/fd.h"
#endif

static int descriptors = 0;

int
cs_fd_openat(int folder, const char *name, int flags, mode_t mode)
{
	mode_t mask = 0;
	int fd;

#ifndef FRONTEND
	if (!AcquireExternalFD())
		return -1; /* errno is EMFILE */
#endif
	/* The server's mask would keep the files from everybody but itself. */
	if (flags & O_CREAT)
		mask = umask(0027);
	do
		fd = openat(folder, name, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	if (flags & O_CREAT)
		umask(mask);
	if (fd >= 0)
		descriptors++;
#ifndef FRONTEND
	else
	{
		int save_errno = errno;

		ReleaseExternalFD();
		errno = save_errno;
	}
#endif
	return fd;
}

/* errno survives, so that cleaning up hides no error. */
void
cs_fd_close(int fd)
{
	int save_errno = errno;

	close(fd);
	cs_fd_forget();
	errno = save_errno;
}

void
cs_fd_forget(void)
{
	descriptors--;
#ifndef FRONTEND
	ReleaseExternalFD();
#endif
}

/* In the server by its setting fsync, as for its own files. */
int
cs_fd_sync(int fd)
{
#ifndef FRONTEND
	return pg_fsync(fd);
#else
	return fsync(fd);
#endif
}

/* What is open already is announced, whether there is room for it or not. */
void
cs_fd_count_other(int step)
{
	if (step < 0)
	{
		cs_fd_forget();
		return;
	}
	descriptors++;
#ifndef FRONTEND
	ReserveExternalFD();
#endif
}

int
cs_fd_count(void)
{
	return descriptors;
}

bool
cs_walk_name_ok(const char *name, size_t len)
{
	return len > 0 && !(len == 1 && name[0] == '.') &&
		   !(len == 2 && name[0] == '.' && name[1] == '.');
}

int
cs_walk_stat(int folder, const char *name, struct statx *stat)
{
	return statx(folder, name,
				 AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT |
					 (name[0] == '\0' ? AT_EMPTY_PATH : 0),
				 STATX_BASIC_STATS | STATX_BTIME, stat);
}

int
cs_walk_component(int folder, const char *name, int flags)
{
	int fd = cs_fd_openat(folder, name, flags | O_DIRECTORY | O_NOFOLLOW, 0);

	if (fd < 0 && errno == ENOTDIR)
	{
		struct statx stat;

		if (cs_walk_stat(folder, name, &stat) == 0 && S_ISLNK(stat.stx_mode))
			errno = ELOOP;
		else
			errno = ENOTDIR;
	}
	return fd;
}

/* Goes down len bytes of path, all of them folders; the last with flags. */
static int
walk(int root, const char *path, size_t len, int flags)
{
	const char *end = path + len;
	int folder = cs_fd_openat(root, ".", O_PATH | O_DIRECTORY, 0);

	while (folder >= 0 && path < end)
	{
		const char *slash = memchr(path, '/', end - path);
		size_t name_len = (slash != NULL ? slash : end) - path;
		char name[256];
		int next = -1;

		if (!cs_walk_name_ok(path, name_len))
			errno = EINVAL;
		else if (name_len >= sizeof(name))
			errno = ENAMETOOLONG;
		else
		{
			memcpy(name, path, name_len);
			name[name_len] = '\0';
			path += name_len + 1;
			next = cs_walk_component(folder, name, path < end ? O_PATH : flags);
		}
		cs_fd_close(folder);
		folder = next;
	}
	return folder;
}

int
cs_walk_parent(int root, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');

	if (path[0] != '/')
	{
		errno = EINVAL;
		return -1;
	}
	*name = slash + 1;
	if (path[1] == '\0')
		*name = ".";
	else if (!cs_walk_name_ok(*name, strlen(*name)))
	{
		errno = EINVAL;
		return -1;
	}
	else if (strlen(*name) > 255)
	{
		errno = ENAMETOOLONG;
		return -1;
	}
	if (slash == path)
		return walk(root, path, 0, O_PATH);
	return walk(root, path + 1, slash - path - 1, O_PATH);
}

int
cs_walk_folder(int root, const char *path)
{
	if (path[0] != '/')
	{
		errno = EINVAL;
		return -1;
	}
	if (path[1] == '\0')
		return cs_walk_component(root, ".", O_RDONLY);
	return walk(root, path + 1, strlen(path) - 1, O_RDONLY);
}

int
cs_walk_sync(int folder)
{
	int fd = cs_fd_openat(folder, ".", O_RDONLY | O_DIRECTORY, 0);
	int result;

	/* As fsync_fname: what cannot be done to folders here is not missed. */
	if (fd < 0)
		return errno == EACCES ? 0 : -1;
	result = cs_fd_sync(fd);
	if (result < 0 && (errno == EBADF || errno == EINVAL))
		result = 0;
	cs_fd_close(fd);
	return result;
}
