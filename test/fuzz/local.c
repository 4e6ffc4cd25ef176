/*
 * local.c
 *	  Fuzz target: the local provider's conversations with arbitrary answers.
 *	  Whatever the file system says, a conversation ends, says why it failed,
 *	  cleans up what it began, and touches only what is ours.
 *
 * test/unit/fuzz_local.c replays some thousand inputs; test/fuzz/README.md says
 * how to run it with libFuzzer.
 */
#include "postgres_fe.h"

#include "cloudsync/provider.h"
#include "fuzz.h"
#include "input.h"

#define TEMP ".cloudsync-0123456789abcdef.part"
#define TEMP_PATH "/d/" TEMP
#define MAX_STEPS 20000

/* What was done so far, to judge what comes by. */
typedef struct Watch
{
	CsOp op;
	bool temp_there; /* written, neither renamed nor removed since */
	bool checkpointed;
	bool ours;			/* by the last look at op.path, or its hash */
	const char *judged; /* the version whose bytes were found to be ours */
} Watch;

static const int errnos[] = {ENOENT, EEXIST,  EACCES,	 ENOSPC, EROFS,
							 ELOOP,	 ENOTDIR, ESTALE,	 ENODEV, ENAMETOOLONG,
							 EXDEV,	 EIO,	  ECANCELED, 9999};

static void
random_entry(Input *input, CsEntry *entry, const char *path)
{
	static const char *const versions[] = {"v1", "w", "w2", NULL};
	static const int64 sizes[] = {5, 9, 0, -1};
	int b = byte(input);

	memset(entry, 0, sizeof(*entry));
	entry->kind = b % 8 == 0   ? CS_ENTRY_OTHER
				  : b % 8 == 1 ? CS_ENTRY_FOLDER
							   : CS_ENTRY_FILE;
	entry->path = path != NULL ? path : "/";
	entry->name = strrchr(entry->path, '/') + 1;
	entry->version = versions[(b >> 3) & 3];
	entry->id = (b & 0x20) ? "i1" : NULL;
	entry->size = sizes[(b >> 6) & 3];
}

static void
random_page(Input *input, CsResponse *response, const char *folder)
{
	response->n_entries = byte(input) % 5;
	response->entries = calloc(5, sizeof(CsEntry));
	for (int i = 0; i < response->n_entries; i++)
	{
		char *path = malloc(strlen(folder) + 300);

		sprintf(path, "%s/%.*s%d", strcmp(folder, "/") == 0 ? "" : folder,
				byte(input), "a-long-name-a-long-name-a-long-name", i);
		random_entry(input, &response->entries[i], path);
	}
	response->last_page = exhausted(input) || (byte(input) & 1);
}

static CsFailure body_failure = {CS_FAIL_CHANGED, 0, "the value changed", ""};

static void
random_answer(Input *input, const CsRequest *request, CsResponse *response)
{
	int b = exhausted(input) ? 3 : byte(input);

	memset(response, 0, sizeof(*response));
	if (b % 4 == 3)
	{
		response->error = errnos[(b / 4) % lengthof(errnos)];
		if (exhausted(input))
			response->error = EIO;
		response->detail = (b & 0x40) ? "words" : NULL;
		if (response->error == ECANCELED)
			response->body_failure = &body_failure;
		return;
	}
	random_entry(input, &response->entry,
				 request->to_path != NULL ? request->to_path : request->path);
	b = byte(input);
	response->size = (b & 1) ? 5 : (b & 2) ? 9 : response->entry.size;
	memset(response->sha256, (b & 4) ? 'a' : 'i', CS_SHA256_LENGTH);
	if (request->kind == CS_REQ_FILE_LIST)
		random_page(input, response, request->path);
}

/* What a request may be, given what was seen. */
static void
check_request(Watch *watch, const CsRequest *request)
{
	bool is_put = watch->op.kind == CS_OP_PUT;

	if (request->kind == CS_REQ_HASH_BODY)
	{
		MUST(is_put);
		return;
	}
	MUST(request->path != NULL && request->path[0] == '/');
	MUST(strstr(request->path, "/../") == NULL);
	switch (request->kind)
	{
		case CS_REQ_FILE_WRITE:
			MUST(is_put && strcmp(request->path, TEMP_PATH) == 0);
			watch->checkpointed = false;
			break;
		case CS_REQ_FILE_UNLINK:
			MUST(is_put && strcmp(request->path, TEMP_PATH) == 0);
			break;
		case CS_REQ_FILE_RENAME:
			MUST(request->to_path != NULL);
			if (is_put)
			{
				MUST(watch->checkpointed && watch->temp_there);
				MUST(strcmp(request->path, TEMP_PATH) == 0);
				MUST(strcmp(request->to_path, watch->op.path) == 0);
				MUST(!request->replace || watch->ours || watch->op.overwrite);
			}
			else
			{
				MUST(!request->replace && watch->ours);
				MUST(strcmp(request->path, watch->op.path) == 0);
			}
			break;
		case CS_REQ_FILE_MKDIR:
			MUST(watch->op.kind == CS_OP_MKDIR ||
				 watch->op.kind == CS_OP_TRASH);
			break;
		case CS_REQ_FILE_READ:
			MUST(watch->op.kind == CS_OP_GET);
			break;
		default:
			break;
	}
}

