"""Who may see, who has seen: what is promised of isolation, audit, secrets and hostile input, at full size."""

import json
import logging
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest import mock

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import transaction
from django.test import Client, override_settings

from bench.figure import Figure
from bench.page import patient_with
from bench.token_traffic import readable
from emr import access, audit, audit_chain, resealing, walls
from emr.accounts.second_factor import SecondFactorRequired
from emr.accounts.sessions import SessionLimits
from emr.models import ClientRegistration, Connection, Practice, SystemToken
from patients.models import Patient
from tests.conftest import member, signed_in
from tests.trust import bad_bodies, browsing, canaries, hostile, probing, seeding, tampering, xss

EVENTS, TAMPERS, TOKENS, ROUNDS = 10_000, 500, 10_000, 40
SHARE = 0.2  # of the probes there are: a fifth of more than 120,000


def figures() -> Iterator[Figure]:
    logging.disable(logging.CRITICAL)  # thousands of refusals are meant here
    yield from audit_figures()
    yield from token_figures()
    yield from cost_figures()
    yield from url_figures()
    yield from body_figures()
    yield from script_figures()
    world = probing.World.make()
    yield from canary_figures(world)
    yield from probe_figures(world)


def _practice(name: str, code: str) -> Practice:
    return Practice.objects.create(name=name, code=code)


# --- audit ---


def audit_figures() -> Iterator[Figure]:
    practice = _practice("Bench Audit", "AUDITS")
    with transaction.atomic():
        for number in range(EVENTS):
            audit.record(audit.Action.READ_HISTORY, by=None, practice=practice, detail=f"event {number}")
    began = time.perf_counter()
    verdict = audit_chain.verify(practice.pk)
    took = time.perf_counter() - began
    if verdict.faults or verdict.events != EVENTS:
        raise RuntimeError(f"the chain does not verify: {verdict.faults[:3]}")
    yield Figure(f"audit chain of {EVENTS} events verified", round(took, 2), "s", 2)
    walls.lift(prefixes=("guard_",))
    try:
        located = _located(practice)
    finally:
        walls.build()
    yield Figure(f"single-row tampers located, of {TAMPERS}", located, "", TAMPERS, at_least=True)


def _located(practice: Practice) -> int:
    chance = random.Random(20261122)
    found = 0
    for number in chance.sample(range(1, EVENTS + 1), TAMPERS):
        undo = tampering.tamper(practice.pk, number, chance)
        found += [fault.number for fault in audit_chain.verify(practice.pk).faults] == [number]
        undo()
    return found


# --- secrets ---


def token_figures() -> Iterator[Figure]:
    """All tokens sealed anew while one process reads some and another renews others."""
    registration = ClientRegistration.objects.create(name="Bench tokens")
    practice = _practice("Bench Tokens", "TOKENS")
    link = Connection.objects.create(practice=practice, registration=registration, base_url="https://x.example/TOKENS")
    SystemToken.objects.bulk_create(
        SystemToken(connection=link, scope=f"s{number}", access_token=f"token-{number}") for number in range(TOKENS)
    )
    new = Fernet.generate_key().decode()
    both = [new, *settings.FIELD_KEYS]
    with override_settings(FIELD_KEYS=both):
        with _traffic(both) as traffic:
            began = time.perf_counter()
            told = resealing.everything()
            took = time.perf_counter() - began
        again = resealing.everything()
    with override_settings(FIELD_KEYS=[new]):
        lost = sum(not readable(row) for row in SystemToken.objects.filter(connection=link))
    name = f"{TOKENS} tokens re-encrypted, {traffic['read']} read and {traffic['renewed']} renewed meanwhile"
    yield Figure(name, round(took, 2), "s", 10)
    yield Figure("reads that went wrong meanwhile", traffic["wrong"], "", 0)
    yield Figure("tokens not readable with the new key alone", lost + told.unreadable + again.unreadable, "", 0)


@contextmanager
def _traffic(keys: list[str]) -> Iterator[dict[str, int]]:
    """Two other processes at work meanwhile; at the end, what they did."""
    env = os.environ | {"FIELD_KEYS": ",".join(keys)}
    command = [sys.executable, "-m", "bench.token_traffic"]
    with ExitStack() as stack:
        crew = [
            stack.enter_context(
                subprocess.Popen([*command, what], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for what in ("read", "renew")
        ]
        for each in crew:
            if each.stdout is None or each.stdout.readline() != "ready\n":
                raise RuntimeError("a process that was to use the tokens did not come up")
        done: dict[str, int] = {}
        yield done
        for each in crew:
            told, _ = each.communicate("")
            for what, count in json.loads(told).items():
                done[what] = done.get(what, 0) + count


# --- what the checks cost ---


def cost_figures() -> Iterator[Figure]:
    practice, client = _with_clinician("Bench Cost", "COSTLY")
    patient = patient_with(practice, 60)
    off: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "audit": lambda: mock.patch.object(audit, "record"),
        "second factor and session limits": _without_mfa,
        "isolation": lambda: _without_isolation(client, practice),
    }
    for what, without in off.items():
        cost = _cost(client, patient, without)
        yield Figure(f"history page: share of throughput {what} costs", round(100 * cost, 1), "%", 40)


@contextmanager
def _without_mfa() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(SecondFactorRequired, "process_view", return_value=None))
        stack.enter_context(mock.patch.object(SessionLimits, "process_view", return_value=None))
        yield


