/*
 * op.c
 *	  What every provider's begin() does with its op (include/cloudsync/provider.h):
 *	  copies it, and answers what the provider does not offer.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/provider.h"

static const char *
copy(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

/* See provider.h. */
void
cs_op_copy(CsOp *target, const CsOp *op)
{
	*target = *op;
	target->path = copy(op->path);
	target->id = copy(op->id);
	target->to_path = copy(op->to_path);
	target->cursor = copy(op->cursor);
	target->temp_name = copy(op->temp_name);
	target->known_version = copy(op->known_version);
	target->expect_version = copy(op->expect_version);
	target->session = copy(op->session);
	target->checksum = copy(op->checksum);
	target->intended_checksum = copy(op->intended_checksum);
	if (op->n_puts > 0)
	{
		CsPut *puts = palloc(sizeof(CsPut) * op->n_puts);

		for (int i = 0; i < op->n_puts; i++)
		{
			puts[i] = op->puts[i];
			puts[i].path = copy(op->puts[i].path);
			puts[i].id = copy(op->puts[i].id);
			puts[i].known_version = copy(op->puts[i].known_version);
			puts[i].checksum = copy(op->puts[i].checksum);
			puts[i].intended_checksum = copy(op->puts[i].intended_checksum);
		}
		target->puts = puts;
	}
}

/* See provider.h. */
CsStep
cs_step_not_offered(CsConversation *conversation, const CsResponse *answer,
					CsRequest *request, CsResult *result)
{
	cs_failure_set(&result->failure, CS_FAIL_BROKEN, NULL,
				   "the provider does not offer this operation");
	return CS_STEP_FAILED;
}
