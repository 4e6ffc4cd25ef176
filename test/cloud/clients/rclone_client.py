"""rclone with a configuration of its own, led to the cloud by its proxy."""
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile

from client import READY, ok

if shutil.which("rclone") is None:
    print("skip - rclone is not installed")
    sys.exit(0)


class Rclone:
    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.environment = dict(
            {name: value for name, value in os.environ.items()
             if not name.lower().endswith("_proxy") and not name.startswith(("AWS_", "RCLONE_"))},
            HTTPS_PROXY="http://127.0.0.1:%d" % READY["proxy"], SSL_CERT_FILE=READY["ca_file"],
            RCLONE_CONFIG=self.folder + "/rclone.conf", RCLONE_CACHE_DIR=self.folder + "/cache")

    def remote(self, name, kind, grant, **options):
        """A remote with a token that has expired, so that it is renewed at once."""
        token = {"access_token": "old", "token_type": "Bearer", "refresh_token": grant["refresh_token"],
                 "expiry": "2020-01-01T00:00:00Z"}
        options = dict(options, type=kind, client_id=grant["client_id"], client_secret=grant["client_secret"],
                       token=json.dumps(token))
        with open(self.environment["RCLONE_CONFIG"], "a", encoding="utf-8") as out:
            out.write("[%s]\n" % name + "".join("%s = %s\n" % option for option in options.items()))

    def run(self, *arguments):
        ran = subprocess.run(("rclone", "--low-level-retries", "3", "--retries", "1") + arguments, env=self.environment,
                             capture_output=True, text=True, timeout=120, check=False)
        if ran.returncode != 0:
            print("# rclone %s: %s" % (" ".join(arguments), ran.stderr.strip().replace("\n", "\n# ")))
        return ran

    def __call__(self, *arguments):
        return self.run(*arguments).returncode

    def lines(self, *arguments):
        return [line for line in self.run(*arguments).stdout.split("\n") if line]


def make_source(folder):
    """Files of every kind that services stumble over."""
    top = folder + "/source"
    os.makedirs(top + "/sub dir")
    for name, data in (("a.txt", b"hello"), ("empty", b""), ("it's.txt", b"q"), ("emoji 😀.bin", os.urandom(5000)),
                       ("sub dir/middle.bin", os.urandom(300000)), ("sub dir/large.bin", os.urandom(2500000)),
                       ("doc.docx", os.urandom(2000))):
        with open("%s/%s" % (top, name), "wb") as out:
            out.write(data)
    return top


def same_trees(one, other, but=(), words=""):
    """Are the files below two folders the same, byte by byte?"""
    names = sorted(os.path.relpath(os.path.join(where, name), one) for where, _, found in os.walk(one) for name in found)
    names = [name for name in names if name not in but]
    _, wrong, lost = filecmp.cmpfiles(one, other, names, shallow=False)
    if not ok(not wrong and not lost, words + "the same bytes"):
        print("# other: %r, not there: %r" % (wrong, lost))
