/*
 * options.h
 *	  Providers and their options as SQL gives them. Inner header of sql/.
 */
#ifndef CLOUDSYNC_OPTIONS_H
#define CLOUDSYNC_OPTIONS_H

#include "utils/jsonb.h"

#include "cloudsync/provider.h"

/* The provider of that name, or an error that names the known ones. */
extern const CsProvider *cs_known_provider(const char *name);
/* The options as a provider takes them, ended by a NULL key. */
extern CsOption *cs_option_list(Jsonb *given);

#endif
