/* sources: src/transfer/[efw]*.c src/transfer/pace.c src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * File requests on a real folder: what conversations ask for is done there,
 * nothing leaves the folder, and no descriptor stays open.
 */
#include "postgres_fe.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/transfer/endpoint.h"
#include "../../src/transfer/file.h"
#include "memory_body.h"
#include "tap.h"

#define TEMP ".cloudsync-0123456789abcdef.part"

static char top[128];  /* a temporary folder */
static char root[160]; /* local_root in it */
static CsEndpoint *endpoint;
static char *buffer;

/* ---- carrying out operations ---- */

static CsResult last;
static char names[4096]; /* of the pages of the last listing */

/* Runs an operation to its end; stops at the nth slice if n > 0. */
static CsStep
run(const CsOp *op, MemoryBody *memory, int stop_after)
{
	CsConversation *c = cs_provider_local.begin(NULL, op);
	CsFileTask task;
	CsRequest request;
	CsStep step;
	int slices = 0;

	cs_file_init(&task, endpoint->root, memory != NULL ? &memory->body : NULL,
				 buffer);
	names[0] = '\0';
	step = cs_provider_local.next(c, NULL, &request, &last);
	for (;;)
	{
		if (step == CS_STEP_REQUEST)
		{
			cs_file_begin(&task, &request);
			while (!cs_file_slice(&task))
			{
				if (stop_after > 0 && ++slices >= stop_after)
				{
					cs_file_close(&task, true);
					return CS_STEP_REQUEST;
				}
			}
			step = cs_provider_local.next(c, &task.response, &request, &last);
			continue;
		}
		if (step == CS_STEP_DONE || step == CS_STEP_FAILED)
			break;
		for (int i = 0; i < last.n_entries && step == CS_STEP_PAGE; i++)
		{
			strlcat(names, last.entries[i].path, sizeof(names));
			strlcat(names, last.entries[i].refused != NULL ? "! " : " ",
					sizeof(names));
		}
		step = cs_provider_local.next(c, NULL, &request, &last);
	}
	cs_file_close(&task, false);
	return step;
}

static void
done(const CsOp *op, MemoryBody *memory, const char *what)
{
	if (!tap_ok(run(op, memory, 0) == CS_STEP_DONE, "%s", what))
		printf("# %s: %s\n", last.failure.message, last.failure.detail);
}

static void
fails(const CsOp *op, MemoryBody *memory, CsFailureClass wanted,
	  const char *what)
{
	CsStep step = run(op, memory, 0);

	if (!tap_ok(step == CS_STEP_FAILED && last.failure.failure_class == wanted,
				"%s", what))
		printf("# step %d, class %d, %s: %s\n", step,
			   last.failure.failure_class, last.failure.message,
			   last.failure.detail);
}

static CsOp
op_of(CsOpKind kind, const char *path)
{
	CsOp op = {0};

	op.kind = kind;
	op.path = path;
	op.temp_name = TEMP;
	op.size = -1;
	op.recursive = true;
	return op;
}

/* ---- the real folder ---- */

static char *
real(const char *path)
{
	return psprintf("%s%s", root, path);
}

static void
make_file(const char *path, const char *text)
{
	FILE *file = fopen(real(path), "w");

	fputs(text, file);
	fclose(file);
}

static char *
content(const char *path)
{
	char *text = palloc0(1000);
	FILE *file = fopen(real(path), "r");

	if (file == NULL)
		return NULL;
	text[fread(text, 1, 999, file)] = '\0';
	fclose(file);
	return text;
}

static bool
exists(const char *path)
{
	struct stat st;

	return lstat(real(path), &st) == 0;
}

