/* sources: src/base/reach.c src/base/address.c */
/*
 * Where the server may connect to (S5): patterns, hosts, addresses.
 */
#include "postgres_fe.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "cloudsync/reach.h"
#include "tap.h"

static void
refused(const char *patterns, const char *wanted)
{
	const char *why = NULL;

	tap_ok(!cs_reach_valid(patterns, &why), "refused: %s", patterns);
	tap_is(why, wanted, "why");
}

/* Splits scheme://host:port (the host without brackets) and asks. */
static bool
reaches(const char *patterns, const char *purpose, const char *url)
{
	char scheme[16];
	char host[300];
	const char *p = strstr(url, "://");
	const char *colon = strrchr(url, ':');

	snprintf(scheme, sizeof(scheme), "%.*s", (int) (p - url), url);
	snprintf(host, sizeof(host), "%.*s", (int) (colon - p - 3), p + 3);
	return cs_reach_url(patterns, NULL, purpose, scheme, host, atoi(colon + 1));
}

static void
url(bool wanted, const char *patterns, const char *text)
{
	tap_ok(reaches(patterns, "webdav", text) == wanted, "%s %s by %s", text,
		   wanted ? "allowed" : "not allowed", patterns);
}

static bool
opens_own(const char *patterns, const char *own, const char *purpose,
		  const char *address, int port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
	{
		in.sin_port = htons(port);
		return cs_reach_address(patterns, own, purpose,
								(struct sockaddr *) &in);
	}
	if (inet_pton(AF_INET6, address, &in6.sin6_addr) != 1)
		return tap_ok(false, "%s is an address", address);
	in6.sin6_port = htons(port);
	return cs_reach_address(patterns, own, purpose, (struct sockaddr *) &in6);
}

static void
address(bool wanted, const char *patterns, const char *text, int port)
{
	tap_ok(opens_own(patterns, NULL, "webdav", text, port) == wanted,
		   "%s port %d %s by \"%s\"", text, port,
		   wanted ? "opened" : "not opened", patterns);
}

static void
lists(void)
{
	static const char *const good[] = {
		"",
		" , ",
		"cloud.example.com",
		"webdav=https://cloud.example.com:8443, s3=http://[::1]:9000",
		"*",
		"*.example.com:*",
		"10.0.0.0/8:*, [fd00::]/8, [fd00::/8]:443",
		"CONTENT=HTTP://m\xC3\xBCller.example",
		"host_1.example.com."};

	tap_ok(cs_reach_valid(NULL, NULL), "no list at all");
	for (int i = 0; i < lengthof(good); i++)
		tap_ok(cs_reach_valid(good[i], NULL), "taken: %s", good[i]);
	refused("a.example, ftp://b.example",
			"\"ftp://b.example\" has a scheme other than http and https");
	refused("webdaw=a.example",
			"\"webdaw=a.example\" is for an unknown purpose (known are webdav, "
			"s3, dropbox, gdrive, onedrive, sharepoint, oauth, content)");
	refused("a.example/dav",
			"\"a.example/dav\" has more than a scheme, a host and a port");
	refused("a.example:443/", "\"a.example:443/\" has more than a scheme, a "
							  "host and a port");
	refused("a.example:0", "\"a.example:0\" has no valid port");
	refused("a.example:65536", "\"a.example:65536\" has no valid port");
	refused("a.example:", "\"a.example:\" has no valid port");
	refused("https://", "\"https://\" has no host that is a name, an address, "
						"or \"*\"");
	refused("a*.example", "\"a*.example\" has no host that is a name, an "
						  "address, or \"*\"");
	refused("*.", "\"*.\" has no host that is a name, an address, or \"*\"");
	refused("me@a.example", "\"me@a.example\" has no host that is a name, an "
							"address, or \"*\"");
	refused("a..example", "\"a..example\" has no host that is a name, an "
						  "address, or \"*\"");
	refused("300.1.1.1", "\"300.1.1.1\" has no host that is a name, an "
						 "address, or \"*\"");
	refused("127.1",
			"\"127.1\" has an address that is not written as four numbers");
	refused("0x7f000001",
			"\"0x7f000001\" has an address that is not written as four "
			"numbers");
	refused("10.0.0.0/33", "\"10.0.0.0/33\" has no valid number of bits");
	refused("[::1", "\"[::1\" has no address in its brackets");
	refused("[::1%eth0]", "\"[::1%eth0]\" has no address in its brackets");
	refused("[::1]x", "\"[::1]x\" has something between its host and its port");
}

