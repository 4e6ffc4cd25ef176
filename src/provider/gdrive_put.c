/*
 * gdrive_put.c
 *	  PUT of the Google Drive provider: what stands there, and small files, which
 *	  go in one request with what is said of them (larger ones by
 *	  gdrive_upload.c). A file appears whole or not at all, so there is no
 *	  temporary name.
 *
 * A new file is made under an id that was given beforehand and is written down
 * (CHECKPOINT) before the request, so that however often it is repeated there is
 * one file. What is replaced is replaced by its id, never made anew. The service
 * has no conditional requests: what stands there is looked at just before.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "cloudsync/path.h"
#include "gdrive.h"

#define MAX_TRIES 2 /* of what arrives as something else */

enum
{
	PUT_START,
	PUT_DROPPED,
	PUT_SEEN,
	PUT_WAY,
	PUT_LOOKED,
	PUT_FOUND,
	PUT_COMPARE,
	PUT_HASHED,
	PUT_IDS,
	PUT_CHECKPOINTED,
	PUT_SENT,
	PUT_CHECKED
};

static CsStep find_way(CsConversation *c, CsRequest *request, CsResult *result);
static CsStep go_on(CsConversation *c, CsRequest *request, CsResult *result);

/* --- bytes ------------------------------------------------------------------------------ */

/* See gdrive.h. */
CsStep
gd_hash_body(CsConversation *c, CsRequest *request, int phase, int64 from,
			 int64 length)
{
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HASH_BODY;
	request->from = from;
	request->length = length;
	c->phase = phase;
	return CS_STEP_REQUEST;
}

/* See gdrive.h. Keeps what the carrier knows of the whole body. */
void
gd_take_hash(CsConversation *c, const CsResponse *answer)
{
	if (!answer->has_sha256)
		return;
	memcpy(c->sha256, answer->sha256, CS_SHA256_LENGTH);
	c->body_known = true;
	if (answer->checksum == NULL)
		return;
	if (c->checksum != NULL)
		pfree(c->checksum);
	c->checksum = pstrdup(answer->checksum);
}

/* Can the file be compared with the body as far as that is known? */
static bool
is_comparable(const CsConversation *c, const GdFile *file)
{
	return (c->body_known && file->has_sha256) ||
		   (c->checksum != NULL && file->md5 != NULL) ||
		   (c->body_known && c->checksum != NULL);
}

/* See gdrive.h. */
bool
gd_is_body(const CsConversation *c, const GdFile *file)
{
	if (file->size != c->size || c->size < 0)
		return false;
	if (file->has_sha256 && c->body_known)
		return memcmp(file->sha256, c->sha256, CS_SHA256_LENGTH) == 0;
	return file->md5 != NULL && c->checksum != NULL &&
		   strcmp(file->md5, c->checksum) == 0;
}

/* See gdrive.h. As we left it, or as an attempt was about to leave it. */
bool
gd_is_ours(const CsConversation *c, const GdFile *file)
{
	const CsOp *op = &c->op;
	char *version = gd_version(file, NULL);
	bool known =
		op->known_version != NULL && strcmp(version, op->known_version) == 0;

	pfree(version);
	if (known)
		return true;
	if (!op->has_intended || file->size != op->intended_size)
		return false;
	if (file->has_sha256)
		return memcmp(file->sha256, op->intended_sha256, CS_SHA256_LENGTH) == 0;
	return file->md5 != NULL && op->intended_checksum != NULL &&
		   strcmp(file->md5, op->intended_checksum) == 0;
}

/* --- ends ------------------------------------------------------------------------------- */

/* See gdrive.h. c->file is what is there. */
CsStep
gd_put_done(CsConversation *c, CsResult *result, bool adopted)
{
	gd_entry_at(c->service, &c->file, c->op.path, &c->entry);
	result->entry = c->entry;
	result->adopted = adopted;
	result->verified = c->file.has_sha256 || c->file.md5 != NULL;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->checksum = c->checksum;
	return CS_STEP_DONE;
}

