"""What the three token servers share: users, apps, grants, codes and tokens.

world.authority[service] is the service's Authority (oauth_dropbox.py,
oauth_google.py, oauth_microsoft.py). A part that serves an API asks it

    token, why = authority.bearer(call)

for the request's token: why is "" or missing, malformed (another scheme), invalid,
expired, revoked, suspended (the user). A Token has app, user (None: the app or a
service account itself), scopes (a set), extra, who (for the log), kind: user, app,
service. bearer sets call.token. authority.users and authority.apps are by their id;
authority.user(name) finds one by id, e-mail or nothing (the first).

Acts of all token servers (act => "..."):

  consent         url, user, deny, untick => [scopes]: a person on the consent page;
                  gives redirect (address), code (where it is shown) or error, status
  grant           user, app, scopes: what a consent would end in, without one: gives
                  refresh_token, access_token, expires_in, client_id, client_secret
  device_consent  user_code, user, deny: a person who types a device's code
  remove_app      user, app: the user takes all consent back
  expire_tokens   user (all): access tokens have expired
  expire_refresh  user (all): refresh tokens have expired for good
  suspend         user, on (true)
  add_app         client_id, client_secret (null: public), redirect_uris, scopes, kind
  change_app      app, and what is other: client_secret, redirect_uris, scopes, ...
  add_user        id, email, name, ...
  apps, users     what there is
  tokens          user: how many grants, refresh and access tokens live
  token_length    length: of access tokens given from now on
"""
import base64
import hashlib
import hmac
import html
import re
import secrets
import urllib.parse

from cloud import Answer, Part, Refusal

VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
CODE_LIFETIME = 600


class App:
    def __init__(self, client_id, secret=None, redirect_uris=(), scopes=None, kind="web", **extra):
        self.client_id, self.secret, self.kind = client_id, secret, kind
        self.redirect_uris, self.scopes = list(redirect_uris), scopes and list(scopes)
        self.extra = extra


class User:
    def __init__(self, ident, email, name, **extra):
        self.id, self.email, self.name, self.extra = ident, email, name, extra
        self.suspended = False


class Grant:
    def __init__(self, app, user, scopes, now, pkce=False):
        self.app, self.user, self.scopes, self.pkce = app, user, set(scopes), pkce
        self.made = self.used = now
        self.dead = None  # why: revoked, expired


class Token:
    def __init__(self, value, app, user, scopes, grant, expires_at, kind="user", **extra):
        self.value, self.app, self.user, self.scopes = value, app, user, set(scopes)
        self.grant, self.expires_at, self.kind, self.extra = grant, expires_at, kind, extra
        self.revoked = False

    @property
    def who(self):
        if self.user is not None:
            return self.user.email
        return self.extra.get("email") or self.app.client_id


class Code:
    """An authorization code or a device code."""

    def __init__(self, app, scopes, params, now, lifetime=CODE_LIFETIME):
        self.app, self.scopes, self.params = app, list(scopes), dict(params)
        self.user, self.until, self.used, self.state = None, now + lifetime, False, "pending"
        self.asked, self.interval, self.shown = None, 5, False


