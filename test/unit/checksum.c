/* sources: src/base/checksum.c src/base/hash.c */
/*
 * The checksums of services against vectors: Dropbox's content hash,
 * QuickXorHash, MD5; at once, in pieces of many sizes, and asked for midway. And
 * SHA-256 as headers give it, in base64.
 */
#include "postgres_fe.h"

#include "cloudsync/checksum.h"
#include "cloudsync/hash.h"
#include "tap.h"

#define MIB (1024 * 1024)

static char *
filled(size_t len, int byte)
{
	char *bytes = palloc(len + 1);

	memset(bytes, byte, len);
	return bytes;
}

/* In pieces, and asked in between without an effect on what follows. */
static char *
in_pieces(CsChecksumKind kind, const char *bytes, size_t len, size_t piece)
{
	CsChecksum *sum = cs_checksum_create(kind);
	char *text = palloc(CS_CHECKSUM_TEXT);

	cs_checksum_update(sum, "of another body", 15);
	cs_checksum_restart(sum);
	for (size_t at = 0; at < len; at += piece)
	{
		cs_checksum_so_far(sum, text);
		cs_checksum_update(sum, bytes + at, Min(piece, len - at));
	}
	cs_checksum_so_far(sum, text);
	cs_checksum_free(sum);
	return text;
}

static void
check(CsChecksumKind kind, const char *bytes, size_t len, const char *wanted,
	  const char *what)
{
	tap_is(cs_checksum(kind, bytes, len), wanted, what);
	tap_is(in_pieces(kind, bytes, len, Max(len / 7, 1)), wanted,
		   psprintf("%s, in pieces", what));
	tap_is(in_pieces(kind, bytes, len, 65537), wanted,
		   psprintf("%s, in other pieces", what));
}

static void
blocks(void)
{
	static const struct
	{
		size_t len;
		const char *hash;
	} vectors[] = {
		{0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{1, "1cd6ef71e6e0ff46ad2609d403dc3fee244417089aa4461245a4e4fe23a55e42"},
		{4 * MIB,
		 "d4d63bac5b866c71620185392a8a6218ac1092454a2d16f820363b69852befa3"},
		{4 * MIB + 1,
		 "8f553da8d00d0bf509d8470e242888be33019c20c0544811f5b2b89e98360b92"},
		{8 * MIB + 1,
		 "02c8a4aefc2bfc9036f89a7098001865885938ca580e5c9e5db672385edd303c"},
	};

	for (size_t i = 0; i < lengthof(vectors); i++)
		check(CS_CHECKSUM_BLOCKS, filled(vectors[i].len, 'A'), vectors[i].len,
			  vectors[i].hash,
			  psprintf("content hash of %zu bytes", vectors[i].len));
}

static void
quickxor(void)
{
	static const char *texts[][2] = {
		{"", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{"\x4a", "SgAAAAAAAAAAAAAAAQAAAAAAAAA="},
		{"a", "YQAAAAAAAAAAAAAAAQAAAAAAAAA="},
		{"hello world", "aCgDG9jwBhDc4Q1yawMZAAAAAAA="},
		{"The contents of the file goes here.", "ReSWVXEBRVw+tb7EXyMlJRtIB58="},
	};
	char counting[5000];

	for (size_t i = 0; i < lengthof(texts); i++)
		check(CS_CHECKSUM_QUICKXOR, texts[i][0], strlen(texts[i][0]),
			  texts[i][1], psprintf("QuickXorHash of \"%s\"", texts[i][0]));
	check(CS_CHECKSUM_QUICKXOR, filled(1000, 0), 1000,
		  "AAAAAAAAAAAAAAAA6AMAAAAAAAA=", "QuickXorHash of zeros");
	for (size_t i = 0; i < sizeof(counting); i++)
		counting[i] = (char) i;
	check(CS_CHECKSUM_QUICKXOR, counting, sizeof(counting),
		  "bXdNegZS27M5hKQScCW27TQ8mFQ=", "QuickXorHash of 5,000 bytes");
}

/* The vectors of RFC 4648, and SHA-256 of nothing. */
static void
base64(void)
{
	static const char empty[] = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
	uint8 sha256[CS_SHA256_LENGTH];
	uint8 wanted[CS_SHA256_LENGTH];

	tap_is(cs_base64("", 0), "", "nothing in base64");
	tap_is(cs_base64("f", 1), "Zg==", "one byte");
	tap_is(cs_base64("fo", 2), "Zm8=", "two");
	tap_is(cs_base64("foobar", 6), "Zm9vYmFy", "six");
	cs_sha256("", 0, wanted);
	tap_is(cs_base64(wanted, sizeof(wanted)), empty, "a digest");
	tap_ok(cs_sha256_from_base64(empty, sha256) && memcmp(sha256, wanted, sizeof(wanted)) == 0, "and back");
	tap_ok(cs_sha256_from_base64(pnstrdup(empty, 43), sha256), "without its padding");
	tap_ok(cs_sha256_from_base64(psprintf("%s:, md5=", empty), sha256), "with more behind it");
	tap_ok(!cs_sha256_from_base64(NULL, sha256), "none at all");
	tap_ok(!cs_sha256_from_base64(pnstrdup(empty, 42), sha256), "too short a one");
	for (int i = 0; i < 43; i += 6)
	{
		static const char wrong[] = "= \n-_";

		for (int j = 0; wrong[j] != '\0'; j++)
		{
			char *text = pstrdup(empty);

			text[i] = wrong[j];
			if (cs_sha256_from_base64(text, sha256))
				tap_ok(false, psprintf("character %d of it may not be '%c'", i, wrong[j]));
		}
	}
}

int
main(void)
{
	blocks();
	quickxor();
	base64();
	check(CS_CHECKSUM_MD5, "", 0, "d41d8cd98f00b204e9800998ecf8427e",
		  "MD5 of nothing");
	check(CS_CHECKSUM_MD5, "message digest", 14,
		  "f96b697d7cb7938d525a2f31aaf161d0", "MD5 of a text");
	tap_ok(cs_checksum(CS_CHECKSUM_NONE, "", 0) == NULL,
		   "there is none of no kind");
	return tap_done();
}
