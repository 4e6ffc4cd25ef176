/* sources: src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * The WebDAV provider's PUT, replayed (webdav_play.h): on servers with and
 * without conditions, in one request, by a temporary name, in Nextcloud's chunks.
 * The other operations are in webdav_more.c.
 */
#include "postgres_fe.h"

#include "webdav_play.h"

/* A small file whose SHA-256 is known: five a. */
static CsOp
small(void)
{
	CsOp op = {.kind = CS_OP_PUT,
			   .path = "/d/f.txt",
			   .temp_name = TEMP,
			   .size = 5,
			   .has_sha256 = true};

	sha_of('a', 5, op.sha256);
	return op;
}

/* One whose SHA-256 is not known. */
static CsOp
large(void)
{
	CsOp op = small();

	op.has_sha256 = false;
	return op;
}

/* Every server: a folder that was empty a moment ago needs one request. */
static void
test_put_fresh(void)
{
	CsOp op = small();

	op.fresh_folder = true;
	FRESH("fresh: one request", &op, "PUT /d/f.txt new = 201 5 a",
		  "DONE /d/f.txt");
	FRESH("fresh: with ETag", &op, "PUT /d/f.txt new = 201 5 a etag:\"v1\"",
		  "DONE /d/f.txt \"v1\"");
	FRESH("fresh: a weak ETag is no version", &op,
		  "PUT /d/f.txt new = 204 5 a etag:W/\"v1\"", "DONE /d/f.txt");
	FRESH("fresh: folder missing, 409", &op, "PUT /d/f.txt new = 409",
		  "MKCOL /d/ = 201", "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	FRESH("fresh: folder missing, 500", &op, "PUT /d/f.txt new = 500",
		  "MKCOL /d/ = 201", "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	FRESH("fresh: folder there, a folder at the target", &op,
		  "PUT /d/f.txt new = 409", "MKCOL /d/ = 405", "LOOK /d = folder -",
		  "LOOK /d/f.txt = folder -", "FAILED conflict");
	FRESH("fresh: 409 and nothing explains it", &op, "PUT /d/f.txt new = 409",
		  "MKCOL /d/ = 405", "LOOK /d = folder -", "LOOK /d/f.txt = 404",
		  "PUT /d/f.txt new = 409", "LOOK /d/f.txt = 404", "FAILED broken");
	FRESH("fresh: the answer is lost, the file is there", &op,
		  "PUT /d/f.txt new = lost", "LOOK /d/f.txt = file v1 5",
		  "READ /d/f.txt = 200 5 a", "DONE verified /d/f.txt \"v1\"");
	FRESH("fresh: the same by the server's checksum", &op,
		  "PUT /d/f.txt new = 502", "LOOK /d/f.txt = file v1 5 a",
		  "DONE verified /d/f.txt \"v1\"");
	FRESH("fresh: lost, and other bytes there", &op, "PUT /d/f.txt new = lost",
		  "LOOK /d/f.txt = file v1 5", "READ /d/f.txt = 200 5 b",
		  "FAILED retry later");
	FRESH("fresh: lost, and nothing there", &op, "PUT /d/f.txt new = lost",
		  "LOOK /d/f.txt = 404", "FAILED retry later");
	FRESH("fresh: no connection", &op, "PUT /d/f.txt new = down",
		  "FAILED unreachable");
	FRESH("fresh: the body fails", &op, "PUT /d/f.txt new = bodyfail",
		  "FAILED changed");
	FRESH("fresh: shorter than said", &op, "PUT /d/f.txt new = 201 4 a",
		  "FAILED changed");
	FRESH("fresh: a redirect is not followed", &op,
		  "PUT /d/f.txt new = 301 location:https://cloud.example.com/x",
		  "FAILED unreachable");
	FRESH("fresh: the checksum is refused", &op, "PUT /d/f.txt new = 400",
		  "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	FRESH("fresh: no conditions known", &op, "PUT /d/f.txt new = 501",
		  "LOOK /d/f.txt = 404", "PUT /d/f.txt = 201 5 a", "DONE /d/f.txt");
	op.temp_name = NULL;
	FRESH("no temporary name", &op, "FAILED broken");
}

