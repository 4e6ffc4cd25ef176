"""Google Drive's API v3 (www.googleapis.com), as its fact sheet says: gdrive_files.py
has the methods, gdrive_upload.py the uploads, gdrive_model.py what is kept,
gdrive_query.py q and fields, gdrive_acts.py what customers and tests do.

Strict: every method knows its parameters, their types, the scopes it asks for and
the fields of its body; whatever else comes is refused.

Routes are the methods' names (METHODS, UPLOADS below), upload.session for what is
sent to an upload's address, files.media for a download, docs.export for exportLinks
(docs.content for where these lead on to, if told so).

Faults that this part knows, besides the frame's (cloud_faults.py):

  error           status, reason, message: an error of the API (403 userRateLimitExceeded,
                  storageQuotaExceeded, dailyLimitExceeded ..., or any other)
  partial_chunk   keep (0): a chunk of an upload is kept only so far (bytes, rounded
                  down to 262,144)
  session_gone    the upload's session is forgotten: 404
  search_blind    files.list finds nothing of what is asked
  incomplete      files.list says incompleteSearch, with half of what it found
  empty_page      files.list or changes.list gives an empty page with a nextPageToken
  bad_token       files.list or changes.list refuses the pageToken; status (400)
  first_parent    files.list with several parents finds the children of the first only
  mismatch        the file's checksums are none of its bytes (until it is written again)
"""
import re

import gdrive_acts
import gdrive_files
import gdrive_upload
from cloud import Part, Refusal
from gdrive_model import Store
from gdrive_rep import error, invalid, refuse

SCOPE = "https://www.googleapis.com/auth/"
READ = ("drive", "drive.readonly", "drive.file", "drive.appdata", "drive.metadata", "drive.metadata.readonly")
WRITE = ("drive", "drive.file", "drive.appdata")
SYSTEM = {"alt": "str", "fields": "str", "key": "str", "prettyPrint": "bool", "quotaUser": "str",
          "uploadType": "str", "$.xgafv": "str"}
ALL = {"supportsAllDrives": "bool", "supportsTeamDrives": "bool"}
LISTED = dict(ALL, includeItemsFromAllDrives="bool", includeTeamDriveItems="bool", includeLabels="str",
              includePermissionsForView="str", pageToken="str")
CREATED = dict(ALL, enforceSingleParent="bool", ignoreDefaultVisibility="bool", includeLabels="str",
               includePermissionsForView="str", keepRevisionForever="bool", ocrLanguage="str",
               useContentAsIndexableText="bool")
COPIED = {key: kind for key, kind in CREATED.items() if key != "useContentAsIndexableText"}
UPDATED = dict(ALL, addParents="str", removeParents="str", enforceSingleParent="bool", includeLabels="str",
               includePermissionsForView="str", keepRevisionForever="bool", ocrLanguage="str",
               useContentAsIndexableText="bool")

