"""rclone at the test cloud's Dropbox, by the cloud's proxy, since it knows only the
real names."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from client import READY, act, control, done, ok, same

if shutil.which("rclone") is None:
    print("skip - rclone is not installed")
    sys.exit(0)

folder = tempfile.mkdtemp()
grant = act("dropbox", "grant")
environment = dict(
    {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
    HTTPS_PROXY="http://127.0.0.1:%d" % READY["proxy"], RCLONE_CA_CERT=READY["ca_file"], RCLONE_CONFIG=folder + "/rclone.conf",
    RCLONE_CACHE_DIR=folder + "/cache")
with open(folder + "/rclone.conf", "w", encoding="utf-8") as out:
    out.write("[box]\ntype = dropbox\nclient_id = %s\nclient_secret = %s\ntoken = %s\n" % (
        grant["client_id"], grant["client_secret"], json.dumps({
            "access_token": "sl.old", "token_type": "bearer", "refresh_token": grant["refresh_token"],
            "expiry": "2020-01-01T00:00:00Z"})))


def rclone(*arguments):
    ran = subprocess.run(("rclone", "--low-level-retries", "3", "--retries", "1") + arguments, env=environment,
                         capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode != 0:
        print("# rclone %s: %s" % (" ".join(arguments), ran.stderr.strip().replace("\n", "\n# ")))
    return ran


def names(top):
    return sorted(os.path.relpath(os.path.join(where, name), top) for where, _, found in os.walk(top) for name in found)


source = folder + "/source"
os.makedirs(source + "/sub/Été 😀")
for i in range(30):
    with open("%s/sub/file %d.txt" % (source, i), "w", encoding="utf-8") as out:
        out.write("file %d\n" % i * i)
with open(source + "/sub/Été 😀/large", "wb") as out:
    out.write(os.urandom(9 * 1024 * 1024))

same(rclone("copy", source, "box:Backup", "--dropbox-chunk-size", "4M").returncode, 0, "copies there")
same(control("requests", {"service": "dropbox", "route": "oauth2/token", "count": True}), 1, "with a token that it refreshed")
ok(control("requests", {"service": "dropbox", "route": "/finish_batch/", "count": True}) >= 1, "in batches")
same(rclone("check", source, "box:Backup").returncode, 0, "compares by content hash")
same(rclone("copy", "box:Backup", folder + "/back").returncode, 0, "copies back")
same(names(folder + "/back"), names(source), "the same files")
with open(source + "/sub/Été 😀/large", "rb") as a, open(folder + "/back/sub/Été 😀/large", "rb") as b:
    ok(a.read() == b.read(), "the same bytes")
same(rclone("moveto", "box:Backup/sub", "box:Moved").returncode, 0, "moves a folder")
listed = rclone("lsf", "box:Moved", "--files-only").stdout.split("\n")
same(len([line for line in listed if line]), 30, "lists")
ok("Used" in rclone("about", "box:").stdout, "asks for the quota")
same(rclone("purge", "box:Moved").returncode, 0, "deletes")
same([e["path"] for e in act("dropbox", "tree")], ["/Backup"], "what is left")
refused = control("requests", {"service": "dropbox", "status": 400})
same(refused, [], "not one request was refused")
shutil.rmtree(folder)
done()
