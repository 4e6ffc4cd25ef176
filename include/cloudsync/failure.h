/*
 * failure.h
 *	  What went wrong in a conversation, classified so that the engine knows
 *	  what to do about it without knowing the provider (design decision 1).
 *
 * Relies on nothing: usable in plain programs and in the server.
 */
#ifndef CLOUDSYNC_FAILURE_H
#define CLOUDSYNC_FAILURE_H

typedef enum CsFailureClass
{
	CS_FAIL_NONE = 0,
	CS_FAIL_RETRY_NOW,	 /* a passing fault: at once, on a fresh attempt */
	CS_FAIL_RETRY_LATER, /* a passing fault: after retry_after_ms or backoff */
	CS_FAIL_NEEDS_CONSENT, /* only a person can renew the authorisation */
	CS_FAIL_GONE,		   /* the subject is not there (any more) */
	CS_FAIL_CONFLICT,	   /* somebody else's file is where ours should go */
	CS_FAIL_CHANGED,	   /* the content changed while it was read */
	CS_FAIL_QUOTA,		   /* the store is full */
	CS_FAIL_FORBIDDEN,	   /* the account may not do this */
	CS_FAIL_REFUSED,	   /* this file or name can never be taken */
	CS_FAIL_UNREACHABLE,   /* the store itself: root missing, host down */
	CS_FAIL_RESET, /* a cursor is not taken any more: list in full (L8) */
	CS_FAIL_LOCKED, /* the keys for the connection's secrets are not there */
	CS_FAIL_BROKEN	/* an answer that makes no sense, or a bug */
} CsFailureClass;

#define CS_MESSAGE_MAX 256
#define CS_DETAIL_MAX 501 /* 500 characters of the provider's own words */

typedef struct CsFailure
{
	CsFailureClass failure_class;
	int retry_after_ms; /* 0: by backoff */
	char message[CS_MESSAGE_MAX];
	char detail[CS_DETAIL_MAX]; /* empty when there is none; no secrets */
} CsFailure;

/*
 * Fills in the failure: the message by a format, detail (may be NULL) as it is.
 * Both are cut to their room on a character boundary; control characters and
 * bytes that are not UTF-8 become '?'. src/base/failure.c.
 */
extern void cs_failure_set(CsFailure *failure, CsFailureClass failure_class,
						   const char *detail, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Puts "***" wherever the text holds the secret (NULL: none), or ends with a long
 * start of it, as one does that was cut to its room.
 */
extern void cs_failure_hide(char *text, const char *secret);

/* Does the failure stand for the whole connection, not for one file? */
static inline int
cs_failure_is_connections(CsFailureClass c)
{
	return c == CS_FAIL_NEEDS_CONSENT || c == CS_FAIL_QUOTA ||
		   c == CS_FAIL_UNREACHABLE || c == CS_FAIL_LOCKED;
}

#endif
