/*
 * program.c
 *	  Programs outside the server (program.h): starting, reading, ending. Between
 *	  fork and exec there are only system calls. Relies on Linux: what a parent's
 *	  death sends to its child, and /proc.
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "program.h"

#define DESCRIPTORS_MAX 65536 /* closed one by one on old kernels */
#define NICENESS 5			  /* the server's own work comes first, without its standing still */
#define END_TRIES 200		  /* of 5 ms, for what was killed to be gone */
#define ENVIRONMENT_MAX 4096

static CsProgram *programs = NULL; /* that run */
static bool registered = false;

static void
limit(int resource, int64 value)
{
	struct rlimit rl = {(rlim_t) value, (rlim_t) value};

	(void) setrlimit(resource, &rl);
}

/* The server's own processes are not what the kernel shall kill for memory. */
static void
offer_to_oom_killer(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, "900", 3) != 3)
	{
		/* it is a favour */
	}
	close(fd);
}

static void
close_all(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3U, ~0U, 0) == 0)
		return;
#endif
	for (int fd = 3; fd < DESCRIPTORS_MAX; fd++)
		close(fd);
}

/* In the child. Does not return. */
static void
become_program(const CsLaunch *launch, pid_t parent, int out, int err)
{
	sigset_t none;
	int null;

	(void) setsid();
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	if (!launch->may_gain_rights)
		(void) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	offer_to_oom_killer();
	(void) setpriority(PRIO_PROCESS, 0, NICENESS);
	(void) umask(077);
	null = open("/dev/null", O_RDONLY);
	if (chdir(launch->folder) != 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
		dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
		_exit(126);
	close_all();
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_AS, launch->limits->memory);
	limit(RLIMIT_FSIZE, launch->limits->file_size);
	limit(RLIMIT_CPU, launch->limits->cpu_seconds);
	limit(RLIMIT_NOFILE, launch->limits->descriptors);
	limit(RLIMIT_NPROC, launch->processes);
	(void) execve(launch->words[0], (char *const *) launch->words,
				  (char *const *) launch->environment);
	_exit(127);
}

/* Numbers of processes, of the server's user, from an open /proc. */
static pid_t
next_process(DIR *proc)
{
	struct dirent *entry;

	while ((entry = readdir(proc)) != NULL)
	{
		struct stat st;
		char path[64];
		pid_t pid = (pid_t) strtol(entry->d_name, NULL, 10);

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d", (int) pid);
		if (stat(path, &st) == 0 && st.st_uid == geteuid())
			return pid;
	}
	return 0;
}

/*
 * How many processes the server's user has, each thread one: the kernel's limit
 * counts them. (The folder of its threads has two links besides theirs.)
 */
static int
count_processes(void)
{
	DIR *proc = opendir("/proc");
	int n = 0;
	pid_t pid;

	if (proc == NULL)
		return 0;
	while ((pid = next_process(proc)) > 0)
	{
		struct stat st;
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
		n += stat(path, &st) == 0 && st.st_nlink > 2 ? (int) st.st_nlink - 2 : 1;
	}
	closedir(proc);
	return n;
}

/* Was it started in or below the folder? Its first environment says so. */
static bool
is_of_folder(pid_t pid, const char *folder)
{
	char environment[ENVIRONMENT_MAX + 1];
	char wanted[MAXPGPATH + 16];
	char path[64];
	int length;
	int fd;
	ssize_t n;

	length = snprintf(wanted, sizeof(wanted), "TMPDIR=%s", folder);
	snprintf(path, sizeof(path), "/proc/%d/environ", (int) pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, environment, ENVIRONMENT_MAX);
	close(fd);
	if (n <= 0)
		return false;
	environment[n] = '\0';
	for (char *p = environment; p < environment + n; p += strlen(p) + 1)
		if (strncmp(p, wanted, length) == 0 &&
			(p[length] == '\0' || p[length] == '/'))
			return true;
	return false;
}

