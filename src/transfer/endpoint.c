/*
 * endpoint.c
 *	  Opens a connection's folder: local_root[/tenant][/path] (S5). local_root
 *	  itself is the superuser's word and may be a link; below it none is
 *	  followed. It may neither contain nor lie in the data directory, its log or
 *	  a tablespace.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "endpoint.h"
#include "file.h"
#ifndef FRONTEND
#include "miscadmin.h"
#endif

/* Is path folder itself or below it? Both are resolved. */
static bool
is_within(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	if (strcmp(folder, "/") == 0)
		return true;
	return strncmp(path, folder, len) == 0 &&
		   (path[len] == '/' || path[len] == '\0');
}

/* False with *failure if the root and one of the server's own folders overlap.
 */
static bool
apart(const char *root, const char *own, const char *what, CsFailure *failure)
{
	char resolved[PATH_MAX];

	if (realpath(own, resolved) == NULL)
		return true;
	if (!is_within(root, resolved) && !is_within(resolved, root))
		return true;
	cs_failure_set(failure, CS_FAIL_UNREACHABLE,
				   "cloudsync.local_root must lie outside of the server's own "
				   "folders and must not contain one.",
				   "cloudsync.local_root \"%s\" overlaps with %s", root, what);
	return false;
}

bool
cs_local_root_ok(const char *data_directory, const char *local_root,
				 CsFailure *failure)
{
	char root[PATH_MAX];
	char own[PATH_MAX];
	DIR *dir;
	struct dirent *found;
	bool ok;

	if (local_root == NULL || local_root[0] == '\0')
	{
		cs_failure_set(failure, CS_FAIL_UNREACHABLE,
					   "Set cloudsync.local_root to the folder below which the "
					   "provider may work.",
					   "the provider \"local\" is disabled: "
					   "cloudsync.local_root is not set");
		return false;
	}
	if (realpath(local_root, root) == NULL)
	{
		cs_failure_set(failure, CS_FAIL_UNREACHABLE, strerror(errno),
					   "could not open cloudsync.local_root \"%s\"",
					   local_root);
		return false;
	}
	if (!apart(root, data_directory, "the data directory", failure))
		return false;
	snprintf(own, sizeof(own), "%s/pg_wal", data_directory);
	if (!apart(root, own, "the write-ahead log", failure))
		return false;
	snprintf(own, sizeof(own), "%s/pg_tblspc", data_directory);
	dir = opendir(own);
	if (dir == NULL)
		return true; /* only before a cluster is there, that is, in tests */
	ok = true;
	while (ok && (found = readdir(dir)) != NULL)
	{
		if (found->d_name[0] == '.')
			continue;
		snprintf(own, sizeof(own), "%s/pg_tblspc/%s", data_directory,
				 found->d_name);
		ok = apart(root, own, "a tablespace", failure);
	}
	closedir(dir);
	return ok;
}

