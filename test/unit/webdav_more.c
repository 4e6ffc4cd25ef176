/* sources: src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * The WebDAV provider's conversations but for PUT (webdav.c), replayed
 * (webdav_play.h), and its options.
 */
#include "postgres_fe.h"

#include "webdav_play.h"

static void
test_mkdir(void)
{
	CsOp op = {.kind = CS_OP_MKDIR, .path = "/a/b/c"};

	FRESH("made", &op, "MKCOL /a/b/c/ = 201", "DONE /a/b/c");
	tap_ok(last_result.made, "just now, so nothing is in it");
	PLAY("known by now", &op, "DONE /a/b/c");
	tap_ok(!last_result.made, "not just now");
	FRESH("made by another meanwhile", &op, "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201",
		  "MKCOL /a/b/c/ = 405", "LOOK /a/b/c = folder -", "DONE /a/b/c");
	tap_ok(!last_result.made, "not by us, though what it is in was");
	FRESH("said to be there", &op, "MKCOL /a/b/c/ = 200", "DONE /a/b/c");
	tap_ok(!last_result.made, "which no 201 said");
	FRESH("with its parents", &op, "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 409",
		  "MKCOL /a/ = 201", "MKCOL /a/b/ = 201",
		  "MKCOL /a/b/c/ = 201 oc-fileid:00000007ocx", "DONE /a/b/c");
	tap_is(last_result.entry.id, "7", "its id");
	PLAY("known with its id", &op, "DONE /a/b/c");
	tap_is(last_result.entry.id, "7", "its id, remembered");
	FRESH("is there", &op, "MKCOL /a/b/c/ = 405", "LOOK /a/b/c = folder 12",
		  "DONE /a/b/c");
	tap_is(last_result.entry.id, "12", "its id, looked up");
	FRESH("a file is there", &op, "MKCOL /a/b/c/ = 405",
		  "LOOK /a/b/c = file v 1", "FAILED conflict");
	FRESH("forbidden, but there", &op, "MKCOL /a/b/c/ = 403",
		  "LOOK /a/b/c = folder -", "DONE /a/b/c");
	FRESH("a file on the way", &op, "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 405",
		  "LOOK /a/b = file v 1", "FAILED conflict");
	FRESH("the endpoint is gone", &op, "MKCOL /a/b/c/ = 409",
		  "MKCOL /a/b/ = 409", "MKCOL /a/ = 409", "LOOK /a = 404",
		  "FAILED unreachable");
	FRESH("no end of it", &op, "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201",
		  "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201", "MKCOL /a/b/c/ = 409",
		  "MKCOL /a/b/ = 201", "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201",
		  "MKCOL /a/b/c/ = 409", "MKCOL /a/b/ = 201", "MKCOL /a/b/c/ = 409",
		  "MKCOL /a/b/ = 201", "FAILED broken");
	op.path = "/";
	FRESH("the root", &op, "LOOK / = folder -", "DONE /");
	FRESH("the root is gone", &op, "LOOK / = 404", "FAILED unreachable");
}

