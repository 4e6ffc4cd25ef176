"""Microsoft's OAuth (fact sheet on Graph, section 2): host login has
/{tenant}/oauth2/v2.0/authorize, /token and /devicecode.

The directory at the start: "contoso.example"
(11111111-1111-1111-1111-111111111111). Apps (client ids are UUIDs, see act apps):
aaaaaaaa-0000-0000-0000-000000000001 confidential, multi-tenant, with a secret;
...02 public (device codes, nativeclient); ...03 daemon, for client credentials in
contoso, with application permissions (extra app_roles). Users: anna@contoso.example
(work), bert@outlook.example (personal, extra personal => true).

Each answer brings a new refresh token; the old one goes on working. Extras of apps:
public, tenant (single-tenant: its id), app_roles, secret_expired, no_consent => true.

Acts besides those of oauth.py:
  certificate  app: makes one for it; gives certificate and private_key (PEM)
  add_tenant   id, domain
A Token of kind "app" has user None; its scopes are app_roles; extra tenant.
"""
import base64
import datetime
import re
import uuid

from cryptography.hazmat.primitives import hashes

import jwt_check
from cloud import Answer, Refusal
from oauth import App, Authority, Code, Grant, Page, SentBack, User, add_query, form, same, secret

CONTOSO = "11111111-1111-1111-1111-111111111111"
PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"
NATIVE = "https://login.microsoftonline.com/common/oauth2/nativeclient"
GRAPH = "https://graph.microsoft.com/"
OIDC = {"openid", "profile", "email", "offline_access"}
SCOPES = {"User.Read", "Files.Read", "Files.ReadWrite", "Files.Read.All", "Files.ReadWrite.All",
          "Files.ReadWrite.AppFolder", "Sites.Read.All", "Sites.ReadWrite.All", "Sites.Selected"}
