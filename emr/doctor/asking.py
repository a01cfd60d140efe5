"""What the authorization server says to a launch before anybody has signed in: the request that a patient's browser
would bring, sent by us, once. Nothing comes of it: its state belongs to no launch, and its verifier is thrown away.
"""

from urllib.parse import parse_qs

from emr import calls, catalogue
from emr.doctor.case import Case, Step
from emr.doctor.findings import Finding, Verdict
from emr.doctor.watch import told
from emr.models import ClientRegistration
from emr.redirects import redirect_uri
from emr.wire import authorize
from emr.wire.errors import NeverAgain, Redirected, clean

AUTHORIZE = Step("authorize", "Sign-in page", at="authorize")
_MAX_PAGE = 2 * 1024 * 1024


def sign_in_page(case: Case) -> Finding:
    """Does the request lead to a sign-in page, to a refusal shown there, or straight back to us with an error?"""
    registration = case.registration
    if registration.app_type == ClientRegistration.AppType.PROVIDER:
        return AUTHORIZE.found(Verdict.UNTESTED, "Launches of this app begin inside the EMR.")
    back = redirect_uri(registration)
    address = authorize.address(
        case.configuration, _request(case, back), case.connection.extra_params(registration.extra_authorize_params)
    )
    calls.spend(case.connection)
    try:
        answer = case.way.get(address, headers={"Accept": "text/html"}, max_bytes=_MAX_PAGE)
    except Redirected as answered:
        return _sent_on(answered, back)
    if answer.status == 429:
        raise calls.throttled(case.connection, answer.throttled())
    if answer.status != 200:
        code = catalogue.recognise(told(answer, AUTHORIZE.at))
        raise answer.error(NeverAgain, code, "the authorization request is refused on a page")
    return AUTHORIZE.found(Verdict.OK, "It comes.")


def _request(case: Case, back: str) -> authorize.Request:
    return authorize.Request(
        client_id=case.registration.client_id,
        redirect_uri=back,
        scope=" ".join(case.registration.scopes.split()),
        state=authorize.random_text(),
        nonce=authorize.random_text(),
        code_verifier=authorize.random_text(),
        aud=case.connection.base_url,
    )


def _sent_on(answered: Redirected, back: str) -> Finding:
    """A redirect to a sign-in page is well; one to our own callback carries an error (RFC 6749 section 4.1.2.1)."""
    address, _, query = answered.location.partition("?")
    if address != back.partition("?")[0]:
        return AUTHORIZE.found(Verdict.OK, "It leads on to a sign-in page.")
    said = parse_qs(query)
    error, description = (said.get(name, [""])[0][:300] for name in ("error", "error_description"))
    code = catalogue.recognise(
        catalogue.Told("authorize", answered.status or 302, text=description, oauth=frozenset({error, description}))
    )
    evidence = [("error", clean(error)), ("error description", clean(description))]
    return AUTHORIZE.amiss(code, "It sends people back at once.", [pair for pair in evidence if pair[1]])