static void
test_get(void)
{
	CsOp op = {.kind = CS_OP_GET, .path = "/f", .expect_version = "\"v1\""};

	FRESH("one request", &op, "GET /f = 200 5 a etag:\"v1\" content-length:5",
		  "DONE /f \"v1\"");
	FRESH("compressed on the way", &op,
		  "GET /f = 200 5 a etag:\"v1-gzip\" content-length:3 "
		  "content-encoding:gzip",
		  "DONE /f \"v1\"");
	FRESH("another version", &op,
		  "GET /f = 200 5 a etag:\"v2\" content-length:5", "FAILED changed");
	FRESH("shorter than said", &op,
		  "GET /f = 200 4 a etag:\"v1\" content-length:5", "FAILED retry now");
	FRESH("its checksum", &op,
		  psprintf("GET /f = 200 5 a etag:\"v1\" oc-checksum:SHA256:%s",
				   hex_of('a', 5)),
		  "DONE verified /f \"v1\"");
	FRESH("another checksum", &op,
		  psprintf("GET /f = 200 5 a etag:\"v1\" oc-checksum:SHA256:%s",
				   hex_of('b', 5)),
		  "FAILED retry now");
	FRESH("its digest", &op,
		  "GET /f = 200 5 a etag:\"v1\" "
		  "digest:md5=xx,sha-256=7Wj20JPuZd/w4d5NjqJfUvMUWyCa0xYxMkfj++d60Zo=",
		  "FAILED retry now");
	FRESH("no ETag: asked for", &op, "GET /f = 200 5 a content-length:5",
		  "LOOK /f = file v1 5", "DONE /f \"v1\"");
	FRESH("no ETag: another", &op, "GET /f = 200 5 a content-length:5",
		  "LOOK /f = file v2 5", "FAILED changed");
	FRESH("gone", &op, "GET /f = 404", "FAILED gone");
	FRESH("a page to sign in", &op, "GET /f = 302 location:https://x.org/login",
		  "FAILED unreachable");
	FRESH("redirected within the server", &op, "GET /f = 301 location:/dav/g",
		  "GET /g = 200 5 a etag:\"v1\"", "DONE /f \"v1\"");
	FRESH("redirected for ever", &op, "GET /f = 301 location:/dav/f",
		  "GET /f = 301 location:/dav/f",
		  "GET /f = 301 location:https://cloud.example.com/dav/f",
		  "GET /f = 301 location:/dav/f", "FAILED unreachable");
	FRESH("goes on", &op, "GET /f = broke 3 etag:\"v1\" content-length:5",
		  "GET /f from 3 = 206 2 a content-range:bytes_3-4/5",
		  "DONE /f \"v1\"");
	FRESH(
		"goes on, twice", &op, "GET /f = broke 3 etag:\"v1\" content-length:5",
		"GET /f from 3 = broke 1 content-range:bytes_3-4/5",
		"GET /f from 4 = 206 1 a content-range:bytes_4-4/5", "DONE /f \"v1\"");
	FRESH("another file by now", &op,
		  "GET /f = broke 3 etag:\"v0\" content-length:5",
		  "GET /f from 3 = 200 5 a",
		  "GET /f = 200 5 a etag:\"v1\" content-length:5", "DONE /f \"v1\"");
	FRESH("a wrong range", &op, "GET /f = broke 3 etag:\"v1\" content-length:5",
		  "GET /f from 3 = 206 2 a content-range:bytes_2-3/5",
		  "GET /f = 200 5 a etag:\"v1\" content-length:5", "DONE /f \"v1\"");
	FRESH("no validator: anew", &op, "GET /f = broke 3 content-length:5",
		  "GET /f = 200 5 a etag:\"v1\" content-length:5", "DONE /f \"v1\"");
	FRESH("nothing came", &op, "GET /f = lost", "FAILED retry later");
	FRESH("breaks off always", &op,
		  "GET /f = broke 1 etag:\"v1\" content-length:9",
		  "GET /f from 1 = broke 1 content-range:bytes_1-8/9",
		  "GET /f from 2 = broke 1 content-range:bytes_2-8/9",
		  "GET /f from 3 = broke 1 content-range:bytes_3-8/9",
		  "GET /f from 4 = broke 1 content-range:bytes_4-8/9",
		  "GET /f from 5 = broke 1 content-range:bytes_5-8/9",
		  "FAILED retry later");
	FRESH("the database cannot take it", &op, "GET /f = bodyfail",
		  "FAILED changed");
	op.expect_version = "5:784111777";
	FRESH("by time and size", &op,
		  "GET /f = 200 5 a content-length:5 etag:\"x\" "
		  "last-modified:Sun,_06_Nov_1994_08:49:37_GMT",
		  "DONE /f 5:784111777");
	FRESH("by time and size, another", &op,
		  "GET /f = 200 5 a content-length:5 etag:\"x\" "
		  "last-modified:Sun,_06_Nov_1994_08:49:38_GMT",
		  "FAILED changed");
	op.expect_version = NULL;
	FRESH("any version", &op, "GET /f = 200 0 a content-length:0", "DONE /f");
}

