/* sources: src/provider/gdrive*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * The Google Drive provider: its options, and its conversations replayed
 * (gdrive_play.h) but for PUT, MOVE and TRASH (gdrive_more.c) and
 * GET (gdrive_get.c).
 */
#include "postgres_fe.h"

#include "cloudsync/oauth.h"
#include "gdrive_play.h"

static const char *
opened(const char *const *pairs)
{
	CsOption list[12] = {{NULL}};
	CsFailure failure = {0};
	CsService *made;

	for (int i = 0; pairs[2 * i] != NULL; i++)
	{
		list[i].key = pairs[2 * i];
		list[i].value = pairs[2 * i + 1];
	}
	made = cs_provider_gdrive.open(list, &failure);
	if (made == NULL)
		return psprintf("%s: %s", class_names[failure.failure_class],
						failure.message);
	return psprintf("%s %s", made->url, made->account ? made->account : "-");
}

#define OPENED(...) opened((const char *const[]){__VA_ARGS__, NULL, NULL})

static void
test_options(void)
{
	tap_is(OPENED(NULL), "https://www.googleapis.com -", "as it is");
	tap_is(OPENED("drive_id", "0AbC-d_9"),
		   "https://www.googleapis.com 0AbC-d_9",
		   "a shared drive is the account");
	tap_is(OPENED("api_endpoint", "HTTPS://Local:9000/"),
		   "https://local:9000 -", "an endpoint");
	tap_is(OPENED("drive_id", "a/../b"),
		   "refused: option \"drive_id\" is no id of a shared drive",
		   "an id goes into addresses");
	tap_is(OPENED("export", "docx, xlsx pdf"), "https://www.googleapis.com -",
		   "formats");
	tap_is(OPENED("export", "docx exe"),
		   "refused: option \"export\" names a format that Google does not "
		   "export to",
		   "a format that is none");
	tap_ok(strncmp(OPENED("token_endpoint", "file:///etc"),
				   "refused: option \"token_endpoint\"", 32) == 0,
		   "addresses of the token server are checked");
	tap_is(OPENED("scope", "drive\r\n"),
		   "refused: option \"scope\" is no list of scopes", "a scope");
}

static void
test_oauth(void)
{
	const CsOAuth *oauth = cs_provider_gdrive.oauth;
	CsOption none[] = {{NULL}};
	CsOption narrow[] = {{"scope", "drive.file"},
						 {"token_endpoint", "https://t.org/token"},
						 {NULL}};
	CsOption two[] = {{"scope", "drive.file https://x.org/y"}, {NULL}};

	tap_is(oauth->token_url(none), "https://oauth2.googleapis.com/token",
		   "token server");
	tap_is(oauth->token_url(narrow), "https://t.org/token",
		   "as the option says");
	tap_is(oauth->authorize_url(none),
		   "https://accounts.google.com/o/oauth2/v2/auth", "consent page");
	tap_is(oauth->revoke_url(none), "https://oauth2.googleapis.com/revoke",
		   "revocation");
	tap_is(oauth->device_url(none), NULL, "no device code for the whole drive");
	tap_is(oauth->device_url(narrow), "https://t.org/device/code",
		   "one for what the app made");
	tap_is(oauth->scopes(none), "https://www.googleapis.com/auth/drive",
		   "scope");
	tap_is(oauth->scopes(two),
		   "https://www.googleapis.com/auth/drive.file https://x.org/y",
		   "several");
	tap_ok(oauth->covers("https://www.googleapis.com/auth/drive",
						 "https://www.googleapis.com/auth/drive.file"),
		   "the whole covers a part");
	tap_ok(!oauth->covers("https://www.googleapis.com/auth/drive.file",
						  "https://www.googleapis.com/auth/drive"),
		   "a part not the whole");
}

static CsOp
op_of(CsOpKind kind, const char *path)
{
	CsOp op = {0};

	op.kind = kind;
	op.path = path;
	return op;
}