/* See gdrive.h. The folder is not there any more, or is in the trash. */
CsStep
gd_put_parent_gone(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *parent = cs_path_parent(c->op.path);

	gd_forget(c->service, parent);
	pfree(parent);
	c->step = gd_put;
	if (c->restarts++ == 0)
		return find_way(c, request, result);
	return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
				   "could not be written: its folder is not there any more");
}

/* See gdrive.h. */
CsStep
gd_put_check(CsConversation *c, CsRequest *request)
{
	c->step = gd_put;
	return gd_ask_file(c, request, PUT_CHECKED, c->id);
}

/* --- what stands there ------------------------------------------------------------------- */

/*
 * Our bytes, ours, or somebody else's? In c->file. What we sent a moment ago, or
 * made under an id of ours, is ours unless somebody has written to it since.
 */
static CsStep
judge(CsConversation *c, CsRequest *request, CsResult *result)
{
	const GdFile *file = &c->file;
	bool file_of_bytes = !gd_is_folder(file) && !gd_is_native(file) &&
						 strcmp(file->mime, GD_SHORTCUT) != 0;
	bool ours;

	if (!file_of_bytes)
		return gd_fail(result, CS_FAIL_CONFLICT, c->op.path,
					   "is in the way: it is no file that we made");
	if (c->size >= 0 && c->size == file->size && !is_comparable(c, file))
		return gd_hash_body(c, request, PUT_COMPARE, 0, -1);
	if (gd_is_body(c, file))
		return gd_put_done(c, result, !c->sent);
	ours = c->sent || gd_is_ours(c, file) ||
		   (c->from_session && c->is_new && !c->op.has_intended);
	if (!ours && !c->op.overwrite)
		return gd_fail(result, CS_FAIL_CONFLICT, c->op.path,
					   "was made or changed by somebody else");
	if (c->sent && ++c->tries > MAX_TRIES)
		return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "arrived as something else than was sent");
	if (c->is_new)
		c->upload = NULL;
	strlcpy(c->id, file->id, GD_ID);
	c->is_new = false;
	return go_on(c, request, result);
}

/* Nothing is there: it is made. */
static CsStep
make(CsConversation *c, CsRequest *request, CsResult *result)
{
	c->is_new = true;
	if (c->id[0] == '\0' && gd_wants_ids(c->service))
		return gd_ask_ids(c, request, PUT_IDS);
	if (c->id[0] == '\0')
		(void) gd_take_id(c->service, c->id);
	return go_on(c, request, result);
}

/* The id turned out to be of no use: another one. */
static CsStep
make_anew(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (c->restarts++ >= MAX_TRIES)
		return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "could not be made: its ids are in use");
	c->id[0] = '\0';
	c->from_session = false;
	c->upload = NULL;
	c->checkpointed = false;
	/* what has the name by now is not what was sent */
	c->sent = c->lost = false;
	return find_way(c, request, result);
}

static CsStep
take_way(CsConversation *c, CsRequest *request, CsResult *result, GdSub sub)
{
	if (sub == GD_ASK)
		return CS_STEP_REQUEST;
	if (sub == GD_ABSENT)
		return gd_fail(result, CS_FAIL_RETRY_LATER, c->op.path,
					   "could not be written: its folder is not there");
	if (sub != GD_OK)
		return gd_give_failure(c, result);
	/* an attempt before has looked already, or nothing was there just now */
	if (c->id[0] != '\0' || c->op.fresh_folder)
		return make(c, request, result);
	c->phase = PUT_LOOKED;
	return gd_look(c, request, c->way.id, cs_path_name(c->op.path), false);
}

static CsStep
find_way(CsConversation *c, CsRequest *request, CsResult *result)
{
	char *parent = cs_path_parent(c->op.path);
	GdSub sub;

	c->phase = PUT_WAY;
	sub = gd_way_begin(c, request, result, parent, false);
	pfree(parent);
	return take_way(c, request, result, sub);
}