static void
urls(void)
{
	url(false, "", "https://a.example:443");
	url(true, "a.example", "https://a.example:443");
	url(true, "a.example", "https://A.Example.:443");
	url(false, "a.example", "https://b.a.example:443");
	url(false, "a.example", "https://xa.example:443");
	url(false, "a.example", "http://a.example:443");
	url(false, "a.example", "http://a.example:80");
	url(false, "a.example", "https://a.example:8443");
	url(true, "a.example:8443", "https://a.example:8443");
	url(true, "a.example:*", "https://a.example:1");
	url(true, "http://a.example", "http://a.example:80");
	url(false, "http://a.example", "https://a.example:443");
	url(true, "*.a.example", "https://b.a.example:443");
	url(true, "*.a.example", "https://c.b.a.example:443");
	url(false, "*.a.example", "https://a.example:443");
	url(false, "*.a.example", "https://.a.example:443");
	url(false, "*.a.example", "https://xa.example:443");
	url(true, "x.example, *", "https://a.example:443");
	url(false, "*", "http://a.example:80");
	url(false, "*", "file://a.example:443");
	url(false, "*", "https://a.example/x:443");
	url(false, "*", "https://a@b.example:443");
	url(false, "*", "https://:443");
	url(true, "*", "https://8.8.8.8:443");
	url(false, "*", "https://08.8.8.8:443"); /* no octal number */
	url(true, "*", "https://2606:4700::1111:443");

	/* private ones, however they are written */
	url(false, "*", "https://127.0.0.1:443");
	url(false, "*", "https://127.0.0.1.:443");
	url(false, "*", "https://127.1:443");
	url(false, "*", "https://0x7f.1:443");
	url(false, "*", "https://0X7F000001:443");
	url(false, "*", "https://2130706433:443");
	url(false, "*", "https://017700000001:443");
	url(false, "*", "https://0177.0.0.01:443");
	url(false, "*", "https://0:443");
	url(false, "*", "https://0x:443");
	url(false, "*", "https://4294967296:443");
	url(false, "*", "https://1.2.3.400:443");
	url(false, "*", "https://::1:443");
	url(false, "*", "https://fe80::1%eth0:443");
	url(false, "*", "https://::ffff:127.0.0.1:443");
	url(true, "127.0.0.1", "https://127.1:443");
	url(true, "127.0.0.1", "https://2130706433:443");
	url(true, "127.0.0.0/8", "https://127.9.9.9:443");
	url(false, "127.0.0.0/8", "https://128.0.0.1:443");
	url(true, "10.128.0.0/9", "https://10.200.0.1:443");
	url(false, "10.128.0.0/9", "https://10.100.0.1:443");
	url(true, "[::1]:8080", "https://::1:8080");
	url(true, "127.0.0.1", "https://::ffff:127.0.0.1:443");
	url(true, "[::ffff:127.0.0.1]", "https://127.0.0.1:443");
	url(true, "[::ffff:127.0.0.0]/104", "https://127.3.0.1:443");
	url(false, "localhost", "https://127.0.0.1:443");
	url(false, "127.0.0.1", "https://localhost:443");

	/* each for its purpose, and what the provider brings */
	url(true, "WebDAV=a.example", "https://a.example:443");
	url(false, "s3=a.example", "https://a.example:443");
	tap_ok(reaches("s3=a.example", "s3", "https://a.example:443"),
		   "for the purpose named");
	tap_ok(cs_reach_url("", "*.amazonaws.com", "s3", "https",
						"b.s3.eu-west-1.amazonaws.com", 443),
		   "the provider's own hosts");
	tap_ok(!cs_reach_url("", "*.amazonaws.com", "s3", "http",
						 "b.s3.eu-west-1.amazonaws.com", 80),
		   "not in the clear");
	url(true, "ftp://x, a.example", "https://a.example:443");
}

