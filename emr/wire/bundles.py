"""A Bundle taken apart without touching a byte of its resources.

The envelope is walked member by member; each resource is read strictly on its own. A fault inside one entry
costs that entry: its end is found by brackets and strings alone, its bytes are kept for the quarantine.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from emr.wire.strictjson import BadJSON, read_value, skip_space

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(_STRING + r'|["{}\[\]]', re.DOTALL)
_SCALAR = re.compile(_STRING + r'|[^\s,{}\[\]":]+', re.DOTALL)
_PLAIN_KEY = re.compile(r'"([A-Za-z_]+)":[ \t\n\r]*')
_CLOSER = {"{": "}", "[": "]"}


class TooManyEntries(BadJSON):
    """A Bundle with more entries than the caller allows."""


@dataclass(frozen=True)
class Slice:
    """One entry of a Bundle, or one resource.

    text: the resource byte for byte as received; for an entry without a usable resource member, the whole
    entry. resource: the strictly read object, or None with the reason in `fault`. mode: entry.search.mode.
    """

    text: str = field(repr=False)
    resource: dict[str, Any] | None = field(repr=False)
    fault: str | None = None
    mode: str | None = None


@dataclass(frozen=True)
class Envelope:
    """What stands around the resources of a Bundle. `members`: every other member of the root object.

    links: (relation, url) as received; a link that is not a pair of strings has "" in its place. total: as
    the server says, which may be wrong; None when absent. entries: in the order of the page.
    """

    resource_type: str | None
    links: tuple[tuple[str, str], ...]
    total: int | None
    entries: tuple[Slice, ...] = field(repr=False)
    members: dict[str, Any] = field(repr=False)


def split_bundle(text: str, *, max_entries: int = 2000) -> Envelope:
    """Take a Bundle apart. A fault inside one entry costs that entry only.

    Raises BadJSON when the root is not an object, when the text is broken off or its brackets do not match,
    or when the envelope itself is not strict JSON; TooManyEntries for more than `max_entries`.
    """
    members: dict[str, Any] = {}
    entries: tuple[Slice, ...] = ()
    position = skip_space(text, 0)
    if text[position : position + 1] != "{":
        raise BadJSON("not a JSON object")
    cursor = _Cursor(text, position)
    for key in cursor.members():
        if key in members:
            raise BadJSON("the Bundle names a key twice")
        if key == "entry" and text.startswith("[", cursor.position):
            entries = tuple(_entries(cursor, max_entries))
            members[key] = None
        else:
            members[key], cursor.position = read_value(text, cursor.position)
    if members.pop("entry", None) is not None:
        raise BadJSON("entry is not a list")
    if skip_space(text, cursor.position) != len(text):
        raise BadJSON("text goes on after the Bundle")
    return _envelope(members, entries)


def slice_resource(text: str) -> Slice:
    """One resource that came alone. Raises BadJSON for text that is no object, broken off or goes on."""
    start = skip_space(text, 0)
    if text[start : start + 1] != "{":
        raise BadJSON("not a JSON object")
    cursor = _Cursor(text, start)
    resource, fault = cursor.object_or_fault()
    if skip_space(text, cursor.position) != len(text):
        raise BadJSON("text goes on after the resource")
    return Slice(text[start : cursor.position], resource, fault)


def _envelope(members: dict[str, Any], entries: tuple[Slice, ...]) -> Envelope:
    resource_type, total, links = (members.get(key) for key in ("resourceType", "total", "link"))
    return Envelope(
        resource_type=resource_type if isinstance(resource_type, str) else None,
        links=tuple(_link(link) for link in links) if isinstance(links, list) else (),
        total=total if isinstance(total, int) and not isinstance(total, bool) else None,
        entries=entries,
        members=members,
    )


def _link(link: Any) -> tuple[str, str]:
    relation, url = (link.get("relation"), link.get("url")) if isinstance(link, dict) else (None, None)
    return (relation if isinstance(relation, str) else "", url if isinstance(url, str) else "")


def _entries(cursor: "_Cursor", max_entries: int) -> Iterator[Slice]:
    for count, _ in enumerate(cursor.items(), start=1):
        if count > max_entries:
            raise TooManyEntries(f"more than {max_entries} entries")
        yield _entry(cursor)


def _entry(cursor: "_Cursor") -> Slice:
    """The entry at the cursor: as an object with a resource; if that cannot be, as text with a reason."""
    text, start = cursor.text, cursor.position
    if text[start : start + 1] != "{":
        cursor.pass_value()
        return Slice(text[start : cursor.position], None, "the entry is not an object")
    found: list[Slice] = []
    mode: str | None = None
    try:
        for key in cursor.members():
            begin = cursor.position
            member, fault = cursor.object_or_fault()
            if key == "resource":
                found.append(Slice(text[begin : cursor.position], member, fault))
            elif key == "search" and member is not None:
                mode = member["mode"] if isinstance(member.get("mode"), str) else None
    except BadJSON as exc:
        cursor.position = start
        cursor.pass_value()
        return Slice(text[start : cursor.position], None, exc.reason)
    if len(found) == 1:
        return Slice(found[0].text, found[0].resource, found[0].fault, mode)
    fault = "the entry names resource twice" if found else "the entry has no resource"
    return Slice(text[start : cursor.position], None, fault, mode)


class _Cursor:
    """Walks one object or array member by member; the caller moves `position` past each value."""

    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.position = position

    def members(self) -> Iterator[str]:
        """The keys of the object at the position; at each, the position is where its value begins."""
        for _ in self._steps("}"):
            # Nearly all keys are plain: one look instead of four, twice for each of a thousand entries.
            if plain := _PLAIN_KEY.match(self.text, self.position):
                self.position = plain.end()
                yield plain[1]
                continue
            if self.text[self.position : self.position + 1] != '"':
                raise BadJSON(f"a key is expected at {self.position}")
            key, after = read_value(self.text, self.position)
            colon = skip_space(self.text, after)
            if self.text[colon : colon + 1] != ":":
                raise BadJSON(f"a colon is expected at {colon}")
            self.position = skip_space(self.text, colon + 1)
            yield key

    def items(self) -> Iterator[None]:
        """One step for each element of the array at the position, which is where the element begins."""
        yield from self._steps("]")

    def _steps(self, closer: str) -> Iterator[None]:
        self.position = skip_space(self.text, self.position + 1)
        if self.text[self.position : self.position + 1] == closer:
            self.position += 1
            return
        while True:
            yield None
            self.position = skip_space(self.text, self.position)
            mark = self.text[self.position : self.position + 1]
            self.position += 1
            if mark == closer:
                return
            if mark != ",":
                raise BadJSON(f"a comma or {closer} is expected at {self.position - 1}")
            self.position = skip_space(self.text, self.position)

    def object_or_fault(self) -> tuple[dict[str, Any] | None, str | None]:
        """Read the value at the position strictly and go behind it, also when it cannot be read."""
        start = self.position
        try:
            value, self.position = read_value(self.text, start)
        except BadJSON as exc:
            self.pass_value()
            return None, exc.reason
        if isinstance(value, dict):
            return value, None
        return None, "not an object"

    def pass_value(self) -> None:
        """Go behind the value at the position by brackets and strings alone; BadJSON if it never ends."""
        if self.text[self.position : self.position + 1] not in _CLOSER:
            scalar = _SCALAR.match(self.text, self.position)
            if scalar is None:
                raise BadJSON(f"a value is expected at {self.position}")
            self.position = scalar.end()
            return
        open_brackets: list[str] = []
        for token in _TOKEN.finditer(self.text, self.position):
            mark = token[0]
            if mark in _CLOSER:
                open_brackets.append(_CLOSER[mark])
            elif mark == '"':  # a string that does not end: what looks like a bracket behind it is none
                break
            elif mark in ("}", "]"):
                if open_brackets.pop() != mark:
                    raise BadJSON(f"the brackets do not match at {token.start()}")
                if not open_brackets:
                    self.position = token.end()
                    return
        raise BadJSON("the text is broken off")
