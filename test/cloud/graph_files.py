"""The host that bytes come from and go to: no request there brings a token."""
import re
import urllib.parse

import graph_upload
from cloud import Answer
from gdrive_files import ranged
from graph_rep import LINK_END, error, refuse, sign

PAGE = "<html><head><title>401 Unauthorized</title></head><body>Access denied.</body></html>"


def kind(call):
    path = call.request.raw_path.partition("?")[0]
    if path.endswith("/uploadSession"):
        return "upload"
    if path.endswith("/download.aspx"):
        return "download"
    return "monitor" if path.startswith("/monitor/") else None


async def answer(part, call):
    what = kind(call)
    if "Authorization" in call.headers and not part.takes_tokens:
        if what == "download":
            return Answer(401, PAGE, content_type="text/html")
        return error(call, 401, "unauthenticated", "The caller is not authenticated.")
    if call.fault_is("temp_expired"):
        return Answer(int(call.fault.get("status", 401)), PAGE, content_type="text/html")
    if what == "download" and call.method in ("GET", "HEAD"):
        return download(part, call)
    if what == "monitor":
        return Answer(200, {"status": "completed", "resourceId": call.path.rpartition("/")[2], "percentageComplete": 100})
    if what != "upload":
        refuse(call, 404, "itemNotFound", "The resource could not be found.")
    if call.fault_is("quota"):
        refuse(call, 507, "quotaLimitReached", "Insufficient Space Available")
    if call.fault_is("locked"):
        refuse(call, 423, "notAllowed", "The resource you are attempting to access is locked", "resourceLocked")
    steps = {"PUT": graph_upload.put, "GET": graph_upload.status, "DELETE": graph_upload.cancel,
             "POST": graph_upload.finish}
    if call.method not in steps:
        refuse(call, 405, "notAllowed", "The HTTP method is not allowed.")
    return await steps[call.method](part, call)


def download(part, call):
    """A pre-authenticated address, taken as it was given or not at all."""
    found = re.fullmatch(r"/personal/([^/]+)/_layouts/15/download\.aspx\?(UniqueId=([^&]+)&Translate=false&tempauth=v1\."
                         r"(\d+)\.)CloudSecret([0-9a-f]{48})(.*)", call.request.raw_path)
    if not found:
        return Answer(401, PAGE, content_type="text/html")
    drive = part.store.drive(urllib.parse.unquote(found.group(1)))
    if drive is None or found.group(6) != LINK_END or sign(drive.id + "|" + found.group(2)) != found.group(5) \
            or int(found.group(4)) < part.world.now():
        return Answer(401, PAGE, content_type="text/html")
    part.store.settle(drive)
    one = drive.get(urllib.parse.unquote(found.group(3)))
    if one is None or one.content is None:
        return Answer(404, PAGE, content_type="text/html")
    call.subject = drive.path(one)
    if one.malware:
        return error(call, 403, "accessDenied", "Malware detected", "malwareDetected", {"X-Virus-Infected": "Eicar"})
    blob = one.served or one.content
    headers = {"ETag": one.etag}
    if call.fault_is("ignore_range"):
        return Answer(200, blob, headers, one.mime)
    return ranged(call, blob, one.mime, headers)
