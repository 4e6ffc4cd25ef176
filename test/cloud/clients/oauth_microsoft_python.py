"""Microsoft's own library for tokens in Python (Debian's python3-msal) at the test
cloud's token server."""
import sys
import urllib.parse

from client import READY, act, control, done, ok, same, url

try:
    import msal
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
except ImportError as why:
    print("skip - %s" % why)
    sys.exit(0)

APP, PUBLIC, DAEMON = ("aaaaaaaa-0000-0000-0000-00000000000%d" % n for n in (1, 2, 3))
SCOPES = ["Files.ReadWrite.All"]
DONE = "https://app.example.com/cloudsync/done"
ALL = ["https://graph.microsoft.com/.default"]


def client(kind, app, credential=None, tenant="common"):
    return kind(app, client_credential=credential, authority=url("graph", "login") + "/" + tenant, validate_authority=False,
                verify=READY["ca_file"])


def come_back(flow, **told):
    back = act("graph", "consent", url=flow["auth_uri"], **told)["redirect"]
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back).query))


web = client(msal.ConfidentialClientApplication, APP, "m~CloudSecret+1/=")
flow = web.initiate_auth_code_flow(SCOPES, redirect_uri=DONE)
got = web.acquire_token_by_auth_code_flow(flow, come_back(flow))
ok("access_token" in got and "refresh_token" in got, "consent by code and PKCE") or print("# %r" % got)
again = web.acquire_token_by_refresh_token(got["refresh_token"], SCOPES)
ok(again.get("refresh_token", got["refresh_token"]) != got["refresh_token"], "a refresh rotates") or print("# %r" % again)
flow = web.initiate_auth_code_flow(SCOPES, redirect_uri=DONE)
same(web.acquire_token_by_auth_code_flow(flow, come_back(flow, deny=True)).get("error"), "access_denied", "denied")
wrong = client(msal.ConfidentialClientApplication, APP, "another")
same(wrong.acquire_token_by_refresh_token(again["refresh_token"], SCOPES)["error_codes"], [7000215], "a wrong secret")
act("graph", "remove_app", app=APP)
same(web.acquire_token_by_refresh_token(again["refresh_token"], SCOPES)["error"], "invalid_grant", "consent is taken back")

daemon = client(msal.ConfidentialClientApplication, DAEMON, "m~CloudSecret+3/=", "contoso.example")
got = daemon.acquire_token_for_client(ALL)
ok("access_token" in got and "refresh_token" not in got, "an app by its secret") or print("# %r" % got)
made = act("graph", "certificate", app=DAEMON)
print_ = x509.load_pem_x509_certificate(made["certificate"].encode()).fingerprint(hashes.SHA1()).hex()
signed = client(msal.ConfidentialClientApplication, DAEMON, {"private_key": made["private_key"], "thumbprint": print_}, "contoso.example")
got = signed.acquire_token_for_client(ALL)
ok("access_token" in got, "an app by its certificate") or print("# %r" % got)

device = client(msal.PublicClientApplication, PUBLIC)
flow = device.initiate_device_flow(SCOPES)
act("graph", "device_consent", user_code=flow["user_code"])
got = device.acquire_token_by_device_flow(flow)
ok("refresh_token" in got, "a device") or print("# %r" % got)
same(control("requests", {"service": "graph", "host": "login", "status": 404, "count": True}), 0, "nothing was asked in vain")
done()
