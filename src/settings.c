/*
 * settings.c
 *	  The cloudsync.* settings. Check hooks are pure: they run in the postmaster
 *	  and in idle backends, where no catalog can be read; workers act on the
 *	  values.
 */
#include "postgres.h"

#include <limits.h>

#include "cloudsync/compat.h"
#include "cloudsync/reach.h"
#include "cloudsync/settings.h"

char *cs_tenant = NULL;
char *cs_user = NULL;
bool cs_require_tenant = false;
bool cs_capture = true;
bool cs_enabled = true;
char *cs_hosts = NULL;
char *cs_local_root = NULL;
int cs_max_workers = 4;
int cs_max_transfers = 32;
int cs_max_transfers_per_connection = 8;
int cs_max_trash = 100;
char *cs_conflict_name = NULL;
int cs_max_document_size_mb = 1024;
int cs_min_free_disk = 10;
int cs_hook_timeout = 10000;
int cs_read_timeout = 60000;
int cs_stability_delay = 10000;
int cs_history_retention = 400 * 24 * 60;
int cs_collect_history_retention = -1;
char *cs_allowed_endpoints = NULL;
char *cs_ca_file = NULL;
char *cs_proxy = NULL;
char *cs_master_key_file = NULL;
char *cs_master_key_command = NULL;
int cs_connect_timeout = 10000;
int cs_response_timeout = 60000;
int cs_low_speed_time = 60000;
int cs_transfer_timeout = 6 * 3600 * 1000;
int cs_max_listing = 5000000;
int cs_max_watches = 500;
bool cs_ocr = true;
char *cs_ocr_command = NULL;
char *cs_ocr_languages = NULL;
int cs_ocr_sandbox = CS_OCR_SANDBOX_AUTO;
int cs_ocr_jobs = 2;
int cs_ocr_timeout = 600000;
int cs_ocr_memory_mb = 1024;
int cs_ocr_max_pages = 1000;
int cs_ocr_max_text_mb = 16;
#ifdef CLOUDSYNC_CRASH_POINTS
char *cs_crash_point = NULL;
#endif

/* The local root is taken as it is written: absolute, or empty for disabled. */
static bool
check_local_root(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0' || **newval == '/')
		return true;
	GUC_check_errdetail("\"cloudsync.local_root\" must be an absolute path.");
	return false;
}

static bool
check_allowed_endpoints(char **newval, void **extra, GucSource source)
{
	const char *why;

	if (cs_reach_valid(*newval, &why))
		return true;
	GUC_check_errdetail("%s.", why);
	GUC_check_errhint("Each item is [purpose=][scheme://]host[:port]: "
					  "\"webdav=https://cloud.example.com\".");
	return false;
}

/* The server's processes have other working folders than people. */
static bool
check_absolute(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0' || **newval == '/')
		return true;
	GUC_check_errdetail("It must begin with an absolute path.");
	return false;
}

/* Without a scheme, or with one of those that the name of a proxy can have. */
static bool
check_proxy(char **newval, void **extra, GucSource source)
{
	static const char *const schemes[] = {"http", "https", "socks5",
										  "socks5h"};
	const char *end = *newval ? strstr(*newval, "://") : NULL;

	if (end == NULL)
		return true;
	for (int i = 0; i < lengthof(schemes); i++)
	{
		if (strlen(schemes[i]) == end - *newval &&
			pg_strncasecmp(*newval, schemes[i], end - *newval) == 0)
			return true;
	}
	GUC_check_errdetail("The scheme of a proxy is http, https, socks5 or "
						"socks5h.");
	return false;
}

/* A day at least, so that a slip does not empty the history. */
static bool
check_retention(int *newval, void **extra, GucSource source)
{
	if (*newval == -1 || *newval >= 24 * 60)
		return true;
	GUC_check_errdetail("History is kept for a day at least, or for ever (-1).");
	return false;
}

/* Names of Tesseract's languages, as it takes them: "fra+eng". */
static bool
check_languages(char **newval, void **extra, GucSource source)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
								  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	const char *p = *newval ? *newval : "";
	size_t length = strspn(p, letters);

	while (length > 0 && p[length] == '+')
	{
		p += length + 1;
		length = strspn(p, letters);
	}
	if (length > 0 && p[length] == '\0')
		return true;
	GUC_check_errdetail("Languages are Tesseract's names, joined by \"+\": "
						"\"fra+eng\".");
	return false;
}

/* A mark goes into file names, so it cannot be empty or hold a separator. */
static bool
check_conflict_name(char **newval, void **extra, GucSource source)
{
	if (*newval != NULL && **newval != '\0' && strchr(*newval, '/') == NULL &&
		strlen(*newval) <= 64)
		return true;
	GUC_check_errdetail("\"cloudsync.conflict_name\" must have 1 to 64 bytes "
						"and no \"/\".");
	return false;
}

/* How often a value for cloudsync.require_tenant was taken, the default's too. */
static int require_tenant_taken = 0;

