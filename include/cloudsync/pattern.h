/*
 * pattern.h
 *	  Patterns of names and paths (L7): include and exclude of channels.
 *
 *	  ?			one character, but no '/'
 *	  *			any number of them
 *	  [a-z] [!x]	one of a set, or none of it ([^x] too); never a '/'
 *	  {a,b}		one of these, nested if need be
 *	  **		as a whole component: any number of folders, none too; at the end
 *				everything below
 *	  \			the next character as it is
 *
 * A pattern without a '/' is compared with a name, one with a '/' with the path
 * below the channel's folder (a '/' in front is allowed: "/a.pdf" means a.pdf
 * directly in it); "old/" means everything below old. Letters of either case
 * and normal form are the same where ignore_case says so.
 *
 * Matching takes time linear in the text, at worst times the pattern's length.
 * Relies on utf8.h and palloc: usable in plain programs and in the server.
 */
#ifndef CLOUDSYNC_PATTERN_H
#define CLOUDSYNC_PATTERN_H

#define CS_PATTERN_MAX 1000 /* bytes */

typedef struct CsPattern CsPattern;

typedef struct CsPatternError
{
	int position; /* characters, from 1 */
	char message[128];
	char hint[128];
} CsPatternError;

/* NULL with *error filled in if the text is no pattern. text is copied. */
extern CsPattern *cs_pattern_compile(const char *text, bool ignore_case,
									 CsPatternError *error);
/*
 * name is the last component, path the whole path below the channel's folder,
 * with or without a '/' in front. Not to be called for one pattern by two at
 * once: it has its working memory in it.
 */
extern bool cs_pattern_matches(CsPattern *pattern, const char *name,
							   const char *path);
extern void cs_pattern_free(CsPattern *pattern);

#endif
