"""Patient (FHIR R4 8.1) → how staff see and find the patient."""

import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta

from patients.headaches import dates
from patients.projection.readers import Body, items, joined, keywords, node, nodes, own_id, text, texts

_SEXES = {
    "male": "Male", "m": "Male",
    "female": "Female", "f": "Female",
    "other": "Other", "o": "Other",
    "unknown": "Unknown", "u": "Unknown", "un": "Unknown",
}  # fmt: skip
_NAME_USES = {"official": 0, "usual": 1, "": 2}
_PAST_NAME_USES = {"old", "maiden"}
# HL7 v2 table 0203: numbers of the person, not of the chart; a social security number is never shown.
_NOT_AN_ACCOUNT = {
    "ss", "sb", "dl", "ppn", "tax", "ni", "mc", "ma", "mb",
    "social-security-number", "driver's-license", "passport-number",
}  # fmt: skip
_ACCOUNT = {"mr", "mrn", "medical-record-number"}
_SSN_SYSTEMS = {"http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"}
_LETTERS = str.maketrans({
    "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "’": "'",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Demographics:
    """The columns of a Patient row that come from the EMR.

    replaced_by, see_also: FHIR ids in the same practice, "" for none.
    """

    family: str = ""
    given: str = ""
    title: str = ""
    suffix: str = ""
    birth_date: date | None = None
    birth_precision: str = ""
    sex: str = ""
    account_no: str = ""
    deceased: bool = False
    deceased_on: date | None = None
    replaced_by: str = ""
    see_also: str = ""
    search_text: str = ""


def folded(words: str) -> str:
    """Lower case without accents: how Patient.search_text is kept and must be searched."""
    plain = unicodedata.normalize("NFKD", words.casefold().translate(_LETTERS))
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).split())


def demographics(body: Body, today: date, practice_code: str = "") -> Demographics:
    """Who this Patient resource is about. `active: false` hides nobody: healow sends it for the living."""
    name = _name(body, today)
    family, given = name.family, name.given
    born = dates.parse(text(body.get("birthDate")))
    if born is not None and born.value > today:
        born = None
    deceased, deceased_on = _death(body, born, today)
    account_no = _account_no(body)[:64]
    gender = text(body.get("gender"))
    search = folded(f"{family} {given} {account_no}"), folded(f"{given} {family}")
    return Demographics(
        family=family[:200],
        given=given[:200],
        title=name.title[:50],
        suffix=name.suffix[:50],
        birth_date=born.value if born else None,
        birth_precision=born.precision if born else "",
        sex=_SEXES.get(gender.lower(), gender)[:20],
        account_no=account_no,
        deceased=deceased,
        deceased_on=deceased_on,
        replaced_by=_linked(body, {"replaced-by"}, practice_code),
        see_also=_linked(body, {"seealso", "refer"}, practice_code),
        search_text=" ".join(dict.fromkeys(search))[:600].strip(),
    )


@dataclass(frozen=True, slots=True)
class _Name:
    family: str = ""
    given: str = ""
    title: str = ""
    suffix: str = ""


def _name(body: Body, today: date) -> _Name:
    """The name in force: official, usual, unmarked, others, then past ones."""
    names = [(_rank(each, today), _parts(each)) for each in items(body.get("name"))]
    named = [(rank, name) for rank, name in names if name.family or name.given]
    return min(named, key=lambda each: each[0])[1] if named else _Name()


def _parts(name: object) -> _Name:
    human = node(name)
    family = joined(texts(human.get("family")), " ")
    given = " ".join(texts(human.get("given")))
    if not family and not given:
        family, _, given = (text(name) or text(human.get("text"))).partition(",")
    title, suffix = (" ".join(texts(human.get(part))) for part in ("prefix", "suffix"))
    return _Name(family.strip(), given.strip(), title, suffix)


def _rank(name: object, today: date) -> tuple[bool, int]:
    human = node(name)
    use = text(human.get("use")).lower()
    ended = dates.parse(text(node(human.get("period")).get("end")))
    past = use in _PAST_NAME_USES or (ended is not None and ended.last < today)
    return past, _NAME_USES.get(use, 3)


def _account_no(body: Body) -> str:
    """The chart's number: typed MR, else use "secondary" (healow), else the first that may be one."""
    fhir_id = text(body.get("id"))
    found: list[tuple[int, str]] = []
    for identifier in nodes(body.get("identifier")):
        value = text(identifier.get("value"))
        types = keywords(identifier.get("type"))
        use = text(identifier.get("use")).lower()
        if not value or value == fhir_id or use == "old" or types & _NOT_AN_ACCOUNT:
            continue
        if text(identifier.get("system")) in _SSN_SYSTEMS:
            continue
        found.append((0 if types & _ACCOUNT else 1 if use == "secondary" else 2, value))
    return min(found, key=lambda each: each[0])[1] if found else ""


def _death(body: Body, born: dates.PartialDate | None, today: date) -> tuple[bool, date | None]:
    """Whether and when. A death before birth or 1901, or in the future, is a filler (healow: 1899-12-30)."""
    died = dates.parse(text(body.get("deceasedDateTime")), deceased=True)
    if died is not None and (born is None or died.last >= born.value) and died.value <= today + timedelta(days=1):
        return True, died.value if died.precision in {"day", "time"} else None
    flag = body.get("deceasedBoolean")
    return flag is True or text(flag).lower() == "true", None


def _linked(body: Body, types: set[str], practice_code: str) -> str:
    """The first other Patient of this practice to which a link of these types (R4 8.1.2 Patient.link) points."""
    for link in nodes(body.get("link")):
        target = own_id(link.get("other"), "Patient", practice_code)
        if keywords(link.get("type")) & types and target not in {"", text(body.get("id"))}:
            return target[:128]
    return ""
