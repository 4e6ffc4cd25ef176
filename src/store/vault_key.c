/*
 * vault_key.c
 *	  Where the keyring is: a file outside of the data directory, so that no
 *	  physical backup holds both key and ciphertext, or what a command prints
 *	  (S1). Made once, appended to by rotations, never rewritten.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "miscadmin.h"
#include "port.h"
#include "storage/fd.h"

#include "cloudsync/crash.h"
#include "cloudsync/hash.h"
#include "cloudsync/settings.h"
#include "cloudsync/vault.h"

#define KEYRING_SIZE 65536
#define COMMAND_MS 10000

static const char heading[] =
	"# cloudsync: the keys by which secrets in this server's databases are\n"
	"# encrypted, oldest first; the last one encrypts. Without this file the\n"
	"# secrets cannot be read. Keep a copy, apart from backups of the data.\n";

bool
cs_keyring_is_command(void)
{
	return cs_master_key_command != NULL && cs_master_key_command[0] != '\0';
}

static char *
keyring_path(void)
{
	if (cs_master_key_file != NULL && cs_master_key_file[0] != '\0')
		return pstrdup(cs_master_key_file);
	return psprintf("%s.cloudsync.key", DataDir);
}

/* The path is a superuser's business: it goes to the log alone. */
static bool
locked(CsFailure *failure, const char *path, const char *hint,
	   const char *problem)
{
	cs_failure_set(failure, CS_FAIL_LOCKED, hint,
				   "the keys for its secrets cannot be read: %s", problem);
	ereport(LOG, (errmsg("cloudsync: the keyring \"%s\" cannot be used: %s",
						 path, problem)));
	return false;
}

/* What holds for a private key's file: ours, or root's and ours to read. */
static const char *
file_problem(const struct stat *status)
{
	if (!S_ISREG(status->st_mode))
		return "the keyring is no regular file";
	if (status->st_uid != geteuid() && status->st_uid != 0)
		return "the keyring belongs to another user than the server's";
	if ((status->st_mode & (status->st_uid == geteuid() ? 077 : 027)) != 0)
		return "the keyring is open to other users";
	if (status->st_size >= KEYRING_SIZE)
		return "the keyring is too large";
	return NULL;
}

/* Does it lie in the data directory, with which it would be backed up? */
static bool
in_data_directory(const char *path)
{
	char *folder = pstrdup(path);
	char *real_folder;
	char *real_data;
	bool inside;

	get_parent_directory(folder);
	real_folder = realpath(folder[0] ? folder : "/", NULL);
	real_data = realpath(DataDir, NULL);
	inside = real_folder != NULL && real_data != NULL &&
			 path_is_prefix_of_path(real_data, real_folder);
	free(real_folder);
	free(real_data);
	return inside;
}

