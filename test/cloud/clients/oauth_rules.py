"""That the token servers of the test cloud refuse what the services refuse (the
fact sheets' sections on OAuth)."""
import base64
import hashlib
import json
import urllib.parse
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from client import act, control, done, form, ok, request, same, url

VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
DONE = "https://app.example.com/cloudsync/done"


def consent(service, host, path, told=None, **params):
    return act(service, "consent", url=url(service, host) + path + "?" + urllib.parse.urlencode(params), **(told or {}))


def code_of(done_):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(done_["redirect"]).query))


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwt(header, claims, key, padded=None):
    text = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return text + "." + b64(key.sign(text.encode(), padded or padding.PKCS1v15(), hashes.SHA256()))


# --- Dropbox ---

APP = {"client_id": "dbxapp00cloudsync"}
SECRET = dict(APP, client_secret="dbxCloudSecret1")
page = lambda told=None, **params: consent("dropbox", "www", "/oauth2/authorize", told, **dict(APP, response_type="code", **params))
token = lambda **params: form("dropbox", "api", "/oauth2/token", **params)
ok("error" in page(client_id="x"), "Dropbox: an unknown app")
ok("error" in page(redirect_uri="https://evil.example/"), "Dropbox: a redirect that is not registered")
ok("error" in page(state="x"), "Dropbox: a state without a redirect")
ok("error" in page(code_challenge="x" * 43, code_challenge_method="plain"), "Dropbox: a plain challenge")
ok("error" in page(scopes="x"), "Dropbox: a parameter that is none")
same(code_of(page({"deny": True}, redirect_uri=DONE, state="s1"))["error"], "access_denied", "Dropbox: denied")
shown = page(token_access_type="offline", **PKCE)["code"]
same(token(grant_type="authorization_code", code=shown, **APP)[1].get("error"), "invalid_grant", "Dropbox: no verifier")
same(token(grant_type="authorization_code", code=shown, code_verifier="w" * 50, **APP)[1]["error"], "invalid_grant", "Dropbox: another")
status, got = token(grant_type="authorization_code", code=shown, code_verifier=VERIFIER, **APP)
same((status, got["expires_in"], "refresh_token" in got), (200, 14400, True), "Dropbox: tokens, by PKCE without a secret")
same(token(grant_type="authorization_code", code=shown, code_verifier=VERIFIER, **APP)[1]["error"], "invalid_grant", "Dropbox: a code twice")
status, new = token(grant_type="refresh_token", refresh_token=got["refresh_token"], **APP)
same((status, "refresh_token" in new), (200, False), "Dropbox: no rotation")
same(token(grant_type="refresh_token", refresh_token=shown, **APP)[1]["error_description"], "refresh token is malformed",
     "Dropbox: a code for a refresh token")
back = page(redirect_uri=DONE, state="s2")
same(code_of(back)["state"], "s2", "Dropbox: back with the state")
code = code_of(back)["code"]
ok("error" in page(redirect_uri=DONE, state="s2", token_access_type="offline"), "Dropbox: a state that another request had")
same(token(grant_type="authorization_code", code=code, **SECRET)[1]["error_description"], "redirect_uri mismatch", "Dropbox: no redirect")
same(token(grant_type="authorization_code", code=code, redirect_uri=DONE, **APP)[1]["error"], "invalid_client", "Dropbox: no secret")
status, online = token(grant_type="authorization_code", code=code, redirect_uri=DONE, **SECRET)
ok(status == 200 and "refresh_token" not in online, "Dropbox: online access has no refresh token")
status, _, text = request("dropbox", "api", "/2/auth/token/revoke", {"Authorization": "Bearer " + new["access_token"],
                                                                       "Content-Type": "application/json"}, "null")
same((status, text), (200, b"null"), "Dropbox: revoked")
same(token(grant_type="refresh_token", refresh_token=got["refresh_token"], **APP)[1]["error_description"],
     "refresh token is invalid or revoked", "Dropbox: and the refresh token with it")
