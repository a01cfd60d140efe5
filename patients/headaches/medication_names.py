"""Drug names in the free text of a medication: exact names by token, then a cautious spelling rule."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from patients.codes import split, table

_TOKEN = re.compile(r"[a-z]+|\d+(?:\.\d+)?|[#%]")
_INITIALS = re.compile(r"\b(?:[a-z]\.){2,}[a-z]?\b")
# Shorter names have too many neighbours: Norco, Frova, Botox are matched as written or not at all.
_SHORTEST_RESPELT = 7
_TWO_SLIPS_FROM = 11
_LONGEST_WORD = 30  # forms to look up grow with the square of the length


@dataclass(frozen=True, slots=True)
class Hit:
    """One name found in a text.

    ingredients: names of the ingredient table (or of the exclusion table), possibly none; reason: why the
    product is no headache product, "" for an ordinary name; written: the words matched; respelt: the name
    they were taken for when they are not spelt like it.
    """

    ingredients: tuple[str, ...]
    reason: str
    written: str
    respelt: str = ""


@dataclass(frozen=True, slots=True)
class _Name:
    tokens: tuple[str, ...]
    ingredients: tuple[str, ...]
    reason: str = ""
    only: str = ""


def tokens(text: str) -> tuple[str, ...]:
    """Lower-case words and numbers in order: letters and digits split ("Imitrex50mg"), initials joined."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = re.sub(r"['’]", "", "".join(letter for letter in plain if not unicodedata.combining(letter)))
    plain = _INITIALS.sub(lambda match: match[0].replace(".", ""), plain)
    return tuple(_TOKEN.findall(plain))


def find(words: Sequence[str]) -> list[Hit]:
    """Names in a token sequence, leftmost and longest first, never overlapping."""
    hits: list[Hit] = []
    place = 0
    while place < len(words):
        hit, length = _at(words, place, bool(hits))
        if hit:
            hits.append(hit)
        place += length
    return hits


def _at(words: Sequence[str], place: int, after_name: bool) -> tuple[Hit | None, int]:
    for name in _index().get(words[place], ()):
        length = len(name.tokens)
        if tuple(words[place : place + length]) == name.tokens and _allowed(name, words, place, after_name):
            return Hit(name.ingredients, name.reason, " ".join(name.tokens)), length
    return _respelt(words[place]), 1


def _allowed(name: _Name, words: Sequence[str], place: int, after_name: bool) -> bool:
    if name.only == "before a strength":
        following = words[place + 1 : place + 2]
        return bool(following) and following[0][0].isdigit()
    return after_name if name.only == "after another ingredient" else True


def _respelt(word: str) -> Hit | None:
    """The one name within a slip (two for long names) of a word that is no other known product's name."""
    if not _SHORTEST_RESPELT - 1 <= len(word) <= _LONGEST_WORD or not word.isalpha() or word in _lookalikes():
        return None
    near = {name: slips for name in _candidates(word) if (slips := _slips(word, name)) <= _tolerance(name)}
    if not near:
        return None
    fewest = min(near.values())
    best = [name for name, slips in near.items() if slips == fewest]
    products = {_single_names()[name] for name in best}
    return Hit(products.pop(), "", word, best[0]) if len(products) == 1 else None


def _candidates(word: str) -> set[str]:
    index = _deletions()
    found = {name for form in _shortened(word, 2) for name in index.get(form, ())}
    return {name for name in found if name[0] == word[0]}


def _tolerance(name: str) -> int:
    return 2 if len(name) >= _TWO_SLIPS_FROM else 1


def _slips(left: str, right: str) -> int:
    """Optimal string alignment distance: insertions, deletions, substitutions and swapped neighbours."""
    before: list[int] = []
    above = list(range(len(right) + 1))
    for row, a in enumerate(left, start=1):
        current = [row]
        for column, b in enumerate(right, start=1):
            cost = min(above[column] + 1, current[column - 1] + 1, above[column - 1] + (a != b))
            if row > 1 and column > 1 and a == right[column - 2] and left[row - 2] == b:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, above = above, current
    return above[-1]


def _shortened(word: str, letters: int) -> set[str]:
    """word and every form of it with up to so many letters left out."""
    forms = {word}
    edge = {word}
    for _ in range(letters):
        edge = {form[:i] + form[i + 1 :] for form in edge for i in range(len(form))}
        forms |= edge
    return forms


def _names() -> Iterator[_Name]:
    for row in table("medication_exclusions"):
        yield _Name(tokens(row["name"]), split(row["ingredients"]), row["reason"])
    for row in table("medication_combinations"):
        yield _Name(tokens(row["brand"]), split(row["ingredients"]))
    for row in table("rxnorm_ingredients"):
        for name in (row["name"], *split(row["brands"]), *split(row["synonyms"])):
            yield _Name(tokens(name), (row["name"],))
    yield _Name(tokens("botulinum toxin type a"), ("botulinum toxin type A",))
    for row in table("medication_misspellings"):
        yield _Name(tokens(row["written"]), split(row["ingredients"]))
    for row in table("medication_abbreviations"):
        yield _Name(tokens(row["written"]), split(row["ingredients"]), only=row["only"])


@cache
def _index() -> dict[str, tuple[_Name, ...]]:
    """Names by first token, longest first; of two equal ones the earlier table counts."""
    by_first: dict[str, list[_Name]] = {}
    for name in _names():
        by_first.setdefault(name.tokens[0], []).append(name)
    return {first: tuple(sorted(names, key=lambda name: -len(name.tokens))) for first, names in by_first.items()}


@cache
def _single_names() -> dict[str, tuple[str, ...]]:
    # Contraceptive brands are many and invented: never the target of a spelling rule.
    return {
        name.tokens[0]: name.ingredients
        for name in _names()
        if len(name.tokens) == 1
        and len(name.tokens[0]) >= _SHORTEST_RESPELT
        and not name.reason
        and not name.only
        and (name.ingredients != ("ethinyl estradiol",) or "estradiol" in name.tokens[0])
    }


@cache
def _deletions() -> dict[str, tuple[str, ...]]:
    """Symmetric-delete index: shortened form -> names, so a word is looked up without scanning all names."""
    index: dict[str, list[str]] = {}
    for name in _single_names():
        for form in _shortened(name, _tolerance(name)):
            index.setdefault(form, []).append(name)
    return {form: tuple(names) for form, names in index.items()}


@cache
def _lookalikes() -> frozenset[str]:
    return frozenset(row["name"] for row in table("medication_lookalikes"))
