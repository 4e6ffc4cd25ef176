/* sources: src/provider/dropbox*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Dropbox provider: its options, and its conversations replayed
 * (dropbox_play.h), but for uploads (dropbox_put.c, dropbox_many.c) and a space of a team's (dropbox_root.c).
 */
#include "postgres_fe.h"

#include "cloudsync/oauth.h"
#include "dropbox_play.h"

static const char *
opened(const char *key, const char *value)
{
	CsOption list[] = {{key, value}, {NULL}};
	CsFailure failure = {0};
	CsService *made = cs_provider_dropbox.open(list, &failure);

	if (made == NULL)
		return psprintf("%s: %s", class_names[failure.failure_class],
						failure.message);
	return psprintf("%s %s", made->url, made->more_urls[0]);
}

static void
test_options(void)
{
	CsOption none[] = {{NULL}};
	CsOption hosts[] = {{"api_endpoint", "https://127.0.0.1:1"},
						{"www_endpoint", "https://127.0.0.1:2/"},
						{NULL}};
	const CsOAuth *oauth = cs_provider_dropbox.oauth;

	tap_is(opened(NULL, NULL),
		   "https://api.dropboxapi.com https://content.dropboxapi.com",
		   "Dropbox");
	tap_is(opened("api_endpoint", "HTTPS://Here:443/"),
		   "https://here https://content.dropboxapi.com", "another host");
	tap_ok(strncmp(opened("content_endpoint", "file:///etc"),
				   "refused: option \"content_endpoint\"", 34) == 0,
		   "an endpoint that is none");
	tap_is(opened("path_root", "me"),
		   "refused: option \"path_root\" must be home, root or a namespace's "
		   "number",
		   "a root that is none");
	tap_is(opened("path_root", "12\",\"x"),
		   "refused: option \"path_root\" must be home, root or a namespace's "
		   "number",
		   "no header within a header");
	tap_is(opened("select_user", "dbmid:AAH\r\nX: y"),
		   "refused: option \"select_user\" must be a team member's id, which "
		   "begins with dbmid:",
		   "nor in a member's id");
	tap_is(oauth->authorize_url(none),
		   "https://www.dropbox.com/oauth2/authorize", "consent page");
	tap_is(oauth->token_url(none), "https://api.dropboxapi.com/oauth2/token",
		   "token server");
	tap_is(oauth->token_url(hosts), "https://127.0.0.1:1/oauth2/token",
		   "another token server");
	tap_is(oauth->authorize_url(hosts), "https://127.0.0.1:2/oauth2/authorize",
		   "another consent page");
	tap_ok(oauth->device_url(none) == NULL, "no device codes");
	tap_is(oauth->scopes(none),
		   "account_info.read files.metadata.read files.content.read "
		   "files.content.write",
		   "scopes");
}

#define ACCOUNT "API users/get_current_account null = "

static void
test_about(void)
{
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};

	FRESH;
	PLAY("about", &op, ACCOUNT "200 {\"account_id\":\"dbid:1\"}",
		 "API users/get_space_usage null = 200 {\"used\":5,\"allocation\":"
		 "{\".tag\":\"individual\",\"allocated\":9}}",
		 "DONE // of dbid:1 5/9");
	PLAY("about nonsense", &op, ACCOUNT "200 {\"a\":1}", "FAILED retry later");
	PLAY("taken back", &op, ACCOUNT "401 " ERROR(TAG("invalid_access_token")),
		 "FAILED needs consent");
	PLAY("suspended", &op, ACCOUNT "401 " ERROR(TAG("user_suspended")),
		 "FAILED unreachable");
	PLAY("scope", &op,
		 ACCOUNT "401 " ERROR("{\".tag\":\"missing_scope\","
							  "\"required_scope\":\"files.content.read\"}"),
		 "FAILED needs consent");
	tap_ok(strstr(last_failure.detail, "files.content.read") != NULL,
		   "the scope is named");
	PLAY("no words", &op, ACCOUNT "401", "FAILED needs consent");
	PLAY("plan", &op,
		 ACCOUNT "403 " ERROR(IN("invalid_account_type", TAG("endpoint"))),
		 "FAILED forbidden");
	PLAY("server", &op, ACCOUNT "500", "FAILED retry later");
	PLAY("lost", &op, ACCOUNT "lost", "FAILED retry later");
	PLAY("argument", &op, ACCOUNT "400 t:Error in call to API function",
		 "FAILED broken");
	PLAY("no such route", &op, ACCOUNT "404", "FAILED broken");
}

