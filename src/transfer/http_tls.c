/*
 * http_tls.c
 *	  Whose certificates are trusted: the system's authorities and those of
 *	  cloudsync.ca_file, read once and again when the file changes, instead of
 *	  for each connection, which takes curl some 20 ms.
 *
 * Usable in the server and in plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include "http.h"

/* What tells one state of the file from another; 0: there is none. */
static int64
stamp_of(const char *file)
{
	struct stat st;

	if (file[0] == '\0' || stat(file, &st) != 0)
		return 0;
	return (int64) st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000 +
		   (int64) st.st_size + (int64) st.st_ino;
}

static X509_STORE *
load_system(void)
{
	X509_STORE *store = X509_STORE_new();
	curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);

	if (store == NULL)
		return NULL;
	/* Where OpenSSL looks, and where this curl was told to. */
	X509_STORE_set_default_paths(store);
	if (info->age >= CURLVERSION_SEVENTH && info->cainfo != NULL)
		X509_STORE_load_locations(store, info->cainfo, NULL);
	X509_STORE_set_flags(store,
						 X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	ERR_clear_error();
	return store;
}

bool
cs_http_tls_load(CsHttp *http, CsFailure *failure)
{
	const char *file = http->settings.ca_file;
	int64 stamp = stamp_of(file);
	X509_STORE *store;
	char *copy;

	if (http->store != NULL && http->store_stamp == stamp &&
		strcmp(http->store_file, file) == 0)
		return true;
	store = load_system();
	copy = strdup(file);
	if (store == NULL || copy == NULL)
	{
		X509_STORE_free(store);
		free(copy);
		cs_failure_set(failure, CS_FAIL_RETRY_LATER, NULL, "out of memory");
		return false;
	}
	if (file[0] != '\0' && X509_STORE_load_locations(store, file, NULL) != 1)
	{
		char words[256];

		ERR_error_string_n(ERR_peek_error(), words, sizeof(words));
		ERR_clear_error();
		cs_failure_set(failure, CS_FAIL_UNREACHABLE, words,
					   "could not read certificates from cloudsync.ca_file "
					   "\"%s\"",
					   file);
		X509_STORE_free(store);
		free(copy);
		return false;
	}
	X509_STORE_free(http->store);
	free(http->store_file);
	http->store = store;
	http->store_file = copy;
	http->store_stamp = stamp;
	return true;
}

/* The store is shared by all connections, each of which holds it. */
CURLcode
cs_http_on_tls(CURL *easy, void *context, void *arg)
{
	CsHttp *http = arg;

	if (http->store == NULL)
		return CURLE_SSL_CACERT_BADFILE;
	SSL_CTX_set1_cert_store((SSL_CTX *) context, http->store);
	return CURLE_OK;
}
