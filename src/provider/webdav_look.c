/*
 * webdav_look.c
 *	  The WebDAV provider's small tools: requests, failures, what headers say, a
 *	  look at one path (PROPFIND of depth 0), and reading a file only to know
 *	  its bytes.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/hash.h"
#include "cloudsync/path.h"
#include "webdav.h"

char *
wd_copy(const char *string)
{
	return string != NULL ? pstrdup(string) : NULL;
}

void
wd_free(void *string)
{
	if (string != NULL)
		pfree(string);
}

char *
wd_url(const WdService *service, const char *path, bool folder)
{
	char *encoded = cs_url_encode_path(strcmp(path, "/") == 0 ? "" : path);
	char *url =
		psprintf("%s%s%s", service->head.url, encoded, folder ? "/" : "");

	pfree(encoded);
	return url;
}

CsStep
wd_ask_url(CsConversation *c, CsRequest *request, int phase, const char *method,
		   char *url)
{
	wd_free(c->url);
	while (c->n_strings > 0)
		pfree(c->strings[--c->n_strings]);
	c->url = url;
	memset(request, 0, sizeof(*request));
	request->kind = CS_REQ_HTTP;
	request->method = method;
	request->url = url;
	request->length = -1;
	c->phase = phase;
	c->redirects = 0;
	return CS_STEP_REQUEST;
}

CsStep
wd_ask(CsConversation *c, CsRequest *request, int phase, const char *method,
	   const char *path, bool folder)
{
	return wd_ask_url(c, request, phase, method,
					  wd_url(c->service, path, folder));
}

void
wd_header(CsRequest *request, const char *name, const char *value)
{
	int i = 0;

	while (request->headers[i].name != NULL)
		i++;
	Assert(i < CS_REQUEST_HEADERS - 1);
	request->headers[i].name = name;
	request->headers[i].value = value;
}

void
wd_header_own(CsConversation *c, CsRequest *request, const char *name,
			  char *value)
{
	Assert(c->n_strings < lengthof(c->strings));
	c->strings[c->n_strings++] = value;
	wd_header(request, name, value);
}

static const char properties[] =
	"<?xml version=\"1.0\" encoding=\"utf-8\"?>"
	"<d:propfind xmlns:d=\"DAV:\" xmlns:oc=\""
	"http://owncloud.org/ns\">"
	"<d:prop><d:resourcetype/><d:getcontentlength/><d:getlastmodified/>"
	"<d:getetag/><oc:fileid/><oc:checksums/></d:prop></d:propfind>";

static const char quota_properties[] =
	"<?xml version=\"1.0\" encoding=\"utf-8\"?>"
	"<d:propfind xmlns:d=\"DAV:\" xmlns:oc=\""
	"http://owncloud.org/ns\">"
	"<d:prop><d:resourcetype/><d:getlastmodified/><d:getetag/><oc:fileid/>"
	"<d:quota-available-bytes/><d:quota-used-bytes/></d:prop></d:propfind>";

CsStep
wd_propfind(CsConversation *c, CsRequest *request, int phase, const char *path,
			bool folder, const char *depth)
{
	wd_ask(c, request, phase, "PROPFIND", path, folder);
	wd_header(request, "Depth", depth);
	wd_header(request, "Content-Type", "application/xml; charset=utf-8");
	request->send = CS_SEND_TEXT;
	request->text = c->op.kind == CS_OP_ABOUT ? quota_properties : properties;
	request->text_len = (int64) strlen(request->text);
	return CS_STEP_REQUEST;
}

/* --- what answers mean ------------------------------------------------------ */

bool
wd_good(const CsResponse *answer)
{
	return answer->error == 0 &&
		   (answer->status == 200 || answer->status == 201 ||
			answer->status == 204);
}

bool
wd_lost(const CsResponse *answer)
{
	if (answer->body_failure != NULL)
		return false;
	if (answer->error != 0 || answer->status == 0)
		return answer->sent &&
			   (answer->failure == NULL ||
				!cs_failure_is_connections(answer->failure->failure_class));
	return answer->status == 500 || answer->status == 502 ||
		   answer->status == 504;
}

/* The server's own words in an error of sabre/dav: <s:message>...; or NULL. */
static char *
message_of(const CsResponse *answer)
{
	static const char open[] = "<s:message>";
	const char *start;
	const char *end;

	if (answer->text == NULL || answer->status < 400)
		return NULL;
	start = strstr(answer->text, open);
	if (start == NULL)
		return NULL;
	start += sizeof(open) - 1;
	end = strstr(start, "</s:message>");
	if (end == NULL)
		return NULL;
	return pnstrdup(start, Min((size_t) (end - start), CS_DETAIL_MAX));
}