static void
test_busy(void)
{
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};
#define SLOW "{\"error\":{\"reason\":" TAG("too_many_requests")
#define USAGE "API users/get_space_usage null"

	FRESH;
	PLAY("put off by words", &op, ACCOUNT "429 " SLOW ",\"retry_after\":7}}",
		 "API users/get_current_account null wait 7 = 429 t:Too many",
		 "API users/get_current_account null wait 2 = 429 w:3",
		 "API users/get_current_account null wait 3 = 200 "
		 "{\"account_id\":\"dbid:1\"}",
		 USAGE " = 429 w:1",
		 USAGE " wait 1 = 200 {\"used\":5,\"allocation\":"
			   "{\".tag\":\"team\",\"used\":7,"
			   "\"allocated\":9}}",
		 "DONE // of dbid:1 7/9");
	PLAY("for long", &op, ACCOUNT "429 " SLOW ",\"retry_after\":300}}",
		 "FAILED retry later");
	tap_ok(last_failure.retry_after_ms == 300000, "as long as it said");
	PLAY("for ever", &op, ACCOUNT "429 w:1",
		 "API users/get_current_account null wait 1 = 429 w:1",
		 "API users/get_current_account null wait 1 = 429 w:1",
		 "API users/get_current_account null wait 1 = 429 w:1",
		 "API users/get_current_account null wait 1 = 429 w:1",
		 "API users/get_current_account null wait 1 = 429 w:1",
		 "FAILED retry later");
}

#define LOOK(path) "API files/get_metadata {\"path\":\"" path "\"} = "
#define NOT_FOUND PATH_ERROR("not_found")

static void
test_stat(void)
{
	CsOp op = {.kind = CS_OP_STAT, .path = "/D/é \U0001f600.txt"};
	CsOp root = {.kind = CS_OP_STAT, .path = "/"};
	CsOp id = {.kind = CS_OP_STAT, .path = "/x", .id = "id:1"};

	FRESH;
	PLAY("a file", &op,
		 LOOK("/D/\\u00e9 \\ud83d\\ude00.txt") "200 "
											   "{\".tag\":\"file\"," FILE_JSON(
												   "É.txt", "/d/é.txt", "id:1",
												   "r1", "5", "#a") "}",
		 "DONE /D/É.txt r1 5");
	PLAY("a folder", &op,
		 LOOK("/D/\\u00e9 \\ud83d\\ude00.txt") "200 "
											   "{\".tag\":"
											   "\"folder\"," FOLDER_JSON(
												   "f", "/d/f", "id:2") "}",
		 "DONE /D/f/");
	PLAY("nothing", &op, LOOK("/D/\\u00e9 \\ud83d\\ude00.txt") NOT_FOUND,
		 "FAILED gone");
	PLAY("by id", &id,
		 LOOK("id:1") "200 {\".tag\":\"file\"," FILE_JSON("y", "/z/y", "id:1",
														  "r1", "5", "#a") "}",
		 "DONE /z/y r1 5");
	PLAY("the root", &root,
		 "API files/list_folder {\"path\":\"\",\"limit\":1} = 200 {}",
		 "DONE //");
	PLAY("a bad name", &id, LOOK("id:1") PATH_ERROR("malformed_path"),
		 "FAILED refused");
	PLAY("a bad pattern", &id,
		 LOOK("id:1") "400 t:request body: path: 'x' did not match pattern",
		 "FAILED refused");
	PLAY("no JSON", &id, LOOK("id:1") "200 {\"name\":", "FAILED retry later");
	PLAY("a conflict of no kind", &id, LOOK("id:1") "409 {\"a\":1}",
		 "FAILED broken");
	open_with("path_root", "123");
	PLAY("in a namespace", &id,
		 "API files/get_metadata {\"path\":\"id:1\"} root {\".tag\":"
		 "\"namespace_id\",\"namespace_id\":\"123\"} = 422 " ERROR(
			 TAG("no_permission")),
		 "FAILED unreachable");
	open_with("select_user", "dbmid:AAH_-1");
	PLAY("for a member of the team", &id,
		 "API files/get_metadata {\"path\":\"id:1\"} for dbmid:AAH_-1 = 401 " ERROR(
			 TAG("invalid_select_user")),
		 "FAILED needs consent");
}

