"""Names of people and places that a record refers to without naming them (FHIR R4 Reference.display is optional)."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from emr.models import Resource
from patients.projection.readers import Body, items, joined, load, node, nodes, own_id, text, texts

Key = tuple[str, str]


def fill(bodies: Iterable[tuple[str, Body]], practice_id: UUID, practice_code: str) -> None:
    """Write the name of the practice's own record into references without one. One query, if there are any."""
    nameless: dict[Key, list[Body]] = {}
    for type_, body in bodies:
        for reference in _references(type_, body):
            for kind in Resource.NAMED:
                if found := own_id(reference, kind, practice_code):
                    nameless.setdefault((kind, found), []).append(reference)
    if not nameless:
        return
    rows = Resource.objects.filter(
        practice_id=practice_id,
        resource_type__in={kind for kind, _ in nameless},
        fhir_id__in={found for _, found in nameless},
    )
    for kind, fhir_id, said in rows.values_list("resource_type", "fhir_id", "body"):
        for reference in nameless.get((kind, fhir_id), ()):
            reference["display"] = name_of(load(said))


def _references(type_: str, body: Body) -> Iterator[Body]:
    """The references of the shown elements that have no display."""
    waiting = [part for element in Resource.NAMES_SHOWN.get(type_, ()) for part in items(body.get(element))]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            if text(one.get("reference")) and not text(one.get("display")):
                yield one
            waiting.extend(one.values())


def name_of(body: Body) -> str:
    """ "Okonkwo, Adaeze MD" of a person; a place's or organization's name; "" when the record has none."""
    if isinstance(body.get("name"), str):
        return text(body.get("name"))
    names = nodes(body.get("name"))
    official = next((each for each in names if text(each.get("use")) in {"official", "usual"}), node(names))
    given = joined([*texts(official.get("given")), *texts(official.get("suffix"))], " ")
    return text(official.get("text")) or joined([text(official.get("family")), given])
