/*
 * address.c
 *	  Addresses of the network: read as resolvers read them, compared, and told
 *	  private from public (S5). Allocates nothing.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <arpa/inet.h>
#include <netinet/in.h>

#include "address.h"
#include "cloudsync/hex.h"

typedef struct Range
{
	unsigned char bytes[8];
	int bits;
} Range;

static const Range private_ipv4[] = {
	{{0}, 8},				  /* this network */
	{{10}, 8},				  /* private */
	{{100, 64}, 10},		  /* behind a provider's NAT; Alibaba's metadata */
	{{127}, 8},				  /* loopback */
	{{168, 63, 129, 16}, 32}, /* Azure's platform */
	{{169, 254}, 16},		  /* link-local; most clouds' metadata */
	{{172, 16}, 12},		  /* private */
	{{192, 0, 0}, 24},		  /* protocol assignments; Oracle's metadata */
	{{192, 0, 2}, 24},		  /* documentation */
	{{192, 88, 99}, 24},	  /* relays to IPv6 */
	{{192, 168}, 16},		  /* private */
	{{198, 18}, 15},		  /* benchmarks */
	{{198, 51, 100}, 24},	  /* documentation */
	{{203, 0, 113}, 24},	  /* documentation */
	{{224}, 4},				  /* multicast */
	{{240}, 4},				  /* reserved, broadcast */
};

/* Of IPv6, 2000::/3 is public but for these. */
static const Range private_ipv6[] = {
	{{0x20, 0x01, 0x00}, 23},		/* protocol assignments, Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x3f, 0xff, 0x00}, 20},		/* documentation */
};

/* IPv6 addresses that stand for the IPv4 address in their last four bytes. */
static const unsigned char embedding[][12] = {
	{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff},	   /* mapped */
	{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0},	   /* translated */
	{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0}, /* NAT64 */
};

static bool
same_bits(const unsigned char *a, const unsigned char *b, int bits)
{
	int rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

/* The IPv4 address that an IPv6 address embeds; false if it embeds none. */
static bool
embedded_ipv4(const CsAddress *address, CsAddress *ipv4)
{
	const unsigned char *bytes = NULL;

	if (address->length != 16)
		return false;
	for (int i = 0; i < lengthof(embedding); i++)
	{
		if (memcmp(address->bytes, embedding[i], 12) == 0)
			bytes = address->bytes + 12;
	}
	if (address->bytes[0] == 0x20 && address->bytes[1] == 0x02)
		bytes = address->bytes + 2; /* 6to4 */
	if (bytes == NULL)
		return false;
	ipv4->length = 4;
	ipv4->bits = 32;
	memcpy(ipv4->bytes, bytes, 4);
	return true;
}

static bool
in_ranges(const CsAddress *address, const Range *ranges, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (same_bits(address->bytes, ranges[i].bytes, ranges[i].bits))
			return true;
	}
	return false;
}

bool
cs_address_private(const CsAddress *address)
{
	CsAddress ipv4;

	if (address->length == 4)
		return in_ranges(address, private_ipv4, lengthof(private_ipv4));
	if (embedded_ipv4(address, &ipv4))
		return cs_address_private(&ipv4);
	return (address->bytes[0] & 0xe0) != 0x20 ||
		   in_ranges(address, private_ipv6, lengthof(private_ipv6));
}

/* Does a pattern's address cover this one, or the one that it embeds? */
bool
cs_address_covers(const CsAddress *pattern, const CsAddress *address)
{
	CsAddress ipv4;

	if (pattern->length == address->length)
		return same_bits(pattern->bytes, address->bytes, pattern->bits);
	return pattern->length == 4 && embedded_ipv4(address, &ipv4) &&
		   same_bits(pattern->bytes, ipv4.bytes, pattern->bits);
}

/* One number of an IPv4 address as resolvers take it: 10, 0x0a, 012. */
static bool
parse_number(const char **p, const char *end, uint64 *number)
{
	int base = 10;
	int digits = 0;

	*number = 0;
	if (*p < end && **p == '0')
	{
		base = 8;
		digits = 1;
		(*p)++;
		if (*p < end && (**p == 'x' || **p == 'X'))
		{
			base = 16;
			digits = 0;
			(*p)++;
		}
	}
	for (; *p < end; (*p)++, digits++)
	{
		int digit = cs_hex_digit(**p);

		if (digit < 0 || digit >= base)
			break;
		*number = *number * base + digit;
		if (*number > PG_UINT32_MAX)
			return false;
	}
	/* a lone 0x counts as zero with some resolvers */
	return digits > 0 || base == 16;
}

/*
 * An IPv4 address as resolvers take it: one to four numbers, the last of which
 * fills what is left (127.1, 2130706433).
 */
bool
cs_address_parse_ipv4(const char *p, const char *end, CsAddress *address)
{
	uint64 numbers[4];
	uint64 value = 0;
	int n = 0;

	if (end - p > 1 && end[-1] == '.')
		end--;
	for (;;)
	{
		if (n == 4 || !parse_number(&p, end, &numbers[n]))
			return false;
		n++;
		if (p == end)
			break;
		if (*p++ != '.')
			return false;
	}
	for (int i = 0; i < n - 1; i++)
	{
		if (numbers[i] > 255)
			return false;
		value |= numbers[i] << (24 - 8 * i);
	}
	if (numbers[n - 1] >> (8 * (5 - n)) != 0)
		return false;
	value |= numbers[n - 1];
	address->length = 4;
	address->bits = 32;
	for (int i = 0; i < 4; i++)
		address->bytes[i] = (unsigned char) (value >> (24 - 8 * i));
	return true;
}

/* Without brackets; what follows a '%' is the interface's name. */
bool
cs_address_parse_ipv6(const char *p, const char *end, CsAddress *address)
{
	char text[INET6_ADDRSTRLEN];
	const char *zone = memchr(p, '%', end - p);

	if (zone != NULL)
		end = zone;
	if (end - p >= (int) sizeof(text))
		return false;
	memcpy(text, p, end - p);
	text[end - p] = '\0';
	if (inet_pton(AF_INET6, text, address->bytes) != 1)
		return false;
	address->length = 16;
	address->bits = 128;
	return true;
}

/* A mapped address in a pattern is the IPv4 address. */
void
cs_address_unmap(CsAddress *address)
{
	if (address->length == 16 && address->bits >= 96 &&
		memcmp(address->bytes, embedding[0], 12) == 0)
	{
		memmove(address->bytes, address->bytes + 12, 4);
		address->length = 4;
		address->bits -= 96;
	}
}
