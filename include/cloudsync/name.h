/*
 * name.h
 *	  Names of remote files and folders made from untrusted text, by the
 *	  provider's rules, and how names compare there (P10).
 *
 * Relies on utf8.h, path.h and palloc: usable in plain programs and in the
 * server. Everything returned is palloc'd.
 */
#ifndef CLOUDSYNC_NAME_H
#define CLOUDSYNC_NAME_H

#include "cloudsync/provider.h"

/* What is made of a name decides what is kept when it must be cut. */
typedef enum CsNameKind
{
	CS_NAME_FOLDER, /* cut at the end */
	CS_NAME_FILE	/* cut before the extension, which is kept */
} CsNameKind;

/*
 * Any bytes as one name: valid UTF-8 in NFC, not empty, not "." or "..", at
 * most rules->max_name_bytes long. '/', '\', control characters, line
 * separators, characters that turn the writing direction, bytes that are not
 * UTF-8 and what the provider forbids become '-', one for one. "", "." and ".."
 * become "_". Names that cloudsync uses itself (".trash", ".cloudsync-...")
 * have their dot replaced. A name that the provider keeps for itself gets a '-'
 * behind its stem ("CON-.txt"); one that begins with a dot, or with or within
 * which something stands that it does not take, has that character replaced
 * ("-lock", "-$a.docx", "a-vti_b"). Making a name of a name changes nothing.
 */
extern char *cs_name_make(const char *text, CsNameKind kind,
						  const CsNameRules *rules);

/*
 * The n-th of one name, within the limit: n = 2 gives "name (2).ext" (of a
 * folder "name (2)"); n < 2 gives the name itself. name is one that
 * cs_name_make gave.
 */
extern char *cs_name_numbered(const char *name, int n, CsNameKind kind,
							  const CsNameRules *rules);
/* The same of a path's last name: another place beside it. palloc'd. */
extern char *cs_path_numbered(const char *path, int n, CsNameKind kind,
							  const CsNameRules *rules);

/*
 * The name of a file put beside somebody else's (P8): "name (MARK).ext", n >= 2
 * "name (MARK) (n).ext". mark is text like "CloudSync 2026-11-22 16h30".
 */
extern char *cs_name_marked(const char *name, const char *mark, int n,
							const CsNameRules *rules);

/*
 * What two names, or paths, have in common exactly if the provider takes them
 * for the same: the text itself where it compares bytes, else folded to one
 * case and normal form as the rules say. Works on paths too ('/' stays).
 */
extern char *cs_name_key(const char *name_or_path, const CsNameRules *rules);

#endif