static void
test_list(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/in", .recursive = true};

	FRESH("folders, ours left out", &op,
		  "LIST /in/ = page a b/ .cloudsync-0123456789abcdef.part "
		  "%C3%A9%20x.pdf",
		  "PAGE a b/ \xC3\xA9 x.pdf", "LIST /in/b/ = page c", "PAGE c", "DONE");
	FRESH("empty", &op, "LIST /in/ = page", "DONE");
	FRESH("a folder is gone since", &op, "LIST /in/ = page b/", "PAGE b/",
		  "LIST /in/b/ = 404", "DONE incomplete");
	FRESH("a folder cannot be listed", &op, "LIST /in/ = page b/ e/",
		  "PAGE b/ e/", "LIST /in/e/ = 403", "PAGE e/!", "LIST /in/b/ = page y",
		  "PAGE y", "DONE incomplete");
	FRESH("a folder fails", &op, "LIST /in/ = page b/", "PAGE b/",
		  "LIST /in/b/ = 500", "FAILED retry later");
	FRESH("kept from us", &op, "LIST /in/ = page a! b", "PAGE a! b",
		  "DONE incomplete");
	FRESH("gone", &op, "LIST /in/ = 404", "FAILED gone");
	FRESH("a web page", &op, "LIST /in/ = 200 content-type:text/html",
		  "FAILED broken");
	FRESH("a web page that says 207", &op,
		  "LIST /in/ = xml <html><body><p>Sign in</body></html>",
		  "FAILED broken");
	FRESH("breaks off", &op,
		  "LIST /in/ = xml <d:multistatus xmlns:d='DAV:'><d:response>",
		  "FAILED broken");
	FRESH("a bomb", &op,
		  "LIST /in/ = xml <!DOCTYPE a [<!ENTITY b 'bb'>]><a>&b;</a>",
		  "FAILED broken");
	FRESH("redirected within the server", &op,
		  "LIST /in/ = 301 location:/dav/in/", "LIST /in/ = page a", "PAGE a",
		  "DONE");
	FRESH("about other addresses", &op,
		  "LIST /in/ = xml <d:multistatus xmlns:d='DAV:'><d:response>"
		  "<d:href>http://internal:8080/dav/in/</d:href></d:response>"
		  "</d:multistatus>",
		  "FAILED broken");
	FRESH("nothing in it", &op,
		  "LIST /in/ = xml <d:multistatus xmlns:d='DAV:'/>", "FAILED broken");
	op.recursive = false;
	FRESH("one folder only", &op, "LIST /in/ = page a b/", "PAGE a b/", "DONE");
}

#define R(href)                                                                \
	"=<d:response><d:href>" href "</d:href><d:propstat><d:prop>"               \
	"<d:resourcetype/></d:prop><d:status>HTTP/1.1_200</d:status>"              \
	"</d:propstat></d:response>"
#define FOREIGN                                                                \
	R("https://evil.example.com/dav/in/no") " " R("//evil/dav/in/no")
#define ELSEWHERE R("/dav/in/../no") " " R("/dav/no") " " R("/dav/inn/no")
#define NOT_IN_IT R("/dav/in/x/y") " " R("/dav/in/..") " " R("in/no")

