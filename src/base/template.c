/*
 * template.c
 *	  Folder templates: parsing them (template.h has the grammar), and making
 *	  folders from values.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/free.h"
#include "cloudsync/template.h"
#include "cloudsync/utf8.h"
#include "lib/stringinfo.h"

typedef struct Parser
{
	const char *text;
	const char *at;
	const char *end;
	CsTemplate *template;
	StringInfoData literal; /* what was read since the last tag */
	CsTemplateError *error;
} Parser;

/* Notes an error at a place of the text; false, for the caller to return. */
static bool
fail(Parser *p, const char *where, const char *hint, const char *message)
{
	p->error->position = cs_utf8_count(p->text, (size_t) (where - p->text)) + 1;
	strlcpy(p->error->message, message, sizeof(p->error->message));
	strlcpy(p->error->hint, hint, sizeof(p->error->hint));
	return false;
}

static bool
is_blank(const char *text)
{
	return text[strspn(text, " \t\r\n\f\v")] == '\0';
}

static bool
is_control(const char *at)
{
	unsigned char c = (unsigned char) at[0];

	return c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char) at[1] < 0xA0);
}

/* The segment being read. */
static CsTemplateSegment *
current(Parser *p)
{
	return &p->template->segments[p->template->n_segments];
}

static void
add_part(Parser *p, char *literal, int tag)
{
	CsTemplateSegment *segment = current(p);

	if (segment->n_parts == 0)
		segment->parts = palloc(sizeof(CsTemplatePart));
	else
		segment->parts =
			repalloc(segment->parts,
					 sizeof(CsTemplatePart) * (Size) (segment->n_parts + 1));
	segment->parts[segment->n_parts].literal = literal;
	segment->parts[segment->n_parts].tag = tag;
	segment->n_parts++;
}

static void
end_literal(Parser *p)
{
	if (p->literal.len == 0)
		return;
	add_part(p, pstrdup(p->literal.data), -1);
	resetStringInfo(&p->literal);
}

/* Ends a segment at a '/' or the end of the text. */
static bool
end_segment(Parser *p)
{
	CsTemplateSegment *segment = current(p);

	end_literal(p);
	if (segment->n_parts == 0 ||
		(segment->n_parts == 1 && segment->parts[0].literal != NULL &&
		 is_blank(segment->parts[0].literal)))
		return fail(p, p->at, "Write a name between any two \"/\".",
					"empty folder name");
	if (segment->n_parts == 1 && segment->parts[0].literal != NULL &&
		(strcmp(segment->parts[0].literal, ".") == 0 ||
		 strcmp(segment->parts[0].literal, "..") == 0))
		return fail(p, p->at - strlen(segment->parts[0].literal),
					"Folders are given from the root downwards.",
					"\".\" and \"..\" are no folder names");
	p->template->n_segments++;
	return true;
}

/*
 * Reads one name of a tag, quoted or not, to *name: NULL with an error. Leaves
 * p->at behind it and behind the spaces that follow.
 */
static bool
read_name(Parser *p, char **name, bool *quoted)
{
	const char *start;
	StringInfoData buf;

	p->at += strspn(p->at, " ");
	start = p->at;
	*quoted = p->at[0] == '"';
	initStringInfo(&buf);
	if (*quoted)
	{
		for (p->at++; p->at[0] != '"' || p->at[1] == '"'; p->at++)
		{
			if (p->at[0] == '\0')
				return fail(p, start, "Close it with another \".",
							"quoted name without end");
			if (p->at[0] == '"')
				p->at++;
			appendStringInfoChar(&buf, p->at[0]);
		}
		p->at++;
		p->at += strspn(p->at, " ");
	}
	else
	{
		size_t len = strcspn(p->at, "{}|:.\"/");

		p->at += len;
		while (len > 0 && start[len - 1] == ' ')
			len--;
		appendBinaryStringInfo(&buf, start, (int) len);
	}
	if (buf.len == 0)
		return fail(p, start, "A tag names a column, as in {title}.",
					"tag without a name");
	*name = buf.data;
	return true;
}

/* Reads a format or default, up to one of stops. */
static bool
read_rest(Parser *p, const char *stops, char **rest)
{
	const char *start = ++p->at;

	while (*p->at != '\0' && strchr(stops, *p->at) == NULL)
	{
		if (*p->at == '/')
			return fail(p, p->at,
						"For two folders write two tags, as in "
						"{created:YYYY}/{created:MM}.",
						"\"/\" inside a tag");
		if (*p->at == '{')
			return fail(p, p->at, "Close the tag with \"}\" first.",
						"\"{\" inside a tag");
		p->at++;
	}
	*rest = pnstrdup(start, (Size) (p->at - start));
	return true;
}

