"""Google's own library for tokens in Python (Debian's python3-google-auth) at the
test cloud's token server."""
import sys

from client import READY, act, done, ok, same, url

try:
    import requests
    from google.auth import exceptions
    from google.auth.transport.requests import Request
    from google.oauth2 import credentials, service_account
except ImportError as why:
    print("skip - %s" % why)
    sys.exit(0)

DRIVE = "https://www.googleapis.com/auth/drive"
session = requests.Session()
session.verify = READY["ca_file"]
carrier = Request(session)


def refused(one, words):
    try:
        one.refresh(carrier)
    except exceptions.RefreshError as why:
        same(words in str(why), True, "refused: %s" % words) or print("# %s" % why)
        return
    ok(False, "refused: %s" % words)


grant = act("google", "grant", scopes=[DRIVE])
user = credentials.Credentials(None, refresh_token=grant["refresh_token"], token_uri=url("google", "oauth") + "/token",
                               client_id=grant["client_id"], client_secret=grant["client_secret"])
user.refresh(carrier)
ok(user.valid and user.token != grant["access_token"], "a user's token is refreshed")
same(user.refresh_token, grant["refresh_token"], "the refresh token stays")
act("google", "remove_app")
refused(user, "invalid_grant")

key_file = act("google", "service_account", name="robot")
robot = service_account.Credentials.from_service_account_info(key_file, scopes=[DRIVE])
robot.refresh(carrier)
ok(robot.valid, "a service account by its key file")
refused(robot.with_subject("anna@example.com"), "unauthorized_client")
act("google", "delegate", email=key_file["client_email"], scopes=[DRIVE])
subject = robot.with_subject("anna@example.com")
subject.refresh(carrier)
ok(subject.valid, "as somebody, once it is delegated")
act("google", "drop_key", email=key_file["client_email"])
refused(robot, "invalid_grant")
done()
