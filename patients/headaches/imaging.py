"""Imaging of the head and neck, from the code or the name of a report, procedure or order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from patients.codes import Row, table
from patients.headaches.coding import LOINC, Coding

# CPT as FHIR names it, and as servers bred on C-CDA do.
CPT_SYSTEMS = frozenset({"http://www.ama-assn.org/go/cpt", "urn:oid:2.16.840.1.113883.6.12"})

# Venography and angiography before what they are made with.
_MODALITIES = (
    ("MRV", r"\bMRV\b|(?:\bMRI?|magnetic resonance)\s+veno\w+"),
    ("MRA", r"\bMRA\b|(?:\bMRI?|magnetic resonance)\s+angio\w+"),
    ("CTV", r"\bCTV\b|(?:\bCT|computed tomograph\w+)\s+veno\w+"),
    ("CTA", r"\bCTA\b|(?:\bCT|computed tomograph\w+)\s+angio\w+"),
    ("MRI", r"\bf?MRI?\b|magnetic resonance"),
    ("CT", r"\bCT\b|\bCAT scan|comput(?:ed|eri[sz]ed)(?: axial)? tomogra\w+"),
)
_REGIONS = (
    (
        "brain",
        # The heads of bones and organs are not the head.
        r"\bbrain\b|\bintracranial|\bcerebral\b|\bcranial\b|\bcranium\b"
        r"|(?<!femoral )(?<!humeral )(?<!radial )(?<!fibular )(?<!metatarsal )(?<!metacarpal )(?<!pancreatic )"
        r"\bhead\b(?! of\b)",
    ),
    ("orbit", r"\borbits?\b|\borbital\b"),
    ("sella", r"\bsella\b|\bpituitary\b"),
    ("posterior fossa", r"\bposterior fossa\b|\binternal auditory\b|\bIACs?\b"),
    ("neck vessels", r"\bcarotids?\b|\bvertebral arter\w+"),
    # "CT/NG cervical swab" is a laboratory test.
    ("cervical spine", r"\bcervical (?:spine|spinal|cord)\b|\bC[- ]?spine\b|\b(?:MRI?|CT) cervical\b"),
)
_NECK = re.compile(r"\bneck\b", re.I)
_ANGIOGRAPHY = frozenset({"MRA", "MRV", "CTA", "CTV"})
_PATTERNS = {name: re.compile(pattern, re.I) for pairs in (_MODALITIES, _REGIONS) for name, pattern in pairs}


@dataclass(frozen=True, slots=True)
class Study:
    """An imaging study of the head or neck.

    modality: MRI, MRA, MRV, CT, CTA or CTV; region: "brain", "head vessels", "neck vessels", "orbit", "sella",
    "posterior fossa", "cervical spine", several with commas; label: ours; matched_by: "code" or "text".
    """

    modality: str
    region: str
    label: str
    matched_by: str


def study(codings: Sequence[Coding], text: str = "") -> Study | None:
    """The study that codes (LOINC, CPT) or names state; None for any other, and for other parts of the body."""
    return _study(tuple(codings), text or "")


@lru_cache(maxsize=4096)
def _study(codings: tuple[Coding, ...], text: str) -> Study | None:
    for coding in codings:
        row = _by_code().get((_system(coding), coding.code.strip()))
        if row is not None:
            return Study(row["modality"], row["region"], row["label"], "code")
    for words in (text, *(coding.display for coding in codings)):
        if found := _from_words(words):
            return found
    return None


def _from_words(words: str) -> Study | None:
    plain = " ".join(words.replace("_", " ").split())
    modality = next((name for name, _ in _MODALITIES if _PATTERNS[name].search(plain)), "")
    if not modality:
        return None
    regions = [name for name, _ in _REGIONS if _PATTERNS[name].search(plain)]
    if modality in _ANGIOGRAPHY:
        regions = ["head vessels" if name == "brain" else name for name in regions]
        if _NECK.search(plain) and "neck vessels" not in regions:
            regions.append("neck vessels")
    if not regions:
        return None
    region = ", ".join(regions)
    return Study(modality, region, f"{modality} {region}", "text")


def _system(coding: Coding) -> str:
    if coding.vocabulary == LOINC:
        return "loinc"
    system = coding.system.strip().rstrip("/")
    # LOINC has a hyphen, CPT has not: a code without its system cannot be mistaken.
    return "cpt" if system in CPT_SYSTEMS or (not system and coding.code.strip().isdigit()) else ""


@cache
def _by_code() -> dict[tuple[str, str], Row]:
    return {(row["system"], row["code"]): row for row in table("imaging")}
