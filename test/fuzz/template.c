/*
 * template.c
 *	  Fuzz target: folder templates and the names made of values (P10). The
 *	  first byte says where the template ends and the value for all tags begins.
 *	  Whatever they are, a folder that results is a path of names that stays
 *	  where it belongs.
 */
#include "postgres_fe.h"

#include "cloudsync/path.h"
#include "cloudsync/template.h"
#include "cloudsync/utf8.h"
#include "fuzz.h"

static void
must_be_below(const char *folder, const CsTemplate *template)
{
	char *path = cs_path_join("/root", folder);
	int names = 0;

	if (cs_path_problem(path, 0) != NULL || !cs_utf8_valid(path))
	{
		fprintf(stderr, "not a path: %s\n", path);
		abort();
	}
	for (const char *c = folder; *c != '\0'; c++)
		names += *c == '/';
	if (names >= template->n_segments)
	{
		fprintf(stderr, "a value added a level: %s\n", path);
		abort();
	}
	free(path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const CsNameRules rules = {.max_name_bytes = 255,
									  .forbidden = "<>:|?*"};
	size_t end = size > 0 ? Min(data[0], size - 1) : 0;
	char *text = pnstrdup(size > 0 ? (const char *) data + 1 : "", end);
	char *value = pnstrdup(size > 0 ? (const char *) data + 1 + end : "",
						   size > 0 ? size - 1 - end : 0);
	CsTemplateError error;
	CsTemplate *template = cs_template_parse(text, &error);

	if (template != NULL)
	{
		const char **values = palloc0((template->n_tags + 1) * sizeof(char *));
		char *folder;

		for (int i = 0; i < template->n_tags; i++)
			values[i] = i % 3 == 2 ? NULL : value;
		folder = cs_template_folder(template, values, &rules);
		must_be_below(folder, template);
		free(folder);
		folder = cs_template_subfolder(template, values, values, &rules);
		if (folder[0] != '\0')
			must_be_below(folder, template);
		free(folder);
		pfree(values);
		cs_template_free(template);
	}
	else if (error.message[0] == '\0' || error.position < 0)
		abort();
	pfree(text);
	pfree(value);
	return 0;
}