# name, method, path, scopes, parameters, what carries it out
METHODS = (
    ("about.get", "GET", r"/about", READ, {}, gdrive_files.about),
    ("files.generateIds", "GET", r"/files/generateIds", WRITE,
     {"count": "int 1 1000", "space": "drive|appDataFolder", "type": "files|shortcuts"}, gdrive_files.generate_ids),
    ("files.list", "GET", r"/files", READ,
     dict(LISTED, corpora="user|domain|drive|allDrives", driveId="str", teamDriveId="str", orderBy="str",
          pageSize="int 1", q="str", spaces="str", corpus="user|domain"), gdrive_files.list_files),
    ("files.create", "POST", r"/files", WRITE, CREATED, gdrive_files.create),
    ("files.emptyTrash", "DELETE", r"/files/trash", ("drive",), {"driveId": "str", "enforceSingleParent": "bool"},
     gdrive_files.empty_trash),
    ("files.export", "GET", r"/files/(?P<id>[^/]+)/export", ("drive", "drive.file", "drive.readonly"),
     {"mimeType": "str"}, gdrive_files.export),
    ("files.copy", "POST", r"/files/(?P<id>[^/]+)/copy", WRITE, dict(COPIED, copyComments="bool"), gdrive_files.copy),
    ("files.get", "GET", r"/files/(?P<id>[^/]+)", READ,
     dict(ALL, acknowledgeAbuse="bool", includeLabels="str", includePermissionsForView="str"), gdrive_files.get),
    ("files.update", "PATCH", r"/files/(?P<id>[^/]+)", WRITE + ("drive.metadata", "drive.scripts"), UPDATED,
     gdrive_files.update),
    ("files.delete", "DELETE", r"/files/(?P<id>[^/]+)", WRITE, dict(ALL, enforceSingleParent="bool"),
     gdrive_files.delete),
    ("changes.getStartPageToken", "GET", r"/changes/startPageToken", READ,
     dict(ALL, driveId="str", teamDriveId="str"), gdrive_files.start_token),
    ("changes.list", "GET", r"/changes", READ,
     dict(LISTED, driveId="str", teamDriveId="str", includeRemoved="bool", includeCorpusRemovals="bool",
          pageSize="int 1", restrictToMyDrive="bool", spaces="str"), gdrive_files.list_changes),
    ("drives.list", "GET", r"/drives", ("drive", "drive.readonly"),
     {"pageSize": "int 1 100", "pageToken": "str", "q": "str", "useDomainAdminAccess": "bool"},
     gdrive_files.list_drives),
    ("drives.get", "GET", r"/drives/(?P<id>[^/]+)", ("drive", "drive.readonly"), {"useDomainAdminAccess": "bool"},
     gdrive_files.get_drive),
)
UPLOADS = (
    ("upload.create", "POST", r"/files", WRITE, CREATED, gdrive_upload.create),
    ("upload.update", "PATCH", r"/files/(?P<id>[^/]+)", WRITE + ("drive.metadata",), UPDATED, gdrive_upload.update),
)
REQUIRED = {"changes.list": ("pageToken",), "files.export": ("mimeType",)}
PLACES = ((r"(?:/resumable)?/upload/drive/v3", UPLOADS), (r"/drive/v3", METHODS))


class Client:
    """Who asks: a user, through an app, with scopes."""

    def __init__(self, store, token):
        self.store, self.mail, self.app = store, token.who, token.app.client_id if token.app else token.who
        self.user = store.user(self.mail)
        self.scopes = {s[len(SCOPE):] if s.startswith(SCOPE) else s for s in token.scopes}
        self.all_drives, self.docs = False, None

    @property
    def narrow(self):
        """Does it see the files of its app alone?"""
        return not self.scopes & {"drive", "drive.readonly", "drive.metadata", "drive.metadata.readonly"}

    def role(self, item):
        role = self.store.role(self.mail, item)
        if role and self.narrow and item.app != self.app and item.id != self.user.root:
            return None
        return role

    def sees_id(self, key):
        item = self.store.items.get(key)
        return item is not None and self.role(item) is not None