#define MKDIR                                                                  \
	"API files/create_folder_v2 {\"path\":\"/a/B\",\"autorename\":false} = "

static void
test_mkdir(void)
{
	CsOp op = {.kind = CS_OP_MKDIR, .path = "/a/B"};
	CsOp root = {.kind = CS_OP_MKDIR, .path = "/"};

	FRESH;
	PLAY("made", &op,
		 MKDIR "200 {\"metadata\":{" FOLDER_JSON("B", "/a/b", "id:1") "}}",
		 "DONE /a/B/");
	PLAY("there", &op,
		 MKDIR "409 " ERROR(IN("path", IN("conflict", TAG("folder")))),
		 LOOK("/a/B") "200 {\".tag\":\"folder\"," FOLDER_JSON("b", "/a/b",
															  "id:1") "}",
		 "DONE /a/B/");
	PLAY("lost", &op, MKDIR "lost",
		 LOOK("/a/B") "200 {\".tag\":\"folder\"," FOLDER_JSON("b", "/a/b",
															  "id:1") "}",
		 "DONE /a/B/");
	PLAY("lost and not made", &op, MKDIR "lost", LOOK("/a/B") NOT_FOUND,
		 "FAILED retry later");
	PLAY("a file", &op,
		 MKDIR "409 " ERROR(IN("path", IN("conflict", TAG("file")))),
		 "FAILED conflict");
	PLAY("below a file", &op,
		 MKDIR "409 " ERROR(IN("path", IN("conflict", TAG("file_ancestor")))),
		 "FAILED forbidden");
	PLAY("locked", &op,
		 MKDIR "409 " ERROR(IN("path", TAG("too_many_write_operations"))),
		 "API files/create_folder_v2 {\"path\":\"/a/B\",\"autorename\":false} "
		 "wait 1 = 200 {\"metadata\":{" FOLDER_JSON("B", "/a/b", "id:1") "}}",
		 "DONE /a/B/");
	PLAY("not allowed", &op, MKDIR PATH_ERROR("no_write_permission"),
		 "FAILED forbidden");
	PLAY("team folder", &op, MKDIR PATH_ERROR("team_folder"),
		 "FAILED forbidden");
	PLAY("full", &op, MKDIR PATH_ERROR("insufficient_space"), "FAILED quota");
	PLAY("disallowed", &op, MKDIR PATH_ERROR("disallowed_name"),
		 "FAILED refused");
	PLAY("unheard of", &op, MKDIR PATH_ERROR("brand_new_tag"),
		 "FAILED retry later");
	PLAY("the root", &root, "DONE //");
}

#define LIST(path, recursive)                                                  \
	"API files/list_folder {\"path\":\"" path "\",\"recursive\":" recursive    \
	",\"limit\":2000,\"include_deleted\":false,\"include_mounted_folders\":"   \
	"true,\"include_non_downloadable_files\":true} = "
#define MORE(cursor)                                                           \
	"API files/list_folder/continue {\"cursor\":\"" cursor "\"} = "
#define PAGE(entries, cursor, more)                                            \
	"200 {\"entries\":[" entries "],\"cursor\":\"" cursor                      \
	"\",\"has_more\":" more "}"
#define F(name, path, id)                                                      \
	"{\".tag\":\"file\"," FILE_JSON(name, path, id, "r1", "5", "#a") "}"
#define D(name, path, id)                                                      \
	"{\".tag\":\"folder\"," FOLDER_JSON(name, path, id) "}"
#define GONE(name, path)                                                       \
	"{\".tag\":\"deleted\",\"name\":\"" name "\",\"path_lower\":\"" path       \
	"\",\"path_display\":\"" path "\"}"

