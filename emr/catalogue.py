"""The error catalogue: for each code the causes, the next step, who takes it, and whether we retry by ourselves.

Texts and signs are data (catalogue.toml). An answer is recognised by the OAuth code in whichever field holds it, then
by its words, then by its status (408 and 429 by that alone); an answer that fits nothing, or two codes equally well, is
unlisted and never guessed at. docs/errors.md is `markdown()`.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DOCUMENT = "docs/errors.md"
# Whatever else such an answer holds: the server gave up waiting, or the minute's calls are used up.
_SAY_ALL = frozenset({408, 429})
_WHO = {"we": "this site's admin", "vendor": "the vendor", "practice": "the practice", "nobody": "nobody"}


@dataclass(frozen=True)
class Sign:
    """Conditions that must all hold. `at`: what was asked; `status`: numbers, "4xx", "5xx"; `json`: None for either."""

    at: tuple[str, ...]
    oauth: tuple[str, ...] = ()
    text: str = ""
    status: tuple[int | str, ...] = ()
    json: bool | None = None

    @property
    def strength(self) -> int:
        """0 for an OAuth code, 1 for words, 2 for a status alone: the order of trial."""
        return 0 if self.oauth else 1 if self.text else 2

    def fits(self, seen: "Told") -> bool:
        return (
            seen.at in self.at
            and (not self.oauth or not seen.oauth.isdisjoint(self.oauth))
            and self.text.lower() in seen.text.lower()
            and (not self.status or seen.status in self.status or f"{seen.status // 100}xx" in self.status)
            and self.json in (None, seen.json)
        )


@dataclass(frozen=True)
class Told:
    """What a refusal says. `at`: what was asked (see catalogue.toml); `oauth`: the words of its error fields."""

    at: str
    status: int
    text: str = ""
    oauth: frozenset[str] = frozenset()
    json: bool = False


@dataclass(frozen=True)
class Explanation:
    """One entry. `listed` False: the reason is unknown. `severity`: wrong, or warning where work goes on without it."""

    code: str
    title: str
    causes: tuple[str, ...]
    next_step: str
    who: str
    retries: str
    severity: str = "wrong"
    listed: bool = True
    fallback: tuple[str, ...] = ()
    signs: tuple[Sign, ...] = ()

    @property
    def cause(self) -> str:
        """The causes in one text, the likeliest first."""
        return " ".join(self.causes)

    @property
    def who_acts(self) -> str:
        return _WHO[self.who]

    @property
    def todo(self) -> str:
        """What to do, and who does it, as one sentence."""
        return self.next_step if self.who == "nobody" else f"Next step, by {self.who_acts}: {self.next_step}"

    @property
    def link(self) -> str:
        return f"{DOCUMENT}#{self.code.lower()}"


def _read(code: str, row: Mapping[str, Any]) -> Explanation:
    signs = tuple(Sign(**_tuples(sign)) for sign in row.get("signs", ()))
    return Explanation(**(_tuples(row) | {"code": code, "signs": signs}))


def _tuples(row: Mapping[str, Any]) -> dict[str, Any]:
    """TOML's lists as tuples: entries are frozen."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


@cache
def _entries() -> dict[str, Explanation]:
    data = tomllib.loads((Path(__file__).parent / "catalogue.toml").read_text("utf-8"))
    return {code: _read(code, row) for code, row in data.items()}


def explain(code: str) -> Explanation:
    """The entry of this code; the entry UNKNOWN, under this code, when it is not listed."""
    entries = _entries()
    return entries.get(code) or Explanation(**(vars(entries["UNKNOWN"]) | {"code": code}))


def recognise(told: Told) -> str:
    """The code of a refusal; an unlisted code when nothing fits, or when two codes fit equally well."""
    for strength in range(2 if told.status in _SAY_ALL else 0, 3):
        found = {
            entry.code for entry in entries() for sign in entry.signs if sign.strength == strength and sign.fits(told)
        }
        if found:
            return found.pop() if len(found) == 1 else unlisted(told.at)
    return unlisted(told.at)


def unlisted(at: str) -> str:
    """The code that says "the reason is unknown" for what was asked."""
    return next((entry.code for entry in entries() if at in entry.fallback), "UNKNOWN")


def oauth_words(document: Mapping[str, Any] | None) -> frozenset[str]:
    """The texts of `error` and `error_description`, in either of which eClinicalWorks writes the OAuth code."""
    values = [(document or {}).get(name) for name in ("error", "error_description")]
    return frozenset(value for value in values if isinstance(value, str))


def entries() -> Sequence[Explanation]:
    """Every entry, in the catalogue's order."""
    return tuple(_entries().values())


def codes() -> frozenset[str]:
    return frozenset(_entries())


def markdown() -> str:
    """docs/errors.md: one section for each code, under the anchor that `Explanation.link` names."""
    return "\n".join(_document()) + "\n"


def _document() -> Iterator[str]:
    yield "# Error catalogue"
    yield ""
    yield "Made from `emr/catalogue.toml` by `manage.py doctor --catalogue`."
    for entry in entries():
        yield from ("", f"## {entry.code}", "", f"**{entry.title}**", "")
        yield from (f"{number}. {cause}" for number, cause in enumerate(entry.causes, 1))
        yield from ("", entry.todo, "")
        yield f"Tried again by itself: {entry.retries}."
        if entry.signs:
            yield from ("", "Recognised by:", "")
            yield from (f"- {_in_words(sign)}" for sign in entry.signs)


def _in_words(sign: Sign) -> str:
    said = [f"at {', '.join(sign.at)}"]
    said += [f"OAuth code {' or '.join(sign.oauth)}"] if sign.oauth else []
    said += [f"the words “{sign.text}”"] if sign.text else []
    said += [f"HTTP {' or '.join(map(str, sign.status))}"] if sign.status else []
    said += [f"{'a' if sign.json else 'no'} JSON object"] if sign.json is not None else []
    return ", ".join(said)
