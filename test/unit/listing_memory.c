/* sources: src/provider/[a-z]*.c src/base/[a-z]*.c */
/*
 * Listings of folders without end: a page leaves nothing behind in the
 * conversation or its service, so that a million files take no more memory than
 * some thousands. Here palloc is malloc, which counts. (Dropbox forgets all of a
 * page with its memory context, which plain programs have not.) malloc keeps some of
 * what it is given back, and counts that as used; less than its smallest piece a page.
 */
#include "postgres_fe.h"

#include <malloc.h>

#include "cloudsync/provider.h"
#include "tap.h"

#define ITEMS 200
#define WARM 5	 /* pages until all that lasts is there */
#define PAGES 100 /* and until it is counted again */
#define LONG_ADDRESS (1024 * 1024)
#define LONG_ADDRESSES 20 /* more than are kept */

typedef struct Listing
{
	const char *title;
	const CsProvider *provider;
	CsOption options[3];
	CsOp op;
	const char *first; /* answered to a request for what is no page, or NULL */
	const char *asks;  /* part of the address of such a request */
	const char *begin; /* of a page; */
	const char *item;  /* %d: its number */
	const char *end;   /* of the page, which says where the next one is */
} Listing;

#define GRAPH_ITEM                                                               \
	"{\"id\":\"item%05d\",\"name\":\"a letter to the court.pdf\",\"eTag\":\"e\"," \
	"\"size\":20,\"webUrl\":\"https://contoso.sharepoint.com/a\","               \
	"\"createdBy\":{\"application\":{\"id\":\"a\"},\"user\":{\"id\":\"u\"}},"    \
	"\"lastModifiedDateTime\":\"2026-11-22T16:30:00Z\",\"file\":{\"hashes\":{"   \
	"\"quickXorHash\":\"41414141414141414141414141414141414141ff\"}},"           \
	"\"parentReference\":{\"id\":\"root1\",\"path\":\"/drives/b!d/root:/a%%2520b\"}," \
	"\"@microsoft.graph.downloadUrl\":\"https://contoso.sharepoint.com/x?y\"}"

static const Listing listings[] = {
	{"OneDrive, a folder", &cs_provider_onedrive, {{"drive_id", "b!d"}},
	 {.kind = CS_OP_LIST, .path = "/Big", .id = "big1", .recursive = true},
	 NULL, "none", "{\"value\":[", GRAPH_ITEM,
	 "],\"@odata.nextLink\":\"https://graph.microsoft.com/v1.0/x?p=%d\"}"},
	{"OneDrive, what changed", &cs_provider_onedrive, {{"drive_id", "b!d"}},
	 {.kind = CS_OP_LIST, .path = "/", .recursive = true, .follow = true,
	  .cursor = "b!d root1 work https://graph.microsoft.com/v1.0/x?p=0"},
	 NULL, "none", "{\"value\":[", GRAPH_ITEM,
	 "],\"@odata.nextLink\":\"https://graph.microsoft.com/v1.0/x?p=%d\"}"},
	{"Google Drive, a folder", &cs_provider_gdrive, {{NULL}},
	 {.kind = CS_OP_LIST, .path = "/Big", .id = "big1", .recursive = true},
	 "{\"id\":\"big1\",\"name\":\"Big\",\"parents\":[\"root1\"],"
	 "\"mimeType\":\"application/vnd.google-apps.folder\"}",
	 "/files/big1", "{\"files\":[",
	 "{\"id\":\"item%05d\",\"name\":\"a letter to the court.pdf\",\"mimeType\":\"application/pdf\","
	 "\"parents\":[\"big1\"],\"size\":\"20\",\"version\":\"7\",\"modifiedTime\":\"2026-11-22T16:30:00Z\","
	 "\"md5Checksum\":\"0123456789abcdef0123456789abcdef\",\"webViewLink\":\"https://drive.google.com/a\"}",
	 "],\"nextPageToken\":\"p%d\"}"},
	{"Google Drive, what changed", &cs_provider_gdrive, {{NULL}},
	 {.kind = CS_OP_LIST, .path = "/", .recursive = true, .follow = true, .cursor = "41"},
	 NULL, "none", "{\"changes\":[",
	 "{\"fileId\":\"item%05d\",\"removed\":false,\"changeType\":\"file\",\"file\":{\"id\":\"item%05d\",\"name\":\"a letter.pdf\","
	 "\"mimeType\":\"application/pdf\",\"parents\":[\"big1\"],\"size\":\"20\",\"version\":\"7\","
	 "\"modifiedTime\":\"2026-11-22T16:30:00Z\",\"md5Checksum\":\"0123456789abcdef0123456789abcdef\"}}",
	 "],\"nextPageToken\":\"p%d\"}"}};

