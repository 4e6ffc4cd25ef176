/*
 * input.h
 *	  How fuzz targets read their input: bytes, and texts that are put together
 *	  of a target's words and of bytes as they are.
 */
#ifndef CLOUDSYNC_FUZZ_INPUT_H
#define CLOUDSYNC_FUZZ_INPUT_H

#include "lib/stringinfo.h"

#define MUST(condition)                                                        \
	do                                                                         \
	{                                                                          \
		if (!(condition))                                                      \
		{                                                                      \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                           \
		}                                                                      \
	} while (0)

typedef struct Input
{
	const uint8_t *data;
	size_t size;
	size_t used;
} Input;

/* The next byte; nothing but zeros after the last. */
static inline int
byte(Input *input)
{
	return input->used < input->size ? input->data[input->used++] : 0;
}

static inline bool
exhausted(const Input *input)
{
	return input->used >= input->size;
}

/*
 * A word, by its first byte; or up to a byte from 0xE0 on, or the end: what is
 * below 0x80 stands for itself, the rest for words. Never NULL; palloc'd.
 */
static inline char *
text_of(Input *input, const char *const *words, int n_words, int *len)
{
	StringInfoData buf;
	int first = byte(input);

	initStringInfo(&buf);
	if (first < 0xa0)
		appendStringInfoString(&buf, words[first % n_words]);
	while (first >= 0xa0 && !exhausted(input) && buf.len < 60000)
	{
		int b = byte(input);

		if (b >= 0xe0)
			break;
		if (b < 0x80)
			appendStringInfoChar(&buf, (char) b);
		else
			appendStringInfoString(&buf, words[(b - 0x80) % n_words]);
	}
	*len = buf.len;
	return buf.data;
}

#endif
