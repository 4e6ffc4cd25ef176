/*
 * loop.c
 *	  The transfer loop (include/cloudsync/transfer.h): gives running transfers
 *	  a slice each in turn, asks their conversations what comes next, and turns
 *	  errors raised by bodies into failures.
 *
 * A transfer and all it holds live in a memory context of its own, whose
 * deletion, by whatever way, closes its descriptors and takes it off the loop.
 */
#include "postgres.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "lib/ilist.h"
#include "portability/instr_time.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "cloudsync/transfer.h"
#include "endpoint.h"
#include "file.h"

struct CsLoop
{
	MemoryContext context;
	dlist_head running; /* transfers, the next one first */
	dlist_head stopped; /* and not taken by cs_loop_take_stopped yet */
	dlist_head taken;
	int n_running;
	int epoll_fd;
	void (*recover)(void);
	char *buffer;	 /* for one slice */
	bool keep_files; /* the loop goes: transfers remove nothing */
};

typedef struct CsTransferPrivate
{
	dlist_node node;
	CsTransfer *transfer;
	CsLoop *loop; /* NULL once it is gone */
	MemoryContext context;
	MemoryContextCallback callback;
	const CsProvider *provider;
	CsConversation *conversation;
	CsFileTask task;
	CsRequest request;
	bool asking; /* a request is being carried out */
} CsTransferPrivate;

static void
close_loop(void *arg)
{
	CsLoop *loop = arg;

	if (loop->epoll_fd >= 0)
	{
		close(loop->epoll_fd);
		ReleaseExternalFD();
		loop->epoll_fd = -1;
	}
}

CsLoop *
cs_loop_create(void (*recover)(void))
{
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "cloudsync loop", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CsLoop *loop = palloc0(sizeof(CsLoop));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	loop->context = context;
	loop->recover = recover;
	loop->buffer = palloc(CS_FILE_SLICE);
	loop->epoll_fd = -1;
	dlist_init(&loop->running);
	dlist_init(&loop->stopped);
	dlist_init(&loop->taken);
	callback->func = close_loop;
	callback->arg = loop;
	MemoryContextRegisterResetCallback(context, callback);
	ReserveExternalFD();
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
	{
		ReleaseExternalFD();
		ereport(ERROR, (errcode_for_file_access(),
						errmsg("could not create an epoll descriptor: %m")));
	}
	MemoryContextSwitchTo(old);
	return loop;
}

/* Ends all transfers of a list; their own contexts go with them. */
static void
end_all(dlist_head *list)
{
	while (!dlist_is_empty(list))
		cs_transfer_free(
			dlist_head_element(CsTransferPrivate, node, list)->transfer);
}

void
cs_loop_destroy(CsLoop *loop)
{
	loop->keep_files = true;
	end_all(&loop->running);
	end_all(&loop->stopped);
	end_all(&loop->taken);
	MemoryContextDelete(loop->context);
}

/* The transfer's context goes: let go of what is not memory. */
static void
release_transfer(void *arg)
{
	CsTransferPrivate *priv = arg;

	cs_file_close(&priv->task, !priv->loop->keep_files);
	dlist_delete(&priv->node);
	if (priv->transfer->state == CS_TRANSFER_RUNNING)
		priv->loop->n_running--;
}

void
cs_transfer_free(CsTransfer *transfer)
{
	MemoryContextDelete(transfer->priv->context);
}

static void
stop(CsTransfer *transfer, CsTransferState state)
{
	CsTransferPrivate *priv = transfer->priv;

	if (transfer->state == CS_TRANSFER_RUNNING)
		priv->loop->n_running--;
	transfer->state = state;
	dlist_delete(&priv->node);
	dlist_push_tail(&priv->loop->stopped, &priv->node);
}

/* Asks the conversation what comes after an answer (NULL: see provider.h). */
static void
ask(CsTransfer *transfer, const CsResponse *answer)
{
	CsTransferPrivate *priv = transfer->priv;
	MemoryContext old = MemoryContextSwitchTo(priv->context);
	CsStep step = priv->provider->next(priv->conversation, answer,
									   &priv->request, &transfer->result);

	MemoryContextSwitchTo(old);
	switch (step)
	{
		case CS_STEP_REQUEST:
			priv->asking = true;
			transfer->requests++;
			cs_file_begin(&priv->task, &priv->request);
			break;
		case CS_STEP_CHECKPOINT:
			stop(transfer, CS_TRANSFER_CHECKPOINT);
			break;
		case CS_STEP_PAGE:
			stop(transfer, CS_TRANSFER_PAGE);
			break;
		case CS_STEP_DONE:
			stop(transfer, CS_TRANSFER_DONE);
			break;
		case CS_STEP_FAILED:
			stop(transfer, CS_TRANSFER_FAILED);
			break;
	}
}

