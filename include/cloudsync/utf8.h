/*
 * utf8.h
 *	  UTF-8 one character at a time, strictly: over-long forms, surrogates and
 *	  what lies above U+10FFFF are refused.
 *
 * Relies on nothing but c.h: usable in plain programs and in the server,
 * whatever the server's encoding.
 */
#ifndef CLOUDSYNC_UTF8_H
#define CLOUDSYNC_UTF8_H

/*
 * Reads the character at text (len bytes are there). Returns its length in
 * bytes, or 0 if there is no valid character; *character is set if not.
 */
extern int cs_utf8_decode(const char *text, size_t len, uint32 *character);

/* Writes a character, 1 to 4 bytes, without a final NUL; returns the number. */
extern int cs_utf8_encode(uint32 character, char *buf);

/* Is all of the string valid? */
extern bool cs_utf8_valid(const char *text);

/* How many characters the first `bytes` bytes are (invalid bytes count one). */
extern int cs_utf8_count(const char *text, size_t bytes);

/*
 * Simple case folding, one character to one (Unicode CaseFolding.txt, C and S):
 * the same on every machine and in every locale.
 */
extern uint32 cs_utf8_fold(uint32 character);
/* A character that folds to this one, or the character itself. */
extern uint32 cs_utf8_unfold(uint32 character);

/*
 * The string in NFC, palloc'd; bytes that are not UTF-8 become U+FFFD. Takes
 * quadratic time for a run of combining marks: give it bounded text.
 */
extern char *cs_utf8_nfc(const char *text);

#endif
