"""The code an authenticator app would show (RFC 6238 with its defaults: SHA-1, 30 seconds, six digits)."""

import base64
import hmac
import secrets
import struct
import time

PERIOD = 30


def new_secret() -> str:
    """160 random bits, base32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code(secret: str, at: float | None = None) -> str:
    """The code of that moment (Unix seconds; now by default)."""
    counter = int(time.time() if at is None else at) // PERIOD
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", counter), "sha1")
    offset = digest[-1] & 15
    return f"{(int.from_bytes(digest[offset : offset + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


def seconds_left() -> int:
    """How long the code of this moment is still shown."""
    return PERIOD - int(time.time()) % PERIOD
