/*
 * markup.c
 *	  What a person sees of HTML or XML (document.h): tags, scripts and styles
 *	  are left out, entities are what they stand for. One pass, whatever is open
 *	  or nested.
 */
#include "cloudsync/document.h"

#include "cloudsync/utf8.h"

typedef struct Markup
{
	StringInfo out;
	int start;	   /* of our text in out */
	int newlines;  /* wanted before the next character */
	bool space;
} Markup;

/* Entities for U+00A0 to U+00FF. */
static const char *const latin1[96] = {
	"nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect",
	"uml", "copy", "ordf", "laquo", "not", "shy", "reg", "macr", "deg",
	"plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil",
	"sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave",
	"Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave",
	"Eacute", "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH",
	"Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times",
	"Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig",
	"agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil",
	"egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc", "iuml",
	"eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide",
	"oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml"};

typedef struct Entity
{
	const char *name;
	uint32 character;
} Entity;

static const Entity entities[] = {
	{"amp", '&'},		{"lt", '<'},		{"gt", '>'},
	{"quot", '"'},		{"apos", '\''},		{"euro", 0x20ac},
	{"oelig", 0x153},	{"OElig", 0x152},	{"Yuml", 0x178},
	{"hellip", 0x2026}, {"ndash", 0x2013},	{"mdash", 0x2014},
	{"lsquo", 0x2018},	{"rsquo", 0x2019},	{"sbquo", 0x201a},
	{"ldquo", 0x201c},	{"rdquo", 0x201d},	{"bdquo", 0x201e},
	{"lsaquo", 0x2039}, {"rsaquo", 0x203a}, {"bull", 0x2022},
	{"trade", 0x2122},	{"ensp", ' '},		{"emsp", ' '},
	{"thinsp", ' '},	{"minus", 0x2212},	{"rarr", 0x2192},
};

static void
append(Markup *m, uint32 c)
{
	char buf[4];

	if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' ||
		c == 0xa0)
	{
		m->space = true;
		return;
	}
	if (c == 0xad || c < 0x20 || (c >= 0x7f && c < 0xa0))
		return;
	if (m->out->len > m->start)
	{
		if (m->newlines > 0)
			appendStringInfoString(m->out, m->newlines > 1 ? "\n\n" : "\n");
		else if (m->space)
			appendStringInfoChar(m->out, ' ');
	}
	m->newlines = 0;
	m->space = false;
	appendBinaryStringInfo(m->out, buf, cs_utf8_encode(c, buf));
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_name_byte(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9');
}

static uint32
numeric_entity(const char *name)
{
	unsigned long value = name[1] == 'x' || name[1] == 'X'
							  ? strtoul(name + 2, NULL, 16)
							  : strtoul(name + 1, NULL, 10);

	if (value == 0 || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return 0xfffd;
	return (uint32) value;
}

/* The entity at text, which begins with &; its length, 0 if it is none. */
static size_t
take_entity(Markup *m, const char *text, size_t len)
{
	char name[16];
	size_t n = 0;
	uint32 c = 0;

	while (n + 1 < len && n < sizeof(name) - 1 &&
		   (is_name_byte(text[n + 1]) || (n == 0 && text[1] == '#')))
	{
		name[n] = text[n + 1];
		n++;
	}
	name[n] = '\0';
	if (n < 2 || n + 1 >= len || text[n + 1] != ';')
		return 0;
	if (name[0] == '#')
		c = numeric_entity(name);
	for (int i = 0; i < lengthof(latin1) && c == 0; i++)
		if (strcmp(latin1[i], name) == 0)
			c = 0xa0 + i;
	for (int i = 0; i < lengthof(entities) && c == 0; i++)
		if (strcmp(entities[i].name, name) == 0)
			c = entities[i].character;
	if (c == 0)
		return 0;
	append(m, c);
	return n + 2;
}

/* Where a needle, in any case, begins in text; len if it is not there. */
static size_t
find(const char *text, size_t len, const char *needle)
{
	size_t n = strlen(needle);

	for (size_t i = 0; i + n <= len; i++)
		if (pg_strncasecmp(text + i, needle, n) == 0)
			return i;
	return len;
}

/* Behind the > that ends the tag at text; quoted values may have some. */
static size_t
tag_length(const char *text, size_t len)
{
	char quote = '\0';

	for (size_t i = 1; i < len; i++)
	{
		if (quote != '\0')
		{
			if (text[i] == quote)
				quote = '\0';
		}
		else if ((text[i] == '"' || text[i] == '\'') && text[i - 1] == '=')
			quote = text[i];
		else if (text[i] == '>')
			return i + 1;
	}
	return len;
}

static bool
is_one_of(const char *name, const char *const *names)
{
	for (; *names != NULL; names++)
		if (pg_strcasecmp(name, *names) == 0)
			return true;
	return false;
}

/* What stands around text and what is no text at all. */
static size_t
take_tag(Markup *m, const char *text, size_t len)
{
	static const char *const blocks[] = {
		"p",	   "div",	  "h1",			"h2",	 "h3",	   "h4",	 "h5",
		"h6",	   "ul",	  "ol",			"table", "section", "article", "title",
		"header",  "footer",  "blockquote", "pre",	 "form",   "hr",	 NULL};
	static const char *const lines[] = {"br", "li", "tr", "dt", "dd",
										"option", NULL};
	static const char *const hidden[] = {"script", "style", "template", NULL};
	char name[16];
	size_t n = 0;
	size_t end = tag_length(text, len);
	size_t from = len > 1 && text[1] == '/' ? 2 : 1;

	while (from + n < len && n < sizeof(name) - 1 &&
		   is_name_byte(text[from + n]))
	{
		name[n] = text[from + n];
		n++;
	}
	name[n] = '\0';
	if (is_one_of(name, blocks))
		m->newlines = 2;
	else if (is_one_of(name, lines))
		m->newlines = Max(m->newlines, 1);
	else if (pg_strcasecmp(name, "td") == 0 || pg_strcasecmp(name, "th") == 0)
		m->space = true;
	else if (from == 1 && is_one_of(name, hidden) && text[end - 1] == '>' &&
			 text[end - 2] != '/')
	{
		char closing[20];

		snprintf(closing, sizeof(closing), "</%s", name);
		return end + find(text + end, len - end, closing);
	}
	return end;
}

/* What begins with <; its length. */
static size_t
take_angle(Markup *m, const char *text, size_t len)
{
	size_t n;

	if (len >= 4 && memcmp(text, "<!--", 4) == 0)
	{
		n = 4 + find(text + 4, len - 4, "-->");
		return Min(n + 3, len);
	}
	if (len >= 9 && memcmp(text, "<![CDATA[", 9) == 0)
		return 9;
	if (len >= 2 && (is_letter(text[1]) || text[1] == '/' || text[1] == '!' ||
					 text[1] == '?'))
		return take_tag(m, text, len);
	append(m, '<');
	return 1;
}

/* See document.h. */
void
cs_markup_text(StringInfo out, const char *html, size_t len)
{
	Markup m = {.out = out, .start = out->len};

	for (size_t i = 0; i < len;)
	{
		size_t n = 0;
		uint32 c;

		if (html[i] == '<')
			n = take_angle(&m, html + i, len - i);
		else if (html[i] == '&')
			n = take_entity(&m, html + i, len - i);
		if (n == 0)
		{
			n = cs_utf8_decode(html + i, len - i, &c);
			append(&m, n == 0 ? 0xfffd : c);
			n = Max(n, 1);
		}
		i += n;
	}
}
