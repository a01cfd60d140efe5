"""`make audit`: what the product is made of, under which licences, and whether a vulnerability of it is published.

Exits 1 for a pinned distribution that is installed in another version, for a licence nobody has looked at, for
requirements that do not fit together, and for what pip-audit finds. pip-audit is no requirement of ours: it asks a
service on the internet about each distribution, which a closed machine cannot. Where it is installed it is run; where
it is not, the last line says that nobody was asked.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.metadata import PackageMetadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-pdf.txt")
# Licences that let this product be used and passed on. Each of those a distribution names must be one of them.
KNOWN = re.compile(
    r"MIT(-0|-CMU)?( License)?|(BSD-3-Clause|BSD-2-Clause|BSD License|BSD)|Apache(-2\.0| Software License)|PSF-2\.0"
    r"|Mozilla Public License 2\.0 \(MPL 2\.0\)|MPL-2\.0|LGPL-3\.0-only|ISC( License.*)?|Unlicense"
)
# What was looked at by a person, and what they saw.
LOOKED_AT = {
    ("qrcode", "Other/Proprietary License"): "its LICENSE file holds BSD and, for the code it came from, MIT",
    ("pyphen", "GNU General Public License v2 or later (GPLv2+)"): "one of three to choose from; taken under the LGPL",
    ("pyphen", "GNU Lesser General Public License v2 or later (LGPLv2+)"): "the one of three it is taken under",
    ("pyphen", "Mozilla Public License 1.1 (MPL 1.1)"): "one of three to choose from",
}


@dataclass(frozen=True)
class Part:
    """A pinned distribution. version: the installed one, "" for none. terms: its licences as it names them."""

    name: str
    wanted: str
    version: str
    terms: tuple[str, ...]

    @property
    def faults(self) -> list[str]:
        """What is not in order; nothing for what is not installed here (the PDF extra is optional)."""
        if not self.version:
            return []
        unknown = [each for each in self.terms if not KNOWN.fullmatch(each) and (self.name, each) not in LOOKED_AT]
        faults = [f"nobody has looked at its licence: {each}" for each in unknown]
        if not self.terms:
            faults.append("it names no licence")
        return faults if self.version == self.wanted else [*faults, f"{self.wanted} is pinned"]


def pinned(path: Path) -> dict[str, str]:
    """Distribution to version, of each that a requirements file pins; those of other platforms too."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)", path.read_text("utf-8"), re.MULTILINE)
    return dict(found)


def licences(told: PackageMetadata) -> tuple[str, ...]:
    """As the distribution states them: its SPDX expression (PEP 639) taken apart, its classifiers, or its own words."""
    for expression in told.get_all("License-Expression", []):
        return tuple(re.split(r" (?:AND|OR) ", expression))
    classifiers = [line for line in told.get_all("Classifier", []) if line.startswith("License :: ")]
    if classified := tuple(line.rsplit(" :: ", 1)[1] for line in classifiers):
        return classified
    return tuple(words.strip().splitlines()[0][:60] for words in told.get_all("License", []) if words.strip())


def part(name: str, wanted: str) -> Part:
    """That distribution as it is installed here."""
    try:
        return Part(name, wanted, metadata.version(name), licences(metadata.metadata(name)))
    except metadata.PackageNotFoundError:
        return Part(name, wanted, "", ())


def parts() -> list[Part]:
    """Everything pinned for the product, by name."""
    wanted = {name: version for file in REQUIREMENTS for name, version in pinned(ROOT / file).items()}
    return [part(name, wanted[name]) for name in sorted(wanted, key=str.lower)]


def published() -> bool:
    """Ask pip-audit, if it is installed, for vulnerabilities of what is pinned; False when it finds some or fails."""
    tool = shutil.which("pip-audit", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if tool is None:
        sys.stdout.write("pip-audit is not installed: nobody was asked for published vulnerabilities.\n")
        return True
    files = [word for file in REQUIREMENTS for word in ("-r", str(ROOT / file))]
    # What is pinned is all there is: nothing is resolved, downloaded or built for the question.
    return subprocess.run([tool, "--strict", "--no-deps", "--disable-pip", *files]).returncode == 0


def main() -> int:
    fine = True
    for each in parts():
        sys.stdout.write(f"{each.name:22} {each.version or 'not installed':14} {', '.join(each.terms)}\n")
        for fault in each.faults:
            sys.stdout.write(f"{'':22} ^ {fault}\n")
            fine = False
    sys.stdout.flush()
    fine &= subprocess.run([sys.executable, "-m", "pip", "check"]).returncode == 0
    fine &= published()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