class Page(Exception):
    """The consent page refuses; nothing is sent back to the app."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status, self.text = status, text


class SentBack(Exception):
    """The browser is sent back to the app with an error."""

    def __init__(self, uri, error, description="", state=None):
        super().__init__(error)
        told = {"error": error, "error_description": description}
        if state is not None:
            told["state"] = state
        self.url = add_query(uri, told)


def add_query(uri, told):
    told = {key: value for key, value in told.items() if value not in (None, "")}
    return uri + ("&" if "?" in uri else "?") + urllib.parse.urlencode(told)


def secret(prefix, length=0):
    """A secret that tests can find wherever it should not be."""
    value = prefix + "CloudSecret-" + secrets.token_urlsafe(32)
    while len(value) < length:
        value += secrets.token_urlsafe(48)
    return value[:length] if length > len(prefix) + 44 else value


def challenge_of(verifier):
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def same(a, b):
    return hmac.compare_digest((a or "").encode(), (b or "").encode())


async def form(call, refuse, query_too=False):
    """The parameters of a request to a token server: in a form, each once."""
    if call.method != "POST":
        raise Refusal(refuse(405, "invalid_request", "POST is needed"))
    body = await call.body()
    kind = call.headers.get("Content-Type", "").split(";")[0].strip().lower()
    pairs = list(call.query.items()) if query_too else []
    if not query_too and call.query:
        raise Refusal(refuse(400, "invalid_request", "parameters belong into the body"))
    if body or not pairs:
        if kind != "application/x-www-form-urlencoded":
            raise Refusal(refuse(400, "invalid_request", 'Content-Type must be "application/x-www-form-urlencoded"'))
        try:
            pairs += urllib.parse.parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body))
        except ValueError:
            raise Refusal(refuse(400, "invalid_request", "the body is no form")) from None
    params = dict(pairs)
    if len(params) != len(pairs):
        raise Refusal(refuse(400, "invalid_request", "a parameter stands twice"))
    return params


def basic(call):
    """Client id and secret of HTTP Basic, or None."""
    scheme, _, value = call.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return (urllib.parse.unquote(name), urllib.parse.unquote(password)) if colon else None


class Authority(Part):
    access_prefix = ""
    access_length = 0
    lifetime = 3600

    def __init__(self, world):
        super().__init__(world)
        world.authority[self.service] = self
        self.apps, self.users = {}, {}
        self.codes, self.devices, self.refresh, self.access = {}, {}, {}, {}
        self.grants = []
        self.states = {}

    # --- tokens ---

    def bearer(self, call):
        value = call.headers.get("Authorization")
        if value is None:
            return None, "missing"
        scheme, _, value = value.partition(" ")
        if scheme.lower() != "bearer" or not value or len(call.headers.getall("Authorization")) != 1:
            return None, "malformed"
        return self.lookup(value, call)

    def lookup(self, value, call=None):
        token = self.access.get(value)
        if token is None:
            return None, "invalid"
        if call is not None:
            call.token = token
        if token.revoked or (token.grant is not None and token.grant.dead == "revoked"):
            return token, "revoked"
        if token.user is not None and token.user.suspended:
            return token, "suspended"
        if token.expires_at <= self.world.now():
            return token, "expired"
        return token, ""

    def issue(self, app, user, scopes, grant=None, kind="user", lifetime=None, **extra):
        """A new access token."""
        value = secret(self.access_prefix, self.access_length)
        lifetime = self.lifetime if lifetime is None else lifetime
        token = Token(value, app, user, scopes, grant, self.world.now() + lifetime, kind, **extra)
        self.access[value] = token
        return token

    def issue_refresh(self, grant):
        value = secret(self.refresh_prefix)
        self.refresh[value] = grant
        return value

    def strike(self, call, kind):
        """Faults expired and revoked: of a request's token."""
        token, _ = self.bearer(call)
        if token is None:
            return
        if kind == "expired":
            token.expires_at = self.world.now() - 1
        else:
            token.revoked = True
            if token.grant is not None:
                token.grant.dead = "revoked"

    # --- consent ---

    def known(self, params, names):
        for name in params:
            if name not in names:
                raise Page(400, "Parameter not allowed for this message type: %s" % name)

    def check_challenge(self, params):
        """The PKCE parameters, if any; what is wrong with them, or None."""
        challenge, method = params.get("code_challenge"), params.get("code_challenge_method")
        if challenge is None:
            return "code_challenge_method without code_challenge" if method is not None else None
        if method != "S256":
            return "code_challenge_method must be S256"
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge):
            return "code_challenge is not the BASE64URL of a SHA-256"
        return None

    def check_state(self, params):
        """A state belongs to one request for consent: the same address may be
        opened again, but no other may bring it."""
        state = params.get("state")
        if state is None:
            return
        told = tuple(sorted(params.items()))
        if self.states.setdefault(state, told) != told:
            raise Page(400, "The state was used before, by another request.")

    def pkce_fails(self, code, verifier):
        """What is wrong with a verifier, or None."""
        challenge = code.params.get("code_challenge")
        if challenge is None:
            return "no code_challenge was sent" if verifier is not None else None
        if verifier is None:
            return "Missing code verifier."
        if not VERIFIER.fullmatch(verifier) or not same(challenge_of(verifier), challenge):
            return "Invalid code verifier."
        return None

    def prepare(self, params):
        """Checks the parameters of the consent page; a Code. Page or SentBack."""
        raise NotImplementedError

    def decide(self, code, user, untick):
        """The user consents: what comes of it, as the act gives it."""
        raise NotImplementedError

    def refuse_consent(self, code):
        """The user does not."""
        uri = code.params.get("redirect_uri")
        if uri is None:
            return {"error": "access_denied", "status": 200}
        told = {"error": "access_denied", "error_description": "The user chose not to give your app access"}
        return {"redirect": add_query(uri, dict(told, state=code.params.get("state")))}

    def click(self, params, told):
        try:
            code = self.prepare(params)
            if told.get("deny"):
                return self.refuse_consent(code)
            user = self.user(told.get("user"))
            untick = told.get("untick") or []
            wrong = [scope for scope in untick if scope not in code.scopes]
            if wrong:
                raise ValueError("not asked for: %s" % " ".join(wrong))
            return self.decide(code, user, untick)
        except Page as page:
            return {"error": page.text, "status": page.status}
        except SentBack as back:
            return {"redirect": back.url}

    async def consent_page(self, call):
        """The page itself, for a browser: GET shows it, POST is a click on it."""
        pairs = list(call.query.items())
        params = dict(pairs)
        if len(params) != len(pairs):
            return Answer(400, "A parameter stands twice.")
        if call.method == "POST":
            told = dict(urllib.parse.parse_qsl((await call.body()).decode()))
            told = {"deny": told.get("decision") == "deny", "user": told.get("user"),
                    "untick": told.get("untick", "").split()}
            done = self.click(params, told)
        else:
            done = self.show(params)
        if "redirect" in done:
            return Answer(302, "", {"Location": done["redirect"]})
        if "error" in done:
            return Answer(done["status"], "<html><body><h1>Error</h1><p>%s</p></body></html>" % html.escape(
                done["error"]), content_type="text/html; charset=utf-8")
        return Answer(200, "<html><body>%s</body></html>" % (
            "<input id=code value='%s'>" % html.escape(done["code"]) if "code" in done else done["page"]),
            content_type="text/html; charset=utf-8")

    def show(self, params):
        try:
            code = self.prepare(params)
        except Page as page:
            return {"error": page.text, "status": page.status}
        except SentBack as back:
            return {"redirect": back.url}
        scopes = "".join("<li>%s</li>" % html.escape(scope) for scope in code.scopes)
        return {"page": "<form method=post><ul>%s</ul><button name=decision value=allow>Allow</button>"
                        "<button name=decision value=deny>Cancel</button></form>" % scopes}

    # --- acts ---

    def user(self, name=None):
        if not self.users:
            raise ValueError("there are no users")
        if name is None:
            return next(iter(self.users.values()))
        for user in self.users.values():
            if name in (user.id, user.email, user.name):
                return user
        raise ValueError("no such user: %s" % name)

    def app(self, name=None):
        if name is None:
            return next(iter(self.apps.values()))
        if name not in self.apps:
            raise ValueError("no such app: %s" % name)
        return self.apps[name]

    def default_scopes(self, app):
        return app.scopes or []

    def described(self, app):
        return dict({"client_id": app.client_id, "client_secret": app.secret, "redirect_uris": app.redirect_uris,
                     "scopes": app.scopes, "kind": app.kind}, **app.extra)

    def live(self, user):
        now = self.world.now()
        mine = lambda thing: user is None or thing.user is user
        return {"grants": sum(1 for g in self.grants if mine(g) and not g.dead),
                "refresh": sum(1 for g in self.refresh.values() if mine(g) and not g.dead),
                "access": sum(1 for t in self.access.values() if mine(t) and not t.revoked and t.expires_at > now
                              and not (t.grant and t.grant.dead))}

    def act(self, told):
        act = getattr(self, "act_" + str(told.get("act")), None)
        return act(told) if act is not None else None

    def act_consent(self, told):
        pairs = urllib.parse.parse_qsl(urllib.parse.urlsplit(told["url"]).query, keep_blank_values=True)
        params = dict(pairs)
        if len(params) != len(pairs):
            return {"error": "A parameter stands twice.", "status": 400}
        return self.click(params, told)

    def act_grant(self, told):
        app, user = self.app(told.get("app")), self.user(told.get("user"))
        grant = Grant(app, user, told.get("scopes") or self.default_scopes(app), self.world.now())
        self.grants.append(grant)
        token = self.issue(app, user, grant.scopes, grant)
        return {"refresh_token": self.issue_refresh(grant), "access_token": token.value, "expires_in": self.lifetime,
                "client_id": app.client_id, "client_secret": app.secret, "scope": " ".join(sorted(grant.scopes))}

    def act_device_consent(self, told):
        for code in self.devices.values():
            if code.params.get("user_code") == told["user_code"] and code.state == "pending":
                code.state = "denied" if told.get("deny") else "allowed"
                code.user = self.user(told.get("user"))
                return {}
        raise ValueError("no device waits with this code")

    def mine(self, told, things):
        user = self.user(told["user"]) if told.get("user") else None
        app = self.app(told["app"]) if told.get("app") else None
        return [t for t in things if (user is None or t.user is user) and (app is None or t.app is app)]

    def act_remove_app(self, told):
        for grant in self.mine(told, self.grants):
            grant.dead = grant.dead or "revoked"
        return {}

    def act_expire_tokens(self, told):
        for token in self.mine(told, self.access.values()):
            token.expires_at = min(token.expires_at, self.world.now() - 1)
        return {}

    def act_expire_refresh(self, told):
        for grant in self.mine(told, self.grants):
            grant.dead = grant.dead or "expired"
        return {}

    def act_suspend(self, told):
        self.user(told.get("user")).suspended = bool(told.get("on", True))
        return {}

    def act_add_app(self, told):
        extra = {k: v for k, v in told.items() if k not in (
            "service", "act", "client_id", "client_secret", "redirect_uris", "scopes", "kind")}
        app = App(told["client_id"], told.get("client_secret"), told.get("redirect_uris", ()), told.get("scopes"),
                  told.get("kind", "web"), **extra)
        self.apps[app.client_id] = app
        return self.described(app)

    def act_change_app(self, told):
        app = self.app(told.get("app"))
        for key, value in told.items():
            if key == "client_secret":
                app.secret = value
            elif key in ("redirect_uris", "scopes", "kind"):
                setattr(app, key, value)
            elif key not in ("service", "act", "app"):
                app.extra[key] = value
        return self.described(app)

    def act_add_user(self, told):
        extra = {k: v for k, v in told.items() if k not in ("service", "act", "id", "email", "name")}
        user = User(told.get("id") or self.new_user_id(), told["email"], told.get("name", told["email"]), **extra)
        self.users[user.id] = user
        return {"id": user.id, "email": user.email, "name": user.name}

    def new_user_id(self):
        return secrets.token_hex(8)

    def act_apps(self, told):
        return [self.described(app) for app in self.apps.values()]

    def act_users(self, told):
        return [{"id": user.id, "email": user.email, "name": user.name} for user in self.users.values()]

    def act_tokens(self, told):
        return self.live(self.user(told["user"]) if told.get("user") else None)

    def act_token_length(self, told):
        self.access_length = int(told["length"])
        return {}
