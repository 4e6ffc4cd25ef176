/* sources: src/provider/graph*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Microsoft Graph provider: its options, and its conversations replayed
 * (graph_play.h), but for PUT (graph_put.c), MOVE and TRASH (graph_move.c).
 */
#include "postgres_fe.h"

#include "cloudsync/oauth.h"
#include "graph_play.h"

static void
test_options(void)
{
	script.provider = &cs_provider_onedrive;
	tap_is(OPEN("tenant", "contoso.com"), NULL, "the account is not known yet");
	tap_is(WORK, "b!d", "a drive of work");
	tap_is(OPEN("drive_id", "AB12cd"), "0000000000ab12cd",
		   "a personal drive's id in its normal form");
	tap_is(OPEN("drive_id", "a b"),
		   "refused: option \"drive_id\" is no id of a drive", "no drive");
	tap_is(OPEN("tenant", "../x"),
		   "refused: option \"tenant\" is no id or domain of a tenant",
		   "no tenant");
	tap_ok(strncmp(OPEN("api_endpoint", "file:///x"),
				   "refused: option \"api_endpoint\"", 30) == 0,
		   "no endpoint");
	tap_ok(strncmp(OPEN("login_endpoint", "x"),
				   "refused: option \"login_endpoint\"", 32) == 0,
		   "no login endpoint");
	script.provider = &cs_provider_sharepoint;
	tap_is(OPEN("tenant", "contoso.com"),
		   "refused: option \"site\" must be given, unless drive_id is",
		   "a site is needed");
	tap_is(OPEN("site", "https://contoso.sharepoint.com/sites/a"), NULL,
		   "a site");
	tap_ok(strncmp(OPEN("site", "contoso"), "refused: option \"site\"", 22) ==
			   0,
		   "no site");
	script.provider = &cs_provider_onedrive;
}

static void
test_oauth(void)
{
	CsOption none[] = {{NULL}};
	CsOption some[] = {{"tenant", "t"},
					   {"login_endpoint", "https://login.example.com/"},
					   {"api_endpoint", "https://graph.example.com/v1.0"},
					   {"site", "https://x/sites/a"},
					   {NULL}};
	CsOption chosen[] = {{"scope", "Sites.Selected"}, {NULL}};
	const CsOAuth *oauth = cs_provider_sharepoint.oauth;

	tap_is(oauth->authorize_url(none),
		   "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
		   "the consent page");
	tap_is(oauth->token_url(some), "https://login.example.com/t/oauth2/v2.0/token",
		   "a tenant's token server");
	tap_is(oauth->device_url(some),
		   "https://login.example.com/t/oauth2/v2.0/devicecode",
		   "device codes");
	tap_ok(oauth->revoke_url(some) == NULL, "nothing is revoked by an app");
	tap_is(oauth->scopes(none), "Files.ReadWrite offline_access",
		   "one's own files");
	tap_is(oauth->scopes(some), "Sites.ReadWrite.All offline_access", "a site");
	tap_is(oauth->scopes(chosen), "Sites.Selected offline_access", "as asked");
	tap_is(oauth->client_scopes(some), "https://graph.example.com/.default",
		   "what the app was given");
	tap_ok(oauth->covers("https://graph.microsoft.com/files.readwrite.all",
						 "Files.ReadWrite"),
		   "a wider scope, in full");
	tap_ok(!oauth->covers("Files.Read", "Files.ReadWrite"), "not a lesser one");
}

