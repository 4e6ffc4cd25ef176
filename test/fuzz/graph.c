/*
 * graph.c
 *	  Fuzz target: the conversations of OneDrive and SharePoint with a service
 *	  that says anything (web.h): a drive that is known, a site's library, or a
 *	  personal drive, by the first byte.
 */
#include "postgres_fe.h"

#include "web.h"

#define API "https://graph.microsoft.com/v1.0"
#define FILES "https://contoso.sharepoint.com"
#define SESSION FILES "/uploadSession?guid=1&tempauth=x"
/* of a body: fuzz's SHA-256 of it is all "b" */
#define HASH_A "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define HASH_B "YmJiYmJiYmJiYmJiYmJiYmJiYmI="
#define SHA256_B                                                               \
	"6262626262626262626262626262626262626262626262626262626262626262"

#define BY(program)                                                            \
	",\"createdBy\":{\"application\":{\"id\":\"us\"},\"user\":{\"id\":\"u\"}}," \
	"\"lastModifiedBy\":{\"application\":{\"id\":\"" program                   \
	"\"},\"user\":{\"id\":\"u\"}}"
#define ITEM(id, name, more)                                                   \
	"{\"id\":\"" id "\",\"name\":\"" name "\",\"eTag\":\"\\\"{1},1\\\"\","     \
	"\"createdDateTime\":\"2025-11-22T08:26:40Z\","                            \
	"\"lastModifiedDateTime\":\"2025-11-22T08:26:41Z\","                       \
	"\"parentReference\":{\"driveId\":\"b!d\",\"id\":\"p1\","                  \
	"\"path\":\"/drives/b!d/root:/d\"}" more "}"
#define BYTES(size, hash)                                                      \
	",\"size\":" size ",\"file\":{\"hashes\":{\"quickXorHash\":\"" hash "\"}}"
#define LINK(url) ",\"@microsoft.graph.downloadUrl\":\"" url "\""
#define FILE_OF(id, name, size, hash)                                          \
	ITEM(id, name, BYTES(size, hash) BY("us"))
#define OURS                                                                   \
	ITEM("i1", "f.txt",                                                        \
		 BYTES("5", HASH_B) BY("us") LINK(FILES "/download.aspx?tempauth=y"))
#define WORD(program) ITEM("i1", "f.docx", BYTES("77", HASH_A) BY(program))
#define FOLDER(id, name) ITEM(id, name, ",\"folder\":{\"childCount\":2}")
#define ROOT "{\"id\":\"r1\",\"name\":\"root\",\"root\":{},\"folder\":{}}"
#define DELETED(id) "{\"id\":\"" id "\",\"deleted\":{\"state\":\"deleted\"}}"
#define LIST(items) "{\"value\":[" items "]}"
#define NEXT(items, url)                                                       \
	"{\"@odata.nextLink\":\"" url "\",\"value\":[" items "]}"
#define DELTA(items, url)                                                      \
	"{\"@odata.deltaLink\":\"" url "\",\"value\":[" items "]}"
#define UPLOAD(url)                                                            \
	"{\"uploadUrl\":\"" url "\",\"expirationDateTime\":\"2026-11-22T11:00:00Z\"" \
	"}"
#define RANGES(from) "{\"nextExpectedRanges\":[\"" from "\"]}"
#define ERROR(code, inner)                                                     \
	"{\"error\":{\"code\":\"" code "\",\"message\":\"its words\","             \
	"\"innerError\":{\"code\":\"" inner "\"}}}"

