/* sources: src/base/template.c src/base/name.c src/base/utf8.c src/base/path.c */
/*
 * Folder templates (P10): the grammar, its refusals with their positions, and
 * what becomes of values.
 */
#include "postgres_fe.h"

#include "cloudsync/path.h"
#include "cloudsync/template.h"
#include "tap.h"

static const CsNameRules local = {.max_name_bytes = 255};

static CsTemplate *
parsed(const char *text)
{
	CsTemplateError error = {0};
	CsTemplate *t = cs_template_parse(text, &error);

	if (!tap_ok(t != NULL, "parses: %s", text))
		printf("# %d: %s\n", error.position, error.message);
	return t;
}

static void
refused(const char *text, int position, const char *message)
{
	CsTemplateError error = {0};
	CsTemplate *t = cs_template_parse(text, &error);

	tap_ok(t == NULL, "refused: %.60s", text);
	tap_is(error.message, message, "why");
	if (!tap_ok(error.position == position, "where"))
		printf("# at %d, wanted %d\n", error.position, position);
	tap_ok(strlen(error.hint) > 0 && error.hint[strlen(error.hint) - 1] == '.',
		   "with a hint");
}

static void
folder(const char *text, const char *const *values, const char *wanted)
{
	CsTemplate *t = parsed(text);

	if (t != NULL)
		tap_is(cs_template_folder(t, values, &local), wanted, "its folder");
}

static void
tags(void)
{
	CsTemplate *t =
		parsed("{year}/{dossier_label} {client_id.name|none:at all}/"
			   "{file.kind|Other}/{created:YYYY-MM|undated}");

	tap_ok(t->n_segments == 4 && t->n_folder == 2 && t->n_tags == 5,
		   "segments, folder, tags");
	tap_ok(t->has_file_tags && t->segments[2].of_file &&
			   !t->segments[3].of_file,
		   "which are the file's");
	tap_ok(t->tags[0].kind == CS_TAG_COLUMN, "a column");
	tap_is(t->tags[0].column, "year", "its name");
	tap_is(t->tags[0].text, "{year}", "its text");
	tap_ok(t->tags[1].kind == CS_TAG_LABEL && t->tags[1].column == NULL,
		   "the label");
	tap_ok(t->tags[1].position == 8, "its place");
	tap_ok(t->tags[2].kind == CS_TAG_REFERENCE, "a reference");
	tap_is(t->tags[2].fk_column, "client_id", "by its column");
	tap_is(t->tags[2].column, "name", "to that column");
	tap_is(t->tags[2].fallback, "none:at all", "a default may have colons");
	tap_ok(t->tags[3].kind == CS_TAG_FILE, "the file's");
	tap_is(t->tags[4].format, "YYYY-MM", "a format");
	tap_is(t->tags[4].fallback, "undated", "and a default");

	t = parsed("x/{\"dossier_key\"}{\"a\"\"{b}/\".\"c.d\"}{ name }{File.X}"
			   "{\"file\".x}{DOSSIER_KEY}{procedure}");
	tap_ok(t->tags[0].kind == CS_TAG_COLUMN && t->tags[0].column_quoted,
		   "quotes make a column of a special name");
	tap_is(t->tags[1].fk_column, "a\"{b}/", "any character in quotes");
	tap_is(t->tags[1].column, "c.d", "a dot too");
	tap_is(t->tags[2].column, "name", "spaces around a name do not count");
	tap_ok(t->tags[3].kind == CS_TAG_FILE &&
			   t->tags[4].kind == CS_TAG_REFERENCE,
		   "file is special without quotes");
	tap_ok(t->tags[5].kind == CS_TAG_KEY && t->tags[6].kind == CS_TAG_PROCEDURE,
		   "special names in any case");
	cs_template_free(t);
}

