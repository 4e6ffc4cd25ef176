/*
 * hex.h
 *	  Hexadecimal digits as they come from outside.
 */
#ifndef CLOUDSYNC_HEX_H
#define CLOUDSYNC_HEX_H

/* Its value, in either case of letters; -1: it is none. */
static inline int
cs_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif
