"""Microsoft Graph's drives (graph.microsoft.com) and the hosts that bytes go to and come
from, as their fact sheet says: graph_path.py has the addresses, graph_items.py items,
graph_upload.py sessions, graph_delta.py changes, graph_files.py the bytes' host,
graph_model.py what is kept, graph_acts.py what customers and tests do.

At the start: a OneDrive for each user (work: business, otherwise personal), the site
contoso.sharepoint.com and its /sites/team-a with the libraries Documents and Archive.

Routes are the names in ITEMS and FILES below, drive.get, drives.list, user.get,
site.get and sites.search.

Faults that this part knows, besides the frame's (cloud_faults.py):

  error           status, code, message, inner, retry_after: an error of the API
  resync          delta: 410; code (resyncChangesApplyDifferences), location (true)
  sync_lost       delta: 400 syncStateNotFound
  delta_loop      delta: the nextLink is the request's own address
  stuck_link      delta: the deltaLink says token=latest
  duplicates      delta: each item stands twice in the page, first as it was before
  empty_page      delta, children: an empty page with a nextLink
  moved_away      children: 302 to the same at another address
  fragment_404    an upload's fragment: 404, as for a session of a replaced Office file
  session_lost    the session is forgotten: 404
  temp_expired    the address of an upload or a download is no longer valid: 401 (status)
  quota           507 quotaLimitReached
  locked          423 resourceLocked
  lost_early      an upload is committed, its answer is 202 asking for what is there
  stranded        the last fragment: 500, but the file is there
  no_content      a PATCH answers 204 without a body
  ignore_range    a download gives all of the file
"""
import re
import urllib.parse

import cloud_faults
import graph_acts
import graph_delta
import graph_files
import graph_items
import graph_path
import graph_upload
from cloud import Answer, Part
from graph_model import Store
from graph_rep import DRIVE_PROPERTIES, answer, bad_request, drive, error, not_found, refuse, site

READS = {"Files.Read", "Files.ReadWrite", "Files.Read.All", "Files.ReadWrite.All", "Sites.Read.All",
         "Sites.ReadWrite.All", "Sites.Selected", "Files.ReadWrite.AppFolder"}
WRITES = {"Files.ReadWrite", "Files.ReadWrite.All", "Sites.ReadWrite.All", "Sites.Selected"}
ALL = {"Files.Read.All", "Files.ReadWrite.All", "Sites.Read.All", "Sites.ReadWrite.All"}

# What is asked of an item: (method, action) -> name, what carries it out, the query
ITEMS = {
    ("GET", ""): ("item.get", graph_items.get, {"$select", "$expand"}),
    ("PATCH", ""): ("item.update", graph_items.update, set()),
    ("PUT", ""): ("item.put", graph_items.put_item, set()),
    ("DELETE", ""): ("item.delete", graph_items.delete, set()),
    ("POST", "permanentDelete"): ("item.permanentDelete", graph_items.delete, set()),
    ("GET", "children"): ("children.list", graph_items.children, {"$select", "$top", "$orderby", "$expand", "$skiptoken"}),
    ("POST", "children"): ("children.create", graph_items.create, set()),
    ("GET", "content"): ("content.get", graph_items.download, set()),
    ("PUT", "content"): ("content.put", graph_items.upload, {"@microsoft.graph.conflictBehavior"}),
    ("POST", "createUploadSession"): ("upload.create", graph_upload.create, set()),
    ("GET", "delta"): ("delta", graph_delta.delta, {"$select", "$top", "$expand", "token"}),
    ("POST", "copy"): ("item.copy", graph_items.copy, {"@microsoft.graph.conflictBehavior"}),
}
FILES = {("upload", "PUT"): "upload.put", ("upload", "GET"): "upload.get", ("upload", "DELETE"): "upload.delete",
         ("upload", "POST"): "upload.commit", ("download", "GET"): "download", ("download", "HEAD"): "download"}


class Client:
    """Who asks: a user or an app by itself, with scopes."""

    def __init__(self, token):
        self.token, self.user, self.scopes = token, token.user, token.scopes
        self.app = token.app.client_id if token.app else None

    def may(self, one, write):
        """May it read, or write, in this drive?"""
        scopes = self.scopes & (WRITES if write else READS)
        if one.site is None:
            if self.user is not None and one.owner is self.user:
                return bool(scopes - {"Sites.Selected"})
            return self.user is None and bool(scopes & ALL) and not one.personal
        if self.user is not None and (self.user.extra.get("personal") or self.user.email in one.site.strangers):
            return False
        if scopes & ALL:
            return True
        role = one.site.grants.get(self.app)
        return "Sites.Selected" in scopes and role is not None and (not write or role != "read")


