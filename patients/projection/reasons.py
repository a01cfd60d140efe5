"""Why something was ordered, done or planned, and whether that is a headache."""

import re
from dataclasses import dataclass

from patients.headaches import diagnoses
from patients.projection.readers import Body, codings, items, joined, reference, words_of

# Visit reasons are typed in haste: "HA f/u", "f/u H/A". In capitals only.
_SHORTHAND = re.compile(r"\bHAs?\b|\bH/A\b")


@dataclass(frozen=True, slots=True)
class Reason:
    """words: as recorded; headache_class: of each reason that is a headache, comma-separated, "" for none."""

    words: str = ""
    headache_class: str = ""


def read(body: Body) -> Reason:
    """What `reasonCode` and the displays of `reasonReference` state."""
    coded = items(body.get("reasonCode"))
    named = [reference(each).display for each in items(body.get("reasonReference"))]
    found = [diagnoses.classify(codings(each), words_of(each)) for each in (*coded, *named)]
    return Reason(
        words=joined([*map(words_of, coded), *named]),
        headache_class=joined([each.headache_class for each in found if each]),
    )


def spoken(words: str) -> str:
    """The headache class in free text in which HA stands for headache; "" for none."""
    found = diagnoses.from_text(_SHORTHAND.sub("headache", words)) if words else None
    return found.headache_class if found else ""