static CsStep
look(CsConversation *c, CsRequest *request, CsResult *result)
{
	if (gd_id_ok(c->op.id))
		return gd_ask_file(c, request, PUT_SEEN, c->op.id);
	return find_way(c, request, result);
}

static CsStep
start(CsConversation *c, CsRequest *request, CsResult *result)
{
	GdSession session;

	c->size = c->op.size;
	if (c->op.has_sha256)
	{
		memcpy(c->sha256, c->op.sha256, CS_SHA256_LENGTH);
		c->body_known = true;
		if (c->op.checksum != NULL)
			c->checksum = pstrdup(c->op.checksum);
	}
	if (gd_session_read(c->op.session, &session) &&
		(session.is_new ||
		 (c->op.id != NULL && strcmp(c->op.id, session.id) == 0)))
	{
		strlcpy(c->id, session.id, GD_ID);
		c->is_new = c->from_session = session.is_new;
		if (session.size == c->size && !c->op.session_is_stale)
			c->upload = session.upload;
		/* of other bytes: nobody goes on with it, whatever it says to that */
		else if (session.upload != NULL &&
				 cs_url_same_origin(session.upload, c->service->head.url))
			return gd_ask(c, request, PUT_DROPPED, "DELETE", session.upload);
	}
	return look(c, request, result);
}

/* What we pushed before was looked at by its id, just before. */
static CsStep
seen(CsConversation *c, const CsResponse *answer, CsRequest *request,
	 CsResult *result)
{
	if (gd_take_file(c, answer, "look at", c->op.path))
	{
		if (!c->file.trashed)
		{
			c->from_session = false;
			return judge(c, request, result);
		}
	}
	else if (!gd_is_gone(answer))
		return gd_give_failure(c, result);
	if (!c->from_session)
	{
		c->id[0] = '\0';
		c->upload = NULL;
	}
	return find_way(c, request, result);
}

/* --- sending ------------------------------------------------------------------------------- */

/* What is known of the type by the name; the service looks at no more. */
static const char *
type_of(const char *path)
{
	static const char *const types[][2] = {
		{"pdf", "application/pdf"},
		{"txt", "text/plain"},
		{"csv", "text/csv"},
		{"htm", "text/html"},
		{"html", "text/html"},
		{"xml", "text/xml"},
		{"json", "application/json"},
		{"eml", "message/rfc822"},
		{"msg", "application/vnd.ms-outlook"},
		{"rtf", "application/rtf"},
		{"doc", "application/msword"},
		{"xls", "application/vnd.ms-excel"},
		{"ppt", "application/vnd.ms-powerpoint"},
		{"jpg", "image/jpeg"},
		{"jpeg", "image/jpeg"},
		{"png", "image/png"},
		{"gif", "image/gif"},
		{"tif", "image/tiff"},
		{"tiff", "image/tiff"},
		{"webp", "image/webp"},
		{"heic", "image/heic"},
		{"mp3", "audio/mpeg"},
		{"mp4", "video/mp4"},
		{"mov", "video/quicktime"},
		{"zip", "application/zip"},
	};
	const char *dot = strrchr(cs_path_name(path), '.');
	const char *office;

	if (dot == NULL)
		return "application/octet-stream";
	for (int i = 0; i < (int) lengthof(types); i++)
	{
		if (pg_strcasecmp(dot + 1, types[i][0]) == 0)
			return types[i][1];
	}
	if (strchr("dxpoDXPO", dot[1]) == NULL || strlen(dot) > 5)
		return "application/octet-stream";
	office = gd_format_mime(dot + 1, strlen(dot + 1));
	return office != NULL ? office : "application/octet-stream";
}

/* See gdrive.h. What is said of the file: all of a new one, nothing of another. */
void
gd_put_metadata(CsConversation *c, StringInfo json)
{
	if (!c->is_new)
	{
		appendStringInfoString(json, "{}");
		return;
	}
	appendStringInfo(json, "{\"id\":\"%s\",\"name\":", c->id);
	cs_json_quote(json, cs_path_name(c->op.path));
	appendStringInfo(json, ",\"mimeType\":\"%s\",\"parents\":[\"%s\"]}",
					 type_of(c->op.path), c->way.id);
}

