/*
 * plain_text.c
 *	  Text out of bytes of any encoding, and what text columns can hold
 *	  (document.h).
 */
#include "cloudsync/document.h"

#include "cloudsync/utf8.h"

/* Windows-1252 from 0x80 to 0x9f; 0: no character. */
static const uint16 windows_1252[32] = {
	0x20ac, 0,		0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
	0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,		0x017d, 0,
	0,		0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
	0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,		0x017e, 0x0178};

/* Is it left out of text? */
static bool
is_control(uint32 c)
{
	return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
}

/* Line ends become a newline each; what is no text is left out. */
static void
append_character(StringInfo out, uint32 c)
{
	char buf[4];

	if (c == '\r' || c == '\f' || c == 0x2028 || c == 0x2029)
		c = '\n';
	if (is_control(c))
		return;
	appendBinaryStringInfo(out, buf, cs_utf8_encode(c, buf));
}

/* See document.h. */
void
cs_clean_text(StringInfo out, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len;)
	{
		uint32 c;
		int n = cs_utf8_decode(bytes + i, len - i, &c);

		if (n == 0)
			c = 0xfffd;
		/* one newline for both of \r\n */
		if (c != '\r' || i + 1 >= len || bytes[i + 1] != '\n')
			append_character(out, c);
		i += Max(n, 1);
	}
}

static uint32
utf16_unit(const char *bytes, bool big)
{
	const unsigned char *b = (const unsigned char *) bytes;

	return big ? b[0] << 8 | b[1] : b[1] << 8 | b[0];
}

/* From UTF-16 until the room is used up; how many bytes were taken. */
static size_t
append_utf16(StringInfo out, const char *bytes, size_t len, bool big,
			 size_t room)
{
	size_t end = out->len + room;
	size_t i = 0;

	while (i + 2 <= len && out->len + 4 <= end)
	{
		uint32 c = utf16_unit(bytes + i, big);

		i += 2;
		if (c >= 0xd800 && c < 0xdc00 && i + 2 <= len)
		{
			uint32 low = utf16_unit(bytes + i, big);

			if (low >= 0xdc00 && low < 0xe000)
			{
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				i += 2;
			}
		}
		if (c >= 0xd800 && c < 0xe000)
			c = 0xfffd;
		if (c == '\r' && i + 2 <= len && utf16_unit(bytes + i, big) == '\n')
			continue;
		append_character(out, c);
	}
	return i + 1 == len ? len : i;
}

/* The last character may be cut, as text is that was read up to a limit. */
static bool
is_utf8(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len;)
	{
		uint32 c;
		int n = cs_utf8_decode(bytes + i, len - i, &c);

		if (n == 0)
			return len - i < 4;
		i += n;
	}
	return true;
}

static size_t
append_windows(StringInfo out, const char *bytes, size_t len, size_t room)
{
	size_t end = out->len + room;
	size_t i = 0;

	for (; i < len && out->len + 4 <= end; i++)
	{
		uint32 c = (unsigned char) bytes[i];

		if (c >= 0x80 && c < 0xa0)
			c = windows_1252[c - 0x80] != 0 ? windows_1252[c - 0x80] : 0xfffd;
		if (c == '\r' && i + 1 < len && bytes[i + 1] == '\n')
			continue;
		append_character(out, c);
	}
	return i;
}

/* See document.h. */
bool
cs_plain_text(StringInfo out, const char *bytes, size_t len, size_t max)
{
	size_t from = 0;
	bool cut;

	if (len >= 2 && memcmp(bytes, "\xff\xfe", 2) == 0)
		return append_utf16(out, bytes + 2, len - 2, false, max) < len - 2;
	if (len >= 2 && memcmp(bytes, "\xfe\xff", 2) == 0)
		return append_utf16(out, bytes + 2, len - 2, true, max) < len - 2;
	if (!is_utf8(bytes, len))
		return append_windows(out, bytes, len, max) < len;
	if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		from = 3;
	cut = len - from > max;
	if (cut)
	{
		len = from + max;
		while (len > from && ((unsigned char) bytes[len] & 0xc0) == 0x80)
			len--;
	}
	cs_clean_text(out, bytes + from, len - from);
	return cut;
}

/* See document.h. */
size_t
cs_visible_bytes(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if ((unsigned char) text[i] > ' ')
			n++;
	return n;
}

/* See document.h. */
char *
cs_excerpt(const char *text, size_t len, int characters)
{
	StringInfoData out;
	int written = 0;
	bool space = false;

	initStringInfo(&out);
	for (size_t i = 0; i < len && written < characters;)
	{
		uint32 c;
		int n = Max(cs_utf8_decode(text + i, len - i, &c), 1);

		if ((unsigned char) text[i] <= ' ' || c == 0xa0)
			space = out.len > 0;
		else
		{
			if (space)
			{
				appendStringInfoChar(&out, ' ');
				written++;
			}
			space = false;
			appendBinaryStringInfo(&out, text + i, n);
			written++;
		}
		i += n;
	}
	return out.data;
}
