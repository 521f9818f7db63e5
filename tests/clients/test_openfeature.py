"""OpenFeature's SDKs with their OFREP providers: for Python, for Node and for pages."""

import contextlib
import re

import pytest
from aiohttp import web as aiohttp_web

from tests.clients.answers import PAGE
from tests.clients.openfeature_sdks import PROGRAMS, Ask, WebClient, ask
from tests.clients.serving import serving
from tests.filters import group_filters
from tests.server import Server
from tests.waiting import until

USER = {"targetingKey": "user-1"}
ACME = {**USER, "groups": {"organization": "acme"}}
INITECH = {**USER, "groups": {"organization": "initech"}}
BLUE = {"variants": [{"key": "blue", "rollout_percentage": 100}]}
CONFIGURATIONS = {"limits": {"seats": [1, 2]}, "seats": 5, "ratio": 0.5, "motto": "onwards"}
NO_VALUE = ["python", "web"]
"""The SDKs that know that a flag may leave its value to the code."""

ANSWERS = [
    (Ask("boolean", "gold", fallback=False, context=ACME), True, None),
    (Ask("boolean", "gold", fallback=True, context=INITECH), False, None),
    (Ask("boolean", "gold", fallback=True, context=USER), False, None),
    (Ask("string", "split", "-", ACME), "blue", None),
    (Ask("object", "limits", {}, ACME), CONFIGURATIONS["limits"], None),
    (Ask("integer", "seats", 1, ACME), 5, None),
    (Ask("float", "ratio", 1.5, ACME), 0.5, None),
    (Ask("string", "motto", "-", ACME), "onwards", None),
    (Ask("boolean", "split", fallback=False, context=ACME), False, "TYPE_MISMATCH"),
    (Ask("string", "gold", "-", ACME), "-", "TYPE_MISMATCH"),
    (Ask("boolean", "unknown", fallback=True, context=ACME), True, "FLAG_NOT_FOUND"),
    (Ask("boolean", "inactive", fallback=True, context=ACME), True, "FLAG_NOT_FOUND"),
]
LEFT_TO_THE_CODE = [
    Ask("string", "split", "-", INITECH),
    Ask("object", "limits", {"seats": 0}, INITECH),
]


def arrange(server):
    """Flags of every kind, on for one organization."""
    server.set_group("organization", "acme", plan="gold")
    gold = group_filters(plan="gold")
    server.create_flag("gold", gold)
    server.create_flag("inactive", gold, active=False)
    payloads = {"payloads": {"blue": {"steps": 1}}}
    server.create_flag("split", {**gold, "multivariate": BLUE, **payloads})
    for key, payload in CONFIGURATIONS.items():
        filters = {**gold, "payloads": {"true": payload}}
        server.create_flag(key, filters, is_remote_configuration=True)


@pytest.fixture(scope="module")
def arranged(tmp_path_factory):
    """A server with flags, which the tests only read."""
    server = Server(tmp_path_factory.mktemp("openfeature") / "data")
    server.start()
    arrange(server)

    yield server

    server.kill()


@pytest.fixture
def web(browser, pages_url):
    """Open a page, in a browser profile of its own."""
    contexts = []

    def web(url, token):
        contexts.append(browser.new_context())
        return WebClient(contexts[-1].new_page(), pages_url, url, token)

    yield web

    for context in contexts:
        context.close()


