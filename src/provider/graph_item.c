/*
 * graph_item.c
 *	  A driveItem of Microsoft Graph as an entry, and whose it is.
 *
 *	  A file's version is its QuickXorHash: an entity tag changes with its name
 *	  and folder, the tag of its content alone is left out of what changed on
 *	  OneDrive for work. What has no hash there has its entity tag. Services
 *	  that write into Office files after they were sent (P17) are known by the
 *	  kinds of files and drives; such a file is ours as long as nobody but its
 *	  maker has changed it.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/free.h"
#include "cloudsync/hash.h"
#include "cloudsync/path.h"
#include "graph.h"

/* --- reading ------------------------------------------------------------------ */

static bool
read_hex(const char *text, uint8 *bytes, int n)
{
	return text != NULL && strlen(text) == (size_t) n * 2 && cs_unhex(text, bytes, n);
}

/* "q:" and QuickXorHash in base64; once it was seen in hexadecimal. NULL: none. */
static char *
read_checksum(const char *text)
{
	uint8 bytes[20];
	char *encoded;
	char *checksum;

	if (text == NULL || strlen(text) == 28)
		return text != NULL ? psprintf("q:%s", text) : NULL;
	if (!read_hex(text, bytes, sizeof(bytes)))
		return NULL;
	encoded = cs_base64(bytes, sizeof(bytes));
	checksum = psprintf("q:%s", encoded);
	pfree(encoded);
	return checksum;
}

/* "program person"; NULL: no program is said, and a person may have used any. */
static const char *
who(const CsJson *json, const char *key)
{
	const CsJson *said = cs_json_member(json, key);
	const char *program = cs_json_text(said, "application/id");
	const char *person = cs_json_text(said, "user/id");

	return program == NULL || program[0] == '\0'
			   ? NULL
			   : psprintf("%s %s", program, person != NULL ? person : "");
}

/* "/drives/{id}/root:/a/b", percent-encoded in some answers: "/a/b". */
static void
read_parent_path(const char *text, GrItem *item)
{
	const char *colon = text != NULL ? strstr(text, "root:") : NULL;

	if (colon == NULL)
		return;
	colon += strlen("root:");
	if (*colon == '/' && strchr(colon, '%') != NULL &&
		strchr(colon, ' ') == NULL)
		item->decoded = cs_url_decode(colon, strlen(colon));
	if (item->decoded != NULL)
		item->parent_path = item->decoded;
	else if (*colon == '/' || *colon == '\0')
		item->parent_path = *colon == '/' ? colon : "/";
}

static void
read_kind(const CsJson *json, GrItem *item)
{
	item->is_root = cs_json_member(json, "root") != NULL;
	item->deleted = cs_json_member(json, "deleted") != NULL;
	if (cs_json_member(json, "remoteItem") != NULL)
	{
		item->kind = CS_ENTRY_OTHER;
		item->refused = "A shortcut to another drive.";
	}
	else if (cs_json_member(json, "package") != NULL)
	{
		item->kind = CS_ENTRY_OTHER;
		item->refused = "A notebook, which the service does not give as a "
						"file.";
	}
	else if (cs_json_member(json, "folder") != NULL || item->is_root)
		item->kind = CS_ENTRY_FOLDER;
	else
	{
		item->kind = CS_ENTRY_FILE;
		if (cs_json_member(json, "malware") != NULL)
			item->refused = "The service has found malware in it.";
	}
}

static void
read_content(const CsJson *json, GrItem *item)
{
	const char *sha256 = cs_json_text(json, "file/hashes/sha256Hash");

	item->version =
		read_checksum(cs_json_text(json, "file/hashes/quickXorHash"));
	item->has_sha256 =
		read_hex(sha256, item->sha256, (int) sizeof(item->sha256));
	if (!cs_json_int64(json, "size", &item->size) || item->size < 0)
		item->size = -1;
	if (item->version != NULL)
		item->checksum = item->version + 2;
	else if (item->size == 0)
		item->version = pstrdup("empty");
	else if (item->etag != NULL)
		item->version = psprintf("e:%s", item->etag);
	else
		item->version = psprintf("s:" INT64_FORMAT " " INT64_FORMAT, item->size,
								 item->modified);
	item->link = cs_json_text(json, "@microsoft.graph.downloadUrl");
	if (item->link == NULL)
		item->link = cs_json_text(json, "@content.downloadUrl");
}

