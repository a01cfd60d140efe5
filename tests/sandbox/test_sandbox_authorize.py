"""The sandbox as authorization server: the request's rules, the pages, what the app gets back."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc import jws
from joserfc.jwk import RSAKey

from tests.launches.signing_in import (
    Stuck,
    answer_of,
    clinician,
    control,
    ehr_launch,
    order,
    send,
    sign_in,
    username_of,
)
from tests.sandbox.app import CLIENT_ID, Answer, App, Web

Connect = Callable[..., App]
REDIRECT = "http://127.0.0.1:9/emr/callback"
SCOPES = "openid fhirUser offline_access launch/patient patient/Patient.read patient/Condition.read"
SECRET = "a-secret-of-some-length"


@dataclass
class Launched:
    """An app that people launch, and its requests. Keyword arguments change or (None) drop a part."""

    app: App
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def web(self) -> Web:
        return self.app.web

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.app.web.port}"

    @property
    def base(self) -> str:
        return f"{self.origin}/fhir/r4/ABHEAD"

    @property
    def control(self) -> str:
        return f"{self.origin}/control"

    @property
    def patients(self) -> list[str]:
        return [one["id"] for one in control(self.control, "patients")["patients"]]

    def url(self, **changes: str | None) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        asked: dict[str, str | None] = {
            "response_type": "code", "client_id": CLIENT_ID, "redirect_uri": REDIRECT, "scope": SCOPES,
            "state": self.state, "nonce": self.nonce, "aud": self.base,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        sent = {name: value for name, value in {**asked, **changes}.items() if value is not None}
        return f"{self.origin}/oauth/oauth2/authorize?{urlencode(sent)}"

    def consent(self, patient: str = "", **steps: Any) -> str:
        """The code after a patient's consent."""
        url = self.url(**steps.pop("request", {}))
        username = steps.pop("username", "") or username_of(self.control, patient or self.patients[0])
        return answer_of(sign_in(url, username=username, patient=patient, **steps))["code"][0]

    def ask(self, path: str = "token", headers: dict[str, str] | None = None, **form: str | None) -> Answer:
        if form.get("client_assertion") == "sign":
            form |= {"client_assertion": self.app.assertion()}
            form |= {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
        sent = {name: value for name, value in form.items() if value is not None}
        kind = {"Content_Type": "application/x-www-form-urlencoded"}
        return self.web.send("POST", f"/oauth/oauth2/{path}", urlencode(sent).encode(), **kind, **(headers or {}))

    def exchange(self, code: str | None, **changes: Any) -> Answer:
        form: dict[str, Any] = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT,
            "code_verifier": self.verifier, "client_assertion": "sign",
        }  # fmt: skip
        return self.ask(**(form | changes))

    def refresh(self, token: str, **changes: Any) -> Answer:
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_assertion": "sign"}
        return self.ask(**(form | changes))

    def token(self, **steps: Any) -> dict[str, Any]:
        answer = self.exchange(self.consent(**steps))
        assert answer.status == 200, answer.body
        return dict(answer.json)

    def read(self, path: str, token: str) -> Answer:
        self.app.bearer = token
        return self.app.get(path)

    def rules(self, of: str = "token") -> list[str]:
        return list(self.web.get("/control/calls").json[f"{of}_refusals"])


@pytest.fixture
def launch(connect: Connect) -> Callable[..., Launched]:
    def launch(*, client: dict[str, Any] | None = None, patients: int = 3, **settings: Any) -> Launched:
        registered = {"app_type": "patient", "redirect_uris": (REDIRECT,), "name": "Headache app"}
        return Launched(connect(client=registered | (client or {}), patients=patients, **settings))

    return launch


Launch = Callable[..., Launched]


def test_a_patient_consents_and_the_app_reads_that_chart_alone(launch: Launch) -> None:
    here = launch()
    patient, other = here.patients[:2]
    answer = here.token(patient=patient)
    assert answer["patient"] == patient
    assert answer["scope"] == SCOPES
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    assert answer["need_patient_banner"] is True
    assert here.web.get(answer["smart_style_url"].removeprefix(here.origin)).json["color_text"]
    token = answer["access_token"]
    assert here.read(f"Patient/{patient}", token).json["id"] == patient
    assert here.read(f"Condition?patient={patient}", token).status == 200
    assert here.read(f"Patient/{other}", token).status == 403
    assert here.read(f"Condition?patient={other}", token).status == 403
    assert here.read(f"Patient?_id={other}", token).status == 403
    assert here.read(f"Observation?patient={patient}&category=laboratory", token).status == 403


