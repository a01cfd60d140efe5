"""Pieces that the sections of a history page are made of: words and addresses, nothing to compute."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Link:
    """text names what opens: "Sumatriptan 100 mg tablet (05-Oct-2026, medication order)"."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What a figure rests on, latest first. count: of all; links: the first few of them; all_href: "" or the list
    that holds the rest."""

    count: int = 0
    links: tuple[Link, ...] = ()
    all_href: str = ""

    @property
    def hidden(self) -> int:
        return self.count - len(self.links)


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence with what it rests on. mark: "", "warn" or "bad"."""

    text: str
    sources: Sources = Sources()
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One box of the headline strip. big: the figure, "" when there is none; absent: then why."""

    key: str
    title: str
    big: str = ""
    said: tuple[Said, ...] = ()
    absent: str = ""
    action: Link | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A dated row of a short list. about, words: what goes below title; tags: what a reader should notice."""

    title: str
    when: str
    meaning: str = ""
    about: str = ""
    words: str = ""
    status: str = ""
    tags: tuple[str, ...] = ()
    href: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """rows: those shown; count: all; absent: why there is none."""

    rows: tuple[Row, ...] = ()
    count: int = 0
    absent: str = ""

    @property
    def hidden(self) -> int:
        return self.count - len(self.rows)


def plain(value: Any) -> Any:
    """Dataclasses as mappings (with their properties), tuples as lists: what JSON keeps and a template reads."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no part of a page")
    names = [field.name for field in fields(value)]
    names += [name for name, made in vars(type(value)).items() if isinstance(made, property)]
    return {name: plain(getattr(value, name)) for name in names}
