"""Dropbox's OAuth (fact sheet, section 2): the consent page of www and
POST /oauth2/token of the API's host, which dropbox_api.py hands on.

Apps at the start: "dbxapp00cloudsync" (secret; full access; redirects to
https://app.example.com/cloudsync/done and http://localhost:8017/done). Users:
anna@example.com, and bert@example.org whose account has a team space.

act grant takes team => true: for a whole team, whose tokens act for a member by the
header Dropbox-API-Select-User alone.

No rotation of refresh tokens; without redirect_uri the code is shown; state is
for redirects only; a grant by PKCE needs no secret, others do.
"""
from cloud import Answer, Refusal
from oauth import App, Authority, Code, Grant, Page, SentBack, User, add_query, basic, form, same, secret

SCOPES = ["account_info.read", "account_info.write", "files.metadata.read", "files.metadata.write",
          "files.content.read", "files.content.write", "sharing.read", "sharing.write"]
AUTHORIZE = {"response_type", "client_id", "token_access_type", "code_challenge", "code_challenge_method",
             "redirect_uri", "state", "scope", "include_granted_scopes", "force_reapprove",
             "force_reauthentication", "disable_signup", "require_role", "locale"}
TOKEN = {
    "authorization_code": {"code", "client_id", "client_secret", "code_verifier", "redirect_uri", "locale"},
    "refresh_token": {"refresh_token", "client_id", "client_secret", "scope", "locale"},
}


def refuse(status, error, description):
    return Answer(status, {"error": error, "error_description": description})


