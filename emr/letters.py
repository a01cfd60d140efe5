"""Letters to vendor and practice, written from the real configuration.

They hold client ids, addresses, public keys, scopes and request ids; never a private key, secret, token or patient.
What an EMR said is quoted only when it names nobody enrolled.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone

from emr import catalogue, keys
from emr.connecting import key_exports, rotation, scopes_advice
from emr.models import Connection, JwksHit, Letter, SigningKey
from emr.profiles.connecting import Portal

Kind = Letter.Kind
_HITS = 3
_WORD = re.compile(r"[A-Za-z0-9._-]+")


def write(connection: Connection, kind: str) -> Letter:
    """A letter of this kind, as things stand now, stored and not sent. Raises ValueError for an unknown kind."""
    told = _FACTS[Kind(kind)](connection) | _everywhere(connection)
    text = render_to_string(f"emr/letters/{kind}.txt", told)
    subject, _, body = text.partition("\n")
    portal = portal_of(connection)
    return Letter.objects.create(
        connection=connection,
        kind=kind,
        to="" if kind == Kind.ACTIVATE or portal is None else portal.support,
        subject=" ".join(subject.removeprefix("Subject: ").split())[:300],
        body=re.sub(r"\n{3,}", "\n\n", body.strip()) + "\n",
        ask_again_days=list(connection.profile.connecting.ask_again_days),
    )


def eml(letter: Letter) -> bytes:
    """The letter as an .eml file (RFC 5322) that a mail program opens for sending (X-Unsent)."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = letter.subject
    message["From"] = settings.DEFAULT_FROM_EMAIL
    if letter.to:
        message["To"] = letter.to
    message["X-Unsent"] = "1"
    message.set_content(letter.body)
    return message.as_bytes()


def mark_sent(letter: Letter) -> None:
    Letter.objects.filter(pk=letter.pk, sent_at=None).update(sent_at=timezone.now())


def mark_answered(letter: Letter) -> None:
    """Also for a letter nobody marked as sent: an answer says that it was."""
    now = timezone.now()
    Letter.objects.filter(pk=letter.pk, answered_at=None).update(answered_at=now)
    Letter.objects.filter(pk=letter.pk, sent_at=None).update(sent_at=now)


def mark_asked_again(letter: Letter) -> None:
    Letter.objects.filter(pk=letter.pk, answered_at=None).exclude(sent_at=None).update(reminders=F("reminders") + 1)


def due(connection: Connection, now: datetime | None = None) -> list[Letter]:
    """Letters sent, not answered, and due to be asked about again."""
    now = now or timezone.now()
    waiting = connection.letters.filter(answered_at=None).exclude(sent_at=None)
    return [letter for letter in waiting if letter.is_due(now)]


def portal_of(connection: Connection) -> Portal | None:
    """The portal the app belongs to: by the host, else by environment and app type."""
    told, registration = connection.profile.connecting, connection.registration
    host = connection.base_url.split("/")[2] if "//" in connection.base_url else ""
    fitting = told.portals_for(registration.environment, registration.app_type)
    return told.portal_of_host(host) or (fitting[0] if fitting else None)


def authorize_request(connection: Connection) -> list[tuple[str, str]]:
    """The parameters of our authorize request (SMART App Launch 2.2), per-request values named, not shown."""
    registration = connection.registration
    fixed = [
        ("response_type", "code"),
        ("client_id", registration.client_id),
        ("redirect_uri", next(iter(registration.redirect_list), "(none registered)")),
        ("scope", registration.scopes),
        ("state", "(new for each request)"),
        ("aud", connection.base_url),
        ("code_challenge", "(new for each request)"),
        ("code_challenge_method", "S256"),
    ]
    return fixed + list(connection.extra_params(registration.extra_authorize_params).items())


def token_request(connection: Connection) -> list[tuple[str, str]]:
    """The form of our token request (SMART Backend Services), less the assertion."""
    registration = connection.registration
    fixed = [
        ("grant_type", "client_credentials"),
        ("scope", " ".join(sorted(registration.scopes.split()))),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", "(a JWT signed for this request alone)"),
    ]
    return fixed + list(connection.extra_params(registration.extra_token_params).items())


# --- facts ---------------------------------------------------------------------------------------------