static void
test_about(void)
{
	CsOp op = op_of(CS_OP_ABOUT, "/");

	fresh(NULL);
	PLAY("my drive", &op,
		 "GET about = 200 x:{\"user\":{\"emailAddress\":\"a@b.c\","
		 "\"permissionId\":\"77\"},\"storageQuota\":{\"limit\":\"100\","
		 "\"usage\":\"7\"}}",
		 "DONE // - 77 a@b.c 7/100");
	PLAY("without a limit", &op,
		 "GET about = 200 x:{\"user\":{\"emailAddress\":\"a@b.c\","
		 "\"permissionId\":\"77\"},\"storageQuota\":{\"usage\":\"7\"}}",
		 "DONE // - 77 a@b.c 7/-1");
	PLAY("nobody's", &op, "GET about = 200 x:{}", "FAILED broken");
	PLAY("no JSON", &op, "GET about = 200 x:<html>", "FAILED broken");
	PLAY("revoked", &op, "GET about = 401 e:authError", "FAILED needs consent");
	PLAY("API off", &op, "GET about = 403 e:accessNotConfigured",
		 "FAILED unreachable");
	PLAY("no answer", &op, "GET about = refused", "FAILED retry later");
	fresh("0AD");
	PLAY("a shared drive", &op,
		 "GET about = 200 x:{\"user\":{\"emailAddress\":\"a@b.c\","
		 "\"permissionId\":\"77\"},\"storageQuota\":{\"usage\":\"7\"}}",
		 "GET drives/0AD = 200 x:{\"id\":\"0AD\",\"name\":\"Firm\"}",
		 "DONE // 0AD 0AD Firm (a@b.c) -1/-1");
	PLAY("none of that id", &op,
		 "GET about = 200 x:{\"user\":{\"permissionId\":\"77\"}}",
		 "GET drives/0AD = 404 e:notFound", "FAILED unreachable");
}

/* Each reason of the fact sheet, at a plain GET. */
static void
test_errors(void)
{
	static const char *const cases[][3] = {
		{"400", "invalid", "broken"},
		{"401", "authError", "needs consent"},
		{"403", "userRateLimitExceeded", "retry later"},
		{"403", "rateLimitExceeded", "retry later"},
		{"429", "rateLimitExceeded", "retry later"},
		{"403", "sharingRateLimitExceeded", "retry later"},
		{"403", "dailyLimitExceeded", "retry later"},
		{"403", "storageQuotaExceeded", "quota"},
		{"403", "quotaExceeded", "quota"},
		{"403", "activeItemCreationLimitExceeded", "quota"},
		{"403", "teamDriveFileLimitExceeded", "quota"},
		{"403", "numChildrenInNonRootLimitExceeded", "forbidden"},
		{"403", "myDriveHierarchyDepthLimitExceeded", "forbidden"},
		{"403", "insufficientFilePermissions", "forbidden"},
		{"403", "insufficientParentPermissions", "forbidden"},
		{"403", "appNotAuthorizedToFile", "forbidden"},
		{"403", "domainPolicy", "forbidden"},
		{"403", "teamDriveMembershipRequired", "forbidden"},
		{"403", "accessNotConfigured", "unreachable"},
		{"403", "insufficientPermissions", "needs consent"},
		{"403", "cannotDownloadAbusiveFile", "refused"},
		{"403", "exportSizeLimitExceeded", "refused"},
		{"403", "downloadQuotaExceeded", "retry later"},
		{"403", "fieldNotWritable", "forbidden"},
		{"403", "somethingNew", "forbidden"},
		{"404", "notFound", "gone"},
		{"409", "duplicate", "conflict"},
		{"410", "notFound", "gone"},
		{"412", "conditionNotMet", "retry later"},
		{"401", "rateLimitExceeded", "needs consent"},
		{"500", "quotaExceeded", "retry later"},
		{"500", "backendError", "retry later"},
		{"503", "internalError", "retry later"},
	};
	CsOp op = op_of(CS_OP_STAT, "/d");

	op.id = "F1";
	for (int i = 0; i < (int) lengthof(cases); i++)
	{
		fresh(NULL);
		PLAY(cases[i][1], &op,
			 psprintf("GET files/F1 = %s e:%s", cases[i][0], cases[i][1]),
			 psprintf("FAILED %s", cases[i][2]));
	}
	PLAY("no words", &op, "GET files/F1 = 502 x:<html>bad gateway</html>",
		 "FAILED retry later");
	PLAY("the other form", &op,
		 "GET files/F1 = 403 x:{\"error\":{\"message\":\"m\",\"details\":[{"
		 "\"reason\":\"ACCESS_TOKEN_SCOPE_INSUFFICIENT\"}]}}",
		 "FAILED needs consent");
	PLAY("wait", &op, "GET files/F1 = 403 w:7 e:userRateLimitExceeded",
		 "FAILED retry later");
	tap_ok(last_failure.retry_after_ms == 7000, "so long as it says");
	PLAY("750 GB", &op,
		 "GET files/F1 = 403 x:{\"error\":{\"message\":\"User rate limit "
		 "exceeded.\",\"errors\":[{\"reason\":\"userRateLimitExceeded\"}]}}",
		 "FAILED retry later");
	tap_ok(last_failure.retry_after_ms >= 600000, "is waited for longer");
	PLAY("a service account", &op,
		 "GET files/F1 = 403 x:{\"error\":{\"message\":\"Service Accounts do "
		 "not have storage quota. Leverage shared drives\",\"errors\":[{"
		 "\"reason\":\"storageQuotaExceeded\"}]}}",
		 "FAILED quota");
	tap_ok(strstr(last_failure.message, "service account") != NULL,
		   "without storage is named as such");
}

