"""Launches and consents: one refresh at a time, forged identity tokens, abused callbacks, addresses that lead away."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from django.test.utils import override_settings

from bench.figure import Figure
from emr.launches import LaunchRefused
from emr.models import AuditEvent, Enrolment, Grant, Membership, User
from emr.wire.answers import Timeouts
from tests import servers
from tests.conftest import member
from tests.launches import forgeries, races, redirects, situations
from tests.launches.place import Place, finish
from tests.launches.standing import standing
from tests.launches.test_engine_launches import ABUSE

PROCESSES, ROUNDS = 8, 20
# The doctor's patience with servers that hang is its own setting, not what is measured.
SHORT = Timeouts(connect=1.0, read=0.6, wall=1.0)


def figures() -> Iterator[Figure]:
    yield from _race("SQLite", "")
    if servers.postgres_bin() is not None:
        with servers.running_postgres() as url:
            yield from _race("PostgreSQL", url)
    yield from _identities()
    yield from _callbacks()
    yield from _addresses()
    yield from _situations()


def _race(database: str, url: str) -> Iterator[Figure]:
    title = f"{PROCESSES} processes, {ROUNDS} rounds, {database}"
    race = races.refresh_race(PROCESSES, ROUNDS, races.fresh_database(url) if url else "")
    yield Figure(f"{title}: grants lost", int(not race.in_force), "", 0)
    yield Figure(f"{title}: rounds without a token for somebody, or with two", race.lost + race.split, "", 0)
    yield Figure(f"{title}: refreshes beyond one a round", abs(race.refreshes - ROUNDS), "", 0)


def _identities() -> Iterator[Figure]:
    verdicts = list(forgeries.verdicts())
    forged = [code for _, valid, code in verdicts if not valid]
    valid = [code for _, valid, code in verdicts if valid]
    yield Figure(f"forged or stale id_tokens refused, of {len(forged)}", sum(map(bool, forged)), "", 40, at_least=True)
    yield Figure("of them accepted", forged.count(""), "", 0)
    yield Figure(f"valid id_tokens accepted, of {len(valid)}", valid.count(""), "", 5, at_least=True)


def _named(names: Iterable[str]) -> str:
    found = "; ".join(names)
    return f" ({found})" if found else ""


def _callbacks() -> Iterator[Figure]:
    wrong = []
    for name, code, spoil, how in ABUSE:
        with standing() as place:
            if not _refused_rightly(place, code, spoil, how):
                wrong.append(name)
    yield Figure("abused callbacks", len(ABUSE), "", 20, at_least=True)
    yield Figure(f"of them not refused, named and audited{_named(wrong)}", len(wrong), "", 0)
    told = races.run("everything", 1, 1).said
    outcomes = told["callbacks"]
    yield Figure("of 20 callbacks at once with one answer, granted more than once", outcomes.count("active") - 1, "", 0)
    yield Figure("of them refused", outcomes.count("LAUNCH_USED"), "", 19, at_least=True)
    yield Figure("of those audited", told["audited"], "", 19, at_least=True)


def _refused_rightly(place: Place, code: str, spoil: Callable[[Any], Any], how: dict[str, str]) -> bool:
    invitation, _ = place.invite()
    before = AuditEvent.objects.filter(action="launch-refused").count()
    try:
        finish(spoil(place.come_back(invitation)), **how)
    except LaunchRefused as refused:
        audited = AuditEvent.objects.filter(action="launch-refused").count() - before
        return refused.code == code and audited == 1 and not Grant.objects.exists()
    return False


def _addresses() -> Iterator[Figure]:
    logging.getLogger("django.request").setLevel(logging.ERROR)  # each page that is not there would be a line
    # Signing in so often with the product's own hasher would take minutes, and is not what is measured.
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with standing() as place, override_settings(ALLOWED_HOSTS=[redirects.HERE], PASSWORD_HASHERS=hashers):
        Enrolment.objects.create(connection=place.connection, patient_fhir_id="p", known_by="list")
        user = User.objects.filter(email="alice@example.org").first()
        user = user or member("alice@example.org", place.connection.practice, Membership.Role.CLINICIAN)
        visitors = redirects.Visitors(user)
        out = [payload for payload in redirects.PAYLOADS if redirects.ways_out(visitors, payload)]
    title = f"open-redirect payloads that stay here, on {len(redirects.ROUTES)} routes"
    stay = len(redirects.PAYLOADS) - len(out)
    yield Figure(title + _named(map(repr, out)), stay, "", len(redirects.PAYLOADS), at_least=True)


def _situations() -> Iterator[Figure]:
    tables: list[tuple[str, Iterable[Any], Callable[[Place, Any], bool]]] = [
        ("sign-in pages named by the doctor", situations.PAGES, lambda p, s: situations.page_code(p, s) == s.code),
        ("answers named by the callback", situations.ANSWERS, lambda p, s: situations.answer_code(p, s) == s.code),
        ("refreshes after which the consent is as it should be", situations.REFRESHES, _as_it_should_be),
    ]
    for title, table, is_right in tables:
        rows = list(table)
        wrong = [row.name for row in rows if not _right(row, is_right)]
        yield Figure(f"{title}{_named(wrong)}", len(rows) - len(wrong), "", len(rows), at_least=True)


def _right(row: Any, is_right: Callable[[Place, Any], bool]) -> bool:
    with ExitStack() as stack:
        for module in ("watch", "ourselves"):
            stack.enter_context(patch(f"emr.doctor.{module}.PATIENCE", SHORT))
        return is_right(stack.enter_context(standing()), row)


def _as_it_should_be(place: Place, situation: situations.Refresh) -> bool:
    outcomes, grant = situations.refresh_outcomes(place, situation)
    return (outcomes, grant.state, grant.reason_code) == (situation.outcomes, situation.state, situation.reason)
