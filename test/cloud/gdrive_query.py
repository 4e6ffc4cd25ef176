"""The two little languages of Google Drive's API: `q` of files.list and `fields`.

parse_q() gives a predicate and what the search can be narrowed by; parse_fields()
gives a tree. Both refuse what their grammar or the schema does not know.
"""
import re

from contents import parse_time


class Refused(Exception):
    """The text is not of the language."""


# --- q -----------------------------------------------------------------------------

TOKEN = re.compile(r"""\s*(?:
    (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<op><=|>=|!=|=|<|>)
  | (?P<mark>[(){}])
  | (?P<word>[A-Za-z][A-Za-z0-9_.]*)
)""", re.X | re.S)

EQUAL = ("=", "!=")
TEXT = ("contains", "=", "!=")
TIMES = ("<=", "<", "=", "!=", ">", ">=")
OPERATORS = {
    "name": TEXT, "fullText": ("contains",), "mimeType": TEXT,
    "modifiedTime": TIMES, "viewedByMeTime": TIMES, "createdTime": TIMES,
    "trashed": EQUAL, "starred": EQUAL, "sharedWithMe": EQUAL,
    "visibility": EQUAL, "shortcutDetails.targetId": EQUAL,
    "properties": ("has",), "appProperties": ("has",),
}
COLLECTIONS = ("parents", "owners", "writers", "readers")


class Query:
    """What a q says. about(item) answers its terms by the store."""

    def __init__(self, text):
        self.tokens = []
        at = 0
        while text[at:].strip():
            found = TOKEN.match(text, at)
            if not found:
                raise Refused(text[at:])
            self.tokens.append((found.lastgroup, found.group(found.lastgroup)))
            at = found.end()
        self.at = 0
        self.terms = []
        self.tree = self.either()
        if self.at < len(self.tokens):
            raise Refused(text)

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else (None, None)

    def take(self, kind=None, *values):
        token = self.peek()
        if token[0] is None or (kind and token[0] != kind) or (values and token[1] not in values):
            raise Refused(token[1])
        self.at += 1
        return token[1]

    def word(self, value):
        if self.peek() == ("word", value):
            self.at += 1
            return True
        return False

    def either(self):
        parts = [self.both()]
        while self.word("or"):
            parts.append(self.both())
        return ("or", parts) if len(parts) > 1 else parts[0]

    def both(self):
        parts = [self.one()]
        while self.word("and"):
            parts.append(self.one())
        return ("and", parts) if len(parts) > 1 else parts[0]

    def one(self):
        if self.word("not"):
            return ("not", self.one())
        if self.peek() == ("mark", "("):
            self.at += 1
            inner = self.either()
            self.take("mark", ")")
            return inner
        return self.term()

    def string(self):
        raw = self.take("string")[1:-1]
        if not re.fullmatch(r"(?:[^\\]|\\[\\'])*", raw, re.S):
            raise Refused(raw)
        return re.sub(r"\\(.)", r"\1", raw)

    def term(self):
        if self.peek()[0] == "string":
            value = self.string()
            self.take("word", "in")
            term = ("in", self.take("word", *COLLECTIONS), value)
        else:
            term = self.comparison(self.take("word"))
        self.terms.append(term)
        return ("term", term)

    def comparison(self, field):
        if field not in OPERATORS:
            raise Refused(field)
        if field == "sharedWithMe" and self.peek()[0] != "op":
            return ("=", field, True)
        op = self.take()
        if op not in OPERATORS[field]:
            raise Refused(op)
        if op == "has":
            return ("has", field, self.pair())
        if field in ("trashed", "starred", "sharedWithMe"):
            return (op, field, self.take("word", "true", "false") == "true")
        value = self.string()
        if OPERATORS[field] is TIMES:
            value = parse_time(value)
            if value is None:
                raise Refused(field)
        return (op, field, value)

    def pair(self):
        self.take("mark", "{")
        found = {}
        for i, name in enumerate(("key", "value")):
            if i and not self.word("and"):
                raise Refused(name)
            self.take("word", name)
            self.take("op", "=")
            found[name] = self.string()
        self.take("mark", "}")
        return found["key"], found["value"]

    # what every answer must have

    def required(self):
        """The terms that hold for whatever is found."""
        def walk(node):
            if node[0] == "term":
                return [node[1]]
            if node[0] == "and":
                return [t for part in node[1] for t in walk(part)]
            return []
        return walk(self.tree)

    def parents(self):
        """The only folders whose children can be found, or None for all."""
        def walk(node):
            if node[0] == "term":
                return {node[1][2]} if node[1][:2] == ("in", "parents") else None
            if node[0] == "not":
                return None
            sets = [walk(part) for part in node[1]]
            if node[0] == "or":
                return None if None in sets else set().union(*sets)
            known = [s for s in sets if s is not None]
            return set.intersection(*known) if known else None
        return walk(self.tree)

    def matches(self, item, holds):
        def walk(node):
            if node[0] == "term":
                return holds(item, node[1])
            if node[0] == "not":
                return not walk(node[1])
            if node[0] == "and":
                return all(walk(part) for part in node[1])
            return any(walk(part) for part in node[1])
        return walk(self.tree)


