/*
 * reach.c
 *	  Where the server may connect to (S5): patterns of endpoints, and which
 *	  addresses are private. See reach.h.
 *
 * Relies on nothing but the C library. What is looked at while a socket is
 * opened allocates nothing: patterns are read anew each time, which costs less
 * than a packet.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <arpa/inet.h>
#include <netinet/in.h>

#include "address.h"
#include "cloudsync/reach.h"

/* What a pattern can be limited to: the providers, and what is no provider. */
static const char *const purposes[] = {"webdav", "s3",		 "dropbox",
									   "gdrive", "onedrive", "sharepoint",
									   "oauth",	 "content",	 NULL};

typedef enum HostKind
{
	HOST_ANY,	/* '*' */
	HOST_NAME,	/* one name */
	HOST_BELOW, /* '*.' and a name: any name below it */
	HOST_ADDRESS
} HostKind;

typedef struct Pattern
{
	const char *purpose; /* NULL: for all */
	int purpose_length;
	bool http;
	HostKind kind;
	const char *name;
	int name_length;
	CsAddress address;
	int port; /* 0: any */
} Pattern;

/* Patterns */

static char why_text[320];

static bool
wrong(const char *item, const char *end, const char *what, const char **why)
{
	if (why != NULL)
	{
		snprintf(why_text, sizeof(why_text), "\"%.*s\" %s",
				 (int) Min(end - item, 120), item, what);
		*why = why_text;
	}
	return false;
}

static bool
is_purpose(const char *word, int length)
{
	for (int i = 0; purposes[i] != NULL; i++)
	{
		if ((int) strlen(purposes[i]) == length &&
			pg_strncasecmp(purposes[i], word, length) == 0)
			return true;
	}
	return false;
}

/* Does it end like an address (1.2.3.400, 0x7g.0x1)? No domain does. */
static bool
ends_in_number(const char *name, int length)
{
	int start;

	if (name[length - 1] == '.')
		length--;
	start = length;
	while (start > 0 && name[start - 1] != '.')
		start--;
	if (length - start >= 2 && name[start] == '0' &&
		(name[start + 1] == 'x' || name[start + 1] == 'X'))
		return true;
	for (int i = start; i < length; i++)
	{
		if (name[i] < '0' || name[i] > '9')
			return false;
	}
	return true;
}

/* Letters, digits, '-', '_' and '.', not at the start or twice; IDNA or not. */
static bool
is_name(const char *name, int length)
{
	if (length == 0 || length > 253 || name[0] == '.' ||
		ends_in_number(name, length))
		return false;
	for (int i = 0; i < length; i++)
	{
		unsigned char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			  (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
			  c >= 0x80))
			return false;
		if (c == '.' && i > 0 && name[i - 1] == '.')
			return false;
	}
	return true;
}

/* The number of bits after a '/', at *p; false if it makes no sense. */
static bool
parse_bits(const char **p, const char *end, CsAddress *address)
{
	int bits = 0;
	int digits = 0;

	if (*p == end || **p != '/')
		return true;
	for ((*p)++; *p < end && **p >= '0' && **p <= '9' && digits < 4;
		 (*p)++, digits++)
		bits = bits * 10 + (**p - '0');
	if (digits == 0 || bits > address->length * 8)
		return false;
	address->bits = bits;
	return true;
}

/* [address], [address]/bits or [address/bits], from *p. */
static bool
parse_bracketed(const char **p, const char *end, CsAddress *address)
{
	const char *close = memchr(*p, ']', end - *p);
	const char *stop;

	if (close == NULL || memchr(*p, '%', close - *p) != NULL)
		return false;
	stop = memchr(*p, '/', close - *p);
	if (stop == NULL)
		stop = close;
	if (!cs_address_parse_ipv6(*p + 1, stop, address) ||
		!parse_bits(&stop, close, address) || stop != close)
		return false;
	*p = close + 1;
	if (!parse_bits(p, end, address))
		return false;
	cs_address_unmap(address);
	return true;
}

