"""Chart C: acute medication. What orders allow and what days were stated stand in strips of their own, unmixed."""

from collections.abc import Callable, Sequence
from datetime import date
from fractions import Fraction
from math import ceil

from patients.charts.axes import month_marks
from patients.charts.shapes import LEFT, RIGHT, Bar, Cell, Chart, Key, Label, Mark, Rule, Sign, across
from patients.headaches.exposure import Authorised, Exposure
from patients.headaches.supply import AuthorisedUnits
from patients.wording import month_word, plain_number

LINES = (10, 15)  # days a month, ICHD-3 8.2
_TITLE, _PLOT, _GAP, _FOOT = 20.0, 62.0, 12.0, 32.0
_LEAST, _MOST = 20, 40  # the scale ends at 20, or at 40 when anything reaches beyond 20
_BAR = 0.55


def acute_chart(exposure: Exposure, href: Callable[[str], str] = lambda source: "") -> Chart | None:
    """The chart; None when there is neither an order nor a statement in the last 12 months."""
    classes = _classes(exposure.months)
    stated = any(month.days is not None for month in exposure.reported)
    if not classes and not stated:
        return None
    firsts = [month.first for month in exposure.months]
    marks: list[Mark] = []
    top = 0.0
    if stated:
        marks += _stated(exposure, top)
        top += _TITLE + _PLOT + _GAP
    for name, words, line in classes:
        marks += _strip(exposure.months, name, words, line, top)
        top += _TITLE + _PLOT + _GAP
    bottom = top - _GAP
    return Chart(
        key="acute",
        title="Acute medication per month",
        desc=_desc(exposure, classes),
        height=bottom + _FOOT,
        marks=(*marks, *month_marks(firsts, bottom)),
        legend=_legend(exposure, classes, stated),
        head=("Month", "Class", "Orders allow up to", "Days stated", "Origin"),
        rows=tuple(_rows(exposure, classes, href)),
        notes=_notes(exposure),
    )


def _classes(months: Sequence[Authorised]) -> list[tuple[str, str, int | None]]:
    """(class, its words, ICHD-3 days) of the classes ordered, by their place in the table of classes."""
    found: dict[str, tuple[str, str, int | None]] = {}
    for month in months:
        for each in month.units:
            found.setdefault(each.product_class, (each.product_class, each.class_words, each.threshold))
    return sorted(found.values(), key=lambda each: (each[2] is None, each[2] or 0, each[1]))


def _scale(values: Sequence[Fraction]) -> int:
    return _MOST if any(value > _LEAST for value in values) else _LEAST


def _frame(top: float, title: str, lines: Sequence[int], most: int) -> list[Mark]:
    bottom = top + _TITLE + _PLOT
    marks: list[Mark] = [
        Label(0, top + 13, title, "start", "strong"),
        Rule("axis", LEFT, bottom, RIGHT, bottom),
    ]
    for line in lines:
        y = _y(Fraction(line), bottom, most)
        marks += [Rule("limit", LEFT, y, RIGHT, y), Label(LEFT, y + 4, str(line), "end", "quiet", -4)]
    return marks


def _y(value: Fraction, bottom: float, most: int) -> float:
    return round(bottom - min(float(value), most) * (_PLOT - 12) / most, 1)


def _stated(exposure: Exposure, top: float) -> list[Mark]:
    """Days with acute medication as stated: dots on stems, over both lines."""
    most = _scale([month.days for month in exposure.reported if month.days is not None])
    bottom = top + _TITLE + _PLOT
    marks = _frame(top, "Days with acute medication, as stated", LINES, most)
    for place, month in enumerate(exposure.reported):
        x = across((place + 0.5) / len(exposure.reported))
        if month.days is None:
            marks.append(Label(x, bottom - 4, "–", look="quiet"))
            continue
        y = _y(month.days, bottom, most)
        marks += [Rule("trace", x, bottom, x, y), Sign("solid", x, y, "dot")]
        marks.append(Label(x, y - 7, plain_number(month.days), look="strong"))
    return marks


