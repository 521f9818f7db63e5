"""Bodies in every wrapping, well formed and not."""

import base64
import contextlib
import gzip
import json
import time
import zlib
from urllib.parse import quote, quote_plus

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from lzstring import LZString

from flagstream.errors import BodyTooLargeError, InvalidRequestError, RequestError
from flagstream.wire import decode_body
from flagstream.wire.body import MAX_RATIO

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
ENVELOPES = st.lists(JSON, max_size=4) | st.dictionaries(TEXTS, JSON, max_size=4)


def decode(raw=b"", *, query=None, content_encoding=None, max_bytes=1_000_000, max_depth=64):
    return decode_body(
        raw,
        query=query or {},
        content_encoding=content_encoding,
        max_bytes=max_bytes,
        max_depth=max_depth,
    )


def units(text):
    """Write text as JavaScript holds it: a character for each UTF-16 code unit."""
    raw = text.encode("utf-16-le")
    return "".join(chr(raw[i] | raw[i + 1] << 8) for i in range(0, len(raw), 2))


def bare_deflate(raw):
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(raw) + deflater.flush()


def lz64(raw):
    return LZString.compressToBase64(units(raw.decode())).encode()


def zstd_stream(raw, window_log=20):
    """Compress as a stream does, which says nothing of its size in front."""
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(raw) + compressor.flush()


WRAPPINGS = {
    "plain": lambda raw: {"raw": raw},
    "spaced": lambda raw: {"raw": b" \n" + raw + b"\n"},
    "gzip, unlabelled": lambda raw: {"raw": gzip.compress(raw)},
    "gzip, labelled as something else": lambda raw: {
        "raw": gzip.compress(raw),
        "query": {"compression": "base64"},
        "content_encoding": "identity",
    },
    "plain, labelled gzip": lambda raw: {"raw": raw, "content_encoding": "gzip"},
    "zstd": lambda raw: {"raw": zstandard.compress(raw), "content_encoding": "zstd"},
    "zstd, of unknown size, unlabelled": lambda raw: {"raw": zstd_stream(raw)},
    "deflate": lambda raw: {"raw": zlib.compress(raw), "content_encoding": "deflate"},
    "bare deflate": lambda raw: {"raw": bare_deflate(raw), "content_encoding": "deflate"},
    "base64": lambda raw: {"raw": base64.b64encode(raw)},
    "base64 in lines": lambda raw: {"raw": base64.encodebytes(raw)},
    "base64, URL-safe, unpadded": lambda raw: {"raw": base64.urlsafe_b64encode(raw).rstrip(b"=")},
    "base64 form": lambda raw: {
        "raw": b"data=" + quote(base64.b64encode(raw), safe="").encode() + b"&compression=base64"
    },
    "base64 form, plus signs as they are": lambda raw: {
        "raw": b"ver=1&data=" + base64.b64encode(raw)
    },
    "JSON form": lambda raw: {"raw": b"data=" + quote_plus(raw).encode()},
    "gzip in base64": lambda raw: {"raw": base64.b64encode(gzip.compress(raw))},
    "base64 in gzip": lambda raw: {"raw": gzip.compress(base64.b64encode(raw))},
    "pixel": lambda raw: {"query": {"data": base64.b64encode(raw).decode()}},
    "pixel, plus signs read as spaces": lambda raw: {
        "query": {"data": base64.b64encode(raw).decode().replace("+", " ")}
    },
    "lz64": lambda raw: {"raw": lz64(raw), "query": {"compression": "lz64"}},
    "lz64 form": lambda raw: {
        "raw": b"data=" + quote(lz64(raw), safe="").encode() + b"&compression=lz64"
    },
}


