/*
 * name.c
 *	  Names of remote files and folders made from untrusted text (P10).
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/name.h"
#include "cloudsync/path.h"
#include "cloudsync/utf8.h"
#include "lib/stringinfo.h"

/*
 * Text is cut to this before it is normalised: longer than any provider takes,
 * short enough for normalising in quadratic time.
 */
#define RAW_MAX 1024
#define EXTENSION_MAX 20 /* bytes, with its dot; longer is no extension */
#define MARK_MAX 100
#define NAME_MAX_DEFAULT 255
#define STEPS_BACK_MAX 32

static int
limit_of(const CsNameRules *rules)
{
	return rules->max_name_bytes > 0 ? Min(rules->max_name_bytes, RAW_MAX)
									 : NAME_MAX_DEFAULT;
}

/*
 * Never written into a name: separators, control characters, line separators,
 * and what turns the writing direction (so that "exe.pdf" cannot be made to
 * read as "fdp.exe").
 */
static bool
is_dangerous(uint32 c)
{
	return c == '/' || c == '\\' || c < 0x20 || (c >= 0x7F && c < 0xA0) ||
		   (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) ||
		   c == 0xFEFF || (c & 0xFFFE) == 0xFFFE;
}

static bool
is_forbidden(uint32 c, const CsNameRules *rules)
{
	return c < 0x80 && rules->forbidden != NULL &&
		   strchr(rules->forbidden, (int) c) != NULL;
}

/* Does the character belong to the one before it? */
static bool
is_mark(uint32 c)
{
	static const uint32 ranges[][2] = {
		{0x0300, 0x036F},	{0x0483, 0x0489},	{0x0591, 0x05BD},
		{0x064B, 0x065F},	{0x0900, 0x0903},	{0x093A, 0x094F},
		{0x0E31, 0x0E31},	{0x0E34, 0x0E3A},	{0x0E47, 0x0E4E},
		{0x1AB0, 0x1AFF},	{0x1DC0, 0x1DFF},	{0x200D, 0x200D},
		{0x20D0, 0x20FF},	{0x3099, 0x309A},	{0xFE00, 0xFE0F},
		{0xFE20, 0xFE2F},	{0x1F3FB, 0x1F3FF}, {0xE0020, 0xE007F},
		{0xE0100, 0xE01EF},
	};

	for (size_t i = 0; i < lengthof(ranges); i++)
	{
		if (c >= ranges[i][0] && c <= ranges[i][1])
			return true;
	}
	return false;
}

/* Start of the character that ends before position at (at > 0), valid UTF-8. */
static size_t
step_back(const char *text, size_t at)
{
	do
		at--;
	while (at > 0 && ((unsigned char) text[at] & 0xC0) == 0x80);
	return at;
}

/*
 * Where to cut valid UTF-8 so that at most max bytes remain: between
 * characters, and not between a letter and its marks if that can be helped.
 */
static size_t
cut_position(const char *text, size_t len, size_t max)
{
	size_t at = max;
	size_t boundary;

	if (len <= max)
		return len;
	while (at > 0 && ((unsigned char) text[at] & 0xC0) == 0x80)
		at--;
	boundary = at;
	for (int i = 0; at > 0 && i < STEPS_BACK_MAX; i++)
	{
		uint32 next = 0;
		uint32 before = 0;
		size_t back = step_back(text, at);

		(void) cs_utf8_decode(text + at, len - at, &next);
		(void) cs_utf8_decode(text + back, len - back, &before);
		if (!is_mark(next) && before != 0x200D)
			return at;
		at = back;
	}
	return boundary;
}

/* Length of a file name's extension with its dot: ".pdf", ".tar.gz"; or 0. */
static size_t
extension_length(const char *name, size_t len)
{
	const char *dot = NULL;

	for (size_t i = len; i > 1 && dot == NULL; i--)
	{
		if (name[i - 1] == '.')
			dot = name + i - 1;
		else if (name[i - 1] == ' ' || name[i - 1] == '/')
			return 0;
	}
	if (dot == NULL || (size_t) (dot - name) + 1 == len ||
		len - (size_t) (dot - name) > EXTENSION_MAX)
		return 0;
	if (dot - name > 4 && pg_strncasecmp(dot - 4, ".tar", 4) == 0)
		dot -= 4;
	return len - (size_t) (dot - name);
}

