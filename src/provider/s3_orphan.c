/*
 * s3_orphan.c
 *	  Uploads in parts whose begin was lost: the service may have begun one and
 *	  its answer not come, or the process ended before the upload was recorded.
 *	  So it is recorded first that one will be begun, and since when by the
 *	  service's clock; the next attempt ends those that were begun under that key
 *	  since.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "s3.h"

#define MAX_TEXT 8192
#define SLACK_US (5 * INT64CONST(1000000)) /* between clocks of a service */

static const char mark[] = "begin ";

/* "begin <microseconds since 1970-01-01 UTC> <key>" */
char *
cs_s3_begin_session(int64 since, const char *key)
{
	return psprintf("%s" INT64_FORMAT " %s", mark, since, key);
}

/* False: it is none. *key: a pointer into session. */
bool
cs_s3_begin_session_parse(const char *session, int64 *since, const char **key)
{
	const char *end;

	if (strncmp(session, mark, sizeof(mark) - 1) != 0)
		return false;
	*since = (int64) strtoll(session + sizeof(mark) - 1, (char **) &end, 10);
	if (*since < 0 || *end != ' ' || end[1] == '\0')
		return false;
	*key = end + 1;
	return true;
}

CsStep
cs_s3_ask_uploads(CsConversation *c, CsRequest *request, int phase,
				  const char *key)
{
	char *encoded = cs_url_encode(key);
	char *query = psprintf("max-uploads=1000&prefix=%s&uploads=", encoded);

	cs_s3_ask(c, request, phase, "GET", NULL, query);
	pfree(query);
	pfree(encoded);
	return CS_STEP_REQUEST;
}

/* A document of uploads under way, as it is read. */
typedef struct UploadsRead
{
	CsConversation *c;
	const char *key;
	int64 since;
	bool in_upload;
	bool is_key; /* of the upload being read */
	char id[S3_MAX_UPLOAD_ID + 1];
	int64 initiated;
} UploadsRead;

static void
start_element(void *arg, const char *space, const char *name,
			  const char **attributes)
{
	UploadsRead *read = arg;

	if (strcmp(name, "Upload") != 0)
		return;
	read->in_upload = true;
	read->is_key = false;
	read->id[0] = '\0';
	read->initiated = 0;
}

/* One that was begun under the key, since then, is ours. */
static void
end_upload(UploadsRead *read)
{
	CsConversation *c = read->c;

	read->in_upload = false;
	if (!read->is_key || read->id[0] == '\0' || strpbrk(read->id, " \t\r\n") != NULL ||
		read->initiated < read->since - SLACK_US ||
		c->n_orphans == (int) lengthof(c->orphans))
		return;
	strlcpy(c->orphans[c->n_orphans++], read->id, sizeof(c->orphans[0]));
}

static void
end_element(void *arg, const char *space, const char *name, const char *text)
{
	UploadsRead *read = arg;

	if (!read->in_upload)
		return;
	if (strcmp(name, "Upload") == 0)
		end_upload(read);
	else if (strcmp(name, "Key") == 0)
		read->is_key = strcmp(text, read->key) == 0;
	else if (strcmp(name, "UploadId") == 0 && strlen(text) < sizeof(read->id))
		strlcpy(read->id, text, sizeof(read->id));
	else if (strcmp(name, "Initiated") == 0)
		read->initiated = cs_iso_date(text);
}

/* Takes note of those to be ended. False: the answer does not say. */
bool
cs_s3_read_uploads(CsConversation *c, const CsResponse *answer, int64 since,
				   const char *key)
{
	static const CsXmlHandler handler = {start_element, end_element};
	UploadsRead read = {.c = c, .key = key, .since = since};
	CsXml *xml;
	bool good;

	c->n_orphans = 0;
	if (answer->error != 0 || answer->status != 200)
		return false;
	xml = cs_xml_create(&handler, &read, MAX_TEXT);
	good = cs_xml_parse(xml, answer->text, answer->text_len, true);
	cs_xml_free(xml);
	return good;
}

/* Ends the next of them; false: there are no more. */
bool
cs_s3_ask_end_orphan(CsConversation *c, CsRequest *request, int phase,
					 const char *key)
{
	if (c->n_orphans == 0)
		return false;
	cs_s3_ask_abort(c, request, phase, key, c->orphans[--c->n_orphans]);
	return true;
}
