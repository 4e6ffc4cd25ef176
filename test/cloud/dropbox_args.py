"""Dropbox's routes and the arguments they take, checked as the service checks them:
unknown fields, missing ones, wrong types, patterns and ranges are refused with the
words that its own validators use (fact sheet, sections 1.3, 1.5, 3).

    ROUTES["files/upload"]: host, style, scope (None: none), argument (None: Void)
    check(ROUTES[...].argument, value) -> the value with its defaults; Invalid
"""
import datetime
import re


class Invalid(Exception):
    """Words about an argument; within(name) says where."""

    def within(self, name):
        return Invalid("%s: %s" % (name, self))


def kind_of(value):
    return {bool: "boolean", int: "integer", float: "float", str: "string", list: "list", dict: "object",
            type(None): "null"}[type(value)]


class Boolean:
    def check(self, value):
        if not isinstance(value, bool):
            raise Invalid("expected boolean, got %s" % kind_of(value))
        return value


class Integer:
    def __init__(self, least, most):
        self.least, self.most = least, most

    def check(self, value):
        if isinstance(value, bool) or not isinstance(value, int):
            raise Invalid("expected integer, got %s" % kind_of(value))
        if not self.least <= value <= self.most:
            raise Invalid("%d is not within range [%d, %d]" % (value, self.least, self.most))
        return value


class String:
    def __init__(self, pattern=None, least=None, most=None):
        self.pattern, self.least, self.most = pattern, least, most
        self.matches = pattern and re.compile(r"\A(?:%s)\Z" % pattern)

    def check(self, value):
        if not isinstance(value, str):
            raise Invalid("expected string, got %s" % kind_of(value))
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Invalid("'%s' was not valid utf-8" % ascii(value)) from None
        if self.most is not None and len(value) > self.most:
            raise Invalid("'%s' must be at most %d characters, got %d" % (value, self.most, len(value)))
        if self.least is not None and len(value) < self.least:
            raise Invalid("'%s' must be at least %d characters, got %d" % (value, self.least, len(value)))
        if self.pattern and not self.matches.match(value):
            raise Invalid("'%s' did not match pattern '%s'" % (value, self.pattern))
        return value


class Path(String):
    """A path that may be the root, which is not "/"."""

    def check(self, value):
        value = super().check(value)
        if value == "/":
            raise Invalid('Specify the root folder as an empty string rather than as "/".')
        return value


class Timestamp:
    def check(self, value):
        if not isinstance(value, str):
            raise Invalid("expected timestamp, got %s" % kind_of(value))
        try:
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
                raise ValueError
            datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
        except ValueError:
            raise Invalid("time data '%s' does not match format '%%Y-%%m-%%dT%%H:%%M:%%SZ'" % value) from None
        return value


class List:
    def __init__(self, item, least=0, most=None):
        self.item, self.least, self.most = item, least, most

    def check(self, value):
        if not isinstance(value, list):
            raise Invalid("expected list, got %s" % kind_of(value))
        if len(value) < self.least:
            raise Invalid("list has fewer than %d items, got %d" % (self.least, len(value)))
        if self.most is not None and len(value) > self.most:
            raise Invalid("list has more than %d items, got %d" % (self.most, len(value)))
        done = []
        for i, item in enumerate(value):
            try:
                done.append(self.item.check(item))
            except Invalid as why:
                raise why.within(str(i)) from None
        return done


class Union:
    """Members by tag: None is void, another is nested under the tag's name."""

    def __init__(self, **members):
        self.members = members

    def check(self, value):
        if isinstance(value, str):
            if value not in self.members:
                raise Invalid("unknown tag '%s'" % value)
            if self.members[value] is not None:
                raise Invalid("expected object for '%s', got symbol" % value)
            return value, None
        if not isinstance(value, dict):
            raise Invalid("expected string or object, got %s" % kind_of(value))
        if ".tag" not in value:
            raise Invalid("missing '.tag' key")
        tag = value[".tag"]
        if not isinstance(tag, str) or tag not in self.members:
            raise Invalid("unknown tag '%s'" % tag)
        for key in value:
            if key != ".tag" and (key != tag or (self.members[tag] is None and value[key] is not None)):
                raise Invalid("unexpected key '%s'" % key)
        if self.members[tag] is None:
            return tag, None
        if tag not in value:
            raise Invalid("missing '%s' key" % tag)
        try:
            return tag, self.members[tag].check(value[tag])
        except Invalid as why:
            raise why.within(tag) from None


