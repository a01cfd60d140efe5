"""Dosage texts of the usual kinds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.headaches.sigs import parse, unit_family

# text, dose low, dose high, unit, per day low, per day high, as needed, limit a day
SIGS = [
    ("Take 1 tablet by mouth twice daily", 1, 1, "piece", 2, 2, False, None),
    ("1 tab PO BID prn migraine, may repeat in 2h, max 2/24h", 1, 1, "piece", 2, 2, True, 2),
    ("inject 70 mg SC q month", 70, 70, "mg", "1/30", "1/30", False, None),
    ("take 1-2 tabs q4-6h prn", 1, 2, "piece", 4, 6, True, None),
    ("Take 1 to 2 tablets every 4 to 6 hours as needed", 1, 2, "piece", 4, 6, True, None),
    ("Take one (1) tablet by mouth at bedtime", 1, 1, "piece", 1, 1, False, None),
    ("One tablet daily", 1, 1, "piece", 1, 1, False, None),
    ("one or two tablets daily", 1, 2, "piece", 1, 1, False, None),
    ("1 cap TID", 1, 1, "piece", 3, 3, False, None),
    ("1 tab q.i.d.", 1, 1, "piece", 4, 4, False, None),
    ("take 1/2 tablet daily", "1/2", "1/2", "piece", 1, 1, False, None),
    ("take 1 1/2 tabs nightly", "3/2", "3/2", "piece", 1, 1, False, None),
    ("take half a tablet every morning", "1/2", "1/2", "piece", 1, 1, False, None),
    ("take ½ tablet qhs", "1/2", "1/2", "piece", 1, 1, False, None),
    ("1 tablet every other day", 1, 1, "piece", "1/2", "1/2", False, None),
    ("1 tab QOD", 1, 1, "piece", "1/2", "1/2", False, None),
    ("Inject 1 pen every 28 days", 1, 1, "piece", "1/28", "1/28", False, None),
    ("inject 225 mg every month", 225, 225, "mg", "1/30", "1/30", False, None),
    ("675 mg sc every 3 months", 675, 675, "mg", "1/90", "1/90", False, None),
    ("Inject 120 mg subcutaneously once a month", 120, 120, "mg", "1/30", "1/30", False, None),
    ("155 units every 12 weeks", 155, 155, "unit", "1/84", "1/84", False, None),
    ("take 2 tablets once a week", 2, 2, "piece", "1/7", "1/7", False, None),
    ("take 1 to 2 capsules 3 times a day", 1, 2, "piece", 3, 3, False, None),
    ("Take 1 tablet by mouth 2 times per day", 1, 1, "piece", 2, 2, False, None),
    ("take 1 tablet (50 mg total) by mouth daily", 1, 1, "piece", 1, 1, False, None),
    ("1 tab in the morning and 2 tabs at bedtime", 3, 3, "piece", 1, 1, False, None),
    ("1 spray in one nostril at onset, may repeat once", 1, 1, "spray", None, None, True, None),
    (
        "take 1 tablet at onset of migraine, not to exceed 2 tablets per day",
        1,
        1,
        "piece",
        None,
        None,
        True,
        2,
    ),
    ("take 1 tab prn, max 2 per week", 1, 1, "piece", None, None, True, "2/7"),
    ("take 1 tab daily for 1 week then 2 tabs daily", None, None, "", None, None, False, None),
    ("increase by 25 mg weekly", None, None, "", None, None, False, None),
    ("use as directed", None, None, "", None, None, False, None),
    ("twice daily", None, None, "", 2, 2, False, None),
    ("take 2 tablets", 2, 2, "piece", None, None, False, None),
    ("", None, None, "", None, None, False, None),
]


def _number(value: int | str | None) -> Fraction | None:
    return None if value is None else Fraction(value)


@pytest.mark.parametrize("case", SIGS, ids=lambda case: case[0] or "empty")
def test_sig_is_read(
    case: tuple[
        str,
        int | str | None,
        int | str | None,
        str,
        int | str | None,
        int | str | None,
        bool,
        int | str | None,
    ],
) -> None:
    text, low, high, unit, rate_low, rate_high, as_needed, limit = case
    usage = parse(text)
    assert (usage.dose_low, usage.dose_high) == (_number(low), _number(high))
    assert usage.dose_unit == unit
    assert (usage.per_day_low, usage.per_day_high) == (_number(rate_low), _number(rate_high))
    assert (usage.as_needed, usage.limit) == (as_needed, _number(limit))


@pytest.mark.parametrize(
    ("unit", "family"),
    [
        ("Tablet", "piece"),
        ("tab(s)", "piece"),
        ("EA", "piece"),
        ("mL", "mL"),
        ("box", "package"),
        ("kit", "package"),
        ("", ""),
        ("foo", "foo"),
    ],
)
def test_unit_family(unit: str, family: str) -> None:
    assert unit_family(unit) == family


@given(st.text(alphabet="take 1-2tabsqhdprnmxofey/0.,()", max_size=60))
def test_any_sig_is_read_without_error_and_in_order(text: str) -> None:
    usage = parse(text)
    if usage.dose_low is not None and usage.dose_high is not None:
        assert usage.dose_low <= usage.dose_high
    if usage.per_day_low is not None and usage.per_day_high is not None:
        assert 0 <= usage.per_day_low <= usage.per_day_high