/* The host in a Location, for people; palloc'd. */
static char *
host_of(const char *location)
{
	const char *host = strstr(location, "://");
	size_t len;

	if (host == NULL || pg_strncasecmp(location, "http", 4) != 0)
		return pstrdup("another address");
	host += 3;
	len = strcspn(host, "/?#");
	for (size_t i = 0; i < len; i++)
	{
		/* never show what might be a password */
		if (host[i] == '@')
		{
			host += i + 1;
			len -= i + 1;
			i = 0;
		}
	}
	return psprintf("\"%.*s\"", (int) Min(len, 100), host);
}

void
wd_failure(CsConversation *c, CsFailure *failure, const CsResponse *answer,
		   const char *action, const char *path)
{
	char *what = psprintf("%s \"%s\"", action, path);
	const char *location = cs_http_header(answer, "location");
	char *words = message_of(answer);
	const char *type = cs_http_header(answer, "content-type");

	cs_http_failure(failure, answer, what, words);
	if (answer->error == 0 && answer->status >= 300 && answer->status <= 399)
	{
		char *host = host_of(location != NULL ? location : "");

		if (c->redirects >= WD_MAX_REDIRECTS)
			cs_failure_set(failure, CS_FAIL_UNREACHABLE, NULL,
						   "could not %s: the server redirects again and again",
						   what);
		else
			cs_failure_set(failure, CS_FAIL_UNREACHABLE,
						   "If that address is to be trusted, set it as the "
						   "connection's endpoint.",
						   "could not %s: the server redirects to %s", what,
						   host);
		pfree(host);
	}
	else if (answer->error == 0 && answer->status >= 200 &&
			 answer->status <= 299 && type != NULL &&
			 pg_strncasecmp(type, "text/html", 9) == 0)
		cs_failure_set(failure, CS_FAIL_BROKEN,
					   "Is the endpoint the address of a WebDAV folder, and is "
					   "there no page to sign in before it?",
					   "could not %s: the answer is a web page", what);
	/* without the root nothing can be said about any file */
	if (failure->failure_class == CS_FAIL_GONE && strcmp(path, "/") == 0)
		failure->failure_class = CS_FAIL_UNREACHABLE;
	pfree(what);
	wd_free(words);
}

CsStep
wd_failed(CsConversation *c, CsResult *result, const CsResponse *answer,
		  const char *action, const char *path)
{
	wd_failure(c, &result->failure, answer, action, path);
	return CS_STEP_FAILED;
}

bool
wd_is_etag(const char *version)
{
	return version != NULL && version[0] == '"';
}

char *
wd_header_etag(const CsResponse *answer)
{
	const char *etag = cs_http_header(answer, "oc-etag");

	if (etag == NULL)
		etag = cs_http_header(answer, "etag");
	return etag != NULL ? wd_version(etag, -1, 0) : NULL;
}

char *
wd_header_version(const CsResponse *answer, int64 size)
{
	const char *etag = cs_http_header(answer, "etag");
	const char *modified = cs_http_header(answer, "last-modified");

	return wd_version(etag, size,
					  modified != NULL ? cs_http_date(modified) : 0);
}

/*
 * OC-FileId is the number that the property oc:fileid has, with zeros before it
 * and the instance's name ("oc...") after it; other services give the same text
 * in both.
 */
char *
wd_header_id(const CsResponse *answer)
{
	const char *id = cs_http_header(answer, "oc-fileid");
	size_t digits;

	if (id == NULL || id[0] == '\0' || strlen(id) >= 200)
		return NULL;
	digits = strspn(id, "0123456789");
	if (digits >= 8 && strncmp(id + digits, "oc", 2) == 0)
	{
		size_t zeros = Min(strspn(id, "0"), digits - 1);

		return pnstrdup(id + zeros, digits - zeros);
	}
	return pstrdup(id);
}

bool
wd_header_sha256(const CsResponse *answer, uint8 *sha256)
{
	static const char *const digests[] = {"digest", "repr-digest",
										  "content-digest"};
	const char *value = cs_http_header(answer, "x-hash-sha256");
	char *text;
	bool found;

	if (value != NULL)
	{
		text = psprintf("SHA256:%s", value);
		found = wd_sha256_of(text, sha256);
		pfree(text);
		if (found)
			return true;
	}
	if (wd_sha256_of(cs_http_header(answer, "oc-checksum"), sha256))
		return true;
	for (int i = 0; i < (int) lengthof(digests); i++)
	{
		value = cs_http_header(answer, digests[i]);
		for (; value != NULL && *value != '\0';)
		{
			value += strspn(value, ", ");
			if (pg_strncasecmp(value, "sha-256=", 8) == 0)
			{
				value += 8;
				if (*value == ':')
					value++;
				return cs_sha256_from_base64(value, sha256);
			}
			value += strcspn(value, ",");
		}
	}
	return false;
}

/* --- a look ------------------------------------------------------------------ */