/* Replaces what may not be in a name, one character by one '-'. */
static void
append_clean(StringInfo buf, const char *text, size_t len,
			 const CsNameRules *rules)
{
	for (size_t done = 0; done < len;)
	{
		uint32 c = 0;
		int n = cs_utf8_decode(text + done, len - done, &c);

		if (n == 0 || is_dangerous(c) || is_forbidden(c, rules))
			appendStringInfoChar(buf, '-');
		else
			appendBinaryStringInfo(buf, text + done, n);
		done += n > 0 ? (size_t) n : 1;
	}
}

/* Takes away what a provider does not take at the ends of a name. */
static void
trim_ends(StringInfo buf)
{
	int start = 0;

	while (buf->len > 0 &&
		   (buf->data[buf->len - 1] == ' ' || buf->data[buf->len - 1] == '.'))
		buf->len--;
	while (start < buf->len && buf->data[start] == ' ')
		start++;
	memmove(buf->data, buf->data + start, (size_t) (buf->len - start));
	buf->len -= start;
	buf->data[buf->len] = '\0';
}

/* Cuts buf to max bytes, a file's in front of its extension. */
static void
cut(StringInfo buf, CsNameKind kind, int max)
{
	size_t len = (size_t) buf->len;
	size_t ext = kind == CS_NAME_FILE ? extension_length(buf->data, len) : 0;
	size_t at;

	if (buf->len <= max)
		return;
	if (ext >= (size_t) max)
		ext = 0;
	at = cut_position(buf->data, len - ext, (size_t) max - ext);
	if (at == 0 && ext > 0)
	{
		/* no room for one character before it */
		ext = 0;
		at = cut_position(buf->data, len, (size_t) max);
	}
	memmove(buf->data + at, buf->data + len - ext, ext);
	buf->len = (int) (at + ext);
	buf->data[buf->len] = '\0';
}

/* Untrusted text, valid and in NFC, and not longer than it need be. */
static char *
normal_text(const char *text, CsNameKind kind)
{
	static const CsNameRules none = {0};
	StringInfoData buf;
	size_t len = strlen(text);
	char *normal;

	initStringInfo(&buf);
	if (len > RAW_MAX)
	{
		size_t ext = kind == CS_NAME_FILE ? extension_length(text, len) : 0;
		size_t at = RAW_MAX;

		while (at > RAW_MAX - 4 && ((unsigned char) text[at] & 0xC0) == 0x80)
			at--;
		append_clean(&buf, text, at, &none);
		append_clean(&buf, text + len - ext, ext, &none);
	}
	else
		append_clean(&buf, text, len, &none);
	normal = cs_utf8_nfc(buf.data);
	pfree(buf.data);
	return normal;
}

/* --- names that a provider keeps for itself ------------------------------------ */

/* A '-' in place of a name's first dot, or behind the name's stem. */
static void
mark_stem(StringInfo buf, int max)
{
	int stem = (int) strcspn(buf->data, ".");

	if (stem == 0)
		buf->data[0] = '-';
	else if (buf->len < max)
	{
		appendStringInfoChar(buf, '-');
		memmove(buf->data + stem + 1, buf->data + stem,
				(size_t) (buf->len - 1 - stem));
		buf->data[stem] = '-';
	}
	else
		buf->data[stem - 1] = '-'; /* no room for one more */
}

/* Is the name that word, of n bytes, or with any: that and a dot behind it? */
static bool
is_word(const StringInfo buf, const char *word, size_t n, bool any)
{
	return pg_strncasecmp(buf->data, word, n) == 0 &&
		   (buf->data[n] == '\0' || (any && buf->data[n] == '.'));
}

/* One pattern of rules->reserved, of n bytes. */
static void
avoid(StringInfo buf, const char *pattern, size_t n, int max)
{
	if (n > 2 && pattern[0] == '*') /* *within* */
	{
		for (int i = 0; buf->len - i >= (int) n - 2; i++)
		{
			if (pg_strncasecmp(buf->data + i, pattern + 1, n - 2) == 0)
				buf->data[i] = '-';
		}
	}
	else if (n > 2 && strncmp(pattern + n - 2, ".*", 2) == 0) /* name.* */
	{
		if (is_word(buf, pattern, n - 2, true))
			mark_stem(buf, max);
	}
	else if (n > 1 && pattern[n - 1] == '*') /* start* */
	{
		if (pg_strncasecmp(buf->data, pattern, n - 1) == 0)
			buf->data[0] = '-';
	}
	else if (is_word(buf, pattern, n, false))
		mark_stem(buf, max);
}

