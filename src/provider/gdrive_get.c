/*
 * gdrive_get.c
 *	  GET of the Google Drive provider: one request where the listing has said
 *	  what the file is, gone on with after a break. The bytes are compared with
 *	  the MD5 that the version names. Google's own formats are exported, which
 *	  can be neither gone on with nor compared; what is too large for an export
 *	  (10 MB) comes by the link that Google names for that format.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "cloudsync/path.h"
#include "gdrive.h"

#define MAX_BREAKS 8 /* with less than that in between */
#define GD_PROGRESS (1024 * 1024)
#define MAX_RESUMES 2000 /* however much comes in between */
#define MAX_HOPS 4 /* of a link */

enum
{
	GET_START,
	GET_WAY,
	GET_LOOKED,
	GET_TOLD,
	GET_READ,
	GET_LINKS,
	GET_CHECKED
};

/* The file, from what was got so far on; or its export. */
static CsStep
read_it(CsConversation *c, CsRequest *request)
{
	if (c->link != NULL)
	{
		gd_ask(c, request, GET_READ, "GET", pstrdup(c->link));
		/* where it leads on to knows no tokens */
		request->anonymous = !cs_url_same_origin(c->link, c->service->docs);
	}
	else if (c->format != NULL)
	{
		char *type =
			cs_url_encode(gd_format_mime(c->format, strlen(c->format)));

		gd_ask(c, request, GET_READ, "GET",
			   psprintf("/drive/v3/files/%s/export?mimeType=%s", c->id, type));
		pfree(type);
	}
	else
		gd_ask(c, request, GET_READ, "GET", gd_file_path(c->id, "alt=media"));
	request->into = CS_INTO_BODY;
	request->body_status = 200;
	if (c->got == 0)
		return CS_STEP_REQUEST;
	gd_header(c, request, "Range",
			  gd_keep(c, psprintf("bytes=%lld-", (long long) c->got)));
	request->body_status = 206;
	request->append = true;
	return CS_STEP_REQUEST;
}

/* By the version: "doc:FORMAT:TIME" is exported. NULL: it is not said. */
static const char *
format_of(const char *version)
{
	const char *mime;
	size_t len;

	if (version == NULL || strncmp(version, "doc:", 4) != 0)
		return NULL;
	len = strcspn(version + 4, ":");
	mime = gd_format_mime(version + 4, len);
	return mime != NULL ? pnstrdup(version + 4, len) : NULL;
}

/* What the file is was asked for. */
static CsStep
told(CsConversation *c, CsRequest *request, CsResult *result)
{
	const GdFile *file = &c->file;
	char *version;
	bool same;

	c->told = true;
	if (file->trashed)
		return gd_fail(result, CS_FAIL_GONE, c->op.path, "is in the trash");
	if (file->target != NULL && !c->again)
	{
		/* a shortcut, once: what it leads to */
		c->again = true;
		return gd_ask_file(c, request, GET_TOLD, file->target);
	}
	if (gd_is_folder(file) || strcmp(file->mime, GD_SHORTCUT) == 0)
		return gd_fail(result, CS_FAIL_REFUSED, c->op.path, "is no file");
	strlcpy(c->id, file->id, GD_ID);
	c->format = NULL;
	if (gd_is_native(file))
	{
		c->format = gd_format(c->service, file->mime);
		if (c->format == NULL)
			return gd_fail(result, CS_FAIL_REFUSED, c->op.path,
						   "has a format of Google's that is not exported");
	}
	version = gd_version(file, c->format);
	same = c->op.expect_version == NULL ||
		   strcmp(version, c->op.expect_version) == 0;
	pfree(version);
	if (!same)
		return gd_fail(result, CS_FAIL_CHANGED, c->op.path,
					   "has changed since it was listed");
	return read_it(c, request);
}

static CsStep
done(CsConversation *c, CsResult *result, const char *version, bool verified)
{
	CsEntry *entry = &c->entry;

	memset(entry, 0, sizeof(*entry));
	entry->kind = CS_ENTRY_FILE;
	entry->path = c->op.path;
	entry->name = cs_path_name(c->op.path);
	entry->id = c->id;
	entry->version = version;
	entry->size = c->got;
	result->entry = *entry;
	result->size = c->got;
	result->verified = verified;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	return CS_STEP_DONE;
}

/* Compares what came with what the version names. */
static CsStep
got_all(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *told_version = c->told ? gd_version(&c->file, c->format) : NULL;
	const char *version =
		told_version != NULL ? told_version : c->op.expect_version;
	int64 size;
	const char *md5 = gd_md5_of_version(version, &size);

	if (md5 == NULL && (size < 0 || c->got == size))
		return done(c, result, version, false);
	if (md5 != NULL && c->got == size && c->checksum != NULL &&
		strncmp(md5, c->checksum, 32) == 0)
		return done(c, result, version, true);
	/* changed since, or damaged on the way? */
	return gd_ask_file(c, request, GET_CHECKED, c->id);
}

