"""What the programs of this folder share: they are started by t/105_cloud_clients.pl
with CLOUD (the ready file's JSON), and print one line a check, "ok - WORDS" or
"not ok - WORDS", at last "done".

    status, headers, text = request("dropbox", "api", "/2/check/user", {header: ...}, body)
    control("fault", {...})         tells the cloud something
    ok(condition, words), same(got, expected, words)
"""
import http.client
import json
import os
import ssl
import sys
import urllib.parse

READY = json.loads(os.environ["CLOUD"])
CONTEXT = ssl.create_default_context(cafile=READY["ca_file"])
kept = {}


def port(service, host):
    return READY["hosts"][service][host]


def url(service, host):
    return "https://127.0.0.1:%d" % port(service, host)


def request(service, host, path, headers=None, body=b"", method="POST"):
    """Sends exactly these headers, with Host and Content-Length."""
    connection = kept.get((service, host))
    if connection is None:
        connection = kept[service, host] = http.client.HTTPSConnection("127.0.0.1", port(service, host), context=CONTEXT)
    if isinstance(body, str):
        body = body.encode()
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    if method != "GET":
        connection.putheader("Content-Length", str(len(body)))
    try:
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException):
        kept.pop((service, host)).close()
        raise
    if answer.will_close:
        kept.pop((service, host)).close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def forget(service, host):
    """The next request comes on another connection."""
    if (service, host) in kept:
        kept.pop((service, host)).close()


def control(what, told=None):
    connection = http.client.HTTPConnection("127.0.0.1", READY["control"])
    connection.request("POST", "/" + what, json.dumps(told or {}))
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        raise RuntimeError("%s: %s" % (what, text))
    return json.loads(text)


def act(service, what, /, **told):
    return control("act", dict(told, service=service, act=what))


def fault(**told):
    return control("fault", told)["faults"][0]


def form(service, host, path, headers=None, **params):
    """A form's answer: status and JSON."""
    headers = dict({"Content-Type": "application/x-www-form-urlencoded"}, **(headers or {}))
    status, _, text = request(service, host, path, headers, urllib.parse.urlencode(params))
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()


def ok(condition, words):
    print(("ok - " if condition else "not ok - ") + words)
    sys.stdout.flush()
    return condition


def same(got, expected, words):
    if not ok(got == expected, words):
        print("# got:      %r\n# expected: %r" % (got, expected))
    return got == expected


def done():
    print("done")
