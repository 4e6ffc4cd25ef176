"""rclone at the test cloud's OneDrive (work and personal) and SharePoint, by the
cloud's proxy, since it knows only the real names. Debian 12's sends its token to the
bytes' host too, which the services minded only later: so told, the cloud does not."""
import os
import shutil

from client import act, control, done, ok, same
from rclone_client import Rclone, make_source, same_trees

rclone = Rclone()
act("graph", "setting", takes_tokens=True)
scopes = ["Files.Read", "Files.ReadWrite", "Files.Read.All", "Files.ReadWrite.All", "offline_access"]
for name, where in (("work", {}), ("personal", {"user": "bert@outlook.example"}), ("library", {"site": "/sites/team-a"})):
    drive = act("graph", "drive_info", **where)
    asked = scopes + ([] if name == "personal" else ["Sites.Read.All"])
    rclone.remote(name, "onedrive", act("graph", "grant", scopes=asked, **{k: v for k, v in where.items() if k == "user"}),
                  drive_id=drive["id"], drive_type=drive["kind"])

for name, where in (("work", {}), ("personal", {"user": "bert@outlook.example"}), ("library", {"site": "/sites/team-a"})):
    source = make_source(rclone.folder + "/" + name)
    rewritten = ["--ignore-size", "--ignore-checksum"] if name == "library" else []
    same(rclone("copy", source, name + ":Top/Folder", "--onedrive-chunk-size", "320k", *rewritten), 0, name + ": copies there")
    same(rclone("check", source, name + ":Top/Folder", "--exclude", "*.docx"), 0, name + ": compares by quickXorHash")
    same(rclone("copy", name + ":Top/Folder", rclone.folder + "/" + name + "/back", *rewritten), 0, name + ": copies back")
    same_trees(source, rclone.folder + "/" + name + "/back", ("doc.docx",) if rewritten else (), name + ": ")
    same(rclone("moveto", name + ":Top/Folder/a.txt", name + ":Top/renamed.txt"), 0, name + ": moves a file")
    same(rclone("moveto", name + ":Top/Folder/sub dir", name + ":Top/moved"), 0, name + ": moves a folder")
    before = act("graph", "item", path="/Top/Folder/it's.txt", **where)
    with open(os.path.join(source, "it's.txt"), "w", encoding="utf-8") as out:
        out.write("changed")
    same(rclone("copyto", source + "/it's.txt", name + ":Top/Folder/it's.txt"), 0, name + ": sends a new version")
    after = act("graph", "item", path="/Top/Folder/it's.txt", **where)
    same((after["id"], after["size"]), (before["id"], 7), name + ": to the same file")
    if name != "work":
        continue
    same(rclone("copyto", "work:Top/renamed.txt", "work:Top/copy.txt"), 0, "copies on the server")
    same(rclone("deletefile", "work:Top/renamed.txt"), 0, "deletes a file")
    same(rclone("purge", "work:Top/moved"), 0, "deletes a folder")
    same(rclone("about", "work:"), 0, "asks for the quota")
    same(sorted(rclone.lines("lsf", "-R", "--files-only", "work:Top")),
         sorted(["copy.txt", "Folder/doc.docx", "Folder/emoji 😀.bin", "Folder/empty", "Folder/it's.txt"]), "lists")
ok(control("requests", {"service": "graph", "route": "upload.put", "count": True}) > 6, "in fragments")
same(act("graph", "sessions"), {"sessions": 0, "held": 0}, "no session is left")
refused = [e for e in control("requests", {"service": "graph", "host": ["api", "files"]}) if e["status"] in (400, 401, 403, 409, 416)]
same(refused, [], "not one request was refused")
shutil.rmtree(rclone.folder)
done()
