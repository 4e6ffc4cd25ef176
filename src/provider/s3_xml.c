/*
 * s3_xml.c
 *	  A listing's document (ListBucketResult), read piece by piece as it comes.
 *	  Its handlers run inside of the parser and may not raise errors, so they
 *	  allocate without raising any and stop the parser instead.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/http.h"
#include "cloudsync/provider.h"
#include "s3.h"

/* Of a key: more than any may have, so that one too long spoils no listing. */
#define MAX_TEXT (64 * 1024)

static char *
copy_text(S3Listing *list, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = palloc_extended(size, MCXT_ALLOC_NO_OOM);

	if (copy == NULL)
		cs_xml_stop(list->xml, "out of memory");
	else
		memcpy(copy, text, size);
	return copy;
}

static void
free_text(char **text)
{
	if (*text != NULL)
		pfree(*text);
	*text = NULL;
}

static void
free_row(S3Row *row)
{
	free_text(&row->key);
	free_text(&row->etag);
	free_text(&row->modified);
}

static void
add_row(S3Listing *list)
{
	if (list->n_rows == list->room)
	{
		int room = list->room > 0 ? 2 * list->room : 128;
		S3Row *rows = palloc_extended(room * sizeof(S3Row),
									  MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);

		if (rows == NULL)
		{
			cs_xml_stop(list->xml, "out of memory");
			free_row(&list->row);
			return;
		}
		if (list->rows != NULL)
		{
			memcpy(rows, list->rows, list->n_rows * sizeof(S3Row));
			pfree(list->rows);
		}
		list->rows = rows;
		list->room = room;
	}
	list->rows[list->n_rows++] = list->row;
	memset(&list->row, 0, sizeof(list->row));
}

static void
start_element(void *arg, const char *space, const char *name,
			  const char **attributes)
{
	S3Listing *list = arg;

	if (strcmp(name, "ListBucketResult") == 0)
		list->is_list = true;
	if (strcmp(name, "Contents") == 0 || strcmp(name, "CommonPrefixes") == 0)
	{
		free_row(&list->row);
		list->row.size = -1;
		list->row.is_prefix = name[1] == 'o' && name[2] == 'm';
		list->in_row = true;
	}
}

static int64
size_of(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > 18 || strspn(text, "0123456789") != len)
		return -1;
	return (int64) strtoll(text, NULL, 10);
}

static void
end_in_row(S3Listing *list, const char *name, const char *text)
{
	S3Row *row = &list->row;

	if (strcmp(name, row->is_prefix ? "CommonPrefixes" : "Contents") == 0)
	{
		list->in_row = false;
		list->any = true;
		if (row->key != NULL)
			add_row(list);
		else
			free_row(row);
	}
	else if (strcmp(name, row->is_prefix ? "Prefix" : "Key") == 0 &&
			 row->key == NULL)
		row->key = copy_text(list, text);
	else if (strcmp(name, "ETag") == 0 && row->etag == NULL)
		row->etag = copy_text(list, text);
	else if (strcmp(name, "LastModified") == 0 && row->modified == NULL)
		row->modified = copy_text(list, text);
	else if (strcmp(name, "Size") == 0)
		row->size = size_of(text);
}

static void
end_element(void *arg, const char *space, const char *name, const char *text)
{
	S3Listing *list = arg;

	if (list->in_row)
		end_in_row(list, name, text);
	else if (strcmp(name, "IsTruncated") == 0)
		list->truncated = strcmp(text, "true") == 0;
	else if (strcmp(name, "NextContinuationToken") == 0 && list->token == NULL)
		list->token = copy_text(list, text);
	else if (strcmp(name, "EncodingType") == 0)
		list->encoded = strcmp(text, "url") == 0;
}

void
cs_s3_listing_begin(S3Listing *list)
{
	static const CsXmlHandler handler = {start_element, end_element};

	cs_s3_listing_end(list);
	cs_s3_listing_clear(list);
	free_text(&list->token);
	list->truncated = false;
	list->encoded = false;
	list->any = false;
	list->is_list = false;
	list->in_row = false;
	list->xml = cs_xml_create(&handler, list, MAX_TEXT);
}

/* The document came to its end, or will not be read on. */
void
cs_s3_listing_end(S3Listing *list)
{
	if (list->xml != NULL)
		cs_xml_free(list->xml);
	list->xml = NULL;
	free_row(&list->row);
}

void
cs_s3_listing_clear(S3Listing *list)
{
	for (int i = 0; i < list->n_rows; i++)
		free_row(&list->rows[i]);
	list->n_rows = 0;
}

/*
 * A key as it was before it was written down: percent-encoded as forms are, a
 * space as '+', where the document says so. NULL: it makes no sense.
 */
char *
cs_s3_listed_key(const S3Listing *list, const char *written)
{
	char *text = pstrdup(written);
	char *key;

	if (!list->encoded)
		return text;
	for (char *c = text; *c != '\0'; c++)
	{
		if (*c == '+')
			*c = ' ';
	}
	key = cs_url_decode(text, strlen(text));
	pfree(text);
	return key;
}