/* Names and addresses that are not believed. */
static void
test_list_names(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/in", .recursive = true};
	StringInfoData deep;
	char *name = palloc0(12001);

	FRESH("absolute and foreign addresses", &op,
		  "LIST /in/ = page " R("https://cloud.example.com/dav/in/yes") " "
			  FOREIGN " " ELSEWHERE " " NOT_IN_IT,
		  "PAGE yes!", "DONE incomplete");
	FRESH("names that can be none", &op,
		  "LIST /in/ = page a%00b a%ffb a%2Fb a%zz a%0Ab",
		  "PAGE a%00b! a%ffb! a%2fb! a%zz! a\nb", "DONE");
	memset(name, 'n', 10000);
	open_service();
	PLAY("a name of 10 KB", &op, psprintf("LIST /in/ = page %s", name),
		 psprintf("PAGE %.120s...%.16s!", name, hex_of('n', 10000)), "DONE");
	initStringInfo(&deep);
	appendStringInfoChar(&deep, '/');
	for (int i = 0; i < 1499; i++)
		appendStringInfoChar(&deep, i % 200 == 199 ? '/' : 'n');
	op.path = deep.data;
	open_service();
	PLAY("nested too deeply", &op, psprintf("LIST %s/ = page a b/", deep.data),
		 "PAGE a b/!", "DONE");
}

/* A folder of many files is given in pages. */
static void
test_pages(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/"};
	CsRequest request;
	CsResult result;
	CsResponse answer;
	CsConversation *c;
	int seen = 0;
	int pages = 0;

	open_service();
	c = cs_provider_webdav.begin(service, &op);
	tap_ok(cs_provider_webdav.next(c, NULL, &request, &result) ==
			   CS_STEP_REQUEST,
		   "asks");
	fill_response(&answer, &request, "page");
	answer_text.len -= (int) strlen("</d:multistatus>");
	for (int i = 0; i < 1700; i++)
	{
		char *file[] = {"file", "v1", "5"};

		add_resource(psprintf("%s%d", request.url, i), file, 3);
	}
	appendStringInfoString(&answer_text, "</d:multistatus>");
	for (int i = 0; i < answer_text.len; i += 1000)
	{
		if (cs_provider_webdav.take(c, answer_text.data + i,
									Min(1000, answer_text.len - i),
									&result) == CS_STEP_PAGE)
		{
			pages++;
			seen += result.n_entries;
			tap_ok(result.n_entries >= 500 && result.n_entries < 550,
				   "a page of %d", result.n_entries);
		}
	}
	if (cs_provider_webdav.next(c, &answer, &request, &result) == CS_STEP_PAGE)
	{
		pages++;
		seen += result.n_entries;
	}
	tap_ok(pages == 4 && seen == 1700, "%d entries in %d pages", seen, pages);
	tap_ok(cs_provider_webdav.next(c, NULL, &request, &result) == CS_STEP_DONE,
		   "done");
}