class DropboxAuthority(Authority):
    service = "dropbox"
    hosts = {"www": ["www.dropbox.com"]}
    access_prefix, access_length, refresh_prefix, lifetime = "sl.", 1400, "dbxrefresh-", 14400

    def __init__(self, world):
        super().__init__(world)
        self.add_app(App("dbxapp00cloudsync", "dbxCloudSecret1", [
            "https://app.example.com/cloudsync/done", "http://localhost:8017/done"], SCOPES))
        for user in (User("dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc", "anna@example.com", "Anna Example"),
                     User("dbid:AAH4f99T0taONIb-TeamWxbNQ6ywGRopQng", "bert@example.org", "Bert Example", team=True)):
            self.users[user.id] = user

    def add_app(self, app):
        self.apps[app.client_id] = app

    def act_grant(self, told):
        """team: what an administrator of a team consents to, for all its members."""
        given = super().act_grant(told)
        self.refresh[given["refresh_token"]].team = bool(told.get("team"))
        return given

    def new_user_id(self):
        return "dbid:AAH4f99T0taONIb-" + secret("")[12:32]

    def default_scopes(self, app):
        return app.scopes or SCOPES

    def route(self, call):
        return call.path.strip("/")

    async def answer(self, call):
        if call.path == "/oauth2/authorize":
            return await self.consent_page(call)
        return Answer(404, "<html><body>Not found</body></html>", content_type="text/html")

    # --- the consent page ---

    def prepare(self, params):
        self.known(params, AUTHORIZE)
        app = self.apps.get(params.get("client_id"))
        if app is None:
            raise Page(400, "Invalid client_id")
        if params.get("response_type") != "code":
            raise Page(400, "Invalid response_type: it must be code")
        uri = params.get("redirect_uri")
        if uri is not None and uri not in app.redirect_uris:
            raise Page(400, "Invalid redirect_uri: it must match one of the pre-configured ones of the app")
        if uri is None and "state" in params:
            raise Page(400, "state is only for requests with a redirect_uri")
        if len(params.get("state", "").encode()) > 500:
            raise Page(400, "state must be at most 500 bytes")
        if params.get("token_access_type", "online") not in ("online", "offline", "legacy"):
            raise Page(400, "Invalid token_access_type")
        for name in ("force_reapprove", "force_reauthentication", "disable_signup"):
            if params.get(name, "true") not in ("true", "false"):
                raise Page(400, "Invalid %s" % name)
        if "include_granted_scopes" in params and "scope" not in params:
            raise Page(400, "include_granted_scopes needs a scope")
        wrong = self.check_challenge(params)
        if wrong:
            raise Page(400, wrong)
        self.check_state(params)
        scopes = params["scope"].split(" ") if "scope" in params else self.default_scopes(app)
        unknown = [scope for scope in scopes if scope not in self.default_scopes(app)]
        if unknown:
            if uri is None:
                raise Page(400, "Invalid scope: %s" % " ".join(unknown))
            raise SentBack(uri, "invalid_scope", "the app may not ask for %s" % " ".join(unknown), params.get("state"))
        return Code(app, scopes, params, self.world.now())

    def decide(self, code, user, untick):
        # Dropbox's page has no boxes: all or nothing.
        if untick:
            raise ValueError("the page of Dropbox lets nobody untick scopes")
        value = secret("")
        code.user = user
        self.codes[value] = code
        uri = code.params.get("redirect_uri")
        if uri is None:
            return {"code": value}
        return {"redirect": add_query(uri, {"code": value, "state": code.params.get("state")})}

    # --- the token server ---

    async def token(self, call):
        params = await form(call, refuse, query_too=True)
        kind = params.pop("grant_type", None)
        if kind is None:
            return refuse(400, "invalid_request", 'missing required field "grant_type"')
        if kind not in TOKEN:
            return refuse(400, "unsupported_grant_type", "grant_type is not supported: %s" % kind)
        unknown = sorted(set(params) - TOKEN[kind])
        if unknown:
            return refuse(400, "invalid_request", 'unknown field "%s"' % unknown[0])
        app, proven = self.client(call, params)
        if kind == "authorization_code":
            return self.by_code(app, proven, params)
        return self.by_refresh(app, proven, params)

    def client(self, call, params):
        """The app, and whether it proved itself by its secret."""
        told = basic(call)
        if told is None and "Authorization" in call.headers:
            raise Refusal(refuse(400, "invalid_request", "Authorization must be Basic"))
        if told is not None and ("client_id" in params or "client_secret" in params):
            raise Refusal(refuse(400, "invalid_request", "client credentials stand twice"))
        name, password = told or (params.get("client_id"), params.get("client_secret"))
        if name is None:
            raise Refusal(refuse(400, "invalid_request", 'missing required field "client_id"'))
        app = self.apps.get(name)
        if app is None or (password is not None and not same(password, app.secret)):
            raise Refusal(refuse(400, "invalid_client", "Invalid client_id or client_secret"))
        return app, password is not None

    def by_code(self, app, proven, params):
        code = self.codes.get(params.get("code"))
        if code is None or code.used or code.until <= self.world.now() or code.app is not app:
            return refuse(400, "invalid_grant", "code doesn't exist or has expired")
        if params.get("redirect_uri") != code.params.get("redirect_uri"):
            return refuse(400, "invalid_grant", "redirect_uri mismatch")
        wrong = self.pkce_fails(code, params.get("code_verifier"))
        if wrong:
            return refuse(400, "invalid_grant", wrong)
        pkce = "code_challenge" in code.params
        if not pkce and not proven:
            return refuse(400, "invalid_client", "No client_secret and no code_verifier was given")
        code.used = True
        grant = Grant(app, code.user, code.scopes, self.world.now(), pkce)
        self.grants.append(grant)
        token = self.issue(app, code.user, code.scopes, grant)
        told = {"access_token": token.value, "token_type": "bearer", "expires_in": self.lifetime,
                "scope": " ".join(sorted(code.scopes)), "uid": str(abs(hash(code.user.id)) % 10**9),
                "account_id": code.user.id}
        if code.params.get("token_access_type") == "offline":
            told["refresh_token"] = self.issue_refresh(grant)
        return Answer(200, told)

    def by_refresh(self, app, proven, params):
        value = params.get("refresh_token", "")
        if not value.startswith(self.refresh_prefix):
            return refuse(400, "invalid_grant", "refresh token is malformed")
        grant = self.refresh.get(value)
        if grant is None or grant.dead or grant.app is not app:
            return refuse(400, "invalid_grant", "refresh token is invalid or revoked")
        if not grant.pkce and not proven:
            return refuse(400, "invalid_client", "No client_secret was given, and the grant was not by PKCE")
        scopes = params["scope"].split(" ") if "scope" in params else grant.scopes
        if not set(scopes) <= grant.scopes:
            return refuse(400, "invalid_scope", "a scope was not granted")
        grant.used = self.world.now()
        token = self.issue(app, grant.user, scopes, grant)
        told = {"access_token": token.value, "token_type": "bearer", "expires_in": self.lifetime}
        if "scope" in params:
            told["scope"] = params["scope"]
        return Answer(200, told)

    def revoke(self, token):
        """auth/token/revoke: this token, its refresh token, and its siblings."""
        token.revoked = True
        if token.grant is not None:
            token.grant.dead = "revoked"


PARTS = (DropboxAuthority,)
