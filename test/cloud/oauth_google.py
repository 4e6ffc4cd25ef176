"""Google's OAuth (fact sheet on Drive, section 2): host accounts has the consent
page (/o/oauth2/v2/auth), host oauth /token, /revoke, /tokeninfo and /device/code.

Apps at the start: "web.apps.googleusercontent.com" (redirects exactly to
https://app.example.com/cloudsync/done), "desktop.apps.googleusercontent.com" (any
port of 127.0.0.1 or localhost), "tv.apps.googleusercontent.com" (device codes).
Users: anna@example.com, bert@example.org.

A refresh token comes only with access_type=offline when the consent screen was
shown (prompt=consent, or the first time); more than 100 for a user and app: the
oldest dies. extra of apps: testing => true (7 days).

Acts besides those of oauth.py:
  service_account  name, delegated => [scopes]: makes one; gives its key file, an
                   object as Google hands it out (token_uri leads here)
  delegate         email, scopes: what an administrator allows it with subject
  drop_key         email: its key is taken back
A Token of kind "service" has user None, or the subject; extra email.
"""
import secrets
import urllib.parse

import jwt_check
from cloud import Answer, Refusal
from oauth import App, Authority, Code, Grant, Page, SentBack, User, add_query, basic, form, same, secret

PREFIX = "https://www.googleapis.com/auth/"
SCOPES = [PREFIX + name for name in (
    "drive", "drive.readonly", "drive.file", "drive.metadata", "drive.metadata.readonly", "drive.appdata")]
OTHER = ["openid", "email", "profile", PREFIX + "userinfo.email", PREFIX + "userinfo.profile"]
DEVICE_SCOPES = {"openid", "email", "profile", PREFIX + "drive.appdata", PREFIX + "drive.file"}
AUTHORIZE = {"response_type", "client_id", "redirect_uri", "scope", "access_type", "prompt", "state",
             "include_granted_scopes", "login_hint", "hd", "code_challenge", "code_challenge_method", "hl"}
CODE = "authorization_code"
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN = {
    CODE: {"code", "client_id", "client_secret", "redirect_uri", "code_verifier"},
    "refresh_token": {"refresh_token", "client_id", "client_secret", "scope"},
    JWT: {"assertion"},
    DEVICE: {"client_id", "client_secret", "device_code"},
}
DAY = 86400


def refuse(status, error, description=None, **more):
    told = {"error": error}
    if description:
        told["error_description"] = description
    return Answer(status, dict(told, **more))


