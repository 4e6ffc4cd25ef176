/*
 * fuzz.h
 *	  What a fuzz target gives to libFuzzer and to test/fuzz/replay.h.
 */
#ifndef CLOUDSYNC_FUZZ_H
#define CLOUDSYNC_FUZZ_H

#include <stddef.h>
#include <stdint.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