same(request("dropbox", "api", "/2/check/user", {"Authorization": "Bearer " + got["access_token"], "Content-Type":
             "application/json"}, '{"query":"x"}')[0], 401, "Dropbox: and its siblings")
same(form("dropbox", "api", "/oauth2/token", {"Content-Type": "application/json"}, grant_type="x")[0], 400, "Dropbox: no form")

# --- Google ---

WEB = {"client_id": "web.apps.googleusercontent.com"}
SECRET = dict(WEB, client_secret="GOCSPX-CloudSecret1")
DRIVE = "https://www.googleapis.com/auth/drive"
page = lambda told=None, **params: consent("google", "accounts", "/o/oauth2/v2/auth", told, **dict(dict(
    WEB, response_type="code", redirect_uri=DONE, scope=DRIVE), **params))
token = lambda **params: form("google", "oauth", "/token", **params)
exchange = lambda back, **params: token(**dict(dict(SECRET, grant_type="authorization_code", code=code_of(back)["code"],
                                                    redirect_uri=DONE), **params))
ok("redirect_uri_mismatch" in page(redirect_uri=DONE + "/")["error"], "Google: a redirect that differs by a slash")
ok("invalid_scope" in page(scope=DRIVE + ".nothing")["error"], "Google: an unknown scope")
ok("not allowed" in page(token_access_type="offline")["error"], "Google: another's parameter")
same("refresh_token" in exchange(page(access_type="offline"))[1], True, "Google: a refresh token the first time")
same("refresh_token" in exchange(page(access_type="offline"))[1], False, "Google: none when no consent screen is shown")
same("refresh_token" in exchange(page(prompt="consent"))[1], False, "Google: none online")
back = page({"untick": [DRIVE + ".file"]}, scope=DRIVE + " " + DRIVE + ".file", access_type="offline", prompt="consent", **PKCE)
same(exchange(back)[1]["error"], "invalid_grant", "Google: no verifier")
status, got = exchange(back, code_verifier=VERIFIER)
same((status, got["scope"]), (200, DRIVE), "Google: a scope was unticked")
same(exchange(back, code_verifier=VERIFIER)[1]["error"], "invalid_grant", "Google: a code twice")
same(token(grant_type="refresh_token", refresh_token=got["refresh_token"], **dict(SECRET, client_secret="x"))[0], 401, "Google: a wrong secret")
same(token(grant_type="refresh_token", refresh_token=got["refresh_token"], **SECRET)[0], 200, "Google: refreshed")
same(form("google", "oauth", "/revoke", token=got["refresh_token"])[0], 200, "Google: revoked")
same(form("google", "oauth", "/revoke", token=got["refresh_token"])[0], 400, "Google: revoked twice")
same(token(grant_type="refresh_token", refresh_token=got["refresh_token"], **SECRET)[1]["error"], "invalid_grant", "Google: dead")
desktop = page(client_id="desktop.apps.googleusercontent.com", redirect_uri="http://127.0.0.1:12345/x")
ok("redirect" in desktop, "Google: any port of loopback for a desktop app")
act("google", "change_app", app=WEB["client_id"], testing=True)
status, got = exchange(page(access_type="offline", prompt="consent"))
control("clock", {"advance": 8 * 86400})
same(token(grant_type="refresh_token", refresh_token=got["refresh_token"], **SECRET)[1]["error"], "invalid_grant", "Google: testing, a week later")

file = act("google", "service_account", name="robot")
key = serialization.load_pem_private_key(file["private_key"].encode(), None)
now = int(control("clock")["now"])
claims = {"iss": file["client_email"], "scope": DRIVE, "aud": "https://oauth2.googleapis.com/token", "iat": now, "exp": now + 3600}
HEADER = {"alg": "RS256", "typ": "JWT", "kid": file["private_key_id"]}
assertion = lambda changed=None, header=None: token(grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=jwt(
    dict(HEADER, **(header or {})), dict(claims, **(changed or {})), key))
