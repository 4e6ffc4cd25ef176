/*
 * ocr_run.c
 *	  A document's bytes to a private file, the program that reads it, and what it
 *	  prints (ocr.h). No transaction is open while the program runs; its file is
 *	  named without regard to the document's name.
 */
#include "postgres.h"

#include <fcntl.h>
#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "cloudsync/crash.h"
#include "cloudsync/db.h"
#include "cloudsync/settings.h"
#include "args.h"
#include "reading.h"

#define FETCH_CHUNKS 8 /* in one transaction */
#define SLICE_BYTES 65536
#define SLICES 16		   /* taken from one program in one turn */
#define SAID_MAX 4096	   /* of standard error */
#define END_WITHIN_MS 2000 /* of closing its output */
#define FILE_NAME "document"
#define MAX_WORDS 32

static void
write_all(CsReading *reading, const char *bytes, int length)
{
	while (length > 0)
	{
		ssize_t n = write(reading->file, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ereport(ERROR, (errcode_for_file_access(),
							errmsg("could not write to file \"%s/%s\": %m", reading->folder, FILE_NAME)));
		bytes += n;
		length -= (int) n;
		reading->written += n;
	}
}

static void
open_file(CsReading *reading)
{
	char *path = psprintf("%s/%s", reading->folder, FILE_NAME);

	reading->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (reading->file < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create file \"%s\": %m", path)));
	pfree(path);
}

/* See reading.h. */
bool
cs_reading_fetch(CsReading *reading)
{
	Args args = {0};
	uint64 n;

	if (reading->file < 0)
		open_file(reading);
	cs_begin("fetching a document's content");
	add_int64(&args, reading->content_id, false);
	add(&args, INT4OID, Int32GetDatum(reading->next_seq), false);
	add(&args, INT4OID, Int32GetDatum(FETCH_CHUNKS), false);
	n = execute("SELECT bytes FROM cloudsync.chunk WHERE content_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3",
				&args);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;
		Datum datum = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		bytea *bytes = DatumGetByteaPP(datum);

		write_all(reading, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
		reading->next_seq++;
	}
	cs_commit();
	if (n == FETCH_CHUNKS && reading->written < reading->size)
		return false;
	close(reading->file);
	reading->file = -1;
	if (reading->written != reading->size)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("its content has " INT64_FORMAT " bytes instead of " INT64_FORMAT,
							   reading->written, reading->size)));
	return true;
}

/* The program that comes with the library, beside it. */
static const char *
default_command(void)
{
	static char path[MAXPGPATH] = "";
	Dl_info info;

	if (path[0] == '\0' && dladdr((void *) &cs_reading_start, &info) != 0 && info.dli_fname != NULL)
	{
		strlcpy(path, info.dli_fname, MAXPGPATH - 20);
		get_parent_directory(path);
		strlcat(path, "/cloudsync_ocr", MAXPGPATH);
	}
	return path;
}

/* The command's words, and what it is told: file, kind, languages, pages. */
static const char *const *
command_words(const CsReading *reading)
{
	const char **words = palloc0(sizeof(char *) * (MAX_WORDS + 5));
	char *text = pstrdup(*cs_ocr_command != '\0' ? cs_ocr_command : default_command());
	int n = 0;

	if (*cs_ocr_command == '\0')
		words[n++] = text;
	else
		for (char *word = strtok(text, " \t"); word != NULL && n < MAX_WORDS; word = strtok(NULL, " \t"))
			words[n++] = word;
	words[n++] = psprintf("%s/%s", reading->folder, FILE_NAME);
	words[n++] = cs_document_kind_name(reading->kind);
	words[n++] = cs_ocr_languages;
	words[n++] = psprintf("%d", cs_ocr_max_pages);
	return words;
}