/* What came is not what was listed: is it something else by now? */
static CsStep
checked(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	char *version;
	bool same;

	if (!gd_take_file(c, answer, "look at", c->op.path))
		return gd_give_failure(c, result);
	version = gd_version(&c->file, NULL);
	same = c->op.expect_version == NULL ||
		   strcmp(version, c->op.expect_version) == 0;
	if (!same)
		return gd_fail(result, CS_FAIL_CHANGED, c->op.path,
					   "has changed since it was listed");
	if (c->breaks++ > 0)
		return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "arrives with another checksum than Google Drive "
					   "names");
	c->got = 0;
	return read_it(c, request);
}

/* Is it an export that is too large to be one? Of a PDF 500 may say so. */
static bool
is_too_large(const CsConversation *c, const CsResponse *answer)
{
	const char *problem;
	const CsJson *json;
	const CsJson *errors;

	if (c->format == NULL || c->link != NULL || answer->error != 0)
		return false;
	if (answer->status == 500)
		return strcmp(c->format, "pdf") == 0;
	if (answer->status != 403 || answer->text_len <= 0)
		return false;
	json = cs_json_parse(answer->text, answer->text_len, &problem);
	errors = cs_json_find(json, "error/errors");
	for (errors = errors != NULL ? errors->first : NULL; errors != NULL;
		 errors = errors->next)
	{
		const char *reason = cs_json_text(errors, "reason");

		if (reason != NULL && strcmp(reason, "exportSizeLimitExceeded") == 0)
			return true;
	}
	return false;
}

/* An address as it can be asked for. */
static bool
is_address(const char *url)
{
	if (strlen(url) > 4000)
		return false;
	for (; *url != '\0'; url++)
	{
		if (*url <= ' ' || *url >= 0x7f)
			return false;
	}
	return true;
}

/* The links of the document's formats: the one of ours, of the service's own. */
static CsStep
take_link(CsConversation *c, const CsResponse *answer, CsRequest *request,
		  CsResult *result)
{
	CsFailure before = c->failure;
	const CsJson *json = gd_json(c, answer, "look at", c->op.path);
	const CsJson *link;

	if (json == NULL)
		return gd_give_failure(c, result);
	link = cs_json_member(cs_json_member(json, "exportLinks"),
						  gd_format_mime(c->format, strlen(c->format)));
	if (link == NULL || link->kind != CS_JSON_STRING ||
		!is_address(link->text) ||
		!cs_url_same_origin(link->text, c->service->docs))
	{
		result->failure = before;
		return CS_STEP_FAILED;
	}
	c->link = pstrdup(link->text);
	return read_it(c, request);
}

/* It is elsewhere: where that is knows the document by the address alone. */
static CsStep
follow_link(CsConversation *c, const CsResponse *answer, CsRequest *request,
			CsResult *result)
{
	const char *location = cs_http_header(answer, "location");

	if (location == NULL || !is_address(location) || ++c->hops > MAX_HOPS ||
		(strncmp(location, "https://", 8) != 0 &&
		 !cs_url_same_origin(location, c->service->docs)))
		return gd_fail(result, CS_FAIL_BROKEN, c->op.path,
					   "is to be had at no safe address, as Google says");
	c->link = pstrdup(location);
	return read_it(c, request);
}

/* No export is one: somebody's, on the way. */
static bool
is_web_page(const CsResponse *answer)
{
	const char *type = cs_http_header(answer, "content-type");

	return type != NULL && pg_strncasecmp(type, "text/html", 9) == 0;
}

/* Does what came of a range begin where we stopped? */
static bool
goes_on(const CsConversation *c, const CsResponse *answer)
{
	const char *range = cs_http_header(answer, "content-range");
	long long from;

	return range == NULL ||
		   (sscanf(range, "bytes %lld-", &from) == 1 && from == c->got);
}

/* All of it came instead of a range, more than is kept of such an answer. */
static bool
is_too_long(const CsResponse *answer)
{
	return answer->size == 0 && answer->failure != NULL &&
		   answer->failure->failure_class == CS_FAIL_BROKEN;
}

/* A server that has no ranges, or whose bytes have no end, is not read for ever. */
static bool
may_go_on(const CsConversation *c)
{
	return c->breaks < MAX_BREAKS && c->restarts < MAX_BREAKS &&
		   c->resumes < MAX_RESUMES;
}

