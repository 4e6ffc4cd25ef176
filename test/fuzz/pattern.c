/*
 * pattern.c
 *	  Fuzz target: patterns of names and paths (L7). The first byte says where
 *	  the pattern ends and the path begins.
 */
#include "postgres_fe.h"

#include "cloudsync/pattern.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t end = size > 0 ? Min(data[0], size - 1) : 0;
	char *text = pnstrdup(size > 0 ? (const char *) data + 1 : "", end);
	char *path = pnstrdup(size > 0 ? (const char *) data + 1 + end : "",
						  size > 0 ? size - 1 - end : 0);
	const char *slash = strrchr(path, '/');
	CsPatternError error = {0};

	for (int ignore_case = 0; ignore_case < 2; ignore_case++)
	{
		CsPattern *pattern = cs_pattern_compile(text, ignore_case, &error);

		if (pattern != NULL)
		{
			bool first = cs_pattern_matches(
				pattern, slash != NULL ? slash + 1 : path, path);

			/* Its working memory leaves no trace. */
			if (cs_pattern_matches(pattern, slash != NULL ? slash + 1 : path,
								   path) != first)
				abort();
			cs_pattern_free(pattern);
		}
		else if (error.message[0] == '\0')
			abort();
	}
	pfree(text);
	pfree(path);
	return 0;
}
