/* sources: src/base/json.c src/base/utf8.c */
/*
 * json.c
 *	  JSON from the network and for it (include/cloudsync/json.h).
 */
#include "postgres_fe.h"

#include "cloudsync/json.h"
#include "tap.h"

static const CsJson *
parse(const char *text)
{
	const char *problem;

	return cs_json_parse(text, strlen(text), &problem);
}

static void
refused(const char *text, int64 len, const char *why, const char *what)
{
	const char *problem = NULL;

	tap_ok(cs_json_parse(text, len, &problem) == NULL, "%s is refused", what);
	tap_is(problem, why, what);
}

static void
reading(void)
{
	const CsJson *json = parse(
		" {\"a\": {\"b\": \"x\\u00e9\\ud83d\\ude00\", \"n\": 12, \"s\": \"-7\","
		" \"big\": 99999999999999999999, \"e\": 1e3}, \"l\": [1, {\"t\": "
		"true}, null, []],"
		" \"a\": 5, \"f\": false} ");
	int64 number = 1;

	tap_ok(json != NULL && json->kind == CS_JSON_OBJECT && json->n == 4,
		   "an object of four members");
	tap_is(cs_json_text(json, "a/b"), "x\xc3\xa9\xf0\x9f\x98\x80",
		   "a string within, its escapes undone");
	tap_ok(cs_json_int64(json, "a/n", &number) && number == 12, "a number");
	tap_ok(cs_json_int64(json, "a/s", &number) && number == -7,
		   "a number as a string");
	tap_ok(!cs_json_int64(json, "a/big", &number),
		   "a number that does not fit");
	tap_ok(!cs_json_int64(json, "a/e", &number), "a number that is no integer");
	tap_ok(!cs_json_int64(json, "a/b", &number), "a string that is no number");
	tap_ok(cs_json_member(json, "l")->n == 4, "an array of four");
	tap_ok(cs_json_is_true(cs_json_member(json, "l")->first->next, "t"),
		   "true in an object in it");
	tap_ok(!cs_json_is_true(json, "f") && !cs_json_is_true(json, "none"),
		   "false, and nothing, are not true");
	tap_ok(cs_json_find(json, "a/b/c") == NULL &&
			   cs_json_find(json, "l/t") == NULL,
		   "nothing below a string or an array");
	tap_ok(cs_json_text(json, "a/n") == NULL, "a number is no text");
	tap_ok(!cs_json_int64(parse("{\"ab\": 1}"), "a", &number),
		   "a name that begins so is another");
	tap_ok(parse("null")->kind == CS_JSON_NULL, "null alone");
	cs_json_free(json);
	cs_json_free(NULL);
	tap_ok(true, "trees are freed");
}

static void
refusing(void)
{
	char deep[300];

	refused("", 0, "it is empty or too long", "nothing");
	refused("{\"a\":1", 6, "it is not well-formed", "what is cut off");
	refused("{} x", 4, "it is not well-formed", "what goes on");
	refused("<html>", 6, "it is not well-formed", "HTML");
	refused("\"\xff\"", 3, "it is not UTF-8", "a byte that is not UTF-8");
	refused("\"\xed\xa0\x80\"", 5, "it is not UTF-8",
			"half a surrogate pair as bytes");
	refused("\"a\0b\"", 5, "it is not UTF-8", "a NUL");
	refused("\"a\\u0000b\"", 10, "a NUL character is in a text",
			"a NUL as an escape");
	refused("\"\\ud83d\"", 8, "it is not well-formed", "half a surrogate pair");
	memset(deep, '[', sizeof(deep));
	refused(deep, sizeof(deep), "it is nested too deeply",
			"brackets without end");
	memset(deep, '[', CS_JSON_DEPTH);
	memset(deep + CS_JSON_DEPTH, ']', CS_JSON_DEPTH);
	deep[2 * CS_JSON_DEPTH] = '\0';
	tap_ok(parse(deep) != NULL, "as deep as may be");
	memset(deep, '[', CS_JSON_DEPTH + 1);
	memset(deep + CS_JSON_DEPTH + 1, ']', CS_JSON_DEPTH + 1);
	refused(deep, 2 * CS_JSON_DEPTH + 2, "it is nested too deeply",
			"one level more");
	memset(deep, '[', CS_JSON_DEPTH + 10);
	memcpy(deep, "\"\\\"", 3);
	memcpy(deep + CS_JSON_DEPTH + 10, "\"", 2);
	tap_ok(parse(deep) != NULL, "brackets in a string are not counted");
}

static void
writing(void)
{
	StringInfoData text;

	initStringInfo(&text);
	cs_json_quote(&text, "a\"b\\c\n\x7f\xc3\xa9\xf0\x9f\x98\x80");
	tap_is(text.data, "\"a\\\"b\\\\c\\u000a\\u007f\xc3\xa9\xf0\x9f\x98\x80\"",
		   "a string in UTF-8");
	tap_is(parse(text.data)->text, "a\"b\\c\n\x7f\xc3\xa9\xf0\x9f\x98\x80",
		   "and back");
	resetStringInfo(&text);
	cs_json_quote_ascii(&text, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/");
	tap_is(text.data, "\"\\u00e9\\u20ac\\ud83d\\ude00/\"",
		   "a string in ASCII, in pairs where there must be");
	tap_is(parse(text.data)->text, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80/",
		   "and back");
}

int
main(void)
{
	reading();
	refusing();
	writing();
	return tap_done();
}