static void
test_list(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/"};
	CsOp deep = {.kind = CS_OP_LIST, .path = "/Cab/Scans", .recursive = true};
	CsOp byid = {
		.kind = CS_OP_LIST, .path = "/old", .id = "id:9", .recursive = true};

	FRESH;
	PLAY("a folder", &op,
		 LIST("", "false")
			 PAGE(F("a", "/a", "id:1") "," D("B", "/b", "id:2"), "c1", "true"),
		 "PAGE /a /B/", MORE("c1") PAGE("", "c2", "true"),
		 MORE("c2") PAGE(F("c", "/c", "id:3") "," GONE("a", "/a"), "c3",
						 "false"),
		 "PAGE /c", "DONE");
	PLAY("empty", &op, LIST("", "false") PAGE("", "c1", "false"), "DONE");
	PLAY("spelled as folders say", &deep,
		 LIST("/Cab/Scans", "true") PAGE(
			 D("scans", "/cab/scans", "id:1") "," D(
				 "Sub", "/cab/scans/sub",
				 "id:2") "," F("x", "/cab/scans/sub/x",
							   "id:3") "," F("y", "/cab/scans/other/y", "id:4"),
			 "c1", "false"),
		 "PAGE /Cab/Scans/Sub/ /Cab/Scans/Sub/x /Cab/Scans/other/y", "DONE");
	PLAY("by id", &byid,
		 LIST("id:9", "true")
			 PAGE(D("New", "/new", "id:9") "," F("x", "/new/x", "id:3"), "c1",
				  "false"),
		 "PAGE /new/x", "DONE");
	PLAY("what cannot be shown or read", &op,
		 LIST("", "false") PAGE(
			 "{\".tag\":\"file\",\"name\":\"p.paper\",\"path_lower\":\"/p."
			 "paper\",\"path_display\":\"/p.paper\",\"id\":\"id:5\",\"rev\":"
			 "\"r5\",\"size\":0,\"is_downloadable\":false},{\".tag\":\"file\","
			 "\"name\":\"unmounted\",\"path_lower\":null,\"id\":\"id:6\"}," F(
				 "..", "/..", "id:7"),
			 "c1", "false"),
		 "PAGE /p.paper! ///..!", "DONE");
	PLAY("gone", &deep, LIST("/Cab/Scans", "true") NOT_FOUND, "FAILED gone");
	PLAY("a file", &deep, LIST("/Cab/Scans", "true") PATH_ERROR("not_folder"),
		 "FAILED gone");
	PLAY("no listing", &op, LIST("", "false") "200 {\"entries\":{}}",
		 "FAILED retry later");
	PLAY("server", &op, LIST("", "false") "503", "FAILED retry later");
}

static void
test_changes(void)
{
	CsOp first = {
		.kind = CS_OP_LIST, .path = "/A", .recursive = true, .follow = true};
	CsOp op = first;

	op.cursor = "c1";
	FRESH;
	PLAY("the first time", &first,
		 LIST("/A", "true") PAGE(F("a", "/a/a", "id:1"), "c0", "true"),
		 "PAGE /A/a >c0", MORE("c0") PAGE("", "c1", "false"), "DONE >c1");
	PLAY("nothing new", &op, MORE("c1") PAGE("", "c2", "false"), "DONE >c2");
	PLAY("in their order", &op,
		 MORE("c1") PAGE(GONE("b", "/a/b") "," F("b", "/a/b", "id:2") "," D(
							 "d", "/a/d", "id:3") "," GONE("x", "/a/d/x"),
						 "c2", "false"),
		 "PAGE -/A/b /A/b /A/d/ -/A/d/x >c2", "DONE >c2");
	PLAY("the folder itself", &op,
		 MORE("c1") PAGE(GONE("a", "/a"), "c2", "false"), "PAGE -/A >c2",
		 "DONE >c2");
	PLAY("reset", &op, MORE("c1") "409 " ERROR(TAG("reset")), "FAILED reset");
	PLAY("no cursor", &op,
		 MORE("c1") "400 t:Error in call: Invalid \"cursor\" parameter",
		 "FAILED reset");
	PLAY("folder gone", &op, MORE("c1") NOT_FOUND, "FAILED gone");
}

#define GET(path) "CON files/download {\"path\":\"" path "\"}"
#define META(rev, size, hash)                                                  \
	" r:{" FILE_JSON("f", "/f", "id:1", rev, size, hash) "}"

