"""What a chart is made of.

Across, places and widths are in percent of the chart's width; downwards they are in pixels. So a chart fills any
width, and its text keeps its size on a phone and on paper. `look` names how a shape is painted: a CSS class on the
screen, and the attributes of `PAINTS` where no style sheet reaches (PDF). Looks differ in pattern, not in tone
alone: a print in grey tells the same.
"""

from dataclasses import dataclass, field
from typing import Literal

Anchor = Literal["start", "middle", "end"]

LEFT, RIGHT = 7.0, 99.5  # percent: the plot, with room for the axis' figures to the left
NARROWEST = 330  # pixels: the plot's width on a phone; labels are spaced for it
_LETTER = 6.2  # pixels: an average letter of the charts' text


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle: x, width in percent; y, height in pixels."""

    look: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line: x1, x2 in percent; y1, y2 in pixels."""

    look: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Sign:
    """A small figure at a point. shape: a key of SIGNS."""

    look: str
    x: float
    y: float
    shape: str


@dataclass(frozen=True, slots=True)
class Label:
    """Text at a point; y is its base line; shift: pixels to the right of x; then: quieter text that follows."""

    x: float
    y: float
    text: str
    anchor: Anchor = "middle"
    look: str = "figure"
    shift: float = 0
    then: str = ""


Mark = Bar | Rule | Sign | Label


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: a swatch with `look` (a Bar's), or a sign of `shape`."""

    look: str
    words: str
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the chart's table; href: "" or what opens its source."""

    text: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its equivalents.

    key: unique on a page; title, desc: for readers who do not see it; height: pixels; head, rows: the same data as
    a table; notes: what a reader must know to read it rightly.
    """

    key: str
    title: str
    desc: str
    height: float
    marks: tuple[Mark, ...]
    legend: tuple[Key, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    notes: tuple[str, ...] = field(default=())


# Outlines around the point (0, 0).
SIGNS = {
    "dot": "M-3.5,0 a3.5,3.5 0 1,0 7,0 a3.5,3.5 0 1,0 -7,0 Z",
    "triangle": "M-5,4.5 L0,-4.5 L5,4.5 Z",
    "diamond": "M0,-5 L5,0 L0,5 L-5,0 Z",
    "square": "M-4,-4 H4 V4 H-4 Z",
    "arrow": "M-1,-6 L8,0 L-1,6 Z",
    "cross": "M-4,-4 L4,4 M-4,4 L4,-4",
}

# look: (fill, stroke, stroke width, dashes). Patterns are named "@name" and made per chart.
PAINTS = {
    "solid": ("#222", "none", "0", ""),
    "dark": ("#222", "#222", "1", ""),
    "light": ("@dots", "#222", "1", ""),
    "plain": ("#999", "#222", "1", ""),
    "hollow": ("#fff", "#222", "1.5", ""),
    "hatch": ("@hatch", "#222", "1", ""),
    "tail": ("@tail", "none", "0", ""),
    "span": ("@dots", "#222", "1", ""),
    "band-0": ("#fff", "none", "0", ""),
    "band-1": ("#f1f1f1", "none", "0", ""),
    "axis": ("none", "#555", "1", ""),
    "grid": ("none", "#ccc", "1", ""),
    "limit": ("none", "#222", "1", "5 3"),
    "trace": ("none", "#222", "1.5", ""),
    "cap": ("none", "#222", "2", ""),
    "figure": ("#222", "none", "0", ""),
    "quiet": ("#555", "none", "0", ""),
    "strong": ("#222", "none", "0", ""),
}


def across(share: float, left: float = LEFT, right: float = RIGHT) -> float:
    """Percent of the chart's width for a share (0 to 1) of the plot's."""
    return round(left + (right - left) * share, 2)


def room(text: str) -> float:
    """Percent of the narrowest chart that a text fills."""
    return len(text) * _LETTER / NARROWEST * 100
