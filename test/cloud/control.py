"""The control of the test cloud: plain HTTP with JSON, on a port that only tests
know, and the proxy that leads clients which know only the real names here.

    POST /fault     {...} or [{...}, ...] (cloud_faults.py)   {"faults": [number, ...]}
    POST /clear     {} or {"faults": [number, ...]}
    GET  /faults    [{"kind", "seen", "committed", ...}, ...]
    POST /act       {"service", "act", ...}                   what the act gives
    POST /requests  {"service", "route", ..., "count": true}  [entry, ...] or a number
    POST /clock     {"advance": seconds}                      {"now": seconds}
    POST /latency   {"seconds": n}: each request waits so long first
    POST /behind    {"service", "host", "port"}: it is reached by this port, as its
                    answers say from now on
    POST /door      {"service", "host"}: one more port of a host; {"port"}; with
                    {"port", "open": false} nobody answers there, true: again

What cannot be done is answered 400 with the reason as text.
"""
import asyncio
import json
import socket
import traceback

from aiohttp import web

import cloud_faults


def handler(world):
    async def handle(request):
        told = b""
        while piece := await request.content.readany():
            told += piece
        try:
            if request.path == "/door":
                return web.json_response(await door(world, json.loads(told)))
            return web.json_response(carry_out(world, request.path, json.loads(told or b"{}")))
        except (ValueError, KeyError, LookupError) as why:
            traceback.print_exc()
            return web.Response(status=400, text="%s: %s" % (type(why).__name__, why))
    return handle


def carry_out(world, path, told):
    if path == "/fault":
        return {"faults": cloud_faults.tell(world, told)}
    if path == "/clear":
        cloud_faults.clear(world, told.get("faults"))
        return {}
    if path == "/faults":
        return [dict(fault.told, seen=fault.seen, committed=fault.committed, off=fault.off) for fault in world.faults]
    if path == "/act":
        return world.act(told)
    if path == "/requests":
        found = world.requests(told)
        return len(found) if told.get("count") else found
    if path == "/clock":
        world.advanced += float(told.get("advance", 0))
        return {"now": world.now()}
    if path == "/latency":
        world.latency = float(told["seconds"])
        return {}
    if path == "/behind":
        world.ports[told["service"]][told["host"]] = int(told["port"])
        return {}
    raise ValueError("unknown: %s" % path)


def bound(port=0):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


async def door(world, told):
    """A port that can be closed and opened again; nobody else gets it meanwhile."""
    if "port" not in told:
        runner, port = await world.listen(told["service"], told["host"])
        world.doors[port] = (runner, None, told["service"], told["host"])
        return {"port": port}
    runner, held, service, host = world.doors[told["port"]]
    if runner is not None:
        await runner.cleanup()
        runner, held = None, bound(told["port"])
    if told["open"]:
        runner, _ = await world.listen(service, host, held)
        held = None
    world.doors[told["port"]] = (runner, held, service, host)
    return {"port": told["port"]}


# --- the proxy -----------------------------------------------------------------------


async def start_proxy(ports):
    """A proxy for CONNECT that dials this cloud whatever real name it is told;
    names that are not played here are refused. Its port."""
    async def serve(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target = head.split(b" ", 2)[:2]
            port = ports.get(target.decode().rsplit(":", 1)[0])
            if method != b"CONNECT" or port is None:
                writer.write(b"HTTP/1.1 403 Not played here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            there, back = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await asyncio.gather(carry(reader, back), carry(there, writer))
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server.sockets[0].getsockname()[1]


async def carry(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