static void
test_get(void)
{
	CsOp op = {.kind = CS_OP_GET, .path = "/f", .expect_version = "r1"};
	CsOp byid = {.kind = CS_OP_GET, .path = "/f", .id = "id:1"};

	FRESH;
	PLAY("read", &op, GET("/f") " = 200 b:5 h:a c:a" META("r1", "5", "#a"),
		 "DONE verified /f r1 5");
	PLAY("by id", &byid, GET("id:1") " = 200 b:0 h:0 c:0" META("r1", "0", "#0"),
		 "DONE verified /f r1 0");
	PLAY("changed", &op, GET("/f") " = 200 b:5 h:a c:a" META("r2", "5", "#a"),
		 "FAILED changed");
	PLAY("damaged", &op, GET("/f") " = 200 b:5 h:a c:b" META("r1", "5", "#a"),
		 "FAILED retry now");
	PLAY("short", &op, GET("/f") " = 200 b:4 h:a c:a" META("r1", "5", "#a"),
		 "FAILED retry later");
	PLAY("no metadata", &op, GET("/f") " = 200 b:4 h:a c:a",
		 "FAILED retry later");
	PLAY("goes on", &op, GET("/f") " = broke b:2" META("r1", "5", "#a"),
		 GET("rev:r1") " bytes=2- = broke b:1",
		 GET("rev:r1") " bytes=3- = 206 b:2 h:a c:a" META("r1", "5", "#a"),
		 "DONE verified /f r1 5");
	PLAY("no rest", &op, GET("/f") " = broke b:2" META("r1", "5", "#a"),
		 GET("rev:r1") " bytes=2- = 416", "FAILED retry now");
	PLAY("all instead of the rest", &op,
		 GET("/f") " = broke b:2" META("r1", "5", "#a"),
		 GET("rev:r1") " bytes=2- = 200", "FAILED retry now");
	PLAY("broke at once", &op, GET("/f") " = lost", "FAILED retry later");
	PLAY("body", &op, GET("/f") " = bodyfail", "FAILED changed");
	PLAY("gone", &op, GET("/f") " = " NOT_FOUND, "FAILED gone");
	PLAY("a document of theirs", &op,
		 GET("/f") " = 409 " ERROR(TAG("unsupported_file")), "FAILED refused");
	PLAY("blocked", &op, GET("/f") " = " PATH_ERROR("restricted_content"),
		 "FAILED refused");
	PLAY("locked", &op, GET("/f") " = " PATH_ERROR("locked"),
		 "FAILED retry later");
	PLAY("put off", &op, GET("/f") " = 429 w:2",
		 GET("/f") " wait 2 = 200 b:5 h:a c:a" META("r1", "5", "#a"),
		 "DONE verified /f r1 5");
}

#define MOVE                                                                   \
	"API files/move_v2 "                                                       \
	"{\"from_path\":\"id:1\",\"to_path\":\"/b/"                                \
	"N\",\"autorename\":false,\"allow_ownership_transfer\":false} = "
#define OURS "200 " F("n", "/a/n", "id:1")
#define THERE "200 " F("N", "/b/N", "id:1")
#define TO_CONFLICT "409 " ERROR(IN("to", IN("conflict", TAG("file"))))