static char answer_text[ITEMS * 2048];

/* The text of a page; each has the same items, so that what lasts is soon there. */
static int64
write_page(const Listing *listing, int page)
{
	char *at = answer_text;

	at += sprintf(at, "%s", listing->begin);
	for (int i = 0; i < ITEMS; i++)
	{
		if (i > 0)
			*at++ = ',';
		at += sprintf(at, listing->item, i, i);
	}
	at += sprintf(at, listing->end, page);
	return at - answer_text;
}

static size_t
in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void
list(const Listing *listing)
{
	CsFailure failure = {0};
	CsService *service = listing->provider->open(listing->options, &failure);
	CsConversation *c;
	CsResponse response;
	const CsResponse *answer = NULL;
	size_t before = 0;
	int pages = 0;
	bool good = service != NULL;

	if (!good)
	{
		tap_ok(false, "%s: is opened: %s", listing->title, failure.message);
		return;
	}
	c = listing->provider->begin(service, &listing->op);
	while (good && pages < WARM + PAGES)
	{
		CsRequest request;
		CsResult result = {0};
		CsStep step = listing->provider->next(c, answer, &request, &result);

		answer = NULL;
		if (step == CS_STEP_REQUEST)
		{
			memset(&response, 0, sizeof(response));
			response.retry_after_ms = -1;
			response.status = 200;
			response.text = answer_text;
			if (strstr(request.url, listing->asks) != NULL)
				response.text_len = sprintf(answer_text, "%s", listing->first);
			else
				response.text_len = write_page(listing, pages + 1);
			answer = &response;
		}
		else if (step == CS_STEP_PAGE && result.n_entries == ITEMS)
		{
			if (++pages == WARM)
				before = in_use();
		}
		else
			good = tap_ok(false, "%s: page %d of %d entries: %s", listing->title,
						  pages, result.n_entries, result.failure.message);
	}
	if (good)
	{
		long grown = (long) in_use() - (long) before;

		tap_ok(grown < PAGES * 24, "%s: %d pages leave nothing (%ld bytes)",
			   listing->title, PAGES, grown);
	}
}

/*
 * Addresses of downloads are remembered within a limit, which those that gave
 * way to others do not count for.
 */
static void
list_long_addresses(void)
{
	CsOption options[] = {{"drive_id", "b!d"}, {NULL}};
	CsOp list_op = {.kind = CS_OP_LIST, .path = "/", .recursive = false};
	CsOp get_op = {.kind = CS_OP_GET, .path = "/a", .id = "item1"};
	CsFailure failure = {0};
	CsService *service = cs_provider_onedrive.open(options, &failure);
	char *padding = malloc(LONG_ADDRESS + 1);
	CsRequest request = {0};
	CsResult result = {0};

	memset(padding, 'x', LONG_ADDRESS);
	padding[LONG_ADDRESS] = '\0';
	for (int i = 0; i < LONG_ADDRESSES; i++)
	{
		CsConversation *c = cs_provider_onedrive.begin(service, &list_op);
		CsResponse answer = {.retry_after_ms = -1, .status = 200};
		char *text = psprintf("{\"value\":[{\"id\":\"item1\",\"name\":\"a\",\"eTag\":\"e%d\","
							  "\"size\":20,\"file\":{},\"@microsoft.graph.downloadUrl\":"
							  "\"https://contoso.sharepoint.com/%s\"}]}",
							  i, padding);

		answer.text = text;
		answer.text_len = (int64) strlen(text);
		(void) cs_provider_onedrive.next(c, NULL, &request, &result);
		(void) cs_provider_onedrive.next(c, &answer, &request, &result);
		free(text);
	}
	(void) cs_provider_onedrive.next(cs_provider_onedrive.begin(service, &get_op), NULL,
									 &request, &result);
	tap_ok(strncmp(request.url, "https://contoso.sharepoint.com/x", 32) == 0,
		   "after many addresses the last one is remembered");
	free(padding);
}

int
main(void)
{
	for (int i = 0; i < (int) lengthof(listings); i++)
		list(&listings[i]);
	list_long_addresses();
	return tap_done();
}
