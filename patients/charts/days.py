"""Chart A: headache days of each of the last 12 months, as stated. A month without a statement is a gap, never 0."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from patients.charts.axes import month_marks
from patients.charts.shapes import LEFT, RIGHT, Bar, Cell, Chart, Key, Label, Mark, Rule, across
from patients.headaches.frequency import DayCount, Month
from patients.wording import date_words, month_word, plain_number

LINES = (4, 8, 15)  # days a month: strata of the AHS consensus statements, ICHD-3 1.3
_TOP, _BOTTOM = 18.0, 150.0
_HEIGHT = 181
_LEAST, _MOST = 18, 31  # days at the top of the scale
_BAR = 0.62  # of a month's slot


def days_chart(months: Sequence[Month], href: Callable[[str], str] = lambda source: "") -> Chart | None:
    """The chart; None when no month has a statement. href: the address of a source."""
    if not any(month.count for month in months):
        return None
    firsts = [month.first for month in months]
    most = _most(months)
    marks: list[Mark] = []
    for days in LINES:
        y = _y(days, most)
        marks += [
            Rule("limit", LEFT, y, RIGHT, y),
            Label(LEFT, y + 4, str(days), "end", look="quiet", shift=-4),
        ]
    marks += month_marks(firsts, _BOTTOM)
    for place, month in enumerate(months):
        marks += _month(month, place, len(months), most)
    return Chart(
        key="days",
        title="Headache days per month",
        desc=_desc(months),
        height=_HEIGHT,
        marks=tuple(marks),
        legend=_legend(months),
        head=("Month", "Headache days", "Migraine days", "Stated on", "Origin"),
        rows=tuple(_row(month, href) for month in reversed(months)),
    )


def _most(months: Sequence[Month]) -> int:
    return _MOST if any(month.count and _total(month.count) > _LEAST for month in months) else _LEAST


def _y(days: Decimal | int, most: int) -> float:
    return round(_BOTTOM - float(days) * (_BOTTOM - _TOP) / most, 1)


def _month(month: Month, place: int, slots: int, most: int) -> list[Mark]:
    middle = across((place + 0.5) / slots)
    if month.count is None:
        return [Label(middle, _BOTTOM - 4, "–", look="quiet")]
    total = _total(month.count)
    width = round((RIGHT - LEFT) / slots * _BAR, 2)
    x = round(middle - width / 2, 2)
    marks: list[Mark] = []
    below = _BOTTOM
    for look, days in _parts(month):
        top = round(below - (_BOTTOM - _y(days, most)), 1)
        if below > top:
            marks.append(Bar(look, x, top, width, round(below - top, 1)))
        below = top
    return [*marks, Label(middle, _y(total, most) - 4, plain_number(total), look="strong")]


def _parts(month: Month) -> list[tuple[str, Decimal]]:
    """Looks and days of a month's bar, from below."""
    count = month.count
    if count is None:
        return []
    other, migraine = count.other, count.migraine
    if other is not None and migraine is not None:
        looks = ("hollow", "hollow") if month.few_diary_days else ("dark", "light")
        return [(looks[0], migraine), (looks[1], other)]
    look = "dark" if count.headache is None else "plain"
    return [("hollow" if month.few_diary_days else look, _total(count))]


def _total(count: DayCount) -> Decimal:
    """Headache days; where more migraine days are stated than headache days, those."""
    return max(each for each in (count.headache, count.migraine, Decimal(0)) if each is not None)


def _legend(months: Sequence[Month]) -> tuple[Key, ...]:
    counts = [month.count for month in months if month.count]
    keys = []
    if any(each.migraine is not None for each in counts):
        keys.append(Key("dark", "migraine days"))
    if any(each.other is not None for each in counts):
        keys.append(Key("light", "other headache days"))
    if any(each.migraine is None or (each.headache is not None and each.other is None) for each in counts):
        keys.append(Key("plain", "headache days, kind not stated"))
    if any(month.few_diary_days for month in months):
        keys.append(Key("hollow", "fewer than 20 diary days"))
    if any(month.count is None for month in months):
        keys.append(Key("", "– no statement in that month"))
    return (*keys, Key("limit", f"lines at {LINES[0]}, {LINES[1]} and {LINES[2]} days"))


def _desc(months: Sequence[Month]) -> str:
    stated = [month for month in months if month.count]
    said = ", ".join(
        f"{month_word(each.first)} {each.first.year}: {plain_number(_total(each.count))}"
        for each in stated
        if each.count
    )
    return f"Stated in {len(stated)} of {len(months)} months. {said}."


def _row(month: Month, href: Callable[[str], str]) -> tuple[Cell, ...]:
    name = Cell(f"{month_word(month.first)} {month.first.year}")
    count = month.count
    if count is None:
        return (name, Cell("No statement"), Cell(""), Cell(""), Cell(""))
    source = href(count.sources[0]) if count.sources else ""
    diary = f", {count.documented_days} diary days" if count.documented_days is not None else ""
    return (
        name,
        Cell(_said(count.headache)),
        Cell(_said(count.migraine)),
        Cell(date_words(count.on)),
        Cell(f"{count.origin}{diary}", source),
    )


def _said(days: Decimal | None) -> str:
    return "Not stated" if days is None else plain_number(days)
