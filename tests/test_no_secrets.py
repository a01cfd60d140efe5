"""The tree and the history hold none of the client ids, secrets and keys that circulate in older documents."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    line.strip()
    for line in (ROOT / "tests" / "forbidden.sha256").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
}
RUN = re.compile(rb"[A-Za-z0-9_-]{40,}|[A-Za-z0-9+/]{48,}")
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}")


def git(*command: str) -> bytes:
    return subprocess.run(["git", *command], cwd=ROOT, check=True, capture_output=True).stdout


def runs(content: bytes) -> set[bytes]:
    """Every run of token characters, and its parts, for a secret may stand right beside other characters."""
    return (
        set(RUN.findall(content))
        | set(re.findall(rb"[A-Za-z0-9_-]{40,}", content))
        | set(re.findall(rb"[A-Za-z0-9+/]{48,}", content))
    )


def offences(content: bytes) -> list[str]:
    found = [digest for run in runs(content) if (digest := hashlib.sha256(run).hexdigest()) in FORBIDDEN]
    return found + (["a private key"] if PRIVATE_KEY.search(content) else [])


def test_the_list_of_hashes_is_there() -> None:
    assert len(FORBIDDEN) >= 10
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in FORBIDDEN)


def test_the_tree_holds_no_forbidden_string() -> None:
    tracked = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    for name in filter(None, tracked):
        path = ROOT / name.decode()
        if path.is_file():
            assert offences(path.read_bytes()) == [], name


def test_the_history_holds_no_forbidden_string() -> None:
    if not git("rev-list", "--all", "--max-count=1"):
        pytest.skip("no history yet")
    assert offences(git("log", "--all", "-p", "--no-color", "--no-textconv")) == []


def test_the_scan_finds_what_it_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = "A" * 20 + "b" * 22
    monkeypatch.setitem(globals(), "FORBIDDEN", {hashlib.sha256(planted.encode()).hexdigest()})
    assert offences(f'client_id = "{planted}"'.encode()) != []
    assert offences(b"-----BEGIN PRIVATE KEY-----\n" + b"M" * 64) != []
    assert offences(b"nothing here") == []
