"""Bundles taken apart: bytes as received, and one bad entry costs itself only."""

import json
import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emr.wire.bundles import Envelope, TooManyEntries, slice_resource, split_bundle
from emr.wire.strictjson import BadJSON

GOOD_A = '{"resourceType":"Observation",  "id": "a", "valueQuantity": {"value": 7.10}}'
GOOD_B = '{"id":"b","resourceType":"Condition","note":[{"text":"{[\\"}] \\\\"}]}'


def bundle(*entries: str, more: str = "") -> str:
    return f'{{"resourceType": "Bundle", "type": "searchset"{more}, "entry": [ {" , ".join(entries)} ]}}'


def entry(resource: str) -> str:
    return f'{{"fullUrl": "http://x/1", "resource": {resource}, "search": {{"mode": "match"}}}}'


def test_resource_text_is_kept_byte_for_byte() -> None:
    split = split_bundle(bundle(entry(GOOD_A), entry(GOOD_B)))
    assert [piece.text for piece in split.entries] == [GOOD_A, GOOD_B]
    assert [piece.fault for piece in split.entries] == [None, None]
    assert [piece.mode for piece in split.entries] == ["match", "match"]
    assert split.entries[0].resource == {
        "resourceType": "Observation",
        "id": "a",
        "valueQuantity": {"value": Decimal("7.10")},
    }
    assert str(split.entries[0].resource["valueQuantity"]["value"]) == "7.10"


def test_envelope_members() -> None:
    split = split_bundle(
        '{"link": [{"relation": "self", "url": "u1"}, {"relation": "next", "url": "u2"}, {"relation": "next"}'
        ", 7],"
        ' "total": 50, "resourceType": "Bundle"}'
    )
    assert split.resource_type == "Bundle"
    assert split.links == (("self", "u1"), ("next", "u2"), ("next", ""), ("", ""))
    assert split.total == 50
    assert split.entries == ()


BAD_ENTRIES = {
    "NaN": entry('{"resourceType": "Observation", "id": "x", "v": NaN}'),
    "number out of range": entry('{"v": 1e999}'),
    "5000 digits": entry('{"v": %s}' % ("9" * 5000)),
    "key twice": entry('{"id": "x", "id": "y"}'),
    "too deep": entry('{"v": ' + "[" * 200 + "]" * 200 + "}"),
    "far too deep": entry('{"v": ' + "[" * 50_000 + "]" * 50_000 + "}"),
    "raw control character": entry('{"v": "a\nb"}'),
    "raw control character before brackets": entry('{"v": "a\n}]}"}'),
    "zero character": entry('{"v": "\\u0000"}'),
    "lone surrogate": entry('{"v": "\\ud800"}'),
    "unknown escape": entry('{"v": "\\q"}'),
    "word that is no value": entry('{"v": nope}'),
    "comma missing": entry('{"v": 1 "w": 2}'),
    "comma too many": entry('{"v": [1,,2]}'),
    "resource is a list": entry("[1, 2]"),
    "resource is null": entry("null"),
    "resource is a string": entry('"{}"'),
    "resource is a number": entry("7"),
    "resource is a word": entry("undefined"),
    "no resource": '{"fullUrl": "http://x/1"}',
    "empty entry": "{}",
    "entry is null": "null",
    "entry is a number": "7",
    "entry is NaN": "NaN",
    "entry is a string": '"x]}"',
    "entry is a list": "[[], {}]",
    "resource twice": '{"resource": {"id": "x"}, "resource": {"id": "y"}}',
    "entry without colon": '{"resource" {"id": "x"}}',
    "entry key without quotes": '{resource: {"id": "x"}}',
}