same(assertion()[0], 200, "Google: a service account")
for words, changed in (("two hours", {"exp": now + 7200}), ("in the past", {"iat": now - 9000, "exp": now - 5400}),
                       ("text for a time", {"iat": str(now)}), ("another audience", {"aud": "https://x/"}),
                       ("another issuer", {"iss": "x@example.com"})):
    same((assertion(changed)[0], assertion(changed)[1]["error"]), (400, "invalid_grant"), "Google: claims: " + words)
same(assertion(None, {"kid": "x"})[1]["error_description"], "Invalid JWT Signature.", "Google: another key")
same(assertion({"sub": "anna@example.com"})[1]["error"], "unauthorized_client", "Google: a subject without delegation")
act("google", "delegate", email=file["client_email"], scopes=[DRIVE])
same(assertion({"sub": "anna@example.com"})[0], 200, "Google: a subject with it")

TV = {"client_id": "tv.apps.googleusercontent.com"}
same(form("google", "oauth", "/device/code", scope=DRIVE, **TV)[1]["error"], "invalid_scope", "Google: devices cannot have drive")
status, device = form("google", "oauth", "/device/code", scope=DRIVE + ".file", **TV)
poll = lambda: token(grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code=device["device_code"],
                     client_secret="GOCSPX-CloudSecret3", **TV)
same((poll()[0], poll()[1]["error"]), (428, "slow_down"), "Google: a device waits, and asks too often")
act("google", "device_consent", user_code=device["user_code"])
same("refresh_token" in poll()[1], True, "Google: a device has its tokens")

# --- Microsoft ---

CONTOSO = "/11111111-1111-1111-1111-111111111111"
WEB = {"client_id": "aaaaaaaa-0000-0000-0000-000000000001"}
SECRET = dict(WEB, client_secret="m~CloudSecret+1/=")
page = lambda told=None, **params: consent("graph", "login", "/common/oauth2/v2.0/authorize", told, **dict(dict(
    WEB, response_type="code", redirect_uri=DONE, scope="Files.ReadWrite.All offline_access"), **params))
token = lambda tenant="/common", **params: form("graph", "login", tenant + "/oauth2/v2.0/token", **params)
number = lambda got: (got[0], got[1]["error"], got[1]["error_codes"])
exchange = lambda back, **params: token(**dict(dict(SECRET, grant_type="authorization_code", code=code_of(back)["code"],
                                                    redirect_uri=DONE), **params))
ok("50011" in page(redirect_uri=DONE + "/")["error"], "Microsoft: a redirect that differs by a slash")
ok("redirect" in page(redirect_uri="http://localhost:4711"), "Microsoft: any port of localhost")
ok("70011" in code_of(page(scope="Files.Nothing"))["error_description"], "Microsoft: an unknown scope")
ok("access_denied" == code_of(page({"deny": True}))["error"], "Microsoft: denied")
back = page(**PKCE)
same(number(exchange(back)), (400, "invalid_grant", [501481]), "Microsoft: no verifier")
same(number(exchange(back, code_verifier=VERIFIER, client_secret="x")), (401, "invalid_client", [7000215]), "Microsoft: a wrong secret")
status, got = exchange(back, code_verifier=VERIFIER)
same((status, "refresh_token" in got), (200, True), "Microsoft: tokens")
same(number(exchange(back, code_verifier=VERIFIER)), (400, "invalid_grant", [54005]), "Microsoft: a code twice")
same("refresh_token" in exchange(page(scope="Files.ReadWrite.All"))[1], False, "Microsoft: no offline_access")
status, new = token(grant_type="refresh_token", refresh_token=got["refresh_token"], **SECRET)
ok(new["refresh_token"] != got["refresh_token"], "Microsoft: rotation")
same(token(grant_type="refresh_token", refresh_token=got["refresh_token"], **SECRET)[0], 200, "Microsoft: the old one works on")
control("clock", {"advance": 91 * 86400})
same(number(token(grant_type="refresh_token", refresh_token=new["refresh_token"], **SECRET)), (400, "invalid_grant", [700082]),
     "Microsoft: unused for 90 days")
