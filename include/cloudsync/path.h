/*
 * path.h
 *	  Paths at a provider: UTF-8, absolute from the account's root, '/' between
 *	  names, none at the end; never an empty, "." or ".." component. The root
 *	  itself is "/" (provider.h).
 *
 * Relies on utf8.h and palloc: usable in plain programs and in the server.
 * Everything returned as char * is palloc'd.
 */
#ifndef CLOUDSYNC_PATH_H
#define CLOUDSYNC_PATH_H

#define CS_PATH_MAX 4096 /* bytes */

/* What cs_path_normalize and cs_path_problem let pass. */
#define CS_PATH_CONTROLS 0x01 /* control characters (names found at a remote) */

/*
 * A path that a person typed as it must be: "Scans/", "/Scans" and "//Scans"
 * are all "/Scans"; "" and "/" are the root. NULL if it cannot be one, with
 * *why set to a static reason that completes "path ... " (such as "contains a
 * component \"..\"").
 */
extern char *cs_path_normalize(const char *path, int flags, const char **why);

/* Why a path is not in the form above; NULL: it is. Static text as above. */
extern const char *cs_path_problem(const char *path, int flags);

/*
 * Why a name cannot be one component of a path (empty, ".", "..", a '/', not
 * UTF-8, a control character); NULL: it can.
 */
extern const char *cs_path_name_problem(const char *name, int flags);

/*
 * folder and below, which may itself have several components, with or without
 * a '/' in front; below "" gives the folder.
 */
extern char *cs_path_join(const char *folder, const char *below);

/* The folder that a path is in; the root is in itself. */
extern char *cs_path_parent(const char *path);

/* The last component, a pointer into path; "" for the root. */
extern const char *cs_path_name(const char *path);

/* Is path strictly below folder? Compares bytes: give keys (name.h) of both
 * where the provider compares otherwise. */
extern bool cs_path_is_below(const char *path, const char *folder);

/*
 * What remains of path below folder, without a '/' in front, a pointer into
 * path; "" if they are the same, NULL if it is not below.
 */
extern const char *cs_path_below(const char *path, const char *folder);

#endif