static bool
fsync_folder(const char *path)
{
	char *folder = pstrdup(path);
	int fd;
	bool ok;

	get_parent_directory(folder);
	fd = open(folder[0] ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = fsync(fd) == 0;
	close(fd);
	return ok;
}

static bool
write_all(int fd, const char *text, int length)
{
	while (length > 0)
	{
		ssize_t n = write(fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		length -= n;
	}
	return true;
}

/* A fresh key's line, ended by a newline. */
static void
make_line(char *line)
{
	uint8 bytes[CS_KEY_BYTES];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not make a key: no random numbers")));
	for (int i = 0; i < CS_KEY_BYTES; i++)
		snprintf(line + i * 2, 3, "%02x", bytes[i]);
	line[CS_KEY_BYTES * 2] = '\n';
	line[CS_KEY_BYTES * 2 + 1] = '\0';
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

/*
 * Makes the keyring under a name of its own first, so that nobody ever reads
 * half of it and of two that make it at once one finds the other's.
 */
static bool
make_keyring(const char *path, CsFailure *failure)
{
	char *part = psprintf("%s.%d.part", path, MyProcPid);
	char line[CS_KEY_BYTES * 2 + 2];
	int fd;
	bool ok;
	int error = 0;

	(void) unlink(part);
	fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return locked(failure, path,
					  "Set cloudsync.master_key_file to a file in a folder "
					  "where the server's user may write.",
					  psprintf("it could not be made: %s", strerror(errno)));
	make_line(line);
	ok = write_all(fd, heading, sizeof(heading) - 1) &&
		 write_all(fd, line, strlen(line)) && fsync(fd) == 0;
	error = errno;
	ok = close(fd) == 0 && ok;
	OPENSSL_cleanse(line, sizeof(line));
	if (ok && link(part, path) != 0 && errno != EEXIST)
	{
		error = errno;
		ok = false;
	}
	(void) unlink(part);
	if (!ok || !fsync_folder(path))
		return locked(failure, path,
					  "See to the file system that "
					  "cloudsync.master_key_file is on.",
					  psprintf("it could not be made: %s", strerror(error)));
	ereport(LOG, (errmsg("cloudsync: made the keyring \"%s\"", path),
				  errhint("Keep a copy of it, apart from backups of the "
						  "data.")));
	return true;
}

/* The file's text into buf; the number of bytes, or -1 with *failure. */
static int
read_file(int fd, const char *path, char *buf, CsFailure *failure)
{
	struct stat status;
	const char *problem = NULL;
	int length = 0;

	if (fstat(fd, &status) != 0)
		problem = "the keyring cannot be looked at";
	else
		problem = file_problem(&status);
	if (problem != NULL)
	{
		locked(failure, path,
			   "The keyring must be a file of the server's user with rights "
			   "0600.",
			   problem);
		return -1;
	}
	while (length < KEYRING_SIZE)
	{
		ssize_t n = read(fd, buf + length, KEYRING_SIZE - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
		{
			locked(failure, path, "See to the file that "
								  "cloudsync.master_key_file names.",
				   psprintf("the keyring cannot be read: %s", strerror(errno)));
			return -1;
		}
		if (n == 0)
			break;
		length += n;
	}
	return length;
}

static bool
parse_text(CsKeyring *ring, const char *path, char *text, int length, int *end,
		   CsFailure *failure)
{
	const char *problem = cs_keyring_parse(ring, text, length, end);

	OPENSSL_cleanse(text, length);
	if (problem == NULL)
		return true;
	return locked(failure, path,
				  "Put the keyring back from its backup; nothing else is lost.",
				  psprintf("the keyring is damaged: %s", problem));
}

/* Opens the file, for the caller to close. -1 with *failure. */
static int
open_file(const char *path, int flags, bool create, CsFailure *failure)
{
	int fd;

	if (in_data_directory(path))
	{
		locked(failure, path,
			   "Set cloudsync.master_key_file to a file outside of the data "
			   "directory.",
			   "the keyring would be in the data directory");
		return -1;
	}
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && create)
	{
		if (!make_keyring(path, failure))
			return -1;
		fd = open(path, flags | O_CLOEXEC);
	}
	if (fd < 0 && errno == ENOENT)
		locked(failure, path,
			   "Put the keyring back from its backup; nothing else is lost.",
			   "the keyring is missing");
	else if (fd < 0)
		locked(failure, path,
			   "The keyring must be a file of the server's user with rights "
			   "0600.",
			   psprintf("the keyring cannot be opened: %s", strerror(errno)));
	return fd;
}

static bool
load_command(CsKeyring *ring, char *text, CsFailure *failure)
{
	const char *why = NULL;
	int end;
	int length = cs_command_read(cs_master_key_command, text, KEYRING_SIZE,
								 COMMAND_MS, &why);

	if (length < 0)
		return locked(failure, "master_key_command",
					  "See to the program that cloudsync.master_key_command "
					  "names, or give the keyring by "
					  "cloudsync.master_key_file.",
					  psprintf("the command that prints them: %s", why));
	return parse_text(ring, "master_key_command", text, length, &end, failure);
}

bool
cs_keyring_load(CsKeyring *ring, bool create, CsFailure *failure)
{
	char *text = palloc(KEYRING_SIZE);
	bool ok = false;

	ring->n = 0;
	if (cs_keyring_is_command())
		ok = load_command(ring, text, failure);
	else
	{
		char *path = keyring_path();
		int fd = open_file(path, O_RDONLY, create, failure);
		int length = fd >= 0 ? read_file(fd, path, text, failure) : -1;
		int end;

		if (fd >= 0)
			close(fd);
		ok = length >= 0 &&
			 parse_text(ring, path, text, length, &end, failure);
	}
	OPENSSL_cleanse(text, KEYRING_SIZE);
	pfree(text);
	return ok;
}

/* Rotations in several databases wait for each other, a moment. */
static bool
lock_file(int fd)
{
	for (int i = 0; i < 500; i++)
	{
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		pg_usleep(10000);
	}
	return false;
}

/*
 * Appends in place, so that the file keeps its owner, its rights and its name;
 * the end of one that was cut off goes first.
 */
static const char *
append_line(int fd, const char *line, int end, int length)
{
	char last = '\n';

	if (end < length && ftruncate(fd, end) != 0)
		return "could not remove what was left of a rotation that was cut off";
	if (end > 0 && pread(fd, &last, 1, end - 1) != 1)
		return "could not read it";
	if (lseek(fd, end, SEEK_SET) < 0 ||
		(last != '\n' && !write_all(fd, "\n", 1)) ||
		!write_all(fd, line, strlen(line)) || fsync(fd) != 0)
		return "could not write to it";
	return NULL;
}

static const char *
append_to_file(int fd, const char *path, CsKeyring *ring, char *text,
			   CsFailure *failure)
{
	char line[CS_KEY_BYTES * 2 + 2];
	const char *problem;
	int length;
	int end;

	length = read_file(fd, path, text, failure);
	if (length < 0 || !parse_text(ring, path, text, length, &end, failure))
		return failure->message;
	if (ring->n == CS_KEYS_MAX)
		return "it is full";
	make_line(line);
	problem = append_line(fd, line, end, length);
	if (problem == NULL)
	{
		int unused;
		CsKeyring *added = palloc(sizeof(CsKeyring));

		if (cs_keyring_parse(added, line, strlen(line), &unused) == NULL)
			ring->keys[ring->n++] = added->keys[0];
		cs_keyring_forget(added);
		pfree(added);
	}
	OPENSSL_cleanse(line, sizeof(line));
	return problem;
}

void
cs_keyring_append(CsKeyring *ring)
{
	CsFailure failure = {0};
	char *path = keyring_path();
	char *text = palloc(KEYRING_SIZE);
	const char *problem = failure.message;
	int fd = open_file(path, O_RDWR, false, &failure);

	if (fd >= 0)
	{
		problem = lock_file(fd) ? append_to_file(fd, path, ring, text, &failure)
								: "another rotation goes on in this cluster";
		close(fd);
	}
	OPENSSL_cleanse(text, KEYRING_SIZE);
	pfree(text);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no key could be added to the keyring: %s", problem),
				 errhint("See to the file that cloudsync.master_key_file "
						 "names: the server's user must be able to write to "
						 "it.")));
	CS_CRASH_POINT("vault.after_append");
}