CsTransfer *
cs_transfer_start(CsLoop *loop, const CsProvider *provider,
				  CsEndpoint *endpoint, const CsOp *op, CsBody *body,
				  void *owner)
{
	MemoryContext context = AllocSetContextCreate(
		CurrentMemoryContext, "cloudsync transfer", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CsTransfer *transfer = palloc0(sizeof(CsTransfer));
	CsTransferPrivate *priv = palloc0(sizeof(CsTransferPrivate));
	CsFailure failure;

	priv->transfer = transfer;
	priv->loop = loop;
	priv->context = context;
	priv->provider = provider;
	cs_file_init(&priv->task, endpoint->root, body, loop->buffer);
	transfer->priv = priv;
	transfer->owner = owner;
	transfer->state = CS_TRANSFER_RUNNING;
	priv->conversation = provider->begin(endpoint->service, op);
	dlist_push_tail(&loop->running, &priv->node);
	loop->n_running++;
	priv->callback.func = release_transfer;
	priv->callback.arg = priv;
	MemoryContextRegisterResetCallback(context, &priv->callback);
	MemoryContextSwitchTo(old);
	if (endpoint->http != NULL)
	{
		cs_failure_set(&transfer->result.failure, CS_FAIL_BROKEN, NULL,
					   "requests over HTTP are not carried out");
		stop(transfer, CS_TRANSFER_FAILED);
	}
	else if (!cs_endpoint_refresh(endpoint, &failure))
	{
		transfer->result.failure = failure;
		stop(transfer, CS_TRANSFER_FAILED);
	}
	return transfer;
}

void
cs_transfer_continue(CsTransfer *transfer)
{
	CsTransferPrivate *priv = transfer->priv;

	Assert(transfer->state == CS_TRANSFER_CHECKPOINT ||
		   transfer->state == CS_TRANSFER_PAGE);
	transfer->state = CS_TRANSFER_RUNNING;
	priv->loop->n_running++;
	priv->asking = false;
	dlist_delete(&priv->node);
	dlist_push_tail(&priv->loop->running, &priv->node);
}

/* One slice of work: of the request under way, or the next question. */
static void
work(CsTransfer *transfer)
{
	CsTransferPrivate *priv = transfer->priv;

	if (!priv->asking)
	{
		ask(transfer, NULL);
		return;
	}
	if (cs_file_slice(&priv->task))
	{
		priv->asking = false;
		ask(transfer, &priv->task.response);
	}
	transfer->bytes_done = priv->task.done;
}

/* Troubles of the server that pass by themselves. */
static CsFailureClass
class_of_error(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
			return CS_FAIL_RETRY_LATER;
		default:
			return CS_FAIL_BROKEN;
	}
}

/*
 * A body's function raised an error. Its transaction is rolled back, and the
 * conversation hears that the body failed, so that it can clean up; an error
 * that came from elsewhere ends the transfer.
 */
static void
take_error(CsTransfer *transfer, MemoryContext context)
{
	CsTransferPrivate *priv = transfer->priv;
	ErrorData *error;
	CsFailure failure;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		PG_RE_THROW();
	FlushErrorState();
	if (priv->loop->recover != NULL)
		priv->loop->recover();
	MemoryContextSwitchTo(context);
	cs_failure_set(&failure, class_of_error(error->sqlerrcode), error->detail,
				   "%s", error->message);
	FreeErrorData(error);
	cs_file_close(&priv->task, true);
	if (!priv->asking)
	{
		transfer->result.failure = failure;
		stop(transfer, CS_TRANSFER_FAILED);
		return;
	}
	priv->asking = false;
	cs_file_body_failed(&priv->task, &failure);
	ask(transfer, &priv->task.response);
}

static void
work_safely(CsTransfer *transfer)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		work(transfer);
	}
	PG_CATCH();
	{
		take_error(transfer, context);
	}
	PG_END_TRY();
}

bool
cs_loop_turn(CsLoop *loop, int64 budget_us)
{
	instr_time start;
	instr_time now;

	INSTR_TIME_SET_CURRENT(start);
	while (!dlist_is_empty(&loop->running))
	{
		CsTransferPrivate *priv =
			dlist_head_element(CsTransferPrivate, node, &loop->running);

		dlist_delete(&priv->node);
		dlist_push_tail(&loop->running, &priv->node);
		work_safely(priv->transfer);
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		if ((int64) INSTR_TIME_GET_MICROSEC(now) >= budget_us)
			break;
	}
	return loop->n_running > 0;
}

CsTransfer *
cs_loop_take_stopped(CsLoop *loop)
{
	CsTransferPrivate *priv;

	if (dlist_is_empty(&loop->stopped))
		return NULL;
	priv = dlist_head_element(CsTransferPrivate, node, &loop->stopped);
	dlist_delete(&priv->node);
	dlist_push_tail(&loop->taken, &priv->node);
	return priv->transfer;
}

int
cs_loop_running(CsLoop *loop)
{
	return loop->n_running;
}

int
cs_loop_fd(CsLoop *loop)
{
	return loop->epoll_fd;
}
