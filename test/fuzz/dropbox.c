/*
 * dropbox.c
 *	  Fuzz target: the Dropbox provider's conversations with a service that says
 *	  anything (web.h): a person's, or with the team's root, by the first byte.
 */
#include "postgres_fe.h"

#include "web.h"

#define HASH_A                                                                 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
/* the content hash of what has the SHA-256 of fuzz's bodies, all "b" */
#define HASH_B                                                                 \
	"bdb339768bc5e4fecbe55a442056919b2b325907d49bcbf3bf8de13781996a83"
#define TAG(tag) "{\".tag\":\"" tag "\"}"
#define IN(tag, inner) "{\".tag\":\"" tag "\",\"" tag "\":" inner "}"
#define ERROR(error) "{\"error_summary\":\"s/..\",\"error\":" error "}"
#define ENTRY(id, name, path, rev, size, hash)                                 \
	"{\".tag\":\"file\",\"id\":\"" id "\",\"name\":\"" name                    \
	"\",\"path_lower\":\"" path "\",\"path_display\":\"" path                  \
	"\",\"rev\":\"" rev "\",\"size\":" size ",\"content_hash\":\"" hash        \
	"\",\"client_modified\":\"2026-11-22T10:00:00Z\","                         \
	"\"server_modified\":\"2026-11-22T10:00:00Z\"}"
#define OURS ENTRY("id:1", "f.txt", "/d/f.txt", "r1", "5", HASH_A)
#define FOLDER(id, name, path)                                                 \
	"{\".tag\":\"folder\",\"id\":\"" id "\",\"name\":\"" name                  \
	"\",\"path_lower\":\"" path "\",\"path_display\":\"" path "\"}"
#define DELETED(name, path)                                                    \
	"{\".tag\":\"deleted\",\"name\":\"" name "\",\"path_lower\":\"" path       \
	"\",\"path_display\":\"" path "\"}"
#define PAGE(entries, more)                                                    \
	"{\"entries\":[" entries "],\"cursor\":\"c2\",\"has_more\":" more "}"
#define SUCCESS(entry) "{\".tag\":\"success\"," entry
#define WRONG(error) "{\".tag\":\"failure\",\"failure\":" error "}"

static const char *const words[] = {
	OURS,
	ENTRY("id:1", "f.txt", "/d/f.txt", "r2", "5", HASH_B),
	ENTRY("id:1", "F.TXT", "/d/f.txt", "r2", "9", HASH_A),
	ENTRY("id:2", "g", "/elsewhere/g", "r2", "40000000", HASH_A),
	ENTRY("id:2", "..", "/d/f.txt/..", "r2", "5", HASH_A),
	ENTRY("id:2", "a/b", "/d/f.txt/a/b", "", "-5", ""),
	FOLDER("id:3", "sub", "/d/f.txt/sub"),
	FOLDER("id:4", "d", "/d"),
	DELETED("g", "/d/f.txt/g"),
	PAGE("", "false"),
	PAGE("", "true"),
	PAGE(ENTRY("id:2", "g", "/d/f.txt/g", "r2", "5", HASH_A), "false"),
	PAGE(FOLDER("id:3", "Sub", "/d/f.txt/sub") ","
		 ENTRY("id:2", "g", "/d/f.txt/sub/g", "r2", "5", HASH_A) ","
		 DELETED("h", "/d/f.txt/sub/h"), "true"),
	PAGE(ENTRY("id:2", "..", "/d/f.txt/..", "r2", "5", HASH_A) ","
		 ENTRY("id:2", "g", "//", "r2", "5", HASH_A) ","
		 ENTRY("id:2", "", "/d/f.txt/", "r2", "5", HASH_A) ","
		 FOLDER("id:3", "..", "/d/f.txt/.."), "false"),
	"{\"session_id\":\"s1\"}",
	"{\"session_ids\":[\"s1\",\"s2\",\"s3\"]}",
	"{\"session_ids\":[\"s1\"]}",
	"{\"entries\":[" TAG("success") "," TAG("success") "," TAG("success") "]}",
	"{\"entries\":[" SUCCESS("\"name\":\"f.txt\",\"id\":\"id:1\",\"rev\":\"r2\","
							 "\"size\":5,\"path_lower\":\"/d/f.txt\"}") "]}",
	"{\"entries\":[" WRONG(TAG("too_many_write_operations")) ","
		WRONG(IN("path", IN("conflict", TAG("file")))) ","
		WRONG(IN("lookup_failed", TAG("not_found"))) "]}",
	"{\"entries\":[7,null]}",
	"{\"entries\":[]}",
	"{\"metadata\":" OURS "}",
	"{\"account_id\":\"dbid:1\",\"root_info\":{\".tag\":\"team\","
	"\"root_namespace_id\":\"7\",\"home_namespace_id\":\"8\"}}",
	"{\"used\":5,\"allocation\":{\".tag\":\"individual\",\"allocated\":9}}",
	ERROR(IN("path", TAG("not_found"))),
	ERROR(IN("path", IN("conflict", TAG("file")))),
	ERROR(IN("path", IN("conflict", TAG("folder")))),
	ERROR(IN("path", TAG("insufficient_space"))),
	ERROR(IN("path", TAG("disallowed_name"))),
	ERROR(IN("path", TAG("too_many_write_operations"))),
	ERROR("{\".tag\":\"incorrect_offset\",\"correct_offset\":16777216}"),
	ERROR("{\".tag\":\"incorrect_offset\",\"correct_offset\":-3}"),
	ERROR(IN("lookup_failed", TAG("not_found"))),
	ERROR(TAG("content_hash_mismatch")),
	ERROR(TAG("reset")),
	ERROR(TAG("expired_access_token")),
	ERROR(TAG("other")),
	"{\"error\":{\"reason\":{\".tag\":\"too_many_requests\"},\"retry_after\":1}}",
	"{\".tag\":\"invalid_root\",\"invalid_root\":{\".tag\":\"user\","
	"\"root_namespace_id\":\"9\"}}",
	"Unknown API function: \"files/upload_session/append_batch\"",
	"Error in call to API function: cursor",
	"null",
	"{\"changes\":true,\"backoff\":60}",
	"{\"changes\":false,\"backoff\":-1}",
	"{\"changes\":1,\"backoff\":99999999999999}",
	"{}",
	"[",
	"{\"entries\":",
	"\"",
	"\\u0000",
	"<html>",
	"5",
	"99999999999999999999",
	"\xff"};