static void
test_move(void)
{
	CsOp op = {.kind = CS_OP_MOVE,
			   .path = "/a/n",
			   .id = "id:1",
			   .to_path = "/b/N",
			   .known_version = "r1"};
	CsOp bytes = op;
	CsOp folder = op;

	bytes.known_version = "r0";
	bytes.has_intended = true;
	bytes.intended_size = 5;
	memset(bytes.intended_sha256, 'a', CS_SHA256_LENGTH);
	folder.known_version = NULL;
	FRESH;
	PLAY("moved", &op, LOOK("id:1") OURS,
		 MOVE "200 {\"metadata\":" F("N", "/b/n", "id:1") "}",
		 "DONE /b/N r1 5");
	PLAY("ours by its bytes", &bytes, LOOK("id:1") OURS,
		 MOVE "200 {\"metadata\":" F("N", "/b/n", "id:1") "}",
		 "DONE /b/N r1 5");
	bytes.intended_sha256[0] = 'x';
	PLAY("somebody's", &bytes, LOOK("id:1") OURS, "FAILED conflict");
	PLAY("a folder", &folder, LOOK("id:1") "200 " D("n", "/a/n", "id:1"),
		 MOVE "200 {\"metadata\":" D("N", "/b/n", "id:1") "}", "DONE /b/N/");
	PLAY("another folder", &folder, LOOK("id:1") "200 " D("n", "/a/n", "id:2"),
		 "FAILED conflict");
	PLAY("there already", &op, LOOK("id:1") THERE, "DONE /b/N r1 5");
	PLAY("taken", &op, LOOK("id:1") OURS, MOVE TO_CONFLICT,
		 LOOK("/b/N") "200 " F("N", "/b/n", "id:2"), "FAILED conflict");
	PLAY("differs in case", &op, LOOK("id:1") OURS, MOVE TO_CONFLICT,
		 LOOK("/b/N") "200 " F("n", "/b/n", "id:1"), "DONE /b/n r1 5");
	PLAY("lost", &op, LOOK("id:1") OURS, MOVE "lost", LOOK("/b/N") THERE,
		 "DONE /b/N r1 5");
	PLAY("lost and not done", &op, LOOK("id:1") OURS, MOVE "503",
		 LOOK("/b/N") NOT_FOUND, "FAILED retry later");
	PLAY("gone", &op, LOOK("id:1") NOT_FOUND, LOOK("/b/N") NOT_FOUND,
		 "FAILED gone");
	PLAY("done by an attempt before", &op, LOOK("id:1") NOT_FOUND,
		 LOOK("/b/N") THERE, "DONE /b/N r1 5");
	PLAY("gone meanwhile", &op, LOOK("id:1") OURS,
		 MOVE "409 " ERROR(IN("from_lookup", TAG("not_found"))),
		 "FAILED retry now");
	PLAY("shared", &op, LOOK("id:1") OURS,
		 MOVE "409 " ERROR(TAG("cant_move_shared_folder")), "FAILED forbidden");
	PLAY("too many", &op, LOOK("id:1") OURS,
		 MOVE "409 " ERROR(TAG("too_many_files")), "FAILED refused");
	PLAY("full", &op, LOOK("id:1") OURS,
		 MOVE "409 " ERROR(TAG("insufficient_quota")), "FAILED quota");
	PLAY("server", &op, LOOK("id:1") OURS,
		 MOVE "409 " ERROR(TAG("internal_error")), "FAILED retry later");
	op.path = "/";
	PLAY("the root", &op, "FAILED broken");
}

#define DELETE(rev)                                                            \
	"API files/delete_v2 {\"path\":\"id:1\",\"parent_rev\":\"" rev "\"} = "
#define DELETED "200 {\"metadata\":" F("n", "/a/n", "id:1") "}"

static void
test_trash(void)
{
	CsOp op = {.kind = CS_OP_TRASH,
			   .path = "/a/n",
			   .id = "id:1",
			   .known_version = "r0",
			   .has_intended = true,
			   .intended_size = 5};
	CsOp folder = {.kind = CS_OP_TRASH, .path = "/a/n", .id = "id:1"};

	memset(op.intended_sha256, 'a', CS_SHA256_LENGTH);
	FRESH;
	PLAY("deleted", &op, DELETE("r0") DELETED, "DONE /a/n r1 5");
	PLAY("ours by its bytes", &op,
		 DELETE("r0") "409 " ERROR(
			 IN("path_write", IN("conflict", TAG("file")))),
		 LOOK("id:1") OURS, DELETE("r1") DELETED, "DONE /a/n r1 5");
	op.has_intended = false;
	PLAY("somebody's", &op,
		 DELETE("r0") "409 " ERROR(
			 IN("path_write", IN("conflict", TAG("file")))),
		 LOOK("id:1") OURS, "FAILED conflict");
	PLAY("gone", &op,
		 DELETE("r0") "409 " ERROR(IN("path_lookup", TAG("not_found"))),
		 "FAILED gone");
	PLAY("lost", &op, DELETE("r0") "lost", "FAILED retry later");
	PLAY("a folder", &folder, LOOK("id:1") "200 " D("n", "/a/n", "id:1"),
		 "API files/delete_v2 {\"path\":\"id:1\"} = 200 {\"metadata\":" D(
			 "n", "/a/n", "id:1") "}",
		 "DONE /a/n/");
	PLAY("another folder", &folder, LOOK("id:1") "200 " D("n", "/a/n", "id:2"),
		 "FAILED conflict");
	folder.path = "/";
	PLAY("the root", &folder, "FAILED broken");
}

#define POLL                                                                   \
	"NOT files/list_folder/longpoll {\"cursor\":\"c1\",\"timeout\":480} held "    \
	"580 = "
#define POLL_WAIT(s)                                                           \
	"NOT files/list_folder/longpoll {\"cursor\":\"c1\",\"timeout\":480} held "    \
	"580 wait " s " = "

