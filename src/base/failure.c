/*
 * failure.c
 *	  Texts of failures, made safe to store and to show
 *	  (include/cloudsync/failure.h). Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/failure.h"
#include "cloudsync/utf8.h"

/*
 * Copies text into room bytes, as valid UTF-8 without control characters, cut
 * on a character boundary.
 */
static void
copy_text(char *target, int room, const char *text)
{
	size_t left = strlen(text);
	int used = 0;

	while (left > 0)
	{
		uint32 character;
		int len = cs_utf8_decode(text, left, &character);
		bool legal = len > 0 && character >= 0x20 && character != 0x7f;

		if (!legal)
			len = 1;
		if (used + len >= room)
			break;
		if (legal)
			memcpy(target + used, text, len);
		else
			target[used] = '?';
		used += len;
		text += len;
		left -= len;
	}
	target[used] = '\0';
}

void
cs_failure_set(CsFailure *failure, CsFailureClass failure_class,
			   const char *detail, const char *format, ...)
{
	char message[4 * CS_MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	memset(failure, 0, sizeof(*failure));
	failure->failure_class = failure_class;
	copy_text(failure->message, CS_MESSAGE_MAX, message);
	copy_text(failure->detail, CS_DETAIL_MAX, detail != NULL ? detail : "");
}

/* See failure.h. */
void
cs_failure_hide(char *text, const char *secret)
{
	size_t len = secret != NULL ? strlen(secret) : 0;
	char *found = text;

	if (len < 3)
		return;
	while ((found = strstr(found, secret)) != NULL)
	{
		memcpy(found, "***", 3);
		memmove(found + 3, found + len, strlen(found + len) + 1);
		found += 3;
	}
	/* a text that was cut to its room may end in the middle of it */
	for (size_t n = Min(len - 1, strlen(text)); n >= 8; n--)
	{
		char *tail = text + strlen(text) - n;

		if (memcmp(tail, secret, n) == 0)
		{
			strcpy(tail, "***");
			break;
		}
	}
}
