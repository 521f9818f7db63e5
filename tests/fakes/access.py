"""Projects and their keys in memory; some keys are known as they are, without a hash of them."""

from dataclasses import dataclass, field

from flagstream.keys import KeyRing, masked
from flagstream.ports import Caller, Progress, Project, SecretKey
from flagstream.state.access import Scope, Tenant
from flagstream.state.definitions import Kind
from flagstream.views.access import KnownAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedProject(Project):
    """A project with a key that allows everything in it."""

    secret_key: str = field(repr=False)


PROJECT = KeyedProject(id=1, token="phc_one", secret_key="phs_one")
OTHER_PROJECT = KeyedProject(id=2, token="phc_two", secret_key="phs_two")
OPERATOR_KEY = "phs_operator_of_the_tests"


class FakeProjects(KnownAccess):
    """Two projects, unless there are others, and what definitions add."""

    def __init__(self, *projects: KeyedProject) -> None:
        self.projects = projects or (PROJECT, OTHER_PROJECT)
        self.now_ms = 0
        super().__init__(self.projects[0].token, clock_ms=lambda: self.now_ms)
        for each in self.projects[1:]:
            tenant = Tenant(token=each.token, created_at_ms=0, created_by="the tests")
            self.take(each.id, Kind.TENANT, str(each.id), tenant.to_body())


class FakeCallers:
    """Who holds the keys of :class:`KeyedProject`; of others what a :class:`KeyRing` says."""

    def __init__(self, projects: FakeProjects, progress: Progress, wait_timeout_s: float) -> None:
        self._known = {each.secret_key: caller_of(each) for each in projects.projects}
        self._ring = KeyRing(
            projects,
            progress,
            operator_keys={OPERATOR_KEY: masked(OPERATOR_KEY)},
            clock_ms=lambda: projects.now_ms,
            wait_timeout_s=wait_timeout_s,
        )

    async def caller(self, secret: str) -> Caller:
        return self._known.get(secret) or await self._ring.caller(secret)


def caller_of(project: KeyedProject) -> Caller:
    """Make who holds the key of a project."""
    key = SecretKey(
        id=f"{project.id}-tests",
        project_id=project.id,
        label="tests",
        scopes=[Scope.PROJECT_ADMIN],
        allows=frozenset(Scope),
        hash="",
        end="",
        created_at_ms=0,
        created_by="",
        # It was used by the tests before, so that no use of it is to be noted.
        used_at_ms=2**53,
    )
    return Caller(author=masked(project.secret_key), key=key)
