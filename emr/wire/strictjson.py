"""JSON from servers we do not trust, read strictly.

Python's own reader accepts NaN, lets the last of two equal keys win, loses the digits of decimals (7.10
becomes 7.1) and passes on text PostgreSQL refuses to store. Here each of these is a fault of the one
resource that has it: its neighbours on the page live on, and its own bytes are kept for the quarantine.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_DEPTH = 100
MAX_DIGITS = 100
MAX_EXPONENT = 308  # what a double can hold: other readers of the same data turn more into infinity or zero

_SPACE = re.compile(r"[ \t\n\r]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_OPENERS = str.maketrans("[]", "{}")


class BadJSON(ValueError):
    """Text that is not JSON, or JSON we refuse. `reason` quotes nothing of the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(body: bytes) -> str:
    """UTF-8 bytes to text, a UTF-8 byte order mark dropped (RFC 8259 section 8.1). Raises BadJSON."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise BadJSON("not UTF-8")


def _constant(_: str) -> Any:
    raise BadJSON("NaN or Infinity is not JSON")


def _decimal(digits: str) -> Decimal:
    try:
        number = Decimal(digits)
    except InvalidOperation:
        raise BadJSON("a number is out of range") from None
    if len(digits) > MAX_DIGITS or not number.is_finite() or abs(number.adjusted()) > MAX_EXPONENT:
        raise BadJSON("a number is out of range")
    return number


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadJSON("a number is out of range")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadJSON("an object names a key twice")
    return members


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_decimal, parse_int=_integer, parse_constant=_constant
)


def loads(text: str) -> Any:
    """One JSON text (from `decode`) to objects; numbers with a fraction or exponent become Decimals.

    Raises BadJSON for anything RFC 8259 does not allow, and for NaN, Infinity, a key named twice in one
    object, nesting deeper than 100, numbers of more than 100 digits or beyond 1e308, lone surrogates,
    U+0000.
    """
    start = skip_space(text, 0)
    value, end = read_value(text, start)
    if skip_space(text, end) != len(text):
        raise BadJSON(f"text goes on after the value, at {end}")
    return value


def read_value(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start`, and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as exc:
        fault = f"{exc.msg} at {exc.pos}"
    except RecursionError:
        fault = f"nested deeper than {MAX_DEPTH}"
    else:
        _check_depth(text, start, end)
        _check_characters(text, start, end, value)
        return value, end
    raise BadJSON(fault)


def skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _check_depth(text: str, start: int, end: int) -> None:
    """Only for text that has been decoded: without its strings, its brackets fold away level by level."""
    if text.count("{", start, end) + text.count("[", start, end) <= MAX_DEPTH:
        return
    outside = text[start:end].replace("\\\\", "").replace('\\"', "").split('"')[::2]
    brackets = re.sub(r"[^{}]", "", "".join(outside).translate(_OPENERS))
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace("{}", "")
    if brackets:
        raise BadJSON(f"nested deeper than {MAX_DEPTH}")


def _check_characters(text: str, start: int, end: int, value: Any) -> None:
    if text.find("\\u", start, end) < 0:  # decoded UTF-8 brings neither any other way
        return
    for string in _strings(value):
        if "\x00" in string:
            raise BadJSON("a string holds U+0000")
        if _SURROGATE.search(string):
            raise BadJSON("a string holds half a character (lone surrogate)")


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            yield from one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def canonical(value: Any) -> bytes:
    """The same bytes for the same content: keys sorted, no spaces, UTF-8, decimals with all their digits.

    7.1 and 7.10 differ (a FHIR decimal's precision has meaning); 1.0E2 and 1.0e+2 do not. `value`: as from
    `loads`.
    """
    text = _ENCODER.encode(value)
    # loads lets no U+0000 through, so this mark cannot stand in a string of the content.
    return (_MARK.sub(r"\1", text) if '"\\u0000' in text else text).encode()


def _marked(number: object) -> str:
    if isinstance(number, Decimal):
        return f"\x00{number}"
    raise TypeError(f"{type(number).__name__} is not a JSON value")


_MARK = re.compile(r'"\\u0000([^"]*)"')
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_marked)


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()
