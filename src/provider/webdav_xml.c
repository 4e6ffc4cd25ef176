/*
 * webdav_xml.c
 *	  PROPFIND answers (RFC 4918, "multistatus"), piece by piece, into
 *	  resources, and resources into entries. A server's word is taken for
 *	  nothing that is outside of the folder that was asked for.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "cloudsync/path.h"
#include "cloudsync/utf8.h"
#include "lib/stringinfo.h"
#include "webdav.h"

#define MAX_TEXT (64 * 1024) /* of one element: a name of 10 KB, encoded */

/* What ends a name in an address; in a path only "/" does. */
#define HREF_END "/?#"

#define NS_DAV "DAV:"
#define NS_OWNCLOUD "http://owncloud.org/ns"

struct WdParser
{
	CsXml *xml;
	int level;		   /* of the element that is open: 1 is multistatus */
	WdResource *first; /* complete ones */
	WdResource **last;
	WdResource *current; /* within <response> */
	WdResource found;	 /* properties of this <propstat> */
	int found_status;
	bool in_propstat;
	bool in_property; /* within <prop> */
	bool in_type;	  /* within <resourcetype> */
	bool in_checksums;
	bool bad; /* no memory */
};

/* A copy; the parser may not raise an error within expat. */
static char *
keep(WdParser *parser, const char *text)
{
	size_t len = strlen(text);
	char *copy = palloc_extended(len + 1, MCXT_ALLOC_NO_OOM);

	if (copy == NULL)
		cs_xml_stop(parser->xml, "out of memory");
	else
		memcpy(copy, text, len + 1);
	return copy;
}

static void
set(WdParser *parser, char **field, const char *text)
{
	wd_free(*field);
	*field = keep(parser, text);
}

static void
clear(WdResource *resource)
{
	wd_free(resource->href);
	wd_free(resource->etag);
	wd_free(resource->length);
	wd_free(resource->modified);
	wd_free(resource->fileid);
	wd_free(resource->checksums);
	wd_free(resource->used);
	wd_free(resource->available);
	memset(resource, 0, sizeof(*resource));
}

void
wd_resource_free(WdResource *resource)
{
	clear(resource);
	pfree(resource);
}

static bool
is(const char *space, const char *name, const char *wanted)
{
	return strcmp(name, wanted) == 0 && strcmp(space, NS_DAV) == 0;
}