static void
test_stat(void)
{
	CsOp op = op_of(CS_OP_STAT, "/d/f.txt");

	fresh(NULL);
	PLAY("by path", &op, LOOK("root", "d") " = " FILES(FOLDER("D", "d")),
		 LOOK("D", "f.txt") " = " FILES(FILE("F", "f.txt")),
		 "GET files/F = 200 f:F:f.txt:D:5:a:r1", "DONE /d/f.txt F a*:5:r1");
	PLAY("the folder is known", &op, LOOK("D", "f.txt") " = " NOTHING,
		 "FAILED gone");
	fresh(NULL);
	PLAY("no folder", &op, LOOK("root", "d") " = " NOTHING, "FAILED gone");
	PLAY("other case, other kind, twins: the oldest folder", &op,
		 LOOK("root", "d") " = " FILES(FOLDER("3", "d") "," FOLDER(
			 "2", "D") "," FILE("1", "d") "," FOLDER("4", "d")),
		 LOOK("3", "f.txt") " = " NOTHING, "FAILED gone");
	op.path = "/\xC3\x89t\xC3\xA9/f";
	fresh(NULL);
	PLAY(
		"an accented capital is not asked for", &op,
		ALL("root") " = 200 x:{\"nextPageToken\":\"t 1\",\"files\":[" FOLDER(
			"1", "e") "]}",
		ALL("root") " pageToken=t 1 = " FILES(FOLDER("2", "\xC3\x89t\xC3\xA9")),
		LOOK("2", "f") " = " NOTHING, "FAILED gone");
	fresh(NULL);
	PLAY("a search without end", &op,
		 ALL("root") " = 200 x:{\"nextPageToken\":\"t\",\"files\":[{}]}",
		 ALL("root") " pageToken=t = 200 x:{\"nextPageToken\":\"t\","
					 "\"files\":[{}]}",
		 "FAILED retry later");
	op.path = "/it's\\";
	fresh(NULL);
	PLAY("quotes", &op, LOOK("root", "it\\'s\\\\") " = " NOTHING,
		 "FAILED gone");
	op.path = "/d";
	op.id = "D";
	fresh(NULL);
	PLAY("by id, elsewhere", &op, "GET files/D = 200 d:D:d2:E",
		 "GET files/root = 200 x:{\"id\":\"R\"}", "GET files/E = 200 d:E:e/x:R",
		 "DONE /e\xE2\x88\x95x/d2/ D");
	PLAY("where it was", &op, "GET files/D = 200 d:D:d:R", "DONE /d/ D");
	PLAY("in the trash", &op, "GET files/D = 200 d:D:d:R:trashed",
		 "FAILED gone");
	PLAY("gone", &op, "GET files/D = 404 e:notFound", "FAILED gone");
	PLAY("of somebody else", &op, "GET files/D = 200 d:D:d2:E",
		 "GET files/E = 404 e:notFound", "DONE /d2/ D");
	op.id = "no/id";
	PLAY("no id", &op, "FAILED gone");
	op = op_of(CS_OP_STAT, "/");
	PLAY("the root", &op, "GET files/root = 200 d:R:MyDrive:", "DONE // R");
}