bool
cs_local_tenant_ok(const char *tenant)
{
	size_t len = strlen(tenant);

	if (!cs_walk_name_ok(tenant, len) || len > 255)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) tenant[i];

		if (c == '/' || c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static int
way_failed(CsFailure *failure, const char *name, int error)
{
	const char *advice = strerror(error);

	if (error == ELOOP)
		advice = "It is a symbolic link, and links are never followed.";
	cs_failure_set(failure, CS_FAIL_UNREACHABLE, advice,
				   "could not open folder \"%s\" below cloudsync.local_root",
				   name);
	return -1;
}

/* One folder down; closes folder. -1 with *failure. */
static int
step_down(const CsEndpoint *endpoint, int folder, const char *name, CsFailure *failure)
{
	int next = cs_walk_component(folder, name, O_PATH);

	if (next < 0 && errno == ENOENT && endpoint->seen != CS_FOLDER_NEVER)
	{
		cs_fd_close(folder);
		cs_failure_set(failure, CS_FAIL_UNREACHABLE,
					   "Mount the disk that it is on. If it is to begin anew, make the folder.",
					   "folder \"%s\" below cloudsync.local_root was there and is away",
					   name);
		return -1;
	}
	if (next < 0 && errno == ENOENT && endpoint->create)
	{
		mode_t mask = umask(0027);
		int made = mkdirat(folder, name, 0750);

		umask(mask);
		if ((made == 0 && cs_walk_sync(folder) == 0) || errno == EEXIST)
			next = cs_walk_component(folder, name, O_PATH);
	}
	cs_fd_close(folder); /* leaves errno alone */
	if (next < 0)
		return way_failed(failure, name, errno);
	return next;
}

/*
 * Is the folder on another file system than the one that local_root stands in?
 * Where that one is left again by what is mounted there, its disk is away.
 */
static bool
is_mounted(const CsEndpoint *endpoint, int folder)
{
	char root[PATH_MAX];
	char *slash;
	struct stat a;
	struct stat b;

	if (realpath(endpoint->local_root, root) == NULL)
		return false;
	slash = strrchr(root, '/');
	slash[slash == root ? 1 : 0] = '\0';
	return stat(root, &a) == 0 && fstat(folder, &b) == 0 && a.st_dev != b.st_dev;
}

/* Closes the folder, -1 with *failure, if what was mounted there is away. */
static int
check_mounted(const CsEndpoint *endpoint, int folder, CsFailure *failure)
{
	if (endpoint->seen != CS_FOLDER_MOUNTED || is_mounted(endpoint, folder))
		return folder;
	cs_fd_close(folder);
	cs_failure_set(failure, CS_FAIL_UNREACHABLE,
				   "Mount it. If the folder is to be where it is now, disable the "
				   "connection and enable it again.",
				   "the disk of the connection's folder below cloudsync.local_root "
				   "is not mounted");
	return -1;
}

/* Opens what the endpoint's words lead to. -1 with *failure. */
static int
open_root(const CsEndpoint *endpoint, CsFailure *failure)
{
	const char *rest = endpoint->path;
	int folder;

	if (!cs_local_root_ok(endpoint->data_directory, endpoint->local_root,
						  failure))
		return -1;
	folder =
		cs_fd_openat(AT_FDCWD, endpoint->local_root, O_PATH | O_DIRECTORY, 0);
	if (folder < 0)
	{
		cs_failure_set(failure, CS_FAIL_UNREACHABLE, strerror(errno),
					   "could not open cloudsync.local_root \"%s\"",
					   endpoint->local_root);
		return -1;
	}
	if (endpoint->tenant[0] != '\0')
		folder = step_down(endpoint, folder, endpoint->tenant, failure);
	while (folder >= 0 && *rest != '\0')
	{
		size_t len = strcspn(rest, "/");
		char *name;

		if (len == 0)
		{
			rest++;
			continue;
		}
		if (!cs_walk_name_ok(rest, len))
		{
			cs_fd_close(folder);
			return way_failed(failure, endpoint->path, EINVAL);
		}
		name = pnstrdup(rest, len);
		folder = step_down(endpoint, folder, name, failure);
		pfree(name);
		rest += len;
	}
	return folder < 0 ? -1 : check_mounted(endpoint, folder, failure);
}

CsEndpoint *
cs_endpoint_open_below(const char *data_directory, const char *local_root,
					   const char *tenant, const char *path, CsFolderSeen seen,
					   bool create, CsFailure *failure)
{
	CsEndpoint *endpoint;

	if (tenant != NULL && tenant[0] != '\0' && !cs_local_tenant_ok(tenant))
	{
		cs_failure_set(failure, CS_FAIL_UNREACHABLE,
					   "A tenant of the provider \"local\" has a folder of its "
					   "name, so that it can be no path.",
					   "the tenant's name cannot be a folder's name");
		return NULL;
	}
	endpoint = palloc0(sizeof(CsEndpoint));
	endpoint->data_directory = pstrdup(data_directory);
	endpoint->local_root = pstrdup(local_root != NULL ? local_root : "");
	endpoint->tenant = pstrdup(tenant != NULL ? tenant : "");
	endpoint->path = pstrdup(path != NULL ? path : "");
	endpoint->create = create;
	endpoint->seen = seen;
	endpoint->root = open_root(endpoint, failure);
	if (endpoint->root >= 0)
	{
		endpoint->seen = is_mounted(endpoint, endpoint->root) ? CS_FOLDER_MOUNTED : CS_FOLDER_THERE;
		return endpoint;
	}
	cs_endpoint_close(endpoint);
	return NULL;
}

#ifndef FRONTEND
CsEndpoint *
cs_endpoint_open_local(const char *local_root, const char *tenant,
					   const char *path, CsFolderSeen seen, bool create,
					   CsFailure *failure)
{
	return cs_endpoint_open_below(DataDir, local_root, tenant, path, seen,
								  create, failure);
}
#endif

CsFolderSeen
cs_endpoint_seen(const CsEndpoint *endpoint)
{
	return endpoint->seen;
}

bool
cs_endpoint_refresh(CsEndpoint *endpoint, CsFailure *failure)
{
	int now = open_root(endpoint, failure);
	struct stat a;
	struct stat b;

	if (now < 0)
		return false;
	if (fstat(now, &a) == 0 && fstat(endpoint->root, &b) == 0 &&
		a.st_dev == b.st_dev && a.st_ino == b.st_ino)
	{
		cs_fd_close(now);
		return true;
	}
	/*
	 * The number stays, so that transfers under way go on in the folder that is
	 * there now: what they began elsewhere they do not find, and fail.
	 */
	dup3(now, endpoint->root, O_CLOEXEC);
	cs_fd_close(now);
	return true;
}

void
cs_endpoint_close(CsEndpoint *endpoint)
{
	if (endpoint->http != NULL)
	{
		endpoint->close_http(endpoint->http);
		pfree(endpoint);
		return;
	}
	if (endpoint->root >= 0)
		cs_fd_close(endpoint->root);
	pfree(endpoint->data_directory);
	pfree(endpoint->local_root);
	pfree(endpoint->tenant);
	pfree(endpoint->path);
	pfree(endpoint);
}
