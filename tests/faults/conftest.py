"""Pulls against a real sandbox, with faults ordered: the fixtures of tests/pulls."""

from tests.pulls.conftest import (  # noqa: F401
    connect,
    jwks_server,
    key_material,
    published,
    signing_key,
    unlimited,
)