static const char *const words[] = {
	OURS,
	FILE_OF("i1", "f.txt", "5", HASH_A),
	FILE_OF("i1", "f.txt", "9", HASH_B),
	FILE_OF("i1", "f.txt", "40000000", HASH_B),
	FILE_OF("i2", "g", "0", ""),
	WORD("us"),
	WORD("them"),
	ITEM("i1", "f.txt",
		 ",\"size\":5,\"file\":{\"hashes\":{\"sha256Hash\":\"" SHA256_B "\"}}"),
	ITEM("i1", "f.txt", ",\"size\":\"5\",\"file\":7"),
	ITEM("i1", "f.txt", BYTES("5", HASH_A) LINK("http://other.example/x")),
	ITEM("i1", "f.txt", BYTES("5", HASH_A) LINK("https://o/\\r\\nX: 1")),
	FOLDER("p1", "d"),
	FOLDER("p1", "x"),
	ROOT,
	DELETED("i1"),
	LIST(""),
	LIST(OURS),
	LIST(FOLDER("p2", "f.txt") "," FILE_OF("i2", "f.txt", "5", HASH_A)),
	LIST(FILE_OF("i1", "..", "5", HASH_A) "," FILE_OF(
		"i2", "a/b", "5", HASH_B) "," FILE_OF("i3", "", "5", HASH_B) ","
		 FILE_OF("../x", "g", "-5", HASH_B)),
	LIST(ITEM("s1", "link", ",\"remoteItem\":{\"id\":\"x\"}") ","
		 ITEM("n1", "book", ",\"package\":{}") "," ITEM(
			 "v1", "virus", BYTES("5", HASH_A) ",\"malware\":{}")),
	NEXT(OURS, API "/drives/b%21d/root/children?$skiptoken=1"),
	NEXT("", API "/drives/b%21d/root/children?$skiptoken=1"),
	NEXT("", "https://other.example/next"),
	NEXT("", API "/a\\r\\nb"),
	DELTA(ROOT "," FOLDER("p1", "d") "," OURS, API "/delta?token=2"),
	DELTA(OURS "," OURS "," DELETED("i1"), API "/delta?token=3"),
	DELTA("", API "/delta?token=latest"),
	DELTA("", "https://other.example/delta"),
	DELTA("", API "/drives/b%21d/root/delta?token=4"),
	"{\"value\":7}",
	UPLOAD(SESSION),
	UPLOAD("http://other.example/upload"),
	UPLOAD("https://o/a b"),
	RANGES("0-"),
	RANGES("10485760-39999999"),
	RANGES("39999999-"),
	RANGES("99999999999999-"),
	"{\"nextExpectedRanges\":[]}",
	"{\"id\":\"b!d\",\"name\":\"Documents\",\"driveType\":\"documentLibrary\","
	"\"webUrl\":\"https://c/Shared%20Documents\",\"quota\":{\"used\":5,"
	"\"total\":9},\"owner\":{\"user\":{\"email\":\"a@b.c\"}}}",
	"{\"id\":\"0123\",\"driveType\":\"personal\",\"quota\":{\"used\":\"x\"}}",
	LIST("{\"id\":\"b!d\",\"name\":\"Cases\",\"driveType\":\"documentLibrary\"}"),
	"{\"id\":\"contoso,1,2\",\"displayName\":\"Team\"}",
	ERROR("itemNotFound", ""),
	ERROR("nameAlreadyExists", ""),
	ERROR("resourceModified", "entityTagDoesNotMatch"),
	ERROR("notAllowed", "resourceLocked"),
	ERROR("accessDenied", ""),
	ERROR("quotaLimitReached", ""),
	ERROR("activityLimitReached", "throttledRequest"),
	ERROR("invalidRange", "fragmentOverlap"),
	ERROR("resyncRequired", "resyncChangesApplyDifferences"),
	ERROR("invalidRequest", "syncStateNotFound"),
	ERROR("malwareDetected", ""),
	"{\"error\":{\"innererror\":{\"innererror\":{\"code\":\"lockMismatch\"}}}}",
	"{}",
	"[",
	"{\"id\":",
	"\"",
	"\\u0000",
	"<html>",
	FILES "/download.aspx?tempauth=z",
	API "/elsewhere",
	"http://other.example/download",
	"https://o/\r\nX: 1",
	"bytes 5-8/9",
	"bytes 0-4/5",
	"Sun, 22 Nov 2025 08:26:40 GMT",
	"5",
	"-1",
	"99999999999999999999",
	"\xff"};

static const char *const headers[] = {"location",	"content-range",
									  "date",		"content-length",
									  "request-id", "retry-after"};