def compare(op, left, right):
    return {"=": left == right, "!=": left != right, "<": left < right,
            "<=": left <= right, ">": left > right, ">=": left >= right}[op]


def name_contains(name, wanted):
    """Prefixes of words; punctuation counts as space."""
    words = re.findall(r"\w+", name.lower())
    looked = re.findall(r"\w+", wanted.lower())
    for start in range(len(words) - len(looked) + 1):
        if words[start : start + len(looked) - 1] == looked[:-1] and \
                words[start + len(looked) - 1].startswith(looked[-1]):
            return True
    return False


# --- fields --------------------------------------------------------------------------

def schema(text):
    """A tree from "a b(c d(e)) f": True for what has no parts, ... for free keys."""
    tokens = re.findall(r"[\w*]+|[()]", text)

    def level(at):
        tree = {}
        while at < len(tokens) and tokens[at] != ")":
            name = tokens[at]
            at += 1
            tree[name] = True
            if at < len(tokens) and tokens[at] == "(":
                tree[name], at = level(at + 1)
                at += 1
        return tree, at
    return level(0)[0]


def parse_fields(text, known):
    """The tree of what is asked for; everything in it is in the schema."""
    tokens = re.findall(r"[A-Za-z_][A-Za-z0-9_]*|[*/(),]|\S", text)
    at = 0

    def need(mark):
        nonlocal at
        if at >= len(tokens) or tokens[at] != mark:
            raise Refused(text)
        at += 1

    def merge(tree, name, sub):
        if tree.get(name) is True or sub is True:
            tree[name] = True
        else:
            for key, value in sub.items():
                merge(tree.setdefault(name, {}), key, value)

    def one(tree, known):
        nonlocal at
        name = tokens[at] if at < len(tokens) else ""
        at += 1
        if name != "*" and (not re.match(r"[A-Za-z_]", name) or (known is True) or
                            ("*" not in known and name not in known)):
            raise Refused(name or text)
        below = known if name == "*" else known.get(name, True)
        if at < len(tokens) and tokens[at] == "/":
            at += 1
            inner = {}
            one(inner, below)
            merge(tree, name, inner)
        elif at < len(tokens) and tokens[at] == "(":
            at += 1
            inner = {}
            several(inner, below)
            need(")")
            merge(tree, name, inner)
        else:
            tree[name] = True

    def several(tree, known):
        nonlocal at
        one(tree, known)
        while at < len(tokens) and tokens[at] == ",":
            at += 1
            one(tree, known)

    tree = {}
    several(tree, known)
    if at < len(tokens):
        raise Refused(text)
    return tree


def pick(value, tree):
    """What the tree asks of a value."""
    if tree is True or "*" in tree:
        return value
    if isinstance(value, list):
        return [pick(v, tree) for v in value]
    if not isinstance(value, dict):
        return value
    return {name: pick(value[name], sub) for name, sub in tree.items() if name in value}


