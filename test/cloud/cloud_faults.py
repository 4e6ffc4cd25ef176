"""Faults that tests tell the cloud to commit.

A fault is {"service", "host", "route", "method", "path", "user", "nth", "times",
"kind", ...}: it is committed on requests that agree with service, host and method
(equal), route (equal, or a regular expression between slashes), path (a regular
expression) and user (whose token they bring), from the nth of them on (1), times
times (1; 0: until it is cleared).
The frame commits these kinds:

  status      status, body (text or JSON), headers, content_type; commit: after
              the work was done; held: when the fault is cleared
  unavailable the service's own 503 (or status), retry_after and form as below; commit
  throttle    the service's own 429: retry_after (seconds), form: seconds, date
              (both in the header Retry-After), json (in the body) or none
  html        a page of HTML where JSON is expected; status (200); commit
  redirect    status (302), location
  reset       at: before (the default: nothing is read), body (after `after` bytes of
              the request's body), commit (the work is done, no answer), answer
              (after half of the answer)
  stall       at: before, commit, answer (after half of it); seconds: goes on then,
              otherwise it lasts until the other side goes or the fault is cleared
  drip        the answer comes in pieces of `piece` (1) bytes every `pause` (0.05) s
  truncate    the connection closes after `after` bytes of the answer's body (half)
  length      Content-Length is `by` (10) more than what comes, or less
  endless     the answer goes on for ever, or until the other side goes
  flip        a byte of the answer's body is another: `byte` (the middle one)
  garbage     what comes is no HTTP
  flip_body   a byte of the request's body is another when it arrives: `byte` (0)
  expired     the request's access token has expired, from now on
  revoked     the request's access token and its grant are revoked, from now on

All others are for the parts, which say at their heads which they know.
"""
import asyncio
import email.utils
import json
import re

FRAME = {"status", "unavailable", "throttle", "html", "redirect", "reset", "stall", "drip", "truncate",
         "length", "endless", "flip", "garbage", "flip_body", "expired", "revoked"}


class Fault:
    def __init__(self, told, number):
        self.told, self.number = dict(told), number
        self.kind = told["kind"]
        self.seen = self.committed = 0
        self.off = False

    def get(self, key, default=None):
        return self.told.get(key, default)

    def agrees(self, call):
        for key, got in (("service", call.service), ("host", call.host), ("method", call.method)):
            if key in self.told and self.told[key] != got:
                return False
        if "path" in self.told and not re.search(self.told["path"], call.path):
            return False
        if "user" in self.told and self.told["user"] != whose(call):
            return False
        route = self.told.get("route")
        if route is None:
            return True
        if len(route) > 1 and route[0] == route[-1] == "/":
            return bool(re.search(route[1:-1], call.route))
        return route == call.route

    def commit(self):
        self.committed += 1


def whose(call):
    """Whose token a request brings, valid or not; without one, what the part says."""
    token = call.world.authority[call.service].access.get(call.headers.get("Authorization", "").partition(" ")[2])
    return token.who if token is not None else call.part.whose(call)


def find(world, call):
    """The fault that is told for a request. Each that agrees counts it."""
    found = None
    for fault in world.faults:
        if fault.off or not fault.agrees(call):
            continue
        fault.seen += 1
        times = int(fault.get("times", 1))
        nth = int(fault.get("nth", 1))
        if found is None and fault.seen >= nth and (times == 0 or fault.seen < nth + times):
            found = fault
    return found


def retry_after(world, fault):
    """The header that a fault's retry_after stands in."""
    seconds, form = fault.get("retry_after"), fault.get("form", "seconds")
    if seconds is None or form in ("none", "json"):
        return {}
    if form == "date":
        return {"Retry-After": email.utils.formatdate(world.now() + float(seconds), usegmt=True)}
    return {"Retry-After": str(seconds)}


def instead(call):
    """The answer that a fault gives instead of the service's."""
    from cloud import Answer
    fault = call.fault
    if fault.kind == "throttle":
        return call.part.throttled(call, fault)
    if fault.kind == "unavailable":
        return call.part.unavailable(call, fault)
    if fault.kind == "html":
        return Answer(int(fault.get("status", 200)), "<!DOCTYPE html><html><body>Please log in to the network."
                      "</body></html>", content_type="text/html; charset=utf-8")
    if fault.kind == "redirect":
        return Answer(int(fault.get("status", 302)), "", {"Location": fault.get("location", "https://127.0.0.1:1/")})
    return Answer(int(fault.get("status", 500)), fault.get("body", ""), fault.get("headers"), fault.get("content_type"))


INSTEAD = ("status", "unavailable", "throttle", "html", "redirect")