static void
note_answer(Watch *watch, const CsRequest *request, const CsResponse *answer)
{
	bool at_target =
		request->path != NULL && strcmp(request->path, watch->op.path) == 0;

	if (request->kind == CS_REQ_FILE_WRITE)
		watch->temp_there = true; /* perhaps a part of it */
	if (request->kind == CS_REQ_FILE_UNLINK ||
		(request->kind == CS_REQ_FILE_RENAME && answer->error == 0))
		watch->temp_there = false;
	if (request->kind == CS_REQ_FILE_STAT && at_target)
	{
		const char *known =
			watch->op.kind != CS_OP_PUT && answer->entry.kind == CS_ENTRY_FOLDER
				? watch->op.id
				: watch->op.known_version;
		const char *seen = answer->entry.kind == CS_ENTRY_FOLDER
							   ? answer->entry.id
							   : answer->entry.version;

		/* A second look that finds the same leaves what the bytes said. */
		watch->ours =
			answer->error == 0 &&
			((known != NULL && seen != NULL && strcmp(known, seen) == 0) ||
			 (seen != NULL && watch->judged != NULL &&
			  strcmp(seen, watch->judged) == 0));
	}
	if (request->kind == CS_REQ_FILE_HASH && at_target && answer->error == 0 &&
		watch->op.has_intended && answer->size == watch->op.intended_size &&
		memcmp(answer->sha256, watch->op.intended_sha256, CS_SHA256_LENGTH) ==
			0)
	{
		watch->ours = true;
		watch->judged = answer->entry.version;
	}
}

static void
random_op(Input *input, CsOp *op)
{
	int kind = byte(input);
	int flags = byte(input);

	memset(op, 0, sizeof(*op));
	op->kind = kind % (CS_OP_TRASH + 1);
	op->path = "/d/f.txt";
	op->to_path = (flags & 1) ? "/x/y/f.txt" : "/d/g";
	op->recursive = (flags & 2) != 0;
	op->temp_name = TEMP;
	op->size = (flags & 4) ? 5 : -1;
	op->overwrite = (flags & 8) != 0;
	op->known_version = (flags & 16) ? "v1" : NULL;
	op->id = (flags & 32) ? "i1" : NULL;
	op->has_intended = (flags & 64) != 0;
	op->intended_size = 9;
	memset(op->intended_sha256, 'i', CS_SHA256_LENGTH);
	op->expect_version = (flags & 128) ? "v1" : NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, size, 0};
	Watch watch = {0};
	CsConversation *c;
	CsRequest request;
	CsResult result;
	CsResponse answer;
	const CsResponse *given = NULL;

	random_op(&input, &watch.op);
	c = cs_provider_local.begin(NULL, &watch.op);
	for (int steps = 0;; steps++)
	{
		CsStep step = cs_provider_local.next(c, given, &request, &result);

		MUST(steps < MAX_STEPS);
		given = NULL;
		switch (step)
		{
			case CS_STEP_REQUEST:
				check_request(&watch, &request);
				random_answer(&input, &request, &answer);
				note_answer(&watch, &request, &answer);
				given = &answer;
				break;
			case CS_STEP_CHECKPOINT:
				MUST(watch.op.kind == CS_OP_PUT);
				watch.checkpointed = true;
				break;
			case CS_STEP_PAGE:
				MUST(watch.op.kind == CS_OP_LIST && result.n_entries > 0);
				break;
			case CS_STEP_DONE:
				MUST(!watch.temp_there);
				return 0;
			case CS_STEP_FAILED:
				MUST(result.failure.failure_class != CS_FAIL_NONE);
				MUST(result.failure.message[0] != '\0');
				MUST(!watch.temp_there ||
					 result.failure.failure_class == CS_FAIL_UNREACHABLE);
				return 0;
		}
	}
}