static void
test_drive(void)
{
	CsOp op = of(CS_OP_STAT, "/a");
	CsOp list = of(CS_OP_LIST, "/a");

	OPEN("tenant", "t");
	PLAY("a person's drive", &list,
		 "GET /me/drive = 200 x:{\"id\":\"b!d\",\"driveType\":\"business\"}",
		 "GET /root:/a:/children = 200 x:{\"value\":[]}", "DONE");
	PLAY("is asked for once", &op,
		 "GET /root:/a = 404 " ERROR("itemNotFound"), "FAILED gone");
	OPEN("tenant", "t");
	PLAY("what is looked at says which drive it is in", &op,
		 "GET /me/drive/root:/a = 200 x:{\"id\":\"i1\",\"name\":\"a\",\"folder\":{},"
		 "\"parentReference\":{\"driveId\":\"b!d\",\"driveType\":\"business\"}}",
		 "DONE /a/");
	PLAY("and so it is known", &list,
		 "GET /root:/a:/children = 200 x:{\"value\":[]}", "DONE");
	OPEN("tenant", "t");
	PLAY("not of personal drives, whose ids are spelt in several ways", &op,
		 "GET /me/drive/root:/a = 200 x:{\"id\":\"i1\",\"name\":\"a\",\"folder\":{},"
		 "\"parentReference\":{\"driveId\":\"abc\",\"driveType\":\"personal\"}}",
		 "DONE /a/");
	PLAY("which are asked for", &list,
		 "GET /me/drive = 200 x:{\"id\":\"b!d\"}",
		 "GET /root:/a:/children = 200 x:{\"value\":[]}", "DONE");
	OPEN("tenant", "t");
	PLAY("an app has none", &op,
		 "GET /me/drive/root:/a = 400 " ERROR("BadRequest"),
		 "GET /me/drive = 400 " ERROR("BadRequest"), "FAILED unreachable");
	PLAY("not there", &op, "GET /me/drive/root:/a = 404 " ERROR("itemNotFound"),
		 "GET /me/drive = 404 " ERROR("itemNotFound"), "FAILED unreachable");
	PLAY("the drive is, and the item is not", &op,
		 "GET /me/drive/root:/a = 404 " ERROR("itemNotFound"),
		 "GET /me/drive = 200 x:{\"id\":\"b!d\"}",
		 "GET /root:/a = 404 " ERROR("itemNotFound"), "FAILED gone");
	OPEN("user", "anna@contoso.com");
	PLAY("a user's drive", &op,
		 "GET /users/anna%40contoso.com/drive/root:/a = 500",
		 "GET /users/anna%40contoso.com/drive = 200 x:{\"id\":\"b!d\"}",
		 "GET /root:/a = 500", "FAILED retry later");
	script.provider = &cs_provider_sharepoint;
	OPEN("site", "https://contoso.sharepoint.com/sites/t%20a");
	PLAY("a site's own library", &op,
		 "GET /sites/contoso.sharepoint.com:/sites/t%20a = 200 "
		 "x:{\"id\":\"h,g1,g2\"}",
		 "GET /sites/h%2Cg1%2Cg2/drive = 200 x:{\"id\":\"b!d\"}",
		 "GET /root:/a = 403 " ERROR("accessDenied"), "FAILED forbidden");
	OPEN("site", "https://contoso.sharepoint.com", "library", "archive");
	PLAY("a library by its name", &op,
		 "GET /sites/contoso.sharepoint.com = 200 x:{\"id\":\"s\"}",
		 "GET /sites/s/drives = 200 "
		 "x:{\"value\":[{\"id\":\"b!x\",\"name\":\"Documents\"}],"
		 "\"@odata.nextLink\":\"https://graph.microsoft.com/v1.0/more\"}",
		 "GET /more = 200 x:{\"value\":[{\"id\":\"b!d\",\"name\":\"Archive\"}]}",
		 "GET /root:/a = 200 x:" FILE_OF("i1", "a", "e1", "5", HA),
		 "DONE /a q:" HA);
	OPEN("site", "https://contoso.sharepoint.com", "library", "None");
	PLAY("no such library", &op,
		 "GET /sites/contoso.sharepoint.com = 200 x:{\"id\":\"s\"}",
		 "GET /sites/s/drives = 200 x:{\"value\":[]}", "FAILED unreachable");
	script.provider = &cs_provider_onedrive;
}