class GoogleAuthority(Authority):
    service = "google"
    hosts = {"oauth": ["oauth2.googleapis.com"], "accounts": ["accounts.google.com"]}
    access_prefix, access_length, refresh_prefix, lifetime = "ya29.a0", 220, "1//0", 3599

    def __init__(self, world):
        super().__init__(world)
        done = "https://app.example.com/cloudsync/done"
        for app in (App("web.apps.googleusercontent.com", "GOCSPX-CloudSecret1", [done], SCOPES, "web"),
                    App("desktop.apps.googleusercontent.com", "GOCSPX-CloudSecret2", [], SCOPES, "desktop"),
                    App("tv.apps.googleusercontent.com", "GOCSPX-CloudSecret3", [], SCOPES, "tv")):
            self.apps[app.client_id] = app
        for user in (User("104000000000000000001", "anna@example.com", "Anna Example"),
                     User("104000000000000000002", "bert@example.org", "Bert Example")):
            self.users[user.id] = user
        self.accounts = {}  # service accounts by e-mail
        self.seen = set()  # (user, app) that consented before

    def new_user_id(self):
        return "104%018d" % secrets.randbelow(10**18)

    def route(self, call):
        return call.path.strip("/")

    async def answer(self, call):
        if call.host == "accounts" and call.path == "/o/oauth2/v2/auth":
            return await self.consent_page(call)
        paths = {"/token": self.token, "/revoke": self.take_back, "/tokeninfo": self.token_info,
                 "/device/code": self.device_code}
        if call.host != "oauth" or call.path not in paths:
            return Answer(404, "<!DOCTYPE html><html><title>Error 404 (Not Found)!!1</title></html>",
                          content_type="text/html; charset=UTF-8")
        return await paths[call.path](call)

    # --- the consent page ---

    def redirect_allowed(self, app, uri):
        if app.kind == "desktop":
            told = urllib.parse.urlsplit(uri)
            return told.scheme == "http" and told.hostname in ("127.0.0.1", "localhost", "::1")
        return uri in app.redirect_uris

    def prepare(self, params):
        app = self.apps.get(params.get("client_id"))
        if app is None:
            raise Page(401, "Error 401: invalid_client. The OAuth client was not found.")
        self.known(params, AUTHORIZE)
        uri = params.get("redirect_uri")
        if uri is None:
            raise Page(400, "Error 400: invalid_request. Missing required parameter: redirect_uri")
        if not self.redirect_allowed(app, uri):
            raise Page(400, "Error 400: redirect_uri_mismatch")
        if params.get("response_type") != "code":
            raise Page(400, "Error 400: unsupported_response_type")
        wrong = self.check_challenge(params)
        if wrong:
            raise Page(400, "Error 400: invalid_request. %s" % wrong)
        for name, allowed in (("access_type", ("online", "offline")), ("include_granted_scopes", ("true", "false"))):
            if params.get(name, allowed[0]) not in allowed:
                raise Page(400, "Error 400: invalid_request. Invalid %s" % name)
        if not set(params.get("prompt", "consent").split(" ")) <= {"none", "consent", "select_account"}:
            raise Page(400, "Error 400: invalid_request. Invalid prompt")
        self.check_state(params)
        scopes = params.get("scope", "").split()
        if not scopes:
            raise Page(400, "Error 400: invalid_request. Missing required parameter: scope")
        unknown = [scope for scope in scopes if scope not in SCOPES + OTHER]
        if unknown:
            raise Page(400, "Error 400: invalid_scope. Some requested scopes were invalid: %s" % " ".join(unknown))
        return Code(app, scopes, params, self.world.now())

    def refuse_consent(self, code):
        return {"redirect": add_query(code.params["redirect_uri"], {
            "error": "access_denied", "state": code.params.get("state")})}

    def decide(self, code, user, untick):
        seen = (user.id, code.app.client_id) in self.seen
        self.seen.add((user.id, code.app.client_id))
        code.shown = "consent" in code.params.get("prompt", "").split(" ") or not seen
        code.user, code.scopes = user, [scope for scope in code.scopes if scope not in untick]
        value = secret("4/0A")
        self.codes[value] = code
        return {"redirect": add_query(code.params["redirect_uri"], {
            "code": value, "scope": " ".join(code.scopes), "state": code.params.get("state")})}

    # --- the token server ---

    def client(self, call, params, wanted=True):
        told = basic(call)
        name, password = told or (params.get("client_id"), params.get("client_secret"))
        if name is None:
            raise Refusal(refuse(400, "invalid_request", "Could not determine client ID from request."))
        app = self.apps.get(name)
        if app is None:
            raise Refusal(refuse(401, "invalid_client", "The OAuth client was not found."))
        if wanted and password is None:
            raise Refusal(refuse(400, "invalid_request", "client_secret is missing."))
        if password is not None and not same(password, app.secret):
            raise Refusal(refuse(401, "invalid_client", "The provided client secret is invalid."))
        return app

    async def token(self, call):
        params = await form(call, refuse)
        kind = params.pop("grant_type", None)
        if kind is None:
            return refuse(400, "invalid_request", "Required parameter is missing: grant_type")
        if kind not in TOKEN:
            return refuse(400, "unsupported_grant_type", "Invalid grant_type: %s" % kind)
        unknown = sorted(set(params) - TOKEN[kind])
        if unknown:
            return refuse(400, "invalid_request", "Parameter not allowed for this message type: %s" % unknown[0])
        if kind == JWT:
            return self.by_assertion(params.get("assertion", ""))
        app = self.client(call, params)
        by = {CODE: self.by_code, "refresh_token": self.by_refresh, DEVICE: self.by_device}[kind]
        return by(app, params)

    def tokens(self, app, user, scopes, grant, refresh):
        token = self.issue(app, user, scopes, grant)
        told = {"access_token": token.value, "expires_in": self.lifetime, "scope": " ".join(scopes),
                "token_type": "Bearer"}
        if refresh:
            mine = [value for value, old in self.refresh.items() if old.app is app and old.user is user and not old.dead]
            if len(mine) >= 100:
                self.refresh[mine[0]].dead = "expired"
            told["refresh_token"] = self.issue_refresh(grant)
            if app.extra.get("testing"):
                told["refresh_token_expires_in"] = 7 * DAY - 1
        return Answer(200, told)

    def by_code(self, app, params):
        code = self.codes.get(params.get("code"))
        if code is None:
            return refuse(400, "invalid_grant", "Malformed auth code.")
        if code.app is not app:
            return refuse(401, "unauthorized_client", "Unauthorized")
        if params.get("redirect_uri") != code.params["redirect_uri"]:
            return refuse(400, "redirect_uri_mismatch", "Bad Request")
        if code.used or code.until <= self.world.now():
            return refuse(400, "invalid_grant", "Bad Request")
        wrong = self.pkce_fails(code, params.get("code_verifier"))
        if wrong:
            return refuse(400, "invalid_grant", wrong)
        code.used = True
        grant = Grant(app, code.user, code.scopes, self.world.now(), "code_challenge" in code.params)
        self.grants.append(grant)
        offline = code.params.get("access_type") == "offline" and code.shown
        return self.tokens(app, code.user, code.scopes, grant, offline)

    def by_refresh(self, app, params):
        grant = self.refresh.get(params.get("refresh_token"))
        now = self.world.now()
        if grant is None:
            return refuse(400, "invalid_grant", "Bad Request")
        if grant.app is not app:
            return refuse(401, "unauthorized_client", "Unauthorized")
        if app.extra.get("testing") and now > grant.made + 7 * DAY or now > grant.used + 182 * DAY:
            grant.dead = grant.dead or "expired"
        if grant.dead:
            return refuse(400, "invalid_grant", "Token has been expired or revoked.")
        if grant.user.suspended:
            return refuse(400, "invalid_grant", "Account has been deleted")
        scopes = params["scope"].split() if "scope" in params else sorted(grant.scopes)
        if not set(scopes) <= grant.scopes:
            return refuse(400, "invalid_scope", "Some requested scopes were invalid.")
        grant.used = now
        return self.tokens(app, grant.user, scopes, grant, False)

    def by_assertion(self, text):
        try:
            header, claims = jwt_check.split(text, lax=True)
        except ValueError as why:
            return refuse(400, "invalid_grant", "Invalid JWT: %s" % why)
        account = self.accounts.get(claims.get("iss"))
        if account is None:
            return refuse(400, "invalid_grant", "Invalid grant: account not found")
        if header.get("alg") != "RS256" or header.get("typ", "JWT") != "JWT":
            return refuse(400, "invalid_grant", "Invalid JWT: Invalid header.")
        if header.get("kid", account["kid"]) != account["kid"] or not jwt_check.verify(text, account["key"], "RS256"):
            return refuse(400, "invalid_grant", "Invalid JWT Signature.")
        # The audience is the token server's name, wherever it is reached.
        if claims.get("aud") not in ("https://oauth2.googleapis.com/token", self.token_uri()):
            return refuse(400, "invalid_grant", "Invalid JWT: Failed audience check.")
        issued, until, now = claims.get("iat"), claims.get("exp"), self.world.now()
        if any(isinstance(t, bool) or not isinstance(t, (int, float)) for t in (issued, until)) or not (
                issued <= now + 300 and until > now and until - issued <= 3600 and now - issued <= 3900):
            return refuse(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
                          "reasonable timeframe. Check your iat and exp values in the JWT claim.")
        scopes = str(claims.get("scope", "")).split()
        if not scopes or not set(scopes) <= set(SCOPES):
            return refuse(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        user = None
        if "sub" in claims and claims["sub"] != claims["iss"]:
            user = next((u for u in self.users.values() if u.email == claims["sub"]), None)
            if user is None:
                return refuse(400, "invalid_grant", "Invalid email or User ID")
            if not set(scopes) <= set(account["delegated"]):
                return refuse(401, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this "
                              "method, or client not authorized for any of the scopes requested.")
        token = self.issue(account["app"], user, scopes, None, "service", email=account["email"])
        return Answer(200, {"access_token": token.value, "expires_in": self.lifetime, "token_type": "Bearer"})

    def token_uri(self):
        return "https://127.0.0.1:%d/token" % self.world.ports["google"]["oauth"]

    async def device_code(self, call):
        params = await form(call, refuse)
        if set(params) - {"client_id", "scope"}:
            return refuse(400, "invalid_request", "Parameter not allowed for this message type")
        app = self.apps.get(params.get("client_id"))
        if app is None or app.kind != "tv":
            return refuse(401, "invalid_client", "Invalid client type." if app else "The OAuth client was not found.")
        scopes = params.get("scope", "").split()
        if not scopes or not set(scopes) <= DEVICE_SCOPES:
            return refuse(400, "invalid_scope", "Invalid device flow scope: %s" % params.get("scope"))
        value, shown = secret("AH-1Ng"), secrets.token_hex(4).upper()
        shown = shown[:4] + "-" + shown[4:]
        self.devices[value] = Code(app, scopes, {"user_code": shown}, self.world.now(), 1800)
        return Answer(200, {"device_code": value, "user_code": shown, "expires_in": 1800, "interval": 5,
                            "verification_url": "https://www.google.com/device"})

    def by_device(self, app, params):
        code = self.devices.get(params.get("device_code"))
        if code is None or code.app is not app or code.used:
            return refuse(400, "invalid_grant", "Malformed device code.")
        now = self.world.now()
        if code.until <= now:
            return refuse(400, "expired_token", "The device code has expired.")
        early = code.asked is not None and now < code.asked + code.interval - 0.5
        code.asked = now
        if code.state == "pending":
            if early:
                return refuse(403, "slow_down", "Rate Limit Exceeded")
            return refuse(428, "authorization_pending", "Precondition Required")
        if code.state == "denied":
            return refuse(403, "access_denied", "Forbidden")
        code.used = True
        grant = Grant(app, code.user, code.scopes, now)
        self.grants.append(grant)
        return self.tokens(app, code.user, code.scopes, grant, True)

    async def take_back(self, call):
        params = await form(call, refuse, query_too=True)
        if set(params) != {"token"}:
            return refuse(400, "invalid_request", "Required parameter is missing: token")
        value = params["token"]
        grant = self.refresh.get(value)
        if grant is None and value in self.access:
            token = self.access[value]
            token, grant = (None, token.grant) if token.revoked else (token, token.grant)
            if token is not None:
                token.revoked = True
                if grant is None:
                    return Answer(200, {})
        if grant is None or grant.dead:
            return refuse(400, "invalid_token", "Token expired or revoked")
        # All of the user's consent to the app goes with it.
        for other in self.grants:
            if other.user is grant.user and other.app is grant.app:
                other.dead = other.dead or "revoked"
        self.seen.discard((grant.user.id, grant.app.client_id))
        return Answer(200, {})

    async def token_info(self, call):
        token, why = self.lookup(call.query.get("access_token", ""))
        if why:
            return refuse(400, "invalid_token", "Invalid Value")
        return Answer(200, {"azp": token.app.client_id, "aud": token.app.client_id, "scope": " ".join(sorted(token.scopes)),
                            "expires_in": str(int(token.expires_at - self.world.now())), "access_type": "offline"})

    # --- acts ---

    def act_service_account(self, told):
        name = told.get("name", "cloudsync")
        email = "%s@project-1.iam.gserviceaccount.com" % name
        private, public = jwt_check.new_key()
        kid, number = secrets.token_hex(20), "1%020d" % secrets.randbelow(10**20)
        self.accounts[email] = {"email": email, "kid": kid, "key": public, "delegated": told.get("delegated", []),
                                "app": App(number, None, [], SCOPES, "service")}
        return {"type": "service_account", "project_id": "project-1", "private_key_id": kid, "private_key": private,
                "client_email": email, "client_id": number, "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                "token_uri": self.token_uri(), "universe_domain": "googleapis.com"}

    def act_delegate(self, told):
        self.accounts[told["email"]]["delegated"] = told["scopes"]
        return {}

    def act_drop_key(self, told):
        self.accounts[told["email"]]["key"] = jwt_check.new_key()[1]
        return {}


PARTS = (GoogleAuthority,)
