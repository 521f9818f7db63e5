import pytest

from tests.fakes.capture import Capturing
from tests.fakes.sink import FoldedLog


@pytest.fixture
def log():
    return FoldedLog()


@pytest.fixture
def capturing(log):
    return Capturing(log)