static void
test_put(void)
{
	CsOp op = op_of(CS_OP_PUT, "/d/f.txt");
	CsOp mkdir_op = op_of(CS_OP_MKDIR, "/d");
	MemoryBody *body = new_body(3, 'a');
	uint8 sha256[CS_SHA256_LENGTH];
	struct stat st;
	char *version;

	fails(&op, body, CS_FAIL_GONE, "a file in no folder");
	done(&mkdir_op, NULL, "the folder is made");
	stat(real("/d"), &st);
	tap_ok((st.st_mode & 07777) == 0750, "mode of a folder");
	done(&op, body, "a file is put");
	tap_is(content("/d/f.txt"), "aaa", "its bytes are there");
	tap_ok(last.verified && last.size == 3, "it was verified");
	tap_ok(!exists("/d/" TEMP), "the temporary file is gone");
	stat(real("/d/f.txt"), &st);
	tap_ok((st.st_mode & 07777) == 0640, "mode of a file");
	version = pstrdup(last.entry.version);

	done(&op, body, "put again");
	tap_ok(last.adopted, "the same bytes are adopted");
	fails(&op, new_body(4, 'b'), CS_FAIL_CONFLICT, "others are a conflict");
	op.known_version = version;
	make_file("/d/" TEMP, "what an attempt left that died, longer than ours");
	done(&op, new_body(4, 'b'), "what we know is replaced");
	tap_is(content("/d/f.txt"), "bbbb", "with the new bytes alone");
	fails(&op, new_body(5, 'c'), CS_FAIL_CONFLICT,
		  "its version is another now");

	/* what the owner knows of a body is not found out again */
	op = op_of(CS_OP_PUT, "/d/known");
	body = new_body(3, 'a');
	body->body.sha256 = (const uint8 *) "no file has this hash, 32 bytes.";
	body->body.size = 3;
	fails(&op, body, CS_FAIL_RETRY_NOW, "a hash that is known is the one that is compared with what stands there");
	cs_sha256("aaa", 3, sha256);
	body->body.sha256 = sha256;
	done(&op, body, "... the right one is found there");
	done(&op, body, "... and again");
	tap_ok(last.adopted && last.size == 3, "... where it is adopted");

	op = op_of(CS_OP_PUT, "/d/empty");
	done(&op, new_body(0, 'x'), "an empty file");
	op.path = "/d/large";
	done(&op, new_body(40 * 1024 * 1024 + 7, 'x'), "a large file");
	stat(real("/d/large"), &st);
	tap_ok(st.st_size == 40 * 1024 * 1024 + 7, "all of it");
	op.path = "/d/cut";
	body = new_body(5 * 1024 * 1024, 'y');
	body->fail_at = 3 * 1024 * 1024;
	fails(&op, body, CS_FAIL_CHANGED, "a value that changes meanwhile");
	tap_ok(!exists("/d/cut") && !exists("/d/" TEMP), "nothing is left of it");
	tap_ok(run(&op, new_body(5 * 1024 * 1024, 'y'), 3) == CS_STEP_REQUEST &&
			   !exists("/d/cut") && !exists("/d/" TEMP),
		   "nothing is left of one that was given up");
}

static void
test_move(void)
{
	CsOp op = op_of(CS_OP_PUT, "/m.txt");
	struct stat before;
	struct stat after;

	done(&op, new_body(3, 'm'), "a file to be moved");
	stat(real("/m.txt"), &before);
	op = op_of(CS_OP_MOVE, "/m.txt");
	op.to_path = "/d/m.txt";
	op.known_version = pstrdup(last.entry.version);
	done(&op, NULL, "moved");
	stat(real("/d/m.txt"), &after);
	tap_ok(before.st_ino == after.st_ino, "it is the same file");
	tap_is(last.entry.path, "/d/m.txt", "its path");
	tap_is(last.entry.version, op.known_version, "its version is the same");
	done(&op, NULL, "moved again: done already");
	op.path = "/d/m.txt";
	op.to_path = "/d/f.txt";
	fails(&op, NULL, CS_FAIL_CONFLICT, "never onto another");
	tap_is(content("/d/f.txt"), "bbbb", "which is as it was");
	op = op_of(CS_OP_TRASH, "/d/m.txt");
	op.to_path = "/.trash/d/m.txt";
	op.known_version =
		pstrdup(last.entry.version != NULL ? last.entry.version : "");
	mkdir(real("/.trash"), 0700);
	mkdir(real("/.trash/d"), 0700);
	make_file("/.trash/d/m.txt", "an older one");
	{
		CsOp look = op_of(CS_OP_STAT, "/d/m.txt");

		done(&look, NULL, "looked at");
		op.known_version = pstrdup(last.entry.version);
	}
	done(&op, NULL, "trashed");
	tap_ok(exists("/.trash/d/m (2).txt") && !exists("/d/m.txt"),
		   "under a number, since the name was taken");
}

