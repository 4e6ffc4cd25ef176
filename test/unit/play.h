/*
 * play.h
 *	  Replays providers' conversations. A script's line is what the conversation
 *	  must say next and, after " = ", what it is answered:
 *
 *	  PUT /f new = 200 b:5 h:a		a request in the service's own notation, and
 *									a status with what belongs to it
 *	  ... = lost, broke, refused	no answer: none came, it broke off (what
 *									stands before says how far), or the request
 *									never arrived; locked: for want of the key
 *	  ... = resent 409				of a request that was sent twice
 *	  ... = bodyfail				the body could not be read
 *	  BODY 0+5 = b:5 h:a			the body is read, from 0 on, 5 bytes of it
 *									(BODY 0: to its end)
 *	  CHECKPOINT 5 a session		size ("-1 -": none), SHA-256, session
 *	  PAGE /a /b/ /c! -/d >cursor	entries: folders with '/', refused with '!',
 *									gone with '-', without a path "?id"
 *	  DONE adopted verified /path version size
 *	  FAILED class
 *
 * What any service's answer may have:
 *	  b:5 bytes of the body, h:a its SHA-256 of 32 letters a, p:a the part's,
 *	  n:5 Content-Length, g:5 the range from there, w:7 seconds to wait, x:...
 *	  the rest of the line is its text.
 *
 * A service's own notation and words are its test's: a Script, named `script`.
 * Every conversation must end where its script does, and say why it failed
 * without showing what is "SECRET".
 */
#ifndef CLOUDSYNC_PLAY_H
#define CLOUDSYNC_PLAY_H

#include "cloudsync/hash.h"
#include "cloudsync/provider.h"
#include "tap.h"

typedef struct Script
{
	const CsProvider *provider;
	const char *(*say_request)(const CsRequest *request);

	/* NULL: as above */
	const char *(*say_checkpoint)(const CsResult *result);
	const char *(*say_page)(const CsResult *result);
	const char *(*say_done)(const CsOp *op, const CsResult *result);

	/* Takes a word of the service's own; false: it is none. May be NULL. */
	bool (*take_word)(CsResponse *response, char *word);
	const char *to_end; /* letters of words that go to the end of the line */

	/* In the place of all words. May be NULL. */
	void (*answer)(CsResponse *response, const CsRequest *request,
				   const char *line);
} Script;

static Script script;

static const char *const class_names[] = {
	"none",		   "retry now", "retry later", "needs consent", "gone",
	"conflict",	   "changed",	"quota",	   "forbidden",		"refused",
	"unreachable", "reset",		"locked",	   "broken"};

/* That conversations are had with; and how the last one ended. */
static CsService *service;
static CsFailure last_failure;
static CsResult last_result;

/* --- what conversations say ---------------------------------------------- */

static inline const char *
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
say_step_request(const CsRequest *request)
{
	if (request->kind != CS_REQ_HASH_BODY)
		return script.say_request(request);
	if (request->length < 0)
		return psprintf("BODY %lld", (long long) request->from);
	return psprintf("BODY %lld+%lld", (long long) request->from,
					(long long) request->length);
}

static const char *
say_checkpoint(const CsResult *result)
{
	char *session = result->session != NULL ? pstrdup(result->session) : NULL;

	for (char *at = session; at != NULL && *at != '\0'; at++)
		*at = *at == '\n' ? ';' : *at;
	return psprintf("CHECKPOINT %lld %c%s%s", (long long) result->size,
					result->size >= 0 ? result->sha256[7] : '-',
					session != NULL ? " " : "", session != NULL ? session : "");
}

static const char *
say_page(const CsResult *result)
{
	char *text = pstrdup("PAGE");

	for (int i = 0; i < result->n_entries; i++)
	{
		const CsEntry *e = &result->entries[i];

		text = psprintf("%s %s%s%s%s%s", text, e->gone ? "-" : "",
						e->path == NULL && !e->gone ? "?" : "",
						e->path != NULL ? e->path : e->id,
						e->kind == CS_ENTRY_FOLDER && !e->gone ? "/" : "",
						e->refused != NULL ? "!" : "");
	}
	if (result->cursor != NULL)
		text = psprintf("%s >%s", text, result->cursor);
	return text;
}