/* The host from *p up to the port, into the pattern. NULL, or what is wrong. */
static const char *
parse_host(const char **p, const char *end, Pattern *pattern)
{
	const char *start = *p;
	const char *stop = start;
	char text[INET_ADDRSTRLEN];

	if (*p < end && **p == '[')
	{
		pattern->kind = HOST_ADDRESS;
		return parse_bracketed(p, end, &pattern->address)
				   ? NULL
				   : "has no address in its brackets";
	}
	while (stop < end && *stop != ':' && *stop != '/')
		stop++;
	*p = stop;
	if (stop - start == 1 && *start == '*')
	{
		pattern->kind = HOST_ANY;
		return NULL;
	}
	if (cs_address_parse_ipv4(start, stop, &pattern->address))
	{
		/* in one form only, so that nobody reads another address than we */
		if (stop - start >= (int) sizeof(text))
			return "has an address that is not written as four numbers";
		memcpy(text, start, stop - start);
		text[stop - start] = '\0';
		if (inet_pton(AF_INET, text, pattern->address.bytes) != 1)
			return "has an address that is not written as four numbers";
		pattern->kind = HOST_ADDRESS;
		return parse_bits(p, end, &pattern->address)
				   ? NULL
				   : "has no valid number of bits";
	}
	pattern->kind = HOST_NAME;
	if (stop - start > 2 && start[0] == '*' && start[1] == '.')
	{
		pattern->kind = HOST_BELOW;
		start += 2;
	}
	if (!is_name(start, stop - start))
		return "has no host that is a name, an address, or \"*\"";
	if (stop[-1] == '.')
		stop--;
	pattern->name = start;
	pattern->name_length = stop - start;
	return NULL;
}

/* The port from p to the end of the item. NULL, or what is wrong. */
static const char *
parse_port(const char *p, const char *end, Pattern *pattern)
{
	int port = 0;

	pattern->port = pattern->http ? 80 : 443;
	if (p == end)
		return NULL;
	if (*p == '/')
		return "has more than a scheme, a host and a port";
	if (*p++ != ':')
		return "has something between its host and its port";
	if (end - p == 1 && *p == '*')
	{
		pattern->port = 0;
		return NULL;
	}
	if (p == end || end - p > 5)
		return "has no valid port";
	for (; p < end; p++)
	{
		if (*p < '0' || *p > '9')
			return memchr(p, '/', end - p) != NULL
					   ? "has more than a scheme, a host and a port"
					   : "has no valid port";
		port = port * 10 + (*p - '0');
	}
	if (port < 1 || port > 65535)
		return "has no valid port";
	pattern->port = port;
	return NULL;
}

static bool
has_prefix(const char *p, const char *end, const char *prefix)
{
	int length = strlen(prefix);

	return end - p >= length && pg_strncasecmp(p, prefix, length) == 0;
}

/* One item, without the spaces around it. */
static bool
parse_item(const char *item, const char *end, Pattern *pattern,
		   const char **why)
{
	const char *p = item;
	const char *equals = memchr(item, '=', end - item);
	const char *problem;

	memset(pattern, 0, sizeof(*pattern));
	if (equals != NULL)
	{
		if (!is_purpose(item, equals - item))
			return wrong(item, end,
						 "is for an unknown purpose (known are webdav, s3, "
						 "dropbox, gdrive, onedrive, sharepoint, oauth, "
						 "content)",
						 why);
		pattern->purpose = item;
		pattern->purpose_length = equals - item;
		p = equals + 1;
	}
	if (has_prefix(p, end, "http://"))
	{
		pattern->http = true;
		p += strlen("http://");
	}
	else if (has_prefix(p, end, "https://"))
		p += strlen("https://");
	else if (strstr(p, "://") != NULL && strstr(p, "://") < end)
		return wrong(item, end, "has a scheme other than http and https", why);
	problem = parse_host(&p, end, pattern);
	if (problem == NULL)
		problem = parse_port(p, end, pattern);
	return problem == NULL || wrong(item, end, problem, why);
}

/*
 * The next item's bounds, from *p on. A '[' hides nothing: no address contains
 * a comma. False: there are no more.
 */
static bool
next_item(const char **p, const char **item, const char **end)
{
	while (**p == ',' || **p == ' ' || **p == '\t' || **p == '\n')
		(*p)++;
	if (**p == '\0')
		return false;
	*item = *p;
	*p += strcspn(*p, ",");
	*end = *p;
	while ((*end)[-1] == ' ' || (*end)[-1] == '\t' || (*end)[-1] == '\n')
		(*end)--;
	return true;
}

