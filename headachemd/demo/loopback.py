"""JSON over HTTP to the demo's own processes; to nothing else."""

import json
import urllib.error
import urllib.request
from typing import Any


def get_json(url: str) -> Any:
    return _call(urllib.request.Request(_local(url)))  # noqa: S310 - see _local


def post_json(url: str, value: Any) -> Any:
    body = json.dumps(value).encode()
    return _call(urllib.request.Request(_local(url), data=body, headers={"Content-Type": "application/json"}))  # noqa: S310


def answers(url: str) -> bool:
    """True when something at the URL says 200."""
    try:
        with urllib.request.urlopen(_local(url), timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _local(url: str) -> str:
    if not url.startswith("http://127.0.0.1:"):
        raise ValueError("only this machine's own processes are spoken to here")
    return url


def _call(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        text = answer.read()
    return json.loads(text) if text else None
