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

#include "mb/pg_wchar.h"

#include "cloudsync/failure.h"

/*
 * Copies text into room bytes, as valid UTF-8 without control characters, cut
 * on a character boundary.
 */
static void
copy_text(char *target, int room, const char *text)
{
	const unsigned char *in = (const unsigned char *) text;
	int left = (int) strlen(text);
	int used = 0;

	while (left > 0)
	{
		int len = pg_utf_mblen(in);
		bool legal = len <= left && pg_utf8_islegal(in, len) &&
					 !(len == 1 && (*in < 0x20 || *in == 0x7f));

		if (!legal)
			len = 1;
		if (used + len >= room)
			break;
		if (legal)
			memcpy(target + used, in, len);
		else
			target[used] = '?';
		used += len;
		in += len;
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
