/* sources: src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * The local provider's conversations, replayed (play.h) in words of their own:
 *
 *	  STAT /f = ENOENT				an errno
 *	  STAT /f = file v1 5 a			a file: version, size, SHA-256 (one letter)
 *	  STAT /f = folder i1			a folder: id
 *	  HASH /f = 5 a					size and SHA-256
 *	  RENAME /t -> /f = ok			"=>" where it may replace
 *	  PAGE a b						a page with these names
 *	  CHECKPOINT 5 a  DONE ...  FAILED class
 */
#include "postgres_fe.h"

#include "play.h"

static const struct
{
	const char *name;
	int error;
} errnos[] = {{"ENOENT", ENOENT},
			  {"EEXIST", EEXIST},
			  {"EACCES", EACCES},
			  {"ENOSPC", ENOSPC},
			  {"EDQUOT", EDQUOT},
			  {"EROFS", EROFS},
			  {"ELOOP", ELOOP},
			  {"ENOTDIR", ENOTDIR},
			  {"EISDIR", EISDIR},
			  {"ESTALE", ESTALE},
			  {"ENODEV", ENODEV},
			  {"EIO", EIO},
			  {"ENAMETOOLONG", ENAMETOOLONG},
			  {"EXDEV", EXDEV},
			  {"EFBIG", EFBIG},
			  {"EOPNOTSUPP", EOPNOTSUPP},
			  {"EMFILE", EMFILE},
			  {"EINVAL", EINVAL}};

static const char *
say_local_request(const CsRequest *request)
{
	static const char *const kinds[] = {"SPACE",  "STAT", "LIST", "MKDIR",
										"WRITE",  "HASH", "READ", "RENAME",
										"UNLINK"};

	if (request->kind == CS_REQ_FILE_RENAME)
		return psprintf("RENAME %s %s %s", request->path,
						request->replace ? "=>" : "->", request->to_path);
	if (request->path == NULL)
		return kinds[request->kind];
	return psprintf("%s%s %s", kinds[request->kind],
					request->more ? " more" : "", request->path);
}

static const char *
say_local_page(const CsResult *result)
{
	char *text = pstrdup("PAGE");

	for (int i = 0; i < result->n_entries; i++)
		text = psprintf("%s %s%s", text, result->entries[i].name,
						result->entries[i].refused != NULL ? "!" : "");
	return text;
}

static const char *
say_local_done(const CsOp *op, const CsResult *result)
{
	return psprintf("DONE%s%s%s", result->adopted ? " adopted" : "",
					result->incomplete ? " incomplete" : "",
					result->entry.path != NULL
						? psprintf(" %s", result->entry.path)
						: "");
}

static void
fill_entry(CsEntry *entry, CsEntryKind kind, const char *path, const char *word)
{
	memset(entry, 0, sizeof(*entry));
	entry->kind = kind;
	entry->path = pstrdup(path != NULL ? path : "/");
	entry->name = strrchr(entry->path, '/') + 1;
	entry->size = -1;
	if (kind == CS_ENTRY_FILE)
		entry->version = pstrdup(word);
	entry->id = pstrdup(word);
}

/* "name", "name/" (a folder), "name@" (a link), ... and "..." if more follows
 */
static void
fill_page(CsResponse *response, const char *folder, char *words)
{
	response->entries = palloc0(100 * sizeof(CsEntry));
	response->last_page = true;
	for (char *word = strtok(words, " "); word != NULL;
		 word = strtok(NULL, " "))
	{
		CsEntryKind kind = CS_ENTRY_FILE;
		size_t last = strlen(word) - 1;

		if (strcmp(word, "...") == 0)
		{
			response->last_page = false;
			continue;
		}
		if (word[last] == '/')
			kind = CS_ENTRY_FOLDER;
		if (word[last] == '@')
			kind = CS_ENTRY_OTHER;
		if (kind != CS_ENTRY_FILE)
			word[last] = '\0';
		fill_entry(
			&response->entries[response->n_entries], kind,
			psprintf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, word),
			"i");
		if (kind == CS_ENTRY_OTHER)
			response->entries[response->n_entries].refused = "a link";
		response->n_entries++;
	}
}

