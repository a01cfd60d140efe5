"""Memory does not grow with the file."""

import pytest

from bench.bulk_file import MB, growth

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def test_file_of_many_lines_is_stored_in_flat_memory() -> None:
    """12,000 lines of 1 kB; the same 500 resources again and again: about memory, not about the database."""
    told = growth(12, distinct=500)
    assert told.state == "done"
    assert told.lines > 11_000
    assert told.rss < 40 * MB
