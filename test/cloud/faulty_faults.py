"""The faults. Each is a function of the fault as told and of the request, and
sends what it likes. after=true (where it says so): the request is carried out
first, so that only the answer is at fault; otherwise nothing is done at the
server.

    before the body is read
      reset_request   the connection is reset
      early           status (413 by default) at once, the body unread
      slow_read       reads a byte now and then
    instead of the true answer
      status          status, headers, text, type; after
      reflect         status, its text the request's own headers
      html            a web page, with status 200 or as told
      redirect        status (302) to the URL "to": {self} is the URL asked for,
                      {stray} another port over http
      stall           silence
      lost            reset without a byte of the answer; after
      empty           closed without a byte; after
      not_http        another protocol's greeting
      text            raw: these bytes, whatever they are
    with the true answer, after the request was carried out
      together        once so many requests ("together") wait for it; closed, if they
                      do not come
      no_continue     no 100 Continue: the answer as it should be
      reset_response, reset_body       reset in the middle of headers, of content
      cut_body        closed in the middle of its content
      length          says Content-Length: value
      endless_body, endless_headers, endless_line, endless_interim
      drip            byte by byte
      stall_body      silence in the middle of the content
      chunked_nonsense, chunked_cut, chunked_huge
      gzip_bomb       64 MiB of zeros, compressed
      flip            one byte of the content is another
      checksum        the checksum in the headers is another
      header          sets header to value
    in what is kept
      keep_flipped, keep_cut           the content is damaged, the answer good
    in XML
      bomb, external, deep, attributes, unclosed
      endless_xml      in the "folder" that is listed, or another
      more_pages       S3: page after page, with the "same" token or not
      entries         what is in "hrefs" (WebDAV) or "keys" (S3) stands in the
                      listing besides; raw_keys: as written, not encoded
"""
import time
import zlib

import faulty_s3
import faulty_webdav
from faulty_base import Answer, Ended, File

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Please sign in<br></form></body></html>"


def make_bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()


BOMB = make_bomb()


def true_answer(fault, request):
    return request.server.carry_out(request, request.read_body())


def may_act(fault, request):
    body = request.read_body()
    if fault.get("after"):
        request.server.carry_out(request, body)


# --- before the body is read ---

def reset_request(fault, request):
    if int(request.headers.get("content-length", 0)) > 100000:
        request.exactly(50000)
    request.reset()


def early(fault, request):
    request.send(Answer(int(fault.get("status", 413)), headers=[("Connection", "close")]))
    raise Ended


def slow_read(fault, request):
    request.until_gone(pause=0.2)


# --- instead ---

def status(fault, request):
    may_act(fault, request)
    request.send(Answer(int(fault["status"]), fault.get("text", ""), fault.get("headers", {}).items(), fault.get("type")))


def reflect(fault, request):
    request.read_body()
    words = " ".join("%s: %s" % h for h in request.headers.items())
    text = fault.get("text", "%s") % words
    request.send(Answer(int(fault["status"]), text, [("X-Request", words), ("Location", "/" + words)], fault.get("type", "text/plain")))


def html(fault, request):
    request.read_body()
    request.send(Answer(int(fault.get("status", 200)), PAGE, content_type="text/html"))


def redirect(fault, request):
    request.read_body()
    scheme = "http" if request.place.kind == "plain" else "https"
    where = fault["to"].format(
        self="%s://127.0.0.1:%d%s" % (scheme, request.place.port, request.target),
        stray="http://127.0.0.1:%d/stray/%s" % (request.server.control_port, request.place_name))
    request.send(Answer(int(fault.get("status", 302)), headers=[("Location", where)]))


def stall(fault, request):
    request.read_body()
    request.until_gone()


def lost(fault, request):
    may_act(fault, request)
    request.reset()


def empty(fault, request):
    may_act(fault, request)
    raise Ended


def not_http(fault, request):
    request.read_body()
    request.sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(range(256)))
    raise Ended


def text(fault, request):
    request.read_body()
    request.sock.sendall(fault["raw"].encode("latin-1"))
    raise Ended


# --- with the true answer ---

def no_continue(fault, request):
    body = request.read_body(interim=False)
    request.send(request.server.carry_out(request, body))


