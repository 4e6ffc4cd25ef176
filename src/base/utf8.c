/*
 * utf8.c
 *	  UTF-8 one character at a time; case folding and normal form.
 *
 * Decoding is done here and not by PostgreSQL's own functions, since those take
 * the server's encoding or trust their input.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "casefold.h"
#include "cloudsync/utf8.h"
#include "common/unicode_norm.h"

#define CONTINUES(byte) (((byte) &0xC0) == 0x80)

int
cs_utf8_decode(const char *text, size_t len, uint32 *character)
{
	const unsigned char *s = (const unsigned char *) text;
	uint32 c;

	if (len < 1)
		return 0;
	if (s[0] < 0x80)
	{
		*character = s[0];
		return 1;
	}
	if (s[0] >= 0xC2 && s[0] <= 0xDF && len >= 2 && CONTINUES(s[1]))
	{
		*character = (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
		return 2;
	}
	if ((s[0] & 0xF0) == 0xE0 && len >= 3 && CONTINUES(s[1]) && CONTINUES(s[2]))
	{
		c = (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
		if (c < 0x800 || (c >= 0xD800 && c <= 0xDFFF))
			return 0;
		*character = c;
		return 3;
	}
	if ((s[0] & 0xF8) == 0xF0 && len >= 4 && CONTINUES(s[1]) &&
		CONTINUES(s[2]) && CONTINUES(s[3]))
	{
		c = (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 |
			(s[3] & 0x3Fu);
		if (c < 0x10000 || c > 0x10FFFF)
			return 0;
		*character = c;
		return 4;
	}
	return 0;
}

int
cs_utf8_encode(uint32 character, char *buf)
{
	if (character < 0x80)
	{
		buf[0] = (char) character;
		return 1;
	}
	if (character < 0x800)
	{
		buf[0] = (char) (0xC0 | character >> 6);
		buf[1] = (char) (0x80 | (character & 0x3F));
		return 2;
	}
	if (character < 0x10000)
	{
		buf[0] = (char) (0xE0 | character >> 12);
		buf[1] = (char) (0x80 | (character >> 6 & 0x3F));
		buf[2] = (char) (0x80 | (character & 0x3F));
		return 3;
	}
	buf[0] = (char) (0xF0 | character >> 18);
	buf[1] = (char) (0x80 | (character >> 12 & 0x3F));
	buf[2] = (char) (0x80 | (character >> 6 & 0x3F));
	buf[3] = (char) (0x80 | (character & 0x3F));
	return 4;
}

bool
cs_utf8_valid(const char *text)
{
	size_t len = strlen(text);
	uint32 c;

	while (len > 0)
	{
		int n = cs_utf8_decode(text, len, &c);

		if (n == 0)
			return false;
		text += n;
		len -= (size_t) n;
	}
	return true;
}

int
cs_utf8_count(const char *text, size_t bytes)
{
	size_t done = 0;
	int count = 0;
	uint32 c;

	while (done < bytes && text[done] != '\0')
	{
		int n = cs_utf8_decode(text + done, strnlen(text + done, 4), &c);

		done += n > 0 ? (size_t) n : 1;
		count++;
	}
	return count;
}

uint32
cs_utf8_fold(uint32 character)
{
	int low = 0;
	int high = (int) lengthof(cs_fold_rows) - 1;

	while (low <= high)
	{
		int middle = (low + high) / 2;
		const CsFoldRow *row = &cs_fold_rows[middle];

		if (character < row->first)
			high = middle - 1;
		else if (character > row->last)
			low = middle + 1;
		else if ((character - row->first) % (uint32) row->step == 0)
			return (uint32) ((int32) character + row->delta);
		else
			return character;
	}
	return character;
}

uint32
cs_utf8_unfold(uint32 character)
{
	for (size_t i = 0; i < lengthof(cs_fold_rows); i++)
	{
		const CsFoldRow *row = &cs_fold_rows[i];
		int64 from = (int64) character - row->delta;

		if (from >= row->first && from <= row->last &&
			(from - row->first) % row->step == 0)
			return (uint32) from;
	}
	return character;
}

char *
cs_utf8_nfc(const char *text)
{
	size_t len = strlen(text);
	size_t done = 0;
	size_t n = 0;
	pg_wchar *wide;
	pg_wchar *normal;
	char *result;

	for (done = 0; done < len && (unsigned char) text[done] < 0x80;)
		done++;
	if (done == len)
		return pstrdup(text); /* all ASCII is in every normal form */

	wide = palloc((len + 1) * sizeof(pg_wchar));
	for (done = 0; done < len;)
	{
		uint32 c = 0xFFFD;
		int bytes = cs_utf8_decode(text + done, len - done, &c);

		wide[n++] = (pg_wchar) c;
		done += bytes > 0 ? (size_t) bytes : 1;
	}
	wide[n] = 0;
	normal = unicode_normalize(UNICODE_NFC, wide);
	if (normal == NULL) /* out of memory, in plain programs only */
		normal = wide;

	for (n = 0; normal[n] != 0;)
		n++;
	result = palloc(n * 4 + 1);
	done = 0;
	for (size_t i = 0; i < n; i++)
		done += (size_t) cs_utf8_encode(normal[i], result + done);
	result[done] = '\0';
	if (normal != wide)
		pfree(normal);
	pfree(wide);
	return result;
}