def test_a_search_by_name_finds_the_own_chart_alone(launch: Launch) -> None:
    here = launch()
    mine, other, *_ = control(here.control, "patients")["patients"]
    token = here.token(patient=mine["id"])["access_token"]

    def found(person: dict[str, Any]) -> int:
        name = person["names"][0]
        asked = {"family": name["family"], "given": name["given"][0], "birthdate": person["birth_date"]}
        return len(here.read(f"Patient?{urlencode(asked)}", token).json.get("entry", []))

    assert (found(mine), found(other)) == (1, 0)


def test_pages_of_a_search_keep_to_the_chart(launch: Launch) -> None:
    here = launch(page_size=1)
    first, second = here.patients[:2]
    mine = here.token(patient=first)["access_token"]
    page = here.read(f"Condition?patient={first}", mine).json
    link = next(one["url"] for one in page["link"] if one["relation"] == "next")
    assert here.app.follow(link).status == 200
    here.app.bearer = here.token(patient=second)["access_token"]
    assert here.app.follow(link).status == 403


def test_discovery_names_every_endpoint(launch: Launch) -> None:
    document = launch().web.get("/fhir/r4/ABHEAD/.well-known/smart-configuration").json
    wanted = {"authorization_endpoint", "token_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri"}
    assert wanted <= document.keys()
    assert {"launch-ehr", "launch-standalone", "sso-openid-connect"} <= set(document["capabilities"])
    assert "none" in document["token_endpoint_auth_methods_supported"]


SHOWN: list[tuple[str, dict[str, str | None], int, str, str]] = [
    ("no client id", {"client_id": None}, 400, "which app", "no client_id"),
    ("an unknown client", {"client_id": "stranger"}, 401, "cannot be used", "unknown client"),
    ("no redirect URI", {"redirect_uri": None}, 400, "redirect", "redirect_uri"),
    ("a redirect URI with a slash more", {"redirect_uri": REDIRECT + "/"}, 400, "redirect", "redirect_uri"),
    ("a redirect URI in capitals", {"redirect_uri": REDIRECT.upper()}, 400, "redirect", "redirect_uri"),
    ("a redirect URI with a query more", {"redirect_uri": REDIRECT + "?a=b"}, 400, "redirect", "redirect_uri"),
    ("no state", {"state": None}, 403, '"invalid_request"', "no state"),
    ("a short state", {"state": "abc"}, 403, '"error": "403"', "state"),
    ("no aud", {"aud": None}, 403, '"invalid_request"', "no aud"),
    ("another aud", {"aud": "https://fhir.example.org/r4"}, 403, '"invalid_request"', "aud"),
]


@pytest.mark.parametrize(
    ("changes", "status", "says", "rule"), [one[1:] for one in SHOWN], ids=[one[0] for one in SHOWN]
)
def test_an_unusable_request_is_told_to_the_person(
    launch: Launch, changes: dict[str, str | None], status: int, says: str, rule: str
) -> None:
    here = launch()
    told = send(here.url(**changes))
    assert (told[0], told[1]) == (status, "")
    assert says in told[2]
    assert here.rules("authorize") == [rule]


def test_aud_with_a_trailing_slash_is_the_swapped_403(launch: Launch) -> None:
    here = launch()
    status, _, text = send(here.url(aud=here.base + "/"))
    assert status == 403
    document = json.loads(text)
    assert (document["error"], document["error_description"]) == ("403", "invalid_request")
    assert here.rules("authorize") == ["aud with trailing slash"]


def test_a_repeated_parameter_is_refused(launch: Launch) -> None:
    here = launch()
    assert send(here.url() + "&scope=openid")[0] == 403
    assert here.rules("authorize") == ["repeated parameter"]


def test_an_app_switched_off_is_told_so(launch: Launch) -> None:
    status, _, text = send(launch(client={"active": False}).url())
    assert (status, text) == (400, "FHIR app authentication is not enabled")


