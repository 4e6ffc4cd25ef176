/* sources: src/transfer/[efw]*.c src/transfer/pace.c src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * Renaming never replaces what is there, also on file systems that do not know
 * RENAME_NOREPLACE, and on those that have no links either. Such file systems
 * are made here: renameat2 and linkat are this program's own.
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../src/transfer/file.h"
#include "tap.h"

static char top[] = "/tmp/cloudsync-rename.XXXXXX";
static int root;
static int no_flag_errno; /* what RENAME_NOREPLACE gives; 0: it works */
static int no_link_errno;

int
renameat2(int from, const char *name, int to, const char *to_name,
		  unsigned int flags)
{
	if (flags != 0 && no_flag_errno != 0)
	{
		errno = no_flag_errno;
		return -1;
	}
	return (int) syscall(SYS_renameat2, from, name, to, to_name, flags);
}

int
linkat(int from, const char *name, int to, const char *to_name, int flags)
{
	if (no_link_errno != 0)
	{
		errno = no_link_errno;
		return -1;
	}
	return (int) syscall(SYS_linkat, from, name, to, to_name, flags);
}

static void
put(const char *name, const char *text)
{
	int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text))
		exit(2);
	close(fd);
}

static const char *
text_of(const char *name)
{
	static char text[100];
	int fd = openat(root, name, O_RDONLY | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return errno == ELOOP ? "(link)" : NULL;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return "(folder)";
	text[n] = '\0';
	return text;
}

static ino_t
inode_of(const char *name)
{
	struct stat stat;

	return fstatat(root, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 ? stat.st_ino
																: 0;
}

/* Renames by a request; its error. */
static int
rename_it(const char *from, const char *to)
{
	CsFileTask task;
	CsRequest request = {.kind = CS_REQ_FILE_RENAME};
	int error;

	request.path = psprintf("/%s", from);
	request.to_path = psprintf("/%s", to);
	cs_file_init(&task, root, NULL, NULL);
	cs_file_begin(&task, &request);
	while (!cs_file_slice(&task))
		continue;
	error = task.response.error;
	cs_file_close(&task, false);
	return error;
}

/* A rename that must not be: both stay what they are. */
static void
refused(const char *system, const char *from, const char *to, const char *what)
{
	char *before = psprintf("%s", text_of(from));
	char *there = psprintf("%s", text_of(to));
	ino_t inode = inode_of(to);
	int error = rename_it(from, to);

	tap_ok(error == EEXIST || error == ENOTEMPTY, "%s: %s is refused (%s)",
		   system, what, strerror(error));
	tap_is(text_of(from), before, "... what was to be renamed is there");
	tap_is(text_of(to), there, "... and so is what stood in the way");
	tap_ok(inode_of(to) == inode, "... itself");
}

static void
renamed(const char *system, const char *from, const char *to, const char *what)
{
	ino_t inode = inode_of(from);
	int error = rename_it(from, to);

	tap_ok(error == 0, "%s: %s (%s)", system, what, strerror(error));
	tap_ok(inode != 0 && inode_of(to) == inode, "... is the same under its new name");
	tap_ok(inode_of(from) == 0, "... and not under the old one");
}

static void
try_all(const char *system, int flag_errno, int link_errno)
{
	no_flag_errno = flag_errno;
	no_link_errno = link_errno;

	put("file", "ours");
	put("taken", "theirs");
	mkdirat(root, "folder", 0700);
	put("folder/inside", "inside");
	mkdirat(root, "empty", 0700);
	if (symlinkat("nowhere", root, "link") != 0)
		exit(2);

	refused(system, "file", "taken", "a file onto a file");
	refused(system, "file", "folder", "a file onto a folder");
	refused(system, "file", "link", "a file onto a link that leads nowhere");
	refused(system, "folder", "taken", "a folder onto a file");
	refused(system, "folder", "empty", "a folder onto an empty folder");
	tap_ok(rename_it("missing", "new") == ENOENT && inode_of("new") == 0,
		   "%s: what is not there cannot be renamed", system);

	renamed(system, "file", "new", "a file");
	tap_is(text_of("new"), "ours", "... with its content");
	renamed(system, "new", "folder/new", "a file into another folder");
	renamed(system, "folder", "moved", "a folder");
	tap_is(text_of("moved/inside"), "inside", "... with what is in it");

	unlinkat(root, "moved/new", 0);
	unlinkat(root, "moved/inside", 0);
	unlinkat(root, "moved", AT_REMOVEDIR);
	unlinkat(root, "empty", AT_REMOVEDIR);
	unlinkat(root, "taken", 0);
	unlinkat(root, "link", 0);
}

/* Killed between the second link and the end of the first: it is gone on with. */
static void
half_done(void)
{
	no_flag_errno = EINVAL;
	no_link_errno = 0;
	put("half", "half done");
	if (linkat(root, "half", root, "done", 0) != 0)
		exit(2);
	renamed("cut off", "half", "done", "a rename of which only the link was made");
	tap_is(text_of("done"), "half done", "... with its content");
	unlinkat(root, "done", 0);
}

int
main(void)
{
	if (mkdtemp(top) == NULL)
		return 2;
	root = open(top, O_RDONLY | O_DIRECTORY);
	try_all("a file system that has all", 0, 0);
	try_all("one without the flag", EINVAL, 0);
	try_all("a kernel without renameat2", ENOSYS, 0);
	try_all("one without flag and links", EINVAL, EPERM);
	try_all("one that refuses links otherwise", EOPNOTSUPP, EOPNOTSUPP);
	half_done();
	tap_ok(cs_fd_count() == 0, "no descriptor stays open");
	close(root);
	rmdir(top);
	return tap_done();
}
