"""Secrets at rest: MultiFernet, with the plaintext bound to the row it belongs to.

Fernet has no associated data: a ciphertext copied from practice A's row to practice B's would decrypt. So the
plaintext carries model, field and primary key, and reading checks them. Keys: settings.FIELD_KEYS, newest first.
"""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class SecretUnreadable(Exception):
    """The stored value was made with a key we no longer have, or for another row. Never holds the value."""


class Sealed(str):
    """A ciphertext. Shows nothing of itself, so that it may pass through logs and pages."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<sealed>"


def _fernet() -> MultiFernet:
    return _of_keys(tuple(settings.FIELD_KEYS))


@lru_cache(maxsize=4)
def _of_keys(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _binding(model: type[models.Model] | models.Model, field: str, pk: object) -> bytes:
    return f"v1|{model._meta.label_lower}|{field}|{pk}|".encode()


def seal(model: type[models.Model] | models.Model, field: str, pk: object, plaintext: str) -> Sealed:
    """Ciphertext for `field` of row `pk`; for conditional UPDATEs, which never see an instance."""
    if plaintext == "":
        return Sealed("")
    return Sealed(_fernet().encrypt(_binding(model, field, pk) + plaintext.encode()).decode())


def unseal(model: type[models.Model] | models.Model, field: str, pk: object, ciphertext: str) -> str:
    """The plaintext. Raises SecretUnreadable for a lost key or a ciphertext of another row."""
    if ciphertext == "":
        return ""
    try:
        plaintext = _fernet().decrypt(str(ciphertext).encode())
    except InvalidToken:
        raise SecretUnreadable(f"{model._meta.label}.{field} cannot be decrypted with FIELD_KEYS") from None
    binding = _binding(model, field, pk)
    if not plaintext.startswith(binding):
        raise SecretUnreadable(f"{model._meta.label}.{field} holds a value sealed for another row")
    return plaintext[len(binding) :].decode()


def is_newest(ciphertext: str) -> bool:
    """Whether it was sealed with the first of FIELD_KEYS."""
    try:
        Fernet(settings.FIELD_KEYS[0]).decrypt(str(ciphertext).encode())
    except InvalidToken:
        return False
    return True


class _SecretAttribute:
    """Decrypts when the attribute is read, not when the row is loaded: listing rows never needs the keys."""

    def __init__(self, field: "SecretField") -> None:
        self.field = field

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        if instance is None:
            return self
        name = self.field.attname
        if name not in instance.__dict__:
            instance.refresh_from_db(fields=[name])
        value = instance.__dict__[name]
        return unseal(instance, name, instance.pk, value) if isinstance(value, Sealed) else value

    def __set__(self, instance: models.Model, value: str) -> None:
        instance.__dict__[self.field.attname] = value


class SecretField(models.TextField):
    """Text encrypted at rest. The primary key must exist before saving (ours are UUIDs made in Python)."""

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, name, _SecretAttribute(self))

    def from_db_value(self, value: str | None, *args: object) -> Sealed | None:
        return None if value is None else Sealed(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = model_instance.__dict__[self.attname]
        if isinstance(value, Sealed):
            return value
        return seal(model_instance, self.attname, model_instance.pk, value or "")

    def get_prep_value(self, value: Any) -> Any:
        if value in ("", None) or isinstance(value, Sealed):
            return value if value is None else str(value)
        raise TypeError(f"{self.name} takes sealed text only: use emr.fields.seal")