SENT_BACK: list[tuple[str, dict[str, str | None], str, str]] = [
    ("no response type", {"response_type": None}, "unsupported_response_type", "response_type"),
    ("the implicit grant", {"response_type": "token"}, "unsupported_response_type", "response_type"),
    ("no PKCE", {"code_challenge": None, "code_challenge_method": None}, "invalid_request", "code_challenge_method"),
    ("plain PKCE", {"code_challenge_method": "plain"}, "invalid_request", "code_challenge_method"),
    ("a challenge that is none", {"code_challenge": "x" * 42}, "invalid_request", "code_challenge"),
    ("no scope", {"scope": ""}, "invalid_scope", "no scope"),
    ("a scope nobody offers", {"scope": "patient/Appointment.read"}, "invalid_scope", "scope not offered"),
    ("a .search scope", {"scope": "patient/Condition.search"}, "invalid_scope", "scope not offered"),
    ("a scope not ticked", {"scope": "patient/Goal.read"}, "invalid_scope", "scope not registered"),
    ("a system scope", {"scope": "system/Patient.read"}, "invalid_scope", "system scope in a launch"),
    ("openid without nonce", {"nonce": None}, "invalid_request", "no nonce"),
    ("fhirUser without openid", {"scope": "fhirUser patient/Patient.read"}, "invalid_scope", "fhirUser without openid"),
    ("launch without its scope", {"launch": "x"}, "invalid_request", "launch and its scope belong together"),
    ("a request object", {"request": "x"}, "request_not_supported", "request"),
    ("a fragment", {"response_mode": "fragment"}, "invalid_request", "response_mode"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "error", "rule"), [one[1:] for one in SENT_BACK], ids=[one[0] for one in SENT_BACK]
)
def test_a_bad_request_is_told_to_the_app(
    launch: Launch, changes: dict[str, str | None], error: str, rule: str
) -> None:
    here = launch()
    status, location, _ = send(here.url(**changes))
    answer = answer_of(location)
    assert (status, location.startswith(REDIRECT + "?")) == (302, True)
    assert (answer["error"], answer["state"]) == ([error], [here.state])
    assert "code" not in answer
    assert here.rules("authorize") == [rule]


def test_a_backend_app_cannot_be_launched(launch: Launch) -> None:
    here = launch(client={"app_type": "backend-single"})
    assert answer_of(send(here.url())[1])["error"] == ["unauthorized_client"]


def test_an_authorization_request_may_be_posted(launch: Launch) -> None:
    address, _, query = launch().url().partition("?")
    pairs = [(name, value) for name, (value,) in answer_of(f"?{query}").items()]
    assert "Sign in" in send(address, pairs)[2]


def test_pages_let_nothing_else_run(launch: Launch) -> None:
    here = launch()
    answer = here.web.get(here.url().removeprefix(here.origin))
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:9;" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert b"<script" not in answer.body


def test_a_name_of_a_client_is_no_html(launch: Launch) -> None:
    text = send(launch(client={"name": "<b>App</b>"}).url())[2]
    assert "&lt;b&gt;App&lt;/b&gt;" in text


def test_a_wrong_password_does_not_sign_in(launch: Launch) -> None:
    here = launch()
    with pytest.raises(Stuck, match="password is not right"):
        here.consent(password="guess")
    with pytest.raises(Stuck, match="password is not right"):
        here.consent(username="nobody.here")


def test_a_person_who_declines(launch: Launch) -> None:
    here = launch()
    username = username_of(here.control, here.patients[0])
    answer = answer_of(sign_in(here.url(), username=username, refuses=True))
    assert (answer["error"], answer["state"]) == (["access_denied"], [here.state])
    assert "code" not in answer


def test_consent_narrowed(launch: Launch) -> None:
    here = launch()
    answer = here.token(without=("patient/Condition.read", "offline_access"))
    assert answer["scope"] == "openid fhirUser launch/patient patient/Patient.read"
    assert "refresh_token" not in answer
    assert here.read(f"Condition?patient={here.patients[0]}", answer["access_token"]).status == 403
    assert here.read(f"Patient/{here.patients[0]}", answer["access_token"]).status == 200