bool
gr_read_item(const CsJson *json, GrItem *item)
{
	const char *created = cs_json_text(json, "createdDateTime");
	const char *modified = cs_json_text(json, "lastModifiedDateTime");

	memset(item, 0, sizeof(*item));
	item->size = -1;
	item->id = cs_json_text(json, "id");
	if (item->id == NULL || item->id[0] == '\0')
		return false;
	item->there = true;
	item->name = cs_json_text(json, "name");
	item->parent_id = cs_json_text(json, "parentReference/id");
	read_parent_path(cs_json_text(json, "parentReference/path"), item);
	item->etag = cs_json_text(json, "eTag");
	item->web_url = cs_json_text(json, "webUrl");
	item->created = created != NULL ? cs_iso_date(created) : 0;
	item->modified = modified != NULL ? cs_iso_date(modified) : 0;
	item->maker = who(json, "createdBy");
	item->editor = who(json, "lastModifiedBy");
	read_kind(json, item);
	if (item->kind == CS_ENTRY_FILE)
		read_content(json, item);
	return true;
}

void
gr_item_free(GrItem *item)
{
	cs_free_text(item->decoded);
	cs_free_text(item->version);
	cs_free_text(item->maker);
	cs_free_text(item->editor);
}

static const char *
copy(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

void
gr_keep_item(CsConversation *c, const GrItem *item)
{
	c->item = *item;
	c->target_known = false;
	c->item.id = copy(item->id);
	c->item.name = copy(item->name);
	c->item.parent_id = copy(item->parent_id);
	c->item.parent_path = copy(item->parent_path);
	c->item.decoded = NULL;
	c->item.etag = copy(item->etag);
	c->item.web_url = copy(item->web_url);
	c->item.link = copy(item->link);
	c->item.maker = copy(item->maker);
	c->item.editor = copy(item->editor);
	/* checksum and version too: of an answer that is freed with the next */
	c->item.checksum = copy(item->checksum);
	c->item.version = copy(item->version);
}

bool
gr_answered_item(CsConversation *c, const CsResponse *answer)
{
	GrItem item;

	if (!gr_good(answer) || !gr_read_item(gr_json(c, answer), &item))
		return false;
	gr_keep_item(c, &item);
	gr_item_free(&item);
	return true;
}

void
gr_entry(const GrItem *item, const char *path, CsEntry *entry)
{
	memset(entry, 0, sizeof(*entry));
	entry->kind = item->kind;
	entry->path = path;
	entry->name = path != NULL ? cs_path_name(path) : item->name;
	entry->id = item->id;
	entry->version = item->version;
	entry->size = item->kind == CS_ENTRY_FILE ? item->size : -1;
	entry->modified = item->modified;
	entry->has_sha256 = item->has_sha256;
	memcpy(entry->sha256, item->sha256, CS_SHA256_LENGTH);
	entry->checksum = item->checksum;
	entry->web_url = item->web_url;
	entry->refused = item->refused;
}

char *
gr_item_path(const GrItem *item)
{
	if (item->is_root)
		return pstrdup("/");
	if (item->parent_path == NULL || item->name == NULL ||
		cs_path_problem(item->parent_path, CS_PATH_CONTROLS) != NULL ||
		cs_path_name_problem(item->name, CS_PATH_CONTROLS) != NULL)
		return NULL;
	return cs_path_join(item->parent_path, item->name);
}

/* --- looking ------------------------------------------------------------------- */

CsStep
gr_look(CsConversation *c, CsRequest *request, int phase, const char *path,
		const char *id)
{
	bool by_id;

	if (id != NULL)
		return gr_ask(c, request, phase, "GET",
					  gr_id_url(c, id, NULL, GR_SELECT));
	return gr_ask(c, request, phase, "GET",
				  gr_url(c, path, NULL, GR_SELECT, &by_id));
}

/* When it was, by both clocks. */
static void
read_clock(CsConversation *c, const CsResponse *answer)
{
	const char *date =
		answer->error == 0 ? cs_http_header(answer, "date") : NULL;
	int64 said = date != NULL ? cs_http_date(date) : 0;

	c->clock_us = answer->clock;
	c->clock = said > 0 ? said : answer->clock;
	c->slack = said > 0 ? GR_COMPARED_US : GR_UNCOMPARED_US;
}

GrLook
gr_looked(CsConversation *c, const CsResponse *answer, const char *path)
{
	GrItem none = {0};

	read_clock(c, answer);
	if (gr_answered_item(c, answer))
	{
		if (!c->item.deleted)
			return GR_THERE;
		c->item = none;
		cs_failure_set(&c->failure, CS_FAIL_GONE, NULL,
					   "\"%s\" was deleted", path);
		return GR_ABSENT;
	}
	c->item = none;
	gr_failure(&c->failure, answer, "look at", path);
	return c->failure.failure_class == CS_FAIL_GONE ? GR_ABSENT : GR_FAILED;
}

/* --- whose it is ---------------------------------------------------------------- */

void
gr_learn_us(CsConversation *c)
{
	GrService *service = c->service;

	if (c->item.editor == NULL ||
		(service->us != NULL && strcmp(service->us, c->item.editor) == 0))
		return;
	if (service->us != NULL)
		pfree(service->us);
	service->us = gr_lasting(service, c->item.editor);
}

/* Our program, whoever used it? */
bool
gr_is_edited_by_us(const CsConversation *c)
{
	const char *program = c->service->head.client_id;
	const char *editor = c->item.editor;

	return editor != NULL && program != NULL &&
		   strcspn(editor, " ") == strlen(program) &&
		   pg_strncasecmp(editor, program, strlen(program)) == 0;
}

bool
gr_is_made_by_us(const CsConversation *c)
{
	const GrItem *item = &c->item;
	int64 apart = c->clock - c->clock_us;

	if (!gr_is_edited_by_us(c) || item->maker == NULL ||
		pg_strcasecmp(item->maker, item->editor) != 0)
		return false;
	if (c->service->us != NULL &&
		pg_strcasecmp(item->maker, c->service->us) != 0)
		return false;
	if (c->op.since <= 0 || c->clock_us <= 0 || item->created <= 0)
		return false;
	return item->created >= c->op.since + apart - c->slack &&
		   item->created <= c->clock + c->slack &&
		   item->modified - item->created <= GR_REWRITING_US;
}

bool
gr_is_rewritten(const GrService *service, const char *path)
{
	static const char *const kinds[] = {
		".docx", ".docm", ".dotx", ".dotm", ".xlsx", ".xlsm", ".xltx",
		".xltm", ".xlsb", ".pptx", ".pptm", ".potx", ".potm", ".ppsx",
		".ppsm", ".vsdx", ".doc",  ".xls",	".ppt",	 ".pdf",  ".htm",
		".html", ".aspx", ".jpg",  ".jpeg", ".msg"};
	size_t len = strlen(path);

	if (service->personal)
		return false;
	for (int i = 0; i < (int) lengthof(kinds); i++)
	{
		size_t n = strlen(kinds[i]);

		if (len > n && pg_strcasecmp(path + len - n, kinds[i]) == 0)
			return true;
	}
	return false;
}

/* Is it what an attempt meant to leave, or what was left before? */
static GrOwner
owner_by_intent(const CsConversation *c)
{
	const GrItem *item = &c->item;
	const CsOp *op = &c->op;

	if (!op->has_intended || item->size != op->intended_size)
		return GR_OTHERS;
	if (item->size == 0)
		return GR_OURS;
	if (item->has_sha256)
		return memcmp(item->sha256, op->intended_sha256, CS_SHA256_LENGTH) == 0
				   ? GR_OURS
				   : GR_OTHERS;
	if (item->checksum != NULL && op->intended_checksum != NULL)
		return strcmp(item->checksum, op->intended_checksum) == 0 ? GR_OURS
																  : GR_OTHERS;
	return GR_ASK_BYTES;
}

GrOwner
gr_owner(const CsConversation *c)
{
	const GrItem *item = &c->item;
	const CsOp *op = &c->op;
	GrOwner owner;

	if (item->kind == CS_ENTRY_FOLDER)
		return op->id != NULL && strcmp(op->id, item->id) == 0 ? GR_OURS
															   : GR_OTHERS;
	if (item->kind != CS_ENTRY_FILE)
		return GR_OTHERS;
	if ((op->known_version != NULL && item->version != NULL &&
		 strcmp(op->known_version, item->version) == 0) ||
		gr_session_saw(op->session, item))
		return GR_OURS;
	owner = owner_by_intent(c);
	if (owner == GR_OURS || !gr_is_rewritten(c->service, op->path))
		return owner;
	/*
	 * The service writes into such a file by itself, later than it says. Of
	 * one that we made, by its id, nobody else has changed it; one that an
	 * attempt was about to make has been made by us since.
	 */
	if (op->id != NULL && strcmp(op->id, item->id) == 0 && gr_is_edited_by_us(c))
		return GR_OURS;
	if (op->id == NULL && op->has_intended && gr_is_made_by_us(c))
		return GR_OURS;
	return owner;
}
