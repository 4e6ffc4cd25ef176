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

#include "portability/instr_time.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "cloudsync/settings.h"
#include "cloudsync/transfer.h"
#include "loop.h"

static void
close_loop(void *arg)
{
	CsLoop *loop = arg;

	if (loop->http != NULL)
		cs_http_destroy(loop->http);
	loop->http = NULL;
	cs_loop_close_timer(loop);
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
	loop->timer_fd = -1;
	dlist_init(&loop->running);
	dlist_init(&loop->waiting);
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
	end_all(&loop->waiting);
	end_all(&loop->stopped);
	end_all(&loop->taken);
	MemoryContextDelete(loop->context);
}

/* The transfer's context goes: let go of what is not memory. */
static void
release_transfer(void *arg)
{
	CsTransferPrivate *priv = arg;

	if (priv->over_http)
		cs_http_close(&priv->web);
	else
		cs_file_close(&priv->task, !priv->loop->keep_files);
	cs_loop_rest_no_more(priv);
	dlist_delete(&priv->node);
	if (priv->transfer->state == CS_TRANSFER_RUNNING)
		priv->loop->n_running--;
}

void
cs_transfer_free(CsTransfer *transfer)
{
	MemoryContextDelete(transfer->priv->context);
}

/* What went wrong, with all or with one of many, is told without them. */
static void
hide_secrets(CsTransferPrivate *priv, CsResult *result)
{
	if (priv->transfer->state == CS_TRANSFER_FAILED)
		cs_http_hide_secrets(priv->web.place, &result->failure);
	if (priv->transfer->state == CS_TRANSFER_DONE && result->puts != NULL)
		for (int i = 0; i < priv->n_puts; i++)
			cs_http_hide_secrets(priv->web.place, &result->puts[i].failure);
}