static void
watch(CsOcr *ocr, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};

	event.data.fd = fd;
	(void) epoll_ctl(ocr->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void
lacks(CsReading *reading, const char *what, const char *reason)
{
	CsOcrResult *result = &reading->result;

	memset(result, 0, sizeof(*result));
	result->state = CS_OCR_AGAIN;
	result->waits_for = what;
	result->reason = reason;
	result->delay_ms = 60000;
	result->uncounted = true;
}

/* See reading.h. In the reading's memory context. */
bool
cs_reading_start(CsOcr *ocr, CsReading *reading)
{
	CsProgramLimits limits = {.memory = (int64) cs_ocr_memory_mb * 1024 * 1024,
							  .file_size = INT64CONST(1) << 30,
							  .cpu_seconds = cs_ocr_timeout / 1000 + 1,
							  .processes = 256,
							  .descriptors = 256};
	const char *const *words = command_words(reading);

	if (words[0] == NULL || access(words[0], X_OK) != 0)
	{
		lacks(reading, psprintf("%s", words[0] ? words[0] : "cloudsync.ocr_command"),
			  psprintf("%s cannot be executed", words[0]));
		return false;
	}
	if (ocr->sandbox != CS_SANDBOX_BWRAP && cs_ocr_sandbox == CS_OCR_SANDBOX_REQUIRED)
	{
		lacks(reading, "bwrap bubblewrap", "it waits for a sandbox (cloudsync.ocr_sandbox)");
		return false;
	}
	cs_pages_init(&reading->pages, (size_t) cs_ocr_max_text_mb * 1024 * 1024, cs_ocr_max_pages);
	reading->program = cs_program_start(words, reading->folder, ocr->sandbox, &limits);
	if (reading->program == NULL)
	{
		ocr->sandbox_at = 0; /* it may be what is not there any more */
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not start a program: %m")));
	}
	reading->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), cs_ocr_timeout);
	watch(ocr, reading->program->out);
	watch(ocr, reading->program->err);
	CS_CRASH_POINT("ocr.after_start");
	return true;
}

/* The end of its standard error is what counts. */
static void
keep_said(CsReading *reading, const char *slice, int n)
{
	StringInfo said = &reading->said;

	appendBinaryStringInfo(said, slice, n);
	if (said->len <= SAID_MAX)
		return;
	memmove(said->data, said->data + said->len - SAID_MAX, SAID_MAX);
	said->len = SAID_MAX;
	said->data[SAID_MAX] = '\0';
}

/*
 * A bounded amount of what it printed; false: nothing more is wanted of it.
 * What comes behind the end is not looked at.
 */
static bool
take_output(CsReading *reading)
{
	CsProgram *program = reading->program;
	CsPages *pages = &reading->pages;
	char *slice = palloc(SLICE_BYTES);
	bool wanted = true;
	int left = SLICES;
	int n;

	while (wanted && left > 0 && (n = cs_program_read(&program->out, slice, SLICE_BYTES)) > 0)
	{
		left--;
		if (pages->state != CS_PAGES_END)
			wanted = cs_pages_feed(pages, slice, n) || pages->state == CS_PAGES_END;
	}
	reading->more = left == 0;
	for (left = SLICES; left > 0 && (n = cs_program_read(&program->err, slice, SLICE_BYTES)) > 0; left--)
		keep_said(reading, slice, n);
	reading->more = reading->more || left == 0;
	pfree(slice);
	return wanted;
}

/* Judged when it has ended, or by what it did until it is killed. */
static bool
finish(CsReading *reading)
{
	reading->more = false;
	cs_reading_judge(reading);
	cs_reading_clear(reading);
	return true;
}

/* See reading.h. In the reading's memory context. */
bool
cs_reading_run(CsOcr *ocr, CsReading *reading, TimestampTz now)
{
	CsProgram *program = reading->program;

	if (!take_output(reading))
		return finish(reading);
	if (now >= reading->deadline)
	{
		reading->timed_out = true;
		return finish(reading);
	}
	if (reading->more)
		return false;
	/* what it has left behind may hold its output open for ever */
	if (program->out >= 0 && reading->pages.state != CS_PAGES_END)
	{
		if (program->contained || !cs_program_ended(program))
			return false;
		/* what it printed last may have come since */
		if (!take_output(reading))
			return finish(reading);
		if (reading->more)
			return false;
	}
	/* it is about to end */
	if (cs_program_ended(program))
		return finish(reading);
	if (reading->end_by == DT_NOEND)
		reading->end_by = TimestampTzPlusMilliseconds(now, END_WITHIN_MS);
	return now >= reading->end_by && finish(reading);
}

/* See reading.h. May be repeated. */
void
cs_reading_clear(CsReading *reading)
{
	if (reading->file >= 0)
		close(reading->file);
	reading->file = -1;
	if (reading->program != NULL)
		cs_program_end(reading->program);
	reading->program = NULL;
	if (reading->folder != NULL)
		(void) rmtree(reading->folder, true);
	reading->folder = NULL;
}
