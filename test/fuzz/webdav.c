/*
 * webdav.c
 *	  Fuzz target: the WebDAV provider's conversations with a server that says
 *	  anything (web.h): a plain one, or Nextcloud, by the first byte.
 */
#include "postgres_fe.h"

#include "web.h"

#define NS "<d:multistatus xmlns:d=\"DAV:\" xmlns:o=\"http://owncloud.org/ns\">"
#define FILE_AT(href, size, etag)                                              \
	"<d:response><d:href>" href "</d:href><d:propstat><d:prop>"                \
	"<d:resourcetype/><d:getcontentlength>" size "</d:getcontentlength>"       \
	"<d:getetag>" etag "</d:getetag><d:getlastmodified>"                       \
	"Sun, 22 Nov 2026 09:00:00 GMT</d:getlastmodified></d:prop>"               \
	"<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
#define FOLDER_AT(href)                                                        \
	"<d:response><d:href>" href "</d:href><d:propstat><d:prop>"                \
	"<d:resourcetype><d:collection/></d:resourcetype><o:fileid>i1</o:fileid>"  \
	"</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"

#define END "</d:multistatus>"
#define CLOUD "/remote.php/dav/files/anna"

static const char *const words[] = {
	NS FILE_AT("/dav/d/f.txt", "5", "\"v1\"") END,
	NS FILE_AT("/dav/d/f.txt", "9", "\"v2\"") END,
	NS FILE_AT("/dav/d/" TEMP, "5", "\"t\"") END,
	NS FILE_AT(CLOUD "/d/f.txt", "5", "\"v1\"") END,
	NS FOLDER_AT("/dav/d/") END,
	NS FOLDER_AT("/dav/d/f.txt/") FILE_AT("/dav/d/f.txt/a", "5", "\"v1\"")
		FOLDER_AT("/dav/d/f.txt/b/") END,
	NS FOLDER_AT(CLOUD "/d/f.txt/") FILE_AT(CLOUD "/d/f.txt/a", "5", "\"v1\"")
		END,
	NS FOLDER_AT("/dav/d/f.txt/") FILE_AT("/dav/d/f.txt/%2e%2e", "5", "\"v1\"")
		FILE_AT("/dav/d/f.txt/in%2Fside", "5", "x")
			FILE_AT("http://other.example/dav/d/f.txt/a", "5", "\"v1\"")
				FILE_AT("/dav/d/f.txt/%ff%00", "-1", "\"v1\"") END,
	NS FILE_AT("/remote.php/dav/uploads/anna/cloudsync-0123456789abcdef/00001",
			   "10485760", "\"v1\"") END,
	NS END,
	NS,
	"</d:multistatus>",
	FILE_AT("/dav/d/f.txt", "5", "\"v1\""),
	FILE_AT("/dav/d/f.txt", "9", "\"v2\""),
	FILE_AT("/dav/d/" TEMP, "5", "\"t\""),
	FILE_AT("/dav/d/a%20b%23%3F%25%C3%A9.txt", "5", "W/\"v1\""),
	FILE_AT("/dav/x/y/f.txt", "9", "\"v1\""),
	FOLDER_AT("/dav/"),
	FOLDER_AT("/dav/d/"),
	FOLDER_AT("/dav/d/f.txt/"),
	FOLDER_AT("/dav/d/f.txt/sub/"),
	FILE_AT("/dav/d/f.txt/in%2Fside", "5", "\"v1\""),
	FILE_AT("/dav/d/f.txt/sub", "", ""),
	FILE_AT("http://other.example/dav/d/f.txt", "5", "\"v1\""),
	FILE_AT("/dav/d/f.txt/%2e%2e", "5", "\"v1\""),
	FILE_AT("/dav/d/f.txt/%00", "5", "\"v1\""),
	FILE_AT("/dav/d/f.txt/%ff", "-1", "\"v1\""),
	FILE_AT("/remote.php/dav/files/anna/d/f.txt", "5", "\"v1\""),
	FILE_AT("/remote.php/dav/files/anna/d/f.txt/a", "5", "\"v1\""),
	FOLDER_AT("/remote.php/dav/files/anna/d/f.txt/b/"),
	FILE_AT("/remote.php/dav/uploads/anna/cloudsync-0123456789abcdef/00001",
			"10485760", "\"v1\""),
	"<d:response>",
	"</d:response>",
	"<d:href>",
	"</d:href>",
	"<d:status>HTTP/1.1 404 Not Found</d:status>",
	"<d:prop>",
	"<o:checksums>SHA256:",
	"</o:checksums>",
	"<d:quota-used-bytes>12</d:quota-used-bytes>",
	"<d:quota-available-bytes>-3</d:quota-available-bytes>",
	"<!DOCTYPE d [<!ENTITY a \"b\">]>",
	"&a;",
	"&#0;",
	"\"v1\"",
	"\"v2\"",
	"W/\"v1\"",
	"\"t\"",
	"5",
	"9",
	"-1",
	"99999999999999999999",
	"bytes 5-8/9",
	"bytes 0-4/5",
	"Sun, 22 Nov 2026 09:00:00 GMT",
	"https://cloud.example.com/dav/d/",
	"/dav/d/f.txt/",
	"https://other.example/",
	"SHA256:6262626262626262626262626262626262626262626262626262626262626262",
	"text/html",
	"application/xml",
	"<html>",
	"\x00",
	"\xff\xfe",
	"1 10485760 40000000"};