void
wd_keep(CsConversation *c, const CsEntry *entry)
{
	CsEntry copy = *entry;

	copy.path = wd_copy(entry->path);
	copy.name = copy.path != NULL ? cs_path_name(copy.path) : NULL;
	copy.id = wd_copy(entry->id);
	copy.version = wd_copy(entry->version);
	copy.web_url = wd_copy(entry->web_url);
	wd_entry_free(&c->entry);
	c->entry = copy;
}

void
wd_web_url(const WdService *service, CsEntry *entry)
{
	if (service->files_page != NULL && entry->id != NULL &&
		strspn(entry->id, "0123456789") == strlen(entry->id))
		entry->web_url = psprintf("%s%s", service->files_page, entry->id);
}

CsStep
wd_look(CsConversation *c, CsRequest *request, int phase, const char *path)
{
	return wd_propfind(c, request, phase, path, strcmp(path, "/") == 0, "0");
}

/* Free space and the like, of the root. */
static void
note_quota(CsConversation *c, const WdResource *resource)
{
	int64 available = wd_number(resource->available);

	c->used_bytes = wd_number(resource->used);
	if (available >= 0 && c->used_bytes >= 0)
		c->quota_bytes = c->used_bytes + available;
}

WdLook
wd_looked(CsConversation *c, const CsResponse *answer, const char *path)
{
	WdParser *parser;
	WdLook look = WD_FAILED;
	bool good;

	if (answer->error == 0 && (answer->status == 404 || answer->status == 410))
	{
		wd_failure(c, &c->failure, answer, "look at", path);
		return WD_ABSENT;
	}
	if (answer->error != 0 || answer->status != 207 || answer->text == NULL)
	{
		wd_failure(c, &c->failure, answer, "look at", path);
		return WD_FAILED;
	}
	parser = wd_parser_create();
	good = wd_parse(parser, answer->text, answer->text_len, true);
	if (good)
		cs_failure_set(&c->failure, CS_FAIL_BROKEN,
					   "The answer is about other addresses: does a proxy "
					   "change them?",
					   "could not look at \"%s\"", path);
	else
		cs_failure_set(&c->failure, CS_FAIL_BROKEN, wd_parser_problem(parser),
					   "could not look at \"%s\": the answer is no WebDAV",
					   path);
	for (WdResource *next, *r = good ? wd_parser_take(parser) : NULL; r != NULL;
		 r = next)
	{
		CsEntry entry;

		next = r->next;
		if (look == WD_FAILED &&
			wd_entry(c->service, path, r, &entry) == WD_SELF)
		{
			wd_keep(c, &entry);
			note_quota(c, r);
			look = r->status == 404 || r->status == 410 ? WD_ABSENT : WD_THERE;
			if (look == WD_THERE && entry.refused != NULL)
			{
				cs_failure_set(&c->failure, CS_FAIL_FORBIDDEN, NULL,
							   "could not look at \"%s\": the server does not "
							   "give access to it",
							   path);
				look = WD_FAILED;
			}
			else if (look == WD_ABSENT)
				cs_failure_set(&c->failure, CS_FAIL_GONE, NULL,
							   "\"%s\" is not there", path);
			wd_entry_free(&entry);
			wd_resource_free(r);
			for (; next != NULL; next = r)
			{
				r = next->next;
				wd_resource_free(next);
			}
			break;
		}
		wd_entry_free(&entry);
		wd_resource_free(r);
	}
	wd_parser_free(parser);
	if (look == WD_THERE)
		memset(&c->failure, 0, sizeof(c->failure));
	return look;
}

/* --- a file's bytes ----------------------------------------------------------- */

CsStep
wd_hash(CsConversation *c, CsRequest *request, int phase, const char *path)
{
	if (c->hash == NULL)
		c->hash = cs_hash_create();
	else
		cs_hash_restart(c->hash);
	c->target_size = 0;
	wd_ask(c, request, phase, "GET", path, false);
	request->into = CS_INTO_TAKE;
	request->body_status = 200;
	return CS_STEP_REQUEST;
}

WdHashed
wd_hashed(CsConversation *c, const CsResponse *answer, const char *path)
{
	char *version;
	bool same;

	if (answer->error == 0 && (answer->status == 404 || answer->status == 410))
		return WD_OTHER_NOW;
	if (answer->error != 0 || answer->status != 200)
	{
		wd_failure(c, &c->failure, answer, "read", path);
		return WD_HASH_FAILED;
	}
	cs_hash_final(c->hash, c->target_sha256);
	version = wd_header_version(answer, c->target_size);
	/* versions of two kinds cannot be compared: then the size must do */
	same = version == NULL || c->entry.version == NULL ||
		   wd_is_etag(version) != wd_is_etag(c->entry.version) ||
		   strcmp(version, c->entry.version) == 0;
	wd_free(version);
	if (c->entry.size >= 0 && c->entry.size != c->target_size)
		same = false;
	return same ? WD_HASHED : WD_OTHER_NOW;
}
