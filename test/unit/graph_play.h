/*
 * graph_play.h
 *	  Replays the Microsoft Graph provider's conversations. A script's line is
 *	  what the conversation must say, and what it is answered:
 *
 *	  PUT /items/i1/content?... if "e1" = 200 b:5 x:{"id":"i1"}
 *		  a request: method, address below the drive's (without what it selects;
 *		  "-": without credentials, to another place), conditions, ranges, and
 *		  JSON. The answer: a status, then
 *			  b:5 bytes of the body, h:a its SHA-256 of 32 letters a, q:Q its
 *			  QuickXorHash, w:7 seconds to wait, l:URL Location, g:5/10 a range
 *			  from there, n:5 Content-Length, k:TIME when it ended by our clock and t:10:01:00 by the service's, x:... the rest
 *			  is the answer's text, d:... the rest is bytes for take()
 *		  or lost, refused (never arrived), broke (with b: as far as it came),
 *		  bodyfail
 *	  BODY = b:5 h:a q:Q			the body is read
 *	  PAGE a b/ c! ?id -id			entries: folders with '/', refused with '!',
 *									without a path with '?', gone with '-'
 *	  CHECKPOINT 5 a Q session		DONE adopted verified /path version size
 *	  FAILED class
 */
#ifndef CLOUDSYNC_GRAPH_PLAY_H
#define CLOUDSYNC_GRAPH_PLAY_H

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "tap.h"

static const char *const class_names[] = {
	"none",		   "retry now", "retry later", "needs consent", "gone",
	"conflict",	   "changed",	"quota",	   "forbidden",		"refused",
	"unreachable", "reset",		"locked",	   "broken"};

static const CsProvider *provider = &cs_provider_onedrive;
static CsService *service;
static CsFailure last_failure;

