"""One row of any model of ours, in one practice, with the rows it hangs on."""

import datetime
import hashlib
import itertools
import uuid
from typing import Any

from django.db import models
from django.utils import timezone

from emr.models import ClientRegistration, Connection, Practice, User

_numbers = itertools.count(1)
# Values that a constraint asks for, where a made-up one would not do.
_FIXED: dict[str, dict[str, Any]] = {
    "patients.Assessment": {
        "headache_days": 4,
        "period_days": 30,
        "origin": "clinician",
        "date": datetime.date.today(),
    },
    "patients.Attestation": {
        "ingredient": "topiramate",
        "drug_class": "",
        "outcome": "effective",
        "stopped": "unknown",
        "origin": "clinician",
        "target_dose": "yes",
        "for_headache": "yes",
    },
    "patients.PromptDismissal": {"why": "seen"},
    "emr.Pull": {"state": "complete"},
    "emr.WorkItem": {"state": "done"},
    "emr.DoctorReport": {"state": "done"},
}


class Rows:
    """Rows of one practice, made when first asked for."""

    def __init__(self, practice: Practice, canary: str = "") -> None:
        """canary: a word that stands in every text column that may be a patient's."""
        self.practice, self.canary = practice, canary
        self._made: dict[type[models.Model], Any] = {Practice: practice}

    @property
    def connection(self) -> Connection:
        found: Connection = self.of(Connection)
        return found

    def of(self, model: type[models.Model]) -> Any:
        if model not in self._made:
            self._made[model] = self.insert(model, {})
        return self._made[model]

    def insert(self, model: type[models.Model], given: dict[str, Any]) -> Any:
        """A new row; `given` by attribute name wins. Whatever clean methods say: the database alone is asked."""
        values = {field.attname: self._value(model, field) for field in model._meta.concrete_fields}
        values |= _FIXED.get(model._meta.label, {}) | given
        if model._meta.pk.is_relation:  # a receiver may have made it together with its parent
            model._default_manager.filter(pk=values[model._meta.pk.attname]).delete()
        row = model(**{name: value for name, value in values.items() if value is not models.NOT_PROVIDED})
        models.Model.save_base(row, force_insert=True)
        return row

    def _value(self, model: type[models.Model], field: Any) -> Any:
        if field.is_relation:
            return self._related(model, field)
        if field.primary_key or field.has_default() or getattr(field, "auto_now_add", False):
            return models.NOT_PROVIDED
        if field.null:
            return None
        named = self._named(field) if self.canary and field.name in getattr(model, "PHI_FIELDS", ()) else None
        return _made_up(field) if named is None else named

    def _named(self, field: Any) -> Any:
        """A patient's own value with the canary in it; None for a column that has no room for it."""
        if isinstance(field, models.JSONField):
            return {"family": self.canary, "given": self.canary}
        if not isinstance(field, models.CharField | models.TextField) or field.choices:
            return None
        room = (field.max_length or 200) - len(self.canary)
        return f"{self.canary}{next(_numbers)}" if room >= 4 else None

    def _related(self, model: type[models.Model], field: Any) -> Any:
        target = field.related_model
        if target is User:
            return User.objects.create_user(f"person{next(_numbers)}@example.org").pk
        if target is model or (field.null and target in {ClientRegistration}):
            return None
        if field.one_to_one and not field.primary_key and target is not Practice:
            return self.insert(target, {}).pk
        if field.primary_key:
            return self.insert(target, {}).pk  # one each: a row that shares its parent's key
        return self.of(target).pk


def _made_up(field: Any) -> Any:
    number = next(_numbers)
    if field.choices:
        return field.flatchoices[0][0]
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.DateField):
        return datetime.date.today()
    if isinstance(field, models.JSONField):
        return {}
    if isinstance(field, models.BooleanField):
        return False
    if isinstance(field, models.IntegerField | models.FloatField):
        return 1
    if isinstance(field, models.GenericIPAddressField):
        return "127.0.0.1"
    return f"{hashlib.sha256(str(number).encode()).hexdigest()}"[: field.max_length or 20]
