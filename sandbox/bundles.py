"""Searchset Bundles written around the resources' own text."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

# The vendor writes this into every Bundle: the total says nothing, not even of an empty result.
LYING_TOTAL = 50


@dataclass(frozen=True)
class Entry:
    """One entry: ``raw`` is the resource's JSON text, put in as it is."""

    full_url: str
    raw: bytes
    mode: str = "match"


@dataclass(frozen=True)
class Page:
    """One page of a search result; links are (relation, URL)."""

    id: str
    links: tuple[tuple[str, str], ...]
    entries: tuple[Entry, ...]
    total: int | None = LYING_TOTAL


def render(page: Page) -> bytes:
    """The Bundle's bytes; the ``entry`` key is absent when nothing was found."""
    links = [{"relation": relation, "url": url} for relation, url in page.links]
    head = {
        "resourceType": "Bundle",
        "id": page.id,
        "type": "searchset",
        "link": links,
    } | ({} if page.total is None else {"total": page.total})
    text = json.dumps(head).encode()
    if not page.entries:
        return text
    return text[:-1] + b', "entry": [' + b",".join(_render_entries(page.entries)) + b"]}"


def _render_entries(entries: Iterable[Entry]) -> Iterable[bytes]:
    for entry in entries:
        url, mode = json.dumps(entry.full_url).encode(), json.dumps(entry.mode).encode()
        yield b'{"fullUrl":%b,"resource":%b,"search":{"mode":%b}}' % (url, entry.raw, mode)