/* See reach.h. */
bool
cs_reach_valid(const char *patterns, const char **why)
{
	const char *p = patterns != NULL ? patterns : "";
	const char *item;
	const char *end;
	Pattern pattern;

	while (next_item(&p, &item, &end))
	{
		if (!parse_item(item, end, &pattern, why))
			return false;
	}
	return true;
}

/* What is looked for. */
typedef struct Wanted
{
	const char *purpose;
	const char *name; /* NULL where only the address counts */
	int name_length;
	const CsAddress *address; /* NULL: the host is a name */
	bool any_scheme;
	bool http;
	int port;
} Wanted;

static bool
name_matches(const Pattern *pattern, const Wanted *wanted)
{
	int extra = wanted->name_length - pattern->name_length;

	if (pattern->kind == HOST_NAME && extra != 0)
		return false;
	if (pattern->kind == HOST_BELOW &&
		(extra < 2 || wanted->name[extra - 1] != '.'))
		return false;
	return pg_strncasecmp(wanted->name + extra, pattern->name,
						  pattern->name_length) == 0;
}

static bool
host_matches(const Pattern *pattern, const Wanted *wanted)
{
	switch (pattern->kind)
	{
		case HOST_ANY:
			return wanted->name != NULL &&
				   (wanted->address == NULL ||
					!cs_address_private(wanted->address));
		case HOST_ADDRESS:
			return wanted->address != NULL &&
				   cs_address_covers(&pattern->address, wanted->address);
		case HOST_NAME:
		case HOST_BELOW:
			return wanted->name != NULL && wanted->address == NULL &&
				   name_matches(pattern, wanted);
	}
	return false;
}

static bool
any_matches(const char *patterns, const Wanted *wanted)
{
	const char *p = patterns != NULL ? patterns : "";
	const char *item;
	const char *end;
	Pattern pattern;

	while (next_item(&p, &item, &end))
	{
		if (!parse_item(item, end, &pattern, NULL))
			continue;
		if (pattern.purpose != NULL &&
			((int) strlen(wanted->purpose) != pattern.purpose_length ||
			 pg_strncasecmp(pattern.purpose, wanted->purpose,
							pattern.purpose_length) != 0))
			continue;
		if (!wanted->any_scheme && pattern.http != wanted->http)
			continue;
		if (pattern.port != 0 && pattern.port != wanted->port)
			continue;
		if (host_matches(&pattern, wanted))
			return true;
	}
	return false;
}

/* See reach.h. */
bool
cs_reach_url(const char *patterns, const char *own, const char *purpose,
			 const char *scheme, const char *host, int port)
{
	const char *end = host + strlen(host);
	CsAddress address;
	Wanted wanted = {.purpose = purpose,
					 .name = host,
					 .name_length = strlen(host),
					 .port = port};

	if (pg_strcasecmp(scheme, "http") == 0)
		wanted.http = true;
	else if (pg_strcasecmp(scheme, "https") != 0)
		return false;
	if (cs_address_parse_ipv4(host, end, &address) ||
		cs_address_parse_ipv6(host, end, &address))
		wanted.address = &address;
	else if (!is_name(host, wanted.name_length))
		return false;
	else if (end[-1] == '.')
		wanted.name_length--;
	return any_matches(patterns, &wanted) || any_matches(own, &wanted);
}

/* See reach.h. */
bool
cs_reach_address(const char *patterns, const char *own, const char *purpose,
				 const struct sockaddr *address)
{
	CsAddress bytes;
	Wanted wanted = {.purpose = purpose, .address = &bytes, .any_scheme = true};

	if (address->sa_family == AF_INET)
	{
		const struct sockaddr_in *in = (const struct sockaddr_in *) address;

		bytes.length = 4;
		bytes.bits = 32;
		memcpy(bytes.bytes, &in->sin_addr, 4);
		wanted.port = ntohs(in->sin_port);
	}
	else if (address->sa_family == AF_INET6)
	{
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) address;

		bytes.length = 16;
		bytes.bits = 128;
		memcpy(bytes.bytes, &in->sin6_addr, 16);
		wanted.port = ntohs(in->sin6_port);
	}
	else
		return false;
	return !cs_address_private(&bytes) || any_matches(patterns, &wanted) ||
		   any_matches(own, &wanted);
}