/* It broke off: from there on; where that is not to be had, from the first. */
static CsStep
go_on_reading(CsConversation *c, CsRequest *request, int64 size, bool from_there)
{
	c->resumes++;
	c->restarts += !from_there;
	c->breaks = size >= GD_PROGRESS ? 1 : c->breaks + 1;
	c->got = from_there ? c->got + size : 0;
	return read_it(c, request);
}

/* The bytes have come, as far as they came. */
static CsStep
was_read(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	bool there = c->got == 0 || goes_on(c, answer);
	bool good = answer->error == 0 && there &&
				answer->status == (c->got > 0 ? 206 : 200);

	if (answer->body_failure != NULL)
		return gd_failed(result, answer, "read", c->op.path);
	/* an export's bytes are compared with nothing */
	if (good && c->format != NULL && is_web_page(answer))
		return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "could not be read: a web page came instead");
	if (good)
	{
		c->got += answer->size;
		if (answer->has_sha256)
			memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
		else if (c->got == 0)
			cs_sha256("", 0, c->sha256);
		c->checksum = answer->checksum != NULL ? pstrdup(answer->checksum)
					  : c->got == 0
						  ? pstrdup("d41d8cd98f00b204e9800998ecf8427e")
						  : NULL;
		return got_all(c, request, result);
	}
	if (answer->error != 0 && answer->sent && c->format == NULL &&
		(answer->size > 0 || c->got > 0) && may_go_on(c))
		return go_on_reading(c, request, answer->size,
							 there && !is_too_long(answer));
	/* a range was asked for, and all comes, or another one */
	if (answer->error == 0 && c->got > 0 && answer->status / 100 == 2 &&
		may_go_on(c))
		return go_on_reading(c, request, 0, false);
	/* all had come before the break */
	if (answer->error == 0 && answer->status == 416 && c->got > 0)
		return got_all(c, request, result);
	if (c->link != NULL && answer->error == 0 && answer->status / 100 == 3)
		return follow_link(c, answer, request, result);
	gd_failure(&c->failure, answer, "read", c->op.path);
	if (is_too_large(c, answer))
		return gd_ask(c, request, GET_LINKS, "GET",
					  gd_file_path(c->id, "fields=exportLinks"));
	/* it may be one of Google's own, or a shortcut */
	if (answer->error == 0 && answer->status == 403 && !c->told &&
		c->failure.failure_class == CS_FAIL_REFUSED && c->format == NULL)
		return gd_ask_file(c, request, GET_TOLD, c->id);
	return gd_give_failure(c, result);
}

static CsStep
found_way(CsConversation *c, CsRequest *request, CsResult *result, GdSub sub)
{
	if (sub == GD_ASK)
		return CS_STEP_REQUEST;
	if (sub == GD_ABSENT)
		return gd_fail(result, CS_FAIL_GONE, c->op.path, "is not there");
	if (sub != GD_OK)
		return gd_give_failure(c, result);
	c->phase = GET_LOOKED;
	return gd_look(c, request, c->way.id, cs_path_name(c->op.path), false);
}

/* See gdrive.h. */
CsStep
gd_get(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	GdSub sub;

	switch (c->phase)
	{
		case GET_START:
			if (c->op.id == NULL)
			{
				c->phase = GET_WAY;
				return found_way(c, request, result,
								 gd_way_begin(c, request, result,
											  cs_path_parent(c->op.path),
											  false));
			}
			if (!gd_id_ok(c->op.id))
				return gd_fail(result, CS_FAIL_GONE, c->op.path,
							   "is not there");
			strlcpy(c->id, c->op.id, GD_ID);
			c->format = format_of(c->op.expect_version);
			if (c->op.expect_version == NULL)
				return gd_ask_file(c, request, GET_TOLD, c->id);
			return read_it(c, request);
		case GET_WAY:
			return found_way(c, request, result,
							 gd_way(c, answer, request, result));
		case GET_LOOKED:
			sub = gd_looked(c, answer, request);
			if (sub == GD_ASK)
				return CS_STEP_REQUEST;
			if (sub == GD_OK)
				return gd_ask_file(c, request, GET_TOLD, c->look.id);
			return found_way(c, request, result,
							 sub == GD_FAIL ? GD_FAIL : GD_ABSENT);
		case GET_TOLD:
			if (!gd_take_file(c, answer, "look at", c->op.path))
				return gd_give_failure(c, result);
			return told(c, request, result);
		case GET_READ:
			return was_read(c, answer, request, result);
		case GET_LINKS:
			return take_link(c, answer, request, result);
		default: /* GET_CHECKED */
			return checked(c, answer, request, result);
	}
}