USER = "kind displayName photoLink me permissionId emailAddress"
FILE_TEXT = """
kind driveId fileExtension copyRequiresWriterPermission md5Checksum sha1Checksum sha256Checksum
contentHints(indexableText thumbnail(image mimeType)) writersCanShare viewedByMe mimeType exportLinks(*)
parents thumbnailLink iconLink shared lastModifyingUser(%(u)s) owners(%(u)s) headRevisionId
sharingUser(%(u)s) webViewLink webContentLink size viewersCanCopyContent
permissions(id kind type role emailAddress displayName domain deleted allowFileDiscovery view photoLink
 expirationTime pendingOwner permissionDetails(role inherited inheritedFrom permissionType) teamDrivePermissionDetails(*)
 inheritedPermissionsDisabled)
hasThumbnail spaces folderColorRgb id name description starred trashed explicitlyTrashed createdTime
modifiedTime modifiedByMeTime viewedByMeTime sharedWithMeTime quotaBytesUsed version originalFilename
ownedByMe fullFileExtension properties(*) appProperties(*) isAppAuthorized teamDriveId
capabilities(canAcceptOwnership canAccessViaGenAi canAddChildren canAddFolderFromAnotherDrive canAddMyDriveParent
 canChangeCopyRequiresWriterPermission canChangeItemDownloadRestriction canChangeSecurityUpdateEnabled canChangeViewersCanCopyContent canComment
 canCopy canDelete canDeleteChildren canDisableInheritedPermissions canDownload canEdit
 canEnableInheritedPermissions canListChildren canModifyContent canModifyContentRestriction
 canModifyEditorContentRestriction canModifyLabels canModifyOwnerContentRestriction canMoveChildrenOutOfDrive
 canMoveChildrenOutOfTeamDrive canMoveChildrenWithinDrive canMoveChildrenWithinTeamDrive
 canMoveItemIntoTeamDrive canMoveItemOutOfDrive canMoveItemOutOfTeamDrive canMoveItemWithinDrive
 canMoveItemWithinTeamDrive canMoveTeamDriveItem canReadDrive canReadLabels canReadRevisions canReadTeamDrive
 canRemoveChildren canRemoveContentRestriction canRemoveMyDriveParent canRename canShare canStartApproval
 canTrash canTrashChildren canUntrash)
hasAugmentedPermissions trashingUser(%(u)s) thumbnailVersion trashedTime modifiedByMe permissionIds
imageMediaMetadata(*) videoMediaMetadata(durationMillis height width)
shortcutDetails(targetId targetMimeType targetResourceKey) contentRestrictions(*) resourceKey
linkShareMetadata(securityUpdateEligible securityUpdateEnabled) labelInfo(labels(*)) inheritedPermissionsDisabled
downloadRestrictions(*) clientEncryptionDetails(*)
""" % {"u": USER}
DRIVE_TEXT = """kind id name colorRgb createdTime hidden orgUnitId themeId backgroundImageLink backgroundImageFile(*)
restrictions(*) capabilities(*)"""

FILE = schema(FILE_TEXT)
FILE_LIST = schema("kind nextPageToken incompleteSearch files(%s)" % FILE_TEXT)
DRIVE = schema(DRIVE_TEXT)
DRIVE_LIST = schema("kind nextPageToken drives(%s)" % DRIVE_TEXT)
CHANGE_LIST = schema("""kind nextPageToken newStartPageToken
changes(kind type changeType time removed fileId driveId teamDriveId teamDrive(*) file(%s) drive(%s))"""
                     % (FILE_TEXT, DRIVE_TEXT))
START = schema("kind startPageToken")
IDS = schema("kind space ids")
ABOUT = schema("""kind user(%s) storageQuota(limit usage usageInDrive usageInDriveTrash) maxUploadSize appInstalled
canCreateDrives canCreateTeamDrives importFormats(*) exportFormats(*) maxImportSizes(*) folderColorPalette
driveThemes(*) teamDriveThemes(*)""" % USER)

FILE_DEFAULT = {"kind": True, "id": True, "name": True, "mimeType": True, "resourceKey": True}
