"""The vendors' lists of practices: a FHIR Bundle of Organizations and Endpoints, streamed into DirectoryEntry rows.

The lists are about 17,000 pairs in 15 MB. They are read entry by entry from a small buffer (json's own raw_decode at
a position), so that memory does not grow with the file; what is kept of an entry is its name, place and address.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any, BinaryIO

from django.db import transaction
from django.utils import timezone

from emr import profiles
from emr.models import DirectoryEntry
from emr.profiles import Profile
from emr.wire import origins
from emr.wire.errors import NeverAgain
from emr.wire.http import MIB, Door, Timeouts

CHUNK = 64 * 1024
MAX_VALUE = MIB  # of one entry
MAX_ENTRIES = 400_000
MAX_DOWNLOAD = 32 * MIB
BATCH = 500

_SPACE = re.compile(r"[ \t\n\r]*")
_AFTER = frozenset(" \t\n\r,:]}")
_CODE = re.compile(r"[A-Z]{6}")


class BadDirectory(Exception):
    """The file is no directory; the text says where it went wrong and quotes nothing of it."""


@dataclass(frozen=True)
class Listed:
    """One practice of a list, checked. `base_url` without trailing slash."""

    name: str
    city: str
    state: str
    code: str
    base_url: str
    portal: str


@dataclass
class Imported:
    """What an import did. unusable: reason → how many entries were left out for it."""

    new: int = 0
    changed: int = 0
    same: int = 0
    unusable: dict[str, int] = field(default_factory=dict)

    @property
    def listed(self) -> int:
        return self.new + self.changed + self.same

    def leave_out(self, reason: str) -> None:
        self.unusable[reason] = self.unusable.get(reason, 0) + 1


def import_file(source: BinaryIO, profile: Profile, *, now: datetime | None = None) -> Imported:
    """Bring a vendor's list into the directory. Again with the same list changes nothing but `seen_at`.

    Practices that a newer list leaves out stay, with an older `seen_at`: a connection may hang on them. Raises
    BadDirectory for a file that is no Bundle or breaks off; what came before that is kept.
    """
    told, now = Imported(), now or timezone.now()
    batch: dict[str, Listed] = {}
    try:
        for practice in _practices(entries(source), profile, told.leave_out):
            if practice.base_url in batch:
                told.leave_out("the same address twice")
                continue
            batch[practice.base_url] = practice
            if len(batch) >= BATCH:
                _store(batch, profile, told, now)
                batch = {}
    finally:
        _store(batch, profile, told, now)
    if not told.listed:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in told.unusable.items())
        raise BadDirectory(f"the list names no practice with an address ({reasons or 'it is empty'})")
    return told


def download(url: str, *, hosts: Iterable[str], insecure: Iterable[str] = ()) -> BinaryIO:
    """The list behind a URL, if its host is one of `hosts`; at most 32 MiB, within five minutes.

    Raises BadDirectory for another host or an answer that is not 200, and the door's WireErrors.
    """
    try:
        target = origins.parse(url)
    except NeverAgain as error:
        raise BadDirectory(f"this is not an address: {error.detail}") from None
    if target.host not in set(hosts):
        raise BadDirectory(f"{target.host} is not one of the hosts lists are fetched from: {', '.join(sorted(hosts))}")
    with Door(target.origin_url, insecure=frozenset(insecure)) as door:
        patience = Timeouts(read=60, wall=300)
        answer = door.get(url, headers={"Accept": "application/json"}, timeout=patience, max_bytes=MAX_DOWNLOAD)
    if answer.status != 200:
        raise BadDirectory(f"{target.host} answered {answer.status}")
    return BytesIO(answer.body)


# --- reading -------------------------------------------------------------------------------------------


def entries(source: BinaryIO) -> Iterator[Any]:
    """The values of the Bundle's `entry` list, one at a time. Raises BadDirectory."""
    reader = _Reader(source)
    reader.expect("{", "a JSON object")
    found = False
    for _ in reader.parts("}"):
        key = reader.value()
        reader.expect(":", "a colon")
        if key == "entry" and reader.peek() == "[" and not found:
            found = True
            reader.expect("[", "a list")
            for count, _ in enumerate(reader.parts("]")):
                if count >= MAX_ENTRIES:
                    raise BadDirectory(f"more than {MAX_ENTRIES} entries")
                yield reader.value()
        else:
            reader.value()
    if not found:
        raise BadDirectory("the file has no list of entries: it is not a FHIR Bundle")


class _Reader:
    """A buffer of text that moves along the file; a value that does not fit yet doubles it, up to MAX_VALUE."""

    def __init__(self, source: BinaryIO) -> None:
        self.source = source
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.parse = json.JSONDecoder().raw_decode
        self.text, self.at, self.passed, self.ended = "", 0, 0, False

    def _more(self, size: int = CHUNK) -> bool:
        if self.ended:
            return False
        data = self.source.read(size)
        self.ended = not data
        try:
            text = self.decode(data, final=self.ended)
        except UnicodeDecodeError:
            raise BadDirectory(f"the file is not UTF-8 text, after character {self.place}") from None
        self.passed += self.at
        self.text, self.at = self.text[self.at :] + text, 0
        return True

    @property
    def place(self) -> int:
        return self.passed + self.at

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            match = _SPACE.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def expect(self, mark: str, what: str) -> None:
        if self.peek() != mark:
            raise BadDirectory(f"{what} is expected at character {self.place}")
        self.at += 1

    def parts(self, closer: str) -> Iterator[None]:
        """One step for each member or element, commas and the closing bracket read on the way."""
        if self.peek() == closer:
            self.at += 1
            return
        while True:
            yield None
            if self.peek() == closer:
                self.at += 1
                return
            self.expect(",", f"a comma or {closer}")

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self.parse(self.text, self.at)
            except (json.JSONDecodeError, RecursionError):
                end = len(self.text)
            else:
                # A number may go on in the next chunk ("12", "12.", "12.5"): it ends where something follows it.
                if self.ended or self.text[end : end + 1] in _AFTER:
                    self.at = end
                    return value
            held = end - self.at
            if held > MAX_VALUE or not self._more(max(held, CHUNK)):
                raise BadDirectory(f"the value at character {self.place} is broken off, too large or not JSON")


