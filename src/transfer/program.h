/*
 * program.h
 *	  Programs from inside: what sandbox.c puts together and program.c starts.
 */
#ifndef CLOUDSYNC_TRANSFER_PROGRAM_H
#define CLOUDSYNC_TRANSFER_PROGRAM_H

#include "cloudsync/program.h"

typedef struct CsLaunch
{
	const char *const *words;
	const char *const *environment;
	const char *folder;
	const CsProgramLimits *limits;
	int processes;
	bool contained;
	bool may_gain_rights; /* bwrap may be setuid; it drops them itself */
} CsLaunch;

extern CsProgram *cs_program_launch(CsLaunch *launch);

#endif
