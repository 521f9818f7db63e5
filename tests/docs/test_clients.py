"""The reference of clients has a column for each that is tested, and says of it what a test can."""

import re

import pytest

from tests.clients.answers import CASES, Does
from tests.clients.versions import BROWSER, NODE, PYTHON


@pytest.mark.parametrize("kind", CASES)
def test_columns(kind):
    """
    There is a column for each client that the tests install, in the version that they install.
    """
    assert {*BROWSER, *NODE, *PYTHON} == {client for client, _ in CASES[kind]}


@pytest.mark.parametrize("kind", CASES)
def test_words(kind):
    """
    Each cell is one of the words that are explained, or a number of requests.
    """
    words = set(CASES[kind].values())

    assert set() == {
        word for word in words if word not in set(Does) and not re.fullmatch(r"\d+ requests", word)
    }
