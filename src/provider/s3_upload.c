/*
 * s3_upload.c
 *	  Uploads in parts as such: their sessions, their parts as the service lists
 *	  them, what completes them, and the ETag that comes of it.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include <openssl/evp.h>

#include "cloudsync/hash.h"
#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "lib/stringinfo.h"
#include "s3.h"

/* "<part size> <upload id> <key>" */
char *
cs_s3_session(int64 part_size, const char *upload_id, const char *key)
{
	return psprintf(INT64_FORMAT " %s %s", part_size, upload_id, key);
}

bool
cs_s3_session_parse(const char *session, int64 *part_size, char **upload_id,
					const char **key)
{
	const char *id;
	const char *end;

	*part_size = (int64) strtoll(session, (char **) &id, 10);
	if (*part_size < 1 || *id != ' ')
		return false;
	end = strchr(++id, ' ');
	if (end == NULL || end == id || end - id > S3_MAX_UPLOAD_ID || end[1] == '\0')
		return false;
	*upload_id = pnstrdup(id, end - id);
	*key = end + 1;
	return true;
}

CsStep
cs_s3_ask_abort(CsConversation *c, CsRequest *request, int phase,
				const char *key, const char *upload_id)
{
	char *encoded = cs_url_encode(upload_id);
	char *query = psprintf("uploadId=%s", encoded);

	cs_s3_ask(c, request, phase, "DELETE", key, query);
	pfree(query);
	pfree(encoded);
	return CS_STEP_REQUEST;
}

S3Part *
cs_s3_part(CsConversation *c, int i)
{
	if (i >= c->parts_room)
	{
		int room = Max(16, 2 * c->parts_room);

		if (c->parts == NULL)
			c->parts = palloc(room * sizeof(S3Part));
		else
			c->parts = repalloc(c->parts, room * sizeof(S3Part));
		c->parts_room = room;
	}
	if (i >= c->n_parts)
	{
		memset(&c->parts[i], 0, sizeof(S3Part));
		c->n_parts = i + 1;
	}
	return &c->parts[i];
}

/* A page of ListParts being read: no part is kept but in fixed room. */
typedef struct PartsRead
{
	struct
	{
		int number;
		int64 size;
		char etag[160];
	} rows[1000];
	int n_rows;
	bool in_part;
	bool truncated;
	bool is_list;
	int next;
} PartsRead;

static void
start_element(void *arg, const char *space, const char *name,
			  const char **attributes)
{
	PartsRead *read = arg;

	if (strcmp(name, "ListPartsResult") == 0)
		read->is_list = true;
	if (strcmp(name, "Part") == 0 && read->n_rows < (int) lengthof(read->rows))
	{
		memset(&read->rows[read->n_rows], 0, sizeof(read->rows[0]));
		read->rows[read->n_rows++].size = -1;
		read->in_part = true;
	}
}

static void
end_element(void *arg, const char *space, const char *name, const char *text)
{
	PartsRead *read = arg;

	if (strcmp(name, "Part") == 0)
		read->in_part = false;
	else if (strcmp(name, "IsTruncated") == 0)
		read->truncated = strcmp(text, "true") == 0;
	else if (strcmp(name, "NextPartNumberMarker") == 0)
		read->next = atoi(text);
	else if (!read->in_part)
		return;
	else if (strcmp(name, "PartNumber") == 0)
		read->rows[read->n_rows - 1].number = atoi(text);
	else if (strcmp(name, "Size") == 0)
		read->rows[read->n_rows - 1].size = (int64) strtoll(text, NULL, 10);
	else if (strcmp(name, "ETag") == 0)
		cs_s3_etag(read->rows[read->n_rows - 1].etag,
				   sizeof(read->rows[0].etag), text);
}

/* Parts count as far as they follow each other without a gap. */
bool
cs_s3_read_parts(CsConversation *c, const CsResponse *answer, int *next)
{
	static const CsXmlHandler handler = {start_element, end_element};
	PartsRead *read = palloc0(sizeof(PartsRead));
	CsXml *xml = cs_xml_create(&handler, read, 8192);
	bool good = cs_xml_parse(xml, answer->text, answer->text_len, true) &&
				read->is_list;

	cs_xml_free(xml);
	for (int i = 0; good && i < read->n_rows; i++)
	{
		S3Part *part;

		if (read->rows[i].number != c->n_parts + 1 ||
			read->rows[i].number > S3_MAX_PARTS || read->rows[i].size < 0)
			continue;
		part = cs_s3_part(c, c->n_parts);
		part->size = read->rows[i].size;
		part->etag = pstrdup(read->rows[i].etag);
		part->md5_known = cs_s3_is_md5(part->etag, part->md5);
	}
	*next = 0;
	if (good && read->truncated)
	{
		*next = read->next;
		/* a page that leads nowhere is the last */
		if (read->next != c->n_parts)
			*next = 0;
	}
	pfree(read);
	return good;
}

char *
cs_s3_complete_text(const CsConversation *c)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "<CompleteMultipartUpload xmlns=\"http://"
								  "s3.amazonaws.com/doc/2006-03-01/\">");
	for (int i = 0; i < c->n_parts; i++)
	{
		const S3Part *part = &c->parts[i];

		appendStringInfo(&text,
						 "<Part><PartNumber>%d</PartNumber>"
						 "<ETag>&quot;%s&quot;</ETag>",
						 i + 1, part->etag);
		if (c->part_checksums)
		{
			char *checksum = cs_base64(part->sha256, CS_SHA256_LENGTH);

			appendStringInfo(&text, "<ChecksumSHA256>%s</ChecksumSHA256>",
							 checksum);
			pfree(checksum);
		}
		appendStringInfoString(&text, "</Part>");
	}
	appendStringInfoString(&text, "</CompleteMultipartUpload>");
	return text.data;
}

/* The MD5 of the parts' MD5s, and their number. */
bool
cs_s3_expected_etag(const CsConversation *c, char *etag, size_t room)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8 md5[16];
	char *hex;
	bool good =
		context != NULL && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1;

	for (int i = 0; good && i < c->n_parts; i++)
		good = c->parts[i].md5_known &&
			   EVP_DigestUpdate(context, c->parts[i].md5, 16) == 1;
	good = good && EVP_DigestFinal_ex(context, md5, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!good || c->doubt)
		return false;
	hex = cs_hex(md5, sizeof(md5));
	snprintf(etag, room, "%s-%d", hex, c->n_parts);
	pfree(hex);
	return true;
}
