"""What is installed is what somebody looked at: every file of every distribution is pinned by its hash."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests import dependencies

LISTS = ("requirements.txt", "requirements-dev.txt", "requirements-pdf.txt")
SHA256 = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def blocks(text: str) -> list[str]:
    """One for each requirement, with the lines that go on with it; comments left out."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    return [" ".join(line.split()) for line in lines]


def plain(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", LISTS)
def test_every_requirement_is_one_version_with_its_hashes(name: str) -> None:
    found = blocks((dependencies.ROOT / name).read_text("utf-8"))
    assert len(found) > 10
    for block in found:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^\s;]+( ;[^-]*| )", block), block
        assert SHA256.search(block), block
        assert not re.search(r"https?:|--(extra-)?index-url|--find-links|--trusted-host", block), block


def test_lists_agree_and_hold_what_is_named_with_a_reason() -> None:
    project = tomllib.loads((dependencies.ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    wanted = {
        "requirements.txt": project["project"]["dependencies"],
        "requirements-dev.txt": groups["dev"],
        "requirements-pdf.txt": groups["pdf"],
    }
    versions: dict[str, set[str]] = {}
    for name in LISTS:
        pins = {plain(each): version for each, version in dependencies.pinned(dependencies.ROOT / name).items()}
        for each, version in pins.items():
            versions.setdefault(each, set()).add(version)
        assert {plain(re.split(r"[\[<>=]", each)[0]) for each in wanted[name]} <= pins.keys()
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def wheel(folder: Path) -> None:
    """vine, as somebody else would have it: the right name and version, another file."""
    version = dependencies.pinned(dependencies.ROOT / "requirements.txt")["vine"]
    with zipfile.ZipFile(folder / f"vine-{version}-py3-none-any.whl", "w") as archive:
        about = f"vine-{version}.dist-info"
        archive.writestr("vine.py", "")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: vine\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


def test_a_file_that_nobody_pinned_is_refused(tmp_path: Path) -> None:
    wheel(tmp_path)
    ours = next(block for block in blocks((dependencies.ROOT / "requirements.txt").read_text()) if "vine==" in block)
    for pin, taken in ((ours, False), (ours.split(" ")[0], True)):
        (tmp_path / "list.txt").write_text(pin)
        pip = [sys.executable, "-m", "pip", "--isolated", "install", "--no-index", "--find-links", str(tmp_path)]
        into = ["--target", str(tmp_path / "into"), "--no-deps", "-r", str(tmp_path / "list.txt")]
        done = subprocess.run([*pip, *into], capture_output=True, text=True)
        assert (done.returncode == 0) is taken, done.stderr
        assert taken or "DO NOT MATCH THE HASHES" in done.stderr