def test_consent_to_nothing_is_asked_again(launch: Launch) -> None:
    with pytest.raises(Stuck, match="Leave something ticked"):
        launch().consent(without=SCOPES.split())


def test_scopes_of_version_2_come_back_as_asked(launch: Launch) -> None:
    here = launch()
    asked = "launch/patient patient/Patient.rs patient/Condition.r"
    answer = here.token(request={"scope": asked})
    assert answer["scope"] == asked
    assert "id_token" not in answer
    patient = here.patients[0]
    assert here.read(f"Condition?patient={patient}", answer["access_token"]).status == 403
    assert here.read(f"Patient?_id={patient}", answer["access_token"]).status == 200


def test_somebody_with_several_charts_chooses(launch: Launch) -> None:
    here = launch()
    first, second, third = here.patients
    made = control(here.control, "accounts", {"username": "parent", "patients": [second, third]})
    assert made == {"username": "parent", "patients": [second, third]}
    assert here.token(username="parent", patient=third)["patient"] == third
    with pytest.raises(Stuck, match="Choose a patient"):
        here.consent(username="parent", patient=first)


def test_a_clinician_finds_a_chart_by_name(launch: Launch) -> None:
    here = launch()
    username = clinician(here.control)
    assert here.token(username=username, patient=here.patients[2])["patient"] == here.patients[2]


def test_a_page_left_behind_is_worth_nothing(launch: Launch) -> None:
    here = launch()
    address = f"{here.origin}/oauth/oauth2/sign-in"
    assert send(address, [("visit", "x"), ("decision", "allow")])[0] == 400
    visit = send(here.url())[2].partition('name="visit" value="')[2].partition('"')[0]
    here.app.clock.now += 601
    assert send(address, [("visit", visit), ("decision", "deny")])[0] == 400


def test_ehr_launch_asks_nobody(launch: Launch) -> None:
    here = launch(client={"app_type": "provider"})
    patient, other = here.patients[:2]
    context = ehr_launch(here.control, patient, encounter="visit-1")
    assert context["iss"] == here.base
    scope = "openid fhirUser launch patient/Condition.read user/Condition.read"
    location = sign_in(here.url(scope=scope, launch=context["launch"]))
    answer = here.exchange(answer_of(location)["code"][0]).json
    assert (answer["patient"], answer["encounter"], answer["need_patient_banner"]) == (patient, "visit-1", False)
    assert claims(here, answer["id_token"])["fhirUser"].startswith(f"{here.base}/Practitioner/")
    assert here.read(f"Condition?patient={other}", answer["access_token"]).status == 200
    again = answer_of(send(here.url(scope=scope, launch=context["launch"]))[1])
    assert (again["error"], here.rules("authorize")) == (["invalid_request"], ["launch"])


def test_ehr_launch_with_a_consent_page(launch: Launch) -> None:
    here = launch(client={"app_type": "provider"})
    context = ehr_launch(here.control, here.patients[0], asks_consent=True)
    url = here.url(scope="launch patient/Patient.read", launch=context["launch"])
    assert answer_of(sign_in(url, refuses=True))["error"] == ["access_denied"]


def test_ehr_launch_handle_is_for_one_app_and_not_for_long(launch: Launch) -> None:
    here = launch(client={"app_type": "provider"})
    others = ehr_launch(here.control, here.patients[0], client_id="another-app")
    late = ehr_launch(here.control, here.patients[0])
    scope = "launch patient/Patient.read"
    assert answer_of(send(here.url(scope=scope, launch=others["launch"]))[1])["error"] == ["invalid_request"]
    here.app.clock.now += 301
    assert answer_of(send(here.url(scope=scope, launch=late["launch"]))[1])["error"] == ["invalid_request"]
    assert answer_of(send(here.url(scope=scope))[1])["error"] == ["invalid_request"]


def claims(here: Launched, id_token: str) -> dict[str, Any]:
    """The claims of an id_token, its signature verified with the published key."""
    (key,) = here.web.get("/oauth/oauth2/jwks").json["keys"]
    verified = jws.deserialize_compact(id_token, RSAKey.import_key(key), algorithms=["RS256", "RS384"])
    assert verified.headers()["kid"] == key["kid"]
    return dict(json.loads(verified.payload))