@contextmanager
def _without_isolation(client: Client, practice: Practice) -> Iterator[None]:
    standing = access.Standing(practice, "clinician")
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(access, "standings", return_value=(standing,)))
        stack.enter_context(mock.patch.object(access, "visible", lambda rows, user: rows))
        yield


def _cost(client: Client, patient: Patient, without: Callable[[], AbstractContextManager[Any]]) -> float:
    """1 - pages a second with / without, the two measured by turns."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for round_number in range(2 * ROUNDS):
        bare = round_number % 2 == 0
        with without() if bare else ExitStack():
            asking = Client(headers={"host": "127.0.0.1"})
            asking.cookies = client.cookies
            asking.get(f"/patients/{patient.pk}/")  # the middleware of this setting is loaded
            began = time.process_time()  # the processor's, so that what else runs here does not count
            for _ in range(3):
                if asking.get(f"/patients/{patient.pk}/").status_code != 200:
                    raise RuntimeError("the page is not shown")
            taken[bare].append(time.process_time() - began)
    return 1 - statistics.median(taken[True]) / statistics.median(taken[False])


# --- hostile servers and bodies ---


def url_figures() -> Iterator[Figure]:
    outcome = hostile.run()
    yield Figure("hostile URLs tried", outcome.tried, "", 200, at_least=True)
    yield Figure("bearers or assertions seen by hostile servers", outcome.stolen, "", 0)
    yield Figure("bearers and assertions seen by the honest server", outcome.honest, "", 1, at_least=True)


def body_figures() -> Iterator[Figure]:
    practice = _practice("Bench Bodies", "BODIES")
    outcome = bad_bodies.run(practice, each=90)
    print("\n".join(outcome.told[:10]), end="\n" * bool(outcome.told))
    yield Figure(f"distinct bad bodies of {outcome.families} families", outcome.tried, "", 5000, at_least=True)
    yield Figure("crashes on them", outcome.crashes, "", 0)
    yield Figure("good neighbours lost", outcome.lost, "", 0)
    yield Figure("quarantine counts that were not exact", outcome.miscounted, "", 0)
    yield Figure("slowest", round(outcome.slowest, 3), "s", 2)


# --- scripts and canaries ---


def script_figures() -> Iterator[Figure]:
    """Every payload in every text of a chart: the pages parsed, then opened in a real browser."""
    practice, client = _with_clinician("Bench Scripts", "SCRIPT")
    outcome = xss.run(client, practice, xss.PAYLOADS)
    print("\n".join(outcome.executable[:10]), end="\n" * bool(outcome.executable))
    name = f"payloads in every text of {outcome.types} resource types, {outcome.shown} pages with them"
    yield Figure(name, outcome.payloads, "", 120, at_least=True)
    yield Figure("executable nodes on them", len(outcome.executable), "", 0)
    yield from browser_figures()


def browser_figures() -> Iterator[Figure]:
    if not browsing.CHROMIUM.exists():
        print(f"{browsing.CHROMIUM} is missing: no figure of a real browser")
        return
    practice, client = _with_clinician("Bench Browser", "BROWSE")
    with browsing.serving() as base_url, browsing.chromium() as page:
        looked = browsing.look(page, base_url, client, practice, xss.PAYLOADS)
    print("\n".join(looked.complaints[:10]), end="\n" * bool(looked.complaints))
    yield Figure("their pages in Chromium", looked.pages, "", 3 * len(xss.PAYLOADS), at_least=True)
    yield Figure("scripts run, CSP violations and errors there", len(looked.complaints), "", 0)


def _with_clinician(name: str, code: str) -> tuple[Practice, Client]:
    practice = _practice(name, code)
    person = member(f"{code}@example.org".lower(), practice, "clinician")
    return practice, signed_in(person, Client(headers={"host": "127.0.0.1"}))


def canary_figures(world: probing.World) -> Iterator[Figure]:
    """Canaries lie in the rows the probes ask for."""
    for where, (looked_at, hits) in canaries.everywhere(world).items():
        print("\n".join(hits[:5]), end="\n" * bool(hits))
        yield Figure(f"canary secrets and names in {where}, {looked_at} looked at", len(hits), "", 0)


# --- isolation ---


def probe_figures(world: probing.World) -> Iterator[Figure]:
    """Last, as it asks for everything."""
    outcome = probing.run(probing.sample(probing.probes(world), SHARE, seed=20261122))
    if outcome.found:
        print(probing.told(outcome))
    yield Figure("probes asked", outcome.asked, "", 20_000, at_least=True)
    yield Figure("leaks, writes by strangers and crashes", len(outcome.found), "", 0)
    seeded = seeding.seeded()
    missed = [fault.name for fault in seeded if not fault.is_caught(world)]
    print("\n".join(missed), end="\n" * bool(missed))
    yield Figure("seeded faults", len(seeded), "", 25, at_least=True)
    yield Figure("seeded faults not caught", len(missed), "", 0)
