"""Ports, connections and times of a real server."""

import socket
from contextlib import ExitStack, closing

import pytest

from tests.scrapes import value
from tests.server import SECRET_KEY, TOKEN, Answer, Server, free_port
from tests.waiting import until

AUTH = {"Authorization": f"Bearer {SECRET_KEY}"}


def connected(server):
    return closing(socket.create_connection(("127.0.0.1", server.port), timeout=10))


def statuses(connection):
    """Read until the server closes the connection; the statuses of its answers."""
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return [int(each.split()[0]) for each in received.split(b"HTTP/1.1 ")[1:]]


class TestAdminPort:
    @pytest.mark.parametrize("api_processes", [0, 2])
    def test_apart(self, make_server, api_processes):
        """
        With a port for operators the first one answers events, flags and health alone, the second
        one everything; the command line finds it, and so does whoever reads the banner.
        """
        server = make_server(admin_port=free_port(), api_processes=api_processes)
        server.start()
        admin = server.environment["FLAGSTREAM_ADMIN_PORT"]
        asked = {"token": TOKEN, "distinct_id": "u"}
        event = {"api_key": TOKEN, "event": "e", "distinct_id": "u"}

        def ask(method, path, body=None) -> Answer:
            return server.request(method, path, body, AUTH)

        for _ in range(6):  # of several processes, each
            assert [404, 404, 404, 404] == [
                ask("GET", path).status
                for path in ("/metrics", "/api/projects/", "/flags/definitions", "/api/docs")
            ]
            assert [200, 200] == [
                ask("POST", path, body).status
                for path, body in (("/flags/?v=2", asked), ("/e/", event))
            ]
        listed = server.cli("export")
        assert f"http://127.0.0.1:{admin}/api/projects/" in server.log.read_text()
        server.url = f"http://127.0.0.1:{admin}"
        for _ in range(6):
            assert [200] * 6 == [
                ask("GET", path).status
                for path in (
                    *("/metrics", "/api/projects/", "/flags/definitions", "/api/docs"),
                    *("/_readiness", f"/array/{TOKEN}/config"),
                )
            ]
            assert 200 == ask("POST", "/flags/?v=2", asked).status
        assert 0 == listed.returncode, listed.stderr
        assert 0 == server.terminate()

    def test_taken(self, make_server):
        """
        A port for operators that somebody else listens on stops the start, and is named.
        """
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            for processes in (0, 1):
                server: Server = make_server(admin_port=port, api_processes=processes)
                server.launch()

                assert 0 != server.process.wait(30)
                assert f"admin_port: cannot listen on 127.0.0.1:{port}" in server.log.read_text()

    def test_connections_of_both(self, make_server):
        """
        Connections are counted of both ports together.
        """
        server = make_server(admin_port=free_port())
        server.start()
        with ExitStack() as stack:
            for _ in range(5):
                connection = stack.enter_context(connected(server))
                connection.sendall(b"GET /_liveness HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
            server.url = f"http://127.0.0.1:{server.environment['FLAGSTREAM_ADMIN_PORT']}"

            assert 6 == value(server, "flagstream_http_connections")


class TestConnections:
    def test_flood(self, make_server):
        """
        Who opens more connections than there may be is told to come back; those that are open go
        on, and silent ones make room in time.
        """
        server = make_server(max_connections=20, head_timeout_s=1)
        server.start()
        with ExitStack() as stack:
            open_ = [stack.enter_context(connected(server)) for _ in range(20)]
            late = [stack.enter_context(connected(server)) for _ in range(30)]

            assert [[503]] * 30 == [statuses(each) for each in late]
            open_[0].sendall(b"GET /_liveness HTTP/1.1\r\nHost: x\r\n\r\n")
            assert open_[0].recv(65_536).startswith(b"HTTP/1.1 200")
            assert [[]] * 19 == [statuses(each) for each in open_[1:]]
            until(server.is_ready)

    def test_slow_heads(self, make_server):
        """
        Heads that trickle in are given up in time, while others are answered.
        """
        server = make_server(head_timeout_s=1)
        server.start()
        with ExitStack() as stack:
            slow = [stack.enter_context(connected(server)) for _ in range(50)]
            for piece in (b"GET ", b"/ ", b"HTTP/", b"1.1\r\n", b"Host"):
                for each in slow:
                    each.sendall(piece)
                assert server.is_ready()

            assert {(408,)} == {tuple(statuses(each)) for each in slow}

    def test_silent_stop(self, make_server):
        """
        Connections that are open and say nothing do not hold up the end of the server.
        """
        server = make_server()
        server.start()
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(connected(server)).sendall(b"GET / HTTP")

            assert 0 == server.terminate()