static void
assign_require_tenant(bool newval, void *extra)
{
	require_tenant_taken++;
}

/*
 * Where the library is loaded late, anybody may have set this before, in the
 * connection's options above what the superuser set for the role. PostgreSQL
 * then drops both. So when there was a value and none was taken, it is on: it
 * fails closed.
 */
static void
define_require_tenant(void)
{
	bool was_set =
		GetConfigOption("cloudsync.require_tenant", true, false) != NULL;

	DefineCustomBoolVariable(
		"cloudsync.require_tenant",
		"A session without a tenant sees and changes nothing.",
		"Meant for ALTER ROLE ... SET.", &cs_require_tenant, false, PGC_SUSET,
		0, NULL, assign_require_tenant, NULL);
	if (was_set && require_tenant_taken <= 1)
		cs_require_tenant = true;
}

/* For whom the session acts, and what it captures. */
static void
define_session_settings(void)
{
	DefineCustomStringVariable(
		"cloudsync.tenant",
		"Tenant for which a member of cloudsync_app acts; empty for none.",
		NULL, &cs_tenant, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"cloudsync.user",
		"Person for whom a member of cloudsync_app acts; empty for its role.",
		NULL, &cs_user, "", PGC_USERSET, 0, NULL, NULL, NULL);
	define_require_tenant();
	DefineCustomBoolVariable(
		"cloudsync.capture",
		"Changes of tracked tables are noted; off counts for members of "
		"cloudsync_admin only.",
		NULL, &cs_capture, true, PGC_USERSET, 0, NULL, NULL, NULL);
}

