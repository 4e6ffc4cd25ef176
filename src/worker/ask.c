/*
 * ask.c
 *	  Both ends of a question to a provider (include/cloudsync/ask.h): the
 *	  waiting session, and the worker that holds the conversation.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cloudsync/ask.h"
#include "cloudsync/compat.h"
#include "cloudsync/db.h"
#include "cloudsync/engine.h"
#include "cloudsync/worker.h"

#define ASK_QUEUE_SIZE 65536
#define TURN_MS 50
#define ASK_QUEUE_OFFSET MAXALIGN(sizeof(CsAsk))

PGDLLEXPORT void cloudsync_ask_main(Datum main_arg);

/* The session's end */

static BackgroundWorkerHandle *
start_ask_worker(dsm_segment *segment)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags =
		BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "cloudsync", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "cloudsync_ask_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "cloudsync worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "cloudsync worker", BGW_MAXLEN);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no worker could be started to ask the provider"),
				 errhint("Increase \"max_worker_processes\", or try again "
						 "when other workers have ended.")));
	return handle;
}

/* What the asking person can do about it. */
static const char *
way_out(CsFailureClass failure_class)
{
	switch (failure_class)
	{
		case CS_FAIL_GONE:
			return "To see what is there: SELECT * FROM "
				   "cloudsync_browse(connection, '/');";
		case CS_FAIL_NEEDS_CONSENT:
		case CS_FAIL_LOCKED:
			return "To see what to do: SELECT * FROM cloudsync_status();";
		default:
			return "To see how it stands: SELECT connection, state, reason "
				   "FROM cloudsync.connections;";
	}
}

static void
raise_failure(const CsFailure *failure)
{
	int code = ERRCODE_IO_ERROR;

	switch (failure->failure_class)
	{
		case CS_FAIL_GONE:
			code = ERRCODE_UNDEFINED_FILE;
			break;
		case CS_FAIL_FORBIDDEN:
		case CS_FAIL_NEEDS_CONSENT:
			code = ERRCODE_INSUFFICIENT_PRIVILEGE;
			break;
		case CS_FAIL_QUOTA:
			code = ERRCODE_DISK_FULL;
			break;
		case CS_FAIL_LOCKED:
			code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
			break;
		default:
			break;
	}
	ereport(ERROR, (errcode(code), errmsg("%s", failure->message),
					failure->detail[0] ? errdetail("%s", failure->detail) : 0,
					errhint("%s", way_out(failure->failure_class))));
}

static void
read_failure(StringInfo message, CsFailure *failure)
{
	failure->failure_class = pq_getmsgint(message, 4);
	strlcpy(failure->message, pq_getmsgrawstring(message), CS_MESSAGE_MAX);
	strlcpy(failure->detail, pq_getmsgrawstring(message), CS_DETAIL_MAX);
}

/* One message, or an error when the worker died or the time is up. */
static void
receive_message(shm_mq_handle *queue, TimestampTz deadline, StringInfo message)
{
	for (;;)
	{
		Size length;
		void *data;
		shm_mq_result result = shm_mq_receive(queue, &length, &data, true);
		long left;

		if (result == SHM_MQ_SUCCESS)
		{
			resetStringInfo(message);
			appendBinaryStringInfo(message, data, length);
			return;
		}
		if (result == SHM_MQ_DETACHED)
			ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
							errmsg("the worker that asked the provider ended "
								   "without an answer"),
							errhint("The server's log says why.")));
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0)
			ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
							errmsg("the provider did not answer within %d "
								   "seconds",
								   CS_ASK_TIMEOUT_MS / 1000),
							errhint("Try again, or see how it stands: SELECT "
									"connection, state, reason FROM "
									"cloudsync.connections;")));
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

static void
receive_answer(shm_mq_handle *queue,
			   void (*handle)(void *arg, char type, StringInfo message),
			   void *arg, CsFailure *failure)
{
	TimestampTz deadline =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CS_ASK_TIMEOUT_MS);
	StringInfoData message;

	initStringInfo(&message);
	for (;;)
	{
		char type;

		receive_message(queue, deadline, &message);
		type = pq_getmsgbyte(&message);
		if (type == CS_ASK_END)
			return;
		if (type == CS_ASK_FAILURE)
		{
			CsFailure said = {0};

			read_failure(&message, &said);
			if (failure == NULL)
				raise_failure(&said);
			*failure = said;
			return;
		}
		handle(arg, type, &message);
	}
}

