#!/usr/bin/env python3
"""A server on 127.0.0.1 that misbehaves when told to: tests 086 and 087.

It speaks enough WebDAV (faulty_webdav.py) and enough S3 (faulty_s3.py, without
looking at signatures) for pushes and collections to succeed, keeps what it is
given in memory, and commits the faults of faulty_faults.py where it is told to.
Plain Python, by sockets alone, since no library would send what it sends.

    faulty.py webdav|s3 --port-file FILE [--certificates FOLDER] [--ends-with PID]

FILE gets the port of its control once it listens. There it is told what to do:

    POST /places  {"p1": {"kind": "plain", "files": {"/a/b.txt": "text"},
                          "folders": ["/c"], "checksums": false, "etags": false,
                          "faults": [{...}, ...]}, ...}
    POST /arm     {"p1": [{...}, ...], ...}: other faults from now on
    POST /clear   no more faults anywhere
    GET /state

A place is a world of its own, with its own port, files and faults, so that many
faults are tested at once and none is met by another's requests. Its name is the
first part of its paths. kind: plain (http), tls, expired, host, self (https with
FOLDER/good.pem, expired.pem, host.pem or self.pem, certificate and key; good.pem
from /clear on), late (http, but nobody listens before /clear: connection
refused). checksums: whether it knows any; etags: whether answers to PUT say them
(WebDAV). All answers are the state:

    {"places": {"p1": {"port": n, "files": {path: [size, sha256]},
                "folders": [...], "uploads": n, "committed": [n of each fault],
                "requests": ["PUT /a/b.txt 201", ...]}}, "strayed": [...]}

strayed: whatever else came to the control port; redirects lead to it. A fault is

    {"fault": "reset_response", "on": "^PUT /a", "skip": 1, "times": 2, ...}

on: a regular expression on "METHOD /path?query" as seen from the place (default:
everything); skip: so many of these requests pass before; times: how often it is
committed (default: until /clear). What else it takes says faulty_faults.py.
Requests are kept without their headers, so nothing secret is.
"""
import argparse
import email.utils
import json
import os
import re
import resource
import selectors
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

import faulty_faults
import faulty_s3
import faulty_webdav
from faulty_base import Answer, Ended, File

class Place:
    def __init__(self, told):
        self.lock = threading.RLock()
        old = time.time() - 3600
        self.files = {path: File(text.encode(), old) for path, text in told.get("files", {}).items()}
        self.folders = {"/"} | set(told.get("folders", []))
        for path in self.files:
            self.make_parents(path)
        self.checksums = told.get("checksums", True)
        self.etags = told.get("etags", True)
        self.uploads = {}
        self.begun = {}
        self.kind = told.get("kind", "plain")
        self.listener = None
        self.port = None
        self.requests = []
        self.arm(told.get("faults", []))

    def arm(self, faults):
        with self.lock:
            self.faults = [dict(f, seen=0, committed=0) for f in faults]

    def make_parents(self, path):
        while path.rstrip("/").rfind("/") > 0:
            path = path[: path.rstrip("/").rfind("/")]
            self.folders.add(path)

    def fault_for(self, what):
        """The fault to commit on this request, counted as committed."""
        with self.lock:
            for fault in self.faults:
                if fault.get("off") or not re.search(fault.get("on", ""), what):
                    continue
                fault["seen"] += 1
                if fault["seen"] <= fault.get("skip", 0):
                    continue
                if 0 < fault.get("times", 0) <= fault["committed"]:
                    continue
                fault["committed"] += 1
                return fault
        return None

    def state(self):
        with self.lock:
            return {
                "port": self.port,
                "files": {p: [f.size, f.sha256.hex()] for p, f in self.files.items()},
                "folders": sorted(self.folders),
                "uploads": len(self.uploads),
                "committed": [f["committed"] for f in self.faults],
                "requests": self.requests,
            }


