/*
 * json.h
 *	  JSON from and for the network: PostgreSQL's own parser makes a tree of a
 *	  whole text, bounded in depth and size by its caller's; values are written
 *	  with the escapes that every service takes. Does no I/O; usable in the
 *	  server and in plain programs.
 *
 * A tree is palloc'd in the current memory context and goes with it. Nothing
 * here raises an error for what a text says.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_JSON_H
#define CLOUDSYNC_JSON_H

#include "lib/stringinfo.h"

#define CS_JSON_DEPTH 64 /* objects and arrays within each other */

typedef enum CsJsonKind
{
	CS_JSON_NULL,
	CS_JSON_FALSE,
	CS_JSON_TRUE,
	CS_JSON_NUMBER,
	CS_JSON_STRING,
	CS_JSON_ARRAY,
	CS_JSON_OBJECT
} CsJsonKind;

typedef struct CsJson CsJson;
struct CsJson
{
	CsJsonKind kind;
	const char *key;  /* as a member of an object, else NULL */
	const char *text; /* of a string; a number as it was written */
	CsJson *first;	  /* of an array or object */
	CsJson *last;
	CsJson *next; /* in the array or object that it is in */
	int n;		  /* members */
};

/*
 * The tree of a text that is one JSON value, or NULL with *problem (static
 * words): not well-formed, not UTF-8, a NUL in a string, deeper than
 * CS_JSON_DEPTH. Of members with the same key the first counts.
 */
extern const CsJson *cs_json_parse(const char *text, int64 len,
								   const char **problem);

/* Frees a whole tree, where many are read one after another; NULL is none. */
extern void cs_json_free(const CsJson *value);

/* A member of an object; NULL if value is none, or has none of that key. */
extern const CsJson *cs_json_member(const CsJson *value, const char *key);
/* The same through several objects, the keys separated by '/'. */
extern const CsJson *cs_json_find(const CsJson *value, const char *keys);
/* A string found in that way; NULL if it is none. */
extern const char *cs_json_text(const CsJson *value, const char *keys);
/*
 * An integer found in that way, also where a service writes it as a string:
 * false if it is none or does not fit.
 */
extern bool cs_json_int64(const CsJson *value, const char *keys, int64 *number);
/* Is there such a member and is it true? */
extern bool cs_json_is_true(const CsJson *value, const char *keys);

/*
 * Writing: a quoted string, as UTF-8 (control characters as \uXXXX); and the
 * same in ASCII alone, other characters as \uXXXX, in pairs above U+FFFF, for
 * headers. text must be UTF-8.
 */
extern void cs_json_quote(StringInfo target, const char *text);
extern void cs_json_quote_ascii(StringInfo target, const char *text);

#endif
