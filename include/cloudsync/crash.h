/*
 * crash.h
 *	  Named points at which tests kill the process that reaches them (kill -9).
 *	  Compiled in only with -DCLOUDSYNC_CRASH_POINTS; the setting
 *	  cloudsync.crash_point names one. docs/internals.md lists them. Plain
 *	  programs have none.
 */
#ifndef CLOUDSYNC_CRASH_H
#define CLOUDSYNC_CRASH_H

#if defined(CLOUDSYNC_CRASH_POINTS) && !defined(FRONTEND)
extern void cs_crash_point_reached(const char *name);
#define CS_CRASH_POINT(name) cs_crash_point_reached(name)
#else
#define CS_CRASH_POINT(name) ((void) 0)
#endif

#endif