static void
on_start(void *arg, const char *space, const char *name,
		 const char **attributes)
{
	WdParser *parser = arg;

	parser->level++;
	if (parser->level == 1)
	{
		if (!is(space, name, "multistatus"))
			cs_xml_stop(parser->xml, "no list of WebDAV resources");
	}
	else if (parser->level == 2 && is(space, name, "response"))
	{
		parser->current = palloc_extended(sizeof(WdResource),
										  MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
		if (parser->current == NULL)
			cs_xml_stop(parser->xml, "out of memory");
	}
	else if (parser->current == NULL)
		return;
	else if (parser->level == 3 && is(space, name, "propstat"))
	{
		parser->in_propstat = true;
		parser->found_status = 0;
		clear(&parser->found);
	}
	else if (parser->level == 4 && parser->in_propstat)
		parser->in_property = is(space, name, "prop");
	else if (parser->level == 5 && parser->in_property)
	{
		parser->in_type = is(space, name, "resourcetype");
		parser->in_checksums =
			strcmp(name, "checksums") == 0 && strcmp(space, NS_OWNCLOUD) == 0;
	}
	else if (parser->level == 6 && parser->in_type &&
			 is(space, name, "collection"))
		parser->found.collection = true;
}

/* The number in "HTTP/1.1 200 OK"; 0 if it is none. */
static int
status_of(const char *text)
{
	const char *space = strchr(text, ' ');

	return space != NULL ? atoi(space) : 0;
}

/* Moves what this <propstat> had to the resource. */
static void
merge(WdResource *to, WdResource *from)
{
	char **pairs[][2] = {
		{&to->etag, &from->etag},			{&to->length, &from->length},
		{&to->modified, &from->modified},	{&to->fileid, &from->fileid},
		{&to->checksums, &from->checksums}, {&to->used, &from->used},
		{&to->available, &from->available}};

	to->has_properties = true;
	to->collection |= from->collection;
	for (int i = 0; i < (int) lengthof(pairs); i++)
	{
		if (*pairs[i][1] == NULL)
			continue;
		wd_free(*pairs[i][0]);
		*pairs[i][0] = *pairs[i][1];
		*pairs[i][1] = NULL;
	}
}

static void
property(WdParser *parser, const char *space, const char *name,
		 const char *text)
{
	WdResource *found = &parser->found;

	if (is(space, name, "getetag"))
		set(parser, &found->etag, text);
	else if (is(space, name, "getcontentlength"))
		set(parser, &found->length, text);
	else if (is(space, name, "getlastmodified"))
		set(parser, &found->modified, text);
	else if (is(space, name, "quota-used-bytes"))
		set(parser, &found->used, text);
	else if (is(space, name, "quota-available-bytes"))
		set(parser, &found->available, text);
	else if (strcmp(name, "fileid") == 0 && strcmp(space, NS_OWNCLOUD) == 0 &&
			 strlen(text) < 200)
		set(parser, &found->fileid, text);
}

static void
on_end(void *arg, const char *space, const char *name, const char *text)
{
	WdParser *parser = arg;
	int level = parser->level--;

	if (parser->current == NULL)
		return;
	if (level == 2)
	{
		*parser->last = parser->current;
		parser->last = &parser->current->next;
		parser->current = NULL;
	}
	else if (level == 3 && is(space, name, "href"))
		set(parser, &parser->current->href, text);
	else if (level == 3 && is(space, name, "status"))
		parser->current->status = status_of(text);
	else if (level == 3 && parser->in_propstat)
	{
		parser->in_propstat = false;
		if (parser->found_status >= 200 && parser->found_status <= 299)
			merge(parser->current, &parser->found);
		clear(&parser->found);
	}
	else if (level == 4 && parser->in_propstat && is(space, name, "status"))
		parser->found_status = status_of(text);
	else if (level == 4)
		parser->in_property = false;
	else if (level == 5 && parser->in_property)
	{
		parser->in_type = false;
		parser->in_checksums = false;
		property(parser, space, name, text);
	}
	else if (level == 6 && parser->in_checksums &&
			 strcmp(name, "checksum") == 0)
		set(parser, &parser->found.checksums, text);
}

WdParser *
wd_parser_create(void)
{
	static const CsXmlHandler handler = {on_start, on_end};
	WdParser *parser = palloc0(sizeof(WdParser));

	parser->last = &parser->first;
	parser->xml = cs_xml_create(&handler, parser, MAX_TEXT);
	return parser;
}

bool
wd_parse(WdParser *parser, const char *buf, int64 len, bool last)
{
	return cs_xml_parse(parser->xml, buf, (size_t) len, last);
}

const char *
wd_parser_problem(WdParser *parser)
{
	return cs_xml_problem(parser->xml);
}

WdResource *
wd_parser_take(WdParser *parser)
{
	WdResource *first = parser->first;

	parser->first = NULL;
	parser->last = &parser->first;
	return first;
}

void
wd_parser_free(WdParser *parser)
{
	while (parser->first != NULL)
	{
		WdResource *next = parser->first->next;

		wd_resource_free(parser->first);
		parser->first = next;
	}
	if (parser->current != NULL)
		wd_resource_free(parser->current);
	clear(&parser->found);
	cs_xml_free(parser->xml);
	pfree(parser);
}

/* A number of digits alone; -1 if it is none. */
int64
wd_number(const char *text)
{
	size_t len;

	if (text == NULL)
		return -1;
	text += strspn(text, " \t\r\n");
	len = strspn(text, "0123456789");
	if (len == 0 || len > 18 ||
		text[len + strspn(text + len, " \t\r\n")] != '\0')
		return -1;
	return (int64) strtoll(text, NULL, 10);
}

/* The SHA-256 in text like "SHA1:12ab SHA256:34cd". */
bool
wd_sha256_of(const char *text, uint8 *sha256)
{
	while (text != NULL && *text != '\0')
	{
		text += strspn(text, " \t\r\n,");
		if (pg_strncasecmp(text, "SHA256:", 7) == 0)
			return cs_unhex(text + 7, sha256, CS_SHA256_LENGTH);
		text += strcspn(text, " \t\r\n,");
	}
	return false;
}

/* Is it a quoted string that can stand in a header? */
static bool
is_quoted(const char *text, size_t len)
{
	if (len < 2 || len > 200 || text[0] != '"' || text[len - 1] != '"')
		return false;
	for (size_t i = 1; i < len - 1; i++)
	{
		if (text[i] <= 0x20 || text[i] > 0x7E || text[i] == '"')
			return false;
	}
	return true;
}

/*
 * What stands for a file's bytes: its ETag, if that is a strong one; without,
 * size and second of its last change. What servers append to an ETag for a
 * compressed answer is taken off. Apache calls an ETag of the form
 * "<size>-<microseconds>" weak in the first second of a file's life; since it
 * never gives it to other bytes, it counts.
 */
char *
wd_version(const char *etag, int64 size, int64 modified)
{
	static const char *const suffixes[] = {"-gzip\"", "--gzip\"", ";gzip\"",
										   "-br\""};
	bool weak = false;
	size_t len;
	char apache[32];

	if (etag != NULL)
	{
		etag += strspn(etag, " \t\r\n");
		if (strncmp(etag, "W/", 2) == 0)
		{
			weak = true;
			etag += 2;
		}
		len = strlen(etag);
		while (len > 0 && strchr(" \t\r\n", etag[len - 1]) != NULL)
			len--;
		snprintf(apache, sizeof(apache), "\"%llx-", (long long) size);
		if (is_quoted(etag, len) &&
			(!weak ||
			 (size >= 0 && strncmp(etag, apache, strlen(apache)) == 0 &&
			  strspn(etag + strlen(apache), "0123456789abcdef") >= 13)))
		{
			for (int i = 0; i < (int) lengthof(suffixes); i++)
			{
				size_t n = strlen(suffixes[i]);

				if (len > n + 1 && strncmp(etag + len - n, suffixes[i], n) == 0)
					return psprintf("%.*s\"", (int) (len - n), etag);
			}
			return pnstrdup(etag, len);
		}
	}
	if (size < 0 || modified <= 0)
		return NULL;
	return psprintf("%lld:%lld", (long long) size,
					(long long) (modified / 1000000));
}

/* --- where a resource is --------------------------------------------------- */

/* One name, in whatever normal form the server keeps it. */
static bool
same_name(const char *a, const char *b)
{
	return strcmp(a, b) == 0 ||
		   (strlen(a) <= WD_MAX_NAME && strlen(b) <= WD_MAX_NAME &&
			cs_utf8_valid(a) && strcmp(cs_utf8_nfc(a), cs_utf8_nfc(b)) == 0);
}

/* The next name of a path, and *len; NULL at its end, or at one of end. */
static const char *
next_name(const char **path, size_t *len, const char *end)
{
	const char *name;

	*path += strspn(*path, "/");
	name = *path;
	*len = strcspn(name, end);
	*path += *len;
	return *len > 0 ? name : NULL;
}

/* Goes past the names of expected; false if they are others. */
static bool
go_past(const char **href, const char *expected)
{
	const char *name;
	size_t len;

	while ((name = next_name(&expected, &len, "/")) != NULL)
	{
		char *wanted = pnstrdup(name, len);
		char *got = NULL;
		bool same;

		name = next_name(href, &len, HREF_END);
		if (name != NULL)
			got = cs_url_decode(name, len);
		same = got != NULL && same_name(got, wanted);
		pfree(wanted);
		wd_free(got);
		if (!same)
			return false;
	}
	return true;
}

/* The path in an href; NULL if it is another server's. */
static const char *
href_path(const WdService *service, const char *href)
{
	const char *path;

	href += strspn(href, " \t\r\n");
	if (href[0] == '/' && href[1] != '/')
		return href;
	if (pg_strncasecmp(href, "http", 4) != 0 ||
		!cs_url_same_origin(href, service->head.url))
		return NULL;
	path = strstr(href, "://");
	return path != NULL ? strchr(path + 3, '/') : NULL;
}

/*
 * A name that cannot be part of a path, readable: bytes that are not printable
 * ASCII as %HH, the start of it and a hash of the whole if it is long.
 */
static char *
readable(const char *name, size_t len)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < len && buf.len < 120; i++)
	{
		unsigned char c = (unsigned char) name[i];

		if (c <= 0x20 || c >= 0x7F || c == '/' || c == '\\')
			appendStringInfo(&buf, "%%%02x", c);
		else
			appendStringInfoChar(&buf, (char) c);
	}
	if (len > 100)
	{
		uint8 sha256[CS_SHA256_LENGTH];

		cs_sha256(name, len, sha256);
		appendStringInfo(&buf, "...%s", cs_hex(sha256, 8));
	}
	return buf.data;
}

