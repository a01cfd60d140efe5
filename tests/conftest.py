"""People in tests: alice and bob share practice A; charlie of practice B must see nothing of it."""

from typing import Any

import pytest
from django.core.cache import cache
from django.db.backends.base.operations import BaseDatabaseOperations
from django.test import Client
from hypothesis import settings as hypothesis_settings

from emr import walls
from emr.accounts import second_factor
from emr.models import Membership, Practice, User

# What Django itself writes about the models when they are migrated: to make it anew takes longer than most tests.
KEPT_TABLES = frozenset({"django_content_type", "auth_permission"})

# The same examples in every run, however slow the machine is.
hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis_settings.load_profile("repeatable")


@pytest.fixture(autouse=True, scope="session")
def flushing_leaves_what_migrations_made() -> Any:
    """Between tests with transactions Django empties the tables; our guards stand aside for it, and then again.

    On PostgreSQL this wants a superuser, which the private cluster of tests.servers gives.
    """
    flush = BaseDatabaseOperations.execute_sql_flush

    def emptying(style: Any, connection: Any, **options: Any) -> Any:
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        emptied = sorted({*tables} - KEPT_TABLES)
        if connection.vendor == "postgresql":
            # A handful of rows goes faster than the files of seventy tables; as a replica, no trigger is asked.
            rows = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in emptied]
            return ["SET LOCAL session_replication_role = replica", *rows]
        return connection.ops.sql_flush(style, emptied, **options)

    def lifted(self: Any, statements: Any) -> None:
        if self.connection.vendor == "sqlite":
            walls.lift(self.connection.alias, ("guard_",))
        flush(self, statements)

    def emptied(verbosity: int, interactive: bool, database: str) -> None:
        walls.build(database)
        cache.clear()  # its table is no model's: what one test counted of sign-ins would refuse those of a later one

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", lifted)
        patch.setattr("django.core.management.commands.flush.sql_flush", emptying)
        patch.setattr("django.core.management.commands.flush.emit_post_migrate_signal", emptied)
        yield


@pytest.fixture
def practice_a(db: None) -> Practice:
    return Practice.objects.create(name="Alder Headache Clinic", code="AAAAAA")


@pytest.fixture
def practice_b(db: None) -> Practice:
    return Practice.objects.create(name="Birch Neurology", code="BBBBBB")


def member(email: str, practice: Practice, role: str) -> User:
    user = User.objects.create_user(email, "correct horse battery", full_name=email.split("@")[0].title())
    Membership.objects.create(user=user, practice=practice, role=role)
    return user


@pytest.fixture
def alice(practice_a: Practice) -> User:
    return member("alice@example.org", practice_a, Membership.Role.CLINICIAN)


@pytest.fixture
def bob(practice_a: Practice) -> User:
    return member("bob@example.org", practice_a, Membership.Role.STAFF)


@pytest.fixture
def charlie(practice_b: Practice) -> User:
    """Opens charts in B: what keeps charlie out of A's must be the practice, not the role."""
    return member("charlie@example.org", practice_b, Membership.Role.CLINICIAN)


def with_password_only(user: User, client: Client | None = None) -> Client:
    """A session that has passed the first factor alone."""
    client = client or Client()
    client.force_login(user)
    return client


def signed_in(user: User, client: Client | None = None) -> Client:
    """A session that has passed both factors."""
    client = with_password_only(user, client)
    session = client.session
    session[second_factor.PROOF] = {"user": str(user.pk), "how": "totp"}
    session.save()
    return client