/* One request: the file's metadata and its bytes, as multipart/related. */
static CsStep
send_small(CsConversation *c, CsRequest *request)
{
	char *hex = cs_hex(c->sha256, 16);
	StringInfoData text;

	/* no body contains what is made of its own hash */
	hex[24] = '\0';
	if (c->is_new)
		gd_ask(c, request, PUT_SENT, "POST",
			   psprintf("/upload/drive/v3/files?uploadType=multipart"
						"&supportsAllDrives=true&ignoreDefaultVisibility=true"
						"&%s",
						gd_fields()));
	else
		gd_ask(c, request, PUT_SENT, "PATCH",
			   psprintf("/upload/drive/v3/files/%s?uploadType=multipart"
						"&supportsAllDrives=true&%s",
						c->id, gd_fields()));
	initStringInfo(&text);
	appendStringInfo(&text,
					 "--cs-%s\r\nContent-Type: application/json; "
					 "charset=UTF-8\r\n\r\n",
					 hex);
	gd_put_metadata(c, &text);
	appendStringInfo(&text, "\r\n--cs-%s\r\nContent-Type: %s\r\n\r\n", hex,
					 type_of(c->op.path));
	request->send = CS_SEND_BODY;
	request->length = c->size;
	request->text = gd_keep(c, text.data);
	request->text_len = text.len;
	request->tail = gd_keep(c, psprintf("\r\n--cs-%s--\r\n", hex));
	request->tail_len = (int64) strlen(request->tail);
	gd_header(c, request, "Content-Type",
			  gd_keep(c, psprintf("multipart/related; boundary=cs-%s", hex)));
	pfree(hex);
	return CS_STEP_REQUEST;
}

/* What is to be done is known: it is written down, and done. */
static CsStep
go_on(CsConversation *c, CsRequest *request, CsResult *result)
{
	GdSession session = {.is_new = c->is_new};
	bool written = c->checkpointed ||
				   (c->op.has_sha256 && (!c->is_new || c->from_session));

	if (c->size < 0 && c->hashed == 0)
		return gd_hash_body(c, request, PUT_HASHED, 0, GD_AHEAD);
	if (c->size < 0 || c->size > GD_SMALL)
	{
		c->phase = 0;
		c->step = gd_upload;
		return gd_upload(c, NULL, request, result);
	}
	if (!c->body_known)
		return gd_hash_body(c, request, PUT_HASHED, 0, -1);
	if (written)
		return send_small(c, request);
	strlcpy(session.id, c->id, GD_ID);
	c->session = gd_session(&session);
	c->checkpointed = true;
	result->size = c->size;
	memcpy(result->sha256, c->sha256, CS_SHA256_LENGTH);
	result->checksum = c->checksum;
	result->session = c->session;
	c->phase = PUT_CHECKPOINTED;
	return CS_STEP_CHECKPOINT;
}

/* See gdrive.h. In use, or one of an attempt before that is not taken any more. */
bool
gd_id_is_useless(const CsConversation *c, const CsResponse *answer)
{
	return answer->error == 0 && c->is_new &&
		   (answer->status == 409 ||
			(answer->status == 400 && c->from_session));
}

/* See gdrive.h. The service says that it has it. */
CsStep
gd_put_arrived(CsConversation *c, const CsResponse *answer, CsRequest *request,
			   CsResult *result)
{
	if (!gd_take_file(c, answer, "write", c->op.path))
	{
		c->lost = true;
		return gd_put_check(c, request);
	}
	if (c->file.trashed)
	{
		c->restarts = Max(c->restarts, 1);
		return gd_put_parent_gone(c, request, result);
	}
	c->step = gd_put;
	return judge(c, request, result);
}

