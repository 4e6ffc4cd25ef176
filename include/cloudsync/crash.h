/*
 * crash.h
 *	  Named points at which tests kill the process that reaches them (kill -9),
 *	  or make something go wrong that hardware does (CS_FAULT), or wait
 *	  (CS_HOLD).
 *	  Compiled in only with -DCLOUDSYNC_CRASH_POINTS; the setting
 *	  cloudsync.crash_point names one. docs/internals.md lists them. Plain
 *	  programs have none.
 */
#ifndef CLOUDSYNC_CRASH_H
#define CLOUDSYNC_CRASH_H

#if defined(CLOUDSYNC_CRASH_POINTS) && !defined(FRONTEND)
extern void cs_crash_point_reached(const char *name);
extern bool cs_fault_set(const char *name);
extern void cs_hold_while_set(const char *name);
#define CS_CRASH_POINT(name) cs_crash_point_reached(name)
#define CS_FAULT(name) cs_fault_set(name)
#define CS_HOLD(name) cs_hold_while_set(name)
#else
#define CS_CRASH_POINT(name) ((void) 0)
#define CS_FAULT(name) false
#define CS_HOLD(name) ((void) 0)
#endif

#endif
