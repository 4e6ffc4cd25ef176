/*
 * registry.c
 *	  The providers that this library has (include/cloudsync/provider.h). A new
 *	  one is added here and nowhere else.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/provider.h"

const CsProvider *const cs_providers[] = {&cs_provider_local,
										  &cs_provider_webdav,
										  &cs_provider_s3,
										  &cs_provider_gdrive,
										  &cs_provider_onedrive,
										  &cs_provider_sharepoint,
										  &cs_provider_dropbox, NULL};

/* NULL: unknown. */
const CsProvider *
cs_provider_by_name(const char *name)
{
	for (int i = 0; cs_providers[i] != NULL; i++)
	{
		if (strcmp(cs_providers[i]->name, name) == 0)
			return cs_providers[i];
	}
	return NULL;
}
