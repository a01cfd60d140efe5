"""Documents: what came in by fax or was written here, with attachments nobody has indexed."""

import base64

from sandbox.charts.codings import LOINC, Json, coding, concept
from sandbox.charts.dates import instant
from sandbox.charts.pen import Pen

CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
# (text, LOINC of the type or "", content type)
KINDS = (
    ("Progress Note", "11506-3", "text/html"),
    ("Consult letter - neurology", "11488-4", "application/pdf"),
    ("outside records (fax) 14 pp", "", "image/tiff"),
    ("PA approval letter", "", "application/pdf"),
    ("Discharge Summary", "18842-5", "application/pdf"),
    ("HA diary scan", "", "image/jpeg"),
)


def document(pen: Pen, index: int, ago: int) -> Json:
    """One DocumentReference; a few carry the text itself, most an address."""
    text, loinc, content_type = KINDS[(index + pen.number) % len(KINDS)]
    attachment: Json = {"contentType": content_type, "title": text.lower()}
    if content_type == "text/html":
        attachment["data"] = base64.b64encode(b"<p>HA f/u, see flowsheet.</p>").decode()
    else:
        attachment["url"] = f"Binary/{pen.id('Binary', index)}"
    kind = concept(text, coding(LOINC, loinc, text)) if loinc else concept(text)
    return pen.head("DocumentReference", pen.day(ago), index) | {
        "status": "current",
        "type": kind,
        "category": [{"coding": [coding(CATEGORY, "clinical-note", "Clinical Note")]}],
        "subject": pen.patient,
        "date": instant(pen.day(ago), 700),
        "author": [pen.practitioner | {"display": "Front desk" if not loinc else "Okonkwo, Adaeze MD"}],
        "content": [{"attachment": attachment}],
    }


def superseded(pen: Pen, later: Json, ago: int) -> Json:
    """The version before an addendum, which stayed in the list."""
    return later | {"id": pen.id("DocumentReference", "old", ago), "status": "superseded"}


def documents(pen: Pen) -> list[Json]:
    """All DocumentReference resources of the patient."""
    rng = pen.dice("papers")
    found: list[Json] = []
    for index in range(pen.story.papers):
        ago = rng.randint(pen.story.last_visit + 2, max(pen.story.last_visit + 3, pen.story.first_visit))
        found.append(document(pen, index, ago))
        if index == 0 and pen.story.papers > 2:
            found.append(superseded(pen, found[0], ago))
    return found