@pytest.mark.parametrize("alg", ["RS256", "RS384"])
def test_id_token(launch: Launch, alg: str) -> None:
    here = launch(id_token_alg=alg)
    patient = here.patients[0]
    token = here.token()["id_token"]
    assert json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["alg"] == alg
    told = claims(here, token)
    now = int(here.app.clock.now)
    assert len(told.pop("sub")) == 32
    assert told == {
        "iss": here.base, "aud": CLIENT_ID, "iat": now, "exp": now + 3600, "nonce": here.nonce,
        "fhirUser": f"{here.base}/Patient/{patient}",
    }  # fmt: skip


def test_authorize_calls_count_and_pages_do_not(launch: Launch) -> None:
    here = launch()
    here.token()
    assert here.web.get("/control/calls").json["by_kind"] == {"authorize": 1, "token": 1}


def test_orders_for_the_way_back(launch: Launch) -> None:
    here = launch()
    username = username_of(here.control, here.patients[0])
    order(here.control, "callback", path="/authorize", set={"iss": "https://other.example"}, double=["state"])
    answer = answer_of(sign_in(here.url(), username=username))
    assert answer["iss"] == ["https://other.example"]
    assert answer["state"] == [here.state, here.state]
    order(here.control, "callback", path="/authorize", remove=["state"])
    assert "state" not in answer_of(sign_in(here.url(), username=username))
    order(here.control, "authorize-error", path="/authorize", error="temporarily_unavailable", description="Later")
    location = sign_in(here.url())
    assert answer_of(location) == {
        "error": ["temporarily_unavailable"], "error_description": ["Later"], "state": [here.state]
    }  # fmt: skip
    for kind, status in [("redirect-mismatch", 400), ("client-refused", 401), ("swap-error-403", 403)]:
        order(here.control, kind, path="/authorize")
        assert send(here.url())[0] == status


def test_a_clinician_opens_an_app_on_the_emrs_own_screen(connect: Connect) -> None:
    """EHR launch by hand: who, which patient, which app; then the app's launch URL with an opaque handle."""
    address = "http://127.0.0.1:9/emr/launch"
    app = connect(
        patients=2, client={"app_type": "provider", "redirect_uris": (REDIRECT,), "launch_url": address, "name": "Ours"}
    )
    here = Launched(app)
    home = f"{here.origin}/oauth/oauth2/home"
    assert "dr." in send(home)[2]
    password = ("password", "headache-sandbox")
    patient = here.patients[1]
    stranger = send(home, [("username", username_of(here.control, patient)), password])
    assert "not a clinician" in stranger[2]
    screen = send(home, [("username", clinician(here.control)), password])[2]
    assert "Open Ours" in screen

    def visit(page: str) -> tuple[str, str]:
        return "visit", page.partition('name="visit" value="')[2].partition('"')[0]

    screen = send(home, [visit(screen), ("app", CLIENT_ID)])[2]
    assert "Choose a patient." in screen
    used = visit(screen)
    status, location, _ = send(home, [used, ("patient", patient), ("app", CLIENT_ID)])
    assert (status, location.partition("?")[0]) == (303, address)
    told = answer_of(location)
    assert told["iss"] == [here.base]
    scopes = "launch openid fhirUser user/Patient.read"
    code = answer_of(send(here.url(launch=told["launch"][0], scope=scopes))[1])["code"][0]
    assert code
    assert send(home, [used, ("patient", patient), ("app", CLIENT_ID)])[0] == 400


@pytest.mark.parametrize(
    ("app_type", "launch_url"),
    [("patient", "http://127.0.0.1:9/emr/launch"), ("provider", "http://app.example/launch"), ("provider", 7)],
    ids=["a patient app", "plain http elsewhere", "no text"],
)
def test_a_launch_url_is_a_provider_apps_and_safe(connect: Connect, app_type: str, launch_url: object) -> None:
    app = connect(patients=1)
    client = {"client_id": "x", "jwks_url": "http://127.0.0.1:9/jwks", "app_type": app_type, "launch_url": launch_url}
    answer = app.web.send("POST", "/control/clients", json.dumps(client).encode(), Content_Type="application/json")
    assert answer.status == 400
