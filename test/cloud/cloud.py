#!/usr/bin/env python3
"""The test cloud: Dropbox, Google Drive and Microsoft Graph with their token
servers, on 127.0.0.1 over TLS, as strict as the fact sheets say the services are.

    cloud.py --folder FOLDER --ready FILE [--ends-with PID]

FOLDER gets the authority's certificate (ca.pem) and large contents. FILE appears
once everything listens: {"control": port, "proxy": port, "ca_file": path,
"hosts": {"dropbox": {"api": port, ...}, "google": {...}, "graph": {...}}}.

Each service is made of parts (class Part below), and each part serves virtual
hosts, each on a port of its own:

    dropbox  api content notify www                    dropbox_api.py, oauth_dropbox.py
    google   oauth (oauth2.googleapis.com) accounts    oauth_google.py
             api (www.googleapis.com, with /upload)    gdrive.py
    graph    login (login.microsoftonline.com)         oauth_microsoft.py
             api (graph.microsoft.com) files           graph.py

A part is a subclass of Part in its module, which is named in MODULES; a module
that is not there is left out. For every request the frame

  1. makes a Call and asks part.route(call) for the request's name, such as
     "files/upload" (for the log and for faults; no body is read yet);
  2. looks whether a fault is told for it (cloud_faults.py), whose kind the frame
     commits by itself or leaves to the part: call.fault_is("quota") is true, and
     counts as committed, for the part that knows this kind;
  3. awaits part.answer(call), an Answer. A part may `raise Refusal(answer)` at any
     depth; `raise Reset` ends the connection without an answer.

Call: service, host, method, path (decoded), raw_path, query (MultiDict), headers
(case-insensitive), route, token (set by the part: of the log only its kind and
user are kept), subject (set by the part: what it is about, for the log), fault,
`await call.body()`, `async for piece in call.pieces()`, `await call.json(...)`.
Answer(status, body, headers, content_type): body is bytes, str, None, a Blob
(blobs.py) with start and end, or anything else as JSON.

world.now() is the clock of the cloud (seconds; tests advance it), world.service[
name] the list of a service's parts, world.authority[name] its token server
(oauth.py: users, apps, tokens; authority.bearer(call) checks a request's token),
world.folder the place for large contents.

Control (control.py; plain HTTP, JSON) tells faults, acts, clock, and asks for
requests; test/t/TestCloud.pm is its client. What a customer or a test does to a
service is part.act(told), told["act"] being its name; None: not an act of this part.
"""
import argparse
import asyncio
import email.utils
import gc
import importlib
import importlib.util
import json
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time

from aiohttp import web

import cloud_faults
import control
import tls
from blobs import Blob

MODULES = ("oauth_dropbox", "dropbox_api", "oauth_google", "gdrive", "oauth_microsoft", "graph")
PIECE = 256 * 1024


class Reset(Exception):
    """The connection ends without (the rest of) an answer, by RST."""


class Refusal(Exception):
    def __init__(self, answer):
        super().__init__(answer.status)
        self.answer = answer


class Answer:
    """What is answered. A Blob as body is sent from start to end."""

    def __init__(self, status=200, body=None, headers=None, content_type=None, start=0, end=None):
        self.status, self.headers = status, dict(headers or {})
        if body is None:
            body = b""
        elif isinstance(body, str):
            body, content_type = body.encode(), content_type or "text/plain; charset=utf-8"
        elif not isinstance(body, (bytes, Blob)):
            body, content_type = json.dumps(body).encode(), content_type or "application/json"
        self.body, self.content_type = body, content_type
        self.start = start
        self.end = (body.size if isinstance(body, Blob) else len(body)) if end is None else end

    @property
    def length(self):
        return max(0, self.end - self.start)

    def bytes(self):
        if isinstance(self.body, Blob):
            return self.body.read(self.start, self.end)
        return self.body[self.start : self.end]

    def pieces(self):
        for at in range(self.start, self.end, PIECE):
            end = min(self.end, at + PIECE)
            yield self.body.read(at, end) if isinstance(self.body, Blob) else self.body[at:end]


