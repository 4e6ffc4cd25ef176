/*
 * channel.c
 *	  What the SQL of channels needs from C: paths, patterns, and what a
 *	  provider can do. Relies on base/ and on the table of providers.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "cloudsync/path.h"
#include "cloudsync/pattern.h"
#include "cloudsync/provider.h"

PG_FUNCTION_INFO_V1(cloudsync_normal_folder);
PG_FUNCTION_INFO_V1(cloudsync_check_pattern);
PG_FUNCTION_INFO_V1(cloudsync_pattern_passes);
PG_FUNCTION_INFO_V1(cloudsync_provider_has_stable_ids);
PG_FUNCTION_INFO_V1(cloudsync_provider_watches);

static char *
utf8_from_server(const char *text)
{
	return pg_server_to_any(text, (int) strlen(text), PG_UTF8);
}

Datum
cloudsync_normal_folder(PG_FUNCTION_ARGS)
{
	char *folder = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *why;
	char *path;

	if (strncmp(folder, "id:", 3) == 0 && folder[3] != '\0')
		PG_RETURN_TEXT_P(cstring_to_text(folder));
	path = folder[0] == '\0' ? NULL
							 : cs_path_normalize(utf8_from_server(folder),
												 CS_PATH_CONTROLS, &why);
	if (path == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"%s\" is not a folder", folder),
						folder[0] == '\0'
							? errdetail("The path is empty.")
							: errdetail("The path %s.", why),
						errhint("Give an absolute path such as /Inbox, or a "
								"remote_id as id:... To see those there are: "
								"SELECT * FROM cloudsync_browse(connection);")));
	PG_RETURN_TEXT_P(cstring_to_text(
		pg_any_to_server(path, (int) strlen(path), PG_UTF8)));
}

static CsPattern *
compile(const char *text, bool ignore_case)
{
	CsPatternError error;
	CsPattern *pattern =
		cs_pattern_compile(utf8_from_server(text), ignore_case, &error);

	if (pattern == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("pattern \"%.*s\" is not valid: %s",
						pg_mbcliplen(text, (int) strlen(text), 100), text,
						error.message),
				 errdetail("At character %d.", error.position),
				 error.hint[0] ? errhint("%s", error.hint) : 0));
	return pattern;
}

Datum
cloudsync_check_pattern(PG_FUNCTION_ARGS)
{
	cs_pattern_free(compile(text_to_cstring(PG_GETARG_TEXT_PP(0)), false));
	PG_RETURN_VOID();
}

static bool
any_matches(ArrayType *patterns, bool ignore_case, const char *path)
{
	Datum *values;
	bool *nulls;
	int n;

	deconstruct_array(patterns, TEXTOID, -1, false, TYPALIGN_INT, &values,
					  &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		CsPattern *pattern;
		bool matches;

		if (nulls[i])
			continue;
		pattern = compile(TextDatumGetCString(values[i]), ignore_case);
		matches = cs_pattern_matches(pattern, cs_path_name(path), path);
		cs_pattern_free(pattern);
		if (matches)
			return true;
	}
	return false;
}

Datum
cloudsync_pattern_passes(PG_FUNCTION_ARGS)
{
	char *path = utf8_from_server(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	ArrayType *include = PG_GETARG_ARRAYTYPE_P(1);
	ArrayType *exclude = PG_GETARG_ARRAYTYPE_P(2);
	bool ignore_case = PG_GETARG_BOOL(3);

	PG_RETURN_BOOL((ArrayGetNItems(ARR_NDIM(include), ARR_DIMS(include)) == 0 ||
					any_matches(include, ignore_case, path)) &&
				   !any_matches(exclude, ignore_case, path));
}

Datum
cloudsync_provider_has_stable_ids(PG_FUNCTION_ARGS)
{
	const CsProvider *provider =
		cs_provider_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(provider != NULL && provider->stable_ids);
}

Datum
cloudsync_provider_watches(PG_FUNCTION_ARGS)
{
	const CsProvider *provider =
		cs_provider_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(provider != NULL && provider->watches);
}
