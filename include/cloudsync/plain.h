/*
 * plain.h
 *	  Text as people compare it when they look for something: without case,
 *	  accents and ligatures, the same on every machine and in every locale.
 *
 * Relies on utf8.h and palloc: usable in plain programs and in the server.
 */
#ifndef CLOUDSYNC_PLAIN_H
#define CLOUDSYNC_PLAIN_H

/*
 * The first len bytes of text, decomposed (NFKD), without combining marks and
 * folded to one case; palloc'd. "Œuvre déposée" is "oeuvre deposee". Bytes that
 * are not UTF-8 become U+FFFD. Takes time in proportion to len.
 */
extern char *cs_plain(const char *text, size_t len);

#endif
