"""
What an answer by OpenFeature's protocol (OFREP) costs, next to ``/flags``: CPU time of one server.

One flag alone, all flags, and all flags where nothing has changed (304), asked by 200 users of as
many organizations again and again, as in ``flags_http``. Rounds are interleaved; of each kind of
request the best round counts.

    python -m benchmarks.ofrep [--rounds 8] [--seconds 1]
"""

import argparse
import http.client
import json

import orjson

from benchmarks.flags_http import GROUP_KEYS, KEEPING, USERS, request_bytes
from benchmarks.load import server
from tests.fakes.views import PROJECT
from tests.ofrep import PATH

CASES = (1, 50, 500)
CONNECTIONS = 16


def ask(path: str, group_key: str, flags: int, *headers: str) -> bytes:
    """A request as OpenFeature's provider for Node sends it."""
    groups = {"company": group_key}
    context = {"targetingKey": USERS[group_key], "groups": groups}
    raw = orjson.dumps({"context": context | ({"plan": "pro"} if flags > 1 else {})})
    lines = [
        f"POST {path} HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {PROJECT.token}",
        "content-type: application/json; charset=utf-8",
        "accept: */*",
        "user-agent: node",
        f"content-length: {len(raw)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def etag(port: int, request: bytes) -> str:
    """Ask once, for the tag of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = request.partition(b"\r\n\r\n")[2]
    headers = {"authorization": f"Bearer {PROJECT.token}", "user-agent": "node"}
    connection.request("POST", PATH, body, headers)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    tag = response.headers["ETag"]
    connection.close()
    return tag


def compare(flags: int, rounds: int, seconds: float) -> None:
    with server("benchmarks.flags_http", KEEPING, str(flags)) as ours:
        everything = {key: ask(PATH, key, flags) for key in GROUP_KEYS}
        asked = {
            "flags": ([request_bytes("node", key, flags) for key in GROUP_KEYS], 200),
            "ofrep_all": (list(everything.values()), 200),
            "ofrep_unchanged": (
                [
                    ask(PATH, key, flags, f"if-none-match: {etag(ours.port, request)}")
                    for key, request in everything.items()
                ],
                304,
            ),
            "ofrep_one": ([ask(f"{PATH}/flag-1", key, flags) for key in GROUP_KEYS], 200),
        }
        best = dict.fromkeys(asked, 0.0)
        for _ in range(rounds + 1):
            for name, (requests, status) in asked.items():
                load = ours.load(requests, connections=CONNECTIONS, seconds=seconds, status=status)
                best[name] = max(best[name], load.per_cpu_s)
        result = {f"{name}_cpu_us": round(1e6 / each, 1) for name, each in best.items()}
        ratios = {
            f"{name}_ratio": round(best["flags"] / best[name], 2)
            for name in ("ofrep_all", "ofrep_unchanged", "ofrep_one")
        }
        print(json.dumps({"flags": flags, **result, **ratios}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    for flags in CASES:
        compare(flags, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