class TestWrappings:
    @pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
    @given(value=ENVELOPES)
    def test_identity(self, wrap, value):
        """
        Decoding is the inverse of every encoding that clients use.
        """
        raw = json.dumps(value, ensure_ascii=False).encode()

        assert value == decode(**wrap(raw))

    @given(
        raw=st.binary()
        | st.binary().map(b"\x1f\x8b".__add__)
        | st.binary().map(b"\x28\xb5\x2f\xfd".__add__)
        | TEXTS.map(str.encode),
        label=st.sampled_from(["", "gzip", "deflate", "lz64", "base64", "zstd"]),
    )
    def test_anything_else_is_a_request_error(self, raw, label):
        """
        Arbitrary bytes under any label never raise anything but an error for the client.
        """
        with contextlib.suppress(RequestError):
            decode(raw, query={"compression": label})

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            gzip.compress(b'{"a":1}')[:-9],
            gzip.compress(b"[]") * 2,
            b"A",
            gzip.compress(b""),
            zstandard.compress(b'{"a":1}')[:-2],
            zstd_stream(b'{"a":1}')[:-2],
            zstandard.compress(b"[]") * 2,
            zstandard.compress(b""),
            zstd_stream(b"[]", window_log=27),
        ],
    )
    def test_torn(self, raw):
        """
        What was cut off, is followed by more, or wants more memory than any client's body needs, is
        refused and not half read.
        """
        with pytest.raises(InvalidRequestError):
            decode(raw)

    def test_wrapped_too_often(self):
        """
        Wrappings are taken off a few times, not for ever.
        """
        raw = b"[]"
        for _ in range(5):
            raw = gzip.compress(raw)

        with pytest.raises(InvalidRequestError):
            decode(raw)

    @pytest.mark.parametrize("raw", [b"BYX/", b"AAAA", b"////"])
    def test_damaged_lz64(self, raw):
        """
        LZ-string that refers to what was never said is refused.
        """
        with pytest.raises(InvalidRequestError):
            decode(raw, query={"compression": "lz64"})


class TestLoose:
    @pytest.mark.parametrize(
        ("raw", "value"),
        [
            (b"[NaN, Infinity, -Infinity, 1e999]", [None] * 4),
            (b'["\xff"]', ["\ufffd"]),
            (b'["\\ud800", "\\ud83d\\ude00"]', ["?", "😀"]),
            (b'["\\u0000"]', ["\0"]),
            (b"\xef\xbb\xbf{}", {}),
            (b'{"a":1,"a":2}', {"a": 2}),
            (b"[123456789012345678901234567890]", [1.2345678901234568e29]),
            (b"[NaN, 123456789012345678901234567890]", [None, 1.2345678901234568e29]),
            (b"[" + b"9" * 5_000 + b"]", [None]),
            (b"[-" + b"9" * 300_000 + b", 1." + b"9" * 300_000 + b"]", [None, 2.0]),
            (b"[1e400, -1e400, -0, 18446744073709551616]", [None, None, 0, 2**64]),
            (
                b'{"\\ud800": {"\\udfff": ["\\udc00x", NaN, true]}}',
                {"?": {"?": ["?x", None, True]}},
            ),
            (b' {"url": "/?a=1&data=2"}', {"url": "/?a=1&data=2"}),
        ],
    )
    def test_mended(self, raw, value):
        """
        What clients get wrong is mended so that it can be encoded again.
        """
        assert value == decode(raw)


