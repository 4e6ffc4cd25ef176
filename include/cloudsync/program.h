/*
 * program.h
 *	  Programs outside the server (B2): started with nothing of ours but two
 *	  pipes, under limits, in a sandbox where there is one, and ended whole. Nothing
 *	  in here waits, but for what was killed.
 *
 * A program, and whatever it started, ends with its process here, however that
 * ends: killed at its exit, by the kernel when it is killed itself, and what
 * neither reaches by cs_program_sweep at the next start.
 */
#ifndef CLOUDSYNC_PROGRAM_H
#define CLOUDSYNC_PROGRAM_H

#include "postgres.h"

#include <sys/types.h>

typedef struct CsProgramLimits
{
	int64 memory;	  /* bytes of address space, each process */
	int64 file_size;  /* of any file it writes */
	int cpu_seconds;  /* each process */
	int processes;	  /* beside those that the server's user has now */
	int descriptors;
} CsProgramLimits;

typedef struct CsProgram
{
	pid_t pid;
	int out; /* what it prints; -1: it has closed it */
	int err;
	bool ended;
	int status; /* of waitpid, once it ended */
	char *folder;
	bool contained; /* what it starts ends with it, without our doing */
	struct CsProgram *next;
} CsProgram;

typedef enum CsSandbox
{
	CS_SANDBOX_NONE,   /* limits and a process group */
	CS_SANDBOX_NO_NET, /* namespaces of its own, but the server's files */
	CS_SANDBOX_BWRAP   /* and no files but programs and its folder */
} CsSandbox;

/*
 * Starts words[0] (an absolute path; NULL-terminated) in the folder, with an
 * empty environment but for PATH, LANG, HOME, TMPDIR and OMP_THREAD_LIMIT. NULL
 * if it could not be forked; a program that cannot be executed ends with 127.
 */
extern CsProgram *cs_program_start(const char *const *words,
								   const char *folder, CsSandbox sandbox,
								   const CsProgramLimits *limits);

/*
 * What it printed, by *fd, which is out or err of it: bytes, 0 for nothing now
 * or ever more (then *fd is -1).
 */
extern int cs_program_read(int *fd, char *buf, int size);

/* Has it ended? */
extern bool cs_program_ended(CsProgram *program);

/* Kills it and all that it started, and frees it; also when it has ended. */
extern void cs_program_end(CsProgram *program);

/* Kills what still runs of programs that were started in or below the folder. */
extern void cs_program_sweep(const char *folder);

/* The path of a program in the fixed PATH; NULL if there is none. */
extern char *cs_program_find(const char *name);

/*
 * The best sandbox that works here: each is tried, in the folder. *why says
 * what the better ones lack; NULL if the best works. Waits, up to seconds.
 */
extern CsSandbox cs_sandbox_choose(const char *folder, char **why);

#endif
