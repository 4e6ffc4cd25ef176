/*
 * sandbox.c
 *	  What stands between a program and the server (program.h): bwrap with
 *	  nothing but programs, libraries and its folder to see; else namespaces
 *	  without a network; else limits alone.
 */
#include "postgres.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "cloudsync/compat.h"
#include "cloudsync/settings.h"
#include "program.h"

#define PROGRAM_PATH                                                           \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define WORDS_MAX 1024
#define TRIAL_MS 5000
#define TRIAL_PROCESSES 4096 /* others of the server's user may come meanwhile */
#define SAID_MAX 200

typedef struct Words
{
	const char *words[WORDS_MAX];
	int n;
} Words;

static void
add(Words *words, const char *word)
{
	if (words->n >= WORDS_MAX - 1)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("a command has too many words")));
	words->words[words->n++] = word;
}

static void
add_all(Words *words, const char *const *more)
{
	for (; *more != NULL; more++)
		add(words, *more);
}

/* See program.h. */
char *
cs_program_find(const char *name)
{
	const char *from = PROGRAM_PATH;

	while (*from != '\0')
	{
		size_t n = strcspn(from, ":");
		char *path = psprintf("%.*s/%s", (int) n, from, name);

		if (access(path, X_OK) == 0)
			return path;
		pfree(path);
		from += n + (from[n] == ':');
	}
	return NULL;
}

static bool
is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 &&
		   (path[n] == '/' || path[n] == '\0');
}

/* Folders that bwrap shows, as far as they are there, read-only. */
static const char *const shown[] = {
	"/usr",		   "/bin",			 "/sbin",
	"/lib",		   "/lib32",		 "/lib64",
	"/libx32",	   "/opt",			 "/nix/store",
	"/gnu/store",  "/etc/alternatives", "/etc/fonts",
	"/etc/ld.so.cache", "/etc/ld.so.conf",	 "/etc/ld.so.conf.d",
	"/etc/localtime",	"/etc/papersize", NULL};

/* What is of the server's own is hidden wherever that shows it. */
static void
hide(Words *words, const char *path)
{
	char *real = palloc(PATH_MAX);
	char *there = palloc(PATH_MAX);
	struct stat st;

	if (realpath(path, real) == NULL || stat(real, &st) != 0)
		return;
	for (int i = 0; shown[i] != NULL; i++)
	{
		if (realpath(shown[i], there) == NULL || !is_below(real, there))
			continue;
		add(words, S_ISDIR(st.st_mode) ? "--tmpfs" : "--ro-bind");
		if (!S_ISDIR(st.st_mode))
			add(words, "/dev/null");
		add(words, psprintf("%s%s", shown[i], real + strlen(there)));
	}
}

/* The database, its keys and the documents that others put down. */
static void
hide_server(Words *words)
{
	bool has_key = cs_master_key_file != NULL && *cs_master_key_file != '\0';
	char *spaces = psprintf("%s/pg_tblspc", DataDir);
	DIR *dir = AllocateDir(spaces);
	struct dirent *entry;

	hide(words, DataDir);
	hide(words, psprintf("%s/pg_wal", DataDir));
	while ((entry = ReadDirExtended(dir, spaces, LOG)) != NULL)
		if (entry->d_name[0] != '.')
			hide(words, psprintf("%s/%s", spaces, entry->d_name));
	FreeDir(dir);
	hide(words, has_key ? cs_master_key_file
						: psprintf("%s.cloudsync.key", DataDir));
	if (cs_local_root != NULL && *cs_local_root != '\0')
		hide(words, cs_local_root);
}

static void
add_bwrap(Words *words, const char *bwrap, const char *program,
		  const char *folder)
{
	static const char *const first[] = {
		"--unshare-user", "--unshare-ipc",		"--unshare-pid",
		"--unshare-net",  "--unshare-uts",		"--unshare-cgroup-try",
		"--new-session",  "--die-with-parent", "--cap-drop",
		"ALL",			  NULL};
	static const char *const places[] = {"--dev",	"/dev", "--proc", "/proc",
										 "--tmpfs", "/tmp", NULL};
	bool seen = false;

	add(words, bwrap);
	add_all(words, first);
	for (int i = 0; shown[i] != NULL; i++)
	{
		add(words, "--ro-bind-try");
		add(words, shown[i]);
		add(words, shown[i]);
		seen = seen || is_below(program, shown[i]);
	}
	hide_server(words);
	add_all(words, places);
	if (!seen)
	{
		add(words, "--ro-bind");
		add(words, program);
		add(words, program);
	}
	add(words, "--bind");
	add(words, folder);
	add(words, folder);
	add(words, "--chdir");
	add(words, folder);
	add(words, "--");
}