class TestBounds:
    @pytest.mark.parametrize(
        "bomb",
        [
            {"raw": gzip.compress(b"[" + b" " * 5_000_000 + b"]")},
            {"raw": zlib.compress(b" " * 5_000_000), "content_encoding": "deflate"},
            {"raw": gzip.compress(gzip.compress(b" " * 50_000_000))},
            {"raw": zstandard.compress(b"[" + b" " * 5_000_000 + b"]")},
            {"raw": zstd_stream(b" " * 500_000_000)},
            {"raw": lz64(b" " * 20_000), "query": {"compression": "lz64"}, "max_bytes": 10_000},
            {"raw": b"A" * 400_000, "query": {"compression": "lz64"}},
            {"raw": b" " * 1_000_001},
            {"raw": lz64("€".encode() * 400), "query": {"compression": "lz64"}, "max_bytes": 1_100},
        ],
    )
    def test_bomb(self, bomb):
        """
        A body that grows over the limit is refused as soon as it does.
        """
        with pytest.raises(BodyTooLargeError):
            decode(**bomb)

    @pytest.mark.parametrize(
        "wrap", [gzip.compress, zstandard.compress, lambda raw: gzip.compress(gzip.compress(raw))]
    )
    def test_ratio(self, wrap):
        """
        What grows to more than two hundred times what was sent is refused, long before the
        absolute limit, whether one wrapping does that or several do it together.
        """
        bomb = wrap(b"[" + b" " * 15_000_000 + b"]")
        bound = max(1_048_576, MAX_RATIO * len(bomb))

        with pytest.raises(BodyTooLargeError, match=f"at most {bound} bytes"):
            decode(bomb, max_bytes=20_000_000)

    def test_ratio_of_little(self):
        """
        A mebibyte may come out of anything.
        """
        assert [] == decode(gzip.compress(b"[" + b" " * 1_000_000 + b"]"), max_bytes=20_000_000)

    @pytest.mark.parametrize("raw", [b"[" + b"[]," * 500_000 + b"1]", b"[1" + b",1" * 1_000_000])
    def test_too_many_values(self, raw):
        """
        More values than memory should hold are refused before they are decoded.
        """
        with pytest.raises(BodyTooLargeError, match="1000000 values"):
            decode(raw, max_bytes=20_000_000)

    def test_much_is_not_mended(self):
        """
        JSON is only mended where that does not take long.
        """
        with pytest.raises(InvalidRequestError, match="expected JSON"):
            decode(b"[NaN" + b",1" * 200_000 + b"]")

    @pytest.mark.parametrize(
        "raw",
        [b"A" * 3_000_000, b"data=" + b"A" * 3_000_000, b"\xff" * 3_000_000],
        ids=["base64", "form", "neither"],
    )
    def test_large_text(self, raw):
        """
        What is neither JSON nor compressed is refused where it would take long to find out more.
        """
        with pytest.raises(BodyTooLargeError, match="2097152 bytes of text"):
            decode(raw, max_bytes=20_000_000)

    @pytest.mark.parametrize(
        "raw",
        [
            b"\n" * 2_000_000 + b"!",
            b"A" + b" " * 2_000_000 + b"!",
            b"A" + b"=" * 2_000_000 + b"!",
            b"&data" * 400_000,
            b"&data=" * 300_000,
            b"data=" + b"%41" * 600_000,
            b"\n" * 2_000_000 + b"[",
        ],
        ids=["lines", "spaces", "padding", "almost a field", "fields", "escapes", "late JSON"],
    )
    def test_slow(self, raw):
        """
        The time that it takes to refuse a body grows with its size, not with the square of it.
        """
        started = time.process_time()

        with pytest.raises(RequestError):
            decode(raw, max_bytes=20_000_000)

        assert time.process_time() - started < 2

    @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
    @pytest.mark.parametrize("raw", [b"%b", b"[NaN,%b]"])
    def test_deep(self, opening, raw):
        """
        A hundred thousand levels are refused at once, also where the JSON has to be mended.
        """
        closing = b"]" if opening == b"[" else b"}"
        deep = opening * 100_000 + b"1" + closing * 100_000
        started = time.process_time()

        with pytest.raises(InvalidRequestError, match="at most 64 levels"):
            decode(raw.replace(b"%b", deep))

        assert time.process_time() - started < 1

    @pytest.mark.parametrize("mended", [b"1", b"NaN"])
    def test_depth_is_exact(self, mended):
        """
        As many levels as the limit says are let through, one more is not.
        """
        assert decode(b"[" * 64 + mended + b"]" * 64, max_depth=64)
        with pytest.raises(InvalidRequestError, match="at most 64 levels"):
            decode(b"[" * 65 + mended + b"]" * 65, max_depth=64)

    def test_wide_is_not_deep(self):
        """
        Many objects beside each other are no nesting.
        """
        assert [{}] * 1_000 == decode(b"[" + b",".join([b"{}"] * 1_000) + b"]")
