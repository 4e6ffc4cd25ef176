/*
 * path.c
 *	  Paths at a provider: checked, normalised, taken apart and joined.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/path.h"
#include "cloudsync/utf8.h"
#include "lib/stringinfo.h"

/* Why the len bytes at name cannot be a component; NULL: they can. */
static const char *
component_problem(const char *name, size_t len, int flags)
{
	if (len == 0)
		return "contains an empty component";
	if (len == 1 && name[0] == '.')
		return "contains a component \".\"";
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return "contains a component \"..\"";
	for (size_t done = 0; done < len;)
	{
		uint32 c;
		int n = cs_utf8_decode(name + done, len - done, &c);

		if (n == 0)
			return "is not valid UTF-8";
		if (c == '/')
			return "contains a \"/\" in a name";
		if ((c < 0x20 || (c >= 0x7F && c < 0xA0)) &&
			!(flags & CS_PATH_CONTROLS))
			return "contains a control character";
		done += (size_t) n;
	}
	return NULL;
}

const char *
cs_path_name_problem(const char *name, int flags)
{
	return component_problem(name, strlen(name), flags);
}

const char *
cs_path_problem(const char *path, int flags)
{
	if (path[0] != '/')
		return "is not absolute";
	if (strlen(path) > CS_PATH_MAX)
		return "is too long";
	if (path[1] == '\0')
		return NULL;
	for (;;)
	{
		size_t len = strcspn(++path, "/");
		const char *why = component_problem(path, len, flags);

		if (why != NULL)
			return why;
		path += len;
		if (*path == '\0')
			return NULL;
	}
}

char *
cs_path_normalize(const char *path, int flags, const char **why)
{
	StringInfoData buf;

	if (strlen(path) > CS_PATH_MAX)
	{
		*why = "is too long";
		return NULL;
	}
	initStringInfo(&buf);
	for (;;)
	{
		size_t len;

		path += strspn(path, "/");
		if (*path == '\0')
			break;
		len = strcspn(path, "/");
		*why = component_problem(path, len, flags);
		if (*why != NULL)
		{
			pfree(buf.data);
			return NULL;
		}
		appendStringInfoChar(&buf, '/');
		appendBinaryStringInfo(&buf, path, (int) len);
		path += len;
	}
	if (buf.len == 0)
		appendStringInfoChar(&buf, '/');
	*why = NULL;
	return buf.data;
}

char *
cs_path_join(const char *folder, const char *below)
{
	if (below[0] == '/')
		below++;
	if (below[0] == '\0')
		return pstrdup(folder);
	if (strcmp(folder, "/") == 0)
		folder = "";
	return psprintf("%s/%s", folder, below);
}

char *
cs_path_parent(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL || slash == path)
		return pstrdup("/");
	return pnstrdup(path, (Size) (slash - path));
}

const char *
cs_path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

const char *
cs_path_below(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	if (strcmp(folder, "/") == 0)
		return path[0] == '/' ? path + 1 : NULL;
	if (strncmp(path, folder, len) != 0)
		return NULL;
	if (path[len] == '\0')
		return path + len;
	return path[len] == '/' ? path + len + 1 : NULL;
}

bool
cs_path_is_below(const char *path, const char *folder)
{
	const char *rest = cs_path_below(path, folder);

	return rest != NULL && rest[0] != '\0';
}