static void
test_mkdir(void)
{
	CsOp op = op_of(CS_OP_MKDIR, "/a/b");

	fresh(NULL);
	PLAY("two levels", &op, LOOK("root", "a") " = " NOTHING, IDS,
		 "CHECKPOINT -1 - N1 /a;",
		 "POST files {\"id\":\"N1\",\"name\":\"a\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "200 d:N1:a:R",
		 LOOK("N1", "b") " = " NOTHING, "CHECKPOINT -1 - N1 /a;N2 /a/b;",
		 "POST files {\"id\":\"N2\",\"name\":\"b\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"N1\"]} = "
		 "200 d:N2:b:N1",
		 "DONE made /a/b/ N2");
	PLAY("known, and looked at", &op, "GET files/N2 = 200 d:N2:b:N1",
		 "DONE /a/b/ N2");
	PLAY("known, in the trash", &op, "GET files/N2 = 200 d:N2:b:N1:trashed",
		 LOOK("root", "a") " = " FILES(FOLDER("1", "a")),
		 LOOK("1", "b") " = " FILES(FOLDER("2", "b")), "DONE /a/b/ 2");
	op.path = "/c";
	op.session = "S1 /c\n";
	PLAY("cut off, it was made", &op,
		 "POST files {\"id\":\"S1\",\"name\":\"c\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "409 e:duplicate",
		 "GET files/S1 = 200 d:S1:c:R", "DONE /c/ S1");
	fresh(NULL);
	PLAY("cut off, and put into the trash", &op,
		 "POST files {\"id\":\"S1\",\"name\":\"c\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "409 e:duplicate",
		 "GET files/S1 = 200 d:S1:c:R:trashed", IDS, "CHECKPOINT -1 - N1 /c;",
		 "POST files {\"id\":\"N1\",\"name\":\"c\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "200 d:N1:c:R",
		 "DONE made /c/ N1");
	fresh(NULL);
	PLAY("cut off, and the id is not taken any more", &op,
		 "POST files {\"id\":\"S1\",\"name\":\"c\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "400 e:invalid",
		 IDS, "CHECKPOINT -1 - N1 /c;",
		 "POST files {\"id\":\"N1\",\"name\":\"c\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "200 d:N1:c:R",
		 "DONE made /c/ N1");
	fresh(NULL);
	PLAY("an answer that is none", &op,
		 "POST files {\"id\":\"S1\",\"name\":\"c\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "200 x:<html>",
		 "GET files/S1 = 404 e:notFound", "FAILED broken");
	PLAY("that it is there is found out all the same", &op,
		 "POST files {\"id\":\"S1\",\"name\":\"c\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "200 d:S2:c:R",
		 "GET files/S1 = 200 d:S1:c:R", "DONE /c/ S1");
}

