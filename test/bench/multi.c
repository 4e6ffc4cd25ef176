/*
 * multi.c
 *	  The bare peer of the benchmarks: PUTs or GETs a list of files by libcurl's
 *	  multi interface, so many at once, and nothing else.
 *
 *	  multi put|get URL FOLDER AT_ONCE < NAMES
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Transfer
{
	CURL *easy;
	FILE *file;
} Transfer;

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "multi: %s: %s\n", what, detail);
	exit(1);
}

/* The next name is begun on the handle; false: there is none. */
static int
begin(CURLM *multi, Transfer *transfer, int put, const char *url, const char *folder)
{
	char name[256];
	char path[1024];
	char target[1024];
	struct stat st;

	if (fgets(name, sizeof(name), stdin) == NULL)
		return 0;
	name[strcspn(name, "\n")] = '\0';
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	snprintf(target, sizeof(target), "%s/%s", url, name);
	transfer->file = fopen(path, put ? "rb" : "wb");
	if (transfer->file == NULL)
		fail("cannot open", path);
	curl_easy_setopt(transfer->easy, CURLOPT_URL, target);
	curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(transfer->easy, CURLOPT_FAILONERROR, 1L);
	if (put)
	{
		if (fstat(fileno(transfer->file), &st) != 0)
			fail("cannot stat", path);
		curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD_BUFFERSIZE, 524288L);
		curl_easy_setopt(transfer->easy, CURLOPT_READDATA, transfer->file);
		curl_easy_setopt(transfer->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) st.st_size);
	}
	else
	{
		curl_easy_setopt(transfer->easy, CURLOPT_BUFFERSIZE, 524288L);
		curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer->file);
	}
	curl_multi_add_handle(multi, transfer->easy);
	return 1;
}

int
main(int argc, char **argv)
{
	CURLM *multi;
	CURLMsg *message;
	Transfer *transfers;
	int at_once;
	int running = 0;
	int left;

	if (argc != 5)
		fail("usage", "multi put|get URL FOLDER AT_ONCE < NAMES");
	at_once = atoi(argv[4]);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	transfers = calloc(at_once, sizeof(Transfer));
	for (int i = 0; i < at_once; i++)
	{
		transfers[i].easy = curl_easy_init();
		running += begin(multi, &transfers[i], argv[1][0] == 'p', argv[2], argv[3]);
	}
	while (running > 0)
	{
		int active;
		char *data;

		curl_multi_perform(multi, &active);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			Transfer *transfer;

			if (message->data.result != CURLE_OK)
				fail("transfer", curl_easy_strerror(message->data.result));
			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &data);
			transfer = (Transfer *) data;
			fclose(transfer->file);
			curl_multi_remove_handle(multi, transfer->easy);
			curl_easy_reset(transfer->easy);
			running += begin(multi, transfer, argv[1][0] == 'p', argv[2], argv[3]) - 1;
		}
		if (running > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	return 0;
}
