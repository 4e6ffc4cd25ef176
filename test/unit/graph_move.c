/* sources: src/provider/graph*.c src/provider/op.c src/base/[a-z]*.c */
/*
 * MOVE and TRASH of the Microsoft Graph provider replayed (graph_play.h).
 */
#include "postgres_fe.h"

#include "graph_play.h"

static void
test_move(void)
{
	CsOp op = of(CS_OP_MOVE, "/d/a");

	WORK;
	op.to_path = "/e/b";
	op.id = "i1";
	op.known_version = "q:" HA;
	PLAY("moved", &op, "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "5", HA),
		 "GET /root:/e = 200 x:" FOLDER_OF("p2", "e"),
		 "PATCH /items/i1 if \"e1\" "
		 "{\"parentReference\":{\"id\":\"p2\"},\"name\":\"b\"} = 200 x:" FILE_OF(
			 "i1", "b", "e2", "5", HA),
		 "DONE /e/b q:" HA);
	PLAY("its folder is known; no item in the answer", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "5", HA),
		 "PATCH /items/i1 if \"e1\" "
		 "{\"parentReference\":{\"id\":\"p2\"},\"name\":\"b\"} = 204",
		 "GET /items/i1 = 200 "
		 "x:{\"id\":\"i1\",\"name\":\"b\",\"size\":5,\"file\":{},"
		 "\"parentReference\":{\"id\":\"p2\"}}",
		 "DONE /e/b s:5 0");
	PLAY("there already", &op,
		 "GET /items/i1 = 200 "
		 "x:{\"id\":\"i1\",\"name\":\"b\",\"size\":5,\"file\":{\"hashes\":{"
		 "\"quickXorHash\":\"" HA "\"}},\"parentReference\":{\"id\":\"p2\"}}",
		 "DONE /e/b q:" HA);
	PLAY("not ours any more", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e2", "6", HB),
		 "FAILED conflict");
	PLAY("gone", &op, "GET /items/i1 = 404 " ERROR("itemNotFound"),
		 "FAILED gone");
	PLAY("the name is taken", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "5", HA),
		 "PATCH /items/i1 if \"e1\" "
		 "{\"parentReference\":{\"id\":\"p2\"},\"name\":\"b\"} = "
		 "409 " ERROR("nameAlreadyExists"),
		 "FAILED conflict");
	PLAY("changed meanwhile", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "5", HA),
		 "PATCH /items/i1 if \"e1\" "
		 "{\"parentReference\":{\"id\":\"p2\"},\"name\":\"b\"} = 412",
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e2", "6", HB),
		 "FAILED conflict");
	PLAY("the folder went", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e1", "5", HA),
		 "PATCH /items/i1 if \"e1\" "
		 "{\"parentReference\":{\"id\":\"p2\"},\"name\":\"b\"} = "
		 "404 " ERROR("itemNotFound"),
		 "FAILED retry now");
	op = of(CS_OP_MOVE, "/d");
	op.to_path = "/e2";
	op.id = "p1";
	PLAY("a folder", &op, "GET /items/p1 = 200 x:" FOLDER_OF("p1", "d"),
		 "GET /root = 200 x:" ROOT,
		 "PATCH /items/p1 {\"name\":\"e2\"} = 200 x:" FOLDER_OF("p1", "e2"),
		 "DONE /e2/");
}

static void
test_trash(void)
{
	CsOp op = of(CS_OP_TRASH, "/d/a");

	WORK;
	op.id = "i1";
	op.has_intended = true;
	op.intended_size = 3;
	cs_sha256("abc", 3, op.intended_sha256);
	PLAY("the trash, told by its bytes", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e2", "3", HB),
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 d:abc", "DELETE /items/i1 = 204",
		 "DONE /d/a q:" HB);
	PLAY("others' bytes", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e2", "3", HB),
		 "GET /items/i1/content = 302 l:https://down/SECRET",
		 "GET -https://down/SECRET = 200 d:abd", "FAILED conflict");
	op.intended_checksum = HB;
	PLAY("told by its hash; gone meanwhile", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e2", "3", HB),
		 "DELETE /items/i1 = 404 " ERROR("itemNotFound"), "DONE /d/a q:" HB);
	PLAY("locked", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e2", "3", HB),
		 "DELETE /items/i1 = 423 " ERROR("resourceLocked"),
		 "FAILED retry later");
	PLAY("answered by somebody else", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e2", "3", HB),
		 "DELETE /items/i1 = 200 x:<html>", "FAILED broken");
	PLAY("changed meanwhile, though not its bytes", &op,
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e2", "3", HB),
		 "DELETE /items/i1 = 412 " ERROR("resourceModified"),
		 "GET /items/i1 = 200 x:" FILE_OF("i1", "a", "e3", "3", HB),
		 "DELETE /items/i1 = 204", "DONE /d/a q:" HB);
}

int
main(void)
{
	test_move();
	test_trash();
	return tap_done();
}