same(number(token(tenant="/nowhere.example", grant_type="refresh_token", **SECRET)), (400, "invalid_request", [90002]), "Microsoft: no tenant")

DAEMON = {"client_id": "aaaaaaaa-0000-0000-0000-000000000003"}
APPS = dict(DAEMON, grant_type="client_credentials", scope="https://graph.microsoft.com/.default")
same(number(token(client_secret="m~CloudSecret+3/=", **APPS)), (400, "invalid_request", [9001023]), "Microsoft: not over /common")
status, got = token(CONTOSO, client_secret="m~CloudSecret+3/=", **APPS)
same((status, "refresh_token" in got), (200, False), "Microsoft: an app by its secret")
same(number(token(CONTOSO, client_secret="m~CloudSecret+3/=", **dict(APPS, scope="Files.Read")))[2], [1002012], "Microsoft: an app's scope")
act("graph", "change_app", app=DAEMON["client_id"], secret_expired=True)
same(number(token(CONTOSO, client_secret="m~CloudSecret+3/=", **APPS))[2], [7000222], "Microsoft: a secret that has expired")
made = act("graph", "certificate", app=DAEMON["client_id"])
key = serialization.load_pem_private_key(made["private_key"].encode(), None)
certificate = x509.load_pem_x509_certificate(made["certificate"].encode())
now = int(control("clock")["now"])


def by_certificate(changed=None, header=None, padded=None):
    told = {"aud": "https://login.microsoftonline.com%s/oauth2/v2.0/token" % CONTOSO, "iss": DAEMON["client_id"],
            "sub": DAEMON["client_id"], "jti": str(uuid.uuid4()), "nbf": now, "iat": now, "exp": now + 600}
    head = {"alg": "PS256", "typ": "JWT", "x5t#S256": b64(certificate.fingerprint(hashes.SHA256()))}
    text = jwt(dict(head, **(header or {})), dict(told, **(changed or {})), key, padded or padding.PSS(
        padding.MGF1(hashes.SHA256()), 32))
    return token(CONTOSO, client_assertion=text, client_assertion_type=
                 "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", **APPS)


same(by_certificate()[0], 200, "Microsoft: an app by its certificate")
same(number(by_certificate(padded=padding.PKCS1v15()))[2], [50012], "Microsoft: signed otherwise than it says")
same(number(by_certificate({"exp": now - 1}))[2], [700024], "Microsoft: an assertion of the past")
same(number(by_certificate({"aud": "https://x/"}))[2], [700023], "Microsoft: another audience")
same(number(by_certificate({"iss": "x"}))[2], [700021], "Microsoft: another issuer")
same(number(by_certificate(header={"x5t#S256": "x"}))[2], [700027], "Microsoft: an unknown certificate")
by_certificate({"jti": "once"})
same(by_certificate({"jti": "once"})[0], 401, "Microsoft: an assertion twice")

PUBLIC = {"client_id": "aaaaaaaa-0000-0000-0000-000000000002"}
status, device = form("graph", "login", "/common/oauth2/v2.0/devicecode", scope="Files.Read offline_access", **PUBLIC)
poll = lambda **more: token(grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code=device["device_code"], **dict(PUBLIC, **more))
same(number(poll()), (400, "authorization_pending", [70016]), "Microsoft: a device waits")
same(number(poll(client_secret="x"))[2], [700025], "Microsoft: a public app has no secret")
act("graph", "device_consent", user_code=device["user_code"], user="bert@outlook.example")
same("refresh_token" in poll()[1], True, "Microsoft: a device has its tokens")
same(poll()[1]["error"], "bad_verification_code", "Microsoft: once")
done()