def _strip(months: Sequence[Authorised], name: str, words: str, line: int | None, top: float) -> list[Mark]:
    """Units that the orders of one class allow, month by month."""
    units = [_of(month, name) for month in months]
    figures = [each.units_per_30_days for each in units if each and each.units_per_30_days is not None]
    most = _scale(figures)
    bottom = top + _TITLE + _PLOT
    marks = _frame(top, f"{words}: units that orders allow", (line,) if line else (), most)
    width = round((RIGHT - LEFT) / len(months) * _BAR, 2)
    for place, each in enumerate(units):
        x = across((place + 0.5) / len(months))
        if each is None:
            continue
        if each.units_per_30_days is None:
            if each.uncounted:
                marks.append(Sign("hollow", x, bottom - 8, "diamond"))
            else:
                marks.append(Bar("hollow", round(x - width / 2, 2), bottom - 4, width, 4))
            continue
        y = _y(each.units_per_30_days, bottom, most)
        marks.append(Bar("hatch", round(x - width / 2, 2), y, width, round(bottom - y, 1)))
        marks.append(Label(x, y - 4, str(ceil(each.units_per_30_days)), look="strong"))
    return marks


def _of(month: Authorised, name: str) -> AuthorisedUnits | None:
    return next((each for each in month.units if each.product_class == name), None)


def _legend(exposure: Exposure, classes: Sequence[tuple[str, str, int | None]], stated: bool) -> tuple[Key, ...]:
    units = [each for month in exposure.months for each in month.units]
    keys = []
    if stated:
        keys += [Key("solid", "days stated", "dot"), Key("", "– no statement in that month")]
    if any(each.units_per_30_days is not None for each in units):
        keys.append(Key("hatch", "units allowed by orders of that month, per 30 days: an upper bound"))
    if any(each.units_per_30_days is None and each.uncounted for each in units):
        keys.append(Key("hollow", "order without an amount", "diamond"))
    if any(each.units_per_30_days is None and not each.uncounted for each in units):
        keys.append(Key("hollow", "repeats of an earlier order may reach in"))
    if stated or any(line for _, _, line in classes):
        keys.append(Key("limit", "ICHD-3 days per month"))
    return tuple(keys)


def _desc(exposure: Exposure, classes: Sequence[tuple[str, str, int | None]]) -> str:
    months = [month for month in exposure.reported if month.days is not None]
    said = [f"Days stated in {len(months)} of {len(exposure.reported)} months."]
    for name, words, _ in classes:
        figures = [
            each.units_per_30_days
            for month in exposure.months
            if (each := _of(month, name)) and each.units_per_30_days is not None
        ]
        most = f", at most {ceil(max(figures))} units per 30 days" if figures else ""
        said.append(f"{words}: orders in {len(figures)} months{most}.")
    return " ".join(said)


def _notes(exposure: Exposure) -> tuple[str, ...]:
    notes = []
    if any(each.units_per_30_days is not None for month in exposure.months for each in month.units):
        notes.append(
            "Orders with repeats count whole in the month they were written. Orders are an upper bound; "
            "actual days are unknown. Medicines bought without an order are not in it."
        )
    return tuple(notes)


def _rows(
    exposure: Exposure, classes: Sequence[tuple[str, str, int | None]], href: Callable[[str], str]
) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for month, told in reversed(list(zip(exposure.months, exposure.reported, strict=True))):
        name = Cell(_month_words(month.first))
        if told.days is not None:
            source = href(told.sources[0]) if told.sources else ""
            rows.append((name, Cell("Any"), Cell(""), Cell(plain_number(told.days)), Cell(told.origin, source)))
        for each in month.units:
            amount = "No amount stated"
            if each.units_per_30_days is not None:
                amount = f"{ceil(each.units_per_30_days)} units per 30 days"
            elif not each.uncounted:
                amount = "Repeats of an earlier order"
            source = href(month.sources[0]) if month.sources else ""
            rows.append((name, Cell(each.class_words), Cell(amount), Cell(""), Cell(_orders(each), source)))
    return rows


def _orders(each: AuthorisedUnits) -> str:
    count = each.orders + each.uncounted
    return f"{count} {'order' if count == 1 else 'orders'}" if count else "earlier order"


def _month_words(first: date) -> str:
    return f"{month_word(first)} {first.year}"
