"""rclone at the test cloud's Google Drive, by the cloud's proxy, since it knows only
the real names."""
import os
import shutil

from client import act, control, done, ok, same
from rclone_client import Rclone, make_source, same_trees

rclone = Rclone()
grant = act("google", "grant")
rclone.remote("drive", "drive", grant, scope="drive")
source = make_source(rclone.folder)

same(rclone("copy", source, "drive:Top/Folder", "--drive-chunk-size", "1M", "--drive-upload-cutoff", "256k"), 0, "copies there")
ok(control("requests", {"service": "google", "route": "upload.session", "count": True}) > 3, "in chunks")
same(rclone("check", source, "drive:Top/Folder"), 0, "compares by checksum")
same(rclone("copy", "drive:Top/Folder", rclone.folder + "/back"), 0, "copies back")
same_trees(source, rclone.folder + "/back")
same(rclone("moveto", "drive:Top/Folder/a.txt", "drive:Top/renamed.txt"), 0, "moves a file")
same(rclone("moveto", "drive:Top/Folder/sub dir", "drive:Top/moved"), 0, "moves a folder")
with open(os.path.join(source, "it's.txt"), "w", encoding="utf-8") as out:
    out.write("changed")
before = act("google", "item", path="/Top/Folder/it's.txt")
same(rclone("copyto", source + "/it's.txt", "drive:Top/Folder/it's.txt"), 0, "sends a new version")
after = act("google", "item", path="/Top/Folder/it's.txt")
same((after["id"], after["size"], after["twins"]), (before["id"], 7, 1), "to the same file")
same(rclone("copyto", "drive:Top/renamed.txt", "drive:Top/copy.txt"), 0, "copies on the server")
same(rclone("deletefile", "drive:Top/renamed.txt"), 0, "deletes a file")
same(rclone("purge", "drive:Top/moved"), 0, "deletes a folder")
same(rclone("about", "drive:"), 0, "asks for the quota")
for text in ("1", "2"):
    act("google", "add", path="/Twins/twin", text=text, twin=True)
same(rclone("dedupe", "--dedupe-mode", "rename", "drive:Twins"), 0, "renames twins")
same(sorted(e["name"] for e in act("google", "tree", path="/Twins")), ["twin-1", "twin-2"], "that were there")
same(sorted(rclone.lines("lsf", "-R", "--files-only", "--fast-list", "drive:Top")),
     sorted(["copy.txt", "Folder/doc.docx", "Folder/emoji 😀.bin", "Folder/empty", "Folder/it's.txt"]), "lists")
act("google", "native", path="/Top/document", text="exported")
same(rclone("copy", "drive:Top", rclone.folder + "/exported", "--include", "document.*"), 0, "exports")
same(rclone.lines("lsf", rclone.folder + "/exported"), ["document.docx"], "a document")
refused = [e for e in control("requests", {"service": "google"}) if e["status"] in (400, 403)]
same(refused, [], "not one request was refused")
shutil.rmtree(rclone.folder)
done()
