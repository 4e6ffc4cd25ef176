/*
 * file.h
 *	  Carries out file requests (CS_REQ_FILE_*, CS_REQ_HASH_BODY) below a folder
 *	  held open, in slices. Inner header of transfer/; usable in the server and
 *	  in plain programs.
 */
#ifndef CLOUDSYNC_FILE_H
#define CLOUDSYNC_FILE_H

#include <dirent.h>
#include <sys/stat.h>

#include "cloudsync/hash.h"
#include "cloudsync/transfer.h"
#include "pace.h"

#define CS_FILE_SLICE (1024 * 1024) /* bytes read, written or hashed a slice   \
									 */
#define CS_FILE_PAGE 1000			/* entries of a listing in a page */

/*
 * One request at a time. root and buffer (CS_FILE_SLICE bytes, shared by all
 * tasks of a loop) belong to the caller.
 */
typedef struct CsFileTask
{
	int root;
	char *buffer;
	CsBody *body;
	CsRequest request; /* its strings live until the answer is used */
	CsResponse response;
	int64 done; /* bytes of the body so far */

	/* what is open between slices */
	int fd;
	DIR *dir;
	char *dir_path;
	int64 offset;
	int64 flushed; /* write-back was started up to here */
	CsHash *hash;
	struct statx before;
	bool delivered;	  /* bytes were given to body->write */
	bool body_waits;  /* the body has nothing yet, or no room */
	CsPace *pace;	  /* of the endpoint, or NULL */
	int64 wake_at;	  /* the pace lets no bytes go until then; 0: it does */
	char *unfinished; /* a file written and not yet renamed or removed */
	CsFailure body_failure;
#ifndef FRONTEND
	MemoryContext page;	   /* the response's strings and entries */
	MemoryContext scratch; /* of the body's functions, for one call */
#endif
} CsFileTask;

extern void cs_file_init(CsFileTask *task, int root, CsBody *body,
						 char *buffer);
extern void cs_file_begin(CsFileTask *task, const CsRequest *request);
/* One slice. True: the response is complete. */
extern bool cs_file_slice(CsFileTask *task);
/* The body failed outside the request's own code: answer so. */
extern void cs_file_body_failed(CsFileTask *task, const CsFailure *failure);
/* Closes what is open; removes the unfinished file if asked to. Cannot fail. */
extern void cs_file_close(CsFileTask *task, bool remove_unfinished);

/* file_names.c: the requests of one slice; always true: the response is complete */
extern bool cs_file_space(CsFileTask *task);
extern bool cs_file_stat(CsFileTask *task, int folder, const char *name);
extern bool cs_file_mkdir(CsFileTask *task, int folder, const char *name);
extern bool cs_file_unlink(CsFileTask *task, int folder, const char *name);
extern bool cs_file_rename(CsFileTask *task, int folder, const char *name);
/* Answers with errno. */
extern bool cs_file_answer_errno(CsFileTask *task);
/*
 * file_body.c: the clock of paces; so many of the bytes wanted may go now (0:
 * none until wake_at), and so many of them did not; a piece of the body into the
 * buffer (false: it failed, and is answered), and from it.
 */
extern int64 cs_file_now(void);
extern int64 cs_file_room(CsFileTask *task, int64 wanted);
extern void cs_file_give_back(CsFileTask *task, int64 bytes);
extern bool cs_file_read_body(CsFileTask *task, int64 room, int64 *n);
extern bool cs_file_write_body(CsFileTask *task, int64 n, CsFailure *failure);

/* file.c: the file at path is no longer unfinished. */
extern void cs_file_forget_unfinished(CsFileTask *task, const char *path);

/* walk.c: descriptors, counted; a process has few of them. */
extern int cs_fd_openat(int folder, const char *name, int flags, mode_t mode);
extern void cs_fd_close(int fd);
extern void cs_fd_forget(void); /* it was closed by other means */
extern int cs_fd_sync(int fd);
extern int cs_fd_count(void);
/* One was opened (1) or closed (-1) by other means. */
extern void cs_fd_count_other(int step);

/*
 * walk.c: opens the folder that holds path, following no link, and points *name
 * at the last component ("." for the root). -1 with errno.
 */
extern int cs_walk_parent(int root, const char *path, const char **name);
/* Opens one component below folder as a folder. -1 with errno: ELOOP: a link.
 */
extern int cs_walk_component(int folder, const char *name, int flags);
/* Opens the folder at path for reading. */
extern int cs_walk_folder(int root, const char *path);
/* statx of a name, or of the descriptor itself where name is "". */
extern int cs_walk_stat(int folder, const char *name, struct statx *stat);
/* fsync of a folder (O_PATH will do), as far as the file system knows it. */
extern int cs_walk_sync(int folder);
/* Is this a name that may stand between two '/'? */
extern bool cs_walk_name_ok(const char *name, size_t len);

/* entry.c: what statx says, as an entry; strings are palloc'd. */
extern void cs_entry_fill(CsEntry *entry, const char *path,
						  const struct statx *stat);
/* The same for a name in a folder as the file system gives it, maybe not UTF-8.
 */
extern void cs_entry_of_name(CsEntry *entry, const char *folder,
							 const char *name, const struct statx *stat);
/* Equal size, times and identity. */
extern bool cs_entry_unchanged(const struct statx *a, const struct statx *b);

#endif