/* Which kind of tag its names make it. */
static void
classify(CsTag *tag, char *first, bool first_quoted, char *second,
		 bool second_quoted)
{
	static const struct
	{
		const char *name;
		CsTagKind kind;
	} special[] = {{"dossier_key", CS_TAG_KEY},
				   {"dossier_label", CS_TAG_LABEL},
				   {"procedure", CS_TAG_PROCEDURE}};

	tag->column = second != NULL ? second : first;
	tag->column_quoted = second != NULL ? second_quoted : first_quoted;
	if (second != NULL)
	{
		bool file = !first_quoted && pg_strcasecmp(first, "file") == 0;

		tag->kind = file ? CS_TAG_FILE : CS_TAG_REFERENCE;
		if (!file)
		{
			tag->fk_column = first;
			tag->fk_column_quoted = first_quoted;
		}
		return;
	}
	tag->kind = CS_TAG_COLUMN;
	for (size_t i = 0; i < lengthof(special); i++)
	{
		if (!first_quoted && pg_strcasecmp(first, special[i].name) == 0)
		{
			tag->kind = special[i].kind;
			tag->column = NULL;
		}
	}
}

/* Reads a tag; p->at is at its '{'. */
static bool
read_tag(Parser *p)
{
	const char *start = p->at++;
	CsTag *tag = &p->template->tags[p->template->n_tags];
	char *first = NULL;
	char *second = NULL;
	bool first_quoted = false;
	bool second_quoted = false;

	if (p->template->n_tags >= CS_TEMPLATE_TAGS_MAX)
		return fail(p, start, "A template takes 64 tags.", "too many tags");
	if (!read_name(p, &first, &first_quoted))
		return false;
	if (*p->at == '.')
	{
		p->at++;
		if (!read_name(p, &second, &second_quoted))
			return false;
	}
	classify(tag, first, first_quoted, second, second_quoted);
	if (*p->at == ':')
	{
		const char *colon = p->at;

		if (!read_rest(p, "|}", &tag->format))
			return false;
		if (is_blank(tag->format))
			return fail(p, colon, "Write a date format, as in {created:YYYY}.",
						"\":\" without a format");
	}
	if (*p->at == '|' && !read_rest(p, "}", &tag->fallback))
		return false;
	if (*p->at == '\0')
		return fail(p, start, "Close it with \"}\"; a brace itself is \"{{\".",
					"tag without end");
	if (*p->at != '}')
		return fail(p, p->at,
					"A tag is {column}, {file.column} or {fk_column.column}, "
					"then :format and |default.",
					"unexpected character in a tag");
	p->at++;
	end_literal(p);
	tag->text = pnstrdup(start, (Size) (p->at - start));
	tag->position = cs_utf8_count(p->text, (size_t) (start - p->text)) + 1;
	if (tag->kind == CS_TAG_FILE)
	{
		current(p)->of_file = true;
		p->template->has_file_tags = true;
	}
	add_part(p, NULL, p->template->n_tags++);
	return true;
}

/* Reads all segments. */
static bool
read_segments(Parser *p)
{
	while (p->at < p->end)
	{
		if (p->template->n_segments >= CS_TEMPLATE_SEGMENTS_MAX)
			return fail(p, p->at, "A template takes 32 folders.",
						"too many folders");
		if (*p->at == '/')
		{
			if (!end_segment(p))
				return false;
			p->at++;
			if (p->at == p->end)
				return fail(p, p->at, "Write a name between any two \"/\".",
							"empty folder name");
		}
		else if ((*p->at == '{' || *p->at == '}') && p->at[1] == *p->at)
		{
			appendStringInfoChar(&p->literal, *p->at);
			p->at += 2;
		}
		else if (*p->at == '{')
		{
			if (!read_tag(p))
				return false;
		}
		else if (*p->at == '}')
			return fail(p, p->at, "A brace itself is written \"}}\".",
						"\"}\" without a tag");
		else
			appendStringInfoChar(&p->literal, *p->at++);
	}
	return end_segment(p);
}