REQUIRED, NULLABLE = object(), object()


class Struct:
    """Fields by name: (type, default); REQUIRED, or NULLABLE: may be null or absent."""

    def __init__(self, **fields):
        self.fields = fields

    def check(self, value):
        if not isinstance(value, dict):
            raise Invalid("expected object, got %s" % kind_of(value))
        for key in value:
            if key not in self.fields:
                raise Invalid("unknown field '%s'" % key)
        done = {}
        for name, (kind, default) in self.fields.items():
            if name not in value or (value[name] is None and default is not REQUIRED):
                if default is REQUIRED:
                    raise Invalid("missing required field '%s'" % name)
                if name in value and default is not NULLABLE:
                    raise Invalid("expected %s, got null" % type(kind).__name__.lower()).within(name)
                done[name] = None if default is NULLABLE else default
                continue
            try:
                done[name] = kind.check(value[name])
            except Invalid as why:
                raise why.within(name) from None
        return done


BOOL, YES, NO = Boolean(), (Boolean(), True), (Boolean(), False)
WRITE = (Path(r"(/(.|[\r\n])*)|(ns:[0-9]+(/.*)?)|(id:.*)"), REQUIRED)
WRITE_PATH = (Path(r"(/(.|[\r\n])*)|(ns:[0-9]+(/.*)?)"), REQUIRED)
READ = (Path(r"(/(.|[\r\n])*|id:.*)|(rev:[0-9a-f]{9,})|(ns:[0-9]+(/.*)?)"), REQUIRED)
PATH_OR_ID = (Path(r"/(.|[\r\n])*|id:.*|(ns:[0-9]+(/.*)?)"), REQUIRED)
FOLDER = (Path(r"(/(.|[\r\n])*)?|id:.*|(ns:[0-9]+(/.*)?)"), REQUIRED)
REV = String("[0-9a-f]+", 9)
HASH = (String(least=64, most=64), NULLABLE)
CURSOR = Struct(cursor=(String(least=1), REQUIRED))
JOB = Struct(async_job_id=(String(least=1), REQUIRED))
COMMIT = {
    "path": WRITE, "mode": (Union(add=None, overwrite=None, update=REV), ("add", None)), "autorename": NO,
    "client_modified": (Timestamp(), NULLABLE), "mute": NO,
    "property_groups": (List(Struct(template_id=(String(least=1), REQUIRED), fields=(List(Struct(
        name=(String(), REQUIRED), value=(String(), REQUIRED))), REQUIRED))), NULLABLE), "strict_conflict": NO}
SESSION = Struct(session_id=(String(), REQUIRED), offset=(Integer(0, 2**64 - 1), REQUIRED))
SESSION_TYPE = (Union(sequential=None, concurrent=None), NULLABLE)
FINISH = {"cursor": (SESSION, REQUIRED), "commit": (Struct(**COMMIT), REQUIRED)}
LIST_FOLDER = Struct(
    path=FOLDER, recursive=NO, include_media_info=NO, include_deleted=NO, include_has_explicit_shared_members=NO,
    include_mounted_folders=YES, limit=(Integer(1, 2000), NULLABLE), shared_link=(Struct(url=(String(), REQUIRED),
    password=(String(), NULLABLE)), NULLABLE), include_property_groups=(Union(filter_some=List(String(least=1), 1)),
    NULLABLE), include_non_downloadable_files=YES, include_restorable_info=NO)
MOVE = {"from_path": WRITE, "to_path": WRITE}


class Route:
    def __init__(self, host, style, scope, argument=None):
        self.host, self.style, self.scope, self.argument = host, style, scope, argument