class Request:
    """One request, its place, and the connection that it came on."""

    def __init__(self, server, place, sock, reader, head):
        self.server, self.place, self.sock, self.reader = server, place, sock, reader
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = (lines[0] + "  ").split(" ", 2)
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        raw, _, self.query = self.target.partition("?")
        self.raw_path = raw
        parts = raw.split("/", 2)
        self.place_name = parts[1] if len(parts) > 1 else ""
        self.path = urllib.parse.unquote("/" + (parts[2] if len(parts) > 2 else ""))
        self.body_read = False
        self.corrupt = None  # what a fault does to a body before it is kept

    def what(self):
        return "%s %s%s" % (self.method, self.path, "?" + self.query if self.query else "")

    def read_body(self, interim=True):
        if self.body_read:
            return b""
        self.body_read = True
        if interim and self.headers.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = b""
            while True:
                size = int(self.line().split(b";")[0], 16)
                body += self.exactly(size)
                self.line()
                if size == 0:
                    return body
        return self.exactly(int(self.headers.get("content-length", 0)))

    def line(self):
        line = self.reader.readline(65536)
        if not line.endswith(b"\n"):
            raise Ended
        return line.strip()

    def exactly(self, n):
        data = self.reader.read(n) if n > 0 else b""
        if len(data) < n:
            raise Ended
        return data

    def send(self, answer):
        """An answer as it should be."""
        self.sock.sendall(self.head_of(answer) + (b"" if self.method == "HEAD" else answer.body))

    def head_of(self, answer, length=True):
        lines = ["HTTP/1.1 %d X" % answer.status, "Date: " + email.utils.formatdate(usegmt=True)]
        lines += ["%s: %s" % h for h in answer.headers]
        if length and not any(n.lower() == "content-length" for n, _ in answer.headers) and answer.status != 204:
            lines.append("Content-Length: %d" % len(answer.body))
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def reset(self):
        """Ends the connection by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Ended

    def until_gone(self, piece=None, pause=0.05, limit=30.0):
        """Sends a piece now and then, or nothing, until the other side goes."""
        end = time.monotonic() + limit
        while time.monotonic() < end and not self.fault.get("off"):
            self.sock.settimeout(pause)
            try:
                if self.sock.recv(1) == b"":
                    break
            except (TimeoutError, ssl.SSLWantReadError):
                pass
            self.sock.settimeout(limit)
            if piece:
                self.sock.sendall(piece)
        raise Ended


class Server:
    def __init__(self, protocol, certificates):
        self.protocol = protocol
        self.places = {}
        self.strayed = []
        self.waiting = selectors.DefaultSelector()
        self.contexts = {}
        for kind in ("tls", "expired", "host", "self") if certificates else ():
            self.contexts[kind] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.contexts[kind].load_cert_chain(os.path.join(certificates, ("good" if kind == "tls" else kind) + ".pem"))
        listener, self.control_port = self.bind()
        self.listen(listener, None)

    # --- connections ---

    def bind(self):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        return listener, listener.getsockname()[1]

    def listen(self, listener, place):
        listener.listen(64)
        self.waiting.register(listener, selectors.EVENT_READ, place)

    def accept(self):
        while True:
            for key, _ in self.waiting.select(0.1):
                sock, _ = key.fileobj.accept()
                serve = self.serve if key.data else self.control
                threading.Thread(target=self.guarded, args=(serve, key.data, sock), daemon=True).start()

    def guarded(self, serve, place, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(30)
            if place and place.kind in self.contexts:
                sock = self.contexts[place.kind].wrap_socket(sock, server_side=True)
            serve(place, sock)
        except (Ended, OSError, ValueError):
            pass
        finally:
            sock.close()

    def read_request(self, place, sock, reader):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline(65536)
            if line == b"":
                return None
            if line.strip() or head:
                head += line
        return Request(self, place, sock, reader, head[:-4])

    def serve(self, place, sock):
        reader = sock.makefile("rb")
        while True:
            request = self.read_request(place, sock, reader)
            if request is None:
                return
            self.answer(request)

    def answer(self, request):
        place = request.place
        fault = request.fault = place.fault_for(request.what())
        status = "fault"
        try:
            if fault is None:
                answer = self.carry_out(request, request.read_body())
                status = answer.status
                request.send(answer)
            else:
                faulty_faults.commit(fault, request)
        finally:
            with place.lock:
                place.requests.append("%s %s%s" % (request.what(), status, " " + fault["fault"] if fault else ""))

    def carry_out(self, request, body):
        with request.place.lock:
            return self.protocol.carry_out(request, body)

    # --- control ---

    def control(self, place, sock):
        reader = sock.makefile("rb")
        request = self.read_request(place, sock, reader)
        if request is None:
            return
        body = request.read_body()
        if request.target == "/places":
            for name, told in json.loads(body).items():
                self.add(name, Place(told))
        elif request.target == "/arm":
            for name, faults in json.loads(body).items():
                self.places[name].arm(faults)
        elif request.target == "/clear":
            self.clear()
        elif request.target != "/state":
            self.strayed.append("%s %s%s" % (request.method, request.target, " with credentials" if "authorization" in request.headers else ""))
        state = {"places": {n: p.state() for n, p in self.places.items()}, "strayed": self.strayed}
        request.headers["connection"] = "close"
        request.send(Answer(200, json.dumps(state), content_type="application/json"))

    def add(self, name, place):
        place.listener, place.port = self.bind()
        self.places[name] = place
        if place.kind != "late":
            self.listen(place.listener, place)

    def clear(self):
        for place in self.places.values():
            with place.lock:
                for fault in place.faults:
                    fault["off"] = True
            if place.kind == "late":
                self.listen(place.listener, place)
                place.kind = "plain"
            elif place.kind != "plain":
                place.kind = "tls"


def end_with(pid):
    while True:
        time.sleep(1)
        try:
            os.kill(pid, 0)
        except OSError:
            os._exit(0)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("protocol", choices=["webdav", "s3"])
    arguments.add_argument("--port-file", required=True)
    arguments.add_argument("--certificates")
    arguments.add_argument("--ends-with", type=int)
    told = arguments.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = Server(faulty_webdav if told.protocol == "webdav" else faulty_s3, told.certificates)
    if told.ends_with:
        threading.Thread(target=end_with, args=(told.ends_with,), daemon=True).start()
    with open(told.port_file + ".new", "w", encoding="utf-8") as out:
        out.write(str(server.control_port))
    os.rename(told.port_file + ".new", told.port_file)
    server.accept()


if __name__ == "__main__":
    sys.exit(main())
