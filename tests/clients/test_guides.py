"""The guides' programs, run as they stand, print what the guides say that they print."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.clients.pages import File, serve_pages
from tests.server import Server
from tests.waiting import until

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUIDES = ROOT / "docs" / "guides"
SAMPLES = sorted((ROOT / "config" / "flags").glob("*.json"))
EXAMPLE_URL, EXAMPLE_TOKEN = "https://flags.example.com", "phc_your_project_token"
PRINTED = re.compile(r"^ *(?:print|console\.log)\(.*\) +(?:#|//) (.*)$", re.MULTILINE)

# posthog-node asks for Node 20.20; on Debian 12's Node 18 this is all that it lacks.
NODE_18 = (
    "data:text/javascript,"
    "import{webcrypto}from'node:crypto';if(!globalThis.crypto)globalThis.crypto=webcrypto"
)
PAGE = '<!doctype html><script type="module" src="/program.js"></script>'
# posthog-js sends no events from a browser that a test drives; this makes it a visitor's. What the
# library itself writes to the console has several parts.
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0"
VISITOR = """
  for (const name of ["webdriver", "userAgentData"])
    Object.defineProperty(navigator, name, { get: () => undefined });
  window.printed = [];
  console.log = (line, ...parts) => parts.length || printed.push(String(line));
"""


def blocks(guide, language):
    """Take the blocks of a guide that are in some language."""
    text = (GUIDES / f"{guide}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Program(NamedTuple):
    """
    What the blocks of a backend's guide add up to.

    Attributes:
        session: All but the tests.
        tests: What the reader tests their product with.
    """

    session: str
    tests: str


def program(guide, language):
    """Read the program that a guide is."""
    *parts, tests = blocks(guide, language)
    return Program("\n".join(parts), tests)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server as the guides' readers have it: with the samples, and an organization."""
    package = HERE / "node_modules" / "posthog-js"
    server = Server(tmp_path_factory.mktemp("guide") / "data", posthog_js_dir=package)
    server.start()
    server.set_group("organization", "acme-us", plan="gold")
    for user in ("user-1", "user-5"):
        server.capture({"event": "$set", "distinct_id": user, "$set": {"beta": "true"}})
    applied = server.cli("apply", *SAMPLES)
    assert 0 == applied.returncode, applied.stderr

    yield server

    server.kill()


@pytest.fixture
def run(server):
    """Run a command with what the guides say is set; gives the lines that it prints."""

    def run(*command, **options):
        environment = {
            "FLAGSTREAM_URL": server.url,
            "FLAGSTREAM_TOKEN": server.token,
            "FLAGSTREAM_SECRET_KEY": server.secret_key,
        }
        ran = subprocess.run(
            command,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )
        assert 0 == ran.returncode, ran.stdout + ran.stderr
        return ran.stdout.splitlines()

    return run


@pytest.fixture
def is_told(server):
    """Tell whether flagstream knows what the programs say of the organization's seats."""
    server.set_group("organization", "acme-us", seats=0)
    return lambda: 12 == server.group("organization", "acme-us")["seats"]


class TestPython:
    GUIDE = program("posthog-python", "python")

    def test_session(self, run, is_told):
        """
        The program prints what stands beside it, and what it tells flagstream is known then.
        """
        assert PRINTED.findall(self.GUIDE.session) == run(sys.executable, "-c", self.GUIDE.session)
        until(is_told)

    def test_tests(self, run, tmp_path):
        """
        The tests of the reader's product pass.
        """
        file = tmp_path / "test_product.py"
        file.write_text(self.GUIDE.tests)

        (*_, last) = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file)
        assert last.startswith("1 passed")


class TestNode:
    GUIDE = program("posthog-node", "js")

    @pytest.fixture
    def node(self, run):
        """Run an ES module where posthog-node is installed."""

        def node(module):
            command = ("node", "--import", NODE_18, "--input-type=module")
            return run(*command, input=module, cwd=HERE)

        return node

    def test_session(self, node, is_told):
        """
        The program prints what stands beside it, and what it tells flagstream is known then.
        """
        assert PRINTED.findall(self.GUIDE.session) == node(self.GUIDE.session)
        until(is_told)

    def test_tests(self, node):
        """
        The tests of the reader's product pass.
        """
        assert any(line.endswith(" pass 2") for line in node(self.GUIDE.tests))


def own(text, server, url):
    """Put the reader's own address and token into an example."""
    return text.replace(EXAMPLE_URL, url).replace(EXAMPLE_TOKEN, server.token)


def forward(ours, theirs):
    """Answer as the product's reverse proxy."""

    def answer(route):
        route.fulfill(response=route.fetch(url=route.request.url.replace(ours, theirs)))

    return answer