class Graph(Part):
    service = "graph"
    hosts = {"api": ["graph.microsoft.com"], "files": []}

    def __init__(self, world):
        super().__init__(world)
        self.store = Store(world)
        self.sessions, self.tokens = {}, {}
        self.vary_ids = self.encoded_paths = self.no_links = self.takes_tokens = self.truncates = False
        self.link_lifetime = 3600
        self.put_limit = 250 * 1024 * 1024
        self.folder_delta, self.page_size = True, 0
        self.copies = {}

    def origin(self, host):
        return "https://127.0.0.1:%d" % self.world.ports["graph"][host]

    # --- requests ---

    def whose(self, call):
        found = re.match(r"/personal/([^/]+)/", call.request.raw_path)
        one = self.store.drive(urllib.parse.unquote(found.group(1))) if found else None
        return one.owner.email if one is not None and one.owner is not None else None

    def place(self, call):
        raw = call.request.raw_path.partition("?")[0]
        if not raw.startswith("/v1.0/"):
            return None
        try:
            return graph_path.parse(raw[len("/v1.0"):])
        except graph_path.BadPath as why:
            return str(why)

    def route(self, call):
        if call.host == "files":
            return FILES.get((graph_files.kind(call), call.method), "files.unknown")
        place = call.place = self.place(call)
        if place is None:
            return "unknown"
        if isinstance(place, str):
            return "bad_path"
        if place.kind == "item":
            return ITEMS.get((call.method, place.action), ("item.unknown",))[0]
        return {"drive": "drive.get", "drives": "drives.list", "user": "user.get", "site": "site.get",
                "sites": "sites.search"}.get(place.kind, "unknown")

    async def answer(self, call):
        if call.fault_is("error"):
            fault = call.fault
            headers = {"Retry-After": str(fault.get("retry_after"))} if fault.get("retry_after") else None
            return error(call, int(fault.get("status", 400)), fault.get("code", "generalException"),
                         fault.get("message", "General exception while processing"), fault.get("inner"), headers)
        if call.host == "files":
            return await graph_files.answer(self, call)
        client = self.client(call)
        place = call.place
        if call.method == "POST" and "Content-Length" not in call.headers and "Transfer-Encoding" not in call.headers:
            return Answer(411, "Length Required", content_type="text/html")
        if isinstance(place, str):
            if call.method == "PUT":
                bad_request(call, "Entity only allows writes with a JSON Content-Type header.")
            bad_request(call, place)
        if place is None or place.kind == "unknown":
            bad_request(call, "Resource not found for the segment in %s" % call.path)
        if place.kind == "item":
            return await self.of_item(call, client, place)
        if call.method != "GET":
            refuse(call, 405, "notAllowed", "The HTTP method is not allowed.")
        return getattr(self, "get_" + place.kind)(call, client, place)

    async def of_item(self, call, client, place):
        row = ITEMS.get((call.method, place.action))
        if row is None:
            refuse(call, 405, "notAllowed", "The HTTP method is not allowed.")
        one = self.drive_at(call, client, place)
        if not client.may(one, call.method not in ("GET", "HEAD")):
            refuse(call, 403, "accessDenied", "Access denied")
        self.check_query(call, row[2])
        self.store.settle(one)
        call.subject = "/" + "/".join(place.names) if place.item == "root" else place.item + "".join(
            "/" + name for name in place.names)
        if call.fault_is("quota"):
            refuse(call, 507, "quotaLimitReached", "Insufficient Space Available")
        if call.fault_is("locked"):
            refuse(call, 423, "notAllowed", "The resource you are attempting to access is locked", "resourceLocked")
        return await row[1](self, call, client, one, place)

    def check_query(self, call, known):
        for key in call.query:
            if key not in known or len(call.query.getall(key)) > 1:
                bad_request(call, "The query parameter %s is not supported here." % key)

    def client(self, call):
        token, why = self.world.authority["graph"].bearer(call)
        if why:
            message = {"missing": "Access token is empty.", "expired": "Lifetime validation failed, the token is expired.",
                       "malformed": "CompactToken parsing failed"}.get(why, "Access token validation failure.")
            refuse(call, 401, "InvalidAuthenticationToken", message, headers={
                "WWW-Authenticate": 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/'
                'oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"'})
        return Client(token)

    # --- users, sites, drives ---

    def user_at(self, call, client, name):
        if name == "me":
            if client.user is None:
                refuse(call, 400, "BadRequest", "/me request is only valid with delegated authentication flow.")
            return client.user
        try:
            user = self.world.authority["graph"].user(name)
        except ValueError:
            refuse(call, 404, "ResourceNotFound", "Resource could not be discovered.")
        if user.extra.get("personal") and user is not client.user:
            refuse(call, 404, "ResourceNotFound", "User not found")
        return user

    def site_at(self, call, client, place):
        if client.user is not None and client.user.extra.get("personal"):
            refuse(call, 400, "BadRequest", "Tenant does not have a SPO license.")
        found = None
        if place.site_path is not None:
            found = self.store.find_site(place.site, place.site_path)
        elif place.site == "root":
            found = self.store.sites[0]
        else:
            for one in self.store.sites:
                if one.id == place.site or (one.path == "" and one.host == place.site):
                    found = one
        if found is None:
            refuse(call, 404, "itemNotFound", "Requested site could not be found")
        if not client.may(found.drives[0], False):
            refuse(call, 403, "accessDenied", "Access denied")
        return found

    def drive_at(self, call, client, place):
        if place.drive is not None:
            one = self.store.drive(place.drive)
            if one is None:
                known = [self.store.drive_of(u) for u in self.world.authority["graph"].users.values()]
                one = next((d for d in known if d.id == place.drive), None)
            if one is None:
                not_found(call)
            return one
        if place.site is not None:
            return self.site_at(call, client, place).drives[0]
        one = self.store.drive_of(self.user_at(call, client, place.user))
        if not one.provisioned:
            if client.user is None:
                refuse(call, 404, "itemNotFound", "User's mysite not found.", "resourceNotFound")
            one.provisioned = True
        return one

    def get_user(self, call, client, place):
        user = self.user_at(call, client, place.user)
        return answer(call, 200, {"id": user.id, "displayName": user.name, "mail": user.email,
                                  "userPrincipalName": user.email}, "users/$entity")

    def get_drive(self, call, client, place):
        one = self.drive_at(call, client, place)
        self.check_query(call, {"$select"})
        if not client.may(one, False):
            refuse(call, 403, "accessDenied", "Access denied")
        return answer(call, 200, drive(self, one, self.select(call, DRIVE_PROPERTIES)), "drives/$entity")

    def get_drives(self, call, client, place):
        self.check_query(call, {"$select", "$top"})
        if place.site is not None:
            found = self.site_at(call, client, place).drives
        else:
            found = [self.store.drive_of(self.user_at(call, client, place.user))]
        select = self.select(call, DRIVE_PROPERTIES)
        return answer(call, 200, {"value": [drive(self, one, select) for one in found if client.may(one, False)]},
                      "drives")

    def get_site(self, call, client, place):
        self.check_query(call, {"$select"})
        return answer(call, 200, site(self.site_at(call, client, place)), "sites/$entity")

    def get_sites(self, call, client, place):
        self.check_query(call, {"search", "$select", "$top"})
        if "search" not in call.query:
            bad_request(call, "Listing all sites is not supported.")
        if not client.scopes & {"Sites.Read.All", "Sites.ReadWrite.All"}:
            refuse(call, 403, "accessDenied", "Access denied")
        word = call.query["search"].lower()
        return answer(call, 200, {"value": [site(one) for one in self.store.sites if word in ("*", "") or
                                            word in one.name.lower() or word in one.path.lower()]}, "sites")

    def select(self, call, known):
        """The properties of $select, or None for all."""
        text = call.query.get("$select")
        if text is None:
            return None
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                refuse(call, 400, "BadRequest", "Could not find a property named '%s' on type "
                       "'microsoft.graph.driveItem'." % name)
        return set(names)

    # --- acts and faults ---

    def act(self, told):
        act = getattr(graph_acts, "act_" + str(told.get("act")), None)
        return act(self, told) if act is not None else None

    def throttled(self, call, fault):
        return error(call, 429, "activityLimitReached", "The app or user has been throttled.", "throttledRequest",
                     cloud_faults.retry_after(self.world, fault))

    def unavailable(self, call, fault):
        return error(call, int(fault.get("status", 503)), "serviceNotAvailable", "The service is not available.",
                     "serviceReadOnly" if fault.get("read_only") else None,
                     cloud_faults.retry_after(self.world, fault))


def unquoted(text):
    return urllib.parse.unquote(text) if re.search("%", text) else text


PARTS = [Graph]
