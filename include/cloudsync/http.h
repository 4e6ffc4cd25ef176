/*
 * http.h
 *	  What providers over HTTP share: answers turned into failures, addresses
 *	  and paths turned into each other, dates. Relies on provider.h and, for
 *	  addresses, on libcurl's URL parser; does no I/O.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_HTTP_H
#define CLOUDSYNC_HTTP_H

#include "cloudsync/provider.h"

/* The value of an answer's header (name in lower case), or NULL. */
extern const char *cs_http_header(const CsResponse *answer, const char *name);

/*
 * The failure that an answer stands for: no answer at all, or a status that is
 * not what was hoped for (401 NEEDS_CONSENT, 403 FORBIDDEN, 404 and 410 GONE,
 * 409 and 412 CONFLICT, 413 and 414 REFUSED, 408, 423, 425, 429 and 5xx
 * RETRY_LATER with retry_after_ms, 507 QUOTA, redirects UNREACHABLE, the rest
 * BROKEN). action is like "write \"/a/b\"": the message is "could not
 * <action>: <what>"; words are the service's own explanation for the detail, or
 * NULL for the start of a text answer that is no HTML.
 */
extern void cs_http_failure(CsFailure *failure, const CsResponse *answer,
							const char *action, const char *words);

/* A path's names percent-encoded, the '/' between them kept. palloc'd. */
extern char *cs_url_encode_path(const char *path);
/* One name or value percent-encoded: all but unreserved characters. palloc'd. */
extern char *cs_url_encode(const char *text);
/* Decoded bytes, or NULL if it is not well-formed or contains %00. palloc'd. */
extern char *cs_url_decode(const char *text, size_t len);
/*
 * An absolute http or https URL in normal form (scheme and host in lower case,
 * default port left out, no user, query or fragment, no '/' at the end), or
 * NULL with *why. palloc'd.
 */
extern char *cs_url_normalize(const char *url, const char **why);
/*
 * The http or https URL that a reference (an absolute URL, or one relative to
 * base) leads to, without a fragment, or NULL. base NULL: it must be absolute.
 * palloc'd.
 */
extern char *cs_url_resolve(const char *base, const char *reference);
/*
 * A URL for people, without what may be secret in it: user, query and
 * fragment. Any text will do. palloc'd.
 */
extern char *cs_url_shown(const char *url);
/*
 * Does the text hold one of the values of the URL's query (of four characters
 * or more), which may be secret?
 */
extern bool cs_url_tells(const char *url, const char *text);
/*
 * The same of an address that is a secret as a whole: any word behind its host,
 * of twelve characters or more.
 */
extern bool cs_url_leaks(const char *url, const char *text);
/* Do two absolute URLs have the same scheme, host and port? */
extern bool cs_url_same_origin(const char *a, const char *b);

/* Dates to microseconds since 1970-01-01 UTC; 0 if they are none. */
extern int64 cs_http_date(const char *text); /* Sun, 06 Nov 1994 08:49:37 GMT */
extern int64 cs_iso_date(const char *text);  /* 2009-10-12T17:50:30.000Z */

#endif
