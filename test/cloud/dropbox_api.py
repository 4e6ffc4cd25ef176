"""Dropbox's API (fact sheet, sections 1, 3, 4, 7): the hosts api, content and
notify. The routes and what they take are in dropbox_args.py, what an account holds
in dropbox_tree.py, the work itself in dropbox_files.py, dropbox_list.py and
dropbox_sessions.py; here is what all requests have in common.

At the start anna's account has an empty home; bert's has a home and a team space
with the folder "Projects" (other accounts get a home when they are first used).

Faults that this part knows, besides those of cloud_faults.py:
  locked         the namespace is locked: 429 too_many_write_operations; form and
                 retry_after as with throttle (default: none); of: "entry" (in
                 finish_batch_v2: each entry of `entries` (indices; all)), "error" (in
                 the route's own union, 409)
  quota          insufficient_space, of whatever commits (path/insufficient_space)
  data_limit     403: the plan's data transport is used up
  partial        the first `after` (half) bytes of an upload_session append's or
                 upload's body are stored, then the connection is reset
  not_found      lookup error not_found (get_metadata, download, ...)
  restricted     restricted_content (download)
  reset_cursor   409 reset (list_folder/continue, longpoll)
  backoff        longpoll: no other for `seconds` (5)
  empty_page     list_folder, continue: no entries, has_more true
  small_page     list_folder, continue: at most `entries` (1) entries
  internal       500 with an empty body
  disallowed     disallowed_name of what commits
  entry_failure  finish_batch_v2: entries (indices) fail with `error` (a union)

Acts: path is from the home ("/a/b"); user whose account; root: true: the path is
from the team space's root.
  add        path, content (text) or base64 or size (that many bytes), folder: true,
             modified (seconds): a file with its parents, replacing what is there
  edit       path, content: the same, of a file that is there
  rename     path, to    move: path, to    copy: path, to    delete: path
  restore    path: a deleted file, under its old id
  empty_trash   deleted files cannot be restored, their revisions are gone
  bulk       path, count, prefix, suffix, size: many files at once in a folder
  quota      bytes: what the account may hold (allocated)
  locks      hold (seconds that a commit holds its namespace; 0: no contention),
             retry_after, form; at the start 0.01, none. Gives how many are held
  settings   append_batch: false (the service does not take it), page (entries of a
             page where no limit is told, 500), app_folder: true (path root refused),
             emoji: false (names with them are malformed), novel: true (answers have
             fields that no client knows yet)
  flag       path, flag: restricted, no_download, read_only; on
  reset_cursors  cursors given until now are refused
  polls      how: drop (the connections of longpolls being held are reset) or end
             (they are answered as if their time were up)
  share      path, user: a shared folder (a namespace of its own) that both have
  tree       path: all that is below, [{path, id, rev, size, sha256, content_hash,
             folder}]     read: path: {content (base64), ...}
  sessions   how many upload sessions are open, bytes in them
"""
import asyncio
import base64
import json
import re

import dropbox_files
import dropbox_list
import dropbox_sessions
from blobs import Blob
from cloud import Answer, Part, Refusal, no_constant, no_twins
from cloud_faults import retry_after
from dropbox_args import PATH_ROOT, ROUTES, Invalid, check
from dropbox_tree import Problem, Tree, key_of
from oauth import basic

MEMBER = "dbmid:AAHhy7WsR0x-u4ZCqiDl5Fz5zvuL3kmspwU"  # of the team, the only one
TOKEN = ("/oauth2/token", "/1/oauth2/token")  # the latter of old, still used by rclone
STYLES = {"rpc": ("application/json", "application/json; charset=utf-8", "text/plain; charset=dropbox-cors-hack"),
          "upload": ("application/octet-stream", "text/plain; charset=dropbox-cors-hack"),
          "download": ("", "application/octet-stream", "application/octet-stream; charset=utf-8", "text/plain",
                       "text/plain; charset=utf-8")}


def union(tags):
    """The JSON of a union: ("path", "conflict", "folder") and so on; a dict among
    the tags holds fields that are flattened beside the tag before it."""
    tag, rest = tags[0], tags[1:]
    told = {".tag": tag}
    if rest and isinstance(rest[0], dict):
        told.update(rest[0])
    elif rest:
        told[tag] = union(rest)
    return told


