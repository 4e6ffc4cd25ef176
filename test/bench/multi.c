/*
 * multi.c
 *	  The bare peer of the benchmarks: PUTs or GETs a list of files by libcurl's
 *	  multi interface, or makes any requests, so many at once, and nothing else.
 *
 *	  multi put|get URL FOLDER AT_ONCE < NAMES
 *	  multi play CA_FILE FOLDER AT_ONCE < LINES
 *
 * A line is METHOD, URL, the name of the body's file in FOLDER (or -) and the
 * headers, between tabs; answers are thrown away.
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
	struct curl_slist *headers;
} Transfer;

/* What there is to do. */
typedef struct Work
{
	int (*begin)(CURLM *multi, Transfer *transfer, const struct Work *work);
	int put;
	const char *where; /* the address, or the authority's certificate */
	const char *folder;
} Work;

static void
fail(const char *what, const char *detail)
{
	fprintf(stderr, "multi: %s: %s\n", what, detail);
	exit(1);
}

static void
open_file(Transfer *transfer, const char *folder, const char *name, const char *mode)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	transfer->file = fopen(path, mode);
	if (transfer->file == NULL)
		fail("cannot open", path);
}

static curl_off_t
size_of(const Transfer *transfer)
{
	struct stat st;

	if (fstat(fileno(transfer->file), &st) != 0)
		fail("stat", "a body");
	return (curl_off_t) st.st_size;
}

/* The next name is begun on the handle; false: there is none. */
static int
begin_file(CURLM *multi, Transfer *transfer, const Work *work)
{
	char name[256];
	char target[1024];

	if (fgets(name, sizeof(name), stdin) == NULL)
		return 0;
	name[strcspn(name, "\n")] = '\0';
	snprintf(target, sizeof(target), "%s/%s", work->where, name);
	open_file(transfer, work->folder, name, work->put ? "rb" : "wb");
	curl_easy_setopt(transfer->easy, CURLOPT_URL, target);
	curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(transfer->easy, CURLOPT_FAILONERROR, 1L);
	if (work->put)
	{
		curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD_BUFFERSIZE, 524288L);
		curl_easy_setopt(transfer->easy, CURLOPT_READDATA, transfer->file);
		curl_easy_setopt(transfer->easy, CURLOPT_INFILESIZE_LARGE, size_of(transfer));
	}
	else
	{
		curl_easy_setopt(transfer->easy, CURLOPT_BUFFERSIZE, 524288L);
		curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer->file);
	}
	curl_multi_add_handle(multi, transfer->easy);
	return 1;
}

static size_t
throw_away(char *bytes, size_t size, size_t n, void *nothing)
{
	(void) bytes;
	(void) nothing;
	return size * n;
}

/* The next line's request; false: there is none. */
static int
begin_line(CURLM *multi, Transfer *transfer, const Work *work)
{
	char line[16384];
	char *at = line;
	char *method;
	char *url;
	char *body;
	char *header;

	if (fgets(line, sizeof(line), stdin) == NULL)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	method = strsep(&at, "\t");
	url = strsep(&at, "\t");
	body = strsep(&at, "\t");
	if (body == NULL)
		fail("no request", line);
	while ((header = strsep(&at, "\t")) != NULL)
		transfer->headers = curl_slist_append(transfer->headers, header);
	curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
	curl_easy_setopt(transfer->easy, CURLOPT_CAINFO, work->where);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(transfer->easy, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, throw_away);
	if (strcmp(body, "-") != 0)
	{
		open_file(transfer, work->folder, body, "rb");
		curl_easy_setopt(transfer->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(transfer->easy, CURLOPT_READDATA, transfer->file);
		curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, size_of(transfer));
	}
	else if (strcmp(method, "GET") != 0)
		curl_easy_setopt(transfer->easy, CURLOPT_COPYPOSTFIELDS, "");
	curl_easy_setopt(transfer->easy, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
	curl_multi_add_handle(multi, transfer->easy);
	return 1;
}

static void
end(CURLM *multi, Transfer *transfer)
{
	curl_multi_remove_handle(multi, transfer->easy);
	curl_easy_reset(transfer->easy);
	if (transfer->file != NULL)
		fclose(transfer->file);
	transfer->file = NULL;
	curl_slist_free_all(transfer->headers);
	transfer->headers = NULL;
}

int
main(int argc, char **argv)
{
	CURLM *multi;
	CURLMsg *message;
	Transfer *transfers;
	Work work;
	int at_once;
	int running = 0;
	int left;

	if (argc != 5)
		fail("usage", "multi put|get|play URL|CA_FILE FOLDER AT_ONCE < NAMES|LINES");
	work.begin = strcmp(argv[1], "play") == 0 ? begin_line : begin_file;
	work.put = strcmp(argv[1], "put") == 0;
	work.where = argv[2];
	work.folder = argv[3];
	at_once = atoi(argv[4]);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	transfers = calloc(at_once, sizeof(Transfer));
	for (int i = 0; i < at_once; i++)
	{
		transfers[i].easy = curl_easy_init();
		running += work.begin(multi, &transfers[i], &work);
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
			end(multi, transfer);
			running += work.begin(multi, transfer, &work) - 1;
		}
		if (running > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	return 0;
}