/* A server that obeys conditions, found out by the first file. */
static void
test_put_conditions(void)
{
	CsOp op = small();

	FRESH("probed", &op, PROBE " = 412", "PUT /d/f.txt new = 201 5 a",
		  "DONE /d/f.txt");
	PLAY("known by now", &op, "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	PLAY("taken by another", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 9", "FAILED conflict");
	PLAY("the same bytes are there", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 200 5 a",
		 "DONE adopted verified /d/f.txt \"w\"");
	PLAY("others of that size are there", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 200 5 b",
		 "FAILED conflict");
	PLAY("changed while it was read", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 200 5 etag:\"x\" a",
		 "LOOK /d/f.txt = file x 5", "READ /d/f.txt = 200 5 etag:\"x\" a",
		 "DONE adopted verified /d/f.txt \"x\"");
	PLAY("not readable, so not ours", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 403", "FAILED conflict");
	PLAY("there and not there in turn", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = 404", "PUT /d/f.txt new = 412", "LOOK /d/f.txt = 404",
		 "PUT /d/f.txt new = 412", "LOOK /d/f.txt = 404",
		 "PUT /d/f.txt new = 412", "LOOK /d/f.txt = 404",
		 "PUT /d/f.txt new = 412", "FAILED retry later");
	op.overwrite = true;
	PLAY("overwrite", &op, "PUT /d/f.txt new = 412", "LOOK /d/f.txt = file w 9",
		 "PUT /d/f.txt if \"w\" = 204 5 a", "DONE /d/f.txt");
	PLAY("overwrite, never a folder", &op, "PUT /d/f.txt new = 412",
		 "LOOK /d/f.txt = folder -", "FAILED conflict");
	op.overwrite = false;
	op.known_version = "\"v1\"";
	PLAY("ours is replaced", &op,
		 "PUT /d/f.txt if \"v1\" = 204 5 a etag:\"v2\"",
		 "DONE /d/f.txt \"v2\"");
	PLAY("changed by another", &op, "PUT /d/f.txt if \"v1\" = 412",
		 "LOOK /d/f.txt = file w 9", "FAILED conflict");
	PLAY("removed by another", &op, "PUT /d/f.txt if \"v1\" = 412",
		 "LOOK /d/f.txt = 404", "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	PLAY("no condition holds for a weak ETag", &op,
		 "PUT /d/f.txt if \"v1\" = 412", "LOOK /d/f.txt = file v1 9",
		 "PUT /d/f.txt = 204 5 a", "DONE /d/f.txt");
	intend(&op, 'i', 9);
	PLAY("ours by an attempt that died", &op, "PUT /d/f.txt if \"v1\" = 412",
		 "LOOK /d/f.txt = file w 9", "READ /d/f.txt = 200 9 i",
		 "PUT /d/f.txt if \"w\" = 204 5 a", "DONE /d/f.txt");
	op.known_version = "9:784111777";
	PLAY("known by time and size", &op, "LOOK /d/f.txt = file - 9",
		 "PUT /d/f.txt = 204 5 a", "DONE /d/f.txt");
}

/* A server that takes everything: looked at just before. */
static void
test_put_no_conditions(void)
{
	CsOp op = small();

	FRESH("probed in vain", &op, PROBE " = 201", "DELETE " T " = 204",
		  "LOOK /d/f.txt = 404", "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	PLAY("taken by another", &op, "LOOK /d/f.txt = file w 9",
		 "FAILED conflict");
	op.known_version = "\"v1\"";
	PLAY("ours is replaced", &op, "LOOK /d/f.txt = file v1 9",
		 "PUT /d/f.txt if \"v1\" = 204 5 a", "DONE /d/f.txt");
	PLAY("changed by another", &op, "LOOK /d/f.txt = file w 9",
		 "FAILED conflict");
	FRESH("not found out", &op, PROBE " = 403", "LOOK /d/f.txt = file v1 9",
		  "PUT /d/f.txt if \"v1\" = 204 5 a", "DONE /d/f.txt");
	FRESH("probe: wrong password", &op, PROBE " = 401", "FAILED needs consent");
	FRESH("probe: no connection", &op, PROBE " = down", "FAILED unreachable");
}

static void
test_put_temp(void)
{
	CsOp op = large();

	FRESH("new", &op, "LOOK /d/f.txt = 404", "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	op.fresh_folder = true;
	FRESH("fresh: two requests", &op, "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("somebody was faster", &op, "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "MOVE " T " -> /d/f.txt = 412", "LOOK /d/f.txt = file w 9",
		  "DELETE " T " = 204", "FAILED conflict");
	FRESH("somebody was faster, with the same", &op, "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = 412",
		  "LOOK /d/f.txt = file w 5", "READ /d/f.txt = 200 5 a",
		  "DELETE " T " = 204", "DONE adopted verified /d/f.txt \"w\"");
	FRESH("shorter than said", &op, "PUT " T " = 201 4 a", "DELETE " T " = 204",
		  "FAILED changed");
	FRESH("the body fails", &op, "PUT " T " = bodyfail", "DELETE " T " = 404",
		  "FAILED changed");
	FRESH("no connection", &op, "PUT " T " = down", "FAILED unreachable");
	FRESH("folder missing", &op, "PUT " T " = 409", "MKCOL /d/ = 201",
		  "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("MOVE is lost, but was done", &op, "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = lost",
		  "LOOK /d/f.txt = file v1 5", "READ /d/f.txt = 200 5 a",
		  "DELETE " T " = 404", "DONE verified /d/f.txt \"v1\"");
	FRESH("MOVE is lost and was not done", &op, "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = 502",
		  "LOOK /d/f.txt = 404", "DELETE " T " = 204", "FAILED retry later");
	FRESH("removed under our hands", &op, "PUT " T " = 201 5 a",
		  "CHECKPOINT 5 a", "MOVE " T " -> /d/f.txt = 404",
		  "DELETE " T " = 404", "FAILED retry now");
	FRESH("no MOVE here", &op, "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "MOVE " T " -> /d/f.txt = 405", "PUT /d/f.txt new = 201 5 a",
		  "DELETE " T " = 204", "DONE /d/f.txt");
	PLAY("and it is known", &op, "BODY 0 = ok 5 a", "CHECKPOINT 5 a",
		 "PUT /d/f.txt new = 201 5 a", "DONE /d/f.txt");
	op.fresh_folder = false;
	op.known_version = "\"v1\"";
	FRESH("ours is replaced", &op, "LOOK /d/f.txt = file v1 9",
		  "PUT " T " = 201 5 a", "CHECKPOINT 5 a", "LOOK /d/f.txt = file v1 9",
		  "MOVE " T " => /d/f.txt = 204", "DONE /d/f.txt");
	FRESH("changed while we wrote", &op, "LOOK /d/f.txt = file v1 9",
		  "PUT " T " = 201 5 a", "CHECKPOINT 5 a", "LOOK /d/f.txt = file w 8",
		  "DELETE " T " = 204", "FAILED conflict");
	FRESH("removed while we wrote", &op, "LOOK /d/f.txt = file v1 9",
		  "PUT " T " = 201 5 a", "CHECKPOINT 5 a", "LOOK /d/f.txt = 404",
		  "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("not ours", &op, "LOOK /d/f.txt = file w 9", "FAILED conflict");
	FRESH("the same bytes are there", &op, "LOOK /d/f.txt = file w 5 a",
		  "BODY 0 = ok 5 a", "DONE adopted verified /d/f.txt \"w\"");
	op.known_version = NULL;
	intend(&op, 'i', 9);
	FRESH("ours by its bytes", &op, "LOOK /d/f.txt = file w 9",
		  "READ /d/f.txt = 200 9 i", "PUT " T " = 201 5 a", "CHECKPOINT 5 a",
		  "LOOK /d/f.txt = file w 9", "MOVE " T " => /d/f.txt = 204",
		  "DONE /d/f.txt");
}

/* A large file is looked at before it gets its name. */
static void
test_put_huge(void)
{
	CsOp op = large();

	op.size = INT64CONST(100000000);
	op.fresh_folder = true;
	FRESH("huge", &op, "PUT " T " = 201 100000000 a",
		  "LOOK " T " = file x 100000000", "CHECKPOINT 100000000 a",
		  "MOVE " T " -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("huge, but not there", &op, "PUT " T " = 201 100000000 a",
		  "LOOK " T " = file x 99999999", "DELETE " T " = 204",
		  "FAILED retry now");
}

#define UP "up:/cloudsync-0123456789abcdef"

static void
test_nextcloud(void)
{
	CsOp op = small();

	endpoint = NEXT;
	FRESH("Nextcloud obeys conditions", &op,
		  psprintf("PUT /d/f.txt new = 201 5 a etag:\"v1\" oc-etag:\"v1\" "
				   "oc-fileid:00000042ocabc x-hash-sha256:%s",
				   hex_of('a', 5)),
		  "DONE verified /d/f.txt \"v1\"");
	tap_is(last_result.entry.id, "42", "its id");
	tap_is(last_result.entry.web_url,
		   "https://cloud.example.com/nc/index.php/f/42", "its page");
	FRESH("other bytes arrived", &op,
		  psprintf("PUT /d/f.txt new = 201 5 a etag:\"v1\" x-hash-sha256:%s",
				   hex_of('b', 5)),
		  psprintf("PUT /d/f.txt if \"v1\" = 204 5 a etag:\"v2\" "
				   "x-hash-sha256:%s",
				   hex_of('a', 5)),
		  "DONE verified /d/f.txt \"v2\"");
	FRESH("other bytes arrived, always", &op,
		  psprintf("PUT /d/f.txt new = 201 5 a etag:\"v1\" x-hash-sha256:%s",
				   hex_of('b', 5)),
		  psprintf("PUT /d/f.txt if \"v1\" = 201 5 a etag:\"v2\" "
				   "x-hash-sha256:%s",
				   hex_of('b', 5)),
		  psprintf("PUT /d/f.txt if \"v2\" = 201 5 a etag:\"v3\" "
				   "x-hash-sha256:%s",
				   hex_of('b', 5)),
		  "DELETE /d/f.txt if \"v3\" = 204", "FAILED retry later");
	FRESH("and nothing says which version that is", &op,
		  psprintf("PUT /d/f.txt new = 201 5 a x-hash-sha256:%s", hex_of('b', 5)),
		  "FAILED retry later");
	FRESH("when it arrived, by the server's clock", &op,
		  "PUT /d/f.txt new = 201 5 a date:Sun,_06_Nov_1994_08:49:37_GMT",
		  "DONE /d/f.txt");
	tap_ok(last_result.entry.modified == INT64CONST(784111777000000), "is told");
	endpoint = BASE;
}

static void
test_nextcloud_chunks(void)
{
	CsOp op = large();

	endpoint = NEXT;
	op.size = 2000000;
	FRESH("of some size: straight too", &op, "LOOK /d/f.txt = 404",
		  "BODY 0 = ok 2000000 a", "CHECKPOINT 2000000 a",
		  "PUT /d/f.txt new = 201 2000000 a", "DONE /d/f.txt");
	op.size = 25000000;
	FRESH("in chunks", &op, "LOOK /d/f.txt = 404", "MKCOL " UP " = 201",
		  "CHECKPOINT 1 10485760 25000000", "PUT " UP "/00001 = 201 10485760 a",
		  "PUT " UP "/00002 at 10485760 = 201 10485760 a",
		  "PUT " UP "/00003 at 20971520 = 201 4028480 a",
		  "CHECKPOINT 25000000 a",
		  "MOVE " UP "/.file -> /d/f.txt = 201 oc-etag:\"v1\"",
		  "DONE /d/f.txt \"v1\"");
	FRESH("a chunk is sent again", &op, "LOOK /d/f.txt = 404",
		  "MKCOL " UP " = 201", "CHECKPOINT 1 10485760 25000000",
		  "PUT " UP "/00001 = lost", "PUT " UP "/00001 = 201 10485760 a",
		  "PUT " UP "/00002 at 10485760 = 503", "FAILED retry later");
	FRESH("the store is full", &op, "LOOK /d/f.txt = 404", "MKCOL " UP " = 201",
		  "CHECKPOINT 1 10485760 25000000", "PUT " UP "/00001 = 507",
		  "DELETE " UP " = 204", "FAILED quota");
	FRESH("an upload nobody remembers", &op, "LOOK /d/f.txt = 404",
		  "MKCOL " UP " = 405", "DELETE " UP " = 204", "MKCOL " UP " = 201",
		  "CHECKPOINT 1 10485760 25000000", "PUT " UP "/00001 = 403",
		  "DELETE " UP " = 204", "FAILED forbidden");
	op.session = "1 10485760 25000000";
	FRESH(
		"goes on", &op, "LOOK /d/f.txt = 404",
		"LIST " UP
		"/ = xml <d:multistatus xmlns:d='DAV:'><d:response><d:href>/x/</d:href>"
		"</d:response><d:response><d:href>/x/00001</d:href><d:propstat>"
		"<d:prop><d:getcontentlength>10485760</d:getcontentlength></d:prop>"
		"<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
		"</d:multistatus>",
		"BODY 0+10485760 = ok 10485760 a",
		"PUT " UP "/00002 at 10485760 = 201 10485760 a",
		"PUT " UP "/00003 at 20971520 = 201 4028480 a", "CHECKPOINT 25000000 a",
		"MOVE " UP "/.file -> /d/f.txt = 201", "DONE /d/f.txt");
	FRESH("what is gone begins anew", &op, "LOOK /d/f.txt = 404",
		  "LIST " UP "/ = 404", "MKCOL " UP " = 201",
		  "CHECKPOINT 1 10485760 25000000", "PUT " UP "/00001 = 404",
		  "DELETE " UP " = 404", "FAILED retry now");
	op = (CsOp){.kind = CS_OP_DISCARD, .path = T};
	FRESH("discard", &op, "DELETE " UP " = 404", "DELETE " T " = 204", "DONE");
	endpoint = BASE;
}

/* --- the others ------------------------------------------------------------------- */

static void
test_statuses(void)
{
	static const char *const means[][2] = {
		{"400", "broken"},		{"401", "needs consent"},
		{"403", "forbidden"},	{"408", "retry later"},
		{"410", "broken"},		{"413", "refused"},
		{"414", "refused"},		{"423", "retry later"},
		{"425", "retry later"}, {"429", "retry later"},
		{"503", "retry later"}, {"507", "quota"},
		{"302", "unreachable"}, {"599", "retry later"},
		{"299", "broken"},
	};
	CsOp put = large();
	CsOp get = {.kind = CS_OP_GET, .path = "/f"};
	CsOp list = {.kind = CS_OP_LIST, .path = "/in"};
	CsOp mkdir = {.kind = CS_OP_MKDIR, .path = "/a"};

	put.fresh_folder = true;
	for (int i = 0; i < (int) lengthof(means); i++)
	{
		const char *status = means[i][0];
		const char *failed = psprintf("FAILED %s", means[i][1]);
		bool gone = strcmp(status, "410") == 0;

		if (strcmp(means[i][1], "unreachable") == 0 ||
			strcmp(means[i][1], "needs consent") == 0)
			FRESH(status, &put, psprintf("PUT " T " = %s", status), failed);
		else
			FRESH(status, &put, psprintf("PUT " T " = %s", status),
				  "DELETE " T " = 404", failed);
		FRESH(status, &get, psprintf("GET /f = %s", status),
			  gone ? "FAILED gone" : failed);
		FRESH(status, &list, psprintf("LIST /in/ = %s", status),
			  gone ? "FAILED gone" : failed);
		if (strcmp(means[i][1], "unreachable") != 0 &&
			strcmp(means[i][1], "needs consent") != 0 &&
			strcmp(means[i][1], "quota") != 0)
			FRESH(status, &mkdir, psprintf("MKCOL /a/ = %s", status),
				  "LOOK /a = 404", gone ? "FAILED gone" : failed);
	}
	FRESH("429", &get, "GET /f = 429", "FAILED retry later");
	tap_ok(strstr(last_failure.message, "429") != NULL, "the status is said");
}

int
main(void)
{
	initStringInfo(&answer_text);
	test_put_fresh();
	test_put_conditions();
	test_put_no_conditions();
	test_put_temp();
	test_put_huge();
	test_nextcloud();
	test_nextcloud_chunks();
	test_statuses();
	return tap_done();
}