class Call:
    """One request."""

    def __init__(self, world, part, host, request):
        self.world, self.part, self.service, self.host = world, part, part.service, host
        self.request, self.method, self.headers = request, request.method, request.headers
        self.raw_path, self.path, self.query = request.rel_url.raw_path, request.rel_url.path, request.rel_url.query
        self.route, self.token, self.subject, self.fault = "", None, None, None
        self.method_called = None  # a part's own note
        self.received = 0
        self._body = None

    def fault_is(self, *kinds):
        """Is one of these told for this request? It is then committed."""
        if self.fault is None or self.fault.kind not in kinds:
            return False
        self.fault.commit()
        return True

    async def pieces(self):
        """The body as it comes in."""
        if self._body is not None:
            yield self._body
            return
        if self.headers.get("Expect", "").lower() == "100-continue" and self.received == 0:
            await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            try:
                piece = await self.request.content.readany()
            except ConnectionResetError:
                raise Reset from None
            if piece == b"":
                return
            piece = await cloud_faults.of_body(self, piece)
            self.received += len(piece)
            yield piece

    async def body(self):
        if self._body is None:
            pieces = [piece async for piece in self.pieces()]
            self._body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self._body

    async def json(self, refuse=None):
        """The body as JSON; refuse(why) makes the Answer if it is none."""
        try:
            return json.loads(await self.body(), object_pairs_hook=no_twins, parse_constant=no_constant)
        except (ValueError, UnicodeDecodeError) as why:
            raise Refusal(refuse(str(why)) if refuse else Answer(400, "could not decode input as JSON")) from None

    def reset_socket(self):
        """Ends the connection by RST."""
        transport = self.request.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()


def in_one_piece(writer):
    """Headers leave together with the body that is to follow, as a service sends
    what is small; aiohttp, before 3.10, makes two pieces of it."""
    write = getattr(writer, "_write", None)
    if write is None:
        return
    headers = []

    def hold(chunk):
        headers.append(chunk)
        if len(headers) == 2:
            del writer._write
            write(b"".join(headers))
    writer._write = hold


def no_twins(pairs):
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a field stands twice in an object")
    return names


def no_constant(name):
    raise ValueError("%s is no JSON" % name)


class Part:
    """What serves some virtual hosts of a service."""

    service = "?"
    hosts = {}  # virtual host -> the names of the real one, for the proxy

    def __init__(self, world):
        self.world = world

    def route(self, call):
        """The request's name, for the log and for faults."""
        return call.path

    async def answer(self, call):
        raise NotImplementedError

    def act(self, told):
        """What a customer or a test does; None: not an act of this part."""
        return None

    def whose(self, call):
        """Whose things a request without a token is about."""
        return None

    def throttled(self, call, fault):
        """The service's 429, with fault.get("retry_after") said by fault.get("form"):
        seconds, date, json (in the body) or none."""
        headers = cloud_faults.retry_after(self.world, fault)
        return Answer(429, {"error": "too many requests"}, headers)

    def unavailable(self, call, fault):
        """The service's 5xx (fault kind "unavailable")."""
        return Answer(int(fault.get("status", 503)), "Service Unavailable", cloud_faults.retry_after(self.world, fault))


