/*
 * address.h
 *	  Addresses of the network: read as resolvers read them, compared, and told
 *	  private from public (S5). Shared by base/reach.c and base/address.c.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_ADDRESS_H
#define CLOUDSYNC_ADDRESS_H

/* An address with the number of its leading bits that count; IPv4 has 4 bytes. */
typedef struct CsAddress
{
	int length; /* 4 or 16 */
	int bits;
	unsigned char bytes[16];
} CsAddress;

/* From the text between p and end; IPv6 without brackets. */
extern bool cs_address_parse_ipv4(const char *p, const char *end,
								  CsAddress *address);
extern bool cs_address_parse_ipv6(const char *p, const char *end,
								  CsAddress *address);
/* A mapped address with its bits becomes the IPv4 address that it stands for. */
extern void cs_address_unmap(CsAddress *address);

/* Not of the public network, by itself or by the IPv4 address it embeds? */
extern bool cs_address_private(const CsAddress *address);
/* Does a pattern's address cover this one, or the one that it embeds? */
extern bool cs_address_covers(const CsAddress *pattern,
							  const CsAddress *address);

#endif