/* What holds of the text as a whole, before and after its parts are read. */
static bool
read_template(Parser *p)
{
	CsTemplate *t = p->template;
	size_t len = strlen(p->text);

	if (len > CS_TEMPLATE_MAX)
		return fail(p, p->text, "A template takes 2000 bytes.", "too long");
	if (!cs_utf8_valid(p->text))
		return fail(p, p->text, "Write it in UTF-8.", "not valid UTF-8");
	for (const char *s = p->text; *s != '\0'; s++)
	{
		if (is_control(s))
			return fail(p, s, "Remove it.", "control character");
	}
	if (len > 0 && p->text[0] == '/')
		p->at++;
	if (p->end > p->at && p->end[-1] == '/')
		p->end--;
	if (p->at == p->end)
		return fail(p, p->text, "Write a folder, as in {dossier_label}.",
					"empty template");
	if (!read_segments(p))
		return false;
	while (t->n_folder < t->n_segments && !t->segments[t->n_folder].of_file)
		t->n_folder++;
	if (t->n_folder == 0)
		return fail(p, p->text,
					"Put a folder of the dossier before it, as in "
					"{dossier_label}/{file.kind}.",
					"the first folder has a tag of the file");
	return true;
}

CsTemplate *
cs_template_parse(const char *text, CsTemplateError *error)
{
	Parser p = {0};
	bool ok;

	p.text = text;
	p.at = text;
	p.end = text + strlen(text);
	p.error = error;
	p.template = palloc0(sizeof(CsTemplate));
	/* one more than are taken, since the next is begun before it is counted */
	p.template->segments =
		palloc0(sizeof(CsTemplateSegment) * (CS_TEMPLATE_SEGMENTS_MAX + 1));
	p.template->tags = palloc0(sizeof(CsTag) * (CS_TEMPLATE_TAGS_MAX + 1));
	initStringInfo(&p.literal);
	ok = read_template(&p);
	pfree(p.literal.data);
	if (!ok)
	{
		cs_template_free(p.template);
		return NULL;
	}
	return p.template;
}

void
cs_template_free(CsTemplate *template)
{
	for (int i = 0; i <= CS_TEMPLATE_SEGMENTS_MAX; i++)
	{
		CsTemplateSegment *segment = &template->segments[i];

		for (int j = 0; j < segment->n_parts; j++)
			cs_free_text(segment->parts[j].literal);
		if (segment->n_parts > 0)
			pfree(segment->parts);
	}
	for (int i = 0; i <= CS_TEMPLATE_TAGS_MAX; i++)
	{
		CsTag *tag = &template->tags[i];

		cs_free_text(tag->text);
		cs_free_text(tag->column);
		cs_free_text(tag->fk_column);
		cs_free_text(tag->format);
		cs_free_text(tag->fallback);
	}
	pfree(template->segments);
	pfree(template->tags);
	pfree(template);
}

/*
 * A tag's value as it goes into a name: without white space around it; the
 * default, or "_", where nothing remains.
 */
static void
append_value(StringInfo buf, const CsTag *tag, const char *value)
{
	static const char blanks[] = " \t\r\n\f\v";
	size_t len;

	if (value == NULL || is_blank(value))
	{
		appendStringInfoString(buf,
							   tag->fallback != NULL ? tag->fallback : "_");
		return;
	}
	value += strspn(value, blanks);
	len = strlen(value);
	while (len > 0 && strchr(blanks, value[len - 1]) != NULL)
		len--;
	appendBinaryStringInfo(buf, value, (int) len);
}

/* Segments from one to before another, each made a name, joined by '/'. */
static char *
render(const CsTemplate *template, int from, int to, const char *const *values,
	   const char *const *file_values, const CsNameRules *rules)
{
	StringInfoData path;
	StringInfoData segment;

	initStringInfo(&path);
	initStringInfo(&segment);
	for (int i = from; i < to; i++)
	{
		const CsTemplateSegment *s = &template->segments[i];
		char *name;

		resetStringInfo(&segment);
		for (int j = 0; j < s->n_parts; j++)
		{
			const CsTemplatePart *part = &s->parts[j];

			if (part->literal != NULL)
				appendStringInfoString(&segment, part->literal);
			else if (template->tags[part->tag].kind == CS_TAG_FILE)
				append_value(&segment, &template->tags[part->tag],
							 file_values[part->tag]);
			else
				append_value(&segment, &template->tags[part->tag],
							 values[part->tag]);
		}
		name = cs_name_make(segment.data, CS_NAME_FOLDER, rules);
		if (path.len > 0)
			appendStringInfoChar(&path, '/');
		appendStringInfoString(&path, name);
		pfree(name);
	}
	pfree(segment.data);
	return path.data;
}

char *
cs_template_folder(const CsTemplate *template, const char *const *values,
				   const CsNameRules *rules)
{
	return render(template, 0, template->n_folder, values, NULL, rules);
}

char *
cs_template_subfolder(const CsTemplate *template, const char *const *values,
					  const char *const *file_values, const CsNameRules *rules)
{
	return render(template, template->n_folder, template->n_segments, values,
				  file_values, rules);
}