async def before(call):
    """What a fault does before the work; an answer, if that is all."""
    from cloud import Reset
    fault = call.fault
    if fault is None:
        return None
    kind, at = fault.kind, fault.get("at", "before")
    if kind in FRAME:
        fault.commit()
    if kind in INSTEAD and not fault.get("commit"):
        if fault.get("held"):
            await stall(call)
        answer = instead(call)
        await call.body()
        return answer
    if kind == "reset" and at == "before":
        raise Reset
    if kind == "stall" and at == "before":
        await stall(call)
    if kind in ("expired", "revoked"):
        call.world.authority[call.service].strike(call, kind)
    return None


async def of_body(call, piece):
    """What a fault does to a piece of the request's body."""
    from cloud import Reset
    fault = call.fault
    if fault is None:
        return piece
    if fault.kind == "reset" and fault.get("at") == "body" and call.received + len(piece) >= int(fault.get("after", 0)):
        raise Reset
    if fault.kind == "flip_body":
        at = int(fault.get("byte", 0)) - call.received
        if 0 <= at < len(piece):
            piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1:]
    return piece


async def after(call, answer, entry):
    """What a fault does when the work is done; the answer to give."""
    from cloud import Reset
    fault = call.fault
    await call.body()
    if fault is None:
        return answer
    at = fault.get("at", "before")
    if fault.kind == "reset" and at == "commit" and answer.status == 429:
        fault.seen -= 1  # nothing was done: the next one's answer is lost
        fault.committed -= 1
        return answer
    if fault.kind == "reset" and at == "commit":
        entry["status"] = answer.status
        raise Reset
    if fault.kind == "stall" and at == "commit":
        await stall(call)
    if fault.kind in INSTEAD and fault.get("commit"):
        return instead(call)
    return answer


async def stall(call):
    """Nothing more, until the time is over, or else the other side goes."""
    from cloud import Reset
    fault = call.fault
    waited, seconds = 0.0, fault.get("seconds")
    while not fault.off and call.request.transport is not None and not call.request.transport.is_closing():
        if seconds is not None and waited >= float(seconds):
            return
        await asyncio.sleep(0.05)
        waited += 0.05
    if call.request.transport is None or call.request.transport.is_closing():
        raise Reset


async def spoil(call, answer, entry):
    """Sends an answer other than it should be; False: there is no such fault."""
    from cloud import Reset
    fault = call.fault
    kind, half = fault.kind, fault.get("at") == "answer"
    if kind not in ("drip", "truncate", "length", "endless", "flip", "garbage") and not (kind in ("reset", "stall") and half):
        return False
    body = answer.bytes()
    length = len(body)
    if kind == "flip" and body:
        at = int(fault.get("byte", len(body) // 2))
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1:]
    if kind == "length":
        length += int(fault.get("by", 10))
    lines = ["HTTP/1.1 %d X" % answer.status]
    if kind != "endless":
        lines.append("Content-Length: %d" % length)
    if answer.content_type:
        lines.append("Content-Type: " + answer.content_type)
    lines += ["%s: %s" % header for header in answer.headers.items()]
    if kind in ("drip", "flip", "stall", "length", "endless"):
        lines.append("Connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    if kind == "garbage":
        head, body = b"\x00\x01 this is no HTTP\r\n\r\n", b""
    cut = int(fault.get("after", len(body) // 2)) if kind == "truncate" or half else len(body)
    transport = call.request.transport
    await write(call, head)
    step = int(fault.get("piece", 1)) if kind == "drip" else 65536
    for at in range(0, cut, step):
        await write(call, body[at:min(cut, at + step)])
        entry["sent"] += min(cut, at + step) - at
        if kind == "drip" and not fault.off:
            await asyncio.sleep(float(fault.get("pause", 0.05)))
    if kind == "stall":
        await stall(call)
        await write(call, body[cut:])
    elif kind == "reset":
        raise Reset
    while kind == "endless" and not fault.off:
        await write(call, b" " * 65536)
        await asyncio.sleep(0.001)  # or nothing else is heard, such as that the other side goes
    if transport is not None:
        transport.close()
    return True


async def write(call, data):
    from cloud import Reset
    transport = call.request.transport
    if transport is None or transport.is_closing():
        raise Reset
    transport.write(data)
    await call.request.protocol._drain_helper()


def tell(world, told):
    """Adds faults; their numbers."""
    numbers = []
    for one in told if isinstance(told, list) else [told]:
        if "kind" not in one:
            raise ValueError("a fault needs its kind: %s" % json.dumps(one))
        world.faults.append(Fault(one, len(world.faults)))
        numbers.append(len(world.faults) - 1)
    return numbers


def clear(world, numbers=None):
    for fault in world.faults:
        if numbers is None or fault.number in numbers:
            fault.off = True