/* What came of the request that sends. */
static CsStep
was_sent(CsConversation *c, const CsResponse *answer, CsRequest *request,
		 CsResult *result)
{
	gd_take_hash(c, answer);
	if (gd_good(answer))
	{
		if (answer->size != c->size)
			return gd_fail(result, CS_FAIL_RETRY_NOW, c->op.path,
						   "was not sent as a whole");
		c->sent = true;
		return gd_put_arrived(c, answer, request, result);
	}
	gd_failure(&c->failure, answer, "write", c->op.path);
	c->lost = gd_lost(answer);
	if (c->lost)
		c->sent = true;
	if (c->lost || gd_id_is_useless(c, answer))
		return gd_put_check(c, request);
	if (gd_is_gone(answer) && c->is_new)
		return gd_put_parent_gone(c, request, result);
	if (gd_is_gone(answer))
		c->failure.failure_class = CS_FAIL_RETRY_LATER;
	return gd_give_failure(c, result);
}

/* It was looked at, since there was no answer or the id was in use. */
static CsStep
checked(CsConversation *c, const CsResponse *answer, CsRequest *request,
		CsResult *result)
{
	CsFailure before = c->failure;
	bool same;

	if (!gd_take_file(c, answer, "look at", c->op.path))
	{
		if (!gd_is_gone(answer))
			return gd_give_failure(c, result);
		if (!c->lost && c->is_new)
			return make_anew(c, request, result);
		result->failure = before;
		return CS_STEP_FAILED;
	}
	if (c->file.trashed && c->is_new)
		return make_anew(c, request, result);
	/* what stood there is what it was before, if the request came to
	 * nothing: that is said, and not tried again here */
	same = c->lost && gd_is_ours(c, &c->file) && !gd_is_body(c, &c->file);
	if (same)
	{
		result->failure = before;
		return CS_STEP_FAILED;
	}
	return judge(c, request, result);
}

/* See gdrive.h. */
CsStep
gd_put(CsConversation *c, const CsResponse *answer, CsRequest *request,
	   CsResult *result)
{
	GdSub sub;

	switch (c->phase)
	{
		case PUT_START:
			return start(c, request, result);
		case PUT_DROPPED:
			return look(c, request, result);
		case PUT_SEEN:
			return seen(c, answer, request, result);
		case PUT_WAY:
			return take_way(c, request, result,
							gd_way(c, answer, request, result));
		case PUT_LOOKED:
			sub = gd_looked(c, answer, request);
			if (sub == GD_ASK)
				return CS_STEP_REQUEST;
			if (sub == GD_ABSENT)
				return make(c, request, result);
			if (sub == GD_OK)
				return gd_ask_file(c, request, PUT_FOUND, c->look.id);
			if (gd_is_gone(answer))
				return gd_put_parent_gone(c, request, result);
			return gd_give_failure(c, result);
		case PUT_FOUND:
			if (gd_take_file(c, answer, "look at", c->op.path))
				return judge(c, request, result);
			if (gd_is_gone(answer))
				return make(c, request, result);
			return gd_give_failure(c, result);
		case PUT_COMPARE:
		case PUT_HASHED:
			if (answer->error != 0)
				return gd_failed(result, answer, "read", c->op.path);
			c->hashed = answer->size;
			if (c->size < 0 && c->hashed < GD_AHEAD)
				c->size = c->hashed;
			if (c->size != c->hashed && c->size >= 0)
				return gd_fail(result, CS_FAIL_CHANGED, c->op.path,
							   "has another length than it had");
			if (c->size >= 0)
				gd_take_hash(c, answer);
			if (c->size >= 0 && c->checksum == NULL)
				c->checksum = pstrdup("");
			return c->phase == PUT_COMPARE ? judge(c, request, result)
										   : go_on(c, request, result);
		case PUT_IDS:
			if (!gd_read_ids(c, answer))
				return gd_give_failure(c, result);
			(void) gd_take_id(c->service, c->id);
			return make(c, request, result);
		case PUT_CHECKPOINTED:
			return send_small(c, request);
		case PUT_SENT:
			return was_sent(c, answer, request, result);
		default: /* PUT_CHECKED */
			return checked(c, answer, request, result);
	}
}