def summary(error):
    words = []
    while isinstance(error, dict) and ".tag" in error:
        words.append(error[".tag"])
        error = error.get(error[".tag"], error.get("reason"))
    return "/".join(words)


class Account:
    """A user's place: tree, home, root, and how it is set."""

    def __init__(self, world, user, serial):
        self.user, self.tree = user, Tree(world.now, serial)
        number = 1000000 + serial * 10
        if user.extra.get("team"):
            self.root = self.tree.namespace("", None, str(number + 1))
            self.home = self.tree.namespace(user.name, self.root, str(number))
            self.tree.namespace("Projects", self.root, str(number + 2))
        else:
            self.root = self.home = self.tree.namespace("", None, str(number))
        self.quota = 2 * 1024**4

    def namespaces(self):
        return self.tree.spaces


class DropboxApi(Part):
    service = "dropbox"
    hosts = {"api": ["api.dropboxapi.com", "api.dropbox.com"], "content": ["content.dropboxapi.com"],
             "notify": ["notify.dropboxapi.com"]}

    def __init__(self, world):
        super().__init__(world)
        self.authority = world.authority["dropbox"]
        self.accounts, self.sessions, self.jobs = {}, {}, {}
        self.settings = {"append_batch": True, "page": 500, "app_folder": False, "emoji": True, "novel": False}
        self.hold, self.lock_form = 0.01, {}
        self.locked = {}
        self.cursors_from = 0
        self.cursor_key = 0
        self.changed = asyncio.Event()
        self.polls = {"drop": 0, "end": 0}

    def account(self, user):
        if user.id not in self.accounts:
            self.accounts[user.id] = Account(self.world, user, len(self.accounts) + 1)
        return self.accounts[user.id]

    def route(self, call):
        if call.path in TOKEN:
            return "oauth2/token"
        if not call.path.startswith("/2/"):
            return call.path.strip("/")
        return call.path[3:]

    # --- refusals ---

    def bad(self, call, words):
        return Refusal(Answer(400, 'Error in call to API function "%s": %s' % (call.route, words)))

    def error(self, status, error, **more):
        # The summary ends in dots and slashes, more or fewer.
        self.cursor_key += 1
        told = {"error_summary": summary(error) + "/" + ("", ".", "..", "...")[self.cursor_key % 4], "error": error}
        return Answer(status, dict(told, **more))

    def problem(self, *tags):
        return Refusal(self.error(409, union(tags)))

    def throttled(self, call, fault):
        return self.too_many(fault.told, fault.get("reason", "too_many_requests"))

    def too_many(self, told, reason):
        form = told.get("form", "json")
        if form == "text":
            return Answer(429, "too_many_requests", {"Retry-After": str(told.get("retry_after", 1))})
        error = {"reason": {".tag": reason}}
        headers = {}
        if told.get("retry_after") is not None:
            if form == "json":
                error["retry_after"] = told["retry_after"]
                headers = {"Retry-After": str(told["retry_after"])}
            elif form != "none":
                headers = retry_after(self.world, type("Told", (), {"get": staticmethod(lambda k, d=None: told.get(k, d))}))
        return Answer(429, {"error_summary": reason + "/..", "error": error}, headers)

    # --- a request ---

    async def answer(self, call):
        if call.path in TOKEN:
            return await self.authority.token(call) if call.host == "api" else Answer(404, "")
        route = ROUTES.get(call.route)
        if call.route == "files/upload_session/append_batch" and not self.settings["append_batch"]:
            route = None
        if route is None or not call.path.startswith("/2/"):
            return Answer(400 if call.path.startswith("/2/") else 404, 'Unknown API function: "%s"' % call.route)
        if route.host != call.host:
            return Answer(400, 'Error in call to API function "%s": this function is not served by this host; use %s.' % (
                call.route, self.hosts[route.host][0]))
        if call.method != "POST" and not (route.style == "download" and call.method == "GET"):
            return Answer(405, 'Error in call to API function "%s": POST is needed' % call.route)
        if call.fault_is("internal"):
            return Answer(500, "")
        account = self.who(call, route)
        argument = await self.argument(call, route)
        root = self.path_root(call, account)
        if call.fault_is("data_limit"):
            return self.error(403, union(("invalid_account_type", "feature")), user_message={
                "locale": "en", "text": "Your team has reached its monthly data transport limit."})
        if isinstance(argument, dict):
            call.subject = self.subject(argument)
        if call.fault_is("locked"):
            return await self.lock_fault(call, route, account, root, argument)
        work = Work(self, call, account, root)
        for module in (dropbox_files, dropbox_list, dropbox_sessions):
            if call.route in module.WORK:
                done = await module.WORK[call.route](work, argument)
                if done is None:
                    return Answer(200, "null", content_type="application/json")
                if self.settings["novel"] and isinstance(done, dict):
                    for told in [done] + [e for e in done.get("entries", []) if isinstance(e, dict)]:
                        told["novel_field"] = {".tag": "novel_tag"}
                return done if isinstance(done, Answer) else Answer(200, done)
        return self.about(call, account, argument)

    def subject(self, argument):
        for name in ("path", "from_path"):
            if name in argument:
                return argument[name]
        if "commit" in argument:
            return argument["commit"]["path"]
        if "entries" in argument:
            return "%d entries" % len(argument["entries"])
        return None

    async def lock_fault(self, call, route, account, root, argument):
        of = call.fault.get("of")
        if of == "entry":
            work = Work(self, call, account, root)
            work.locked_entries = call.fault.get("entries", list(range(1000)))
            return Answer(200, await dropbox_sessions.WORK[call.route](work, argument))
        if of == "error":
            prefix = ("reason",) if call.route == "files/upload" else ("path",)
            if prefix == ("reason",):
                return self.error(409, {".tag": "path", "reason": {".tag": "too_many_write_operations"},
                                        "upload_session_id": "pid_upload_session:0"})
            if call.route.endswith(("finish", "delete_v2", "move_v2")):
                return self.error(409, union(("too_many_write_operations",)))
            return self.error(409, union(prefix + ("too_many_write_operations",)))
        return self.too_many(dict(call.fault.told, form=call.fault.get("form", "json")), "too_many_write_operations")

    def who(self, call, route):
        """The account whose request it is, or None where there must be none."""
        told = call.headers.getall("Authorization", [])
        if route.host == "notify":
            if told:
                raise self.bad(call, "Your request included an Authorization header, but this function does not use it. "
                                     "Remove the header and try again.")
            return None
        if not told:
            raise self.bad(call, 'Must provide HTTP header "Authorization" or URL parameter "authorization".')
        if call.route == "check/user" and basic(call):
            raise self.bad(call, "this function needs user authentication")
        token, why = self.authority.bearer(call)
        if why == "malformed":
            raise self.bad(call, 'Invalid authorization value in HTTP header "Authorization". Expecting "Bearer ...".')
        if why == "suspended":
            raise Refusal(self.error(401, {".tag": "user_suspended"}))
        if why:
            raise Refusal(self.error(401, {".tag": "expired_access_token" if why == "expired" else "invalid_access_token"}))
        if getattr(token.grant, "team", False):
            return self.member(call, route, token)
        for name in ("Select-User", "Select-Admin"):
            if "Dropbox-API-" + name in call.headers:
                raise self.bad(call, 'HTTP header "Dropbox-API-%s" is only for team tokens' % name)
        if route.scope is not None and route.scope not in token.scopes:
            raise Refusal(self.error(401, {".tag": "missing_scope", "required_scope": route.scope}))
        return self.account(token.user)

    def member(self, call, route, token):
        """The account of the team's member for whom a team's token acts."""
        told = call.headers.getall("Dropbox-API-Select-User", [])
        if not told:
            raise self.bad(call, "This API function operates on a single Dropbox account, but the OAuth 2 access token "
                                 "you provided is for an entire Dropbox Business team.")
        if told != [MEMBER]:
            raise Refusal(self.error(401, {".tag": "invalid_select_user"}))
        if route.scope is not None and route.scope not in token.scopes:
            raise Refusal(self.error(401, {".tag": "missing_scope", "required_scope": route.scope}))
        return self.account(next(user for user in self.authority.users.values() if user.extra.get("team")))

    # --- arguments ---

    async def argument(self, call, route):
        raw = call.headers.getall("Content-Type", [])
        kind = raw[0].strip().lower() if raw else ""
        kind = re.sub(r"\s*;\s*", "; ", kind)
        expected = STYLES[route.style]
        no_argument = route.argument is None and route.style == "rpc" and not kind
        if call.method == "GET":
            expected = ("",) + expected
        if not kind and "" not in expected and not no_argument:
            raise self.bad(call, 'Missing or empty Content-Type header. Expecting one of %s.' % ", ".join(
                '"%s"' % e for e in expected))
        if kind not in expected and not no_argument:
            raise self.bad(call, 'Bad HTTP "Content-Type" header: "%s". Expecting one of %s.' % (
                raw[0], ", ".join('"%s"' % e for e in expected if e)))
        if route.style == "rpc":
            if "Dropbox-API-Arg" in call.headers:
                raise self.bad(call, 'Unexpected HTTP header "Dropbox-API-Arg": this function takes its argument in the body')
            value = self.decode(call, await call.body(), "request body", no_argument)
            where = "request body"
        else:
            value, where = self.header_argument(call, "Dropbox-API-Arg")
            if route.style == "download" and await call.body():
                raise self.bad(call, "Non-empty HTTP body: this function takes none.")
        if route.argument is None:
            if value is not None:
                raise self.bad(call, "%s: expected null, got value" % where)
            return None
        try:
            return check(route.argument, value)
        except Invalid as why:
            raise self.bad(call, "%s: %s" % (where, why)) from None

    def decode(self, call, data, where, may_be_empty=False):
        if data == b"" and may_be_empty:
            return None
        try:
            return json.loads(data.decode("utf-8"), object_pairs_hook=no_twins, parse_constant=no_constant)
        except ValueError:
            raise self.bad(call, "%s: could not decode input as JSON" % where) from None

    def header_argument(self, call, name):
        raw = [value for key, value in call.request.raw_headers if key.decode("latin-1").lower() == name.lower()]
        if len(raw) > 1:
            raise self.bad(call, 'HTTP header "%s" stands twice' % name)
        if "arg" in call.query and name == "Dropbox-API-Arg":
            if raw:
                raise self.bad(call, 'Both HTTP header "Dropbox-API-Arg" and URL parameter "arg" are given')
            return self.decode(call, call.query["arg"].encode(), 'URL parameter "arg"'), 'URL parameter "arg"'
        if not raw:
            raise self.bad(call, 'Must provide HTTP header "%s" or URL parameter "arg".' % name)
        where = 'HTTP header "%s"' % name
        if any(byte > 0x7e or byte < 0x20 for byte in raw[0]):
            raise self.bad(call, "%s: could not decode input as JSON" % where)
        return self.decode(call, raw[0], where), where

    def path_root(self, call, account):
        """The folder that paths begin at."""
        if "Dropbox-API-Path-Root" not in call.headers:
            return account.home if account else None
        if account is None:
            raise self.bad(call, 'Unexpected HTTP header "Dropbox-API-Path-Root"')
        value, where = self.header_argument(call, "Dropbox-API-Path-Root")
        if self.settings["app_folder"]:
            raise self.bad(call, "Path root is not supported for sandbox app")
        try:
            tag, told = PATH_ROOT.check(value)
        except Invalid as why:
            raise self.bad(call, "%s: %s" % (where, why)) from None
        if tag == "home":
            return account.home
        if tag == "root":
            if told != account.root.namespace:
                raise Refusal(self.error(422, dict({".tag": "invalid_root", "invalid_root": self.root_info(account)})))
            return account.root
        node = account.namespaces().get(told)
        if node is None:
            raise Refusal(self.error(422, {".tag": "no_permission"}))
        return node

    # --- the account ---

    def root_info(self, account):
        info = {".tag": "user", "root_namespace_id": account.root.namespace, "home_namespace_id": account.home.namespace}
        if account.root is not account.home:
            info.update({".tag": "team", "home_path": "/" + account.home.name})
        return info

    def about(self, call, account, argument):
        if call.route == "check/user":
            return Answer(200, {"result": argument["query"]})
        if call.route == "auth/token/revoke":
            self.authority.revoke(call.token)
            return Answer(200, "null", content_type="application/json")
        user = account.user
        if call.route == "users/get_space_usage":
            if user.extra.get("team"):
                allocation = {".tag": "team", "used": account.tree.used, "allocated": account.quota,
                              "user_within_team_space_allocated": 0, "user_within_team_space_limit_type": {".tag": "off"},
                              "user_within_team_space_used_cached": account.tree.used}
            else:
                allocation = {".tag": "individual", "allocated": account.quota}
            return Answer(200, {"used": account.tree.used, "allocation": allocation})
        given, _, surname = user.name.partition(" ")
        told = {"account_id": user.id, "name": {"given_name": given, "surname": surname, "familiar_name": given,
                "display_name": user.name, "abbreviated_name": (given[:1] + surname[:1])}, "email": user.email,
                "email_verified": True, "disabled": False, "locale": "en", "referral_link": "https://www.dropbox.com/referrals/x",
                "is_paired": False, "account_type": {".tag": "business" if user.extra.get("team") else "pro"},
                "root_info": self.root_info(account), "country": "FR"}
        if user.extra.get("team"):
            told["team"] = {"id": "dbtid:AAFdgehTzw7WlXhZJsbGCLePe8RvQGYDr-I", "name": "Example team", "sharing_policies": {
                "shared_folder_member_policy": {".tag": "anyone"}, "shared_folder_join_policy": {".tag": "from_anyone"},
                "shared_link_create_policy": {".tag": "default_public"}, "group_creation_policy": {".tag": "admins_and_members"},
                "shared_folder_link_restriction_policy": {".tag": "anyone"}, "enforce_link_password_policy": {".tag": "optional"},
                "default_link_expiration_days_policy": {".tag": "none"},
                "shared_link_default_permissions_policy": {".tag": "default"}}, "office_addin_policy": {".tag": "disabled"},
                "top_level_content_policy": {".tag": "everyone"}}
            told["team_member_id"] = MEMBER
        return Answer(200, told)

    # --- acts ---

    def act(self, told):
        act = getattr(self, "act_" + str(told.get("act")), None)
        if act is None:
            return None
        done = act(told)
        self.changed.set()
        self.changed = asyncio.Event()
        return done

    def place(self, told, name="path"):
        """Account, parent and name of an act's path; parents are made."""
        account = self.account(self.authority.user(told.get("user")))
        at = account.root if told.get("root") else account.home
        *parents, last = told[name].strip("/").split("/")
        for part in parents:
            below = account.tree.child(at, key_of(part))
            at = below if below is not None else account.tree.make_folder(at, part)
        return account.tree, at, last

    def found(self, told, name="path"):
        account = self.account(self.authority.user(told.get("user")))
        node = account.root if told.get("root") else account.home
        for part in told[name].strip("/").split("/") if told[name].strip("/") else []:
            node = account.tree.child(node, key_of(part)) if node.folder else None
            if node is None:
                raise ValueError("there is no %s" % told[name])
        return account.tree, node

    def content(self, told):
        if "base64" in told:
            return Blob(base64.b64decode(told["base64"]))
        if "size" in told:
            piece = (b"%s of %d bytes. " % (told["path"].encode(), told["size"])) * (1 + 65536 // 20)
            pieces = (piece[:min(65536, told["size"] - at)] for at in range(0, told["size"], 65536))
            return Blob.of(pieces, self.world.folder)
        return Blob(told.get("content", "").encode())

    def act_add(self, told):
        tree, parent, name = self.place(told)
        old = tree.child(parent, key_of(name))
        if told.get("folder"):
            node = old if old is not None and old.folder else tree.make_folder(parent, name)
        elif old is not None and not old.folder:
            node = old
            tree.write(node, self.content(told), told.get("modified"))
        else:
            if old is not None:
                tree.remove(old)
            node = tree.make_file(parent, name, self.content(told), told.get("modified"))
        return {"id": node.id, "rev": node.rev}

    def act_edit(self, told):
        tree, node = self.found(told)
        tree.write(node, self.content(told), told.get("modified"))
        return {"id": node.id, "rev": node.rev}

    def act_move(self, told):
        tree, node = self.found(told)
        _, parent, name = self.place(told, "to")
        tree.move(node, parent, name)
        return {"id": node.id}

    act_rename = act_move

    def act_copy(self, told):
        tree, node = self.found(told)
        _, parent, name = self.place(told, "to")
        return {"id": dropbox_files.copy(tree, node, parent, name).id}

    def act_delete(self, told):
        tree, node = self.found(told)
        tree.remove(node)
        return {}

    def act_restore(self, told):
        tree, parent, name = self.place(told)
        node = tree.restore(parent, key_of(name))
        return {"id": node.id, "rev": node.rev}

    def act_empty_trash(self, told):
        tree = self.account(self.authority.user(told.get("user"))).tree
        for node in tree.deleted.values():
            for rev, *_ in node.history:
                tree.revs.pop(rev, None)
        tree.deleted.clear()
        return {}

    def act_bulk(self, told):
        tree, parent, name = self.place(dict(told, path=told["path"].rstrip("/") + "/x"))
        tree.fill(parent, int(told["count"]), told.get("prefix", "file-"), told.get("suffix", ".txt"),
                  int(told.get("size", 40)))
        return {"id": parent.id}

    def act_quota(self, told):
        self.account(self.authority.user(told.get("user"))).quota = int(told["bytes"])
        return {}

    def act_locks(self, told):
        self.hold = float(told.get("hold", self.hold))
        self.lock_form.update({k: told[k] for k in ("retry_after", "form") if k in told})
        return {"held": len(self.locked)}

    def act_settings(self, told):
        self.settings.update({k: v for k, v in told.items() if k not in ("service", "act")})
        return dict(self.settings)

    def act_flag(self, told):
        _, node = self.found(told)
        flags = set(node.flags) - {told["flag"]}
        node.flags = tuple(flags | {told["flag"]} if told.get("on", True) else flags)
        return {}

    def act_polls(self, told):
        self.polls[told["how"]] += 1
        return {}

    def act_reset_cursors(self, told):
        self.cursors_from = self.world.now()
        for account in self.accounts.values():
            account.tree.reset_before += 1
        return {}

    def act_tree(self, told):
        tree, top = self.found(dict(told, path=told.get("path", "/")))
        found = []
        for keys, node in tree.walk(top, top) if top.folder else [((), top)]:
            names = "".join("/" + part.name for part in tree.path_keys(node, top))
            entry = {"path": names, "id": node.id, "folder": node.folder}
            if not node.folder:
                entry.update(rev=node.rev, size=node.blob.size, sha256=node.blob.sha256, content_hash=node.blob.content_hash,
                             client_modified=node.client_modified)
            found.append(entry)
        return found

    def act_read(self, told):
        _, node = self.found(told)
        return {"content": base64.b64encode(node.blob.read()).decode(), "id": node.id, "rev": node.rev,
                "size": node.blob.size, "revisions": len(node.history)}

    def act_sessions(self, told):
        live = [s for s in self.sessions.values() if not s.done]
        return {"open": len(live), "bytes": sum(s.size for s in live)}


class Work:
    """A request that is being carried out: what the routes' functions are given."""

    def __init__(self, api, call, account, root):
        self.api, self.call, self.account, self.root = api, call, account, root
        self.tree = account.tree if account else None
        self.locked_entries = ()

    def now(self):
        return self.api.world.now()

    def problem(self, *tags):
        return self.api.problem(*tags)

    async def body(self):
        data = await self.call.body()
        return data

    async def exclusively(self, namespaces, work):
        """Carries out what writes: a namespace takes one at a time, any other is
        refused meanwhile."""
        api = self.api
        if any(api.locked.get(id(n)) for n in namespaces):
            raise Refusal(api.too_many(dict({"form": "json"}, **api.lock_form), "too_many_write_operations"))
        try:
            for n in namespaces:
                api.locked[id(n)] = True
            if api.hold:
                await asyncio.sleep(api.hold)
            done = work()
        finally:
            for n in namespaces:
                api.locked.pop(id(n), None)
        api.changed.set()
        api.changed = asyncio.Event()
        return done


PARTS = (DropboxApi,)