class TestServers:
    @pytest.mark.parametrize("sdk", PROGRAMS)
    def test_values(self, arranged, sdk):
        """
        Each getter gives what the flag says, and else the default with the reason.
        """
        asked = [each for each, _, _ in ANSWERS]

        answers = ask(sdk, arranged.url, arranged.token, asked)

        assert ANSWERS == [
            (each, answer["value"], answer.get("errorCode"))
            for each, answer in zip(asked, answers, strict=True)
        ]

    @pytest.mark.parametrize("sdk", PROGRAMS)
    def test_left_to_the_code(self, arranged, sdk):
        """
        A flag that is off and has no value then gives the default in the code; Node's provider,
        which does not know of that yet, says that something went wrong.
        """
        answers = ask(sdk, arranged.url, arranged.token, LEFT_TO_THE_CODE)

        error = None if sdk in NO_VALUE else "GENERAL"
        assert [(each.fallback, error) for each in LEFT_TO_THE_CODE] == [
            (answer["value"], answer.get("errorCode")) for answer in answers
        ]

    @pytest.mark.parametrize("sdk", PROGRAMS)
    def test_details(self, arranged, sdk):
        """
        The reason, the variant and the metadata come through, the payload of a variant among them.
        """
        (answer,) = ask(sdk, arranged.url, arranged.token, [Ask("string", "split", "-", ACME)])

        assert ("blue", "TARGETING_MATCH") == (answer["variant"], answer["reason"])
        assert ("condition_match", '{"steps":1}') == (
            answer["metadata"]["reason"],
            answer["metadata"]["payload"].replace(" ", ""),
        )

    @pytest.mark.parametrize("sdk", PROGRAMS)
    def test_refused(self, arranged, sdk):
        """
        Without a targeting key, or with a token that is unknown, the default is given.
        """
        asked = [
            Ask("boolean", "gold", fallback=True, context={"groups": {"organization": "acme"}})
        ]

        (no_key,) = ask(sdk, arranged.url, arranged.token, asked)
        (no_token,) = ask(sdk, arranged.url, "phc_unknown", [asked[0]._replace(context=ACME)])

        assert (True, "TARGETING_KEY_MISSING") == (no_key["value"], no_key["errorCode"])
        assert (True, "GENERAL") == (no_token["value"], no_token["errorCode"])

    @pytest.mark.parametrize("sdk", PROGRAMS)
    def test_disabled(self, arranged, sdk):
        """
        With a secret key, a flag that is not active is no error.
        """
        asked = [Ask("boolean", "inactive", fallback=True, context=ACME)]

        (answer,) = ask(sdk, arranged.url, arranged.secret_key, asked)

        assert answer["value"]
        if sdk in NO_VALUE:
            assert ("DISABLED", None) == (answer["reason"], answer["errorCode"])


TABLE = PAGE.split("\n## OpenFeature\n")[1]
REFUSALS = [int(status) for status in re.findall(r"`(\d{3})`", TABLE)]


class TestRefusals:
    @pytest.fixture
    def refusing(self):
        """A server that answers nothing but one status; gives its address by that."""
        with contextlib.ExitStack() as stack:
            asked = []

            def refusing(status):
                async def refuse(_):
                    asked.append(status)
                    return aiohttp_web.Response(status=status, headers={"Retry-After": "60"})

                app = aiohttp_web.Application()
                app.router.add_post("/{path:.*}", refuse)
                return stack.enter_context(serving(app)), asked

            yield refusing

    @pytest.mark.parametrize("status", REFUSALS)
    @pytest.mark.parametrize("sdk", PROGRAMS)
    def test_default(self, refusing, sdk, status):
        """
        Whatever a backend is refused with, it gives the default; and told to come back later it
        does not ask meanwhile.
        """
        url, asked = refusing(status)
        questions = [Ask("boolean", "gold", fallback=True, context=ACME)] * 2

        answers = ask(sdk, url, "phc_any", questions)

        assert [True, True] == [answer["value"] for answer in answers]
        assert (1 if status == 429 else 2) == len(asked)

    @pytest.mark.parametrize("status", REFUSALS)
    def test_page(self, arranged, web, status):
        """
        A page that is refused when it starts gives the default, and later what it has.
        """
        gold, asked = Ask("boolean", "gold", fallback=False), []

        def refuse(route):
            asked.append(status)
            headers = {"Access-Control-Allow-Origin": "*"}
            route.fulfill(status=status, headers=headers)

        client = web(arranged.url, arranged.token)
        client.page.route("**/ofrep/v1/evaluate/**", refuse)
        assert client.start(ACME) is not None
        assert not client.details(gold)["value"]
        client.page.unroute("**/ofrep/v1/evaluate/**")
        client.start(ACME, pollInterval=50, changeDetection="polling")
        client.wait_value(gold, value=True)
        asked.clear()
        client.page.route("**/ofrep/v1/evaluate/**", refuse)
        while not asked:
            client.page.wait_for_timeout(20)

        assert client.details(gold)["value"]


