/*
 * entry.c
 *	  What the file system says of a name, as an entry of provider.h: identity,
 *	  version, and whether it can ever be collected. Usable in the server and in
 *	  plain programs.
 */
#ifndef FRONTEND
#include "postgres.h"
#else
#include "postgres_fe.h"
#endif

#include "cloudsync/utf8.h"
#include "file.h"

/* What timestamptz can hold, in seconds since 1970, with some room. */
#define MIN_SECONDS INT64CONST(-210000000000)
#define MAX_SECONDS INT64CONST(9000000000000)

static bool
same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool
cs_entry_unchanged(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_size == b->stx_size &&
		   a->stx_dev_major == b->stx_dev_major &&
		   a->stx_dev_minor == b->stx_dev_minor &&
		   same_time(&a->stx_mtime, &b->stx_mtime);
}

/*
 * Inode and creation time: the device's number is not the same after every
 * restart, so it counts only where the file system knows no creation time.
 */
static char *
identity(const struct statx *stat)
{
	if (stat->stx_mask & STATX_BTIME)
		return psprintf("%llu:%lld.%09u", (unsigned long long) stat->stx_ino,
						(long long) stat->stx_btime.tv_sec,
						stat->stx_btime.tv_nsec);
	return psprintf("%llu@%u:%u", (unsigned long long) stat->stx_ino,
					stat->stx_dev_major, stat->stx_dev_minor);
}

static const char *
refusal(mode_t mode)
{
	if (S_ISREG(mode) || S_ISDIR(mode))
		return NULL;
	if (S_ISLNK(mode))
		return "A symbolic link is never followed.";
	if (S_ISFIFO(mode))
		return "A FIFO is no document.";
	if (S_ISSOCK(mode))
		return "A socket is no document.";
	return "A device is no document.";
}

static void
fill(CsEntry *entry, const struct statx *stat)
{
	int64 seconds = stat->stx_mtime.tv_sec;

	entry->size = -1;
	entry->id = identity(stat);
	entry->refused = refusal(stat->stx_mode);
	entry->kind = S_ISDIR(stat->stx_mode)	? CS_ENTRY_FOLDER
				  : S_ISREG(stat->stx_mode) ? CS_ENTRY_FILE
											: CS_ENTRY_OTHER;
	seconds = Min(Max(seconds, MIN_SECONDS), MAX_SECONDS);
	entry->modified = seconds * 1000000 + stat->stx_mtime.tv_nsec / 1000;
	if (entry->kind == CS_ENTRY_FILE)
	{
		entry->size = (int64) stat->stx_size;
		entry->version = psprintf("%lld:%lld.%09u:%s", (long long) entry->size,
								  (long long) stat->stx_mtime.tv_sec,
								  stat->stx_mtime.tv_nsec, entry->id);
	}
}

void
cs_entry_fill(CsEntry *entry, const char *path, const struct statx *stat)
{
	memset(entry, 0, sizeof(*entry));
	entry->path = pstrdup(path);
	entry->name = strrchr(entry->path, '/') + 1;
	fill(entry, stat);
}

/* Bytes that are not UTF-8, and the backslash, as \xHH. */
static char *
escaped(const char *name)
{
	size_t left = strlen(name);
	char *text = palloc(4 * left + 1);
	char *out = text;

	while (left > 0)
	{
		uint32 character;
		int len = *name == '\\' ? 0 : cs_utf8_decode(name, left, &character);

		if (len > 0)
		{
			memcpy(out, name, len);
			out += len;
		}
		else
		{
			len = 1;
			out += sprintf(out, "\\x%02x", (unsigned char) *name);
		}
		name += len;
		left -= len;
	}
	*out = '\0';
	return text;
}

void
cs_entry_of_name(CsEntry *entry, const char *folder, const char *name,
				 const struct statx *stat)
{
	bool is_text = cs_utf8_valid(name);
	char *path;

	memset(entry, 0, sizeof(*entry));
	/* With an empty component, which no real path has. */
	path = psprintf("%s%s%s", strcmp(folder, "/") == 0 ? "" : folder,
					is_text ? "/" : "//", is_text ? name : escaped(name));
	entry->path = path;
	entry->name = strrchr(path, '/') + 1;
	fill(entry, stat);
	if (!is_text)
		entry->refused = "The name is not valid UTF-8.";
}