static void
test_watch(void)
{
	CsOp op = {.kind = CS_OP_WATCH, .path = "/a", .cursor = "c1", .wait_s = 480};
	CsOp none = {.kind = CS_OP_WATCH, .path = "/a"};
	CsOp quoted = {.kind = CS_OP_WATCH, .path = "/a", .cursor = "a\"\xc3\xa9", .wait_s = 1};

	FRESH;
	PLAY("something changed", &op, POLL "200 {\"changes\":true}", "DONE changed quiet 0");
	PLAY("nothing changed", &op, POLL "200 {\"changes\":false}", "DONE quiet 0");
	PLAY("and be quiet", &op, POLL "200 {\"changes\":true,\"backoff\":60}", "DONE changed quiet 60");
	PLAY("for a day", &op, POLL "200 {\"changes\":false,\"backoff\":86400}", "DONE quiet 3600");
	PLAY("for less than nothing", &op, POLL "200 {\"changes\":false,\"backoff\":-5}", "DONE quiet 0");
	PLAY("a quiet that is no number", &op, POLL "200 {\"changes\":false,\"backoff\":{}}", "DONE quiet 0");
	PLAY("fields that nobody knows", &op,
		 POLL "200 {\"changes\":true,\"novel\":{\".tag\":\"x\"},\"backoff\":null}", "DONE changed quiet 0");
	PLAY("changes of another type", &op, POLL "200 {\"changes\":\"true\"}", "FAILED retry later");
	PLAY("of no changes", &op, POLL "200 {\"backoff\":5}", "FAILED retry later");
	PLAY("no JSON", &op, POLL "200 t:<html>", "FAILED retry later");
	PLAY("no answer at all", &op, POLL "200", "FAILED retry later");
	PLAY("a cursor that is refused", &op, POLL "409 " ERROR(TAG("reset")), "FAILED reset");
	PLAY("one that is none", &op,
		 POLL "400 t:Error in call to API function \"files/list_folder/longpoll\": request body: cursor: x",
		 "FAILED reset");
	PLAY("another 400", &op, POLL "400 t:Error in call to API function: timeout", "FAILED broken");
	PLAY("another error", &op, POLL "409 " ERROR(TAG("novel")), "FAILED retry later");
	PLAY("too many", &op, POLL "429 " ERROR("{\"reason\":" TAG("too_many_requests") ",\"retry_after\":7}"),
		 POLL_WAIT("7") "200 {\"changes\":false}", "DONE quiet 0");
	PLAY("far too many", &op, POLL "429 w:300", "FAILED retry later");
	tap_ok(last_failure.retry_after_ms == 300000, "and the wait is told");
	PLAY("the service is down", &op, POLL "503", "FAILED retry later");
	PLAY("or broken", &op, POLL "500", "FAILED retry later");
	PLAY("not there", &op, POLL "404", "FAILED broken");
	PLAY("lost", &op, POLL "lost", "FAILED retry later");
	PLAY("broken off", &op, POLL "broke", "FAILED retry later");
	PLAY("refused", &op, POLL "refused", "FAILED retry later");
	PLAY("no cursor", &none, "FAILED broken");
	PLAY("a cursor with anything in it, and the least wait", &quoted,
		 "NOT files/list_folder/longpoll {\"cursor\":\"a\\\"\\u00e9\",\"timeout\":30} held 130 = "
		 "200 {\"changes\":false}", "DONE quiet 0");
	open_with("path_root", "root");
	PLAY("the team's root is not asked for", &op, POLL "200 {\"changes\":false}", "DONE quiet 0");
	open_with("select_user", "dbmid:A");
	PLAY("and nobody is named", &op, POLL "200 {\"changes\":false}", "DONE quiet 0");
}

static void
test_rest(void)
{
	CsOp discard = {.kind = CS_OP_DISCARD, .path = "/a", .session = "s:1"};
	CsOp token = {.kind = CS_OP_TOKEN, .path = "/"};

	FRESH;
	PLAY("nothing is left behind", &discard, "DONE");
	PLAY("no tokens", &token, "FAILED broken");
}

int
main(void)
{
	test_options();
	test_about();
	test_busy();
	test_stat();
	test_mkdir();
	test_list();
	test_changes();
	test_get();
	test_move();
	test_trash();
	test_watch();
	test_rest();
	return tap_done();
}