static void
fill_answer(CsResponse *response, const CsRequest *request, const char *text)
{
	const char *path =
		request->to_path != NULL ? request->to_path : request->path;
	char word[64] = "";
	char sha = 'x';
	int size = 0;

	response->used_bytes = -1;
	for (int i = 0; i < (int) lengthof(errnos); i++)
	{
		if (strcmp(text, errnos[i].name) == 0)
		{
			response->error = errnos[i].error;
			response->detail = "the system's words";
		}
	}
	if (strcmp(text, "bodyfail") == 0)
	{
		response->error = ECANCELED;
		response->body_failure = &body_failure;
	}
	else if (strncmp(text, "page", 4) == 0)
		fill_page(response, path, pstrdup(text + 4));
	else if (sscanf(text, "folder %63s", word) == 1)
		fill_entry(&response->entry, CS_ENTRY_FOLDER, path, word);
	else if (strcmp(text, "link") == 0)
		fill_entry(&response->entry, CS_ENTRY_OTHER, path, "i");
	else if (sscanf(text, "file %63s %d %c", word, &size, &sha) >= 2)
		fill_entry(&response->entry, CS_ENTRY_FILE, path, word);
	else
		sscanf(text, "%d %c", &size, &sha);
	response->entry.size = response->size = size;
	memset(response->sha256, sha, CS_SHA256_LENGTH);
}

static Script script = {.provider = &cs_provider_local,
						.say_request = say_local_request,
						.say_page = say_local_page,
						.say_done = say_local_done,
						.answer = fill_answer};

#define T "/d/.cloudsync-0123456789abcdef.part"

static CsOp
put(void)
{
	CsOp op = {0};

	op.kind = CS_OP_PUT;
	op.path = "/d/f.txt";
	op.temp_name = ".cloudsync-0123456789abcdef.part";
	op.size = 5;
	return op;
}