class Drive(Part):
    service = "google"
    hosts = {"api": ["www.googleapis.com", "drive.googleapis.com"], "docs": ["docs.google.com"],
             "content": ["doc-00-00-docs.googleusercontent.com"]}

    def __init__(self, world):
        super().__init__(world)
        self.store = Store(world)
        self.pages, self.uploads = {}, {}
        self.search_lag, self.lag_names_only = 0.0, True
        self.export_limit, self.export_redirect, self.led_on = 10 * 1024 * 1024, False, {}
        self.page_limit = 1000
        self.multipart_limit = 8 * 1024 * 1024

    # --- requests ---

    def called(self, call):
        """The method that is called; looked for once."""
        if call.method_called is None:
            call.method_called = self.find(call)
        return call.method_called

    def find(self, call):
        if call.host == "docs":
            found = re.match(r"/feeds/download/[a-z]+\Z", call.path)
            return ("docs.export", None, None) if found and call.method == "GET" else ("unknown", None, None)
        if call.host == "content":
            return "docs.content", None, None
        for place, methods in PLACES:
            inner = re.match(place + r"(/.*)?\Z", call.path)
            if not inner:
                continue
            if call.query.get("upload_id") and methods is UPLOADS:
                return "upload.session", None, inner
            for row in methods:
                found = re.match(row[2] + r"\Z", inner.group(1) or "/")
                if found and row[1] == call.method:
                    return row[0], row, found
        return "unknown", None, None

    def route(self, call):
        name = self.called(call)[0]
        return "files.media" if name == "files.get" and call.query.get("alt") == "media" else name

    async def answer(self, call):
        name, row, found = self.called(call)
        if call.fault_is("error"):
            fault = call.fault
            status, reason = int(fault.get("status", 403)), fault.get("reason", "userRateLimitExceeded")
            headers = {"Retry-After": str(fault.get("retry_after"))} if fault.get("retry_after") else None
            return error(status, reason, fault.get("message", reason), headers=headers)
        if name == "upload.session":
            return await gdrive_upload.session(self, call)
        if name == "docs.content":
            return gdrive_files.led_on(self, call)
        client = self.client(call)
        if name == "docs.export":
            return await gdrive_files.export_link(self, call, client)
        if row is None:
            return error(404, "notFound", "Not Found")
        if not client.scopes & set(row[3]):
            refuse(403, "insufficientPermissions", "Insufficient Permission", status_name="PERMISSION_DENIED", headers={
                "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="insufficient_scope", '
                'scope="%s"' % " ".join(SCOPE + s for s in row[3])})
        params = self.params(call, row[4], name)
        client.all_drives = params.get("supportsAllDrives", params.get("supportsTeamDrives", False))
        return await row[5](self, call, client, params, **found.groupdict())

    def client(self, call):
        token, why = self.world.authority["google"].bearer(call)
        if why:
            message = "Login Required." if why == "missing" else "Invalid Credentials"
            raise Refusal(error(401, "required" if why == "missing" else "authError", message, "Authorization",
                                "header", {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'
                                           + ('' if why == "missing" else ', error="invalid_token"')},
                                "UNAUTHENTICATED"))
        client = Client(self.store, token)
        real = call.headers.get("Host", "").endswith("googleapis.com")
        client.docs = "https://docs.google.com" if real else "https://127.0.0.1:%d" % self.world.ports["google"]["docs"]
        return client

    def params(self, call, known, name):
        """The query by its types; what the method does not know is refused."""
        types = dict(SYSTEM, **known)
        if name.startswith("upload.") or name == "upload.session":
            types["upload_protocol"] = "str"
        params = {}
        for key in call.query:
            values = call.query.getall(key)
            if key not in types:
                refuse(400, "invalidParameter", "Unknown name \"%s\": Cannot bind query parameter." % key, key)
            if len(values) > 1:
                refuse(400, "invalidParameter", "The parameter %s stands twice." % key, key)
            params[key] = typed(key, values[0], types[key])
        for key in REQUIRED.get(name, ()):
            if key not in params:
                refuse(400, "required", "Required parameter: %s" % key, key)
        if params.get("alt", "json") not in ("json", "media"):
            invalid("alt")
        if params.get("alt") == "media" and name not in ("files.get", "files.export", "files.create", "files.update") \
                and not name.startswith("upload."):
            invalid("alt", "This method does not support media download.")
        return params

    # --- acts ---

    def act(self, told):
        act = getattr(gdrive_acts, "act_" + str(told.get("act")), None)
        return act(self, told) if act is not None else None

    def throttled(self, call, fault):
        import cloud_faults
        reason = fault.get("reason", "rateLimitExceeded")
        status = int(fault.get("status", 429))
        message = fault.get("message", "Rate Limit Exceeded" if reason == "rateLimitExceeded" else "User Rate Limit Exceeded")
        return error(status, reason, message, headers=cloud_faults.retry_after(self.world, fault))

    def unavailable(self, call, fault):
        import cloud_faults
        status = int(fault.get("status", 503))
        return error(status, "backendError", "Backend Error", headers=cloud_faults.retry_after(self.world, fault))


def typed(key, value, kind):
    if kind == "bool":
        if value not in ("true", "false"):
            refuse(400, "invalidParameter", "Invalid boolean value: '%s'." % value, key)
        return value == "true"
    if kind.startswith("int"):
        limits = [int(n) for n in kind.split()[1:]]
        if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) < limits[0] or (
                len(limits) > 1 and int(value) > limits[1]):
            refuse(400, "invalidParameter", "Invalid value '%s'. Values must be within the range: %s" % (
                value, limits), key)
        return int(value)
    if kind != "str" and value not in kind.split("|"):
        refuse(400, "invalidParameter", "Invalid string value: '%s'. Allowed values: [%s]" % (
            value, kind.replace("|", ", ")), key)
    return value


PARTS = [Drive]