WORK_ONLY = {"Sites.Read.All", "Sites.ReadWrite.All", "Sites.Selected"}
AUTHORIZE = {"client_id", "response_type", "redirect_uri", "response_mode", "scope", "state", "code_challenge",
             "code_challenge_method", "prompt", "login_hint", "domain_hint", "nonce", "client_info"}
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
CLIENT = {"client_id", "client_secret", "client_assertion", "client_assertion_type", "client_info"}
TOKEN = {
    "authorization_code": CLIENT | {"code", "redirect_uri", "code_verifier", "scope"},
    "refresh_token": CLIENT | {"refresh_token", "scope", "redirect_uri"},
    "client_credentials": CLIENT | {"scope"},
    DEVICE: CLIENT | {"device_code", "code"},  # code: by MSAL for Python, beside the other
}


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class MicrosoftAuthority(Authority):
    service = "graph"
    hosts = {"login": ["login.microsoftonline.com"]}
    access_prefix, access_length, refresh_prefix, lifetime = "EwB4", 1900, "M.C5", 4500

    def __init__(self, world):
        super().__init__(world)
        self.tenants = {CONTOSO: "contoso.example"}
        name = "aaaaaaaa-0000-0000-0000-00000000000%d"
        uris = ["https://app.example.com/cloudsync/done", "http://localhost"]
        for app in (App(name % 1, "m~CloudSecret+1/=", uris),
                    App(name % 2, None, [NATIVE, "http://localhost"], public=True),
                    App(name % 3, "m~CloudSecret+3/=", uris, tenant=CONTOSO, app_roles=["Files.ReadWrite.All"])):
            self.apps[app.client_id] = app
        for user in (User("22222222-0000-0000-0000-000000000001", "anna@contoso.example", "Anna Example", tenant=CONTOSO),
                     User("00000000-0000-0000-b000-000000000002", "bert@outlook.example", "Bert Example", personal=True)):
            self.users[user.id] = user
        self.certificates = {}  # client id -> [certificate]
        self.ids = set()  # jti of assertions

    def new_user_id(self):
        return str(uuid.uuid4())

    def default_scopes(self, app):
        return app.scopes or ["Files.ReadWrite.All", "offline_access"]

    def refuse(self, status, error, number=None, text=""):
        trace = str(uuid.uuid4())
        stamp = datetime.datetime.utcfromtimestamp(self.world.now()).strftime("%Y-%m-%d %H:%M:%SZ")
        about = "AADSTS%s: %s" % (number, text) if number else text
        return Answer(status, {
            "error": error, "error_description": "%s Trace ID: %s Correlation ID: %s Timestamp: %s" % (
                about, trace, trace, stamp),
            "error_codes": [number] if number else [], "timestamp": stamp, "trace_id": trace,
            "correlation_id": trace, "error_uri": "https://login.microsoftonline.com/error?code=%s" % number})

    def refuse_form(self, status, error, text):
        return self.refuse(status, error, 900144, text)

    def route(self, call):
        parts = call.path.strip("/").split("/", 1)
        return parts[1] if len(parts) == 2 else call.path.strip("/")

    async def answer(self, call):
        tenant, _, path = call.path.strip("/").partition("/")
        if path == "oauth2/v2.0/authorize":
            self.tenant_of(tenant)
            return await self.consent_page(call)
        paths = {"oauth2/v2.0/token": self.token, "oauth2/v2.0/devicecode": self.device_code}
        if path == "v2.0/.well-known/openid-configuration":
            return self.discovery(call, self.tenant_of(tenant))
        if path not in paths:
            return Answer(404, "", {})
        return await paths[path](call, self.tenant_of(tenant))

    def discovery(self, call, tenant):
        """Where everything is, at the host that was asked."""
        base = "https://%s/%s" % (call.headers["Host"], tenant)
        return Answer(200, {
            "issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
            "token_endpoint": base + "/oauth2/v2.0/token", "device_authorization_endpoint": base + "/oauth2/v2.0/devicecode",
            "response_types_supported": ["code"], "subject_types_supported": ["pairwise"], "scopes_supported": sorted(OIDC)})

    def tenant_of(self, name):
        """common, organizations, consumers, or a directory's id."""
        name = name.lower()
        if name in ("common", "organizations", "consumers"):
            return name
        for ident, domain in self.tenants.items():
            if name in (ident, domain):
                return ident
        raise Refusal(self.refuse(400, "invalid_request", 90002, "Tenant '%s' not found." % name))

    # --- the consent page ---

    def redirect_allowed(self, app, uri):
        if uri in app.redirect_uris:
            return True
        port = re.compile(r"^(http://localhost)(:\d+)?(/.*)?$")
        told = port.match(uri)
        if not told:
            return False
        return any(port.match(known) and (port.match(known)[3] or "/") == (told[3] or "/") for known in app.redirect_uris)

    def scopes_of(self, app, text):
        """Scopes by their short names; a pair (AADSTS number, text) if they cannot be."""
        scopes = []
        for scope in (text or "").split():
            if scope.lower().startswith(GRAPH):
                scope = scope[len(GRAPH):]
            elif "://" in scope:
                return None, (700022, "The provided value for the input parameter scope is not valid because it contains "
                              "more than one resource.")
            scopes.append(scope)
        if not set(scopes) - OIDC:
            return None, (70011, "The provided value for the input parameter 'scope' is not valid.")
        if ".default" in scopes and set(scopes) - OIDC - {".default"}:
            return None, (70011, "The scope .default can't be combined with resource-specific scopes.")
        if ".default" in scopes:
            scopes = [s for s in scopes if s != ".default"] + [s for s in self.default_scopes(app) if s not in OIDC]
        unknown = [scope for scope in scopes if scope not in SCOPES | OIDC]
        if unknown:
            return None, (70011, "The scope '%s' is not valid." % " ".join(unknown))
        return scopes, None

    def prepare(self, params):
        app = self.apps.get(params.get("client_id"))
        if app is None:
            raise Page(400, "AADSTS700016: Application with identifier '%s' was not found." % params.get("client_id"))
        unknown = sorted(set(params) - AUTHORIZE)
        if unknown:
            raise Page(400, "AADSTS90014: parameter not known: %s" % unknown[0])
        uri = params.get("redirect_uri")
        if uri is None or not self.redirect_allowed(app, uri):
            raise Page(400, "AADSTS50011: The redirect URI '%s' specified in the request does not match the redirect "
                            "URIs configured for the application." % uri)
        state = params.get("state")
        if params.get("response_type") != "code":
            raise SentBack(uri, "unsupported_response_type", "AADSTS700054: response_type is not enabled", state)
        if params.get("response_mode", "query") not in ("query", "fragment", "form_post"):
            raise SentBack(uri, "invalid_request", "AADSTS90023: Unsupported response_mode", state)
        wrong = self.check_challenge(params)
        if wrong:
            raise SentBack(uri, "invalid_request", "AADSTS501491: %s" % wrong, state)
        scopes, wrong = self.scopes_of(app, params.get("scope"))
        if wrong:
            raise SentBack(uri, "invalid_scope", "AADSTS%d: %s" % wrong, state)
        self.check_state(params)
        return Code(app, scopes, params, self.world.now())

    def refuse_consent(self, code):
        return {"redirect": add_query(code.params["redirect_uri"], {
            "error": "access_denied", "error_description": "AADSTS65004: User declined to consent to access the app.",
            "state": code.params.get("state")})}

    def decide(self, code, user, untick):
        if untick:
            raise ValueError("the page of Microsoft lets nobody untick scopes")
        wrong = self.user_fails(code.app, user, code.scopes)
        if wrong:
            return {"redirect": add_query(code.params["redirect_uri"], {
                "error": wrong[0], "error_description": "AADSTS%d: %s" % wrong[1:], "state": code.params.get("state")})}
        value = secret("M.R3_BAY.")
        code.user = user
        self.codes[value] = code
        return {"redirect": add_query(code.params["redirect_uri"], {
            "code": value, "state": code.params.get("state"), "session_state": str(uuid.uuid4())})}

    def user_fails(self, app, user, scopes):
        if app.extra.get("tenant") and user.extra.get("tenant") != app.extra["tenant"]:
            return ("invalid_request", 50020, "User account from another tenant cannot access the application.")
        if user.extra.get("personal") and set(scopes) & WORK_ONLY:
            return ("invalid_scope", 70011, "The scope is not available for personal accounts.")
        if app.extra.get("no_consent"):
            return ("access_denied", 90094, "Admin consent is required for the permissions requested.")
        return None

    # --- the token server ---

    async def token(self, call, tenant):
        params = await form(call, self.refuse_form)
        kind = params.pop("grant_type", None)
        if kind is None:
            return self.refuse(400, "invalid_request", 900144, "The request body must contain the following parameter: "
                               "'grant_type'.")
        if kind not in TOKEN:
            return self.refuse(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        unknown = sorted(set(params) - TOKEN[kind])
        if unknown:
            return self.refuse(400, "invalid_request", 90014, "parameter not known: %s" % unknown[0])
        app = self.client(call, params, tenant, kind)
        by = {"authorization_code": self.by_code, "refresh_token": self.by_refresh,
              "client_credentials": self.by_client, DEVICE: self.by_device}[kind]
        return by(app, params, tenant)

    def client(self, call, params, tenant, kind):
        if "Authorization" in call.headers:
            raise Refusal(self.refuse(400, "invalid_request", 900144, "Client credentials belong into the body."))
        if "client_id" not in params:
            raise Refusal(self.refuse(400, "invalid_request", 900144, "The request body must contain the following "
                                      "parameter: 'client_id'."))
        app = self.apps.get(params["client_id"])
        if app is None:
            raise Refusal(self.refuse(400, "unauthorized_client", 700016, "Application with identifier '%s' was not found "
                                      "in the directory." % params["client_id"]))
        if app.extra.get("tenant") and tenant in ("common", "consumers") and kind != "client_credentials":
            raise Refusal(self.refuse(400, "invalid_request", 50194, "Application is not configured as a multi-tenant "
                                      "application."))
        told = "client_secret" in params or "client_assertion" in params
        if app.extra.get("public"):
            if told:
                raise Refusal(self.refuse(401, "invalid_client", 700025, "Client is public so neither 'client_assertion' "
                                          "nor 'client_secret' should be presented."))
            return app
        if not told:
            raise Refusal(self.refuse(401, "invalid_client", 7000218, "The request body must contain the following "
                                      "parameter: 'client_assertion' or 'client_secret'."))
        if "client_assertion" in params:
            wrong = self.assertion_fails(app, params, tenant)
        elif not same(params["client_secret"], app.secret):
            wrong = (7000215, "Invalid client secret provided.")
        elif app.extra.get("secret_expired"):
            wrong = (7000222, "The provided client secret keys are expired.")
        else:
            wrong = None
        if wrong:
            raise Refusal(self.refuse(401, "invalid_client", *wrong))
        return app

    def assertion_fails(self, app, params, tenant):
        text = params["client_assertion"]
        if params.get("client_assertion_type") != ASSERTION:
            return 900144, "client_assertion_type is missing or not known."
        try:
            header, claims = jwt_check.split(text)
        except ValueError as why:
            return 50027, "JWT token is invalid or malformed: %s." % why
        der = lambda certificate, digest: b64(certificate.fingerprint(digest))
        known = self.certificates.get(app.client_id, [])
        found = [c for c in known if (header.get("x5t#S256") == der(c, hashes.SHA256()) and header.get("alg") == "PS256")
                 or (str(header.get("x5t")).rstrip("=") == der(c, hashes.SHA1()) and header.get("alg") == "RS256")]
        if not found:
            return 700027, "The certificate with the identifier used to sign the client assertion is not registered on " \
                           "application."
        if not jwt_check.verify(text, found[0].public_key(), header["alg"]):
            return 50012, "Client assertion contains an invalid signature."
        port = self.world.ports["graph"]["login"]
        names = (tenant, self.tenants.get(tenant, tenant))
        audiences = ["https://%s/%s/oauth2/v2.0/token" % (host, name) for name in names
                     for host in ("login.microsoftonline.com", "127.0.0.1:%d" % port)]
        if claims.get("aud") not in audiences:
            return 700023, "Client assertion audience claim does not match Realm issuer."
        if not claims.get("iss") == claims.get("sub") == app.client_id:
            return 700021, "Client assertion application identifier doesn't match 'client_id' parameter."
        now = self.world.now()
        times = [claims.get(name, now) for name in ("nbf", "iat")] + [claims.get("exp")]
        if any(isinstance(t, bool) or not isinstance(t, (int, float)) for t in times):
            return 50027, "JWT token is invalid or malformed."
        if times[0] > now + 300 or times[1] > now + 300 or times[2] < now or times[2] > now + 3600:
            return 700024, "Client assertion is not within its valid time range."
        if not claims.get("jti") or claims["jti"] in self.ids:
            return 50027, "JWT token is invalid or malformed: jti is missing or was used."
        self.ids.add(claims["jti"])
        return None

    def tokens(self, app, user, scopes, grant, kind="user", **extra):
        shown = [scope for scope in scopes if scope != "offline_access"]
        token = self.issue(app, user, shown, grant, kind, **extra)
        told = {"token_type": "Bearer", "scope": " ".join(shown), "expires_in": self.lifetime,
                "ext_expires_in": self.lifetime, "access_token": token.value}
        if grant is not None and "offline_access" in grant.scopes:
            told["refresh_token"] = self.issue_refresh(grant)
        return Answer(200, told)

    def by_code(self, app, params, tenant):
        code = self.codes.get(params.get("code"))
        if code is None or code.app is not app:
            return self.refuse(400, "invalid_grant", 70000, "The provided value for the 'code' parameter is not valid.")
        if code.used:
            return self.refuse(400, "invalid_grant", 54005, "OAuth2 Authorization code was already redeemed.")
        if code.until <= self.world.now():
            return self.refuse(400, "invalid_grant", 70008, "The provided authorization code has expired.")
        if params.get("redirect_uri") != code.params["redirect_uri"]:
            return self.refuse(400, "invalid_grant", 50011, "The redirect URI does not match.")
        wrong = self.pkce_fails(code, params.get("code_verifier"))
        if wrong:
            return self.refuse(400, "invalid_grant", 501481, "The Code_Verifier does not match the code_challenge.")
        scopes = code.scopes
        if "scope" in params:
            scopes, wrong = self.scopes_of(app, params["scope"])
            if wrong:
                return self.refuse(400, "invalid_scope", *wrong)
            if not set(scopes) <= set(code.scopes):
                return self.refuse(400, "invalid_grant", 65001, "The user or administrator has not consented.")
        code.used = True
        grant = Grant(app, code.user, code.scopes, self.world.now(), "code_challenge" in code.params)
        self.grants.append(grant)
        return self.tokens(app, code.user, scopes, grant)

    def by_refresh(self, app, params, tenant):
        grant = self.refresh.get(params.get("refresh_token"))
        now = self.world.now()
        if grant is None or grant.app is not app:
            return self.refuse(400, "invalid_grant", 9002313, "Invalid request. The refresh token is malformed or invalid.")
        if now > grant.used + 90 * 86400:
            grant.dead = grant.dead or "expired"
        if grant.dead == "revoked":
            return self.refuse(400, "invalid_grant", 50173, "The provided grant has expired due to it being revoked.")
        if grant.dead:
            return self.refuse(400, "invalid_grant", 700082, "The refresh token has expired due to inactivity.")
        if grant.user.suspended:
            return self.refuse(400, "invalid_grant", 50057, "The user account is disabled.")
        scopes = grant.scopes
        if "scope" in params:
            scopes, wrong = self.scopes_of(app, params["scope"])
            if wrong:
                return self.refuse(400, "invalid_scope", *wrong)
            if not set(scopes) <= grant.scopes:
                return self.refuse(400, "invalid_grant", 65001, "The user or administrator has not consented to use the "
                                   "application.")
        grant.used = now
        return self.tokens(app, grant.user, sorted(scopes), grant)

    def by_client(self, app, params, tenant):
        if tenant in ("common", "organizations", "consumers"):
            return self.refuse(400, "invalid_request", 9001023, "The grant type is not supported over the /common or "
                               "/consumers endpoints. Please use the /organizations or tenant-specific endpoint.")
        if app.extra.get("public"):
            return self.refuse(401, "invalid_client", 7000218, "The client must authenticate.")
        if app.extra.get("tenant", tenant) != tenant:
            return self.refuse(400, "unauthorized_client", 700016, "Application was not found in the directory.")
        port = self.world.ports["graph"].get("api")
        if params.get("scope") not in (GRAPH + ".default", "https://127.0.0.1:%s/.default" % port):
            return self.refuse(400, "invalid_scope", 1002012, "The provided value for scope is not valid. Client credential "
                               "flows must have a scope value with /.default suffixed to the resource identifier.")
        token = self.issue(app, None, app.extra.get("app_roles", []), None, "app", tenant=tenant)
        return Answer(200, {"token_type": "Bearer", "expires_in": self.lifetime, "ext_expires_in": self.lifetime,
                            "access_token": token.value})

    async def device_code(self, call, tenant):
        params = await form(call, self.refuse_form)
        if set(params) - {"client_id", "scope"}:
            return self.refuse(400, "invalid_request", 90014, "parameter not known")
        app = self.apps.get(params.get("client_id"))
        if app is None:
            return self.refuse(400, "unauthorized_client", 700016, "Application was not found in the directory.")
        scopes, wrong = self.scopes_of(app, params.get("scope"))
        if wrong:
            return self.refuse(400, "invalid_scope", *wrong)
        value, shown = secret("DAQAB"), uuid.uuid4().hex[:9].upper()
        self.devices[value] = Code(app, scopes, {"user_code": shown}, self.world.now(), 900)
        return Answer(200, {"user_code": shown, "device_code": value, "expires_in": 900, "interval": 5,
                            "verification_uri": "https://microsoft.com/devicelogin",
                            "message": "To sign in, use a web browser to open the page https://microsoft.com/devicelogin "
                                       "and enter the code %s to authenticate." % shown})

    def by_device(self, app, params, tenant):
        code = self.devices.get(params.get("device_code"))
        if code is None or code.app is not app or code.used:
            return self.refuse(400, "bad_verification_code", 70000, "The device code is not valid.")
        now = self.world.now()
        if code.until <= now:
            return self.refuse(400, "expired_token", 70019, "The device code has expired.")
        # Asked too fast and too often: taken for a loop.
        code.params["fast"] = code.params.get("fast", 0) + 1 if code.asked and now < code.asked + code.interval - 0.5 else 0
        code.asked = now
        if code.params["fast"] > 10:
            return self.refuse(400, "invalid_grant", 50196, "The server terminated an operation because it encountered a "
                               "client request loop.")
        if code.state == "pending":
            return self.refuse(400, "authorization_pending", 70016, "OAuth 2.0 device flow error. Authorization is pending.")
        if code.state == "denied":
            return self.refuse(400, "authorization_declined", 70018, "The user declined.")
        code.used = True
        grant = Grant(app, code.user, code.scopes, now)
        self.grants.append(grant)
        return self.tokens(app, code.user, code.scopes, grant)

    # --- acts ---

    def act_certificate(self, told):
        app = self.app(told.get("app", "aaaaaaaa-0000-0000-0000-000000000003"))
        key, text, certificate = jwt_check.new_certificate("cloudsync")
        self.certificates.setdefault(app.client_id, []).append(certificate)
        return {"certificate": text, "private_key": key}

    def act_add_tenant(self, told):
        self.tenants[told["id"]] = told["domain"]
        return {}


PARTS = (MicrosoftAuthority,)
