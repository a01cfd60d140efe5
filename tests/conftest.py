"""People in tests: alice and bob share practice A; charlie of practice B must see nothing of it."""

import pytest
from django.test import Client

from emr.models import Membership, Practice, User


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
    return member("charlie@example.org", practice_b, Membership.Role.ADMIN)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client