static const char *const headers[] = {"dropbox-api-result", "content-type",
									  "content-length", "content-range",
									  "retry-after"};

static const char *
healthy(const CsRequest *request)
{
	if (strstr(request->url, "longpoll") != NULL)
		return "{\"changes\":true}";
	if (strstr(request->url, "list_folder") != NULL)
		return PAGE(ENTRY("id:2", "g", "/d/f.txt/g", "r2", "5", HASH_A), "false");
	if (strstr(request->url, "start_batch") != NULL)
		return "{\"session_ids\":[\"s1\",\"s2\",\"s3\"]}";
	if (strstr(request->url, "session/start") != NULL)
		return "{\"session_id\":\"s1\"}";
	if (strstr(request->url, "append_batch") != NULL)
		return "{\"entries\":[" TAG("success") "," TAG("success") "," TAG(
			"success") "]}";
	if (strstr(request->url, "append_v2") != NULL)
		return "null";
	if (strstr(request->url, "move_v2") != NULL ||
		strstr(request->url, "delete_v2") != NULL)
		return "{\"metadata\":" OURS "}";
	return OURS;
}

/* Nothing unrecorded becomes visible; only what is ours is deleted. */
static void
check(const CsOp *op, const CsRequest *request, bool recorded)
{
	bool puts = op->kind == CS_OP_PUT || op->kind == CS_OP_PUT_MANY;

	MUST(strcmp(request->method, "POST") == 0);
	/* without a token, and nothing else of its own */
	MUST((strstr(request->url, "longpoll") != NULL) == request->anonymous);
	MUST(request->anonymous == (op->kind == CS_OP_WATCH));
	MUST(request->anonymous == (request->held_ms > 0));
	if (strstr(request->url, "/files/upload") != NULL)
		MUST(puts);
	if (strstr(request->url, "/files/upload_session/finish") != NULL ||
		(strstr(request->url, "/files/upload") != NULL &&
		 strstr(request->url, "upload_session") == NULL))
		MUST(recorded);
	if (strstr(request->url, "delete_v2") != NULL)
		MUST(puts || op->kind == CS_OP_TRASH);
	if (strstr(request->url, "move_v2") != NULL)
		MUST(op->kind == CS_OP_MOVE || op->kind == CS_OP_TRASH);
	if (strstr(request->url, "create_folder") != NULL)
		MUST(op->kind == CS_OP_MKDIR || op->kind == CS_OP_MOVE ||
			 op->kind == CS_OP_TRASH);
}

static const CsOption mine[] = {{NULL}};
static const CsOption team[] = {{"path_root", "root"}, {NULL}};

static const WebTarget target = {
	.ways = {{&cs_provider_dropbox, mine}, {&cs_provider_dropbox, team}},
	.version = "r1",
	.session = "s:s1",
	.id = "id:1",
	.cursor = "c1",
	.checksum = HASH_B,
	.headers = headers,
	.n_headers = lengthof(headers),
	.words = words,
	.n_words = lengthof(words),
	.healthy = healthy,
	.check = check,
};
