"""Geometry of the charts of a history: values in, frozen shapes out; a template tag draws them as inline SVG."""

from patients.charts.acute import acute_chart
from patients.charts.days import days_chart
from patients.charts.scores import scores_chart
from patients.charts.shapes import Chart
from patients.charts.treatments import Event, Span, treatment_chart

__all__ = ["Chart", "Event", "Span", "acute_chart", "days_chart", "scores_chart", "treatment_chart"]