static void
avoid_reserved(StringInfo buf, CsNameKind kind, const CsNameRules *rules)
{
	if (rules->reserved == NULL)
		return;
	for (const char *const *r = rules->reserved; *r != NULL; r++)
	{
		size_t n = strlen(*r);
		bool folders = n > 1 && (*r)[n - 1] == '/';

		if (!folders || kind == CS_NAME_FOLDER)
			avoid(buf, *r, folders ? n - 1 : n, limit_of(rules));
	}
}

char *
cs_name_make(const char *text, CsNameKind kind, const CsNameRules *rules)
{
	StringInfoData buf;
	char *normal = normal_text(text, kind);

	initStringInfo(&buf);
	append_clean(&buf, normal, strlen(normal), rules);
	pfree(normal);
	if (rules->trim_ends)
		trim_ends(&buf);
	cut(&buf, kind, limit_of(rules));
	if (rules->trim_ends)
		trim_ends(&buf);
	avoid_reserved(&buf, kind, rules);

	if (buf.len == 0 || strcmp(buf.data, ".") == 0 ||
		strcmp(buf.data, "..") == 0)
	{
		resetStringInfo(&buf);
		appendStringInfoChar(&buf, '_');
	}
	/* our own temporary files and trash are never made by a value */
	if (pg_strcasecmp(buf.data, ".trash") == 0 ||
		pg_strncasecmp(buf.data, ".cloudsync-", 11) == 0)
		buf.data[0] = '-';
	return buf.data;
}

/* name with suffix before the extension of a file, all within the limit. */
static char *
with_suffix(const char *name, const char *suffix, CsNameKind kind,
			const CsNameRules *rules)
{
	size_t len = strlen(name);
	size_t ext = kind == CS_NAME_FILE ? extension_length(name, len) : 0;
	size_t max = (size_t) limit_of(rules);
	size_t suffix_len = strlen(suffix);
	size_t at;

	if (suffix_len + ext >= max)
		ext = 0;
	if (suffix_len >= max)
		return cs_name_make(name, kind, rules);
	at = cut_position(name, len - ext, max - suffix_len - ext);
	if (at == 0)
		suffix++; /* nothing is left for its space to keep apart */
	return psprintf("%.*s%s%s", (int) at, name, suffix, name + len - ext);
}

char *
cs_name_numbered(const char *name, int n, CsNameKind kind,
				 const CsNameRules *rules)
{
	char suffix[32];

	if (n < 2)
		return pstrdup(name);
	snprintf(suffix, sizeof(suffix), " (%d)", n);
	return with_suffix(name, suffix, kind, rules);
}

char *
cs_name_marked(const char *name, const char *mark, int n,
			   const CsNameRules *rules)
{
	CsNameRules shorter = *rules;
	char *clean;
	char *suffix;
	char *result;

	shorter.max_name_bytes = Min(limit_of(rules) / 2, MARK_MAX);
	clean = cs_name_make(mark, CS_NAME_FOLDER, &shorter);
	suffix =
		n < 2 ? psprintf(" (%s)", clean) : psprintf(" (%s) (%d)", clean, n);
	result = with_suffix(name, suffix, CS_NAME_FILE, rules);
	pfree(suffix);
	pfree(clean);
	return result;
}

char *
cs_name_key(const char *name_or_path, const CsNameRules *rules)
{
	StringInfoData buf;
	char *text;

	if ((!rules->ignore_case && !rules->ignore_normal_form) ||
		!cs_utf8_valid(name_or_path))
		return pstrdup(name_or_path);
	text = rules->ignore_normal_form ? cs_utf8_nfc(name_or_path)
									 : pstrdup(name_or_path);
	if (!rules->ignore_case)
		return text;

	initStringInfo(&buf);
	for (const char *s = text; *s != '\0';)
	{
		char bytes[4];
		uint32 c = 0;

		s += cs_utf8_decode(s, strnlen(s, 4), &c);
		appendBinaryStringInfo(&buf, bytes,
							   cs_utf8_encode(cs_utf8_fold(c), bytes));
	}
	pfree(text);
	if (!rules->ignore_normal_form)
		return buf.data;
	/* folding can take characters apart from their marks */
	text = cs_utf8_nfc(buf.data);
	pfree(buf.data);
	return text;
}

/* See name.h. */
char *
cs_path_numbered(const char *path, int n, CsNameKind kind,
				 const CsNameRules *rules)
{
	char *folder = cs_path_parent(path);
	char *name = cs_name_numbered(cs_path_name(path), n, kind, rules);
	char *numbered = cs_path_join(folder, name);

	pfree(folder);
	pfree(name);
	return numbered;
}
