"""The people who can sign in: every patient, every clinician, and whoever looks after several patients."""

import json
import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.charts_store import ChartStore, StoredResource

# Shown on the sign-in page: these charts are invented, and the sandbox listens on loopback alone.
PASSWORD = "headache-sandbox"  # noqa: S105 - no secret
PROXY_USERNAME = "family"
CLINICIAN, PATIENT, PROXY = "clinician", "patient", "proxy"


@dataclass(frozen=True)
class Account:
    """One sign-in.

    Attributes:
        kind: ``patient``, ``clinician`` or ``proxy`` (somebody who looks after patients).
        fhir_user: the reference an id_token's fhirUser carries, relative to the base.
        patients: ids of the charts open to it; None for every chart of the practice.
    """

    username: str
    name: str
    kind: str
    fhir_user: str
    patients: tuple[str, ...] | None


class AccountError(ValueError):
    """Such an account cannot be made; the message says why."""


class Accounts:
    """The sign-ins of a practice, made from its charts; proxies can be added."""

    def __init__(self, charts: ChartStore) -> None:
        self._charts = charts
        self._lock = threading.Lock()
        self._added: dict[str, Account] = {}

    def all(self) -> list[Account]:
        """Everybody: added proxies, clinicians, the built-in proxy, patients."""
        people = self._charts.patients()
        taken: set[str] = set(self._added)
        clinicians = [one for one in self._charts.all() if one.resource_type == "Practitioner"]
        accounts = list(self._added.values())
        accounts += [_account(one, CLINICIAN, _name_of(one), taken) for one in clinicians]
        if len(people) > 1 and PROXY_USERNAME not in taken:
            taken.add(PROXY_USERNAME)
            accounts.append(_proxy(PROXY_USERNAME, tuple(person.id for person in people[:2])))
        accounts += [_account(one, PATIENT, display_name(one), taken) for one in people]
        return accounts

    def find(self, username: str) -> Account | None:
        """The account of that user name, in any case."""
        wanted = username.strip().lower()
        return next((account for account in self.all() if account.username == wanted), None)

    def add_proxy(self, username: str, patients: tuple[str, ...]) -> Account:
        """Lets one person sign in for several patients.

        Raises:
            AccountError: an unusable user name, or a patient without a chart.
        """
        if not re.fullmatch(r"[a-z0-9.-]{1,40}", username):
            raise AccountError("username takes up to 40 small letters, digits, dots and hyphens")
        unknown = [patient for patient in patients if ("Patient", patient) not in self._charts]
        if unknown or not patients:
            raise AccountError("patients must be ids of charts")
        account = _proxy(username, patients)
        with self._lock:
            self._added = {**self._added, username: account}
        return account

    def as_json(self) -> list[dict[str, Any]]:
        """All accounts with the password, for control."""
        return [asdict(account) | {"password": PASSWORD} for account in self.all()]


def may_open(account: Account, patient: str) -> bool:
    """True when the patient's chart is open to the account."""
    return account.patients is None or patient in account.patients


def display_name(patient: StoredResource) -> str:
    """``Given Family`` of a Patient, its id without a name."""
    name = patient.names[0] if patient.names else None
    return " ".join([*name.given[:1], name.family]).strip() or patient.id if name else patient.id


def _proxy(username: str, patients: tuple[str, ...]) -> Account:
    return Account(username, username.capitalize(), PROXY, f"RelatedPerson/{username}", patients)


def _account(resource: StoredResource, kind: str, name: str, taken: set[str]) -> Account:
    prefix = "dr." if kind == CLINICIAN else ""
    username = next(word for word in _usernames(f"{prefix}{_plain(name)}" or "somebody") if word not in taken)
    taken.add(username)
    patients = (resource.id,) if kind == PATIENT else None
    return Account(username, name, kind, f"{resource.resource_type}/{resource.id}", patients)


def _usernames(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}.{number}"
        number += 1


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return ".".join(re.findall(r"[a-z0-9]+", letters))


def _name_of(practitioner: StoredResource) -> str:
    """``Given Family`` as the resource has it; its id when it has none that can be read."""
    document = json.loads(practitioner.raw)
    names = document.get("name")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], dict) else {}
    given = name.get("given")
    words = [*(given[:1] if isinstance(given, list) else []), name.get("family")]
    return " ".join(word for word in words if isinstance(word, str)).strip() or practitioner.id