static const char *
say_done(const CsResult *result)
{
	const CsEntry *entry = &result->entry;
	char *text = psprintf("DONE%s%s%s", result->adopted ? " adopted" : "",
						  result->verified ? " verified" : "",
						  result->incomplete ? " incomplete" : "");

	if (entry->path == NULL)
		return text;
	text = psprintf("%s %s%s", text, entry->path,
					entry->kind == CS_ENTRY_FOLDER ? "/" : "");
	if (entry->version != NULL)
		text = psprintf("%s %s", text, entry->version);
	if (entry->size >= 0)
		text = psprintf("%s %lld", text, (long long) entry->size);
	return text;
}

static const char *
say(CsStep step, const CsOp *op, const CsRequest *request,
	const CsResult *result)
{
	switch (step)
	{
		case CS_STEP_REQUEST:
			return say_step_request(request);
		case CS_STEP_CHECKPOINT:
			return script.say_checkpoint != NULL ? script.say_checkpoint(result)
												 : say_checkpoint(result);
		case CS_STEP_PAGE:
			return script.say_page != NULL ? script.say_page(result)
										   : say_page(result);
		case CS_STEP_DONE:
			return script.say_done != NULL ? script.say_done(op, result)
										   : say_done(result);
		default:
			return psprintf("FAILED %s",
							class_names[result->failure.failure_class]);
	}
}

/* --- what they are answered ---------------------------------------------- */

static CsHeader answer_headers[20];
static CsFailure body_failure = {CS_FAIL_CHANGED, 0, "the value changed", ""};
static CsFailure lost_failure = {CS_FAIL_RETRY_LATER, 0, "no answer came", ""};
static CsFailure locked_failure = {CS_FAIL_LOCKED, 0, "no key", ""};
static CsFailure long_failure = {CS_FAIL_BROKEN, 0, "it is too long", ""};

static inline void
add_header(CsResponse *response, const char *name, const char *value)
{
	answer_headers[response->n_headers].name = name;
	answer_headers[response->n_headers++].value = pstrdup(value);
	response->headers = answer_headers;
}

static inline char *
repeated(char c, int n)
{
	char *text = palloc0(n + 1);

	memset(text, c, n);
	return text;
}

/* The words of any service. */
static void
take_common_word(CsResponse *response, const char *word)
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
		case 'p':
			memset(response->part_sha256, *value, CS_SHA256_LENGTH);
			break;
		case 'n':
			add_header(response, "content-length", value);
			break;
		case 'g':
			add_header(response, "content-range",
					   psprintf("bytes %s-99/100", value));
			break;
		case 'w':
			response->retry_after_ms = atoi(value) * 1000;
			break;
		case 'x':
			response->text = pstrdup(value);
			break;
		default:
			printf("Bail out! a script says \"%s\", which is no word\n", word);
			exit(1);
	}
}

static void
take_word(CsResponse *response, char *word)
{
	bool named = word[0] == '{' || (word[0] != '\0' && word[1] == ':');

	if (named)
	{
		if (script.take_word == NULL || !script.take_word(response, word))
			take_common_word(response, word);
	}
	else if (strcmp(word, "bodyfail") == 0)
	{
		response->error = ECANCELED;
		response->body_failure = &body_failure;
	}
	else if (strcmp(word, "resent") == 0)
		response->resent = true;
	else if (strcmp(word, "locked") == 0)
	{
		response->error = EIO;
		response->failure = &locked_failure;
	}
	else if (strcmp(word, "lost") == 0 || strcmp(word, "broke") == 0 ||
			 strcmp(word, "refused") == 0 || strcmp(word, "toolong") == 0)
	{
		response->error = EIO;
		response->failure = word[0] == 't' ? &long_failure : &lost_failure;
		response->sent = word[0] != 'r';
	}
	else
		response->status = atoi(word);
}