def _everywhere(connection: Connection) -> dict[str, Any]:
    registration, portal = connection.registration, portal_of(connection)
    return {
        "connection": connection,
        "practice": connection.practice,
        "registration": registration,
        "portal": registration.portal or (portal.name if portal else ""),
        "jwks_url": keys.jwks_url(registration.environment),
        "jwks_readers": _readers(registration.environment),
        "seen": _seen(connection),
        "public_url": settings.PUBLIC_URL,
    }


def _readers(environment: str) -> list[JwksHit]:
    return list(keys.vendor_hits(environment)[:_HITS])


def _seen(connection: Connection) -> dict[str, Any] | None:
    """What we saw last, when, and the vendor's request ids; None when nothing is amiss."""
    if not connection.reason_code:
        return None
    entry = catalogue.explain(connection.reason_code)
    detail = connection.reason_detail
    return {
        "code": connection.reason_code,
        "title": entry.title,
        "detail": "" if _names_somebody(connection, detail) else detail,
        "at": connection.reason_at,
        "request_ids": _request_ids(connection),
    }


def _request_ids(connection: Connection) -> list[str]:
    """Of the last failure and of the last self-test, without repeats."""
    report = connection.reports.first()
    found = [finding.get("request_id", "") for finding in report.findings] if report else []
    return [text for text in dict.fromkeys([connection.request_id, *found]) if text][:5]


def _names_somebody(connection: Connection, text: str) -> bool:
    """The wire cuts ids out of what it quotes; should one get through, the quotation stays out of the mail."""
    words = {word.strip(".") for word in _WORD.findall(text)}
    return bool(words) and connection.enrolments.filter(patient_fhir_id__in=words).exists()


def _signing(connection: Connection) -> dict[str, Any]:
    registration = connection.registration
    own = SigningKey.objects.filter(
        environment=registration.environment, algorithm=registration.signing_algorithm
    ).order_by("-created_at")
    active = own.filter(state=SigningKey.State.ACTIVE).first()
    return {
        "key": active,
        "key_size": key_exports.size(active) if active else "",
        "public_pem": key_exports.public_pem(active) if active else "",
        "next_key": own.filter(state=SigningKey.State.NEXT).first(),
    }


def _backend(connection: Connection) -> dict[str, Any]:
    return _signing(connection) | {"scopes": sorted(connection.registration.scopes.split())}


def _refused(connection: Connection) -> dict[str, Any]:
    registration = connection.registration
    configuration = connection.smart_configuration or {}
    words = registration.scopes.split()
    advised = scopes_advice.advise(words, connection.profile, registration.app_type)
    parameters = token_request(connection) if registration.is_backend else authorize_request(connection)
    endpoint = "token_endpoint" if registration.is_backend else "authorization_endpoint"
    return {
        "method": "POST" if registration.is_backend else "GET",
        "endpoint": configuration.get(endpoint) or "(not discovered yet)",
        "parameters": parameters,
        "query": urlencode(parameters),
        "doubtful": [advice.text for advice in advised],
        "redirects": registration.redirect_list,
    }


def _activation(connection: Connection) -> dict[str, Any]:
    told = connection.profile.connecting
    return {"path": told.activation_path, "after": told.activation_after}


def _rotation(connection: Connection) -> dict[str, Any]:
    facts = _signing(connection)
    coming = facts["next_key"] or facts["key"]
    environment = connection.registration.environment
    leaving = facts["key"] if facts["next_key"] else _leaving(connection)
    return facts | {
        "coming": coming,
        "coming_pem": key_exports.public_pem(coming) if coming else "",
        "coming_size": key_exports.size(coming) if coming else "",
        "leaving": leaving,
        "signs_from": coming.activated_at or coming.created_at + rotation.publish_wait(environment) if coming else None,
        "at": datetime.now(UTC),
    }


def _leaving(connection: Connection) -> SigningKey | None:
    registration = connection.registration
    return (
        SigningKey.objects.filter(environment=registration.environment, algorithm=registration.signing_algorithm)
        .filter(state__in=[SigningKey.State.RETIRING, SigningKey.State.RETIRED])
        .order_by(F("retiring_at").desc(nulls_last=True), "-retired_at")
        .first()
    )


_FACTS: dict[str, Callable[[Connection], dict[str, Any]]] = {
    Kind.ENABLE_BACKEND: _backend,
    Kind.AUTHORIZATION_REFUSED: _refused,
    Kind.ACTIVATE: _activation,
    Kind.KEY_ROTATION: _rotation,
}
