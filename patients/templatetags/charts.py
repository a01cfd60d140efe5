"""Draws the shapes of patients.charts as SVG elements. Every value is escaped on its way into the markup."""

from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from patients.charts.shapes import PAINTS, SIGNS

register = template.Library()

_BAR = '<rect class="{}" x="{}%" y="{}" width="{}%" height="{}" {}/>'
_RULE = '<line class="{}" x1="{}%" y1="{}" x2="{}%" y2="{}" {}/>'
# A figure at a place in percent: its own SVG, as a path knows pixels only.
_SIGN = '<svg x="{}%" y="{}" overflow="visible"><path class="{}" d="{}" {}/></svg>'
_LABEL = '<text class="{}" x="{}%" y="{}" dx="{}" text-anchor="{}" font-size="12">{}{}</text>'


@register.simple_tag
def drawn(chart: dict[str, Any]) -> SafeString:
    """The marks of a chart (as plain values) in their order."""
    key = str(chart["key"])
    return format_html_join("", "{}", ((_mark(mark, key),) for mark in chart["marks"]))


@register.simple_tag
def swatch(look: str, shape: str, key: str) -> SafeString:
    """The picture of a legend's entry."""
    if shape:
        return format_html(
            '<path class="{}" d="{}" transform="translate(9 7)" {}/>', look, SIGNS[shape], _paint(look, key)
        )
    if look == "limit":
        return format_html('<line class="limit" x1="0" y1="7" x2="18" y2="7" {}/>', _paint(look, key))
    return format_html('<rect class="{}" x="0.5" y="1.5" width="17" height="11" {}/>', look, _paint(look, key))


def _mark(mark: dict[str, Any], key: str) -> SafeString:
    if "text" in mark:
        then = format_html('<tspan class="quiet" dx="7">{}</tspan>', mark["then"]) if mark["then"] else ""
        return format_html(
            _LABEL, mark["look"], mark["x"], mark["y"], mark["shift"], mark["anchor"], mark["text"], then
        )
    paint = _paint(str(mark["look"]), key)
    if "shape" in mark:
        return format_html(_SIGN, mark["x"], mark["y"], mark["look"], SIGNS[str(mark["shape"])], paint)
    if "x2" in mark:
        return format_html(_RULE, mark["look"], mark["x1"], mark["y1"], mark["x2"], mark["y2"], paint)
    return format_html(_BAR, mark["look"], mark["x"], mark["y"], mark["width"], mark["height"], paint)


def _paint(look: str, key: str) -> SafeString:
    """Attributes for where no style sheet reaches; on the screen the class decides."""
    fill, stroke, width, dashes = PAINTS[look]
    fill = f"url(#{key}-{fill[1:]})" if fill.startswith("@") else fill
    made = format_html('fill="{}" stroke="{}" stroke-width="{}"', fill, stroke, width)
    return format_html('{} stroke-dasharray="{}"', made, dashes) if dashes else made


@register.simple_tag
def table_rows(chart: dict[str, Any]) -> SafeString:
    """The rows of a chart's table, each cell with its column's name for narrow screens."""
    head = chart["head"]
    rows = ((_row(row, head),) for row in chart["rows"])
    return format_html_join("\n", "<tr>{}</tr>", rows)


def _row(cells: list[dict[str, str]], head: list[str]) -> SafeString:
    first = format_html('<th scope="row">{}</th>', cells[0]["text"])
    rest = format_html_join(
        "",
        '<td data-label="{}">{}</td>',
        ((name, _cell(cell)) for name, cell in zip(head[1:], cells[1:], strict=True)),
    )
    return format_html("{}{}", first, rest)


def _cell(cell: dict[str, str]) -> SafeString | str:
    return format_html('<a href="{}">{}</a>', cell["href"], cell["text"]) if cell["href"] else cell["text"]
