/*
 * http.h
 *	  Carries out HTTP requests (CS_REQ_HTTP) by libcurl, many at once, and
 *	  CS_REQ_HASH_BODY of the same transfers. Inner header of transfer/; usable
 *	  in the server and in plain programs.
 *
 * Two rules hold in http*.c. Nothing of curl's is called with a signal
 * unblocked: its resolver's threads inherit the mask, and the server's handlers
 * must not run in them. And nothing that curl calls back raises an error,
 * pallocs or calls anything of the owner's: callbacks copy between fixed
 * buffers and pause; buffers are filled and drained outside of curl, where a
 * body's functions may raise errors, so all that is under way hangs on its task
 * and ends with it.
 */
#ifndef CLOUDSYNC_TRANSFER_HTTP_H
#define CLOUDSYNC_TRANSFER_HTTP_H

#include <curl/curl.h>

#include "lib/ilist.h"

#include "cloudsync/hash.h"
#include "cloudsync/transfer.h"
#include "endpoint.h"
#include "pace.h"

#define CS_HTTP_HEADERS 100			 /* of an answer */
#define CS_HTTP_HEADER_BYTES 65536	 /* of all headers of an exchange */
#define CS_HTTP_BUFFER_MIN (64 * 1024) /* of a body on its way */
#define CS_HTTP_BUFFER_MAX (512 * 1024)
#define CS_HTTP_TEXT_CUT (64 * 1024) /* of the text of a failure */

/* The settings, as they are at the moment. Strings are never NULL. */
typedef struct CsHttpSettings
{
	const char *allowed; /* cloudsync.allowed_endpoints */
	const char *ca_file;
	const char *proxy;
	int connect_timeout; /* ms */
	int response_timeout;
	int low_speed_time; /* 0: none */
	int transfer_timeout;
} CsHttpSettings;

/* One curl_multi, its descriptors and its clock; one a loop (http_multi.c). */
typedef struct CsHttp CsHttp;

/* An easy handle with its buffers, kept for reuse (http_handle.c). */
typedef struct CsHttpHandle CsHttpHandle;

/* scheme, host without brackets and port of a URL */
typedef struct CsOrigin
{
	char *scheme;
	char *host;
	int port;
} CsOrigin;

/* What an endpoint over HTTP is (http_place.c). */
typedef struct CsHttpPlace
{
	CsService *service; /* or NULL */
	CsOrigin origin;	/* of the service; its scheme NULL: none */
	char *purpose;
	char *hosts; /* the provider's own, or NULL */
	CsAuth auth;
	char *user;
	char *secret;
	char *session;
	bool digest;	/* the server asked for it */
	bool no_expect; /* the server does not answer Expect: 100-continue */
	CsPace pace;
	CsHttpHandle *idle; /* handles not in use */
	int n_idle;
} CsHttpPlace;

/* http_place.c */
extern bool cs_origin_parse(CsOrigin *origin, const char *url);
extern void cs_origin_free(CsOrigin *origin);
extern bool cs_origin_equal(const CsOrigin *a, const CsOrigin *b);

#endif