static void
test_errors(void)
{
	static const struct
	{
		const char *answer;
		const char *wanted;
	} errors[] = {
		{"401 " ERROR("InvalidAuthenticationToken"), "FAILED needs consent"},
		{"403 " ERROR("accessDenied"), "FAILED forbidden"},
		{"403 " INNER("accessDenied", "malwareDetected"), "FAILED refused"},
		{"404 " ERROR("ItemNotFound"), "FAILED gone"},
		{"404", "FAILED gone"},
		{"400 " INNER("invalidRequest", "invalidPath"), "FAILED refused"},
		{"400 " INNER("invalidRequest", "pathIsTooLong"), "FAILED refused"},
		{"409 " ERROR("nameAlreadyExists"), "FAILED conflict"},
		{"409 " ERROR("resourceModified"), "FAILED retry now"},
		{"412 " INNER("resourceModified", "entityTagDoesNotMatch"),
		 "FAILED conflict"},
		{"423 " INNER("notAllowed", "resourceLocked"), "FAILED retry later"},
		{"429 w:7 " INNER("activityLimitReached", "throttledRequest"),
		 "FAILED retry later"},
		{"500 " ERROR("generalException"), "FAILED retry later"},
		{"503 w:9 " ERROR("serviceNotAvailable"), "FAILED retry later"},
		{"507 " ERROR("quotaLimitReached"), "FAILED quota"},
		{"507", "FAILED quota"},
		{"509", "FAILED retry later"},
		{"200 x:<html>", "FAILED broken"},
		{"302 l:https://x.org/", "FAILED unreachable"},
		{"lost", "FAILED retry later"},
	};
	CsOp op = of(CS_OP_STAT, "/a");

	WORK;
	for (int i = 0; i < (int) lengthof(errors); i++)
		PLAY(errors[i].answer, &op,
			 psprintf("GET /root:/a = %s", errors[i].answer),
			 errors[i].wanted);
	PLAY("told when to come again", &op, "GET /root:/a = 429 w:7",
		 "FAILED retry later");
	tap_ok(last_failure.retry_after_ms == 7000, "after 7 s");
	PLAY("open in Office", &op, "GET /root:/a = 423", "FAILED retry later");
	tap_ok(last_failure.retry_after_ms == 300000, "after some minutes");
}

static void
test_small(void)
{
	CsOp op = of(CS_OP_ABOUT, "/");

	WORK;
	PLAY("about", &op,
		 "GET  = 200 x:{\"id\":\"b!d\",\"driveType\":\"business\",\"quota\":"
		 "{\"total\":0,\"used\":0}}",
		 "DONE //");
	PLAY("about a drive that went", &op, "GET  = 404 " ERROR("itemNotFound"),
		 "FAILED unreachable");
	op = of(CS_OP_STAT, "/");
	PLAY("the root", &op,
		 "GET /root = 200 x:{\"id\":\"root1\",\"name\":\"root\",\"root\":{},"
		 "\"folder\":{}}",
		 "DONE //");
	op = of(CS_OP_STAT, "/old");
	op.id = "i1";
	PLAY("by id, where it is now", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "5", HA),
		 "DONE /d/a q:" HA);
	PLAY("by id, in a folder whose path is none", &op,
		 "GET /items/i1 = 200 x:{\"id\":\"i1\",\"name\":\"a\",\"folder\":{},"
		 "\"parentReference\":{\"path\":\"/drives/b!d/root:/d/../e\"}}",
		 "DONE /old/");
	op = of(CS_OP_STAT, "/d/#a b%é");
	PLAY("names are encoded", &op,
		 "GET /root:/d/%23a%20b%25%C3%A9 = 200 x:" FILE_OF("i1", "x", "e1", "0",
														   ""),
		 "DONE /d/#a b%é empty");
	op = of(CS_OP_STAT, "/n");
	PLAY("a notebook", &op,
		 "GET /root:/n = 200 x:{\"id\":\"n\",\"name\":\"n\",\"package\":{}}",
		 "DONE /n");
	op = of(CS_OP_STAT, "/h");
	PLAY("without a hash", &op,
		 "GET /root:/h = 200 "
		 "x:{\"id\":\"h\",\"name\":\"h\",\"eTag\":\"e7\",\"size\":5,\"file\":{}}",
		 "DONE /h e:e7");
	PLAY("a hash in hexadecimal", &op,
		 "GET /root:/h = 200 x:" FILE_OF(
			 "h", "h", "e1", "5", "0000000000000000000000000000000000000000"),
		 "DONE /h q:" HA);
	op = of(CS_OP_DISCARD, "/h");
	PLAY("nothing to discard", &op, "DONE");
	op.session = "secret:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
				 "aaaaaaaaa https://up/SECRET";
	PLAY("an upload is discarded", &op, "DELETE -https://up/SECRET = 204",
		 "DONE");
	PLAY("one that is gone, too", &op, "DELETE -https://up/SECRET = 404",
		 "DONE");
	PLAY("not now", &op, "DELETE -https://up/SECRET = 503",
		 "FAILED retry later");
}

