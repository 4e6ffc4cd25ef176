/*
 * tap.h
 *	  What the unit programs print: TAP, one line a check, the plan at the end.
 */
#ifndef CLOUDSYNC_TAP_H
#define CLOUDSYNC_TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_count = 0;
static int tap_failed = 0;

static inline bool
tap_ok(bool good, const char *format, ...)
{
	va_list args;

	printf("%s %d - ", good ? "ok" : "not ok", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!good)
		tap_failed++;
	return good;
}

/* Compares texts; NULL equals only NULL. */
static inline bool
tap_is(const char *got, const char *wanted, const char *what)
{
	bool good = got == NULL || wanted == NULL ? got == wanted
											  : strcmp(got, wanted) == 0;

	tap_ok(good, "%s", what);
	if (!good)
		printf("#   got:    %s\n#   wanted: %s\n", got ? got : "(null)",
			   wanted ? wanted : "(null)");
	return good;
}

static inline int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed > 0;
}

/* A repeatable stream of numbers for tests that try many inputs. */
static inline unsigned
tap_random(unsigned *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

#endif
