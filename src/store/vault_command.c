/*
 * vault_command.c
 *	  Runs cloudsync.master_key_command and reads what it prints: no shell, an
 *	  end in time, and no more output than there is room for. Interruptible.
 *
 * The program gets the server's environment, nothing to read, and the server's
 * log as its standard error.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "cloudsync/compat.h"
#include "cloudsync/vault.h"

#define WORDS_MAX 64
#define DESCRIPTORS_MAX 4096 /* closed for the program */

/* The command's words, NULL-terminated; its text is cut up in place. */
static void
split_words(char *text, char **words)
{
	int n = 0;

	for (char *p = text; *p != '\0' && n < WORDS_MAX - 1;)
	{
		p += strspn(p, " \t\n");
		if (*p == '\0')
			break;
		words[n++] = p;
		p += strcspn(p, " \t\n");
		if (*p != '\0')
			*p++ = '\0';
	}
	words[n] = NULL;
}

/* In the child: nothing but system calls. */
static void
become_program(char **words, int out)
{
	static const int signals[] = {SIGHUP,  SIGINT,	SIGTERM, SIGQUIT,
								  SIGALRM, SIGPIPE, SIGUSR1, SIGUSR2,
								  SIGCHLD};
	sigset_t none;
	int null = open("/dev/null", O_RDONLY);

	(void) setpgid(0, 0);
	for (int i = 0; i < lengthof(signals); i++)
		signal(signals[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
		dup2(out, STDOUT_FILENO) < 0)
		_exit(126);
	for (int fd = 3; fd < DESCRIPTORS_MAX; fd++)
		close(fd);
	execv(words[0], words);
	_exit(127);
}

/* Reads until the end, or the time is up, or there is no more room. */
static int
read_all(int fd, char *out, int size, int timeout_ms, const char **why)
{
	TimestampTz until =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	int length = 0;

	for (;;)
	{
		ssize_t n = read(fd, out + length, size - length);

		if (n == 0)
			return length;
		if (n > 0)
		{
			length += n;
			if (length == size)
			{
				*why = "it printed more than a keyring can have";
				return -1;
			}
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
		{
			*why = "what it printed could not be read";
			return -1;
		}
		if (GetCurrentTimestamp() >= until)
		{
			*why = "it did not end in time";
			return -1;
		}
		(void) WaitLatchOrSocket(
			MyLatch,
			WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT |
				WL_EXIT_ON_PM_DEATH,
			fd, TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until) + 1,
			PG_WAIT_EXTENSION);
		if (MyLatch->is_set)
		{
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
}

/* It has closed its output, or is to end: it is not waited for for long. */
static bool
end_program(pid_t pid, bool kill_it)
{
	int status = 0;

	for (int i = 0; i < 200 && !kill_it; i++)
	{
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended == pid)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0;
		if (ended < 0 && errno != EINTR)
			return false;
		pg_usleep(5000);
	}
	(void) kill(-pid, SIGKILL);
	(void) kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return false;
}

int
cs_command_read(const char *command, char *out, int size, int timeout_ms,
				const char **why)
{
	char *words[WORDS_MAX];
	char *text = pstrdup(command);
	volatile int length = -1;
	int pipes[2];
	pid_t pid;
	bool ended;

	split_words(text, words);
	if (words[0] == NULL || pipe(pipes) != 0)
	{
		*why = "it could not be started";
		return -1;
	}
	(void) fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	(void) fcntl(pipes[0], F_SETFD, FD_CLOEXEC);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_program(words, pipes[1]);
	close(pipes[1]);
	if (pid < 0)
	{
		close(pipes[0]);
		*why = "it could not be started";
		return -1;
	}
	PG_TRY();
	{
		length = read_all(pipes[0], out, size, timeout_ms, why);
	}
	PG_CATCH();
	{
		close(pipes[0]);
		(void) end_program(pid, true);
		PG_RE_THROW();
	}
	PG_END_TRY();
	close(pipes[0]);
	ended = end_program(pid, length < 0);
	pfree(text);
	if (length < 0)
		return -1;
	if (!ended)
	{
		*why = "it failed";
		return -1;
	}
	return length;
}
