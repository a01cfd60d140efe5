"""Geometry of the four charts, as tables: values in, shapes out."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest

from patients.charts import acute_chart, days_chart, scores_chart, treatment_chart
from patients.charts.axes import TimeAxis, month_marks, time_marks, traces
from patients.charts.shapes import LEFT, NARROWEST, PAINTS, RIGHT, SIGNS, Bar, Chart, Label, Mark, Rule, Sign, room
from patients.charts.treatments import Event, Span
from patients.headaches.dates import PartialDate
from patients.headaches.exposure import Authorised, Exposure, Reported
from patients.headaches.frequency import DayCount, Month, Score, Scores, months_before
from patients.headaches.ledger import TrialRow
from patients.headaches.orders import Order
from patients.headaches.supply import AuthorisedUnits
from patients.headaches.trials import trials

TODAY = date(2026, 11, 21)
FIRSTS = months_before(TODAY)
BASE = 150.0  # of chart A


def bars(chart: Chart | None, *looks: str) -> list[Bar]:
    assert chart
    return [mark for mark in chart.marks if isinstance(mark, Bar) and (not looks or mark.look in looks)]


def labels(chart: Chart | None) -> list[str]:
    assert chart
    return [mark.text for mark in chart.marks if isinstance(mark, Label)]


def signs(chart: Chart | None, shape: str) -> list[Sign]:
    assert chart
    return [mark for mark in chart.marks if isinstance(mark, Sign) and mark.shape == shape]


# --- A: headache days ----------------------------------------------------------------------------------------------
def month(place: int, headache: str = "", migraine: str = "", diary: int | None = None) -> Month:
    days = [Decimal(each) if each else None for each in (headache, migraine)]
    on = FIRSTS[place] + timedelta(10)
    return Month(FIRSTS[place], DayCount(on, days[0], days[1], None, "clinic entry", ("s",), diary))


def year(*stated: Month) -> list[Month]:
    by_first = {each.first: each for each in stated}
    return [by_first.get(first, Month(first, None)) for first in FIRSTS]


@pytest.mark.parametrize(
    ("headache", "migraine", "diary", "parts", "figure"),
    [
        pytest.param("12", "9", None, [("dark", 9), ("light", 3)], "12", id="stacked: migraine below, other above"),
        pytest.param("12", "12", None, [("dark", 12)], "12", id="all of them migraine days"),
        pytest.param("12", "", None, [("plain", 12)], "12", id="kind not stated"),
        pytest.param("", "7", None, [("dark", 7)], "7", id="migraine days alone"),
        pytest.param("12", "9", 14, [("hollow", 9), ("hollow", 3)], "12", id="few diary days: hollow"),
        pytest.param("12", "", 19, [("hollow", 12)], "12", id="few diary days, kind not stated"),
        pytest.param("12", "9", 20, [("dark", 9), ("light", 3)], "12", id="20 diary days are enough"),
        pytest.param("4.5", "", None, [("plain", 4.5)], "4.5", id="part of a day, from a longer period"),
        pytest.param("3", "5", None, [("plain", 5)], "5", id="contradiction: the larger, unsplit"),
        pytest.param("0", "0", None, [], "0", id="stated as none: a figure, no bar"),
    ],
)
def test_days_bar(headache: str, migraine: str, diary: int | None, parts: list[tuple[str, float]], figure: str) -> None:
    chart = days_chart(year(month(11, headache, migraine, diary)))
    drawn = bars(chart)
    per_day = (150.0 - 18.0) / 18
    assert [(each.look, round(each.height / per_day, 1)) for each in drawn] == parts
    if drawn:
        assert drawn[0].y + drawn[0].height == pytest.approx(BASE)
    assert figure in labels(chart)


def test_months_without_a_statement_are_gaps_and_never_zero() -> None:
    chart = days_chart(year(month(3, "8"), month(9, "6")))
    assert len(bars(chart)) == 2
    assert labels(chart).count("–") == 10
    assert "0" not in labels(chart)
    assert chart
    assert [row[1].text for row in chart.rows].count("No statement") == 10


def test_no_statement_at_all_draws_nothing() -> None:
    assert days_chart(year()) is None


def test_lines_stand_at_4_8_and_15() -> None:
    chart = days_chart(year(month(0, "31")))
    assert chart
    heights = sorted({mark.y1 for mark in chart.marks if isinstance(mark, Rule) and mark.look == "limit"}, reverse=True)
    assert [round((BASE - y) * 31 / (BASE - 18.0)) for y in heights] == [4, 8, 15]


# --- C: acute medication -------------------------------------------------------------------------------------------
def units(
    amount: Fraction | None, *, name: str = "triptan", uncounted: int = 0, line: int | None = 10
) -> AuthorisedUnits:
    counted = 0 if amount is None else 1
    return AuthorisedUnits(name, name.capitalize(), amount, counted, uncounted, not (counted or uncounted), "C", line)


def exposure(months: dict[int, tuple[AuthorisedUnits, ...]], days: dict[int, int]) -> Exposure:
    windows = tuple(Authorised(first, first, months.get(place, ()), ("o",)) for place, first in enumerate(FIRSTS))
    reported = tuple(
        Reported(first, Fraction(days[place]) if place in days else None, "clinic entry", ("s",))
        for place, first in enumerate(FIRSTS)
    )
    return Exposure(windows, reported, windows[-1], windows[-1], ())


def test_orders_and_statements_are_marked_differently_in_strips_of_their_own() -> None:
    chart = acute_chart(exposure({5: (units(Fraction(18)),)}, {5: 8}))
    (bar,) = bars(chart)
    (dot,) = signs(chart, "dot")
    assert bar.look == "hatch"
    assert dot.look == "solid"
    assert dot.y < bar.y  # another strip
    assert labels(chart).count("–") == 11
    assert {"18", "8", "Triptan: units that orders allow", "Days with acute medication, as stated"} <= set(
        labels(chart)
    )


@pytest.mark.parametrize(
    ("made", "drawn"),
    [
        pytest.param(units(Fraction(25, 2)), ("hatch", "13"), id="an upper bound is rounded up"),
        pytest.param(units(None, uncounted=1), ("diamond", ""), id="an order without an amount"),
        pytest.param(units(None), ("hollow", ""), id="repeats of an earlier order"),
    ],
)
def test_units_of_a_month(made: AuthorisedUnits, drawn: tuple[str, str]) -> None:
    chart = acute_chart(exposure({7: (made,)}, {}))
    assert chart
    found = [
        mark.shape if isinstance(mark, Sign) else mark.look for mark in chart.marks if isinstance(mark, Bar | Sign)
    ]
    assert found == [drawn[0]]
    if drawn[1]:
        assert drawn[1] in labels(chart)


def test_each_class_has_its_own_line() -> None:
    rows = (
        units(Fraction(9)),
        units(Fraction(20), name="nsaid", line=15),
        units(Fraction(4), name="gepant", line=None),
    )
    chart = acute_chart(exposure({2: rows}, {}))
    assert chart
    assert labels(chart).count("10") == labels(chart).count("15") == 1
    assert len([mark for mark in chart.marks if isinstance(mark, Rule) and mark.look == "limit"]) == 2


def test_large_amounts_end_at_the_top_with_their_figure() -> None:
    chart = acute_chart(exposure({2: (units(Fraction(400)),)}, {}))
    (bar,) = bars(chart)
    assert bar.y >= 20
    assert "400" in labels(chart)


def test_nothing_on_acute_medication_draws_nothing() -> None:
    assert acute_chart(exposure({}, {})) is None


# --- D: scores -----------------------------------------------------------------------------------------------------
def score(on: date, value: int, band: str = "Grade IV: severe disability", *, out: bool = False) -> Score:
    return Score(on, Decimal(value), "" if out else band, out, "measured value", "s")


def midas(*points: Score) -> Scores:
    return Scores("MIDAS", points, points[-1] if points else None)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        pytest.param(0, 0.0, 18.0, id="grade I"),
        pytest.param(5, 0.0, 18.0, id="grade I, last"),
        pytest.param(6, 18.0, 36.0, id="grade II"),
        pytest.param(20, 36.0, 54.0, id="grade III, last"),
        pytest.param(21, 54.0, 102.0, id="grade IV"),
        pytest.param(60, 54.0, 102.0, id="top of the scale"),
        pytest.param(270, 54.0, 102.0, id="beyond the scale"),
    ],
)
def test_score_lies_in_its_band(value: int, low: float, high: float) -> None:
    chart = scores_chart([midas(score(TODAY - timedelta(30), value))], TODAY)
    assert chart
    marks = [mark for mark in chart.marks if isinstance(mark, Sign)]
    bottom = max(bar.y + bar.height for bar in bars(chart, "band-0", "band-1"))
    assert low < bottom - marks[0].y < high
    assert marks[0].shape == ("triangle" if value >= 60 else "dot")
    assert str(value) in labels(chart)


def test_scores_outside_the_range_or_five_years_old_are_in_the_table_only() -> None:
    points = (
        score(TODAY - timedelta(3000), 30),
        score(TODAY - timedelta(60), 999, out=True),
        score(TODAY - timedelta(30), 22),
    )
    chart = scores_chart([midas(*points), Scores("HIT-6")], TODAY)
    assert chart
    assert len(signs(chart, "dot")) == 1
    assert len(chart.rows) == 3
    assert chart.notes == ("MIDAS: 1 outside the range and 1 of more than five years ago, in the table only.",)


def test_figures_of_close_scores_do_not_touch() -> None:
    points = [score(TODAY - timedelta(7 * each), 20 + each) for each in range(40, 0, -1)]
    chart = scores_chart([midas(*points)], TODAY)
    assert chart
    shown = sorted(
        (mark.x, room(mark.text))
        for mark in chart.marks
        if isinstance(mark, Label) and mark.look == "strong" and mark.x > 8
    )
    assert len(shown) > 3
    assert all(after - before > width for (before, width), (after, _) in pairwise(shown))


def test_no_score_draws_nothing() -> None:
    assert scores_chart([midas(), Scores("HIT-6", (score(TODAY, 12, out=True),))], TODAY) is None


# --- B: treatments -------------------------------------------------------------------------------------------------
def order(drug: str, on: str, status: str = "active", **columns: object) -> Order:
    day = date.fromisoformat(on)
    return Order(
        (drug,),
        "beta-blocker",
        PartialDate(day, "day", on),
        status=status,
        intent="order",
        key=f"{drug}{on}",
        **columns,
    )  # type: ignore[arg-type]


def lane(*orders: Order, words: str = "Beta blocker") -> TrialRow:
    (trial,) = trials(orders, TODAY)
    return TrialRow(
        trial.ingredient, "beta-blocker", words, trial.episodes, (), trial.episodes[0].start, trial.episodes[-1].end
    )


MONTH = {"supply_days": Decimal(30)}


def look_of(chart: Chart | None) -> list[str]:
    assert chart
    looks = [
        mark for mark in chart.marks if isinstance(mark, Bar | Sign) or (isinstance(mark, Rule) and mark.look == "cap")
    ]
    return [mark.shape if isinstance(mark, Sign) else mark.look for mark in looks]


@pytest.mark.parametrize(
    ("orders", "looks"),
    [
        pytest.param(
            [order("nadolol", "2026-01-01", "completed", **MONTH)], ["hatch"], id="one order: its end is estimated"
        ),
        pytest.param(
            [order("nadolol", on, "completed", **MONTH) for on in ("2026-01-01", "2026-02-01", "2026-03-01")],
            ["dark", "hatch"],
            id="solid to the last order, hatched after it",
        ),
        pytest.param(
            [order("nadolol", "2026-11-01", **MONTH)], ["hatch", "arrow"], id="supply of an active order reaches today"
        ),
        pytest.param(
            [
                order(
                    "nadolol",
                    "2026-01-01",
                    "stopped",
                    bounds_end=PartialDate(date(2026, 4, 1), "day", "2026-04-01"),
                    **MONTH,
                )
            ],
            ["dark", "cap"],
            id="a stated end: solid, with a cap",
        ),
        pytest.param([order("nadolol", "2026-01-01")], ["tail", "dot"], id="level D: a point with a fading tail"),
    ],
)
def test_episode(orders: list[Order], looks: list[str]) -> None:
    assert look_of(treatment_chart([lane(*orders)], [], [], [], TODAY)) == looks


def test_bar_covers_its_days() -> None:
    chart = treatment_chart(
        [lane(order("nadolol", "2025-11-21", "completed", supply_days=Decimal(183)))], [], [], [], TODAY
    )
    (bar,) = bars(chart)
    assert bar.width == pytest.approx((RIGHT - 0.5) * 183 / (385 * 1.03), rel=0.02)


def test_lanes_are_grouped_by_class_in_the_order_of_their_start() -> None:
    rows = [
        lane(order("topiramate", "2024-01-01", **MONTH), words="Anticonvulsant"),
        lane(order("nadolol", "2024-06-01", **MONTH)),
        lane(order("valproate", "2025-01-01", **MONTH), words="Anticonvulsant"),
    ]
    chart = treatment_chart(rows, [], [], [], TODAY)
    drugs = [each for each in labels(chart) if each in {"Topiramate", "Nadolol", "Valproate"}]
    assert drugs == ["Topiramate", "Valproate", "Nadolol"]


def test_events_and_pregnancy_stand_below_in_lanes_of_their_own() -> None:
    events = [
        Event("Botulinum toxin", date(2026, 5, 1), "session"),
        Event("Botulinum toxin", date(2026, 8, 1), "session"),
        Event("Emergency visits", date(2026, 6, 1), "fall", "square", about_headache=False),
    ]
    spans = [Span("Pregnancy on record", date(2026, 1, 1), date(2026, 9, 1), "Z33.1", open=True)]
    chart = treatment_chart([], events, spans, [], TODAY)
    assert len(signs(chart, "triangle")) == 2
    assert [each.look for each in signs(chart, "square")] == ["hollow"]
    assert [each.look for each in bars(chart)] == ["hatch"]
    assert len({mark.y for mark in signs(chart, "triangle") + signs(chart, "square")}) == 2


def test_more_than_twelve_years_are_cut_and_told() -> None:
    events = [Event("Emergency visits", date(year, 6, 1), "ED", "square") for year in (2005, 2020)]
    chart = treatment_chart([], events, [], [], TODAY)
    assert chart
    assert len(signs(chart, "square")) == 1
    assert len(chart.rows) == 2
    assert "1 earlier in the table" in chart.notes[-1]


def test_nothing_to_draw() -> None:
    assert treatment_chart([], [], [], [], TODAY) is None


# --- axes ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("days", [40, 200, 365, 800, 2000, 4383, 9000])
def test_names_on_a_time_axis_do_not_touch_on_a_phone(days: int) -> None:
    axis = TimeAxis(TODAY - timedelta(days), TODAY)
    named = [mark for mark in time_marks(axis, 0, 100) if isinstance(mark, Label)]
    assert named
    pairs = pairwise(named)
    assert all(after.x - before.x > (room(before.text) + room(after.text)) / 2 for before, after in pairs)


@pytest.mark.parametrize("shift", range(12))
def test_names_of_twelve_months_do_not_touch_on_a_phone(shift: int) -> None:
    firsts = [date(2025 + (shift + place) // 12, (shift + place) % 12 + 1, 1) for place in range(12)]
    named = [mark for mark in month_marks(firsts, 100) if isinstance(mark, Label)]
    for height in {mark.y for mark in named}:
        row = [mark for mark in named if mark.y == height]
        assert all(after.x - before.x > room("Nov") for before, after in pairwise(row))
    assert {mark.text for mark in named if len(mark.text) == 4} <= {"2025", "2026"}


def test_days_outside_the_axis_lie_on_its_edge() -> None:
    axis = TimeAxis(date(2026, 1, 1), date(2026, 12, 31))
    assert (axis.x(date(2020, 1, 1)), axis.x(date(2030, 1, 1))) == (LEFT, RIGHT)


def test_a_long_silence_is_no_line() -> None:
    points = [(date(2026, 1, 1), (10.0, 5.0)), (date(2026, 3, 1), (20.0, 6.0)), (date(2026, 11, 1), (90.0, 7.0))]
    assert traces(points) == [Rule("trace", 10.0, 5.0, 20.0, 6.0)]


# --- all of them ---------------------------------------------------------------------------------------------------
def every_chart() -> list[Chart]:
    counts = [each.count for each in year(month(2, "14", "9"), month(8, "8")) if each.count]
    made = [
        days_chart(year(month(2, "14", "9"), month(8, "31"), month(11, "3", "2", 8))),
        acute_chart(
            exposure({2: (units(Fraction(18)), units(None, name="nsaid", uncounted=1, line=15))}, {4: 12, 5: 31})
        ),
        scores_chart([midas(score(TODAY - timedelta(400), 74), score(TODAY, 9, "Grade II: mild disability"))], TODAY),
        treatment_chart(
            [lane(order("nadolol", "2026-11-01", **MONTH)), lane(order("topiramate", "2020-01-01"), words="Other")],
            [Event("Nerve blocks", date(2024, 2, 2), "block", "diamond")],
            [Span("Pregnancy on record", date(2021, 1, 1), date(2021, 9, 1), "Z33.1")],
            counts, TODAY,
        ),
    ]  # fmt: skip
    return [each for each in made if each]


@pytest.mark.parametrize("chart", every_chart(), ids=lambda chart: chart.key)
def test_every_shape_is_inside_and_has_a_paint(chart: Chart) -> None:
    for mark in chart.marks:
        assert mark.look in PAINTS
        for x, y in corners(mark):
            assert -0.01 <= x <= 100.01
            assert -0.01 <= y <= chart.height
        assert not isinstance(mark, Sign) or mark.shape in SIGNS
    assert all(not key.look or key.look in PAINTS for key in chart.legend)


@pytest.mark.parametrize("chart", every_chart(), ids=lambda chart: chart.key)
def test_every_chart_has_words_and_a_table(chart: Chart) -> None:
    assert chart.title
    assert chart.desc.endswith(".")
    assert chart.rows
    assert {len(row) for row in chart.rows} == {len(chart.head)}


@pytest.mark.parametrize("chart", every_chart(), ids=lambda chart: chart.key)
def test_texts_of_one_height_do_not_overlap_on_a_phone(chart: Chart) -> None:
    placed = sorted((extent(mark) for mark in chart.marks if isinstance(mark, Label)), key=lambda box: (box[2], box[0]))
    for before, after in pairwise(placed):
        assert before[2] != after[2] or before[1] <= after[0] + 0.01


def corners(mark: Mark) -> list[tuple[float, float]]:
    if isinstance(mark, Bar):
        return [(mark.x, mark.y), (mark.x + mark.width, mark.y + mark.height)]
    if isinstance(mark, Rule):
        return [(mark.x1, mark.y1), (mark.x2, mark.y2)]
    return [(mark.x, mark.y)]


def extent(label: Label) -> tuple[float, float, float]:
    """(left, right, base line) in percent of the narrowest chart."""
    width, x = room(label.text), label.x + label.shift / NARROWEST * 100
    left = {"start": x, "middle": x - width / 2, "end": x - width}[label.anchor]
    return left, left + width, label.y