/* The name of a child as an entry's path; refused if it can be none. */
static WdPlace
child(const char *folder, const char *raw, size_t len, CsEntry *entry)
{
	char *name = cs_url_decode(raw, len);
	const char *problem;

	if (name != NULL && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
	{
		pfree(name);
		return WD_ELSEWHERE;
	}
	problem =
		name != NULL ? cs_path_name_problem(name, CS_PATH_CONTROLS) : NULL;
	if (name == NULL)
		entry->refused = "The name is not well-formed.";
	else if (strlen(name) > WD_MAX_NAME)
		entry->refused = "The name is too long.";
	else if (problem != NULL && strchr(name, '/') != NULL)
		entry->refused = "The name contains a \"/\".";
	else if (problem != NULL)
		entry->refused = "The name is not valid UTF-8.";
	if (entry->refused == NULL)
		entry->path = cs_path_join(folder, name);
	else
		/* with an empty component, which no real path has */
		entry->path = psprintf("%s//%s", strcmp(folder, "/") == 0 ? "" : folder,
							   name != NULL ? readable(name, strlen(name))
											: readable(raw, len));
	wd_free(name);
	return WD_CHILD;
}

WdPlace
wd_entry(const WdService *service, const char *path, const WdResource *resource,
		 CsEntry *entry)
{
	const char *href =
		resource->href != NULL ? href_path(service, resource->href) : NULL;
	const char *name;
	size_t len;
	WdPlace place = WD_SELF;

	memset(entry, 0, sizeof(*entry));
	if (href == NULL || !go_past(&href, service->base_path) ||
		!go_past(&href, path))
		return WD_ELSEWHERE;
	name = next_name(&href, &len, HREF_END);
	if (name == NULL)
		entry->path = pstrdup(path);
	else
	{
		size_t more;

		if (next_name(&href, &more, HREF_END) != NULL)
			return WD_ELSEWHERE;
		place = child(path, name, len, entry);
		if (place == WD_ELSEWHERE)
			return place;
	}
	entry->name = strrchr(entry->path, '/') + 1;
	entry->kind = resource->collection ? CS_ENTRY_FOLDER : CS_ENTRY_FILE;
	entry->id = wd_copy(resource->fileid);
	entry->size = -1;
	entry->modified =
		resource->modified != NULL ? cs_http_date(resource->modified) : 0;
	if (entry->kind == CS_ENTRY_FILE)
	{
		entry->size = wd_number(resource->length);
		entry->version =
			wd_version(resource->etag, entry->size, entry->modified);
		entry->has_sha256 = wd_sha256_of(resource->checksums, entry->sha256);
	}
	if (entry->refused == NULL &&
		(!resource->has_properties ||
		 (resource->status != 0 &&
		  (resource->status < 200 || resource->status > 299))))
		entry->refused = "The server does not give access to it.";
	wd_web_url(service, entry);
	return place;
}

/* refused is always a static text. */
void
wd_entry_free(CsEntry *entry)
{
	wd_free((char *) entry->path);
	wd_free((char *) entry->id);
	wd_free((char *) entry->version);
	wd_free((char *) entry->web_url);
	memset(entry, 0, sizeof(*entry));
}
