/*
 * json.c
 *	  JSON as a tree, and JSON written (include/cloudsync/json.h). The parser is
 *	  PostgreSQL's (common/jsonapi.h); here it is kept from what it would not
 *	  survive (depth) or would let through (bytes that are not UTF-8).
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <errno.h>

#include "common/jsonapi.h"
#ifndef FRONTEND
#include "utils/memutils.h"
#endif
#include "mb/pg_wchar.h"

#include "cloudsync/compat.h"
#include "cloudsync/json.h"
#include "cloudsync/utf8.h"

/* The tree as far as it has been read: the containers that are open. */
typedef struct Builder
{
	CsJson *open[CS_JSON_DEPTH + 1];
	int depth;
	const char *key; /* of the value that follows */
	CsJson *root;
} Builder;

static CsJson *
add(Builder *builder, CsJsonKind kind, const char *text)
{
	CsJson *value = palloc0(sizeof(CsJson));
	CsJson *parent =
		builder->depth > 0 ? builder->open[builder->depth - 1] : NULL;

	value->kind = kind;
	value->text = text;
	value->key = builder->key;
	builder->key = NULL;
	if (parent == NULL)
		builder->root = value;
	else
	{
		if (parent->last != NULL)
			parent->last->next = value;
		else
			parent->first = value;
		parent->last = value;
		parent->n++;
	}
	return value;
}

/* The depth has been checked before: there is room. */
static CsJsonAction
begin_object(void *state)
{
	Builder *builder = state;
	CsJson *value = add(builder, CS_JSON_OBJECT, NULL);

	builder->open[builder->depth++] = value;
	CsJsonActionDone();
}

static CsJsonAction
begin_array(void *state)
{
	Builder *builder = state;
	CsJson *value = add(builder, CS_JSON_ARRAY, NULL);

	builder->open[builder->depth++] = value;
	CsJsonActionDone();
}

static CsJsonAction
end_container(void *state)
{
	((Builder *) state)->depth--;
	CsJsonActionDone();
}

static CsJsonAction
begin_member(void *state, char *key, bool isnull)
{
	((Builder *) state)->key = key;
	CsJsonActionDone();
}

static CsJsonAction
scalar(void *state, char *token, JsonTokenType type)
{
	CsJsonKind kind = CS_JSON_NULL;

	if (type == JSON_TOKEN_STRING)
		kind = CS_JSON_STRING;
	else if (type == JSON_TOKEN_NUMBER)
		kind = CS_JSON_NUMBER;
	else if (type == JSON_TOKEN_TRUE)
		kind = CS_JSON_TRUE;
	else if (type == JSON_TOKEN_FALSE)
		kind = CS_JSON_FALSE;
	add(state, kind, token);
	CsJsonActionDone();
}

/* What the parser is not to be given, or NULL. */
static const char *
refuse(const char *text, int64 len)
{
	int depth = 0;
	bool quoted = false;

	if (len <= 0 || len > MaxAllocSize / 4)
		return "it is empty or too long";
	for (int64 at = 0; at < len;)
	{
		uint32 character;
		int bytes = cs_utf8_decode(text + at, len - at, &character);

		if (bytes <= 0 || character == 0)
			return "it is not UTF-8";
		at += bytes;
	}
	for (int64 i = 0; i < len; i++)
	{
		char c = text[i];

		if (quoted)
		{
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		}
		else if (c == '"')
			quoted = true;
		else if ((c == '{' || c == '[') && ++depth > CS_JSON_DEPTH)
			return "it is nested too deeply";
		else if (c == '}' || c == ']')
			depth--;
	}
	return NULL;
}

/* See json.h. */
const CsJson *
cs_json_parse(const char *text, int64 len, const char **problem)
{
	Builder builder = {0};
	JsonSemAction actions = {0};
	JsonLexContext *lex;
	JsonParseErrorType error;

	*problem = refuse(text, len);
	if (*problem != NULL)
		return NULL;
	actions.semstate = &builder;
	actions.object_start = begin_object;
	actions.object_end = end_container;
	actions.array_start = begin_array;
	actions.array_end = end_container;
	actions.object_field_start = begin_member;
	actions.scalar = scalar;
	lex = CsMakeJsonLexContext((char *) text, (int) len, PG_UTF8);
	error = pg_parse_json(lex, &actions);
	CsFreeJsonLexContext(lex);
	if (error != JSON_SUCCESS)
	{
		*problem = error == JSON_UNICODE_CODE_POINT_ZERO
					   ? "a NUL character is in a text"
					   : "it is not well-formed";
		return NULL;
	}
	return builder.root;
}