static const char *const headers[] = {
	"etag",		  "oc-etag",	   "content-length", "content-range",
	"location",	  "last-modified", "oc-checksum",	 "oc-fileid",
	"dav",		  "allow",		   "content-type",	 "content-encoding",
	"retry-after"};

static const char *
healthy(const CsRequest *request)
{
	if (strcmp(request->method, "PROPFIND") != 0)
		return "";
	if (strstr(request->url, "/uploads/") != NULL)
		return NS FILE_AT(
			"/remote.php/dav/uploads/anna/cloudsync-0123456789abcdef/00001",
			"10485760", "\"v1\"") END;
	if (strstr(request->url, TEMP) != NULL)
		return NS FILE_AT("/dav/d/" TEMP, "5", "\"t\"") END;
	return NS FOLDER_AT("/dav/d/f.txt/") FILE_AT("/dav/d/f.txt", "5", "\"v1\"")
		FILE_AT("/dav/d/f.txt/a", "5", "\"v1\"") END;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);
	size_t end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Nothing but what is temporary is deleted; nothing unrecorded becomes visible. */
static void
check(const CsOp *op, const CsRequest *request, bool recorded)
{
	bool temporary = strstr(request->url, "/.cloudsync-") != NULL ||
					 strstr(request->url, "/uploads/anna/cloudsync-") != NULL;

	if (strcmp(request->method, "DELETE") == 0)
		MUST(temporary);
	if (op->kind != CS_OP_PUT)
	{
		MUST(strcmp(request->method, "PUT") != 0);
		MUST(strcmp(request->method, "MOVE") != 0 || op->kind == CS_OP_MOVE ||
			 op->kind == CS_OP_TRASH);
		return;
	}
	if (strcmp(request->method, "MOVE") == 0)
		MUST(temporary && recorded);
	if (strcmp(request->method, "PUT") == 0 && !temporary)
		MUST(recorded && ends_with(request->url, ".txt"));
}

static const CsOption plain[] = {{"endpoint", "https://cloud.example.com/dav"},
								 {NULL}};
static const CsOption nextcloud[] = {
	{"endpoint", "https://cloud.example.com/remote.php/dav/files/anna"},
	{NULL}};

static const WebTarget target = {
	.ways = {{&cs_provider_webdav, plain}, {&cs_provider_webdav, nextcloud}},
	.version = "\"v1\"",
	.session = "1 10485760 40000000",
	.headers = headers,
	.n_headers = lengthof(headers),
	.words = words,
	.n_words = lengthof(words),
	.healthy = healthy,
	.check = check,
};