static bool
goes_to_end(const char *word)
{
	return word[0] == '{' ||
		   (word[0] != '\0' && word[1] == ':' &&
			strchr(script.to_end != NULL ? script.to_end : "x", word[0]));
}

static void
fill_response(CsResponse *response, const CsRequest *request, const char *line)
{
	char *word = pstrdup(line);

	memset(response, 0, sizeof(*response));
	response->retry_after_ms = -1;
	response->sent = true;
	response->text = "";
	if (script.answer != NULL)
	{
		script.answer(response, request, line);
		return;
	}
	while (word != NULL && *word != '\0')
	{
		char *end = goes_to_end(word) ? NULL : strchr(word, ' ');

		if (end != NULL)
			*end++ = '\0';
		take_word(response, word);
		word = end;
	}
	response->text_len = strlen(response->text);
}

/* --- the play ------------------------------------------------------------- */

/*
 * Gives an answer's text to take(), in pieces. Pages are the script's next
 * lines. What comes of it: CS_STEP_REQUEST (the answer goes to next()), or the
 * step that ends the conversation.
 */
static CsStep
give_text(CsConversation *c, CsResponse *response, CsResult *result,
		  const char *title, const char *const **lines)
{
	const char *text = response->text;

	for (int64 at = 0; at < response->text_len; at += 7)
	{
		CsStep step = script.provider->take(
			c, text + at, Min(7, response->text_len - at), result);

		if (step == CS_STEP_PAGE && (*lines)[1] != NULL)
		{
			++*lines;
			tap_is(say(step, NULL, NULL, result), **lines,
				   psprintf("%s: %s", title, **lines));
		}
		else if (step != CS_STEP_REQUEST)
			return step;
	}
	response->text = "";
	response->text_len = 0;
	return CS_STEP_REQUEST;
}

/* How a conversation may end; true: with this step it did. */
static bool
is_end(CsStep step, const CsResult *result, const char *title,
	   const char *next_line)
{
	last_result = *result;
	last_failure = result->failure;
	if (step == CS_STEP_FAILED)
		tap_ok(result->failure.message[0] != '\0' &&
				   strstr(result->failure.message, "SECRET") == NULL &&
				   strstr(result->failure.detail, "SECRET") == NULL,
			   "%s: says why, and no secret", title);
	if (step != CS_STEP_DONE && step != CS_STEP_FAILED)
		return false;
	tap_ok(next_line == NULL, "%s: that is the end", title);
	return true;
}

/* Plays lines (ended by NULL) and checks each thing that is said. */
static void
play(const char *title, const CsOp *op, const char *const *lines)
{
	CsConversation *c = script.provider->begin(service, op);
	CsResponse response;
	const CsResponse *answer = NULL;
	CsRequest request;
	CsResult result = {0};
	CsStep taken = CS_STEP_REQUEST;

	for (; *lines != NULL; lines++)
	{
		const char *equals = strstr(*lines, " = ");
		char *wanted = pstrdup(*lines);
		CsStep step = taken;

		if (taken == CS_STEP_REQUEST)
			step = script.provider->next(c, answer, &request, &result);
		if (equals != NULL)
			wanted[equals - *lines] = '\0';
		if (!tap_is(say(step, op, &request, &result), wanted,
					psprintf("%s: %s", title, wanted)))
		{
			if (step == CS_STEP_FAILED)
				printf("#   %s (%s)\n", result.failure.message,
					   result.failure.detail);
			return;
		}
		if (is_end(step, &result, title, lines[1]))
			return;
		answer = NULL;
		if (step == CS_STEP_REQUEST)
		{
			fill_response(&response, &request,
						  equals != NULL ? equals + 3 : "");
			if (request.kind == CS_REQ_HTTP && request.into == CS_INTO_TAKE &&
				response.status == request.body_status)
				taken = give_text(c, &response, &result, title, &lines);
			answer = &response;
		}
	}
	tap_ok(false, "%s: did not end", title);
}

#define PLAY(title, op, ...)                                                   \
	play(title, op, (const char *const[]){__VA_ARGS__, NULL})

#endif