static void
test_links(void)
{
	CsOp op = op_of(CS_OP_GET, "/out/secret");
	char *outside = psprintf("%s/outside", top);

	mkdir(outside, 0700);
	{
		FILE *file = fopen(psprintf("%s/secret", outside), "w");

		fputs("secret", file);
		fclose(file);
	}
	if (symlink(outside, real("/out")) != 0 ||
		symlink("../outside/secret", real("/link")) != 0)
		tap_ok(false, "links could not be made");
	fails(&op, new_body(0, 0), CS_FAIL_REFUSED, "nothing is read by a link");
	op.path = "/link";
	fails(&op, new_body(0, 0), CS_FAIL_REFUSED, "nor of a link itself");
	op = op_of(CS_OP_PUT, "/out/new");
	fails(&op, new_body(1, 'x'), CS_FAIL_REFUSED, "nothing is put by a link");
	op.path = "/link";
	fails(&op, new_body(1, 'x'), CS_FAIL_CONFLICT, "nor onto one");
	op.overwrite = true;
	fails(&op, new_body(1, 'x'), CS_FAIL_CONFLICT, "not even to overwrite");
	op = op_of(CS_OP_MKDIR, "/out/sub");
	fails(&op, NULL, CS_FAIL_REFUSED, "no folder is made by a link");
	op = op_of(CS_OP_LIST, "/out");
	fails(&op, NULL, CS_FAIL_REFUSED, "nothing is listed by a link");
	op = op_of(CS_OP_GET, "/../outside/secret");
	fails(&op, new_body(0, 0), CS_FAIL_REFUSED, "\"..\" leads nowhere");
	op.path = "/d/../../outside/secret";
	fails(&op, new_body(0, 0), CS_FAIL_REFUSED, "nor in the middle");
	op.path = "relative";
	fails(&op, new_body(0, 0), CS_FAIL_REFUSED, "nor a relative path");
	tap_ok(access(psprintf("%s/sub", outside), F_OK) != 0 &&
			   access(psprintf("%s/new", outside), F_OK) != 0,
		   "outside is as it was");
}

static void
test_list(void)
{
	CsOp op = op_of(CS_OP_LIST, "/l");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char longest[256];

	mkdir(real("/l"), 0700);
	mkdir(real("/l/sub"), 0700);
	make_file("/l/sub/a", "a");
	make_file("/l/" TEMP, "ours");
	make_file("/l/line\nfeed", "x");
	make_file("/l/caf\xe9", "x");
	mkfifo(real("/l/fifo"), 0600);
	strlcpy(address.sun_path, real("/l/socket"), sizeof(address.sun_path));
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		tap_ok(false, "no socket could be made");
	close(fd);
	if (symlink("sub", real("/l/to-sub")) != 0)
		tap_ok(false, "no link could be made");
	memset(longest, 'n', 255);
	longest[255] = '\0';
	make_file(psprintf("/l/%s", longest), "x");

	done(&op, NULL, "listed");
	tap_ok(strstr(names, "/l/sub ") != NULL, "a folder");
	tap_ok(strstr(names, "/l/sub/a ") != NULL, "what is in it");
	tap_ok(strstr(names, "/l/fifo! ") != NULL, "a FIFO is refused");
	tap_ok(strstr(names, "/l/socket! ") != NULL, "a socket is refused");
	tap_ok(strstr(names, "/l/to-sub! ") != NULL, "a link is refused");
	tap_ok(strstr(names, "to-sub/a") == NULL, "and not entered");
	tap_ok(strstr(names, "/l/line\nfeed ") != NULL, "a line feed is text");
	tap_ok(strstr(names, "/l//caf\\xe9! ") != NULL,
		   "what is not UTF-8 is refused, with a path of its own");
	tap_ok(strstr(names, longest) != NULL, "255 bytes");
	tap_ok(strstr(names, TEMP) == NULL, "our own are left out");
	op = op_of(CS_OP_GET, "/l/fifo");
	fails(&op, new_body(0, 0), CS_FAIL_REFUSED, "a FIFO is not opened");
	op = op_of(CS_OP_PUT, psprintf("/l/%sx", longest));
	fails(&op, new_body(1, 'x'), CS_FAIL_REFUSED, "256 bytes are refused");
}