/* See program.h. Twice, since one that is being forked may be missed. */
void
cs_program_sweep(const char *folder)
{
	for (int round = 0; round < 2; round++)
	{
		DIR *proc = opendir("/proc");
		pid_t pid;

		if (proc == NULL)
			return;
		while ((pid = next_process(proc)) > 0)
			if (pid != MyProcPid && is_of_folder(pid, folder))
				(void) kill(pid, SIGKILL);
		closedir(proc);
	}
}

static void
kill_group(CsProgram *program)
{
	if (program->pid <= 0)
		return;
	(void) kill(-program->pid, SIGKILL);
	if (!program->ended)
		(void) kill(program->pid, SIGKILL);
}

/* Its group may outlive it, and what left its group as well. */
static void
end(CsProgram *program)
{
	kill_group(program);
	for (int i = 0; i < END_TRIES && !cs_program_ended(program); i++)
		pg_usleep(5000);
	if (!program->contained)
		cs_program_sweep(program->folder);
}

/* Whose they are may still look at them, and end them, while the process ends. */
static void
kill_all(int code, Datum arg)
{
	for (CsProgram *program = programs; program != NULL; program = program->next)
	{
		end(program);
		program->pid = 0;
		program->ended = true;
	}
}

static void
close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static CsProgram *
make_program(const char *folder)
{
	CsProgram *program = calloc(1, sizeof(CsProgram));

	if (program != NULL)
	{
		program->folder = strdup(folder);
		program->out = program->err = -1;
	}
	if (program == NULL || program->folder == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (!registered)
		before_shmem_exit(kill_all, 0);
	registered = true;
	return program;
}

static void
forget(CsProgram *program)
{
	for (CsProgram **p = &programs; *p != NULL; p = &(*p)->next)
	{
		if (*p == program)
		{
			*p = program->next;
			break;
		}
	}
	close_one(&program->out);
	close_one(&program->err);
	free(program->folder);
	free(program);
}

/* Both pipes; our ends do not wait, and the other ends are not passed on. */
static bool
make_pipes(CsProgram *program, int out[2], int err[2])
{
	if (pipe2(out, O_CLOEXEC) != 0)
		return false;
	if (pipe2(err, O_CLOEXEC) != 0)
	{
		close(out[0]);
		close(out[1]);
		return false;
	}
	program->out = out[0];
	program->err = err[0];
	(void) fcntl(program->out, F_SETFL, O_NONBLOCK);
	(void) fcntl(program->err, F_SETFL, O_NONBLOCK);
	return true;
}

/* See program.h; words and environment are complete. */
CsProgram *
cs_program_launch(CsLaunch *launch)
{
	CsProgram *program = make_program(launch->folder);
	pid_t parent = MyProcPid;
	sigset_t all;
	sigset_t before;
	int out[2];
	int err[2];

	if (!make_pipes(program, out, err))
	{
		forget(program);
		return NULL;
	}
	launch->processes = count_processes() + launch->limits->processes;
	fflush(NULL);
	/* a handler of ours must not run in the child */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	program->pid = fork();
	if (program->pid == 0)
		become_program(launch, parent, out[1], err[1]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(out[1]);
	close(err[1]);
	if (program->pid < 0)
	{
		forget(program);
		return NULL;
	}
	program->contained = launch->contained;
	program->next = programs;
	programs = program;
	return program;
}

/* See program.h. */
int
cs_program_read(int *fd, char *buf, int size)
{
	ssize_t n;

	if (*fd < 0)
		return 0;
	do
		n = read(*fd, buf, size);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return (int) n;
	if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		close_one(fd);
	return 0;
}

/* See program.h. */
bool
cs_program_ended(CsProgram *program)
{
	pid_t pid;

	if (program->ended)
		return true;
	do
		pid = waitpid(program->pid, &program->status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	if (pid < 0) /* somebody else waited for it */
		program->status = 0x7f00;
	program->ended = true;
	return true;
}

/* See program.h. */
void
cs_program_end(CsProgram *program)
{
	end(program);
	forget(program);
}