META, READS, WRITES, ACCOUNT = "files.metadata.read", "files.content.read", "files.content.write", "account_info.read"
ROUTES = {
    "files/upload": Route("content", "upload", WRITES, Struct(**COMMIT, content_hash=HASH)),
    "files/upload_session/start": Route("content", "upload", WRITES, Struct(
        close=NO, session_type=SESSION_TYPE, content_hash=HASH)),
    "files/upload_session/append_v2": Route("content", "upload", WRITES, Struct(
        cursor=(SESSION, REQUIRED), close=NO, content_hash=HASH)),
    "files/upload_session/append_batch": Route("content", "upload", WRITES, Struct(entries=(List(Struct(
        cursor=(SESSION, REQUIRED), length=(Integer(0, 2**64 - 1), REQUIRED), close=NO), 1, 1000), REQUIRED),
        content_hash=HASH)),
    "files/upload_session/finish": Route("content", "upload", WRITES, Struct(**FINISH, content_hash=HASH)),
    "files/upload_session/start_batch": Route("api", "rpc", WRITES, Struct(
        num_sessions=(Integer(1, 1000), REQUIRED), session_type=SESSION_TYPE)),
    "files/upload_session/finish_batch": Route("api", "rpc", WRITES, Struct(
        entries=(List(Struct(**FINISH), 0, 1000), REQUIRED))),
    "files/upload_session/finish_batch_v2": Route("api", "rpc", WRITES, Struct(
        entries=(List(Struct(**FINISH), 0, 1000), REQUIRED))),
    "files/upload_session/finish_batch/check": Route("api", "rpc", WRITES, JOB),
    "files/create_folder_v2": Route("api", "rpc", WRITES, Struct(path=WRITE_PATH, autorename=NO)),
    "files/create_folder_batch": Route("api", "rpc", WRITES, Struct(
        paths=(List(WRITE_PATH[0], 0, 10000), REQUIRED), autorename=NO, force_async=NO)),
    "files/create_folder_batch/check": Route("api", "rpc", WRITES, JOB),
    "files/delete_v2": Route("api", "rpc", WRITES, Struct(path=WRITE, parent_rev=(REV, NULLABLE))),
    "files/delete_batch": Route("api", "rpc", WRITES, Struct(entries=(List(Struct(
        path=WRITE, parent_rev=(REV, NULLABLE))), REQUIRED))),
    "files/delete_batch/check": Route("api", "rpc", WRITES, JOB),
    "files/move_v2": Route("api", "rpc", WRITES, Struct(
        **MOVE, allow_shared_folder=NO, autorename=NO, allow_ownership_transfer=NO)),
    "files/move_batch_v2": Route("api", "rpc", WRITES, Struct(
        entries=(List(Struct(**MOVE), 1), REQUIRED), autorename=NO, allow_ownership_transfer=NO)),
    "files/move_batch/check_v2": Route("api", "rpc", WRITES, JOB),
    "files/list_folder": Route("api", "rpc", META, LIST_FOLDER),
    "files/list_folder/get_latest_cursor": Route("api", "rpc", META, LIST_FOLDER),
    "files/list_folder/continue": Route("api", "rpc", META, CURSOR),
    "files/list_folder/longpoll": Route("notify", "rpc", None, Struct(
        cursor=(String(least=1), REQUIRED), timeout=(Integer(30, 480), 30))),
    "files/get_metadata": Route("api", "rpc", META, Struct(
        path=READ, include_media_info=NO, include_deleted=NO, include_has_explicit_shared_members=NO,
        include_property_groups=(Union(filter_some=List(String(least=1), 1)), NULLABLE))),
    "files/list_revisions": Route("api", "rpc", META, Struct(
        path=PATH_OR_ID, mode=(Union(path=None, id=None), ("path", None)), limit=(Integer(1, 100), 10),
        before_rev=(REV, NULLABLE), include_restorable_info=NO)),
    "files/download": Route("content", "download", READS, Struct(path=READ, rev=(REV, NULLABLE))),
    "files/export": Route("content", "download", READS, Struct(path=READ, export_format=(String(), NULLABLE))),
    "users/get_current_account": Route("api", "rpc", ACCOUNT),
    "users/get_space_usage": Route("api", "rpc", ACCOUNT),
    "check/user": Route("api", "rpc", ACCOUNT, Struct(query=(String(most=500), ""))),
    "auth/token/revoke": Route("api", "rpc", None),
}
PATH_ROOT = Union(home=None, root=String("[-_0-9a-zA-Z:]+"), namespace_id=String("[-_0-9a-zA-Z:]+"))


def check(argument, value):
    return argument.check(value)