static void
stop(CsTransfer *transfer, CsTransferState state)
{
	CsTransferPrivate *priv = transfer->priv;

	if (transfer->state == CS_TRANSFER_RUNNING)
		priv->loop->n_running--;
	transfer->state = state;
	if (priv->over_http && priv->web.place != NULL)
		hide_secrets(priv, &transfer->result);
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
	if ((step == CS_STEP_REQUEST && !cs_loop_listing_goes_on(transfer, 0)) ||
		(step == CS_STEP_PAGE &&
		 !cs_loop_listing_goes_on(transfer, transfer->result.n_entries)))
		step = CS_STEP_FAILED;
	switch (step)
	{
		case CS_STEP_REQUEST:
			priv->asking = true;
			transfer->requests++;
			if (priv->over_http)
				cs_http_begin(&priv->web, &priv->request);
			else
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

/* A piece of an answer, for the conversation. */
static CsStep
take(void *owner, const char *buf, int64 len)
{
	CsTransferPrivate *priv = owner;
	CsTransfer *transfer = priv->transfer;
	MemoryContext old = MemoryContextSwitchTo(priv->context);
	CsStep step = priv->provider->take(priv->conversation, buf, len,
									   &transfer->result);

	MemoryContextSwitchTo(old);
	if ((step == CS_STEP_REQUEST && !cs_loop_answer_goes_on(transfer, len)) ||
		(step == CS_STEP_PAGE &&
		 !cs_loop_listing_goes_on(transfer, transfer->result.n_entries)))
		return CS_STEP_FAILED;
	return step;
}

/* How the transfer's requests are carried out; false with *failure. */
static bool
attach(CsTransferPrivate *priv, CsEndpoint *endpoint, CsBody *body,
	   CsFailure *failure)
{
	CsLoop *loop = priv->loop;

	if (endpoint->http == NULL)
	{
		cs_file_init(&priv->task, endpoint->root, body, loop->buffer);
		priv->task.pace = &endpoint->pace;
		return cs_endpoint_refresh(endpoint, failure);
	}
	priv->over_http = true;
	if (loop->http == NULL)
		loop->http = cs_http_create(loop->epoll_fd, failure);
	if (loop->http == NULL)
		return false;
	cs_http_init(&priv->web, loop->http, endpoint, body);
	priv->web.owner = priv;
	priv->web.take = take;
	priv->web.checksum_kind = priv->provider->checksum_kind;
	return true;
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
	transfer->priv = priv;
	transfer->owner = owner;
	transfer->state = CS_TRANSFER_RUNNING;
	priv->n_puts = op->n_puts;
	if (op->kind == CS_OP_LIST)
		priv->listing = pstrdup(op->path);
	priv->conversation = provider->begin(endpoint->service, op);
	dlist_push_tail(&loop->running, &priv->node);
	loop->n_running++;
	priv->callback.func = release_transfer;
	priv->callback.arg = priv;
	MemoryContextRegisterResetCallback(context, &priv->callback);
	if (!attach(priv, endpoint, body, &failure))
	{
		transfer->result.failure = failure;
		stop(transfer, CS_TRANSFER_FAILED);
	}
	MemoryContextSwitchTo(old);
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
	dlist_delete(&priv->node);
	dlist_push_tail(&priv->loop->running, &priv->node);
}

void
cs_transfer_wake(CsTransfer *transfer)
{
	CsTransferPrivate *priv = transfer->priv;

	if (transfer->state != CS_TRANSFER_RUNNING)
		return;
	if (priv->over_http)
	{
		if (priv->web.body_waits)
			cs_http_ready(&priv->web);
	}
	else if (priv->task.body_waits)
	{
		priv->task.body_waits = false;
		dlist_delete(&priv->node);
		dlist_push_tail(&priv->loop->running, &priv->node);
	}
}

/* Until it is woken, or the network has something for it. */
static void
wait(CsTransferPrivate *priv)
{
	dlist_delete(&priv->node);
	dlist_push_tail(&priv->loop->waiting, &priv->node);
}

/* A slice of a request over HTTP. */
static void
work_http(CsTransfer *transfer)
{
	CsTransferPrivate *priv = transfer->priv;
	CsHttpSlice slice = cs_http_slice(&priv->web);

	transfer->bytes_done = priv->web.done;
	switch (slice)
	{
		case CS_HTTP_MORE:
			break;
		case CS_HTTP_WAIT:
			wait(priv);
			break;
		case CS_HTTP_ANSWERED:
			priv->asking = false;
			ask(transfer, &priv->web.response);
			break;
		case CS_HTTP_PAGE: /* the answer goes on when the owner does */
			stop(transfer, CS_TRANSFER_PAGE);
			break;
		case CS_HTTP_STOPPED:
			priv->asking = false;
			stop(transfer, CS_TRANSFER_FAILED);
			break;
	}
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
	if (priv->over_http)
	{
		work_http(transfer);
		return;
	}
	if (cs_file_slice(&priv->task))
	{
		priv->asking = false;
		ask(transfer, &priv->task.response);
	}
	else if (priv->task.body_waits)
		wait(priv);
	else if (priv->task.wake_at > 0)
		cs_loop_rest(priv);
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
	if (!priv->over_http)
		cs_file_close(&priv->task, true);
	if (!priv->asking)
	{
		transfer->result.failure = failure;
		stop(transfer, CS_TRANSFER_FAILED);
		return;
	}
	priv->asking = false;
	if (priv->over_http)
	{
		cs_http_body_failed(&priv->web, &failure);
		ask(transfer, &priv->web.response);
		return;
	}
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

/* Lets the network work, and finds the transfers that can go on. */
static void
work_network(CsLoop *loop)
{
	CsHttpTask *task;

	cs_http_turn(loop->http);
	while ((task = cs_http_take_ready(loop->http)) != NULL)
	{
		CsTransferPrivate *priv = task->owner;

		if (priv->transfer->state != CS_TRANSFER_RUNNING)
			continue; /* it goes on when its owner says so */
		dlist_delete(&priv->node);
		dlist_push_tail(&loop->running, &priv->node);
	}
}

static void
read_settings(CsHttp *http)
{
	CsHttpSettings settings = {
		.allowed = cs_allowed_endpoints != NULL ? cs_allowed_endpoints : "",
		.ca_file = cs_ca_file != NULL ? cs_ca_file : "",
		.proxy = cs_proxy != NULL ? cs_proxy : "",
		.connect_timeout = cs_connect_timeout,
		.response_timeout = cs_response_timeout,
		.low_speed_time = cs_low_speed_time,
		.transfer_timeout = cs_transfer_timeout};

	cs_http_set(http, &settings);
}

/* A slice of each of those that can go on. False: the time is up. */
static bool
work_round(CsLoop *loop, instr_time start, int64 budget_us)
{
	CsTransferPrivate *last;
	CsTransferPrivate *priv;
	instr_time now;

	if (dlist_is_empty(&loop->running))
		return true;
	last = dlist_tail_element(CsTransferPrivate, node, &loop->running);
	do
	{
		priv = dlist_head_element(CsTransferPrivate, node, &loop->running);
		dlist_delete(&priv->node);
		dlist_push_tail(&loop->running, &priv->node);
		work_safely(priv->transfer);
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		if ((int64) INSTR_TIME_GET_MICROSEC(now) >= budget_us)
			return false;
	} while (priv != last && !dlist_is_empty(&loop->running));
	return true;
}

bool
cs_loop_turn(CsLoop *loop, int64 budget_us)
{
	instr_time start;
	bool time_left = true;

	INSTR_TIME_SET_CURRENT(start);
	if (loop->http != NULL)
		read_settings(loop->http);
	do
	{
		if (loop->http != NULL)
			work_network(loop);
		cs_loop_wake_rested(loop);
		time_left = work_round(loop, start, budget_us);
	} while (time_left && (!dlist_is_empty(&loop->running) ||
						   (loop->http != NULL && cs_http_arm(loop->http))));
	/* also for those that came to rest just now the timer is to go off */
	cs_loop_wake_rested(loop);
	return !dlist_is_empty(&loop->running) ||
		   (loop->http != NULL && cs_http_arm(loop->http));
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