class TestPages:
    def test_values(self, arranged, web):
        """
        Each getter gives what the flag says, and else the default with the reason.
        """
        client = web(arranged.url, arranged.token)
        assert client.start(ACME) is None

        for asked, value, error in ANSWERS:
            if asked.context == ACME:
                details = client.details(asked)
                assert (value, error) == (details["value"], details.get("errorCode")), asked

    def test_another_context(self, arranged, web):
        """
        When the page says another organization, its flags are the ones that are given, with the
        default in the code for those without a value.
        """
        client = web(arranged.url, arranged.token)
        client.start(ACME)

        client.set_context(INITECH)

        assert not client.details(Ask("boolean", "gold", fallback=True))["value"]
        for asked in LEFT_TO_THE_CODE:
            details = client.details(asked)
            assert (asked.fallback, None) == (details["value"], details.get("errorCode"))

    def test_kept_flags(self, arranged, web):
        """
        A page that keeps flags from one load to the next gives the other organization's in the end.
        """
        client = web(arranged.url, arranged.token)
        client.start(ACME, cacheMode="local-cache-first")

        client.set_context(INITECH)

        client.wait_value(Ask("boolean", "gold", fallback=True), value=False)

    def test_refused(self, arranged, web):
        """
        Without a targeting key, or with a token that is unknown, the provider does not start.
        """
        assert web(arranged.url, arranged.token).start({}) is not None
        assert "PROVIDER_FATAL" == web(arranged.url, "phc_unknown").start(ACME)

    def test_polling(self, server, web):
        """
        A page that polls is told with 304 that nothing has changed, and learns what has.
        """
        arrange(server)
        client = web(server.url, server.token)
        statuses = []
        client.page.on("response", lambda response: statuses.append(response.status))

        client.start(ACME, pollInterval=100, changeDetection="polling")
        while 304 not in statuses:
            client.page.wait_for_timeout(50)
        server.set_group("organization", "acme", plan="free")
        client.wait_value(Ask("boolean", "gold", fallback=True), value=False)

        assert {200, 304} == set(statuses)
        (changed,) = client.page.evaluate("changes")
        assert {"gold", "split", *CONFIGURATIONS} == set(changed)

    def test_stream(self, server, web):
        """
        A page that does not poll learns at once what its organization's flags answer now, and asks
        nothing else meanwhile; so it does after it says another organization.
        """
        arrange(server)
        client = web(server.url, server.token)
        asked = []
        client.page.on("request", lambda request: asked.append(request.method))
        gold = Ask("boolean", "gold", fallback=False)

        client.start(ACME)
        until_listening(server, client)
        assert client.details(gold)["value"]
        server.set_group("organization", "initech", plan="gold")
        server.set_group("organization", "acme", plan="free")
        client.wait_value(gold, value=False)
        assert 2 == asked.count("POST")

        client.set_context(INITECH)
        client.wait_value(gold, value=True)
        until_listening(server, client)
        server.set_group("organization", "initech", plan="free")
        client.wait_value(gold, value=False)

    def test_stream_after_a_restart(self, server, web):
        """
        A page learns what has changed while the server was away, by its stream alone.
        """
        arrange(server)
        client = web(server.url, server.token)
        client.start(ACME)
        until_listening(server, client)

        server.terminate()
        server.start()
        server.set_group("organization", "acme", plan="free")

        client.wait_value(Ask("boolean", "gold", fallback=False), value=False)


def until_listening(server, client):
    """Wait until a page's stream, and only one, is open."""

    def is_listening():
        client.page.wait_for_timeout(0)
        return "flagstream_streams 1.0" in server.request("GET", "/metrics").body.splitlines()

    until(is_listening, 20)
