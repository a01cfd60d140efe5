"""Good resources, damaged at random: nothing may raise, nothing may read "None" or a zero date."""

import copy
import json
from dataclasses import asdict
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patients.projection import gathering
from patients.projection.patient import demographics
from patients.projection.readers import load
from patients.projection.rebuild import READERS
from tests.projection.bodies import everything, happenings, medication, order
from tests.projection.test_patient import TODAY

ZERO_DATE = "1899-12-30T00:00:00-05:00"
BY_REFERENCE = order(medicationReference={"reference": "Medication/med1"}, medicationCodeableConcept=None)
GOOD = [*everything(), BY_REFERENCE, *happenings()]

rubbish = st.one_of(
    st.sampled_from([None, True, False, ZERO_DATE, "", "x", "#", 0, -1, 10**30, 1e300, [], {}, [[]], [None], {"": {}}]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-99, 99) | st.text("aZ5é-/# <\0\ud800", max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "coding",
                        "text",
                        "value",
                        "code",
                        "display",
                        "reference",
                        "unit",
                        "start",
                        "repeat",
                        "answer",
                        "extension",
                    ]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=6,
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, each in keys for found in [(*path, key), *places(each, (*path, key))]]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A good resource with up to four places replaced, wrapped, removed or made an extension."""
    body = copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([each for each in places(body) if each != ("resourceType",)]))
        parent = body
        for key in path[:-1]:
            parent = parent[key]
        how = draw(st.sampled_from(["replace", "replace", "wrap", "remove", "extension"]))
        if how == "replace":
            parent[path[-1]] = copy.deepcopy(draw(rubbish))  # drawn lists are shared
        elif how == "wrap":
            parent[path[-1]] = draw(st.sampled_from([lambda each: [each], lambda each: {"value": each}]))(
                parent[path[-1]]
            )
        else:
            gone = parent.pop(path[-1])
            if how == "extension" and isinstance(parent, dict):
                parent[f"_{path[-1]}"] = {"extension": [{"valueCode": "unknown", "was": gone}]}
    return body


def check(body: dict[str, Any]) -> int:
    received = load(json.dumps(body))
    if received["resourceType"] == "Patient":
        shown = demographics(received, TODAY)
        words = " ".join(value for value in asdict(shown).values() if isinstance(value, str))
        assert "None" not in words
        assert "1899" not in words
        return 1
    type_ = received["resourceType"]
    chart = gathering.chart([(type_, received)], "AAAAAA", {"med1": medication()})
    facts = [gathering.at_visit(fact, type_, received, chart) for fact in READERS[type_](received, chart)]
    for fact in facts:
        columns = fact.columns()
        texts = {key: each for key, each in columns.items() if each is not None and key != "fingerprint"}
        words = json.dumps(texts, default=str)
        assert "None" not in words
        assert "null" not in words
        assert "1899" not in words
        assert fact.title
        assert len(columns["title"]) <= 300
        assert "SECRET" not in words  # a document's content
        assert "U0VDUkVU" not in words
        assert "\\u0000" not in words  # PostgreSQL refuses it, and lone surrogates
        assert "\\ud800" not in words
    return len(facts)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_damaged_resources_project_without_error(body: dict[str, Any]) -> None:
    found = check(body)
    if body["resourceType"] == "AllergyIntolerance":
        assert found == 1  # whatever is broken in it, an allergy is listed


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(READERS)),
    st.dictionaries(
        st.sampled_from(
            [
                "code",
                "status",
                "note",
                "valueString",
                "component",
                "medicationReference",
                "reaction",
                "dosageInstruction",
                "dispenseRequest",
                "category",
                "contained",
                "extension",
                "onsetDateTime",
                "identifier",
                "class",
                "period",
                "reasonCode",
                "participant",
                "item",
                "questionnaire",
                "content",
                "presentedForm",
                "performedPeriod",
                "encounter",
                "location",
            ]
        ),
        rubbish,
        max_size=6,
    ),
)
def test_rubbish_projects_without_error(resource_type: str, elements: dict[str, Any]) -> None:
    check(elements | {"resourceType": resource_type})