static int meanwhile_count;

static void
grow(void)
{
	if (meanwhile_count++ == 0)
	{
		FILE *file = fopen(real("/g"), "a");

		fputs("more", file);
		fclose(file);
	}
}

static void
shrink(void)
{
	if (meanwhile_count++ == 0 && truncate(real("/g"), 1024 * 1024 + 5) != 0)
		tap_ok(false, "could not shrink");
}

static void
rewrite(void)
{
	struct timespec times[2] = {{1, 0}, {1, 0}};

	if (meanwhile_count++ == 0)
		utimensat(AT_FDCWD, real("/g"), times, 0);
}

static void
vanish(void)
{
	if (meanwhile_count++ == 0)
		unlink(real("/g"));
}

static void
test_get(void)
{
	static void (*const faults[])(void) = {grow, shrink, rewrite};
	static const char *const what[] = {"grows", "shrinks", "is rewritten"};
	CsOp put = op_of(CS_OP_PUT, "/g");
	CsOp op = op_of(CS_OP_GET, "/g");
	MemoryBody *body;

	for (int i = 0; i < 3; i++)
	{
		unlink(real("/g"));
		done(&put, new_body(3 * 1024 * 1024, 'g'), "a file");
		body = new_body(0, 0);
		body->meanwhile = faults[i];
		meanwhile_count = 0;
		fails(&op, body, CS_FAIL_CHANGED,
			  psprintf("a file that %s while it is read", what[i]));
	}
	unlink(real("/g"));
	done(&put, new_body(3 * 1024 * 1024, 'g'), "a file");
	body = new_body(0, 0);
	done(&op, body, "read");
	tap_ok(body->size == 3 * 1024 * 1024 && last.size == body->size, "whole");
	body = new_body(0, 0);
	body->fail_at = 2 * 1024 * 1024;
	fails(&op, body, CS_FAIL_QUOTA, "the database cannot take it");
	body = new_body(0, 0);
	body->meanwhile = vanish;
	meanwhile_count = 0;
	done(&op, body, "one that vanishes once it is open is read to its end");
	fails(&op, body, CS_FAIL_GONE, "and is gone after");
}

/* A full disk, by a limit on the size of files. */
static void
test_limits(void)
{
	struct rlimit old;
	struct rlimit limit;
	CsOp op = op_of(CS_OP_PUT, "/d/too-large");

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 1536 * 1024;
	setrlimit(RLIMIT_FSIZE, &limit);
	fails(&op, new_body(3 * 1024 * 1024, 'x'), CS_FAIL_REFUSED,
		  "a file larger than may be written");
	setrlimit(RLIMIT_FSIZE, &old);
	tap_ok(!exists("/d/too-large") && !exists("/d/" TEMP), "nothing is left");
}

static bool
write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	return file != NULL && fputs(text, file) >= 0 && fclose(file) == 0;
}

/* A file system of our own that nobody else sees; false where that is denied.
 */
static bool
mount_small(const char *at)
{
	const char *users = psprintf("0 %d 1", (int) geteuid());
	const char *groups = psprintf("0 %d 1", (int) getegid());

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		return false;
	return write_text("/proc/self/setgroups", "deny") &&
		   write_text("/proc/self/uid_map", users) &&
		   write_text("/proc/self/gid_map", groups) &&
		   mount("none", at, "tmpfs", 0, "size=1m") == 0;
}

#define CANNOT_MOUNT 77

