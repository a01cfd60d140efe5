"""Log lines: JSON with a fixed list of fields in production, one plain line each while trying the product.

Nothing else than these fields gets out, whatever a logger was handed. Control characters are escaped, so that nobody
writes lines of their own (ASVS 5.0, 16.4.1); runs of characters that may be a secret are blotted out; of an
exception the type and the places are told, not its words, which may quote a row.
"""

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

# Of what a caller hands over with `extra`: names of ours whose values are never a patient's.
ALLOWED = ("status_code", "chain", "number", "digest", "task", "area")
FRAMES = 12

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
# Tokens, keys, JWTs, Fernet texts, links of invitations and resets: long runs, our own ids excepted.
_SECRET = re.compile(
    rf"(?P<id>{_UUID})"
    r"|(?P<word>\b(?:bearer|basic)\s+)\S+"
    r"|(?P<name>\b(?:code|state|nonce|password|\w*token|client_secret|client_assertion|code_verifier)=)[^\s&]+"
    r"|\beyJ[\w-]+(?:\.[\w-]+)+"
    r"|-----BEGIN [A-Z ]+-----.*"
    r"|[A-Za-z0-9_\-+=]{32,}",
    re.IGNORECASE | re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
BLOT = "[blotted out]"


def clean(text: str) -> str:
    """The text on one line, without what may be a secret."""
    return _CONTROL.sub(_escaped, _SECRET.sub(_blotted, text))


def _blotted(found: re.Match[str]) -> str:
    return found["id"] or f"{found['word'] or found['name'] or ''}{BLOT}"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def told(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a line, in order."""
    fields: dict[str, Any] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": clean(record.getMessage()),
    }
    fields |= {name: _plain(record.__dict__[name]) for name in ALLOWED if name in record.__dict__}
    if record.exc_info and record.exc_info[0] is not None:
        fields["exception"] = record.exc_info[0].__qualname__
        fields["places"] = places(record.exc_info[2])
    return fields


def places(trace: TracebackType | None) -> list[str]:
    """The innermost frames as "file:line function"; no values, no source lines."""
    frames = traceback.extract_tb(trace)[-FRAMES:]
    return [f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno} {frame.name}" for frame in frames]


def _plain(value: object) -> object:
    # A digest is a field of ours: it is meant to be read, and is cut to what a digest is.
    return value if isinstance(value, int | float) else _CONTROL.sub(_escaped, str(value))[:64]


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(told(record))


class PlainLines(logging.Formatter):
    """The same fields for a person's eyes."""

    def format(self, record: logging.LogRecord) -> str:
        fields = told(record)
        line = f"{fields['at'][:19]} {fields['level']} {fields['logger']} {fields['message']}"
        extra = [f"{name}={fields[name]}" for name in ALLOWED if name in fields]
        if "exception" in fields:
            extra += [fields["exception"], *(f"\n    {place}" for place in fields["places"])]
        return " ".join([line, *extra])