/* Nodes of one level in turn; deeper ones, CS_JSON_DEPTH at most, by recursion. */
static void
free_nodes(CsJson *value)
{
	while (value != NULL)
	{
		CsJson *next = value->next;

		free_nodes(value->first);
		if (value->key != NULL)
			pfree(unconstify(char *, value->key));
		if (value->text != NULL)
			pfree(unconstify(char *, value->text));
		pfree(value);
		value = next;
	}
}

/* See json.h. */
void
cs_json_free(const CsJson *value)
{
	free_nodes(unconstify(CsJson *, value));
}

/* As cs_json_member, by the first len bytes of key. */
static const CsJson *
member(const CsJson *value, const char *key, size_t len)
{
	if (value == NULL || value->kind != CS_JSON_OBJECT)
		return NULL;
	for (const CsJson *each = value->first; each != NULL; each = each->next)
	{
		if (strncmp(each->key, key, len) == 0 && each->key[len] == '\0')
			return each;
	}
	return NULL;
}

/* See json.h. */
const CsJson *
cs_json_member(const CsJson *value, const char *key)
{
	return member(value, key, strlen(key));
}

/* See json.h. */
const CsJson *
cs_json_find(const CsJson *value, const char *keys)
{
	for (;;)
	{
		size_t len = strcspn(keys, "/");

		value = member(value, keys, len);
		if (value == NULL || keys[len] == '\0')
			return value;
		keys += len + 1;
	}
}

/* See json.h. */
const char *
cs_json_text(const CsJson *value, const char *keys)
{
	const CsJson *found = cs_json_find(value, keys);

	return found != NULL && found->kind == CS_JSON_STRING ? found->text : NULL;
}

/* See json.h. */
bool
cs_json_int64(const CsJson *value, const char *keys, int64 *number)
{
	const CsJson *found = cs_json_find(value, keys);
	char *end;
	long long read;

	if (found == NULL ||
		(found->kind != CS_JSON_NUMBER && found->kind != CS_JSON_STRING))
		return false;
	if (found->text[0] != '-' && (found->text[0] < '0' || found->text[0] > '9'))
		return false;
	errno = 0;
	read = strtoll(found->text, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*number = read;
	return true;
}

/* See json.h. */
bool
cs_json_is_true(const CsJson *value, const char *keys)
{
	const CsJson *found = cs_json_find(value, keys);

	return found != NULL && found->kind == CS_JSON_TRUE;
}

static void
append_escaped(StringInfo target, uint32 unit)
{
	appendStringInfo(target, "\\u%04x", (unsigned) unit);
}

static void
quote(StringInfo target, const char *text, bool ascii)
{
	size_t left = strlen(text);

	appendStringInfoChar(target, '"');
	while (left > 0)
	{
		uint32 character;
		int len = cs_utf8_decode(text, left, &character);

		if (len <= 0) /* excluded by the caller; never written through */
		{
			len = 1;
			character = 0xfffd;
		}
		if (character == '"' || character == '\\')
			appendStringInfo(target, "\\%c", (int) character);
		else if (character < 0x20 || character == 0x7f ||
				 (ascii && character > 0x7f && character < 0x10000))
			append_escaped(target, character);
		else if (ascii && character >= 0x10000)
		{
			append_escaped(target, 0xd800 + ((character - 0x10000) >> 10));
			append_escaped(target, 0xdc00 + ((character - 0x10000) & 0x3ff));
		}
		else
			appendBinaryStringInfo(target, text, len);
		text += len;
		left -= len;
	}
	appendStringInfoChar(target, '"');
}

/* See json.h. */
void
cs_json_quote(StringInfo target, const char *text)
{
	quote(target, text, false);
}

/* See json.h. */
void
cs_json_quote_ascii(StringInfo target, const char *text)
{
	quote(target, text, true);
}
