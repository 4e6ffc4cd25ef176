/*
 * reach.c
 *	  Fuzz target: patterns of endpoints and hosts (S5). The first byte says
 *	  where the patterns end and the host begins, the second what is asked.
 *	  Whatever they are, a host that is a name or "*" never opens the way to an
 *	  address of this machine.
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "cloudsync/reach.h"
#include "fuzz.h"

/* Does an item name addresses, or this machine's in one of its two forms? */
static bool
names_addresses(const char *patterns)
{
	for (const char *p = strchr(patterns, '/'); p != NULL;
		 p = strchr(p + 1, '/'))
	{
		if (p[1] >= '0' && p[1] <= '9')
			return true;
	}
	return strstr(patterns, "127.0.0.1") != NULL ||
		   strstr(patterns, ":7f00:") != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t end = size > 2 ? Min(data[0], size - 2) : 0;
	char *patterns = pnstrdup(size > 2 ? (const char *) data + 2 : "", end);
	char *host = pnstrdup(size > 2 ? (const char *) data + 2 + end : "",
						  size > 2 ? size - 2 - end : 0);
	const char *why = NULL;
	struct sockaddr_in loopback = {.sin_family = AF_INET};
	bool valid = cs_reach_valid(patterns, &why);

	if (!valid && (why == NULL || why[0] == '\0'))
		abort();
	(void) cs_reach_url(patterns, NULL, "webdav",
						size > 2 && data[1] & 1 ? "http" : "https", host, 443);
	loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	loopback.sin_port = htons(443);
	if (cs_reach_address(patterns, NULL, "webdav",
						 (struct sockaddr *) &loopback) &&
		!names_addresses(patterns))
	{
		fprintf(stderr, "loopback is open: %s\n", patterns);
		abort();
	}
	free(patterns);
	free(host);
	return 0;
}