class World:
    def __init__(self, folder):
        self.folder = folder
        self.advanced = 0.0
        self.latency = 0.0
        self.faults = []
        self.log = []
        self.parts, self.service, self.authority, self.hosts = [], {}, {}, {}
        self.doors = {}
        self.lock = threading.RLock()
        for name in MODULES:
            if importlib.util.find_spec(name) is None:
                continue
            for part_class in importlib.import_module(name).PARTS:
                part = part_class(self)
                self.parts.append(part)
                self.service.setdefault(part.service, []).append(part)
                for host in part.hosts:
                    self.hosts[part.service, host] = part

    def now(self):
        return time.time() + self.advanced

    # --- requests ---

    def handler(self, part, host):
        async def handle(request):
            call = Call(self, part, host, request)
            started = time.monotonic()
            entry = {"n": len(self.log) + 1, "service": part.service, "host": host, "method": call.method,
                     "path": call.path, "status": 0, "received": 0, "sent": 0, "began": time.time()}
            self.log.append(entry)
            try:
                return await self.handle(call, entry)
            except (Reset, ConnectionError):  # the other side may go, too
                call.reset_socket()
                return web.Response()
            finally:
                entry.update(route=call.route, received=call.received, ms=int((time.monotonic() - started) * 1000))
                if call.subject is not None:
                    entry["subject"] = call.subject
                if call.token is not None:
                    entry["user"] = call.token.who
                if call.fault is not None:
                    entry["fault"] = call.fault.kind
        return handle

    async def handle(self, call, entry):
        call.route = entry["route"] = call.part.route(call)
        call.fault = cloud_faults.find(self, call)
        if self.latency:
            await asyncio.sleep(self.latency)
        answer = await cloud_faults.before(call)
        if answer is None:
            try:
                answer = await call.part.answer(call)
            except Refusal as refusal:
                answer = refusal.answer
            answer = await cloud_faults.after(call, answer, entry)
        entry["status"] = answer.status
        if call.fault is not None and await cloud_faults.spoil(call, answer, entry):
            # nothing more is to be written: aiohttp then closes the connection
            raise asyncio.CancelledError
        return await self.send(call, answer, entry)

    async def send(self, call, answer, entry):
        headers = dict({"Date": email.utils.formatdate(self.now(), usegmt=True)}, **answer.headers)
        if answer.content_type:
            headers["Content-Type"] = answer.content_type
        if not isinstance(answer.body, Blob) or answer.length <= PIECE:
            entry["sent"] = answer.length
            response = web.Response(status=answer.status, headers=headers, body=answer.bytes())
            if not answer.content_type:
                response.headers.popall("Content-Type", None)
            if answer.length > 0 and call.method != "HEAD" and answer.status not in (204, 304):
                in_one_piece(call.request.writer)
            return response
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = answer.length
        await response.prepare(call.request)
        if call.method != "HEAD":
            for piece in answer.pieces():
                await response.write(piece)
                entry["sent"] += len(piece)
        await response.write_eof()
        return response

    # --- acts and questions of tests ---

    def act(self, told):
        for part in self.service.get(told.get("service"), []):
            done = part.act(told)
            if done is not None:
                return done
        raise ValueError("unknown act: %s" % json.dumps({k: told[k] for k in ("service", "act") if k in told}))

    def requests(self, wanted):
        """Entries of the log that agree: service, host, method, status, user,
        fault equal; route equal or (like path, subject) a regular expression
        between slashes; since: only those with a higher n."""
        def agrees(entry):
            for key, value in wanted.items():
                if key in ("since", "count"):
                    continue
                got = entry.get(key)
                if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == "/" and key in (
                        "route", "path", "subject"):
                    if not re.search(value[1:-1], str(got or "")):
                        return False
                elif isinstance(value, list):
                    if got not in value:
                        return False
                elif str(got) != str(value):
                    return False
            return True
        return [entry for entry in self.log[int(wanted.get("since", 0)):] if agrees(entry)]


# --- the program --------------------------------------------------------------------


async def listen(handle, context=None, sock=None):
    server = web.Server(handle, keepalive_timeout=600, max_line_size=262144, max_field_size=262144,
                        access_log=None)
    runner = web.ServerRunner(server)
    await runner.setup()
    sock = sock or control.bound()
    await web.SockSite(runner, sock, ssl_context=context, backlog=256).start()
    return runner, sock.getsockname()[1]


async def serve(told):
    world = World(told.folder)
    names = ["localhost"] + sorted({name for part in world.parts for real in part.hosts.values() for name in real})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.make_certificates(told.folder, names))
    ports = {}
    for (service, host), part in world.hosts.items():
        _, ports.setdefault(service, {})[host] = await listen(world.handler(part, host), context)
    world.ports = ports
    world.listen = lambda service, host, sock=None: listen(world.handler(world.hosts[service, host], host), context, sock)
    real = {name: ports[part.service][host] for part in world.parts for host, known in part.hosts.items() for name in known}
    _, control_port = await listen(control.handler(world))
    ready = {"control": control_port, "proxy": await control.start_proxy(real),
             "ca_file": os.path.join(told.folder, "ca.pem"), "hosts": ports}
    with open(told.ready + ".new", "w", encoding="utf-8") as out:
        json.dump(ready, out)
    os.rename(told.ready + ".new", told.ready)
    while not told.ends_with or alive(told.ends_with):
        await asyncio.sleep(1)


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except OSError:
        return False


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--folder", required=True)
    arguments.add_argument("--ready", required=True)
    arguments.add_argument("--ends-with", type=int)
    # Nearly all that it makes stays; looking through that takes 100 ms each time.
    gc.set_threshold(50000, 20, 50)
    # Modules import this one by its name, and are to see the same classes.
    sys.modules.setdefault("cloud", sys.modules["__main__"])
    asyncio.run(serve(arguments.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