static const char *
healthy(const CsRequest *request)
{
	if (strstr(request->url, "createUploadSession") != NULL)
		return UPLOAD(SESSION);
	if (strcmp(request->url, SESSION) == 0)
		return strcmp(request->method, "GET") == 0 ? RANGES("10485760-") : OURS;
	if (strstr(request->url, "delta") != NULL)
		return DELTA(ROOT "," FOLDER("p1", "d") "," OURS, API "/delta?token=2");
	if (strstr(request->url, "/children") != NULL)
		return strcmp(request->method, "GET") == 0 ? LIST(OURS)
												   : FOLDER("p2", "d");
	if (strstr(request->url, "/drives?") != NULL)
		return LIST("{\"id\":\"b!d\",\"name\":\"Cases\"}");
	if (strstr(request->url, "/items/") == NULL &&
		strstr(request->url, "/root") == NULL)
		return "{\"id\":\"b!d\",\"driveType\":\"business\"}";
	return OURS;
}

static const char *
header_of(const CsRequest *request, const char *name)
{
	for (int i = 0; request->headers[i].name != NULL; i++)
	{
		if (strcmp(request->headers[i].name, name) == 0)
			return request->headers[i].value;
	}
	return NULL;
}

/*
 * Contents go where they were meant to, recorded before; only the trash of what
 * was asked for, an upload of our own, and what did not arrive as it was sent are
 * deleted; no address without credentials is an open one.
 */
static void
check(const CsOp *op, const CsRequest *request, bool recorded)
{
	bool put = strcmp(request->method, "PUT") == 0;
	bool post = strcmp(request->method, "POST") == 0;

	if (request->anonymous)
	{
		MUST(strncmp(request->url, "https://", 8) == 0);
		MUST(op->kind == CS_OP_PUT || op->kind == CS_OP_GET ||
			 op->kind == CS_OP_MOVE || op->kind == CS_OP_TRASH ||
			 op->kind == CS_OP_DISCARD);
	}
	if (request->send == CS_SEND_BODY)
	{
		/* an upload of before was recorded with what it is of */
		MUST(put && (recorded || (request->anonymous && op->session != NULL)));
		MUST(request->anonymous == (header_of(request, "Content-Range") != NULL));
		MUST(request->anonymous ||
			 strstr(request->url, "conflictBehavior=fail") != NULL ||
			 strstr(request->url, "conflictBehavior=replace") != NULL);
	}
	else
		MUST(!put);
	if (strcmp(request->method, "DELETE") == 0)
		MUST(op->kind == CS_OP_TRASH || op->kind == CS_OP_PUT ||
			 (op->kind == CS_OP_DISCARD && request->anonymous));
	if (strcmp(request->method, "PATCH") == 0)
		MUST(op->kind == CS_OP_MOVE || op->kind == CS_OP_TRASH);
	if (post && strstr(request->url, "createUploadSession") != NULL)
	{
		MUST(op->kind == CS_OP_PUT);
		/* the service takes it in this order alone */
		MUST(strncmp(request->text, "{\"item\":{\"@microsoft.graph.", 26) == 0);
	}
	else if (post)
		MUST(op->kind == CS_OP_MKDIR || op->kind == CS_OP_PUT ||
			 op->kind == CS_OP_MOVE || op->kind == CS_OP_TRASH);
	MUST(strstr(request->url, "/../") == NULL);
}

static const CsOption known[] = {{"drive_id", "b!d"}, {NULL}};
static const CsOption personal[] = {{"drive_id", "0123"}, {NULL}};
static const CsOption site[] = {{"site", "https://contoso.sharepoint.com/sites/a"},
								{"library", "Cases"},
								{NULL}};

static const WebTarget target = {
	.ways = {{&cs_provider_onedrive, known},
			 {&cs_provider_onedrive, personal},
			 {&cs_provider_sharepoint, site}},
	.version = "q:" HASH_A,
	.session = "secret:" SHA256_B " " SESSION,
	.cursor = "b!d r1 work " API "/delta?token=1",
	.checksum = HASH_B,
	.headers = headers,
	.n_headers = lengthof(headers),
	.words = words,
	.n_words = lengthof(words),
	.healthy = healthy,
	.check = check,
};