/* Namespaces of its own: without a network, and ended with its first process. */
static void
add_unshare(Words *words, const char *unshare)
{
	static const char *const options[] = {"--user", "--net",	"--ipc",
										  "--uts",	"--pid",	"--fork",
										  "--kill-child", "--", NULL};

	add(words, unshare);
	add_all(words, options);
}

/* See program.h. */
CsProgram *
cs_program_start(const char *const *words, const char *folder,
				 CsSandbox sandbox, const CsProgramLimits *limits)
{
	const char *environment[] = {
		"PATH=" PROGRAM_PATH,		 "LANG=C.UTF-8",
		"OMP_THREAD_LIMIT=1",		 psprintf("HOME=%s", folder),
		psprintf("TMPDIR=%s", folder), NULL};
	Words all = {.n = 0};
	CsLaunch launch = {.environment = environment,
					   .folder = folder,
					   .limits = limits,
					   .contained = sandbox != CS_SANDBOX_NONE,
					   .may_gain_rights = sandbox == CS_SANDBOX_BWRAP};

	if (sandbox != CS_SANDBOX_NONE)
	{
		char *path = cs_program_find(sandbox == CS_SANDBOX_BWRAP ? "bwrap"
																 : "unshare");

		if (path == NULL) /* it was there when it was chosen */
			return NULL;
		if (sandbox == CS_SANDBOX_BWRAP)
			add_bwrap(&all, path, words[0], folder);
		else
			add_unshare(&all, path);
	}
	add_all(&all, words);
	all.words[all.n] = NULL;
	launch.words = all.words;
	return cs_program_launch(&launch);
}

/* Lets a program that does nothing run to its end; what it said if it failed. */
static char *
try_sandbox(CsSandbox sandbox, const char *folder)
{
	static const CsProgramLimits limits = {.memory = INT64CONST(1) << 30,
										   .file_size = 1 << 20,
										   .cpu_seconds = 5,
										   .processes = TRIAL_PROCESSES,
										   .descriptors = 256};
	const char *words[] = {cs_program_find("true"), NULL};
	TimestampTz until =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TRIAL_MS);
	char said[SAID_MAX] = "";
	volatile int length = 0;
	CsProgram *program;
	int status;

	if (words[0] == NULL)
		return pstrdup("there is no program \"true\"");
	program = cs_program_start(words, folder, sandbox, &limits);
	if (program == NULL)
		return pstrdup("it could not be started");
	PG_TRY();
	{
		while (!cs_program_ended(program) && GetCurrentTimestamp() < until)
		{
			length += cs_program_read(&program->err, said + length,
									  SAID_MAX - 1 - length);
			(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5,
							 PG_WAIT_EXTENSION);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_CATCH();
	{
		cs_program_end(program);
		PG_RE_THROW();
	}
	PG_END_TRY();
	length += cs_program_read(&program->err, said + length,
							  SAID_MAX - 1 - length);
	said[strcspn(said, "\n")] = '\0';
	status = program->ended ? program->status : -1;
	cs_program_end(program);
	if (status == 0)
		return NULL;
	return pstrdup(said[0] != '\0' ? said : "it did not end well");
}

/* See program.h. */
CsSandbox
cs_sandbox_choose(const char *folder, char **why)
{
	char *problem;

	*why = NULL;
	if (cs_program_find("bwrap") == NULL)
		*why = pstrdup("bwrap is not installed");
	else if ((problem = try_sandbox(CS_SANDBOX_BWRAP, folder)) == NULL)
		return CS_SANDBOX_BWRAP;
	else
		*why = psprintf("bwrap does not work here: %s", problem);
	if (cs_program_find("unshare") != NULL &&
		try_sandbox(CS_SANDBOX_NO_NET, folder) == NULL)
		return CS_SANDBOX_NO_NET;
	return CS_SANDBOX_NONE;
}