static void
test_move(void)
{
	CsOp op = {.kind = CS_OP_MOVE,
			   .path = "/a",
			   .to_path = "/b",
			   .known_version = "\"v1\""};
	CsOp folder = {
		.kind = CS_OP_MOVE, .path = "/a", .to_path = "/b", .id = "7"};

	FRESH("ours is moved", &op, "LOOK /a = file v1 5", "MOVE /a -> /b = 201",
		  "LOOK /b = file v2 5", "DONE /b \"v2\"");
	FRESH("not ours", &op, "LOOK /a = file w 5", "FAILED conflict");
	FRESH("a folder instead", &op, "LOOK /a = folder -", "FAILED conflict");
	FRESH("a folder of ours", &folder, "LOOK /a = folder 7",
		  "MOVE /a/ -> /b/ = 201", "LOOK /b = folder 7", "DONE /b");
	FRESH("another folder", &folder, "LOOK /a = folder 8", "FAILED conflict");
	FRESH("a folder without ids", &folder, "LOOK /a = folder -",
		  "MOVE /a/ -> /b/ = 201", "LOOK /b = folder -", "DONE /b");
	FRESH("the target is taken", &op, "LOOK /a = file v1 5",
		  "MOVE /a -> /b = 412", "FAILED conflict");
	FRESH("moved already", &op, "LOOK /a = 404", "LOOK /b = file v1 5",
		  "DONE /b \"v1\"");
	FRESH("gone", &op, "LOOK /a = 404", "LOOK /b = 404", "FAILED gone");
	FRESH("gone, the target is another's", &op, "LOOK /a = 404",
		  "LOOK /b = file w 5", "FAILED gone");
	FRESH("folder gone meanwhile", &op, "LOOK /a = file v1 5",
		  "MOVE /a -> /b = 409", "FAILED retry now");
	FRESH("lost, but done", &op, "LOOK /a = file v1 5", "MOVE /a -> /b = lost",
		  "LOOK /b = file v1 5", "DONE /b \"v1\"");
	FRESH("lost and not done", &op, "LOOK /a = file v1 5",
		  "MOVE /a -> /b = 504", "LOOK /b = 404", "FAILED retry later");
	FRESH("locked", &op, "LOOK /a = file v1 5", "MOVE /a -> /b = 423",
		  "FAILED retry later");
	intend(&op, 'i', 5);
	FRESH("ours by its bytes", &op, "LOOK /a = file w 5", "READ /a = 200 5 i",
		  "MOVE /a -> /b = 201", "LOOK /b = file w 5", "DONE /b \"w\"");
	FRESH("ours by the server's checksum", &op, "LOOK /a = file w 5 i",
		  "MOVE /a -> /b = 201", "LOOK /b = file w 5", "DONE /b \"w\"");
	FRESH("not ours by its bytes", &op, "LOOK /a = file w 5",
		  "READ /a = 200 5 o", "FAILED conflict");
	FRESH("moved already, by its bytes", &op, "LOOK /a = 404",
		  "LOOK /b = file w 5", "READ /b = 200 5 i", "DONE /b \"w\"");
	op.to_path = "/a";
	FRESH("nowhere else", &op, "LOOK /a = file v1 5", "DONE /a \"v1\"");
	op.to_path = NULL;
	FRESH("nowhere", &op, "FAILED broken");
}

static void
test_trash(void)
{
	CsOp op = {.kind = CS_OP_TRASH,
			   .path = "/r/a.txt",
			   .to_path = "/.trash/r/a.txt",
			   .known_version = "\"v1\""};

	FRESH("to the trash", &op, "LOOK /r/a.txt = file v1 5",
		  "MKCOL /.trash/r/ = 409", "MKCOL /.trash/ = 201",
		  "MKCOL /.trash/r/ = 201", "MOVE /r/a.txt -> /.trash/r/a.txt = 201",
		  "LOOK /.trash/r/a.txt = file v1 5", "DONE /.trash/r/a.txt \"v1\"");
	PLAY("taken there, twice", &op, "LOOK /r/a.txt = file v1 5",
		 "MOVE /r/a.txt -> /.trash/r/a.txt = 412",
		 "MOVE /r/a.txt -> /.trash/r/a (2).txt = 412",
		 "MOVE /r/a.txt -> /.trash/r/a (3).txt = 201",
		 "LOOK /.trash/r/a (3).txt = file v1 5",
		 "DONE /.trash/r/a (3).txt \"v1\"");
	PLAY("there already, under a number", &op, "LOOK /r/a.txt = 404",
		 "LOOK /.trash/r/a.txt = file w 4",
		 "LOOK /.trash/r/a (2).txt = file v1 5",
		 "DONE /.trash/r/a (2).txt \"v1\"");
	PLAY("gone", &op, "LOOK /r/a.txt = 404", "LOOK /.trash/r/a.txt = 404",
		 "FAILED gone");
	PLAY("not ours", &op, "LOOK /r/a.txt = file w 5", "FAILED conflict");
	FRESH("a file where the trash should be", &op, "LOOK /r/a.txt = file v1 5",
		  "MKCOL /.trash/r/ = 409", "MKCOL /.trash/ = 405",
		  "LOOK /.trash = file v 1", "FAILED conflict");
}