/* Whether and where this cluster may act. */
static void
define_server_settings(void)
{
	DefineCustomBoolVariable("cloudsync.enabled",
							 "Off holds all work of this cluster.", NULL,
							 &cs_enabled, true, PGC_SIGHUP, 0, NULL, NULL,
							 NULL);
	DefineCustomStringVariable(
		"cloudsync.hosts",
		"Comma-separated names of the hosts that may act; empty for all.",
		NULL, &cs_hosts, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"cloudsync.local_root",
		"Folder below which the provider \"local\" works; empty disables it.",
		NULL, &cs_local_root, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
		check_local_root, NULL, NULL);
	DefineCustomStringVariable(
		"cloudsync.conflict_name",
		"Mark of a file put beside somebody else's change.", NULL,
		&cs_conflict_name, "CloudSync", PGC_SIGHUP, 0, check_conflict_name,
		NULL, NULL);
	DefineCustomIntVariable("cloudsync.max_trash",
							"Files that one connection moves to the trash in an "
							"hour without confirmation.",
							NULL, &cs_max_trash, 100, 0, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
}

/* Where it connects, and where its keys are. */
static void
define_network_settings(void)
{
	DefineCustomStringVariable(
		"cloudsync.allowed_endpoints",
		"Where connections may go besides the providers' own hosts: "
		"[purpose=][scheme://]host[:port], separated by commas.",
		"A private address must be named itself, as an address or with /bits.",
		&cs_allowed_endpoints, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
		check_allowed_endpoints, NULL, NULL);
	DefineCustomStringVariable(
		"cloudsync.ca_file",
		"File with certificates of private authorities, trusted besides the "
		"system's.",
		NULL, &cs_ca_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_absolute,
		NULL, NULL);
	DefineCustomStringVariable("cloudsync.proxy",
							   "Proxy through which all connections go; empty "
							   "for none.",
							   NULL, &cs_proxy, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, check_proxy, NULL, NULL);
	DefineCustomStringVariable(
		"cloudsync.master_key_file",
		"Keyring by which secrets are encrypted; empty for the data "
		"directory's name with .cloudsync.key.",
		NULL, &cs_master_key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
		check_absolute, NULL, NULL);
	DefineCustomStringVariable(
		"cloudsync.master_key_command",
		"Program that prints the keyring, with its arguments; empty for the "
		"file.",
		NULL, &cs_master_key_command, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
		check_absolute, NULL, NULL);
}

/* How much at once, how large and how long. */
static void
define_limit_settings(void)
{
	DefineCustomIntVariable("cloudsync.max_workers",
							"Transfer workers in each database.", NULL,
							&cs_max_workers, 4, 1, 64, PGC_SIGHUP, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("cloudsync.max_transfers",
							"Transfers at once in one worker.", NULL,
							&cs_max_transfers, 32, 1, 1024, PGC_SIGHUP, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("cloudsync.max_transfers_per_connection",
							"Transfers at once on one connection.", NULL,
							&cs_max_transfers_per_connection, 8, 1, 256,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.max_document_size",
							"Largest document that is collected.", NULL,
							&cs_max_document_size_mb, 1024, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.max_listing",
							"Entries that the listing of one folder may have; 0 "
							"for no limit.",
							NULL, &cs_max_listing, 5000000, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.max_watches",
							"Folders that are watched in each database; 0 for "
							"none.",
							NULL, &cs_max_watches, 500, 0, 10000, PGC_SIGHUP,
							0, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.min_free_disk",
							"Percentage of free disk below which collecting "
							"pauses.",
							NULL, &cs_min_free_disk, 10, 0, 99, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.hook_timeout",
							"Time an application's function may take for one "
							"document.",
							NULL, &cs_hook_timeout, 10000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.read_timeout",
							"Time a worker's read of an application's table may "
							"take.",
							NULL, &cs_read_timeout, 60000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.stability_delay",
							"Time without a change after which a file in a "
							"collected folder counts as completely written.",
							"Counts where a service shows files that are still "
							"being written (local, webdav).",
							&cs_stability_delay, 10000, 0, 600000, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
#ifdef CLOUDSYNC_CRASH_POINTS
	DefineCustomStringVariable("cloudsync.crash_point",
							   "Point at which the process that reaches it "
							   "kills itself.",
							   NULL, &cs_crash_point, "", PGC_SUSET, 0, NULL,
							   NULL, NULL);
#endif
}

/* How long history is kept (H6). */
static void
define_retention_settings(void)
{
	DefineCustomIntVariable("cloudsync.history_retention",
							"Time for which the history of pushes and refreshes "
							"is kept; -1 for ever.",
							NULL, &cs_history_retention, 400 * 24 * 60, -1,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN, check_retention,
							NULL, NULL);
	DefineCustomIntVariable("cloudsync.collect_history_retention",
							"Time for which the history of collections without "
							"documents is kept; -1 for ever.",
							NULL, &cs_collect_history_retention, -1, -1,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN, check_retention,
							NULL, NULL);
}

/* Reading documents. What bounds a program is in docs/ocr.md. */
static void
define_ocr_settings(void)
{
	static const struct config_enum_entry sandboxes[] = {
		{"auto", CS_OCR_SANDBOX_AUTO, false},
		{"required", CS_OCR_SANDBOX_REQUIRED, false},
		{"off", CS_OCR_SANDBOX_OFF, false},
		{NULL, 0, false}};

	DefineCustomBoolVariable("cloudsync.ocr",
							 "Documents are read after they were collected.",
							 NULL, &cs_ocr, true, PGC_SIGHUP, 0, NULL, NULL,
							 NULL);
	DefineCustomStringVariable("cloudsync.ocr_command",
							   "Program that reads documents, with its "
							   "arguments; empty for the one that comes with "
							   "cloudsync.",
							   NULL, &cs_ocr_command, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, check_absolute, NULL, NULL);
	DefineCustomStringVariable("cloudsync.ocr_languages",
							   "Languages that scans are read in.", NULL,
							   &cs_ocr_languages, "fra+eng", PGC_SIGHUP, 0,
							   check_languages, NULL, NULL);
	DefineCustomEnumVariable("cloudsync.ocr_sandbox",
							 "Whether the program runs in a sandbox.",
							 "auto: the best that works here; required: "
							 "documents wait where bwrap does not work.",
							 &cs_ocr_sandbox, CS_OCR_SANDBOX_AUTO, sandboxes,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.ocr_jobs",
							"Documents read at once in each database.", NULL,
							&cs_ocr_jobs, 2, 1, 64, PGC_SIGHUP, 0, NULL, NULL,
							NULL);
	DefineCustomIntVariable("cloudsync.ocr_timeout",
							"Time that reading one document may take.", NULL,
							&cs_ocr_timeout, 600000, 100, INT_MAX, PGC_SIGHUP,
							GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.ocr_memory",
							"Memory that each process of the program may take.",
							NULL, &cs_ocr_memory_mb, 1024, 64, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.ocr_max_pages",
							"Pages of one document that are read.", NULL,
							&cs_ocr_max_pages, 1000, 1, 1000000, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.ocr_max_text",
							"Text of one document that is kept.", NULL,
							&cs_ocr_max_text_mb, 16, 1, 256, PGC_SIGHUP,
							GUC_UNIT_MB, NULL, NULL, NULL);
}

/* How long requests over HTTP may take. */
static void
define_time_settings(void)
{
	DefineCustomIntVariable("cloudsync.connect_timeout",
							"Time to find a server, connect and agree on TLS.",
							NULL, &cs_connect_timeout, 10000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.response_timeout",
							"Time from a request that was sent to the first "
							"byte of the answer.",
							NULL, &cs_response_timeout, 60000, 1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.low_speed_time",
							"Time a transfer may go on below 1 KiB/s; 0 for no "
							"limit.",
							NULL, &cs_low_speed_time, 60000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("cloudsync.transfer_timeout",
							"Time a transfer may take from its start; 0 for no "
							"limit.",
							NULL, &cs_transfer_timeout, 6 * 3600 * 1000, 0,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* Defines all settings and reserves the prefix. Called once, from _PG_init. */
void
cs_define_settings(void)
{
	define_session_settings();
	define_server_settings();
	define_network_settings();
	define_limit_settings();
	define_time_settings();
	define_retention_settings();
	define_ocr_settings();
	MarkGUCPrefixReserved("cloudsync");
}
