"""Strict reading: what is refused, what keeps its digits, what hashes alike."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emr.wire.strictjson import BadJSON, canonical, content_hash, decode, loads

REFUSED = {
    "NaN": '{"a": NaN}',
    "Infinity": "[Infinity]",
    "minus Infinity": "[-Infinity]",
    "number beyond a double": "[1e999]",
    "number below a double": "[1e-999]",
    "exponent beyond Decimal": "[1e99999999999999999999]",
    "integer of 5000 digits": "[" + "1" * 5000 + "]",
    "integer of 101 digits": "[" + "1" * 101 + "]",
    "decimal of 5000 digits": "[0." + "1" * 5000 + "]",
    "key twice": '{"a": 1, "b": 2, "a": 1}',
    "key twice, once escaped": '{"a": 1, "\\u0061": 2}',
    "key twice, inside": '{"x": [{"a": 1, "a": 1}]}',
    "101 arrays": "[" * 101 + "]" * 101,
    "101 objects": '{"a":' * 101 + "1" + "}" * 101,
    "arrays and objects, 102 deep": '[{"a":' * 51 + "1" + "}]" * 51,
    "deep behind brackets in strings": '["]]]]", ' * 101 + "1" + "]" * 101,
    "deep behind escaped quotes": '["\\"]", ' * 101 + "1" + "]" * 101,
    "deep behind escaped backslashes": '["\\\\", ' * 101 + "1" + "]" * 101,
    "1,000 deep": "[" * 1000 + "]" * 1000,
    "100,000 deep": "[" * 100_000 + "]" * 100_000,
    "100,000 deep, never closed": "[" * 100_000,
    "lone high surrogate": '["\\ud83d"]',
    "lone low surrogate": '["\\ude00"]',
    "surrogates in the wrong order": '["\\ude00\\ud83d"]',
    "lone surrogate in a key": '{"\\ud800": 1}',
    "zero character": '["a\\u0000b"]',
    "zero character in a key": '{"\\u0000": 1}',
    "raw line break in a string": '["a\nb"]',
    "raw zero byte": '["a\x00b"]',
    "unknown escape": '["\\x41"]',
    "cut escape": '["\\u12"]',
    "two values": "{} {}",
    "text behind": "{}x",
    "comma at the end": "[1,]",
    "single quotes": "{'a': 1}",
    "key without quotes": "{a: 1}",
    "comment": "[1] // x",
    "leading zero": "[01]",
    "plus sign": "[+1]",
    "point without digits": "[1.]",
    "hexadecimal": "[0x10]",
    "broken off": '{"a": [1, 2',
    "string broken off": '{"a": "b',
    "empty": "",
    "only space": " \n",
    "byte order mark": "\ufeff{}",
    "no-break space": "\xa0{}",
    "HTML": "<html></html>",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_loads_refuses(text: str) -> None:
    with pytest.raises(BadJSON) as refused:
        loads(text)
    assert 0 < len(refused.value.reason) < 100


def test_refusal_quotes_nothing() -> None:
    for text in (
        '{"name": "Quimby", "name": "Quimby"}',
        '{"name": "Quimby',
        '{"name": "Quimby\\x"}',
        '{"a": "Quimby\\u0000"}',
    ):
        with pytest.raises(BadJSON) as refused:
            loads(text)
        assert "Quimby" not in repr(refused.value) + repr(refused.value.__context__)


ACCEPTED = {
    "decimal keeps its digits": ("[7.10]", [Decimal("7.10")]),
    "decimal of many digits": ("[0.10000000000000000000001]", [Decimal("0.10000000000000000000001")]),
    "exponent": ("[1.0E+2]", [Decimal("1.0E+2")]),
    "largest double": ("[1.7e308]", [Decimal("1.7e308")]),
    "zero": ("[0.0, -0.0]", [Decimal("0.0"), Decimal("-0.0")]),
    "integer": ("[7, -7, 123456789012345678901234567890]", [7, -7, 123456789012345678901234567890]),
    "pair of surrogates": ('["\\ud83d\\ude00"]', ["😀"]),
    "escaped backslash before u": ('["\\\\ud800 \\\\u0000"]', ["\\ud800 \\u0000"]),
    "100 deep": ("[" * 100 + "]" * 100, None),
    "many brackets, not deep": ("[" + ",".join(["[]"] * 500) + "]", [[]] * 500),
    "brackets in strings": ('["' + "[{" * 500 + '"]', ["[{" * 500]),
    "brackets in a string behind escaped backslashes": ('["\\\\", "' + "[" * 200 + '"]', ["\\", "[" * 200]),
    "space around": (" \r\n\t{ } \n", {}),
    "scalars": ("[true, false, null]", [True, False, None]),
    "same key in two objects": ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
}


@pytest.mark.parametrize(("text", "value"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_loads_accepts(text: str, value: object) -> None:
    read = loads(text)
    if value is not None:
        assert read == value
        assert str(read) == str(value)  # Decimal("7.10") == Decimal("7.1"): their texts differ


DIFFERENT = [
    '{"a": 7.1}',
    '{"a": 7.10}',
    '{"a": "7.10"}',
    '{"a": "\\\\u00007.10"}',
    '{"a": 71}',
    '{"a": null}',
    '{"a": false}',
    '{"a": 0}',
    '{"a": []}',
    '{"a": {}}',
    '{"a": ""}',
    '{"b": 7.1}',
    '{"a": [1, 2]}',
    '{"a": [2, 1]}',
    '{"a": [12]}',
    "{}",
]


def test_different_contents_hash_differently() -> None:
    assert len({content_hash(loads(text)) for text in DIFFERENT}) == len(DIFFERENT)


def test_order_and_space_do_not_change_the_hash() -> None:
    one, other = '{"a": {"x": 7.10, "y": "ü"}, "b": 1}', '{"b":1,"a":{"y":"\\u00fc","x":7.10}}'
    assert content_hash(loads(one)) == content_hash(loads(other))
    assert canonical(loads(one)) == '{"a":{"x":7.10,"y":"ü"},"b":1}'.encode()


def test_canonical_refuses_floats_without_value_and_foreign_objects() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": math.nan})
    with pytest.raises(TypeError):
        canonical({"a": object()})


strings = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9)
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | numbers | strings,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(trees)
def test_canonical_reads_back_to_the_same(tree: object) -> None:
    text = canonical(tree).decode()
    assert canonical(loads(text)).decode() == text
    assert loads(text) == tree


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=40) | st.builds(json.dumps, trees.filter(lambda t: "Decimal" not in repr(t))))
def test_loads_accepts_no_more_than_json_does(text: str) -> None:
    try:
        value = loads(text)
    except BadJSON:
        return
    assert json.loads(text, parse_float=Decimal) == value


def test_decode_takes_utf8_only() -> None:
    assert decode("ü".encode()) == "ü"
    assert decode(b"\xef\xbb\xbf{}") == "{}"
    for body in ("{}".encode("utf-16"), b'{"a": "\xfc"}', b"\xed\xa0\x80", b"\xc0\xae"):
        with pytest.raises(BadJSON, match="UTF-8"):
            decode(body)