/* See ask.h. */
void
cs_ask(const CsAsk *ask,
	   void (*handle)(void *arg, char type, StringInfo message), void *arg,
	   CsFailure *failure)
{
	dsm_segment *segment = dsm_create(ASK_QUEUE_OFFSET + ASK_QUEUE_SIZE, 0);
	char *address = dsm_segment_address(segment);
	shm_mq *queue;
	shm_mq_handle *receiver;
	BackgroundWorkerHandle *worker;

	memcpy(address, ask, sizeof(CsAsk));
	queue = shm_mq_create(address + ASK_QUEUE_OFFSET, ASK_QUEUE_SIZE);
	shm_mq_set_receiver(queue, MyProc);
	worker = start_ask_worker(segment);
	PG_TRY();
	{
		receiver = shm_mq_attach(queue, segment, worker);
		receive_answer(receiver, handle, arg, failure);
	}
	PG_FINALLY();
	{
		TerminateBackgroundWorker(worker);
	}
	PG_END_TRY();
	dsm_detach(segment);
}

/* The worker's end */

static void
send_message(shm_mq_handle *queue, StringInfo message)
{
	if (CsShmMqSend(queue, message->len, message->data) != SHM_MQ_SUCCESS)
		proc_exit(0); /* nobody waits any more */
}

/* As it is: both ends are of one database. */
static void
put_string(StringInfo message, const char *text)
{
	appendBinaryStringInfo(message, text, strlen(text) + 1);
}

static void
send_failure(shm_mq_handle *queue, const CsFailure *failure)
{
	StringInfoData message;

	initStringInfo(&message);
	pq_sendbyte(&message, CS_ASK_FAILURE);
	pq_sendint32(&message, failure->failure_class);
	put_string(&message, failure->message);
	put_string(&message, failure->detail);
	send_message(queue, &message);
}

static void
send_entries(void *queue, const CsResult *result)
{
	StringInfoData message;

	initStringInfo(&message);
	for (int i = 0; i < result->n_entries; i++)
	{
		const CsEntry *entry = &result->entries[i];

		resetStringInfo(&message);
		pq_sendbyte(&message, CS_ASK_ENTRY);
		pq_sendbyte(&message, (int) entry->kind);
		put_string(&message, entry->name);
		put_string(&message, entry->path);
		put_string(&message, entry->id ? entry->id : "");
		pq_sendint64(&message, entry->size);
		pq_sendint64(&message, entry->modified);
		send_message(queue, &message);
	}
}

static void
send_about(shm_mq_handle *queue, const CsResult *result)
{
	StringInfoData message;

	initStringInfo(&message);
	pq_sendbyte(&message, CS_ASK_ABOUT);
	pq_sendint64(&message, result->used_bytes);
	pq_sendint64(&message, result->quota_bytes);
	send_message(queue, &message);
}

/* Lets transfers work, and waits a moment where they wait for the network. */
static void
turn(CsLoop *loop)
{
	if (cs_loop_turn(loop, 50000))
		return;
	(void) WaitLatchOrSocket(MyLatch,
							 WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT |
								 WL_EXIT_ON_PM_DEATH,
							 cs_loop_fd(loop), TURN_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* Only a person can help: from now on the connection says so (C5). */
static void
note_refusal(CsConnection *connection, const CsFailure *failure)
{
	if (connection == NULL || failure->failure_class != CS_FAIL_NEEDS_CONSENT)
		return;
	connection->transfers++; /* what is open is still in use */
	cs_begin("recording that credentials are refused");
	cs_connection_note(connection, failure, GetCurrentTimestamp());
	cs_commit();
	connection->transfers--;
}

/* False: it failed, and the session was told so. */
static bool
converse(shm_mq_handle *queue, CsConnection *connection, CsTransfer *transfer, CsLoop *loop,
		 void (*page)(void *arg, const CsResult *result), void *arg)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (connection != NULL)
			cs_token_turn(connection, GetCurrentTimestamp());
		switch (transfer->state)
		{
			case CS_TRANSFER_RUNNING:
				turn(loop);
				break;
			case CS_TRANSFER_PAGE:
				page(arg, &transfer->result);
				cs_transfer_continue(transfer);
				break;
			case CS_TRANSFER_CHECKPOINT:
				cs_transfer_continue(transfer);
				break;
			case CS_TRANSFER_DONE:
				return true;
			case CS_TRANSFER_FAILED:
				note_refusal(connection, &transfer->result.failure);
				send_failure(queue, &transfer->result.failure);
				return false;
		}
	}
}

typedef struct Sought
{
	const char *id;
	char *path;
	MemoryContext context;
} Sought;

/* Looks for the folder's id among a page of the whole account. */
static void
seek_in_page(void *arg, const CsResult *result)
{
	Sought *sought = arg;

	for (int i = 0; i < result->n_entries && sought->path == NULL; i++)
	{
		const CsEntry *entry = &result->entries[i];

		if (entry->kind == CS_ENTRY_FOLDER && entry->id != NULL &&
			strcmp(entry->id, sought->id) == 0)
			sought->path = MemoryContextStrdup(sought->context, entry->path);
	}
}

