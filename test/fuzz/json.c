/*
 * json.c
 *	  Fuzz target: JSON from the network. Whatever it is, a problem is said or
 *	  there is a tree: bounded in depth, of UTF-8, and the same again once it is
 *	  written and read.
 */
#include "postgres_fe.h"

#include "cloudsync/json.h"
#include "cloudsync/utf8.h"
#include "fuzz.h"
#include "input.h"

static void
write_tree(StringInfo target, const CsJson *value, bool ascii, int depth)
{
	void (*quote)(StringInfo, const char *) =
		ascii ? cs_json_quote_ascii : cs_json_quote;
	bool composed =
		value->kind == CS_JSON_OBJECT || value->kind == CS_JSON_ARRAY;
	int n = 0;

	MUST(depth <= CS_JSON_DEPTH);
	MUST(value->text == NULL || cs_utf8_valid(value->text));
	MUST((value->kind != CS_JSON_STRING && value->kind != CS_JSON_NUMBER) ||
		 value->text != NULL);
	switch (value->kind)
	{
		case CS_JSON_NULL:
			appendStringInfoString(target, "null");
			break;
		case CS_JSON_FALSE:
			appendStringInfoString(target, "false");
			break;
		case CS_JSON_TRUE:
			appendStringInfoString(target, "true");
			break;
		case CS_JSON_NUMBER:
			appendStringInfoString(target, value->text);
			break;
		case CS_JSON_STRING:
			quote(target, value->text);
			break;
		default:
			break;
	}
	if (!composed)
	{
		MUST(value->first == NULL && value->n == 0);
		return;
	}
	appendStringInfoChar(target, value->kind == CS_JSON_OBJECT ? '{' : '[');
	for (const CsJson *member = value->first; member != NULL;
		 member = member->next)
	{
		MUST((value->kind == CS_JSON_OBJECT) == (member->key != NULL));
		if (n++ > 0)
			appendStringInfoChar(target, ',');
		if (member->key != NULL)
		{
			MUST(cs_utf8_valid(member->key));
			MUST(cs_json_member(value, member->key) != NULL);
			quote(target, member->key);
			appendStringInfoChar(target, ':');
		}
		MUST(member->next != NULL || member == value->last);
		write_tree(target, member, ascii, depth + 1);
	}
	MUST(n == value->n);
	appendStringInfoChar(target, value->kind == CS_JSON_OBJECT ? '}' : ']');
}

static void
read_again(const char *text, bool ascii)
{
	const char *problem = NULL;
	const CsJson *value = cs_json_parse(text, strlen(text), &problem);
	StringInfoData again;

	MUST(value != NULL);
	initStringInfo(&again);
	write_tree(&again, value, ascii, 0);
	MUST(strcmp(again.data, text) == 0);
	cs_json_free(unconstify(CsJson *, value));
	pfree(again.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *problem = NULL;
	const CsJson *value;
	int64 number;

	value = cs_json_parse((const char *) data, (int64) size, &problem);
	if (value == NULL)
	{
		MUST(problem != NULL && problem[0] != '\0');
		return 0;
	}
	for (int ascii = 0; ascii < 2; ascii++)
	{
		StringInfoData text;

		initStringInfo(&text);
		write_tree(&text, value, ascii, 0);
		read_again(text.data, ascii);
		for (int i = 0; i < text.len && ascii; i++)
			MUST((unsigned char) text.data[i] < 0x80);
		pfree(text.data);
	}
	(void) cs_json_text(value, "a/b");
	(void) cs_json_int64(value, "a", &number);
	(void) cs_json_is_true(value, "a/b/c");
	cs_json_free(unconstify(CsJson *, value));
	return 0;
}
