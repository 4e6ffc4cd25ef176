/*
 * template.c
 *	  cloudsync.template_check: refuses a folder template that cannot work, when
 *	  it is set (P10).
 */
#include "postgres.h"

#include "cloudsync/tags.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(cloudsync_template_check);

Datum
cloudsync_template_check(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	SPI_connect();
	cs_tags_check(text_to_cstring(PG_GETARG_TEXT_PP(0)),
				  PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1));
	SPI_finish();
	PG_RETURN_VOID();
}
