/*
 * document_kind.c
 *	  What a document is, by its first bytes (document.h). Names lie, so they
 *	  count only where bytes leave a choice.
 */
#include "cloudsync/document.h"

#include "cloudsync/utf8.h"

typedef struct Signature
{
	int offset;
	const char *bytes;
	int length;
	CsDocumentKind kind;
	const char *why;
} Signature;

#define SIGNATURE(offset, bytes, kind, why)                                    \
	{                                                                          \
		offset, bytes, sizeof(bytes) - 1, kind, why                            \
	}

static const Signature signatures[] = {
	SIGNATURE(0, "\x89PNG\r\n\x1a\n", CS_DOCUMENT_IMAGE, NULL),
	SIGNATURE(0, "\xff\xd8\xff", CS_DOCUMENT_IMAGE, NULL),
	SIGNATURE(0, "II*\0", CS_DOCUMENT_IMAGE, NULL),
	SIGNATURE(0, "MM\0*", CS_DOCUMENT_IMAGE, NULL),
	SIGNATURE(0, "II+\0", CS_DOCUMENT_IMAGE, NULL),
	SIGNATURE(0, "MM\0+", CS_DOCUMENT_IMAGE, NULL),
	SIGNATURE(8, "WEBP", CS_DOCUMENT_IMAGE, NULL),
	SIGNATURE(0, "GIF8", CS_DOCUMENT_IMAGE, NULL),
	SIGNATURE(4, "ftyphei", CS_DOCUMENT_OTHER, "HEIC images are not read"),
	SIGNATURE(4, "ftypmif1", CS_DOCUMENT_OTHER, "HEIC images are not read"),
	SIGNATURE(4, "ftyp", CS_DOCUMENT_OTHER, "videos are not read"),
	SIGNATURE(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", CS_DOCUMENT_OTHER,
			  "office documents are not read"),
	SIGNATURE(0, "{\\rtf", CS_DOCUMENT_OTHER, "RTF documents are not read"),
	SIGNATURE(0, "%!PS", CS_DOCUMENT_OTHER, "PostScript is not read"),
	SIGNATURE(0, "\x1f\x8b", CS_DOCUMENT_OTHER, "archives are not read"),
	SIGNATURE(0, "7z\xbc\xaf", CS_DOCUMENT_OTHER, "archives are not read"),
	SIGNATURE(0, "Rar!", CS_DOCUMENT_OTHER, "archives are not read"),
};

static bool
starts_with(const char *text, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);

	return len >= n && pg_strncasecmp(text, prefix, n) == 0;
}

/* PDF allows for rubbish before its header. */
static bool
is_pdf(const char *head, size_t len)
{
	for (size_t i = 0; i + 5 <= len && i < 1024; i++)
		if (memcmp(head + i, "%PDF-", 5) == 0)
			return true;
	return false;
}

static bool
has_utf16_mark(const char *head, size_t len)
{
	return len >= 2 && (memcmp(head, "\xff\xfe", 2) == 0 ||
						memcmp(head, "\xfe\xff", 2) == 0);
}

/*
 * No control characters, and UTF-8, or a one-byte encoding in which most
 * characters are ASCII.
 */
static bool
is_text(const char *head, size_t len)
{
	size_t high = 0;
	size_t invalid = 0;

	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = head[i];

		if (c >= 0x80)
			high++;
		else if (c == 0x7f || (c < 0x20 && c != '\t' && c != '\n' &&
							   c != '\r' && c != '\f' && c != 0x1b))
			return false;
	}
	for (size_t i = 0; i < len && invalid == 0;)
	{
		uint32 character;
		int n = cs_utf8_decode(head + i, len - i, &character);

		/* the last character may be cut */
		if (n == 0 && len - i >= 4)
			invalid++;
		i += Max(n, 1);
	}
	return invalid == 0 || high * 4 <= len;
}

/* HTML or XML, by its first tag. */
static bool
is_markup(const char *head, size_t len)
{
	static const char *const tags[] = {"<!doctype", "<html", "<?xml", "<head",
									   "<body", "<svg"};
	size_t i = len >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

	while (i < len && strchr(" \t\r\n\f", head[i]) != NULL && head[i] != '\0')
		i++;
	for (int t = 0; t < lengthof(tags); t++)
		if (starts_with(head + i, len - i, tags[t]))
			return true;
	return false;
}

static const char *
why_not_zip(const char *media_type)
{
	if (strcmp(media_type, "application/zip") == 0 ||
		strcmp(media_type, "application/octet-stream") == 0)
		return "archives are not read";
	return "office documents are not read";
}

/* See document.h. */
CsDocumentKind
cs_document_kind(const char *head, size_t len, const char *media_type,
				 const char **why)
{
	*why = NULL;
	if (len == 0)
		return CS_DOCUMENT_EMPTY;
	if (len > CS_DOCUMENT_HEAD)
		len = CS_DOCUMENT_HEAD;
	for (int i = 0; i < lengthof(signatures); i++)
	{
		const Signature *s = &signatures[i];

		if (len >= s->offset + s->length &&
			memcmp(head + s->offset, s->bytes, s->length) == 0)
		{
			*why = s->why;
			return s->kind;
		}
	}
	if (is_pdf(head, len))
		return CS_DOCUMENT_PDF;
	if (len >= 4 && memcmp(head, "PK\3\4", 4) == 0)
	{
		*why = why_not_zip(media_type);
		return CS_DOCUMENT_OTHER;
	}
	if (strcmp(media_type, "message/rfc822") == 0)
	{
		*why = "e-mail messages are not read";
		return CS_DOCUMENT_OTHER;
	}
	if (!has_utf16_mark(head, len) && !is_text(head, len))
	{
		*why = "it is neither text, PDF nor a kind of image that is read";
		return CS_DOCUMENT_OTHER;
	}
	if (strcmp(media_type, "text/html") == 0 || is_markup(head, len))
		return CS_DOCUMENT_MARKUP;
	return CS_DOCUMENT_PLAIN;
}

/* See document.h. */
const char *
cs_document_kind_name(CsDocumentKind kind)
{
	switch (kind)
	{
		case CS_DOCUMENT_PDF:
			return "pdf";
		case CS_DOCUMENT_IMAGE:
			return "image";
		default:
			return "other";
	}
}