static void
addresses(void)
{
	static const char *const public[] = {
		"8.8.8.8",			"1.1.1.1",		  "100.63.255.255",	 "100.128.0.1",
		"172.15.0.1",		"172.32.0.1",	  "192.169.0.1",	 "198.17.255.1",
		"223.255.255.1",	"11.0.0.1",		  "2606:4700::1111", "2a00::1",
		"64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1"};
	static const char *const private[] = {"0.0.0.0",
										  "0.1.2.3",
										  "10.255.0.1",
										  "100.64.0.1",
										  "100.100.100.200",
										  "127.0.0.1",
										  "127.255.255.254",
										  "168.63.129.16",
										  "169.254.169.254",
										  "172.16.0.1",
										  "172.31.255.255",
										  "192.0.0.192",
										  "192.0.2.1",
										  "192.88.99.1",
										  "192.168.1.1",
										  "198.18.0.1",
										  "198.19.255.255",
										  "198.51.100.1",
										  "203.0.113.9",
										  "224.0.0.1",
										  "239.1.1.1",
										  "240.0.0.1",
										  "255.255.255.255",
										  "::",
										  "::1",
										  "::127.0.0.1",
										  "::ffff:10.0.0.1",
										  "::ffff:0:192.168.0.1",
										  "64:ff9b::169.254.169.254",
										  "64:ff9b:1::8.8.8.8",
										  "100::1",
										  "2001::1",
										  "2001:db8::1",
										  "2002:7f00:1::1",
										  "2002:a9fe:a9fe::",
										  "3fff::1",
										  "fc00::1",
										  "fd00:ec2::254",
										  "fe80::1",
										  "fec0::1",
										  "ff02::1"};
	struct sockaddr local = {.sa_family = AF_UNIX};

	for (int i = 0; i < lengthof(public); i++)
		address(true, "", public[i], 443);
	for (int i = 0; i < lengthof(private); i++)
		address(false, "*:*, http://*:*, localhost:*", private[i], 443);

	address(true, "127.0.0.1", "127.0.0.1", 443);
	address(false, "127.0.0.1", "127.0.0.2", 443);
	address(false, "127.0.0.1", "127.0.0.1", 80);
	address(true, "http://127.0.0.1", "127.0.0.1", 80);
	address(true, "http://127.0.0.1:*", "127.0.0.1", 5432);
	address(true, "https://cloud.intern, 10.0.0.0/8", "10.2.3.4", 443);
	address(true, "webdav=10.0.0.0/8", "10.2.3.4", 443);
	address(false, "s3=10.0.0.0/8", "10.2.3.4", 443);
	address(true, "10.0.0.0/8", "::ffff:10.0.0.1", 443);
	address(true, "[fd00::]/8", "fd12::1", 443);
	address(false, "[fd00::]/8", "fe80::1", 443);
	address(true, "[::]/0", "::1", 443);
	address(false, "[::]/0", "127.0.0.1", 443);
	tap_ok(opens_own("", "127.0.0.1", "s3", "127.0.0.1", 443),
		   "an address that the provider brings");
	tap_ok(!cs_reach_address("[::]/0, 0.0.0.0/0", NULL, "s3", &local),
		   "no other family");
}

int
main(void)
{
	lists();
	urls();
	addresses();
	return tap_done();
}
