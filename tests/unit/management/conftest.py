import pytest

from flagstream.management import DefinitionsWriter, Management
from tests.fakes.views import FakeCatalog, FakeDefinitionsLog

NOW_MS = 1_764_000_000_000


@pytest.fixture
def catalog():
    return FakeCatalog("company")


@pytest.fixture
def log(catalog):
    return FakeDefinitionsLog(catalog)


@pytest.fixture
def management(catalog, log):
    writer = DefinitionsWriter(catalog, log, log, clock_ms=lambda: NOW_MS, wait_timeout_s=0)
    return Management(writer, clock_ms=lambda: NOW_MS)