#define MAKE(name)                                                             \
	"{\"@microsoft.graph.conflictBehavior\":\"fail\",\"name\":\"" name         \
	"\",\"folder\":{}}"

static void
test_mkdir(void)
{
	CsOp op = of(CS_OP_MKDIR, "/a/b");

	WORK;
	PLAY("there", &op, "GET /root:/a/b = 200 x:" FOLDER_OF("f2", "b"),
		 "DONE /a/b/");
	WORK;
	PLAY("made with its parent", &op,
		 "GET /root:/a/b = 404 " ERROR("itemNotFound"),
		 "POST /root:/a:/children " MAKE("b") " = 404 " ERROR("itemNotFound"),
		 "POST /root/children " MAKE("a") " = 201 x:" FOLDER_OF("f1", "a"),
		 "POST /items/f1/children " MAKE("b") " = 201 x:" FOLDER_OF("f2", "b"),
		 "DONE /a/b/");
	op.path = "/a/c";
	PLAY("its parent is known; made meanwhile", &op,
		 "GET /root:/a/c = 404 " ERROR("itemNotFound"),
		 "POST /items/f1/children " MAKE(
			 "c") " = 409 " ERROR("nameAlreadyExists"),
		 "GET /root:/a/c = 200 x:" FOLDER_OF("f3", "c"), "DONE /a/c/");
	PLAY("the answer is lost", &op,
		 "GET /root:/a/c = 404 " ERROR("itemNotFound"),
		 "POST /items/f1/children " MAKE("c") " = lost",
		 "GET /root:/a/c = 200 x:" FOLDER_OF("f3", "c"), "DONE /a/c/");
	PLAY("a file is in the way", &op,
		 "GET /root:/a/c = 200 x:" FILE_OF("i1", "c", "e1", "5", HA),
		 "FAILED conflict");
	PLAY("refused", &op, "GET /root:/a/c = 404 " ERROR("itemNotFound"),
		 "POST /items/f1/children " MAKE("c") " = 403 " ERROR("accessDenied"),
		 "FAILED forbidden");
	op.fresh_folder = true;
	PLAY("most likely it is not there", &op,
		 "POST /items/f1/children " MAKE("c") " = 201 x:" FOLDER_OF("f3", "c"),
		 "DONE /a/c/");
	PLAY("it is after all", &op,
		 "POST /items/f1/children " MAKE(
			 "c") " = 409 " ERROR("nameAlreadyExists"),
		 "GET /root:/a/c = 200 x:" FOLDER_OF("f3", "c"), "DONE /a/c/");
}

#define CHILD(id, name, hash)                                                  \
	"{\"id\":\"" id "\",\"name\":\"" name "\",\"size\":5,\"eTag\":\"e\","      \
	"\"file\":{\"hashes\":{\"quickXorHash\":\"" hash "\"}},"                   \
	"\"parentReference\":{\"id\":\"f1\"},"                                     \
	"\"@microsoft.graph.downloadUrl\":\"https://down/SECRET" id "\"}"
#define SUB(id, name, parent)                                                  \
	"{\"id\":\"" id "\",\"name\":\"" name "\",\"folder\":{},"                  \
	"\"parentReference\":{\"id\":\"" parent "\"}}"
#define API "https://graph.microsoft.com/v1.0"

