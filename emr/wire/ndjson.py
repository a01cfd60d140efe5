"""NDJSON as Bulk Data servers send it: read line by line in bounded memory, each line a fate of its own.

Source: HL7 FHIR Bulk Data Access 2.0.0, export.html, "File Request" and "Deleted files"; http://ndjson.org.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from emr.wire.answers import Timeouts
from emr.wire.fhir import Entry, entry_of
from emr.wire.http import MIB, Door, Stream
from emr.wire.refusals import Gone, not_fhir, refusal
from emr.wire.strictjson import BadJSON, decode

MAX_LINE = 20 * MIB
MAX_FILE = 4096 * MIB
# What is kept of a line too long to be read.
KEPT = 65_536

_TIMEOUTS = Timeouts(read=30.0, wall=60.0)
_DELETED = re.compile(r"([A-Z][A-Za-z]{0,63})/([A-Za-z0-9._-]{1,128})")


@dataclass(frozen=True)
class Line:
    """A line as received. number: from 1, blank lines counted. end: bytes of the file up to and with it.

    ended: with a line break. whole: False when only its beginning is here, as it is longer than MAX_LINE.
    """

    number: int
    end: int
    raw: bytes = field(repr=False)
    ended: bool = True
    whole: bool = True

    @property
    def is_blank(self) -> bool:
        return not self.raw.strip()

    @property
    def mark(self) -> str:
        """A short stand-in for its bytes: whether a file read again is the same file."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def entry(self) -> Entry:
        """The resource on it; what is none comes with the reason. Never raises."""
        if not self.whole:
            text = self.raw.decode("utf-8", "backslashreplace")
            return Entry(text, None, "", "", f"the line is longer than {MAX_LINE} bytes")
        try:
            return entry_of(decode(self.raw))
        except BadJSON as exc:
            return Entry(self.raw.decode("utf-8", "backslashreplace"), None, "", "", exc.reason)


@contextmanager
def opened(door: Door, url: str, bearer: str | None) -> Iterator[Iterator[Line]]:
    """The lines of one file; bearer None where the manifest asks for no token.

    Raises Gone BULK_JOB_LOST (the file is there no more), Unauthorized, Throttled, TryAgain FHIR_5XX, FHIR_NOT_FHIR
    (a web page), NeverAgain FHIR_LINK_FOREIGN (another host), NET_TOO_LARGE, and all of Door.stream, which may also
    come while lines are read.
    """
    headers = {"Accept": "application/fhir+ndjson"}
    with door.stream(url, headers=headers, bearer=bearer, timeout=_TIMEOUTS, max_bytes=MAX_FILE) as stream:
        _check(stream)
        yield split_lines(stream.pieces())


def _check(stream: Stream) -> None:
    answer = stream.answer
    if answer.status in {404, 410}:
        raise answer.error(Gone, "BULK_JOB_LOST", "the server does not know the file")
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    # ndjson, plain text and octet-stream are all met; a page in HTML is somebody else's answer.
    if "html" in answer.media_type or "xml" in answer.media_type:
        raise not_fhir(answer, "the file is a web page")


def split_lines(pieces: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Line]:
    """Lines of a body that comes in pieces. Never holds more than `max_line` bytes and one piece."""
    held, length, number, end = bytearray(), 0, 0, 0
    for piece in pieces:
        start = 0
        while (stop := piece.find(b"\n", start)) >= 0:
            length += stop - start
            end += stop + 1 - start
            number += 1
            yield _line(number, end, held + piece[start:stop], length, max_line)
            held, length, start = bytearray(), 0, stop + 1
        length += len(piece) - start
        end += len(piece) - start
        if length <= max_line:
            held += piece[start:]
        else:
            del held[KEPT:]
            held += piece[start : start + KEPT - len(held)]
    if length:
        yield _line(number + 1, end, held, length, max_line, ended=False)


def _line(number: int, end: int, raw: bytes | bytearray, length: int, max_line: int, *, ended: bool = True) -> Line:
    if length > max_line:
        return Line(number, end, bytes(raw[:KEPT]), ended, whole=False)
    return Line(number, end, bytes(raw), ended)


def deletions(bundle: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(type, id) of every resource that a line of a deleted file says is gone: a Bundle of DELETE requests."""
    entries = bundle.get("entry") if bundle.get("resourceType") == "Bundle" else None
    for entry in entries if isinstance(entries, list) else ():
        request = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(request, dict) or request.get("method") != "DELETE":
            continue
        match = _DELETED.fullmatch(request["url"]) if isinstance(request.get("url"), str) else None
        if match:
            yield match[1], match[2]
