"""That the cloud's faults, its clock, its log and its proxy do what they say."""
import email.utils
import http.client
import json
import socket
import ssl
import threading
import time
import warnings

from client import CONTEXT, READY, act, control, done, fault, forget, ok, port, request, same

TOKEN = act("dropbox", "grant")["access_token"]
HEADERS = {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"}
BODY = json.dumps({"query": "x" * 400})
BROKEN = (OSError, http.client.HTTPException, ValueError)


def ask(body=BODY):
    status, headers, text = request("dropbox", "api", "/2/check/user", HEADERS, body)
    return status, headers, text


def broken(words, **told):
    number = fault(route="check/user", **told)
    try:
        ask()
        ok(False, words)
    except BROKEN:
        ok(True, words)
    same(control("faults")[number]["committed"], 1, words + ": once")
    same(ask()[0], 200, words + ": then it is over")


good = ask()[2]
broken("reset before", kind="reset")
broken("reset in the body", kind="reset", at="body", after=10)
broken("reset after the work", kind="reset", at="commit")
broken("reset in the answer", kind="reset", at="answer")
broken("truncated", kind="truncate")
broken("truncated after five bytes", kind="truncate", after=5)
broken("a length that is too large", kind="length")
broken("garbage", kind="garbage")

fault(route="check/user", kind="length", by=-5)
try:
    same(ask()[2], good[:-5], "a length that is too small")
except BROKEN:
    ok(True, "a length that is too small")
forget("dropbox", "api")
fault(route="check/user", kind="flip", byte=0)
same(ask()[2][1:], good[1:], "a byte that is flipped")
fault(route="check/user", kind="flip_body", byte=12)
same(ask()[2] == good, False, "a byte of the body that is flipped")
fault(route="check/user", kind="html")
ok(ask()[2].startswith(b"<!DOCTYPE"), "HTML for JSON")
fault(route="check/user", kind="redirect", status=307, location="https://127.0.0.1:1/x")
same(ask()[:2][0], 307, "a redirect")
fault(route="check/user", kind="status", status=500, body={"a": 1}, headers={"X-Y": "z"})
status, headers, text = ask()
same((status, headers["x-y"], json.loads(text)), (500, "z", {"a": 1}), "a status")
fault(route="check/user", kind="unavailable", retry_after=9)
same((ask()[0],), (503,), "status 503")
fault(route="check/user", kind="throttle", retry_after=9, form="seconds")
same(ask()[1]["retry-after"], "9", "429, in seconds")
fault(route="check/user", kind="throttle", retry_after=9, form="date")
ok(0 < email.utils.parsedate_to_datetime(ask()[1]["retry-after"]).timestamp() - time.time() <= 10, "429, as a date")
fault(route="check/user", kind="throttle", retry_after=9, form="json")
same(json.loads(ask()[2])["error"]["retry_after"], 9, "429, in JSON")
fault(route="check/user", kind="throttle", form="none")
same("retry-after" in ask()[1], False, "429, without")
fault(route="check/user", kind="throttle", form="text")
same(ask()[2], b"too_many_requests", "429, as text")

# which request
fault(route="check/user", kind="status", status=418, nth=2, times=2)
same([ask()[0] for _ in range(4)], [200, 418, 418, 200], "the second and the third")
number = fault(route="/^check/", service="dropbox", host="api", method="POST", path="user$", kind="status", status=418, times=0)
same([ask()[0] for _ in range(3)], [418] * 3, "all, by patterns")
control("clear", {"faults": [number]})
same(ask()[0], 200, "until it is cleared")
fault(route="check/user", service="google", kind="status", status=418)
same(ask()[0], 200, "another service's")
control("clear")

# time
number = fault(route="check/user", kind="stall")
kept = threading.Timer(0.2, control, ("clear",))
kept.start()
same(ask()[2], good, "stalled, until it is cleared")
kept.join()
began = time.monotonic()
fault(route="check/user", kind="stall", at="answer", seconds=0.2)
same((ask()[2], time.monotonic() - began >= 0.2), (good, True), "stalled for a time")
fault(route="check/user", kind="drip", piece=100, pause=0.01)
same(ask()[2], good, "in drops")
control("latency", {"seconds": 0.1})
began = time.monotonic()
ask()
ok(time.monotonic() - began >= 0.1, "latency")
control("latency", {"seconds": 0})
before = control("clock")["now"]
ok(control("clock", {"advance": 10000})["now"] - before >= 10000, "the clock")
same(ask()[0], 200, "a token in its last hours")
control("clock", {"advance": 4401})
same(ask()[0], 401, "and after them")

# the log
mark = control("requests", {"count": True})
ask()
entry = control("requests", {"since": mark})[0]
same({key: entry[key] for key in ("service", "host", "method", "path", "route", "status", "received", "user")},
     {"service": "dropbox", "host": "api", "method": "POST", "path": "/2/check/user", "route": "check/user", "status": 401,
      "received": len(BODY), "user": "anna@example.com"}, "an entry of the log")
same(control("requests", {"since": mark, "status": [401, 409], "count": True}), 1, "counted")
same(control("requests", {"since": mark, "route": "/^files/", "count": True}), 0, "not counted")
ok("CloudSecret" not in json.dumps(control("requests")), "no secret is in it")

# the proxy
through = socket.create_connection(("127.0.0.1", READY["proxy"]))
through.sendall(b"CONNECT api.dropboxapi.com:443 HTTP/1.1\r\nHost: api.dropboxapi.com:443\r\n\r\n")
ok(through.recv(1000).startswith(b"HTTP/1.1 200"), "the proxy leads here")
secure = CONTEXT.wrap_socket(through, server_hostname="api.dropboxapi.com")
secure.sendall(b"POST /2/nothing HTTP/1.1\r\nHost: api.dropboxapi.com\r\nContent-Length: 0\r\n\r\n")
ok(secure.recv(100).startswith(b"HTTP/1.1 400"), "by the real name, whose certificate it has")
through = socket.create_connection(("127.0.0.1", READY["proxy"]))
through.sendall(b"CONNECT www.example.com:443 HTTP/1.1\r\n\r\n")
ok(through.recv(1000).startswith(b"HTTP/1.1 403"), "and nowhere else")
warnings.simplefilter("ignore")
old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
old.load_verify_locations(READY["ca_file"])
old.maximum_version = ssl.TLSVersion.TLSv1_1
try:
    old.wrap_socket(socket.create_connection(("127.0.0.1", port("dropbox", "api"))), server_hostname="127.0.0.1")
    ok(False, "TLS 1.1 is refused")
except (OSError, ssl.SSLError):
    ok(True, "TLS 1.1 is refused")
done()