/*
 * Sets op's path to where the folder with the id named is now, or its id where
 * the provider goes by ids. False: the session was told why not.
 */
static bool
find_by_id(shm_mq_handle *queue, CsConnection *connection, CsLoop *loop,
		   CsEndpoint *endpoint, const char *id, CsOp *op)
{
	Sought sought = {.id = id, .context = CurrentMemoryContext};
	CsOp list = {.kind = CS_OP_LIST, .path = "/", .recursive = true};
	const CsProvider *provider = connection->provider;
	CsFailure failure = {0};
	CsTransfer *transfer;
	bool listed;

	op->path = "/";
	if (provider->stable_ids)
	{
		op->id = id;
		return true;
	}
	transfer = cs_transfer_start(loop, provider, endpoint, &list, NULL, NULL);
	listed = converse(queue, connection, transfer, loop, seek_in_page, &sought);
	cs_transfer_free(transfer);
	op->path = sought.path;
	if (!listed || sought.path != NULL)
		return listed;
	cs_failure_set(&failure, CS_FAIL_GONE, NULL,
				   "no folder of the account has the id \"%.200s\"", id);
	send_failure(queue, &failure);
	return false;
}

static void
hold_conversation(shm_mq_handle *queue, CsLoop *loop, const CsAsk *ask,
				  CsConnection *connection, CsEndpoint *endpoint)
{
	CsOp op = {.kind = ask->op, .path = ask->path};
	CsTransfer *transfer;

	if (strncmp(ask->path, CS_ASK_ID, strlen(CS_ASK_ID)) == 0 &&
		!find_by_id(queue, connection, loop, endpoint,
					ask->path + strlen(CS_ASK_ID), &op))
		return;
	transfer = cs_transfer_start(loop, connection->provider, endpoint, &op, NULL, NULL);
	if (converse(queue, connection, transfer, loop, send_entries, queue) &&
		ask->op == CS_OP_ABOUT)
		send_about(queue, &transfer->result);
	cs_transfer_free(transfer);
}

/* For cs_consent_exchange: its tokens are what they are. */
static bool
drive(CsLoop *loop, CsTransfer *transfer, CsEndpoint *endpoint)
{
	CsFailure refused = {0};

	cs_failure_set(&refused, CS_FAIL_NEEDS_CONSENT, NULL,
				   "the service does not take the token that it gave");
	while (transfer->state == CS_TRANSFER_RUNNING ||
		   transfer->state == CS_TRANSFER_CHECKPOINT)
	{
		CHECK_FOR_INTERRUPTS();
		if (transfer->state == CS_TRANSFER_CHECKPOINT)
			cs_transfer_continue(transfer);
		if (cs_endpoint_wants_token(endpoint))
			cs_endpoint_refuse_token(endpoint, &refused);
		turn(loop);
	}
	return transfer->state == CS_TRANSFER_DONE;
}

static void
answer(shm_mq_handle *queue, const CsAsk *ask)
{
	CsConnection *connection = cs_connection_look(ask->connection_id);
	CsFailure failure = {0};
	CsEndpoint *endpoint;
	CsLoop *loop;

	if (connection == NULL)
	{
		failure.failure_class = CS_FAIL_GONE;
		strlcpy(failure.message, "the connection is not committed yet",
				CS_MESSAGE_MAX);
		send_failure(queue, &failure);
		return;
	}
	loop = cs_loop_create(cs_rollback);
	connection->loop = loop;
	if (ask->op == CS_OP_TOKEN)
	{
		if (!cs_consent_exchange(connection, ask->consent_id, ask->path, drive, &failure))
			send_failure(queue, &failure);
	}
	else if ((endpoint = cs_connection_endpoint(connection, false, &failure)) == NULL)
		send_failure(queue, &failure);
	else
		hold_conversation(queue, loop, ask, connection, endpoint);
	cs_loop_destroy(loop);
	cs_connection_close(connection);
}

/* Entry of the worker: main_arg is the shared segment's handle. */
void
cloudsync_ask_main(Datum main_arg)
{
	dsm_segment *segment;
	CsAsk ask;
	shm_mq *queue;
	shm_mq_handle *sender;
	StringInfoData end;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	segment = dsm_attach(DatumGetUInt32(main_arg));
	if (segment == NULL)
		proc_exit(0); /* the session is gone */
	memcpy(&ask, dsm_segment_address(segment), sizeof(CsAsk));
	queue = (shm_mq *) ((char *) dsm_segment_address(segment) +
						ASK_QUEUE_OFFSET);
	shm_mq_set_sender(queue, MyProc);
	sender = shm_mq_attach(queue, segment, NULL);
	cs_process_join(ask.database);
	answer(sender, &ask);
	initStringInfo(&end);
	pq_sendbyte(&end, CS_ASK_END);
	send_message(sender, &end);
	dsm_detach(segment);
	proc_exit(0);
}