def reset_response(fault, request):
    head = request.head_of(true_answer(fault, request))
    request.sock.sendall(head[: len(head) // 2])
    request.reset()


def start_of(answer, request):
    """The headers and half of the content; where there is none, one that is said to come."""
    if answer.body:
        head = request.head_of(answer)
    else:
        answer.headers = [h for h in answer.headers if h[0].lower() != "content-length"] + [("Content-Length", "1000")]
        answer.status = 200 if answer.status == 204 else answer.status
        head = request.head_of(answer)
    request.sock.sendall(head + answer.body[: len(answer.body) // 2])


def reset_body(fault, request):
    start_of(true_answer(fault, request), request)
    request.reset()


def cut_body(fault, request):
    start_of(true_answer(fault, request), request)
    raise Ended


def stall_body(fault, request):
    start_of(true_answer(fault, request), request)
    request.until_gone()


def length(fault, request):
    answer = true_answer(fault, request)
    value = str(fault["value"]).replace("{half}", str(len(answer.body) // 2)).replace("{more}", str(len(answer.body) + 100))
    answer.headers = [h for h in answer.headers if h[0].lower() != "content-length"] + [("Content-Length", value)]
    answer.status = 200 if answer.status == 204 else answer.status
    request.send(answer)
    raise Ended


def chunked(fault, request, content):
    answer = true_answer(fault, request)
    answer.status = 200 if answer.status == 204 else answer.status
    answer.headers = [h for h in answer.headers if h[0].lower() != "content-length"] + [("Transfer-Encoding", "chunked")]
    request.sock.sendall(request.head_of(answer, length=False) + content(answer.body))


def chunked_nonsense(fault, request):
    chunked(fault, request, lambda body: b"zzz\r\n" + body + b"\r\n")
    raise Ended


def chunked_cut(fault, request):
    chunked(fault, request, lambda body: b"%x\r\n" % (len(body) + 1000) + body)
    raise Ended


def chunked_huge(fault, request):
    chunked(fault, request, lambda body: b"ffffffffffffffffff\r\n" + body)
    raise Ended


def endless(request, piece):
    while True:
        request.sock.sendall(piece)


def endless_body(fault, request):
    piece = b" " * 65000
    chunked(fault, request, lambda body: b"%x\r\n%s\r\n" % (len(body), body) if body else b"")
    endless(request, b"%x\r\n%s\r\n" % (len(piece), piece))


def endless_xml(fault, request):
    """A listing whose entries never end, in another folder than was asked for or
    in that one."""
    chunked(fault, request, lambda body: b"")
    protocol = request.server.protocol
    start, entry = xml_start(protocol), xml_entry(request, fault.get("folder", "/endless") + "/name%d").encode()
    request.sock.sendall(b"%x\r\n%s\r\n" % (len(start), start))
    for n in range(10**9):
        piece = b"".join(entry % (100 * n + i) for i in range(100))
        request.sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        time.sleep(0.02)


def endless_headers(fault, request):
    head = request.head_of(true_answer(fault, request))[:-2]
    request.sock.sendall(head)
    endless(request, b"".join(b"X-%d: more of it\r\n" % i for i in range(1000)))


def endless_line(fault, request):
    head = request.head_of(true_answer(fault, request))[:-2]
    request.sock.sendall(head + b"X-Long: ")
    endless(request, b"x" * 65536)


def endless_interim(fault, request):
    request.read_body()
    endless(request, b"HTTP/1.1 102 Processing\r\nX-More: yes\r\n\r\n" * 100)


def drip(fault, request):
    answer = true_answer(fault, request)
    content = request.head_of(answer) + answer.body
    for i in range(len(content)):
        request.sock.sendall(content[i : i + 1])
        request.sock.settimeout(0.25)
        try:
            if request.sock.recv(1) == b"":
                raise Ended
        except TimeoutError:
            pass
        request.sock.settimeout(30)


def gzip_bomb(fault, request):
    answer = true_answer(fault, request)
    answer.body = BOMB
    answer.status = 200 if answer.status == 204 else answer.status
    answer.headers.append(("Content-Encoding", "gzip"))
    request.send(answer)


def flip(fault, request):
    answer = true_answer(fault, request)
    at = len(answer.body) // 2
    answer.body = answer.body[:at] + bytes([answer.body[at] ^ 1]) + answer.body[at + 1 :]
    request.send(answer)


def checksum(fault, request):
    answer = true_answer(fault, request)
    other = {"oc-checksum": "SHA256:" + "0" * 64, "x-amz-checksum-sha256": "A" * 43 + "="}
    answer.headers = [(n, other.get(n.lower(), v)) for n, v in answer.headers]
    request.send(answer)


def together(fault, request):
    answer = true_answer(fault, request)
    lock = request.place.lock
    with lock:
        fault["waiting"] = fault.get("waiting", 0) + 1
        fault["met"] = fault.get("met", False) or fault["waiting"] >= fault["together"]
    end = time.monotonic() + 20
    while not fault["met"] and time.monotonic() < end:
        time.sleep(0.02)
    with lock:
        fault["waiting"] -= 1
    if not fault["met"]:
        raise Ended
    request.send(answer)


def header(fault, request):
    answer = true_answer(fault, request)
    answer.headers = [h for h in answer.headers if h[0].lower() != fault["header"].lower()]
    answer.headers.append((fault["header"], fault["value"]))
    request.send(answer)


# --- in what is kept ---

def keep(request, damage):
    body = request.read_body()
    request.corrupt = True
    request.send(request.server.carry_out(request, damage(body)))


def keep_flipped(fault, request):
    keep(request, lambda body: body[:-1] + bytes([body[-1] ^ 1]) if body else b"")


def keep_cut(fault, request):
    keep(request, lambda body: body[: len(body) // 2])


# --- in XML ---

def xml_start(protocol):
    if protocol is faulty_webdav:
        return b'<d:multistatus xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns">'
    return b"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"


def xml_entry(request, path):
    entry = File(b"0123456789", 1)
    if request.server.protocol is faulty_webdav:
        return faulty_webdav.resource(request, "", entry, href="/" + request.place_name + path)
    return faulty_s3.row(path[1:], entry, encode=False)


def send_xml(request, start, content):
    request.read_body()
    answer = Answer(207 if request.server.protocol is faulty_webdav else 200, content_type="application/xml")
    answer.body = (b'<?xml version="1.0"?>' + start) + content
    request.send(answer)


def bomb(fault, request):
    kinds = "".join('<!ENTITY e%d "%s">' % (i + 1, "&e%d;" % i * 10) for i in range(12))
    send_xml(request, b'<!DOCTYPE x [<!ENTITY e0 "ha">' + kinds.encode() + b"]>", b"<x>&e12;</x>")


def external(fault, request):
    send_xml(request, b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>', b"<x>&f;</x>")


def deep(fault, request):
    send_xml(request, b"", b"<a>" * 200000)


def attributes(fault, request):
    send_xml(request, b"", b"<a " + b" ".join(b'a%d="x"' % i for i in range(20000)) + b"/>")


def unclosed(fault, request):
    answer = true_answer(fault, request)
    answer.body = answer.body[: len(answer.body) // 2]
    request.send(answer)


def more_pages(fault, request):
    """S3: each page says that there is another, with the same token or a new one."""
    answer = true_answer(fault, request)
    fault["page"] = fault.get("page", 0) + (0 if fault.get("same") else 1)
    answer.body = answer.body.replace(b"<IsTruncated>false</IsTruncated>",
        b"<IsTruncated>true</IsTruncated><NextContinuationToken>0%d</NextContinuationToken>" % fault["page"])
    request.send(answer)


def entries(fault, request):
    answer = true_answer(fault, request)
    if request.server.protocol is faulty_webdav:
        more = "".join(faulty_webdav.resource(request, "", File(b"hostile", 1), href=h.replace("{place}", request.place_name))
                       for h in fault["hrefs"])
        end = b"</d:multistatus>"
    else:
        more = "".join(faulty_s3.row(k, File(b"hostile", 1), encode=False) for k in fault["keys"])
        end = b"</ListBucketResult>"
    answer.body = answer.body.replace(end, more.encode("latin-1") + end)
    request.send(answer)


def commit(fault, request):
    globals()[fault["fault"]](fault, request)