@pytest.mark.parametrize("bad", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_bad_entry_costs_itself_only(bad: str) -> None:
    split = split_bundle(bundle(entry(GOOD_A), bad, entry(GOOD_B), more=', "total": 3'))
    assert [piece.fault is None for piece in split.entries] == [True, False, True]
    assert [split.entries[0].text, split.entries[2].text] == [GOOD_A, GOOD_B]
    assert split.entries[1].text in bad
    assert split.entries[1].text[0] in '{["nNu7'
    assert split.entries[1].resource is None
    assert split.total == 3


def test_bad_resource_text_is_its_own() -> None:
    resource = '{"resourceType": "Observation", "id": "x", "v": NaN, "s": "}{\\""}'
    split = split_bundle(bundle(entry(resource)))
    assert split.entries[0].text == resource
    assert split.entries[0].mode == "match"


def test_fault_beside_the_resource_does_not_cost_it() -> None:
    split = split_bundle(bundle(f'{{"search": {{"score": NaN}}, "fullUrl": "\\ud800", "resource": {GOOD_A}}}'))
    assert (split.entries[0].fault, split.entries[0].text) == (None, GOOD_A)


PAGE = bundle(entry(GOOD_A), entry('{"v": "}]}", "w": NaN}'), entry(GOOD_B), more=', "total": 3')
BAD_PAGES = {
    "empty": "",
    "null": "null",
    "list": "[]",
    "HTML": "<html>",
    "text behind": PAGE + "x",
    "two": PAGE + PAGE,
    "NaN in the envelope": '{"resourceType": "Bundle", "total": NaN}',
    "key twice in the envelope": '{"resourceType": "Bundle", "total": 1, "total": 2}',
    "entry twice": '{"resourceType": "Bundle", "entry": [], "entry": []}',
    "entry twice, once no list": '{"resourceType": "Bundle", "entry": [], "entry": null}',
    "comma at the end of entries": '{"resourceType": "Bundle", "entry": [{},]}',
    "comma missing between entries": '{"resourceType": "Bundle", "entry": [{} {}]}',
    "brackets do not match": '{"resourceType": "Bundle", "entry": [{"resource": {"v": [NaN}}]}',
    "string without end that holds the brackets": '{"resourceType": "Bundle", "entry": [{"a": {"v": "x }}]}',
    "entry is an object": '{"resourceType": "Bundle", "entry": {"resource": {}}}',
}


@pytest.mark.parametrize("text", BAD_PAGES.values(), ids=BAD_PAGES.keys())
def test_bad_page_is_refused(text: str) -> None:
    with pytest.raises(BadJSON):
        split_bundle(text)


def test_truncated_page_is_refused_wherever_it_is_cut() -> None:
    for cut in range(len(PAGE)):
        with pytest.raises(BadJSON):
            split_bundle(PAGE[:cut])


def test_entry_that_is_no_list_is_a_member() -> None:
    assert split_bundle('{"resourceType": "Bundle", "entry": null}').entries == ()


def test_too_many_entries() -> None:
    assert len(split_bundle(bundle(*["{}"] * 5), max_entries=5).entries) == 5
    with pytest.raises(TooManyEntries):
        split_bundle(bundle(*["{}"] * 6), max_entries=5)


def test_two_thousand_entries_are_taken_by_default_and_no_more() -> None:
    assert len(split_bundle(bundle(*["{}"] * 2000)).entries) == 2000
    with pytest.raises(TooManyEntries):
        split_bundle(bundle(*["{}"] * 2001))


def test_reprs_hold_no_patient() -> None:
    split: Envelope = split_bundle(bundle(entry('{"family": "Quimby"}'), '"Quimby"', more=', "x": "Quimby"'))
    assert "Quimby" not in repr(split) + repr(split.entries)


def test_slice_resource() -> None:
    assert slice_resource(f" {GOOD_A}\n").text == GOOD_A
    faulty = slice_resource('{"id": "x", "v": NaN}')
    assert (faulty.text, faulty.resource, faulty.fault) == (
        '{"id": "x", "v": NaN}',
        None,
        "NaN or Infinity is not JSON",
    )
    for text in ("", "<html>", "[]", "null", '{"id": "x"', '{"id": "x', "{} {}", '{"v": NaN} x'):
        with pytest.raises(BadJSON):
            slice_resource(text)


json_trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1000, 1000)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.dictionaries(st.text("abcd", max_size=3), json_trees, max_size=4), max_size=4), st.booleans())
def test_any_resources_come_out_as_they_went_in(resources: list[dict[str, object]], escaped: bool) -> None:
    texts = [json.dumps(resource, ensure_ascii=escaped) for resource in resources]
    split = split_bundle(bundle(*(entry(text) for text in texts)))
    assert [piece.text for piece in split.entries] == texts
    assert [piece.resource for piece in split.entries] == resources


@settings(deadline=None, max_examples=60)
@given(st.text('{}[]",:\\ nNa1\n', max_size=30))
def test_any_rubbish_as_resource_neither_hangs_nor_leaks_into_neighbours(rubbish: str) -> None:
    try:
        split = split_bundle(bundle(entry(GOOD_A), entry(rubbish)))
    except BadJSON:
        return
    assert split.entries[0].text == GOOD_A
    assert all(piece.text in bundle(entry(GOOD_A), entry(rubbish)) for piece in split.entries)


def test_hostile_pages_take_no_longer_than_their_size() -> None:
    started = time.process_time()
    hostile = [
        '{"resourceType": "Bundle", "entry": [' + '{"resource": "' * 200_000,
        '{"resourceType": "Bundle", "entry": [{"resource": "' + '\\"' * 500_000,
        bundle(*[entry('{"v": ' + "[" * 3000 + "]" * 3000 + "}")] * 100),
        '{"resourceType": "Bundle", "entry": ' + "[" * 1_000_000,
        '{"resourceType": "Bundle", "entry": [{"resource": {"a": nope, "b": "' + "x" * 1_000_000,
    ]
    for text in hostile:
        try:
            split_bundle(text)
        except BadJSON:
            continue
    assert time.process_time() - started < 2.0


@pytest.mark.shared_data
def test_published_examples_come_out_as_they_went_in() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "r4-examples-clinical"
    if not folder.is_dir():
        pytest.skip("the folder of published FHIR examples is not beside the repository")
    texts = [path.read_text(encoding="utf-8-sig").strip() for path in sorted(folder.glob("*.json"))]
    assert texts
    split = split_bundle(bundle(*(entry(text) for text in texts)))
    assert [piece.text for piece in split.entries] == texts
    assert [piece.fault for piece in split.entries] == [None] * len(texts)