static void
refusals(void)
{
	char many[CS_TEMPLATE_MAX + 10] = "";

	refused("", 1, "empty template");
	refused("/", 1, "empty template");
	refused("//a", 2, "empty folder name");
	refused("a//b", 3, "empty folder name");
	refused("a/ /b", 4, "empty folder name");
	refused("a/../b", 3, "\".\" and \"..\" are no folder names");
	refused(".", 1, "\".\" and \"..\" are no folder names");
	refused("\xC3\xA9t\xC3\xA9 {", 6, "tag without a name");
	refused("{a", 1, "tag without end");
	refused("x{a|b", 2, "tag without end");
	refused("{}", 2, "tag without a name");
	refused("{.b}", 2, "tag without a name");
	refused("{a.}", 4, "tag without a name");
	refused("{a.b.c}", 5, "unexpected character in a tag");
	refused("{a\"b\"}", 3, "unexpected character in a tag");
	refused("{\"a}", 2, "quoted name without end");
	refused("{\"\"}", 2, "tag without a name");
	refused("{a:}", 3, "\":\" without a format");
	refused("{a:YYYY/MM}", 8, "\"/\" inside a tag");
	refused("{a|x/y}", 5, "\"/\" inside a tag");
	refused("{a/b}", 3, "unexpected character in a tag");
	refused("{a|{b}}", 4, "\"{\" inside a tag");
	refused("a}b", 2, "\"}\" without a tag");
	refused("a\nb", 2, "control character");
	refused("a\xC2\x85", 2, "control character");
	refused("a\xFF", 1, "not valid UTF-8");
	refused("{file.kind}/{dossier_label}", 1,
			"the first folder has a tag of the file");
	for (int i = 0; i < CS_TEMPLATE_TAGS_MAX + 1; i++)
		strcat(many, "{a}");
	refused(many, CS_TEMPLATE_TAGS_MAX * 3 + 1, "too many tags");
	many[0] = '\0';
	for (int i = 0; i < CS_TEMPLATE_SEGMENTS_MAX + 1; i++)
		strcat(many, i ? "/a" : "a");
	refused(many, CS_TEMPLATE_SEGMENTS_MAX * 2 + 1, "too many folders");
	memset(many, 'a', sizeof(many));
	many[sizeof(many) - 1] = '\0';
	refused(many, 1, "too long");
}

static void
rendering(void)
{
	const char *two[] = {"2026", "Dupont / Fils"};
	const char *nothing[] = {NULL, "  \n"};
	const char *dots[] = {"..", "."};
	const char *blanks[] = {"  Dupont\n", "x"};
	const char *file[] = {NULL, "../../x"};
	const char *three[] = {"2026", NULL, "old"};
	CsTemplate *t;

	folder("{a}/{b}", two, "2026/Dupont - Fils");
	folder("/Clients/{a}-{b}/", two, "Clients/2026-Dupont - Fils");
	folder("{{{a}}}/}}{{{b}", two, "{2026}/}{Dupont - Fils");
	folder("{a}/{b}", nothing, "_/_");
	folder("{a|none}/{b|no name}", nothing, "none/no name");
	folder("{a|}x/{b|}", nothing, "x/_");
	folder("{a|none}", two, "2026");
	folder("{a}/{b}", dots, "_/_");
	folder("{a}{b}", dots, "...");
	folder("{b}{b}", (const char *[]){".", "."}, "_");
	folder("{a} {b}", blanks, "Dupont x");
	folder("a:b", NULL, "a:b");
	t = parsed("{a}/{file.kind}/{b}-x");
	tap_is(cs_template_folder(t, three, &local), "2026", "the dossier's folder");
	tap_is(cs_template_subfolder(t, three, file, &local), "..-..-x/old-x",
		   "a file's folder");
	t = parsed("{a}");
	tap_is(cs_template_subfolder(t, two, NULL, &local), "", "none");
}

/* Random templates with random values never give a path that is none. */
static void
any_bytes(void)
{
	static const char pieces[] = "{}{}{}|:./\"ab \\\n\xC3\xA9-";
	unsigned state = 22112026;
	int bad = 0;
	int good = 0;

	for (int i = 0; i < 200000 && bad < 5; i++)
	{
		CsTemplateError error = {0};
		CsTemplate *t;
		char text[64];
		char value[64];
		const char *values[CS_TEMPLATE_TAGS_MAX];
		size_t len = tap_random(&state) % 24;
		char *path;

		for (size_t j = 0; j < len; j++)
			text[j] = pieces[tap_random(&state) % (sizeof(pieces) - 1)];
		text[len] = '\0';
		for (size_t j = 0; j < 20; j++)
			value[j] = (char) (1 + tap_random(&state) % 255);
		value[20] = '\0';
		for (int j = 0; j < CS_TEMPLATE_TAGS_MAX; j++)
			values[j] = tap_random(&state) % 4 ? value : NULL;
		t = cs_template_parse(text, &error);
		if (t == NULL)
		{
			if (error.position < 1 || error.message[0] == '\0')
				bad++;
			continue;
		}
		good++;
		path = psprintf("/%s", cs_template_folder(t, values, &local));
		if (cs_path_problem(path, 0) != NULL)
		{
			printf("# %s: \"%s\"\n", path, text);
			bad++;
		}
		cs_template_free(t);
	}
	tap_ok(bad == 0 && good > 1000, "random templates and values (%d good)",
		   good);
}

int
main(void)
{
	tags();
	refusals();
	rendering();
	any_bytes();
	return tap_done();
}
