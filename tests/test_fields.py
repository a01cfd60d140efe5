"""Secrets at rest: ciphertext only, bound to its row, readable while one of its keys is there."""

import pytest
from cryptography.fernet import Fernet
from django.db import connection, models, transaction
from pytest_django import Settings

from emr.fields import Sealed, SecretUnreadable, seal, unseal
from emr.models import ClientRegistration, Connection, Grant, Practice, SystemToken

CANARY = "canary-secret-7f3a91"

pytestmark = pytest.mark.django_db


def registration(name: str = "Backend app", secret: str = CANARY) -> ClientRegistration:
    return ClientRegistration.objects.create(name=name, client_secret=secret)


def stored(row: models.Model, column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT "{column}" FROM {row._meta.db_table} WHERE id = %s',
            [row._meta.pk.get_db_prep_value(row.pk, connection)],
        )
        value: str = cursor.fetchone()[0]
    return value


def store(row: models.Model, column: str, value: str) -> None:
    with connection.cursor() as cursor:
        key = row._meta.pk.get_db_prep_value(row.pk, connection)
        cursor.execute(f'UPDATE {row._meta.db_table} SET "{column}" = %s WHERE id = %s', [value, key])


def new_key() -> str:
    return Fernet.generate_key().decode()


def reason_of(row: models.Model, field: str) -> str:
    with pytest.raises(SecretUnreadable) as caught:
        getattr(row, field)
    return f"{caught.value!r} {caught.value.__cause__!r}"


def test_secret_reads_back_as_it_was_saved() -> None:
    saved = registration(secret=f"{CANARY} with | and ü")
    assert ClientRegistration.objects.get(pk=saved.pk).client_secret == f"{CANARY} with | and ü"


def test_secret_is_ciphertext_in_the_database() -> None:
    saved = registration()
    assert CANARY not in stored(saved, "client_secret")
    assert stored(saved, "client_secret") != ""


def test_secret_blank_is_stored_blank() -> None:
    saved = registration(secret="")
    assert stored(saved, "client_secret") == ""
    assert ClientRegistration.objects.get(pk=saved.pk).client_secret == ""


def test_secret_same_text_twice_gives_different_ciphertext() -> None:
    assert stored(registration("one"), "client_secret") != stored(registration("two"), "client_secret")


def test_secret_swapped_between_rows_is_refused() -> None:
    mine, theirs = registration("one", CANARY), registration("two", "other")
    store(theirs, "client_secret", stored(mine, "client_secret"))
    told = reason_of(ClientRegistration.objects.get(pk=theirs.pk), "client_secret")
    assert "another row" in told
    assert CANARY not in told


def test_secret_swapped_between_columns_is_refused() -> None:
    practice = Practice.objects.create(name="Alder", code="AAAAAA")
    link = Connection.objects.create(practice=practice, registration=registration(), base_url="https://x.example")
    grant = Grant.objects.create(connection=link, patient_fhir_id="p", access_token="a", refresh_token=CANARY)
    store(grant, "access_token", stored(grant, "refresh_token"))
    assert "another row" in reason_of(Grant.objects.get(pk=grant.pk), "access_token")


def test_secret_swapped_between_models_is_refused() -> None:
    row = registration()
    sealed = seal(SystemToken, "client_secret", row.pk, CANARY)
    with pytest.raises(SecretUnreadable):
        unseal(ClientRegistration, "client_secret", row.pk, sealed)


def test_secret_tampered_ciphertext_is_refused() -> None:
    saved = registration()
    cipher = stored(saved, "client_secret")
    middle = len(cipher) // 2
    store(
        saved,
        "client_secret",
        cipher[:middle] + ("A" if cipher[middle] != "A" else "B") + cipher[middle + 1 :],
    )
    assert "cannot be decrypted" in reason_of(ClientRegistration.objects.get(pk=saved.pk), "client_secret")


def test_secret_plaintext_put_into_the_column_is_refused() -> None:
    saved = registration()
    store(saved, "client_secret", CANARY)
    told = reason_of(ClientRegistration.objects.get(pk=saved.pk), "client_secret")
    assert CANARY not in told


def test_key_rotation_old_key_may_go_once_rows_are_saved_again(settings: Settings) -> None:
    old, new = new_key(), new_key()
    settings.FIELD_KEYS = [old]
    saved = registration()
    settings.FIELD_KEYS = [new, old]
    loaded = ClientRegistration.objects.get(pk=saved.pk)
    assert loaded.client_secret == CANARY
    loaded.client_secret = loaded.client_secret  # set again: sealed with the newest key
    loaded.save()
    settings.FIELD_KEYS = [new]
    assert ClientRegistration.objects.get(pk=saved.pk).client_secret == CANARY


def test_key_lost_says_so_without_the_value(settings: Settings) -> None:
    saved = registration()
    cipher = stored(saved, "client_secret")
    settings.FIELD_KEYS = [new_key()]
    told = reason_of(ClientRegistration.objects.get(pk=saved.pk), "client_secret")
    assert "ClientRegistration.client_secret" in told
    assert CANARY not in told
    assert cipher not in told


def test_key_lost_rows_still_list_and_save_without_touching_the_secret(settings: Settings) -> None:
    saved = registration()
    cipher = stored(saved, "client_secret")
    settings.FIELD_KEYS = [new_key()]
    loaded = ClientRegistration.objects.filter(name=saved.name)[0]
    loaded.name = "Renamed"
    loaded.save()
    assert stored(saved, "client_secret") == cipher


def test_update_with_plaintext_is_refused() -> None:
    saved = registration(secret="before")
    with pytest.raises(TypeError, match="sealed text only") as caught, transaction.atomic():
        ClientRegistration.objects.filter(pk=saved.pk).update(client_secret=CANARY)
    assert CANARY not in str(caught.value)
    assert ClientRegistration.objects.get(pk=saved.pk).client_secret == "before"


def test_update_with_sealed_text_reads_back() -> None:
    saved = registration(secret="before")
    sealed = seal(ClientRegistration, "client_secret", saved.pk, CANARY)
    ClientRegistration.objects.filter(pk=saved.pk).update(client_secret=sealed)
    assert ClientRegistration.objects.get(pk=saved.pk).client_secret == CANARY


def test_deferred_secret_is_fetched_when_asked_for() -> None:
    saved = registration()
    assert ClientRegistration.objects.defer("client_secret").get(pk=saved.pk).client_secret == CANARY


@pytest.mark.parametrize("show", [repr, str, lambda row: f"{row}"], ids=["repr", "str", "format"])
def test_row_never_shows_its_secret(show: object) -> None:
    loaded = ClientRegistration.objects.get(pk=registration().pk)
    assert callable(show)
    assert CANARY not in show(loaded)


def test_sealed_repr_shows_nothing() -> None:
    sealed = seal(ClientRegistration, "client_secret", "1", CANARY)
    assert isinstance(sealed, Sealed)
    assert repr(sealed) == "<sealed>"
    assert repr({"token": sealed}) == "{'token': <sealed>}"


def test_loaded_row_keeps_no_plaintext_in_its_state() -> None:
    loaded = ClientRegistration.objects.get(pk=registration().pk)
    assert loaded.client_secret == CANARY
    assert CANARY not in repr(loaded.__dict__)
