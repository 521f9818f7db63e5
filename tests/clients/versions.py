"""The clients that are installed, today's and older ones, by name and version."""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
NODE_MODULES = HERE / "node_modules"
_OLD_PYTHON = HERE / "old-python"
# Where scripts/test installs each of its locks, into a directory of the same name.
_INSTALLED_PYTHON = HERE / ".old-python"
_TODAYS_PYTHON = HERE.parents[1] / "requirements-test.lock"


def _node_modules(package: str) -> dict[str, str]:
    """List the modules, today's and those under another name, that are versions of a package."""
    declared = json.loads((HERE / "package.json").read_text())["devDependencies"]
    return {
        f"{package} {version.removeprefix(f'npm:{package}@')}": module
        for module, version in declared.items()
        if module == package or version.startswith(f"npm:{package}@")
    }


def _python(lock: Path) -> str:
    (version,) = re.findall(r"^posthog==(\S+)", lock.read_text(), re.MULTILINE)
    return f"posthog-python {version}"


BROWSER = _node_modules("posthog-js")
NODE = _node_modules("posthog-node")
PYTHON: dict[str, Path | None] = {
    _python(_TODAYS_PYTHON): None,
    **{_python(lock): _INSTALLED_PYTHON / lock.stem for lock in _OLD_PYTHON.glob("*.lock")},
}
