"""The test cloud's own checks of Dropbox's arguments beside the service's published
specification, as it is compiled into its client for Python: the same routes, hosts,
styles and fields, and the same arguments are taken and refused. dropbox_rules.py asks
here whether answers are as it has them."""
import itertools
import json
import os
import sys

from client import done, ok, same

try:
    from dropbox import auth, check, files, team_policies, users
    from stone.backends.python_rsrc import stone_serializers, stone_validators as validators
except ImportError as why:
    if __name__ != "__main__":
        raise
    print("skip - %s" % why)
    sys.exit(0)
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import dropbox_args  # noqa: E402

# Newer than this client, or no matter of a pattern.
NEWER = {"files/upload_session/append_batch", "before_rev", "include_restorable_info"}
theirs = {"%s/%s%s" % (name, route.name, "" if route.version == 1 else "_v%d" % route.version): route
          for name, module in (("files", files), ("users", users), ("check", check), ("auth", auth))
          for route in module.ROUTES.values()}

VALUES = [None, True, 0, 1, 5, 2000, 2001, -1, 1.5, "", "/", "/a", "a", "/a/", "id:x", "id:", "rev:0123456789", "rev:1", "ns:1/a",
          "ns:1", "ns:x", "0123456789", "x" * 64, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z", "2026-01-02", "add", "update",
          "overwrite", "sequential", "path", "nothing", {".tag": "add"}, {".tag": "update", "update": "0123456789"},
          {".tag": "update"}, {".tag": "update", "update": "1"}, {".tag": "add", "add": None}, {"x": 1}, {}, [], ["/a"], ["a"],
          {"session_id": "s", "offset": 0}, {"session_id": "s", "offset": -1}, {"session_id": "s"}, {"path": "/a"},
          {"path": "/a", "mode": "add"}, {"path": "/a", "mode": "update"}, [{"path": "/a"}], [{"path": "/a", "x": 1}],
          [{"from_path": "/a", "to_path": "/b"}], [{"cursor": {"session_id": "s", "offset": 0}, "commit": {"path": "/a"}}],
          [{"cursor": {"session_id": "s", "offset": 0}}]]
GOOD = ["/a", "id:x", "0123456789", "x", 1, {"session_id": "s", "offset": 0}, {"path": "/a"}, ["/a"], [{"path": "/a"}],
        [{"from_path": "/a", "to_path": "/b"}], [{"cursor": {"session_id": "s", "offset": 0}, "commit": {"path": "/a"}}]]


def taken_by_us(argument, told):
    try:
        dropbox_args.check(argument, told)
        return True
    except dropbox_args.Invalid:
        return False


def taken_by_them(argument, told):
    try:
        stone_serializers.json_decode(argument, json.dumps(told), strict=True)
        return True
    except validators.ValidationError:
        return False


def good_value(argument, needed, name):
    """The first argument with the needed fields that the specification takes."""
    for values in itertools.product(GOOD, repeat=len(needed)):
        told = dict(zip(needed, values))
        if taken_by_them(argument, told):
            return told
    raise LookupError(name)


def without_newer(told):
    """What is said of a team without the fields that this client is too old for."""
    team = told.get("team") if isinstance(told, dict) else None
    if team is None:
        return told
    team = {k: v for k, v in team.items() if k in users.FullTeam._all_field_names_}
    team["sharing_policies"] = {k: v for k, v in team["sharing_policies"].items()
                                if k in team_policies.TeamSharingPolicies._all_field_names_}
    return dict(told, team=team)


def disagrees(name, status, told):
    """Why an answer is not as the specification has it, or None."""
    route = theirs.get(name)
    if route is None or status not in (200, 409):
        return None
    try:
        kind = route.result_type if status == 200 else route.error_type
        stone_serializers.json_decode(kind, json.dumps(without_newer(told) if status == 200 else told["error"]), strict=True)
    except (validators.ValidationError, KeyError) as why:
        return str(why)
    return None


def main():
    tried = 0
    for name, mine in sorted(dropbox_args.ROUTES.items()):
        if name in NEWER:
            continue
        route = theirs[name]
        same((mine.host, mine.style), (route.attrs["host"], route.attrs["style"]), "%s: host and style" % name)
        if mine.argument is None:
            ok(isinstance(route.arg_type, validators.Void), "%s: takes nothing" % name)
            continue
        fields = {field for field, _ in route.arg_type.definition._all_fields_}
        same(set(mine.argument.fields) - NEWER, fields - NEWER, "%s: fields" % name)
        needed = [field for field, (_, default) in mine.argument.fields.items() if default is dropbox_args.REQUIRED]
        good = good_value(route.arg_type, needed, name)
        wrong = []
        for field in sorted(fields) + ["unknown"]:
            for value in VALUES:
                told = dict(good, **{field: value})
                tried += 1
                us, them = taken_by_us(mine.argument, told), taken_by_them(route.arg_type, told)
                # The root as "/" is refused by the service beyond its patterns, and true
                # is a number only to Python.
                if us != them and not ((value == "/" or value is True) and not us):
                    wrong.append((told, "taken" if us else "refused"))
            told = {key: value for key, value in good.items() if key != field}
            if taken_by_us(mine.argument, told) != taken_by_them(route.arg_type, told):
                wrong.append((told, "without %s" % field))
        same(wrong, [], "%s: takes and refuses the same" % name)
    ok(tried > 1000, "%d arguments" % tried)
    done()


if __name__ == "__main__":
    main()
