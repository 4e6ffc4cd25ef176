/*
 * reach.h
 *	  Where the server may connect to (S5): the patterns of
 *	  cloudsync.allowed_endpoints, and the check of an address as a socket is
 *	  opened. Pure functions of their arguments, usable in plain programs.
 *
 * A pattern is [purpose=][scheme://]host[:port], separated from the next by a
 * comma. The scheme is https unless http is written; host is a name, a name
 * with "*." before it (any name below it), an address ([::1] for IPv6), an
 * address with /bits (10.0.0.0/8, [fd00::]/8), or "*" (any name, and any public
 * address); the port is the scheme's own unless written, "*" for any. A name or
 * "*" never allows an address that is private: such an address must be named
 * itself, for the same purpose and port, as an address or by /bits.
 *
 * Include postgres.h or postgres_fe.h before this header.
 */
#ifndef CLOUDSYNC_REACH_H
#define CLOUDSYNC_REACH_H

#include <sys/socket.h>

/* Is it a list that makes sense? If not, *why says which item is wrong. */
extern bool cs_reach_valid(const char *patterns, const char **why);

/*
 * May requests for a purpose go to this scheme, host (without brackets) and
 * port at all? own: further names that the provider itself brings (patterns of
 * the same form, or NULL).
 */
extern bool cs_reach_url(const char *patterns, const char *own,
						 const char *purpose, const char *scheme,
						 const char *host, int port);

/*
 * May a socket be opened to this address for them? Public addresses always,
 * others if an address pattern of that purpose names them. Addresses that embed
 * an IPv4 address (mapped, NAT64, 6to4) are judged by it. Callable from a
 * callback of libcurl: allocates nothing and cannot fail.
 */
extern bool cs_reach_address(const char *patterns, const char *own,
							 const char *purpose,
							 const struct sockaddr *address);

#endif
