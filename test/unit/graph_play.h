/*
 * graph_play.h
 *	  The Microsoft Graph provider's scripts (play.h). A request is its method,
 *	  the address below the drive's (without what it selects; "-": without
 *	  credentials, to another place), conditions, ranges, and JSON. Its own words:
 *		  q:Q the body's QuickXorHash, l:URL Location, g:5/10 a range from there,
 *		  k:TIME when it ended by our clock and t:10:01:00 by the service's,
 *		  d:... the rest is bytes for take()
 *	  CHECKPOINT 5 a Q session		DONE ... /path version cursor
 *	  PAGE ... -id					what is gone by its id
 */
#ifndef CLOUDSYNC_GRAPH_PLAY_H
#define CLOUDSYNC_GRAPH_PLAY_H

#include "cloudsync/http.h"
#include "play.h"

static const char *
say_url(const CsRequest *request)
{
	static const char drive[] = "/drives/b%21d";
	char *url = pstrdup(request->url);
	char *select = strstr(url, "?$");
	size_t len = strlen(service->url);

	if (request->anonymous)
		return psprintf("-%s", url);
	if (select != NULL)
		*select = '\0';
	if (strncmp(url, service->url, len) != 0)
		return psprintf("elsewhere: %s", url);
	url += len;
	if (strncmp(url, drive, strlen(drive)) == 0)
		url += strlen(drive);
	return url;
}

static const char *
say_graph_request(const CsRequest *request)
{
	static const char *const told[] = {"If-Match", "Range", "Content-Range"};
	static const char *const words[] = {"if ", "", ""};
	char *text;

	text = psprintf("%s %s", request->method, say_url(request));
	for (int i = 0; i < (int) lengthof(told); i++)
	{
		const char *value = header_of(request, told[i]);

		if (value != NULL)
			text = psprintf("%s %s%s", text, words[i], value);
	}
	if (request->send == CS_SEND_TEXT)
		text = psprintf("%s %s", text, request->text);
	if (header_of(request, "Authorization") != NULL)
		text = psprintf("%s WITH CREDENTIALS", text);
	return text;
}

static const char *
say_graph_checkpoint(const CsResult *result)
{
	return psprintf("CHECKPOINT %lld %c %s%s%s", (long long) result->size,
					result->sha256[7],
					result->checksum ? result->checksum : "-",
					result->session != NULL ? " " : "",
					result->session != NULL ? result->session : "");
}

static const char *
say_graph_done(const CsOp *op, const CsResult *result)
{
	CsResult told = *result;

	told.entry.size = -1;
	return result->cursor != NULL
			   ? psprintf("%s %s", say_done(&told), result->cursor)
			   : say_done(&told);
}

static bool
take_graph_word(CsResponse *response, char *word)
{
	const char *value = word + 2;

	switch (word[0])
	{
		case 'q':
			response->checksum = pstrdup(value);
			break;
		case 'l':
			add_header(response, "location", value);
			break;
		case 'k':
			response->clock = cs_iso_date(value);
			break;
		case 't':
			add_header(response, "date",
					   psprintf("Sun, 22 Nov 2026 %s GMT", value));
			break;
		case 'g':
			add_header(response, "content-range",
					   psprintf("bytes %d-9/%s", atoi(value),
								strchr(value, '/') + 1));
			break;
		case 'd':
			response->text = pstrdup(value);
			break;
		default:
			return false;
	}
	return true;
}

static Script script = {.provider = &cs_provider_onedrive,
						.say_request = say_graph_request,
						.say_checkpoint = say_graph_checkpoint,
						.say_done = say_graph_done,
						.take_word = take_graph_word,
						.to_end = "xd"};

/* Opens with pairs of options. */
static const char *
open_with(const char *const *pairs)
{
	CsOption list[12] = {{NULL}};
	CsFailure failure = {0};
	int n = 0;

	for (; pairs[2 * n] != NULL; n++)
	{
		list[n].key = pairs[2 * n];
		list[n].value = pairs[2 * n + 1];
	}
	service = script.provider->open(list, &failure);
	return service == NULL ? psprintf("%s: %s",
									  class_names[failure.failure_class],
									  failure.message)
						   : service->account;
}

#define OPEN(...) open_with((const char *const[]){__VA_ARGS__, NULL})

static inline CsOp
of(CsOpKind kind, const char *path)
{
	CsOp op = {0};

	op.kind = kind;
	op.path = path;
	op.size = -1;
	return op;
}

/* A drive of work, known by its id. */
#define WORK OPEN("drive_id", "b!d")

#define FILE_OF(id, name, etag, size, hash)                                    \
	"{\"id\":\"" id "\",\"name\":\"" name "\",\"eTag\":\"" etag                \
	"\",\"size\":" size ",\"file\":{\"hashes\":{\"quickXorHash\":\"" hash      \
	"\"}},\"parentReference\":{\"id\":\"p1\",\"path\":\"/drives/b!d/root:/d\"" \
	"}}"
#define FOLDER_OF(id, name)                                                    \
	"{\"id\":\"" id "\",\"name\":\"" name                                      \
	"\",\"folder\":{\"childCount\":1},\"parentReference\":{\"id\":\"root1\"}}"
#define ROOT "{\"id\":\"root1\",\"name\":\"root\",\"root\":{},\"folder\":{}}"
#define ERROR(code) "x:{\"error\":{\"code\":\"" code "\",\"message\":\"words\"}}"
#define INNER(code, inner)                                                     \
	"x:{\"error\":{\"code\":\"" code "\",\"message\":\"words\",\"innererror\"" \
	":{\"code\":\"" inner "\"}}}"

#define HA "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define HB "BBBBBBBBBBBBBBBBBBBBBBBBBBA="
#define HC "CCCCCCCCCCCCCCCCCCCCCCCCCCA="

#endif