static void
test_mkdir_faults(void)
{
	CsOp op = op_of(CS_OP_MKDIR, "/d");

	fresh(NULL);
	PLAY("a search that did not come to its end", &op,
		 LOOK("root", "d") " = 200 "
						   "x:{\"incompleteSearch\":true,\"files\":[]}",
		 "FAILED retry later");
	PLAY("nor find anything", &op, LOOK("root", "d") " = " NOTHING, IDS,
		 "CHECKPOINT -1 - N1 /d;",
		 "POST files {\"id\":\"N1\",\"name\":\"d\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "200 d:N1:d:R",
		 "DONE made /d/ N1");
	op.path = "/e";
	PLAY(
		"the answer is lost", &op, LOOK("root", "e") " = " NOTHING,
		"CHECKPOINT -1 - N2 /e;",
		"POST files {\"id\":\"N2\",\"name\":\"e\",\"mimeType\":"
		"\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = lost",
		"GET files/N2 = 200 d:N2:e:R", "DONE /e/ N2");
	op.path = "/g";
	PLAY("and it was not made", &op, LOOK("root", "g") " = " NOTHING,
		 "CHECKPOINT -1 - N3 /g;",
		 "POST files {\"id\":\"N3\",\"name\":\"g\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = 503",
		 "GET files/N3 = 404 e:notFound", "FAILED retry later");
	PLAY("who makes it next takes that id", &op,
		 LOOK("root", "g") " = " NOTHING, "CHECKPOINT -1 - N3 /g;",
		 "POST files {\"id\":\"N3\",\"name\":\"g\",\"mimeType\":"
		 "\"application/vnd.google-apps.folder\",\"parents\":[\"root\"]} = "
		 "403 e:storageQuotaExceeded",
		 "FAILED quota");
	fresh("0AD");
	op.path = "/h";
	PLAY("in a shared drive", &op,
		 LOOK("0AD", "h") " corpora=drive driveId=0AD = 200 "
						  "x:{\"files\":[" FOLDER("1", "h") "]}",
		 "DONE /h/ 1");
}

#define DIR LOOK("root", "d") " = " FILES(FOLDER("D", "d"))

static void
test_list(void)
{
	CsOp op = op_of(CS_OP_LIST, "/d");

	fresh(NULL);
	PLAY("pages", &op, DIR, "GET files/D = 200 d:D:d:R",
		 ALL("D") " = 200 x:{\"nextPageToken\":\"t\",\"files\":[" FILE(
			 "1", "a") "]}",
		 "PAGE /d/a#1",
		 ALL("D") " pageToken=t = " FILES(
			 FILE("2", "b/..") "," FOLDER("3", "sub")),
		 "PAGE /d/b\xE2\x88\x95..#2 /d/sub/#3", "DONE");
	PLAY("an empty page with another one", &op, "GET files/D = 200 d:D:d:R",
		 ALL("D") " = 200 x:{\"nextPageToken\":\"t\",\"files\":[]}",
		 ALL("D") " pageToken=t = " FILES(FILE("2", "b")), "PAGE /d/b#2",
		 "DONE");
	op.recursive = true;
	PLAY("recursive", &op, "GET files/D = 200 d:D:d:R",
		 ALL("D") " = " FILES(FOLDER("3", "s") "," FOLDER("4", "t")),
		 "PAGE /d/s/#3 /d/t/#4", ALL("3") " = " FILES(FILE("5", "x")),
		 "PAGE /d/s/x#5", ALL("4") " = 404 e:notFound", "DONE");
	PLAY("results are missing", &op, "GET files/D = 200 d:D:d:R",
		 ALL("D") " = 200 x:{\"incompleteSearch\":true,\"files\":[]}",
		 "DONE incomplete");
	PLAY("in the trash", &op, "GET files/D = 200 d:D:d:R:trashed",
		 "FAILED gone");
	fresh(NULL);
	op.id = "D";
	PLAY("by id", &op, "GET files/D = 200 d:D:d:R",
		 ALL("D") " = 403 e:userRateLimitExceeded", "FAILED retry later");
	PLAY("shortcuts", &op, "GET files/D = 200 d:D:d:R",
		 ALL("D") " = " FILES(
			 "{\"id\":\"S1\",\"name\":\"to file\",\"mimeType\":\"application/"
			 "vnd.google-apps.shortcut\",\"shortcutDetails\":{\"targetId\":"
			 "\"F1\"}},{\"id\":\"S2\",\"name\":\"up\",\"mimeType\":"
			 "\"application/vnd.google-apps.shortcut\",\"shortcutDetails\":{"
			 "\"targetId\":\"D\"}},{\"id\":\"S3\",\"name\":\"off\","
			 "\"mimeType\":\"application/vnd.google-apps.shortcut\","
			 "\"shortcutDetails\":{\"targetId\":\"F3\"}}"),
		 "GET files/F1 = 200 f:F1:real.txt:X:5:a:r1",
		 "GET files/D = 200 d:D:d:R", "GET files/F3 = 404 e:notFound",
		 "PAGE /d/to file#F1<S1 /d/up/#D<S2 /d/off!#S3", "DONE");
	PLAY("Google's own", &op, "GET files/D = 200 d:D:d:R",
		 ALL("D") " = " FILES(
			 "{\"id\":\"G1\",\"name\":\"doc\",\"mimeType\":\"application/"
			 "vnd.google-apps.document\",\"modifiedTime\":\"T\"},{\"id\":"
			 "\"G2\",\"name\":\"form\",\"mimeType\":\"application/"
			 "vnd.google-apps.form\"}"),
		 "PAGE /d/doc.pdf#G1 /d/form!#G2", "DONE");
	op = op_of(CS_OP_LIST, "/");
	op.follow = true;
	PLAY("to be followed", &op,
		 "GET changes/startPageToken = 200 x:{\"startPageToken\":\"12\"}",
		 ALL("root") " = " FILES(FILE("1", "a")), "PAGE /a#1",
		 "DONE cursor 12");
}