static const char *
header_of(const CsRequest *request, const char *name)
{
	for (int i = 0; request->headers[i].name != NULL; i++)
	{
		if (strcmp(request->headers[i].name, name) == 0)
			return request->headers[i].value;
	}
	return NULL;
}

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
say_request(const CsRequest *request)
{
	static const char *const told[] = {"If-Match", "Range", "Content-Range"};
	static const char *const words[] = {"if ", "", ""};
	char *text;

	if (request->kind == CS_REQ_HASH_BODY)
		return "BODY";
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
say_page(const CsResult *result)
{
	char *text = pstrdup("PAGE");

	for (int i = 0; i < result->n_entries; i++)
	{
		const CsEntry *e = &result->entries[i];

		if (e->gone)
			text = psprintf("%s -%s", text, e->id);
		else
			text = psprintf("%s %s%s%s%s", text, e->path ? "" : "?",
							e->path ? e->path : e->id,
							e->kind == CS_ENTRY_FOLDER ? "/" : "",
							e->refused != NULL ? "!" : "");
	}
	return text;
}

static const char *
say(CsStep step, const CsRequest *request, const CsResult *result)
{
	const CsEntry *entry = &result->entry;

	switch (step)
	{
		case CS_STEP_REQUEST:
			return say_request(request);
		case CS_STEP_CHECKPOINT:
			return psprintf("CHECKPOINT %lld %c %s%s%s",
							(long long) result->size, result->sha256[7],
							result->checksum ? result->checksum : "-",
							result->session != NULL ? " " : "",
							result->session != NULL ? result->session : "");
		case CS_STEP_PAGE:
			return say_page(result);
		case CS_STEP_DONE:
			return psprintf(
				"DONE%s%s%s%s%s", result->adopted ? " adopted" : "",
				result->verified ? " verified" : "",
				result->incomplete ? " incomplete" : "",
				entry->path != NULL
					? psprintf(" %s%s%s%s", entry->path,
							   entry->kind == CS_ENTRY_FOLDER ? "/" : "",
							   entry->version != NULL ? " " : "",
							   entry->version != NULL ? entry->version : "")
					: "",
				result->cursor != NULL ? psprintf(" %s", result->cursor) : "");
		default:
			return psprintf("FAILED %s",
							class_names[result->failure.failure_class]);
	}
}

static CsHeader answer_headers[16];
static CsFailure body_failure = {CS_FAIL_CHANGED, 0, "the value changed", ""};
static CsFailure lost_failure = {CS_FAIL_RETRY_LATER, 0, "no answer came", ""};

static void
add_header(CsResponse *response, const char *name, const char *value)
{
	answer_headers[response->n_headers].name = name;
	answer_headers[response->n_headers++].value = value;
	response->headers = answer_headers;
}

/* One word of an answer. */
static void
fill_word(CsResponse *response, const char *word)
{
	const char *value = word + 2;

	switch (word[0])
	{
		case 'b':
			response->size = atoll(value);
			break;
		case 'h':
			memset(response->sha256, *value, CS_SHA256_LENGTH);
			response->has_sha256 = true;
			break;
		case 'q':
			response->checksum = pstrdup(value);
			break;
		case 'w':
			response->retry_after_ms = atoi(value) * 1000;
			break;
		case 'l':
			add_header(response, "location", pstrdup(value));
			break;
		case 'n':
			add_header(response, "content-length", pstrdup(value));
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
		default: /* x, d */
			response->text = pstrdup(value);
			break;
	}
}

static void
fill_response(CsResponse *response, const char *line)
{
	char *word = pstrdup(line);

	memset(response, 0, sizeof(*response));
	response->retry_after_ms = -1;
	response->sent = true;
	while (word != NULL && *word != '\0')
	{
		char *end = strchr(word, ' ');

		if (word[1] == ':' && (word[0] == 'x' || word[0] == 'd'))
			end = NULL;
		if (end != NULL)
			*end++ = '\0';
		if (word[1] == ':')
			fill_word(response, word);
		else if (strcmp(word, "bodyfail") == 0)
		{
			response->error = ECANCELED;
			response->body_failure = &body_failure;
		}
		else if (strcmp(word, "lost") == 0 || strcmp(word, "broke") == 0 ||
				 strcmp(word, "refused") == 0)
		{
			response->error = EIO;
			response->failure = &lost_failure;
			response->sent = word[0] != 'r';
		}
		else
			response->status = atoi(word);
		word = end;
	}
	if (response->text != NULL)
		response->text_len = strlen(response->text);
}

/* Plays lines (ended by NULL) and checks each thing that is said. */
static void
play(const char *title, const CsOp *op, const char *const *lines)
{
	CsConversation *c = provider->begin(service, op);
	CsResponse response;
	const CsResponse *answer = NULL;
	CsRequest request;
	CsResult result;

	for (; *lines != NULL; lines++)
	{
		const char *equals = strstr(*lines, " = ");
		char *wanted = pstrdup(*lines);
		CsStep step = provider->next(c, answer, &request, &result);

		if (equals != NULL)
			wanted[equals - *lines] = '\0';
		if (!tap_is(say(step, &request, &result), wanted,
					psprintf("%s: %s", title, wanted)))
		{
			if (step == CS_STEP_FAILED)
				printf("#   %s (%s)\n", result.failure.message,
					   result.failure.detail);
			return;
		}
		if (step == CS_STEP_FAILED)
		{
			tap_ok(result.failure.message[0] != '\0' &&
					   strstr(result.failure.message, "SECRET") == NULL &&
					   strstr(result.failure.detail, "SECRET") == NULL,
				   "%s: says why, and no secret", title);
			last_failure = result.failure;
		}
		if (step == CS_STEP_DONE || step == CS_STEP_FAILED)
		{
			tap_ok(lines[1] == NULL, "%s: that is the end", title);
			return;
		}
		answer = NULL;
		if (step == CS_STEP_REQUEST)
		{
			fill_response(&response, equals != NULL ? equals + 3 : "");
			if (request.kind == CS_REQ_HTTP &&
				request.into == CS_INTO_TAKE &&
				response.status == request.body_status)
			{
				(void) provider->take(c, response.text, response.text_len,
									  &result);
				response.text = NULL;
			}
			answer = &response;
		}
	}
	tap_ok(false, "%s: did not end", title);
}

#define PLAY(title, op, ...)                                                   \
	play(title, op, (const char *const[]){__VA_ARGS__, NULL})

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
	service = provider->open(list, &failure);
	return service == NULL ? psprintf("%s: %s",
									  class_names[failure.failure_class],
									  failure.message)
						   : service->account;
}

#define OPEN(...) open_with((const char *const[]){__VA_ARGS__, NULL})

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
#define ERROR(code) "x:{\"error\":{\"code\":\"" code "\",\"message\":\"words\"}}"
#define INNER(code, inner)                                                     \
	"x:{\"error\":{\"code\":\"" code "\",\"message\":\"words\",\"innererror\"" \
	":{\"code\":\"" inner "\"}}}"

#define HA "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define HB "BBBBBBBBBBBBBBBBBBBBBBBBBBA="
#define HC "CCCCCCCCCCCCCCCCCCCCCCCCCCA="

#endif