static void
test_list(void)
{
	CsOp op = of(CS_OP_LIST, "/a");

	WORK;
	PLAY("pages", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[" CHILD(
			 "i1", "x", HA) "],\"@odata.nextLink\":\"" API "/p2\"}",
		 "PAGE /a/x", "GET /p2 = 200 x:{\"value\":[" SUB("f2", "s", "f1") "]}",
		 "PAGE /a/s/", "DONE");
	op.recursive = true;
	PLAY("folders in turn", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[" SUB("f2", "s", "f1") "]}",
		 "PAGE /a/s/",
		 "GET /items/f2/children = 200 x:{\"value\":[" CHILD("i1", "x", HA) "]}",
		 "PAGE /a/s/x", "DONE");
	PLAY("one that is closed", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[" SUB("f2", "s", "f1") "]}",
		 "PAGE /a/s/",
		 "GET /items/f2/children = 403 " ERROR("accessDenied"),
		 "PAGE /a/s/!", "DONE incomplete");
	PLAY("one that went", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[" SUB("f2", "s", "f1") "]}",
		 "PAGE /a/s/",
		 "GET /items/f2/children = 404 " ERROR("itemNotFound"), "DONE");
	PLAY("at another address", &op,
		 "GET /root:/a:/children = 302 l:" API "/elsewhere",
		 "GET /elsewhere = 200 x:{\"value\":[]}", "DONE");
	PLAY("not there", &op,
		 "GET /root:/a:/children = 404 " ERROR("itemNotFound"), "FAILED gone");
	PLAY("goes on elsewhere", &op,
		 "GET /root:/a:/children = 200 "
		 "x:{\"value\":[],\"@odata.nextLink\":\"https://evil.org/p2\"}",
		 "FAILED broken");
	PLAY("without end", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[],\"@odata.nextLink\":"
		 "\"" API "/p2\"}",
		 "GET /p2 = 200 x:{\"value\":[],\"@odata.nextLink\":\"" API "/p2\"}",
		 "FAILED retry later");
	PLAY("in circles", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[],\"@odata.nextLink\":"
		 "\"" API "/p2\"}",
		 "GET /p2 = 200 x:{\"value\":[],\"@odata.nextLink\":\"" API "/p3\"}",
		 "GET /p3 = 200 x:{\"value\":[],\"@odata.nextLink\":\"" API "/p2\"}",
		 "GET /p2 = 200 x:{\"value\":[],\"@odata.nextLink\":\"" API "/p3\"}",
		 "FAILED retry later");
	PLAY("something without an id, or a name", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[{\"name\":\"x\"}]}",
		 "DONE incomplete");
	PLAY("or a name", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[{\"id\":\"i\"}]}",
		 "DONE incomplete");
	PLAY("an address that is none", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[],\"@odata.nextLink\":"
		 "\"" API "/p2\\r\\nX-Evil: 1\"}",
		 "FAILED broken");
	PLAY("names that are none, shortcuts and notebooks", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[" CHILD(
			 "i1", "..",
			 HA) ",{\"id\":\"r\",\"name\":\"r\",\"remoteItem\":{}},"
				 "{\"id\":\"n\",\"name\":\"n\",\"package\":{}},{\"id\":\"m\","
				 "\"name\":\"m\",\"file\":{},\"malware\":{}}]}",
		 "PAGE /a//..! /a/r! /a/n! /a/m!", "DONE");
}

#define DELTA(rest) "\"@odata.deltaLink\":\"" API "/delta?" rest "\"}"
#define NEXT(rest) "\"@odata.nextLink\":\"" API "/delta?" rest "\"}"
#define CURSOR(rest) "b!d root1 work " API "/delta?" rest

static void
test_delta(void)
{
	CsOp op = of(CS_OP_LIST, "/");

	op.follow = true;
	op.recursive = true;
	WORK;
	PLAY("all of it", &op,
		 "GET /root/delta = 200 x:{\"value\":[" ROOT "," SUB(
			 "f1", "a", "root1") "," CHILD("i1", "x",
										   HA) "]," NEXT("p2"),
		 "PAGE /a/ /a/x",
		 "GET /delta?p2 = 200 x:{\"value\":[" SUB("f2", "b",
												  "f1") "]," DELTA("t1"),
		 "PAGE /a/b/", "DONE " CURSOR("t1"));
	WORK;
	op.path = "/a";
	PLAY("a folder, and what follows from now on", &op,
		 "GET /root/delta = 200 x:{\"value\":[]," DELTA("t0"),
		 "GET /root:/a:/children = 200 x:{\"value\":[" CHILD("i1", "x",
															 HA) "]}",
		 "PAGE /a/x",
		 "DONE b!d - work https://graph.microsoft.com/v1.0/delta?t0");
	PLAY("not without that", &op, "GET /root/delta = 429",
		 "FAILED retry later");
	op.path = "/";
	op.cursor = CURSOR("t1");
	PLAY("nothing new: one request", &op,
		 "GET /delta?t1 = 200 x:{\"value\":[]," DELTA("t2"),
		 "DONE " CURSOR("t2"));
	PLAY("changes: the last word, what is gone, folders unknown", &op,
		 "GET /delta?t1 = 200 x:{\"value\":[" CHILD("i1", "old", HA) "," CHILD(
			 "i1", "new",
			 HB) ",{\"id\":\"i2\",\"deleted\":{},\"file\":{}}," SUB("f5", "top",
																	"root1") "],"
			 DELTA("t2"),
		 "PAGE ?i1 -i2 /top/", "DONE " CURSOR("t2"));
	PLAY("refused", &op,
		 "GET /delta?t1 = 410 " INNER("resyncRequired",
									  "resyncChangesApplyDifferences"),
		 "FAILED reset");
	PLAY("forgotten", &op,
		 "GET /delta?t1 = 400 " INNER("invalidRequest", "syncStateNotFound"),
		 "FAILED reset");
	PLAY("not found: for a moment, and no word on a folder", &op,
		 "GET /delta?t1 = 404 " ERROR("itemNotFound"), "FAILED retry later");
	PLAY("goes elsewhere", &op,
		 "GET /delta?t1 = 200 x:{\"value\":[],\"@odata.deltaLink\":"
		 "\"https://evil.org/\"}",
		 "FAILED broken");
	PLAY("a cursor that means nothing", &op,
		 "GET /delta?t1 = 200 x:{\"value\":[]," DELTA("token=latest"),
		 "FAILED retry later");
	PLAY("in circles", &op,
		 "GET /delta?t1 = 200 x:{\"value\":[]," NEXT("p2"),
		 "GET /delta?p2 = 200 x:{\"value\":[]," NEXT("p2"),
		 "FAILED retry later");
	op.cursor = "b!d root1 work https://evil.org/";
	PLAY("a cursor of elsewhere", &op, "FAILED reset");
	op.cursor = "nonsense";
	PLAY("a cursor that is none", &op, "FAILED reset");
	op.cursor = "b!other root1 work " API "/delta?t1";
	PLAY("a cursor of another drive", &op, "FAILED reset");
	OPEN("drive_id", "0AB1");
	op.cursor = "ab1 root1 personal " API "/delta?t1";
	PLAY("of the drive, its id written otherwise", &op,
		 "GET /delta?t1 = 200 x:{\"value\":[]," DELTA("t2"),
		 "DONE 0AB1 root1 personal " API "/delta?t2");
}

/* The same to list everything once. */
static void
test_delta_once(void)
{
	CsOp op = of(CS_OP_LIST, "/");

	op.recursive = true;
	WORK;
	PLAY("in any order, with paths", &op,
		 "GET /root/delta = 200 x:{\"value\":[" CHILD("i1", "x", HA) "," SUB(
			 "f1", "a", "root1") "," ROOT "]," DELTA("t1"),
		 "PAGE /a/ /a/x", "DONE");
	PLAY("without a folder", &op,
		 "GET /root/delta = 200 x:{\"value\":[" ROOT "," CHILD(
			 "i1", "x", HA) "]," DELTA("t1"),
		 "DONE incomplete");
	WORK;
	op = of(CS_OP_LIST, "/a");
	PLAY("addresses are remembered", &op,
		 "GET /root:/a:/children = 200 x:{\"value\":[" CHILD("i1", "x",
															 HA) "]}",
		 "PAGE /a/x", "DONE");
	op = of(CS_OP_GET, "/a/x");
	op.id = "i1";
	op.expect_version = "q:" HA;
	PLAY("so a document costs one request", &op,
		 "GET -https://down/SECRETi1 = 200 b:5 h:a q:" HA,
		 "DONE verified /a/x q:" HA);
	PLAY("once", &op, "GET /items/i1/content = 302 l:https://down/SECRET2",
		 "GET -https://down/SECRET2 = 200 b:5 h:a q:" HA,
		 "DONE verified /a/x q:" HA);
}

static void
test_get(void)
{
	CsOp op = of(CS_OP_GET, "/a/x");

	WORK;
	op.id = "i1";
	op.expect_version = "q:" HA;
	PLAY("given at once", &op, "GET /items/i1/content = 200 b:5 h:a q:" HA,
		 "DONE verified /a/x q:" HA);
	PLAY("breaks off, and goes on", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = broke b:5 n:10",
		 "GET -https://down/SECRET bytes=5- = 206 g:5/10 b:5 h:a q:" HA,
		 "DONE verified /a/x q:" HA);
	PLAY("no ranges", &op, "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = broke b:5",
		 "GET -https://down/SECRET bytes=5- = 200 b:10",
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 b:10 h:a q:" HA,
		 "DONE verified /a/x q:" HA);
	PLAY("changed since", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 b:5 h:b q:" HB,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "x", "e2", "5", HB),
		 "FAILED changed");
	PLAY("arrives as something else", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 b:5 h:b q:" HB,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "x", "e1", "5", HA),
		 "FAILED retry now");
	PLAY("the address is refused", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 403 x:SECRET", "FAILED forbidden");
	PLAY("the bytes' host does not know the address, nor is it asked whose", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 404", "FAILED retry later");
	PLAY("nor who we are", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 401", "FAILED retry later");
	PLAY("it went", &op, "GET /items/i1/content = 404 " ERROR("itemNotFound"),
		 "FAILED gone");
	PLAY("malware", &op,
		 "GET /items/i1/content = 403 " INNER("accessDenied",
											  "malwareDetected"),
		 "FAILED refused");
	PLAY("an address that is not safe", &op,
		 "GET /items/i1/content = 302 l:http://down/SECRET", "FAILED broken");
	PLAY("the body fails", &op, "GET /items/i1/content = bodyfail",
		 "FAILED changed");
	PLAY("too short", &op, "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 b:4 n:5 h:a q:" HA,
		 "FAILED retry now");
	op.expect_version = "e:e1";
	PLAY("without a hash", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 b:5 h:a q:" HA,
		 "GET /items/i1 = 200 "
		 "x:{\"id\":\"i1\",\"name\":\"x\",\"eTag\":\"e1\",\"size\":5,\"file\":{}}",
		 "DONE /a/x e:e1");
}

/* Downloads that break off and go on. */
static void
test_get_on(void)
{
	CsOp op = of(CS_OP_GET, "/a/x");

	WORK;
	op.id = "i1";
	op.expect_version = "q:" HA;
	PLAY("the address ends meanwhile: the rest comes from another", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = broke b:5 n:10",
		 "GET -https://down/SECRET bytes=5- = 401",
		 "GET /items/i1/content = 302 l:https://down/SECRET2",
		 "GET -https://down/SECRET2 bytes=5- = 206 g:5/10 b:5 h:a q:" HA,
		 "DONE verified /a/x q:" HA);
	PLAY("and was changed meanwhile", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = broke b:5 n:10",
		 "GET -https://down/SECRET bytes=5- = 404",
		 "GET /items/i1/content = 302 l:https://down/SECRET2",
		 "GET -https://down/SECRET2 bytes=5- = 206 g:5/12 b:7 h:b q:" HB,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "x", "e2", "12", HB),
		 "FAILED changed");
	PLAY("breaks off often, and gets on", &op,
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = broke b:1048576 n:6291458",
		 "GET -https://down/SECRET bytes=1048576- = broke g:1048576/6291458 "
		 "b:1048576",
		 "GET -https://down/SECRET bytes=2097152- = broke g:2097152/6291458 "
		 "b:1048576",
		 "GET -https://down/SECRET bytes=3145728- = broke g:3145728/6291458 "
		 "b:1048576",
		 "GET -https://down/SECRET bytes=4194304- = broke g:4194304/6291458 "
		 "b:1048576",
		 "GET -https://down/SECRET bytes=5242880- = broke g:5242880/6291458 "
		 "b:1048576",
		 "GET -https://down/SECRET bytes=6291456- = 206 g:6291456/6291458 b:2 "
		 "h:a q:" HA,
		 "DONE verified /a/x q:" HA);
}

int
main(void)
{
	test_options();
	test_oauth();
	test_drive();
	test_errors();
	test_small();
	test_mkdir();
	test_list();
	test_delta();
	test_delta_once();
	test_get();
	test_get_on();
	return tap_done();
}
