"""Enough S3 for cloudsync: objects, listings, copies, uploads in parts, with
ETags, SHA-256 checksums and conditions. Signatures are not looked at."""
import base64
import datetime
import email.utils
import hashlib
import re
import time
import urllib.parse
import uuid
from xml.sax.saxutils import escape

from faulty_base import Answer, File

XML = '<?xml version="1.0" encoding="UTF-8"?>'


def xml(text, status=200):
    return Answer(status, XML + text, content_type="application/xml")


def error(status, code, message="as told"):
    return xml("<Error><Code>%s</Code><Message>%s</Message></Error>" % (code, message), status)


def iso(seconds):
    return datetime.datetime.utcfromtimestamp(seconds).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def row(key, entry, encode=True):
    return "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>%s</ETag><Size>%d</Size></Contents>" % (
        urllib.parse.quote(key, safe="/") if encode else key, iso(entry.modified), escape(entry.etag), entry.size)


def listing(request, query, extra=""):
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
    after = query.get("continuation-token") or query.get("start-after") or ""
    most = int(query.get("max-keys", 1000))
    rows, folders, last = [], [], ""
    truncated = False
    for path in sorted(request.place.files, key=lambda p: p.encode()):
        key = path[1:]
        if not key.startswith(prefix) or key <= after:
            continue
        if len(rows) + len(folders) >= most:
            truncated = True
            break
        rest = key[len(prefix):]
        last = key
        if delimiter and delimiter in rest:
            folder = prefix + rest.split(delimiter)[0] + delimiter
            if folder not in folders:
                folders.append(folder)
            continue
        rows.append(row(key, request.place.files[path]))
    text = "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>"
    text += "<IsTruncated>%s</IsTruncated>" % ("true" if truncated else "false")
    if truncated:
        text += "<NextContinuationToken>%s</NextContinuationToken>" % escape(last)
    text += "".join(rows) + extra
    text += "".join("<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % urllib.parse.quote(f, safe="/") for f in folders)
    return xml(text + "</ListBucketResult>")


def headers_of(place, entry):
    headers = [("ETag", entry.etag), ("Last-Modified", email.utils.formatdate(entry.modified, usegmt=True))]
    if place.checksums and entry.etag.find("-") < 0:
        headers.append(("x-amz-checksum-sha256", base64.b64encode(entry.sha256).decode()))
    return headers


def condition_fails(request):
    entry = request.place.files.get(request.path)
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None and (entry is None or match != entry.etag):
        return error(404, "NoSuchKey") if entry is None else error(412, "PreconditionFailed")
    if none_match is not None and entry is not None:
        return error(412, "PreconditionFailed")
    return None


def put(request, body):
    place = request.place
    source = request.headers.get("x-amz-copy-source")
    if source is not None:
        entry = place.files.get("/" + urllib.parse.unquote(source).lstrip("/").split("/", 1)[1])
        if entry is None:
            return error(404, "NoSuchKey")
        wanted = request.headers.get("x-amz-copy-source-if-match")
        if wanted is not None and wanted != entry.etag:
            return error(412, "PreconditionFailed")
        place.files[request.path] = entry
        return xml("<CopyObjectResult><ETag>%s</ETag></CopyObjectResult>" % escape(entry.etag))
    said = request.headers.get("x-amz-checksum-sha256")
    if said is not None and request.corrupt is None and said != base64.b64encode(hashlib.sha256(body).digest()).decode():
        return error(400, "BadDigest")
    place.files[request.path] = File(body)
    return Answer(200, headers=headers_of(place, place.files[request.path]))


def get(request):
    entry = request.place.files.get(request.path)
    if entry is None:
        return error(404, "NoSuchKey")
    match = request.headers.get("if-match")
    if match is not None and match != entry.etag:
        return error(412, "PreconditionFailed")
    headers = headers_of(request.place, entry)
    if request.method == "HEAD":
        return Answer(200, headers=headers + [("Content-Length", str(entry.size))])
    asked = request.headers.get("range", "")
    if asked.startswith("bytes="):
        start = int(asked[6:].rstrip("-"))
        headers.append(("Content-Range", "bytes %d-%d/%d" % (start, entry.size - 1, entry.size)))
        return Answer(206, entry.data[start:], headers)
    return Answer(200, entry.data, headers)


def parts(request, query, body):
    """Uploads in parts; None: not one of theirs."""
    place = request.place
    if "uploads" in query and request.method == "POST":
        upload = uuid.uuid4().hex
        place.uploads[upload] = {}
        place.begun[upload] = (request.path[1:], time.time())
        answer = xml("<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>" % upload)
        answer.headers.append(("x-amz-checksum-algorithm", "SHA256"))
        return answer
    if "uploads" in query and request.method == "GET":
        rows = ["<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>" % (
            escape(key), upload, iso(begun)) for upload, (key, begun) in place.begun.items()
            if upload in place.uploads and key.startswith(query.get("prefix", ""))]
        return xml("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>%s</ListMultipartUploadsResult>" % "".join(rows))
    if "uploadId" not in query:
        return None
    upload = place.uploads.get(query["uploadId"])
    if upload is None:
        return error(404, "NoSuchUpload")
    if request.method == "PUT":
        upload[int(query["partNumber"])] = body
        return Answer(200, headers=[("ETag", '"%s"' % hashlib.md5(body).hexdigest())])
    if request.method == "DELETE":
        del place.uploads[query["uploadId"]]
        return Answer(204)
    if request.method == "GET":
        text = "<ListPartsResult><IsTruncated>false</IsTruncated><ChecksumAlgorithm>SHA256</ChecksumAlgorithm>"
        for n, data in sorted(upload.items()):
            text += "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag><Size>%d</Size></Part>" % (
                n, hashlib.md5(data).hexdigest(), len(data))
        return xml(text + "</ListPartsResult>")
    failed = condition_fails(request)
    if failed:
        return failed
    named = [int(n) for n in re.findall(rb"<PartNumber>(\d+)<", body)]
    if not named or any(n not in upload for n in named):
        return error(400, "InvalidPart")
    entry = File(b"".join(upload[n] for n in named))
    digests = b"".join(hashlib.md5(upload[n]).digest() for n in named)
    entry.etag = '"%s-%d"' % (hashlib.md5(digests).hexdigest(), len(named))
    place.files[request.path] = entry
    del place.uploads[query["uploadId"]]
    return xml("<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>" % escape(entry.etag))


def carry_out(request, body):
    query = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
    if request.path == "/" and "uploads" not in query:
        return listing(request, query) if request.method == "GET" else error(405, "MethodNotAllowed")
    answer = parts(request, query, body)
    if answer is not None:
        return answer
    if request.method in ("GET", "HEAD"):
        return get(request)
    failed = condition_fails(request) if request.method in ("PUT", "DELETE") else None
    if failed:
        return failed
    if request.method == "PUT":
        return put(request, body)
    if request.method == "DELETE":
        request.place.files.pop(request.path, None)
        return Answer(204)
    return error(405, "MethodNotAllowed")
