/* sources: src/transfer/[ew]*.c src/base/[a-z]*.c */
/*
 * Which folders a connection of the local provider may have (S5).
 */
#include "postgres_fe.h"

#include <sys/stat.h>
#include <unistd.h>

#include "../../src/transfer/endpoint.h"
#include "../../src/transfer/file.h"
#include "tap.h"

static char top[128];  /* a temporary folder */
static char root[160]; /* local_root in it */

static char *
real(const char *path)
{
	return psprintf("%s%s", root, path);
}

static void
opens(const char *local_root, const char *tenant, const char *path, bool good,
	  const char *what)
{
	CsFailure failure = {0};
	CsEndpoint *opened = cs_endpoint_open_below(
		psprintf("%s/data", top), local_root, tenant, path, CS_FOLDER_NEVER,
		true, &failure);

	if (!tap_ok((opened != NULL) == good, "endpoint: %s", what))
		printf("# %s: %s\n", failure.message, failure.detail);
	if (!good)
		tap_ok(failure.failure_class == CS_FAIL_UNREACHABLE &&
				   failure.message[0] != '\0',
			   "endpoint: %s: says why", what);
	if (opened != NULL)
		cs_endpoint_close(opened);
}

static void
test_endpoint(void)
{
	struct stat st;

	mkdir(root, 0700);
	mkdir(real("/d"), 0700);
	if (symlink(top, real("/out")) != 0 ||
		mknod(real("/d/f.txt"), 0600, 0) != 0)
		tap_ok(false, "a link or a file could not be made");
	mkdir(psprintf("%s/data", top), 0700);
	mkdir(psprintf("%s/data/pg_tblspc", top), 0700);
	mkdir(psprintf("%s/space", top), 0700);
	mkdir(psprintf("%s/space/sub", top), 0700);
	if (symlink(psprintf("%s/space", top),
				psprintf("%s/data/pg_tblspc/16384", top)) != 0 ||
		symlink(root, psprintf("%s/by-link", top)) != 0 ||
		symlink(psprintf("%s/data", top), psprintf("%s/to-data", top)) != 0)
		tap_ok(false, "links could not be made");
	opens(root, "", NULL, true, "the root itself");
	opens(root, "acme", "/in/box", true, "tenant and path are made");
	tap_ok(stat(real("/acme/in/box"), &st) == 0, "they are there");
	opens(psprintf("%s/by-link", top), "", "", true, "a root that is a link");
	opens("", "", NULL, false, "no root is set");
	opens(NULL, "", NULL, false, "no root at all");
	opens(psprintf("%s/missing", top), "", NULL, false, "a missing root");
	opens(root, "..", NULL, false, "a tenant \"..\"");
	opens(root, "a/b", NULL, false, "a tenant with \"/\"");
	opens(root, "a\nb", NULL, false, "a tenant with a line feed");
	opens(root, "", "a/../..", false, "\"..\" in the path");
	opens(root, "", "/out", false, "a link below the root");
	opens(root, "", "/out/x", false, "a folder beyond a link");
	opens(root, "", "/d/f.txt", false, "a file");
	opens(psprintf("%s/data", top), "", NULL, false, "the data directory");
	opens(psprintf("%s/to-data", top), "", NULL, false, "a link to it");
	opens(psprintf("%s/data/pg_tblspc", top), "", NULL, false, "inside of it");
	opens(top, "", NULL, false, "around it");
	opens(psprintf("%s/space", top), "", NULL, false, "a tablespace");
	opens(psprintf("%s/space/sub", top), "", NULL, false, "inside of one");
	opens("/", "", NULL, false, "everything");
}

/* A folder that was there is never made anew: its disk may be away. */
static void
test_seen(void)
{
	CsFailure failure = {0};
	const char *data = psprintf("%s/data", top);
	CsEndpoint *opened = cs_endpoint_open_below(
		data, root, "acme", "/seen/box", CS_FOLDER_NEVER, true, &failure);

	tap_ok(opened != NULL && cs_endpoint_seen(opened) == CS_FOLDER_THERE,
		   "seen: from now on");
	cs_endpoint_close(opened);
	rmdir(real("/acme/seen/box"));
	rmdir(real("/acme/seen"));
	opened = cs_endpoint_open_below(data, root, "acme", "/seen/box",
									CS_FOLDER_THERE, true, &failure);
	tap_ok(opened == NULL && failure.failure_class == CS_FAIL_UNREACHABLE,
		   "seen: it is missed");
	tap_is(failure.message,
		   "folder \"seen\" below cloudsync.local_root was there and is away",
		   "seen: by the first of its folders");
	tap_ok(access(real("/acme/seen"), F_OK) != 0, "seen: and not made");
	mkdir(real("/acme/seen"), 0700);
	mkdir(real("/acme/seen/box"), 0700);
	opened = cs_endpoint_open_below(data, root, "acme", "/seen/box",
									CS_FOLDER_MOUNTED, true, &failure);
	tap_ok(opened == NULL && strstr(failure.message, "is not mounted") != NULL,
		   "seen: what was mounted is to be mounted");
	opened = cs_endpoint_open_below(data, root, "acme", "/seen/box",
									CS_FOLDER_THERE, true, &failure);
	tap_ok(opened != NULL, "seen: who makes it has it used");
	cs_endpoint_close(opened);
}

int
main(void)
{
	snprintf(top, sizeof(top), "%s/cloudsync-endpoint.XXXXXX",
			 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	if (mkdtemp(top) == NULL)
		return 1;
	snprintf(root, sizeof(root), "%s/root", top);
	test_endpoint();
	test_seen();
	tap_ok(cs_fd_count() == 0, "no descriptor is open in the end");
	if (system(psprintf("rm -rf '%s'", top)) != 0)
		tap_ok(false, "could not clean up");
	return tap_done();
}
