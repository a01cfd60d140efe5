"""Filters of the staff pages: kinds of record and birth dates in the words of the charts."""

from django import template

from emr.launches import consents
from emr.models.kinds import kind_name

register = template.Library()


@register.filter
def kind(resource_type: str) -> str:
    """Condition → Diagnoses; a type without words of ours stays as it is, "" is "not known"."""
    return kind_name(resource_type) or "not known"


@register.filter
def born(text: str) -> str:
    """1989-03-07 → 07-Mar-1989; what is no whole date stays as sent."""
    return consents.born(text)