/* In a process of its own: 0, or which check failed. */
static int
check_full(const char *at)
{
	CsFailure failure = {0};
	CsOp op = op_of(CS_OP_PUT, "/large");
	CsOp look = op_of(CS_OP_LIST, "/");

	if (!mount_small(at))
		return CANNOT_MOUNT;
	endpoint = cs_endpoint_open_below(psprintf("%s/data", top), at, "", "",
									  CS_FOLDER_NEVER, false, &failure);
	if (endpoint == NULL)
		return 1;
	if (run(&op, new_body(3 * 1024 * 1024, 'x'), 0) != CS_STEP_FAILED ||
		last.failure.failure_class != CS_FAIL_QUOTA)
		return 2;
	if (run(&look, NULL, 0) != CS_STEP_DONE || names[0] != '\0')
		return 3;
	if (run(&op, new_body(1000, 'x'), 0) != CS_STEP_DONE)
		return 4;
	if (mount("none", at, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=1m") != 0)
		return CANNOT_MOUNT;
	op.path = "/small";
	if (run(&op, new_body(10, 'x'), 0) != CS_STEP_FAILED ||
		last.failure.failure_class != CS_FAIL_UNREACHABLE)
		return 5;
	op = op_of(CS_OP_GET, "/large");
	if (run(&op, new_body(0, 0), 0) != CS_STEP_DONE)
		return 6;
	/* its disk is unmounted: what is under it is another folder */
	if (cs_endpoint_seen(endpoint) != CS_FOLDER_MOUNTED)
		return 7;
	if (umount2(at, MNT_DETACH) != 0)
		return CANNOT_MOUNT;
	if (cs_endpoint_refresh(endpoint, &failure) ||
		failure.failure_class != CS_FAIL_UNREACHABLE ||
		strstr(failure.message, "not mounted") == NULL)
		return 8;
	if (cs_endpoint_open_below(psprintf("%s/data", top), at, "", "",
							   CS_FOLDER_MOUNTED, true, &failure) != NULL)
		return 9;
	return rmdir(at) == 0 ? 0 : 10; /* nothing was written there */
}

static void
test_full(void)
{
	char *at = psprintf("%s/full", top);
	int status = -1;
	pid_t child;

	mkdir(at, 0700);
	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(check_full(at));
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_MOUNT)
		tap_ok(true, "full and read-only # SKIP no mounts here");
	else
		tap_ok(status == 0,
			   "a full store is a matter of quota and keeps no "
			   "part, a read-only one is out of reach, and one that is not "
			   "mounted any more too (%d)",
			   WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* The folder is removed, and made anew, under an open endpoint. */
static void
test_refresh(void)
{
	CsFailure failure = {0};
	CsOp op = op_of(CS_OP_ABOUT, "/");
	CsEndpoint *before = endpoint;

	endpoint = cs_endpoint_open_below(psprintf("%s/data", top), root, "",
									  "gone", CS_FOLDER_NEVER, true, &failure);
	done(&op, NULL, "about");
	tap_ok(last.used_bytes >= 0 && last.quota_bytes >= last.used_bytes,
		   "says how full it is");
	rmdir(real("/gone"));
	fails(&op, NULL, CS_FAIL_UNREACHABLE, "a root that was removed");
	op = op_of(CS_OP_STAT, "/x");
	fails(&op, NULL, CS_FAIL_UNREACHABLE, "so that no file counts as gone");
	tap_ok(!cs_endpoint_refresh(endpoint, &failure), "it leads nowhere");
	tap_ok(strstr(failure.message, "was there and is away") != NULL &&
			   access(real("/gone"), F_OK) != 0,
		   "and is not made anew");
	mkdir(real("/gone"), 0700);
	make_file("/gone/x", "x");
	tap_ok(cs_endpoint_refresh(endpoint, &failure), "until it is there again");
	done(&op, NULL, "and is used");
	cs_endpoint_close(endpoint);
	endpoint = before;
}

int
main(void)
{
	CsFailure failure = {0};

	snprintf(top, sizeof(top), "%s/cloudsync-file.XXXXXX",
			 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(top) == NULL)
		return 1;
	snprintf(root, sizeof(root), "%s/root", top);
	mkdir(root, 0700);
	buffer = palloc(CS_FILE_SLICE);
	endpoint = cs_endpoint_open_below(psprintf("%s/data", top), root, "", "",
									  CS_FOLDER_NEVER, false, &failure);
	tap_ok(cs_fd_count() == 1, "one descriptor is open");
	test_put();
	test_move();
	test_links();
	test_list();
	test_get();
	test_limits();
	test_full();
	test_refresh();
	tap_ok(cs_fd_count() == 1, "one descriptor is open in the end");
	cs_endpoint_close(endpoint);
	if (system(psprintf("rm -rf '%s'", top)) != 0)
		tap_ok(false, "could not clean up");
	return tap_done();
}