class TestBrowser:
    FIRST, SECOND_DEVICE, AT_ONCE, LEAVING, AWAY, OVERRIDDEN = blocks("posthog-js", "js")
    (SNIPPET,) = blocks("posthog-js", "html")
    (POLICY,) = blocks("posthog-js", "text")
    (SETTING,) = blocks("posthog-js", "console")

    @pytest.fixture
    def files(self):
        """The files of the product's web server."""
        return {}

    @pytest.fixture
    def url(self, files):
        """Where it serves them; another origin than flagstream's."""
        with serve_pages(files) as url:
            yield url

    @pytest.fixture
    def open_page(self, server, browser, files, url):
        """Open a page of the product, in a browser profile of its own; it runs the program."""
        contexts = []

        def open_page(program="", *, html=PAGE, headers=None, api_host=server.url):
            script = own(program, server, api_host).replace("'posthog-js'", "'/posthog.mjs'")
            page = own(html, server, api_host)
            files["/program.js"] = File("text/javascript", script.encode())
            files["/page"] = File("text/html", page.encode(), headers or {})
            contexts.append(browser.new_context(user_agent=AGENT))
            contexts[-1].add_init_script(VISITOR)
            contexts[-1].route(f"{url}f/**", forward(f"{url}f", server.url))
            tab = contexts[-1].new_page()
            tab.goto(f"{url}page")
            return tab

        yield open_page

        for context in contexts:
            context.close()

    @pytest.fixture
    def prints(self, open_page):
        """Run a program as a page; gives the lines that it prints, as many as it is said to."""

        def prints(program, **options):
            page = open_page(program, **options)
            wanted = len(PRINTED.findall(program))
            page.wait_for_function("(wanted) => printed.length >= wanted", arg=wanted)
            return page.evaluate("printed")

        return prints

    def test_from_flagstream(self, open_page):
        """
        A page that loads the library from flagstream has its flags.
        """
        page = open_page(html=f"<!doctype html>{self.SNIPPET}")

        page.wait_for_function("posthog.getFeatureFlag('beta-testers') === false")

    def test_first_and_second_device(self, server, prints, is_told):
        """
        A page that says for whom it is has the organization's flags, and so has the first load on
        another device, which does not.
        """
        assert PRINTED.findall(self.FIRST) == prints(self.FIRST)
        until(lambda: is_told() and server.flags("user-1")["new-billing"]["enabled"])

        assert PRINTED.findall(self.SECOND_DEVICE) == prints(self.SECOND_DEVICE)

    @pytest.mark.parametrize(
        "page", [AT_ONCE, LEAVING, AWAY, OVERRIDDEN], ids=["at once", "leaving", "away", "tests"]
    )
    def test_prints(self, prints, page):
        """
        Each other page prints what stands beside it.
        """
        assert PRINTED.findall(page) == prints(page)

    def test_behind_a_path(self, prints, url):
        """
        So does one that finds flagstream behind a path of the product.
        """
        assert PRINTED.findall(self.FIRST) == prints(self.FIRST, api_host=f"{url}f")

    def test_security_policy(self, server, prints):
        """
        So does one with the content security policy.
        """
        name, _, policy = own(self.POLICY, server, server.url).strip().partition(": ")

        assert PRINTED.findall(self.FIRST) == prints(self.FIRST, headers={name: policy})

    def test_setting(self, server, run):
        """
        The memory of active groups can be turned off.
        """
        command = own(self.SETTING.removeprefix("$ "), server, server.url)

        (answer,) = run("bash", "-c", command)
        server.api("PATCH", "", {"remember_active_groups": True})
        assert not json.loads(answer)["remember_active_groups"]


class TestKeysAndProjects:
    COMMAND = re.compile(r"^\$ (.*?\n(?:    .*\n)*)((?:(?!\$ ).*\n)*)", re.MULTILINE)
    END = "--- end of a command ---"

    @pytest.fixture
    def server(self, make_server):
        """A server that was given no operator's key."""
        server = make_server(secret_key="")
        server.start()
        return server

    def test_session(self, server):
        """
        The commands, one after the other in a shell, print what stands below each.
        """
        pairs = [
            pair
            for block in blocks("keys-and-projects", "console")
            for pair in self.COMMAND.findall(block)
        ]
        session = "".join(f"{{ {each}\n}} 2>&1; echo '{self.END}'\n" for each, _ in pairs)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ran = subprocess.run(
            ["bash", "-c", session.replace("http://127.0.0.1:8080", server.url)],
            env={**server.environment, "PATH": path},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        *printed, rest = ran.stdout.split(f"{self.END}\n")
        assert ("", "") == (rest, ran.stderr)
        for (command, expected), lines in zip(pairs, printed, strict=True):
            pattern = re.escape(expected).replace("…", "[^\n]*")
            assert re.fullmatch(pattern, lines), f"{command}{lines}"
