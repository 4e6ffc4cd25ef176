/*
 * free.h
 *	  Giving memory of palloc back. Usable in plain programs and in the server.
 */
#ifndef CLOUDSYNC_FREE_H
#define CLOUDSYNC_FREE_H

/* NULL is nothing to free, as for free(). */
static inline void
cs_free_text(const char *text)
{
	if (text != NULL)
		pfree(unconstify(char *, text));
}

#endif
