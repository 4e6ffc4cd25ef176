/*
 * plain.c
 *	  Text without case, accents and ligatures.
 *
 * Each character is decomposed by itself, so that a long run of combining
 * marks, which the normal form would have to sort, costs no more than others.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/plain.h"
#include "cloudsync/utf8.h"
#include "common/unicode_norm.h"

/* What no normal form decomposes, but people type in other letters. */
static const struct
{
	uint32 character;
	const char *plain;
} letters[] = {{0x00C6, "ae"}, {0x00D8, "o"}, {0x00DF, "ss"}, {0x00E6, "ae"},
			   {0x00F8, "o"},  {0x0110, "d"}, {0x0111, "d"},  {0x0131, "i"},
			   {0x0141, "l"},  {0x0142, "l"}, {0x0152, "oe"}, {0x0153, "oe"},
			   {0x1E9E, "ss"}, {0x2018, "'"}, {0x2019, "'"}};

/* Room for what one character becomes: U+FDFA decomposes to 18. */
#define ROOM (18 * 4)

static bool
is_mark(uint32 c)
{
	return (c >= 0x0300 && c <= 0x036F) || c == 0x00AD;
}

/* Writes what the character becomes; returns the number of bytes. */
static size_t
write_plain(uint32 c, char *out)
{
	pg_wchar one[2] = {(pg_wchar) c, 0};
	pg_wchar *parts;
	size_t n = 0;

	for (size_t i = 0; i < lengthof(letters); i++)
		if (letters[i].character == c)
		{
			n = strlen(letters[i].plain);
			memcpy(out, letters[i].plain, n);
			return n;
		}
	parts = unicode_normalize(UNICODE_NFKD, one);
	for (int i = 0; parts != NULL && parts[i] != 0 && n + 4 <= ROOM; i++)
		if (!is_mark(parts[i]))
			n += (size_t) cs_utf8_encode(cs_utf8_fold(parts[i]), out + n);
	if (parts != NULL)
		pfree(parts);
	return n;
}

char *
cs_plain(const char *text, size_t len)
{
	size_t room = len + ROOM + 1;
	char *result = palloc(room);
	size_t n = 0;
	size_t done = 0;

	while (done < len)
	{
		uint32 c = (unsigned char) text[done];
		int bytes = 1;

		if (room - n <= ROOM)
		{
			room = room * 2 + ROOM;
			result = repalloc(result, room);
		}
		if (c < 0x80)
		{
			result[n++] = (char) (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
			done++;
			continue;
		}
		c = 0xFFFD;
		bytes = cs_utf8_decode(text + done, len - done, &c);
		n += write_plain(c, result + n);
		done += bytes > 0 ? (size_t) bytes : 1;
	}
	result[n] = '\0';
	return result;
}