static void
test_small(void)
{
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};

	FRESH("about", &op, "LOOK / = folder -", "DONE /");
	FRESH("about: quota", &op,
		  "LOOK / = xml <d:multistatus xmlns:d='DAV:'><d:response><d:href>/dav/"
		  "</d:href><d:propstat><d:prop><d:resourcetype><d:collection/>"
		  "</d:resourcetype><d:quota-used-bytes>5</d:quota-used-bytes>"
		  "<d:quota-available-bytes>10</d:quota-available-bytes></d:prop>"
		  "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
		  "</d:multistatus>",
		  "DONE /");
	tap_ok(last_result.used_bytes == 5 && last_result.quota_bytes == 15,
		   "used and quota");
	FRESH("about a web server", &op, "LOOK / = 405", "FAILED unreachable");
	FRESH("about a web page", &op, "LOOK / = 200 content-type:text/html",
		  "FAILED unreachable");
	FRESH("about nothing", &op, "LOOK / = 404", "FAILED unreachable");
	FRESH("about a file", &op, "LOOK / = file v 1", "FAILED unreachable");
	FRESH("about: wrong password", &op, "LOOK / = 401", "FAILED needs consent");
	FRESH("about: forbidden", &op, "LOOK / = 403", "FAILED forbidden");
	FRESH("about: server fails", &op, "LOOK / = 503", "FAILED retry later");
	FRESH("about: elsewhere", &op,
		  "LOOK / = 301 location:https://u:secret@evil.example.com/",
		  "FAILED unreachable");
	tap_ok(strstr(last_failure.message, "evil.example.com") != NULL &&
			   strstr(last_failure.message, "secret") == NULL,
		   "the host is named: %s", last_failure.message);
	op.kind = CS_OP_STAT;
	op.path = "/x";
	FRESH("stat", &op, "LOOK /x = file v 5", "DONE /x \"v\"");
	op.path = "/a #1?/100%";
	FRESH("stat: signs in a name", &op, "LOOK /a #1?/100% = file v 5",
		  "DONE /a #1?/100% \"v\"");
	op.path = "/x";
	FRESH("stat: Apache's young ETag", &op,
		  "LOOK /x = file W/5-660d6aa419fa9 5", "DONE /x \"5-660d6aa419fa9\"");
	FRESH("stat: a weak ETag", &op, "LOOK /x = file W/v 5",
		  "DONE /x 5:784111777");
	FRESH("stat: no ETag", &op, "LOOK /x = file - 5", "DONE /x 5:784111777");
	FRESH("stat of nothing", &op, "LOOK /x = 404", "FAILED gone");
	FRESH("stat: nonsense", &op, "LOOK /x = xml <a/>", "FAILED broken");
	op.kind = CS_OP_DISCARD;
	op.path = T;
	FRESH("discard", &op, "DELETE " T " = 204", "DONE");
	FRESH("discard of what is gone", &op, "DELETE " T " = 404", "DONE");
	FRESH("discard refused", &op, "DELETE " T " = 403", "FAILED forbidden");
	op.path = "/d/f.txt";
	FRESH("discard of a file", &op, "FAILED broken");
}

static void
test_open(void)
{
	static const char *const bad[] = {"",
									  "cloud.example.com",
									  "ftp://h/",
									  "https://u:p@h/",
									  "https://h/?x",
									  "https://h/%00"};
	CsFailure failure;

	for (int i = 0; i < (int) lengthof(bad); i++)
	{
		CsOption options[] = {{"endpoint", bad[i]}, {NULL}};

		tap_ok(cs_provider_webdav.open(options, &failure) == NULL &&
				   failure.message[0] != '\0' && failure.detail[0] != '\0',
			   "endpoint \"%s\": %s", bad[i], failure.message);
	}
	{
		CsOption options[] = {{"endpoint", "HTTPS://Cloud.Example.com:443/a/"},
							  {NULL}};
		CsService *opened = cs_provider_webdav.open(options, &failure);

		tap_is(opened->url, "https://cloud.example.com/a", "its address");
		tap_is(opened->account, "https://cloud.example.com/a", "its account");
	}
}

int
main(void)
{
	initStringInfo(&answer_text);
	test_mkdir();
	test_get();
	test_list();
	test_list_names();
	test_pages();
	test_move();
	test_trash();
	test_small();
	test_open();
	return tap_done();
}
