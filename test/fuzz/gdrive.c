/*
 * gdrive.c
 *	  Fuzz target: the Google Drive provider's conversations with a service that
 *	  says anything (web.h): My Drive, or a shared drive with exports, by the
 *	  first byte.
 */
#include "postgres_fe.h"

#include "web.h"

#define API "https://www.googleapis.com"
#define SESSION API "/upload/drive/v3/files?upload_id=u1"
#define MD5_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define MD5_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
/* of a body: fuzz's SHA-256 of it is all "b" */
#define SHA256_B                                                               \
	"6262626262626262626262626262626262626262626262626262626262626262"
#define VERSION_A MD5_A ":5:r1"

#define ITEM(id, name, more)                                                   \
	"{\"id\":\"" id "\",\"name\":\"" name "\",\"parents\":[\"p1\"],"           \
	"\"createdTime\":\"2026-11-22T10:00:00.000Z\","                            \
	"\"modifiedTime\":\"2026-11-22T10:00:00.000Z\",\"version\":\"7\"," more "}"
#define BYTES(size, md5)                                                       \
	"\"mimeType\":\"text/plain\",\"size\":\"" size "\",\"md5Checksum\":\"" md5 \
	"\",\"headRevisionId\":\"r1\""
#define FILE_OF(id, name, size, md5) ITEM(id, name, BYTES(size, md5))
#define OURS                                                                   \
	ITEM("i1", "f.txt", BYTES("5", MD5_B) ",\"sha256Checksum\":\"" SHA256_B "\"")
#define FOLDER(id, name)                                                       \
	ITEM(id, name, "\"mimeType\":\"application/vnd.google-apps.folder\"")
#define NATIVE(id, name, kind)                                                 \
	ITEM(id, name, "\"mimeType\":\"application/vnd.google-apps." kind "\"")
#define SHORTCUT(id, name, target)                                             \
	ITEM(id, name,                                                             \
		 "\"mimeType\":\"application/vnd.google-apps.shortcut\","              \
		 "\"shortcutDetails\":{\"targetId\":\"" target                         \
		 "\",\"targetMimeType\":\"text/plain\"}")
#define TRASHED(id)                                                            \
	ITEM(id, "f.txt", BYTES("5", MD5_A) ",\"trashed\":true")
#define FILES(list) "{\"files\":[" list "]}"
#define CHANGE(file)                                                           \
	"{\"changeType\":\"file\",\"removed\":false,\"fileId\":\"i1\",\"file\":" file "}"
#define ERROR(status, reason)                                                  \
	"{\"error\":{\"code\":" status ",\"message\":\"its words\",\"errors\":"    \
	"[{\"domain\":\"global\",\"reason\":\"" reason "\"}]}}"

static const char *const words[] = {
	OURS,
	FILE_OF("i1", "f.txt", "5", MD5_A),
	FILE_OF("i1", "f.txt", "9", MD5_B),
	FILE_OF("i1", "f.txt", "40000000", MD5_B),
	TRASHED("i1"),
	FOLDER("p1", "d"),
	FOLDER("p2", "x"),
	NATIVE("n1", "Letter", "document"),
	NATIVE("n2", "Form", "form"),
	SHORTCUT("s1", "link", "i1"),
	SHORTCUT("s2", "self", "s2"),
	FILES(""),
	FILES(FOLDER("p1", "d")),
	FILES(FOLDER("p1", "f.txt") "," FOLDER("p2", "f.txt")),
	FILES(FILE_OF("i1", "f.txt", "5", MD5_A) "," FILE_OF("i2", "f.txt", "5",
														 MD5_B)),
	FILES(FILE_OF("i1", "..", "5", MD5_A) "," FILE_OF("i2", "a/b", "5", MD5_B) ","
		  FILE_OF("i3", "", "5", MD5_B) "," FILE_OF("../x", "g", "5", MD5_B)),
	FILES(SHORTCUT("s1", "link", "i1") "," NATIVE("n1", "Letter", "document") ","
		  FOLDER("p3", "sub") "," TRASHED("i4")),
	"{\"incompleteSearch\":true,\"nextPageToken\":\"t 1\",\"files\":[]}",
	"{\"nextPageToken\":\"t1\",\"files\":[" FILE_OF("i1", "g", "5", MD5_A) "]}",
	"{\"ids\":[\"g1\",\"g2\",\"g3\"]}",
	"{\"ids\":[\"../g\",\"\",7]}",
	"{\"startPageToken\":\"70\"}",
	"{\"changes\":[" CHANGE(OURS) "],\"newStartPageToken\":\"71\"}",
	"{\"changes\":[" CHANGE(SHORTCUT("s1", "link", "i1")) "," CHANGE(
		TRASHED("i1")) "],\"nextPageToken\":\"71\"}",
	"{\"changes\":[{\"changeType\":\"file\",\"removed\":true,\"fileId\":\"i1\"},"
	"{\"changeType\":\"drive\",\"driveId\":\"d\"}],\"newStartPageToken\":\"72\"}",
	"{\"newStartPageToken\":\"73\"}",
	"{\"changes\":7}",
	"{\"user\":{\"permissionId\":\"9\",\"emailAddress\":\"a@b.c\"},"
	"\"storageQuota\":{\"usage\":\"5\",\"limit\":\"9\"}}",
	"{\"id\":\"0Adrive\",\"name\":\"Team\"}",
	"{\"exportLinks\":{\"application/pdf\":\"https://docs.google.com/x?id=1\"}}",
	"{\"exportLinks\":{\"application/pdf\":\"https://other.example/x\"}}",
	ERROR("403", "userRateLimitExceeded"),
	ERROR("403", "storageQuotaExceeded"),
	ERROR("403", "insufficientFilePermissions"),
	ERROR("403", "exportSizeLimitExceeded"),
	ERROR("403", "fileNotDownloadable"),
	ERROR("404", "notFound"),
	ERROR("409", "fileIdInUse"),
	ERROR("401", "authError"),
	"{\"error\":{\"details\":[{\"reason\":\"SERVICE_DISABLED\"}]}}",
	"{}",
	"[",
	"{\"id\":",
	"\"",
	"\\u0000",
	"<html>",
	SESSION,
	"https://other.example/upload?upload_id=u1",
	"bytes=0-4",
	"bytes=0-16777215",
	"bytes=0-39999999",
	"bytes=5-8",
	"bytes 5-8/9",
	"application/json",
	"5",
	"-1",
	"99999999999999999999",
	"\xff"};

