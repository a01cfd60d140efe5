"""`make audit`: what the product is made of, under which licences, and whether a vulnerability of it is published.

Exits 1 for a licence nobody has looked at, for requirements that do not fit together, and for what pip-audit finds. The
last needs pip-audit in .venv and the network; without it the run says so.
"""

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KNOWN = re.compile(
    r"MIT|BSD|Apache|ISC|Python Software Foundation|PSF|Mozilla Public License|MPL|LGPL|Lesser General Public|Unlicense"
    r"|Zope|HPND|CNRI|0BSD",
    re.IGNORECASE,
)


def pinned(path: Path) -> list[str]:
    """Names of the distributions a requirements file pins."""
    lines = path.read_text("utf-8").splitlines()
    return [found[1] for line in lines if (found := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", line))]


def licence(name: str) -> str:
    """As the distribution states it: the SPDX expression, its classifiers, or its own words."""
    told = metadata.metadata(name)
    classified = [
        line.rsplit("::", 1)[1].strip() for line in told.get_all("Classifier", []) if line.startswith("License ::")
    ]
    words = (told.get("License") or "").strip().splitlines()
    return told.get("License-Expression") or ", ".join(classified) or (words[0][:60] if words else "not stated")


def rows() -> list[tuple[str, str, str]]:
    """(name, version, licence) of everything pinned for the product."""
    names = [name for file in ("requirements.txt", "requirements-pdf.txt") for name in pinned(ROOT / file)]
    found = []
    for name in sorted(set(names), key=str.lower):
        try:
            found.append((name, metadata.version(name), licence(name)))
        except metadata.PackageNotFoundError:
            found.append((name, "not installed here", "not known here"))
    return found


def main() -> int:
    fine = True
    for name, version, terms in rows():
        known = KNOWN.search(terms) is not None or version == "not installed here"
        fine &= known
        sys.stdout.write(f"{name:28} {version:20} {terms}{'' if known else '   <- look at it'}\n")
    fine &= subprocess.run([sys.executable, "-m", "pip", "check"]).returncode == 0
    tool = shutil.which("pip-audit", path=f"{Path(sys.executable).parent}")
    if tool is None:
        sys.stdout.write("pip-audit is not in .venv: published vulnerabilities were not asked for.\n")
    else:
        fine &= subprocess.run([tool, "-r", str(ROOT / "requirements.txt")]).returncode == 0
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
