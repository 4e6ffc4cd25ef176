/*
 * replay.h
 *	  A main() that gives a fuzz target the same few thousand inputs each time:
 *	  random bytes, and pieces of a dictionary put together at random. A target
 *	  that finds a fault aborts.
 */
#include "fuzz.h"

#include "../unit/tap.h"

/* words may be NULL: bytes only. */
static int
replay(const char *what, int inputs, const char *const *words, int n_words)
{
	unsigned state = 20261122;
	uint8_t input[512];

	setvbuf(stdout, NULL, _IONBF, 0);
	for (int i = 0; i < inputs; i++)
	{
		size_t wanted = tap_random(&state) % 256;
		size_t size = 0;

		while (size < wanted)
		{
			const char *word =
				n_words > 0 ? words[tap_random(&state) % n_words] : "";
			size_t len = strlen(word);

			if (len == 0 || tap_random(&state) % 4 == 0)
				input[size++] = (uint8_t) tap_random(&state);
			else
			{
				memcpy(input + size, word, len);
				size += len;
			}
		}
		LLVMFuzzerTestOneInput(input, size);
	}
	tap_ok(true, "%s: %d inputs", what, inputs);
	return tap_done();
}