static void
test_put_new(void)
{
	CsOp op = put();

	PLAY("new file", &op, "STAT /d/f.txt = ENOENT", "WRITE " T " = 5 a",
		 "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "RENAME " T " -> /d/f.txt = file v2 5", "DONE /d/f.txt");
	PLAY("somebody was faster, with the same bytes", &op,
		 "STAT /d/f.txt = ENOENT", "WRITE " T " = 5 a", "HASH " T " = 5 a",
		 "CHECKPOINT 5 a", "RENAME " T " -> /d/f.txt = EEXIST",
		 "STAT /d/f.txt = file w 5", "HASH /d/f.txt = file w 5 a",
		 "UNLINK " T " = ok", "DONE adopted /d/f.txt");
	PLAY("somebody was faster, with others", &op, "STAT /d/f.txt = ENOENT",
		 "WRITE " T " = 5 a", "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "RENAME " T " -> /d/f.txt = EEXIST", "STAT /d/f.txt = file w 9",
		 "UNLINK " T " = ok", "FAILED conflict");
	PLAY("read back differs", &op, "STAT /d/f.txt = ENOENT",
		 "WRITE " T " = 5 a", "HASH " T " = 5 b", "UNLINK " T " = ok",
		 "FAILED retry now");
	PLAY("read back is shorter", &op, "STAT /d/f.txt = ENOENT",
		 "WRITE " T " = 5 a", "HASH " T " = 4 a", "UNLINK " T " = ok",
		 "FAILED retry now");
	PLAY("the body is longer than said", &op, "STAT /d/f.txt = ENOENT",
		 "WRITE " T " = 6 a", "UNLINK " T " = ok", "FAILED changed");
	PLAY("the body is shorter than said", &op, "STAT /d/f.txt = ENOENT",
		 "WRITE " T " = 4 a", "UNLINK " T " = ENOENT", "FAILED changed");
	PLAY("the body fails", &op, "STAT /d/f.txt = ENOENT",
		 "WRITE " T " = bodyfail", "UNLINK " T " = ok", "FAILED changed");
	PLAY("no folder", &op, "STAT /d/f.txt = ENOENT", "WRITE " T " = ENOENT",
		 "UNLINK " T " = ENOENT", "FAILED gone");
	op.size = -1;
	PLAY("size not known", &op, "STAT /d/f.txt = ENOENT", "WRITE " T " = 7 a",
		 "HASH " T " = 7 a", "CHECKPOINT 7 a",
		 "RENAME " T " -> /d/f.txt = file v2 7", "DONE /d/f.txt");
	op.temp_name = NULL;
	PLAY("no temporary name", &op, "FAILED broken");
}

static void
test_put_ours(void)
{
	CsOp op = put();

	op.known_version = "v1";
	PLAY("ours is replaced", &op, "STAT /d/f.txt = file v1 9",
		 "WRITE " T " = 5 a", "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "STAT /d/f.txt = file v1 9", "RENAME " T " => /d/f.txt = file v2 5",
		 "DONE /d/f.txt");
	PLAY("changed by somebody while we wrote", &op, "STAT /d/f.txt = file v1 9",
		 "WRITE " T " = 5 a", "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "STAT /d/f.txt = file w 8", "UNLINK " T " = ok", "FAILED conflict");
	PLAY("removed by somebody while we wrote", &op, "STAT /d/f.txt = file v1 9",
		 "WRITE " T " = 5 a", "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "STAT /d/f.txt = ENOENT", "RENAME " T " -> /d/f.txt = file v2 5",
		 "DONE /d/f.txt");
	PLAY("made a folder while we wrote", &op, "STAT /d/f.txt = file v1 9",
		 "WRITE " T " = 5 a", "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "STAT /d/f.txt = folder i", "UNLINK " T " = ok", "FAILED conflict");
	PLAY("not ours, other size", &op, "STAT /d/f.txt = file w 9",
		 "UNLINK " T " = ok", "FAILED conflict");
	op.has_intended = true;
	op.intended_size = 9;
	memset(op.intended_sha256, 'i', CS_SHA256_LENGTH);
	PLAY("ours by its bytes, from an attempt that died", &op,
		 "STAT /d/f.txt = file w 9", "HASH /d/f.txt = file w 9 i",
		 "WRITE " T " = 5 a", "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "STAT /d/f.txt = file w 9", "RENAME " T " => /d/f.txt = file v2 5",
		 "DONE /d/f.txt");
	PLAY("as large as ours, but not ours", &op, "STAT /d/f.txt = file w 9",
		 "HASH /d/f.txt = file w 9 o", "UNLINK " T " = ok", "FAILED conflict");
	PLAY("not readable, so not ours", &op, "STAT /d/f.txt = file w 9",
		 "HASH /d/f.txt = EACCES", "UNLINK " T " = ok", "FAILED conflict");
	PLAY("changes while it is looked at, and again", &op,
		 "STAT /d/f.txt = file w 9", "HASH /d/f.txt = ESTALE",
		 "STAT /d/f.txt = file w2 9", "HASH /d/f.txt = file w3 9 i",
		 "STAT /d/f.txt = file w4 9", "HASH /d/f.txt = ENOENT",
		 "STAT /d/f.txt = file w5 9", "HASH /d/f.txt = ESTALE",
		 "UNLINK " T " = ok", "FAILED retry later");
}

static void
test_put_adopt(void)
{
	CsOp op = put();

	PLAY("the same bytes are there", &op, "STAT /d/f.txt = file w 5",
		 "HASH /d/f.txt = file w 5 a", "BODY 0 = 5 a", "UNLINK " T " = ENOENT",
		 "DONE adopted /d/f.txt");
	PLAY("others of that size are there", &op, "STAT /d/f.txt = file w 5",
		 "HASH /d/f.txt = file w 5 b", "BODY 0 = 5 a", "UNLINK " T " = ok",
		 "FAILED conflict");
	PLAY("the body fails while it is compared", &op, "STAT /d/f.txt = file w 5",
		 "HASH /d/f.txt = file w 5 b", "BODY 0 = bodyfail", "UNLINK " T " = ok",
		 "FAILED changed");
	PLAY("a folder is there", &op, "STAT /d/f.txt = folder i",
		 "UNLINK " T " = ok", "FAILED conflict");
	PLAY("a link is there", &op, "STAT /d/f.txt = link", "UNLINK " T " = ok",
		 "FAILED conflict");
	op.has_intended = true;
	op.intended_size = 5;
	memset(op.intended_sha256, 'i', CS_SHA256_LENGTH);
	PLAY("ours of the same size, with other bytes now", &op,
		 "STAT /d/f.txt = file w 5", "HASH /d/f.txt = file w 5 i", "BODY 0 = 5 a",
		 "WRITE " T " = 5 a", "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "STAT /d/f.txt = file w 5", "RENAME " T " => /d/f.txt = file v2 5",
		 "DONE /d/f.txt");
	PLAY("the body differs between two readings", &op,
		 "STAT /d/f.txt = file w 5", "HASH /d/f.txt = file w 5 i", "BODY 0 = 5 a",
		 "WRITE " T " = 5 b", "UNLINK " T " = ok", "FAILED changed");
	op.has_intended = false;
	op.overwrite = true;
	PLAY("overwrite: the same bytes are adopted", &op,
		 "STAT /d/f.txt = file w 5", "HASH /d/f.txt = file w 5 a", "BODY 0 = 5 a",
		 "UNLINK " T " = ENOENT", "DONE adopted /d/f.txt");
	PLAY("overwrite: others are replaced", &op, "STAT /d/f.txt = file w 8",
		 "WRITE " T " = 5 a", "HASH " T " = 5 a", "CHECKPOINT 5 a",
		 "STAT /d/f.txt = file w 8", "RENAME " T " => /d/f.txt = file v2 5",
		 "DONE /d/f.txt");
	PLAY("overwrite: what cannot be read too", &op, "STAT /d/f.txt = file w 5",
		 "HASH /d/f.txt = EACCES", "WRITE " T " = 5 a", "HASH " T " = 5 a",
		 "CHECKPOINT 5 a", "STAT /d/f.txt = file w 5",
		 "RENAME " T " => /d/f.txt = file v2 5", "DONE /d/f.txt");
	PLAY("overwrite: never a folder", &op, "STAT /d/f.txt = folder i",
		 "UNLINK " T " = ok", "FAILED conflict");
}

/* What each errno means, wherever it comes. */
static void
test_errno(void)
{
	static const char *const means[][2] = {
		{"EACCES", "forbidden"},   {"ENOSPC", "quota"},
		{"EDQUOT", "quota"},	   {"EROFS", "unreachable"},
		{"ENODEV", "unreachable"}, {"EIO", "retry later"},
		{"EMFILE", "retry later"}, {"ENAMETOOLONG", "refused"},
		{"EFBIG", "refused"},	   {"EINVAL", "refused"},
		{"ELOOP", "refused"},	   {"EISDIR", "conflict"},
		{"ENOTDIR", "conflict"},
	};
	CsOp op = put();

	for (int i = 0; i < (int) lengthof(means); i++)
	{
		const char *write = psprintf("WRITE " T " = %s", means[i][0]);
		const char *rename =
			psprintf("RENAME " T " -> /d/f.txt = %s", means[i][0]);
		const char *failed = psprintf("FAILED %s", means[i][1]);

		if (strcmp(means[i][1], "unreachable") == 0)
		{
			PLAY(means[i][0], &op, "STAT /d/f.txt = ENOENT", write, failed);
			continue;
		}
		PLAY(means[i][0], &op, "STAT /d/f.txt = ENOENT", write,
			 "UNLINK " T " = ENOENT", failed);
		PLAY(means[i][0], &op, "STAT /d/f.txt = ENOENT", "WRITE " T " = 5 a",
			 "HASH " T " = 5 a", "CHECKPOINT 5 a", rename, "UNLINK " T " = ok",
			 failed);
	}
}

static void
test_mkdir(void)
{
	CsOp op = {.kind = CS_OP_MKDIR, .path = "/a/b/c"};

	PLAY("folder is there", &op, "STAT /a/b/c = folder i", "DONE /a/b/c");
	PLAY("levels are made", &op, "STAT /a/b/c = ENOENT", "MKDIR /a = EEXIST",
		 "MKDIR /a/b = ok", "MKDIR /a/b/c = ok", "STAT /a/b/c = folder i",
		 "DONE /a/b/c");
	PLAY("a file on the way", &op, "STAT /a/b/c = ENOTDIR", "FAILED conflict");
	PLAY("a file is there", &op, "STAT /a/b/c = file v 1", "FAILED conflict");
	PLAY("a link is there", &op, "STAT /a/b/c = link", "FAILED conflict");
	PLAY("made a file meanwhile", &op, "STAT /a/b/c = ENOENT",
		 "MKDIR /a = EEXIST", "MKDIR /a/b = ok", "MKDIR /a/b/c = EEXIST",
		 "STAT /a/b/c = file v 1", "FAILED conflict");
	PLAY("no space", &op, "STAT /a/b/c = ENOENT", "MKDIR /a = ENOSPC",
		 "FAILED quota");
	op.path = "/";
	PLAY("the root", &op, "STAT / = folder i", "DONE /");
	PLAY("the root is gone", &op, "STAT / = ENOENT", "FAILED unreachable");
}

static void
test_get(void)
{
	CsOp op = {.kind = CS_OP_GET, .path = "/f", .expect_version = "v1"};

	PLAY("read", &op, "STAT /f = file v1 5", "READ /f = file v1 5 a",
		 "DONE /f");
	PLAY("another version", &op, "STAT /f = file v2 5", "FAILED changed");
	PLAY("gone", &op, "STAT /f = ENOENT", "FAILED gone");
	PLAY("gone with its folder", &op, "STAT /f = ENOTDIR", "FAILED gone");
	PLAY("vanishes", &op, "STAT /f = file v1 5", "READ /f = ENOENT",
		 "FAILED gone");
	PLAY("changes meanwhile", &op, "STAT /f = file v1 5", "READ /f = ESTALE",
		 "FAILED changed");
	PLAY("replaced meanwhile", &op, "STAT /f = file v1 5",
		 "READ /f = file v2 5 a", "FAILED changed");
	PLAY("the database cannot take it", &op, "STAT /f = file v1 5",
		 "READ /f = bodyfail", "FAILED changed");
	PLAY("a folder", &op, "STAT /f = folder i", "FAILED refused");
	PLAY("a FIFO", &op, "STAT /f = link", "FAILED refused");
	PLAY("not ours to read", &op, "STAT /f = file v1 5", "READ /f = EACCES",
		 "FAILED forbidden");
	op.expect_version = NULL;
	PLAY("any version", &op, "STAT /f = file v9 5", "READ /f = file v9 5 a",
		 "DONE /f");
}

static void
test_list(void)
{
	CsOp op = {.kind = CS_OP_LIST, .path = "/in", .recursive = true};
	char *deep = palloc(1700);

	PLAY("pages, folders, links, ours left out", &op,
		 "LIST /in = page a b/ c@ "
		 ".cloudsync-0123456789abcdef.part ...",
		 "PAGE a b c!", "LIST more /in = page d/", "PAGE d",
		 "LIST /in/d = page", "LIST /in/b = page x", "PAGE x", "DONE");
	PLAY("names like ours, but not", &op,
		 "LIST /in = page .cloudsync-0123456789abcdef.part2 "
		 ".cloudsync-0123456789abcde.part .cloudsync-0123456789ABCDEF.part",
		 "PAGE .cloudsync-0123456789abcdef.part2 "
		 ".cloudsync-0123456789abcde.part .cloudsync-0123456789ABCDEF.part",
		 "DONE");
	PLAY("a folder is gone since", &op, "LIST /in = page b/", "PAGE b",
		 "LIST /in/b = ENOENT", "DONE");
	PLAY("a folder became a link", &op, "LIST /in = page b/", "PAGE b",
		 "LIST /in/b = ELOOP", "DONE");
	PLAY("a folder cannot be read", &op, "LIST /in = page b/ e/", "PAGE b e",
		 "LIST /in/e = EACCES", "PAGE e!", "LIST /in/b = page y", "PAGE y",
		 "DONE incomplete");
	PLAY("a folder fails", &op, "LIST /in = page b/", "PAGE b",
		 "LIST /in/b = EIO", "FAILED retry later");
	PLAY("fails in the middle", &op, "LIST /in = page b ...", "PAGE b",
		 "LIST more /in = EIO", "FAILED retry later");
	PLAY("gone", &op, "LIST /in = ENOENT", "FAILED gone");
	PLAY("a file", &op, "LIST /in = ENOTDIR", "FAILED gone");
	PLAY("empty", &op, "LIST /in = page", "DONE");
	op.recursive = false;
	PLAY("one folder only", &op, "LIST /in = page a b/", "PAGE a b", "DONE");
	op.recursive = true;
	memset(deep, 'n', 1700);
	deep[0] = '/';
	deep[1500] = '\0';
	op.path = deep;
	PLAY("nested too deeply", &op, psprintf("LIST %s = page a b/", deep),
		 "PAGE a b!", "DONE");
}

static void
test_move(void)
{
	CsOp op = {.kind = CS_OP_MOVE,
			   .path = "/a",
			   .to_path = "/b",
			   .known_version = "v1",
			   .id = "i1"};

	PLAY("ours is moved", &op, "STAT /a = file v1 5",
		 "RENAME /a -> /b = file v1 5", "DONE /b");
	PLAY("not ours", &op, "STAT /a = file w 5", "FAILED conflict");
	PLAY("a folder of ours", &op, "STAT /a = folder i1",
		 "RENAME /a -> /b = folder i1", "DONE /b");
	PLAY("another folder", &op, "STAT /a = folder i2", "FAILED conflict");
	PLAY("a link", &op, "STAT /a = link", "FAILED conflict");
	PLAY("the target is taken", &op, "STAT /a = file v1 5",
		 "RENAME /a -> /b = EEXIST", "FAILED conflict");
	PLAY("moved already", &op, "STAT /a = ENOENT", "STAT /b = file v1 5",
		 "DONE /b");
	PLAY("moved already, a folder", &op, "STAT /a = ENOENT",
		 "STAT /b = folder i1", "DONE /b");
	PLAY("gone", &op, "STAT /a = ENOENT", "STAT /b = ENOENT", "FAILED gone");
	PLAY("gone, the target is another's", &op, "STAT /a = ENOENT",
		 "STAT /b = file w 5", "FAILED gone");
	PLAY("folder gone meanwhile", &op, "STAT /a = file v1 5",
		 "RENAME /a -> /b = ENOENT", "FAILED retry now");
	PLAY("other file system", &op, "STAT /a = file v1 5",
		 "RENAME /a -> /b = EXDEV", "FAILED refused");
	op.has_intended = true;
	op.intended_size = 5;
	memset(op.intended_sha256, 'i', CS_SHA256_LENGTH);
	PLAY("ours by its bytes", &op, "STAT /a = file w 5", "HASH /a = file w 5 i",
		 "RENAME /a -> /b = file w 5", "DONE /b");
	PLAY("not ours by its bytes", &op, "STAT /a = file w 5",
		 "HASH /a = file w 5 o", "FAILED conflict");
	PLAY("changed while it was looked at", &op, "STAT /a = file w 5",
		 "HASH /a = file w2 5 i", "FAILED conflict");
	PLAY("moved already, by its bytes", &op, "STAT /a = ENOENT",
		 "STAT /b = file w 5", "HASH /b = file w 5 i", "DONE /b");
	op.to_path = "/a";
	PLAY("nowhere else", &op, "STAT /a = file v1 5", "DONE /a");
	op.to_path = NULL;
	PLAY("nowhere", &op, "FAILED broken");
}

static void
test_trash(void)
{
	CsOp op = {.kind = CS_OP_TRASH,
			   .path = "/r/a.txt",
			   .to_path = "/.trash/r/a.txt",
			   .known_version = "v1"};

	PLAY("to the trash", &op, "STAT /r/a.txt = file v1 5", "MKDIR /.trash = ok",
		 "MKDIR /.trash/r = EEXIST",
		 "RENAME /r/a.txt -> /.trash/r/a.txt = file v1 5",
		 "DONE /.trash/r/a.txt");
	PLAY("taken there, twice", &op, "STAT /r/a.txt = file v1 5",
		 "MKDIR /.trash = EEXIST", "MKDIR /.trash/r = EEXIST",
		 "RENAME /r/a.txt -> /.trash/r/a.txt = EEXIST",
		 "RENAME /r/a.txt -> /.trash/r/a (2).txt = EEXIST",
		 "RENAME /r/a.txt -> /.trash/r/a (3).txt = file v1 5",
		 "DONE /.trash/r/a (3).txt");
	PLAY("there already, under a number", &op, "STAT /r/a.txt = ENOENT",
		 "STAT /.trash/r/a.txt = file w 4",
		 "STAT /.trash/r/a (2).txt = file v1 5", "DONE /.trash/r/a (2).txt");
	PLAY("gone", &op, "STAT /r/a.txt = ENOENT",
		 "STAT /.trash/r/a.txt = file w 4", "STAT /.trash/r/a (2).txt = ENOENT",
		 "FAILED gone");
	PLAY("not ours", &op, "STAT /r/a.txt = file w 5", "FAILED conflict");
	PLAY("a file where the trash should be", &op, "STAT /r/a.txt = file v1 5",
		 "MKDIR /.trash = EEXIST", "MKDIR /.trash/r = ENOTDIR",
		 "FAILED conflict");
}

static void
test_small(void)
{
	CsOp op = {.kind = CS_OP_ABOUT, .path = "/"};

	PLAY("about", &op, "SPACE / = folder i", "DONE /");
	PLAY("about nothing", &op, "SPACE / = ENODEV", "FAILED unreachable");
	op.kind = CS_OP_STAT;
	op.path = "/x";
	PLAY("stat", &op, "STAT /x = file v 5", "DONE /x");
	PLAY("stat of nothing", &op, "STAT /x = ENOENT", "FAILED gone");
	PLAY("stat below a file", &op, "STAT /x = ENOTDIR", "FAILED gone");
}

/* What a cut-off attempt left goes; nothing that has a name of somebody's. */
static void
test_discard(void)
{
	static const char *const names[] = {
		"/d/f.txt",
		"/",
		"/d/",
		"/d/.cloudsync-0123456789abcdef.part/f.txt",
		"/d/.cloudsync-0123456789abcde.part",
		"/d/.cloudsync-0123456789abcdef0.part",
		"/d/.cloudsync-0123456789abcdeg.part",
		"/d/.cloudsync-0123456789ABCDEF.part",
		"/d/.cloudsync-0123456789abcdef.part2",
		"/d/.cloudsync-0123456789abcdef.par",
		"/d/x.cloudsync-0123456789abcdef.part",
		"/d/cloudsync-0123456789abcdef.part",
		"/d/.cloudsync-.part",
		"/d/.cloudsync-01234567/9abcdef.part"};
	CsOp op = {.kind = CS_OP_DISCARD, .path = T};

	PLAY("discard", &op, "UNLINK " T " = ok", "DONE");
	PLAY("discard of what is gone", &op, "UNLINK " T " = ENOENT", "DONE");
	PLAY("discard in a folder that is gone", &op, "UNLINK " T " = ENOTDIR",
		 "DONE");
	PLAY("discard refused", &op, "UNLINK " T " = EACCES", "FAILED forbidden");
	PLAY("discard of a folder", &op, "UNLINK " T " = EISDIR",
		 "FAILED conflict");
	op.path = "/.cloudsync-0123456789abcdef.part";
	PLAY("discard in the root", &op,
		 "UNLINK /.cloudsync-0123456789abcdef.part = ok", "DONE");
	for (int i = 0; i < (int) lengthof(names); i++)
	{
		op.path = names[i];
		PLAY(psprintf("discard of %s", names[i]), &op, "FAILED broken");
	}
}

int
main(void)
{
	test_put_new();
	test_put_ours();
	test_put_adopt();
	test_errno();
	test_mkdir();
	test_get();
	test_list();
	test_move();
	test_trash();
	test_small();
	test_discard();
	return tap_done();
}