# --- joining -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Organization:
    name: str
    city: str
    state: str


def _practices(items: Iterable[Any], profile: Profile, leave_out: Callable[[str], None]) -> Iterator[Listed]:
    """Endpoints with the Organization they belong to, whichever of the two comes first and whichever refers."""
    organizations: dict[str, _Organization] = {}
    owner_of: dict[str, str] = {}  # endpoint → organization that names it
    waiting: dict[str, tuple[str, str, str]] = {}  # endpoint → address, its own name, organization it names
    for resource in _resources(items, leave_out):
        fhir_id = _text(resource.get("id"))
        if resource.get("resourceType") == "Organization":
            organizations[fhir_id] = _organization(resource)
            for reference in _each(resource.get("endpoint")):
                owner_of[_reference(reference)] = fhir_id
        elif resource.get("resourceType") == "Endpoint":
            owner = _reference(resource.get("managingOrganization"))
            known = (_text(resource.get("address")), _text(resource.get("name")), owner)
            if owner in organizations:
                yield from _listed(known, organizations[owner], profile, leave_out)
            else:
                waiting[fhir_id] = known
    for fhir_id, known in waiting.items():
        owner = known[2] if known[2] in organizations else owner_of.get(fhir_id, "")
        yield from _listed(known, organizations.get(owner), profile, leave_out)


def _resources(items: Iterable[Any], leave_out: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    for item in items:
        resource = item.get("resource") if isinstance(item, dict) else None
        if not isinstance(resource, dict):
            leave_out("an entry without a resource")
            continue
        yield resource
        for inner in _each(resource.get("contained")):
            # An Endpoint inside its Organization belongs to it, and its id counts in there only.
            owner = _text(resource.get("id"))
            within = {"id": f"{owner}#{_text(inner.get('id'))}", "managingOrganization": {"reference": owner}}
            yield inner | within


def _organization(resource: dict[str, Any]) -> _Organization:
    address = next(iter(_each(resource.get("address"))), {})
    return _Organization(_text(resource.get("name")), _text(address.get("city"), 120), _text(address.get("state"), 60))


def _listed(
    known: tuple[str, str, str],
    organization: _Organization | None,
    profile: Profile,
    leave_out: Callable[[str], None],
) -> Iterator[Listed]:
    address, own_name, _ = known
    name = (organization.name if organization else "") or own_name
    try:
        base = origins.parse_base(address)
    except NeverAgain:
        leave_out("an endpoint without a usable address")
        return
    code = base.path.rpartition("/")[2]
    if base.scheme != "https" or not re.fullmatch(profile.base_path_pattern, base.path) or not _CODE.fullmatch(code):
        leave_out("an address that is not a practice's FHIR base URL")
    elif not name:
        leave_out("a practice without a name")
    else:
        portal = profile.connecting.portal_of_host(base.host)
        city, state = (organization.city, organization.state) if organization else ("", "")
        yield Listed(name, city, state, code, base.url, portal.name if portal else "")


def _each(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _text(value: Any, limit: int = 300) -> str:
    return " ".join(value.split())[:limit] if isinstance(value, str) else ""


def _reference(value: Any) -> str:
    """The id of a reference such as "Organization/17", relative or absolute."""
    return _text(value.get("reference")).rpartition("/")[2] if isinstance(value, dict) else ""


# --- storing -------------------------------------------------------------------------------------------

_FIELDS = ("name", "city", "state", "code", "portal")


@transaction.atomic
def _store(batch: dict[str, Listed], profile: Profile, told: Imported, now: datetime) -> None:
    """Insert or update by base URL: a handful of statements for a batch."""
    known = {row.base_url: row for row in DirectoryEntry.objects.filter(base_url__in=batch)}
    made, seen, changed = [], [], []
    for url, practice in batch.items():
        values = {name: getattr(practice, name) for name in _FIELDS} | {"vendor_profile": profile.key}
        row = known.get(url)
        if row is None:
            made.append(DirectoryEntry(base_url=url, seen_at=now, **values))
        elif all(getattr(row, name) == value for name, value in values.items()):
            seen.append(row.pk)
        else:
            for name, value in values.items():
                setattr(row, name, value)
            row.seen_at = now
            changed.append(row)
    DirectoryEntry.objects.bulk_create(made, batch_size=100)
    DirectoryEntry.objects.bulk_update(changed, [*_FIELDS, "vendor_profile", "seen_at"], batch_size=50)
    DirectoryEntry.objects.filter(pk__in=seen).update(seen_at=now)
    told.new, told.changed, told.same = told.new + len(made), told.changed + len(changed), told.same + len(seen)


def profile_keys() -> list[str]:
    return [key for key, _ in profiles.choices()]