static const char *const headers[] = {"location",	   "range",
									  "content-range", "content-type",
									  "content-length", "retry-after"};

static const char *
healthy(const CsRequest *request)
{
	if (strstr(request->url, "generateIds") != NULL)
		return "{\"ids\":[\"g1\",\"g2\",\"g3\",\"g4\",\"g5\",\"g6\"]}";
	if (strstr(request->url, "startPageToken") != NULL)
		return "{\"startPageToken\":\"70\"}";
	if (strstr(request->url, "/changes?") != NULL)
		return "{\"changes\":[" CHANGE(OURS) "],\"newStartPageToken\":\"71\"}";
	if (strstr(request->url, "&q=") != NULL)
		return strstr(request->url, "name%3D") != NULL
				   ? FILES("")
				   : FILES(FILE_OF("i2", "g", "5", MD5_A));
	if (strcmp(request->method, "POST") == 0 &&
		strstr(request->url, "/upload/") == NULL)
		return FOLDER("g6", "d");
	return OURS;
}

/* Does this piece of an upload session make the file visible? */
static bool
is_last_piece(const CsRequest *request)
{
	for (int i = 0; request->headers[i].name != NULL; i++)
	{
		long long from, to, total;

		if (strcmp(request->headers[i].name, "Content-Range") == 0 &&
			sscanf(request->headers[i].value, "bytes %lld-%lld/%lld", &from,
				   &to, &total) == 3)
			return to + 1 == total;
	}
	return false;
}

/* Files are never deleted; nothing unrecorded becomes visible. */
static void
check(const CsOp *op, const CsRequest *request, bool recorded)
{
	bool patches = strcmp(request->method, "PATCH") == 0;
	bool uploads = strstr(request->url, "/upload/") != NULL;

	if (strcmp(request->method, "DELETE") == 0)
		MUST((op->kind == CS_OP_DISCARD || op->kind == CS_OP_PUT) && uploads &&
			 strstr(request->url, "upload_id=") != NULL);
	if (request->send == CS_SEND_BODY)
		MUST(uploads && (recorded || (strcmp(request->method, "PUT") == 0 &&
									  !is_last_piece(request))));
	if (uploads)
		MUST(op->kind == CS_OP_PUT || op->kind == CS_OP_DISCARD);
	if (patches && !uploads)
		MUST(op->kind == CS_OP_MOVE || op->kind == CS_OP_TRASH);
	if (strcmp(request->method, "POST") == 0 && !uploads)
		MUST(op->kind == CS_OP_MKDIR);
	MUST(strstr(request->url, "/../") == NULL);
}

static const CsOption mine[] = {{NULL}};
static const CsOption shared[] = {{"drive_id", "0Adrive"},
								  {"export", "docx pdf"},
								  {NULL}};

#define DOCUMENT "doc:pdf:2026-11-22T10:00:00.000Z"

static const WebTarget target = {
	.ways = {{&cs_provider_gdrive, mine},
			 {&cs_provider_gdrive, shared},
			 {&cs_provider_gdrive, mine, DOCUMENT},
			 {&cs_provider_gdrive, shared, DOCUMENT},
			 {&cs_provider_gdrive, mine, NULL, "id:g9"},
			 {&cs_provider_gdrive, shared, NULL, "id:g9"},
			 {&cs_provider_gdrive, mine, DOCUMENT, "id:g9"},
			 {&cs_provider_gdrive, shared, DOCUMENT, "id:g9"}},
	.version = VERSION_A,
	.session = "secret:id:g9 size:40000000 upload:" SESSION,
	.cursor = "70",
	.checksum = MD5_B,
	.headers = headers,
	.n_headers = lengthof(headers),
	.words = words,
	.n_words = lengthof(words),
	.healthy = healthy,
	.check = check,
};