/* Listings that are to be ended, or not to be believed. */
static void
test_list_ends(void)
{
	CsOp op = op_of(CS_OP_LIST, "/d");

	op.recursive = true;
	fresh(NULL);
	PLAY("something without a name is no evidence", &op, DIR,
		 "GET files/D = 200 d:D:d:R",
		 ALL("D") " = " FILES("{\"id\":\"1\",\"mimeType\":\"text/plain\"}"),
		 "DONE incomplete");
	PLAY("without end", &op, "GET files/D = 200 d:D:d:R",
		 ALL("D") " = 200 x:{\"nextPageToken\":\"t\",\"files\":[{}]}",
		 ALL("D") " pageToken=t = 200 x:{\"nextPageToken\":\"t\",\"files\":[{}]}",
		 "FAILED retry later");
	PLAY("in circles, and each folder may have tokens of its own", &op,
		 "GET files/D = 200 d:D:d:R",
		 ALL("D") " = 200 x:{\"nextPageToken\":\"t\",\"files\":[]}",
		 ALL("D") " pageToken=t = " FILES(FOLDER("3", "s")), "PAGE /d/s/#3",
		 ALL("3") " = 200 x:{\"nextPageToken\":\"t\",\"files\":[{}]}",
		 ALL("3") " pageToken=t = 200 x:{\"nextPageToken\":\"u\",\"files\":[{}]}",
		 ALL("3") " pageToken=u = 200 x:{\"nextPageToken\":\"t\",\"files\":[{}]}",
		 ALL("3") " pageToken=t = 200 x:{\"nextPageToken\":\"u\",\"files\":[{}]}",
		 "FAILED retry later");
	op.id = "D";
	PLAY("one in the trash, though none was asked for", &op,
		 "GET files/D = 200 d:D:d:R",
		 ALL("D") " = 200 x:{\"files\":[{\"id\":\"1\",\"name\":\"a\","
				  "\"mimeType\":\"text/plain\",\"trashed\":true}," FILE(
			 "2", "b") "]}",
		 "PAGE /d/b#2", "DONE");
	PLAY("targets in the trash, and of others", &op,
		 "GET files/D = 200 d:D:d:R",
		 ALL("D") " = " FILES(
			 "{\"id\":\"S1\",\"name\":\"one\",\"mimeType\":\"application/"
			 "vnd.google-apps.shortcut\",\"shortcutDetails\":{\"targetId\":"
			 "\"F1\"}},{\"id\":\"S2\",\"name\":\"two\",\"mimeType\":"
			 "\"application/vnd.google-apps.shortcut\",\"shortcutDetails\":{"
			 "\"targetId\":\"F2\"}}"),
		 "GET files/F1 = 200 f:F1:real.txt:X:5:a:r1:trashed",
		 "GET files/F2 = 403 e:insufficientFilePermissions",
		 "PAGE /d/one!#S1 /d/two!#S2", "DONE");
	PLAY("a target that is not to be had for the moment", &op,
		 "GET files/D = 200 d:D:d:R",
		 ALL("D") " = " FILES(
			 "{\"id\":\"S1\",\"name\":\"one\",\"mimeType\":\"application/"
			 "vnd.google-apps.shortcut\",\"shortcutDetails\":{\"targetId\":"
			 "\"F1\"}}"),
		 "GET files/F1 = 503", "FAILED retry later");
	fresh(NULL);
	op = op_of(CS_OP_STAT, "/");
	PLAY("the root has an id", &op, "GET files/root = 200 d:R:MyDrive:",
		 "DONE // R");
	op = op_of(CS_OP_LIST, "/");
	op.recursive = true;
	PLAY("to which a shortcut leads", &op,
		 ALL("root") " = " FILES(
			 "{\"id\":\"S1\",\"name\":\"up\",\"mimeType\":\"application/"
			 "vnd.google-apps.shortcut\",\"shortcutDetails\":{\"targetId\":"
			 "\"R\"}}"),
		 "GET files/R = 200 d:R:MyDrive:", "PAGE /up/#R<S1", "DONE");
}

#define STILL(token)                                                           \
	"GET changes pageToken=" token " = 200 x:{\"nextPageToken\":\"" token "\"}"

static void
test_changes(void)
{
	CsOp op = op_of(CS_OP_LIST, "/d");

	op.follow = true;
	op.cursor = "12";
	fresh(NULL);
	PLAY("nothing", &op,
		 "GET changes pageToken=12 = 200 x:{\"changes\":[],"
		 "\"newStartPageToken\":\"12\"}",
		 "DONE cursor 12");
	PLAY(
		"pages", &op,
		"GET changes pageToken=12 = 200 x:{\"nextPageToken\":\"13\","
		"\"changes\":[{\"changeType\":\"file\",\"fileId\":\"1\",\"file\":" FILE(
			"1", "a") "},{\"changeType\":\"drive\",\"driveId\":\"X\"},"
					  "{\"changeType\":\"file\",\"fileId\":\"2\","
					  "\"removed\":true}]}",
		"PAGE =a#1@P -2 cursor 13",
		"GET changes pageToken=13 = 200 x:{\"newStartPageToken\":\"14\","
		"\"changes\":[{\"changeType\":\"file\",\"fileId\":\"3\",\"file\":{"
		"\"id\":\"3\",\"name\":\"t\",\"mimeType\":\"text/plain\",\"trashed\":"
		"true}}]}",
		"PAGE -3 cursor 14", "DONE cursor 14");
	PLAY("stands still, and goes on", &op,
		 STILL("12"), STILL("12"), STILL("12"), STILL("12"),
		 "GET changes pageToken=12 = 200 x:{\"newStartPageToken\":\"12\"}",
		 "DONE cursor 12");
	PLAY("stands still without end", &op, STILL("12"), STILL("12"),
		 STILL("12"), STILL("12"), STILL("12"), STILL("12"), STILL("12"),
		 STILL("12"), STILL("12"), STILL("12"), STILL("12"),
		 "FAILED retry later");
	PLAY("the same again and again", &op,
		 "GET changes pageToken=12 = 200 x:{\"nextPageToken\":\"12\",\"changes\":["
		 "{}]}",
		 "GET changes pageToken=12 = 200 x:{\"nextPageToken\":\"12\",\"changes\":["
		 "{}]}",
		 "FAILED retry later");
	PLAY("refused", &op, "GET changes pageToken=12 = 410 e:notFound",
		 "FAILED reset");
	PLAY("not valid", &op, "GET changes pageToken=12 = 400 e:invalid",
		 "FAILED reset");
	PLAY("too many requests", &op,
		 "GET changes pageToken=12 = 403 e:rateLimitExceeded",
		 "FAILED retry later");
	PLAY("no token", &op, "GET changes pageToken=12 = 200 x:{\"changes\":[]}",
		 "FAILED broken");
	fresh("0AD");
	PLAY("of a shared drive", &op,
		 "GET changes pageToken=12 driveId=0AD = 200 "
		 "x:{\"newStartPageToken\":\"12\"}",
		 "DONE cursor 12");
}

int
main(void)
{
	test_options();
	test_oauth();
	test_about();
	test_errors();
	test_stat();
	test_mkdir();
	test_mkdir_faults();
	test_list();
	test_list_ends();
	test_changes();
	return tap_done();
}
