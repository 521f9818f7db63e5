"""
Who is inside a rollout, and which variant they get: hashes compared with bounds made once.

Both hashes are uniform over a fixed width, so "at most *p* percent" is one comparison with a bound
that is computed exactly when the flag is compiled; no float is touched while evaluating.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Literal

import mmh3

Bucketing = Literal["murmur3", "sha1"]
IsInside = Callable[[bytes], bool]
PickVariant = Callable[[bytes], int]

BUCKETS = 100_000  # one is 0.001 % of the identifiers
_PERCENT = BUCKETS // 100
_SHA1_VALUES = 2**60
_HOLDOUT = b"holdout-"
_ZERO = bytes(20)
_VALUES = range(_SHA1_VALUES)
_ABOVE_ALL_DIGESTS = b"\xff" * 21


def utf8(text: str) -> bytes:
    """Encode; lone surrogates, which UTF-8 does not have, get bytes as well and break nothing."""
    return text.encode("utf-8", "surrogatepass")


def rollout(bucketing: Bucketing, flag_key: str, percentage: float) -> IsInside | None:
    """
    Make the test of a rollout.

    Args:
        percentage: 0 to 100; murmur3 rounds it to 0.001.

    Returns:
        The test of an identifier's bytes, or None where everybody is inside.
    """
    make = _murmur3_rollout if bucketing == "murmur3" else _sha1_rollout
    return make(f"{flag_key}.".encode(), percentage)


def variants(bucketing: Bucketing, flag_key: str, shares: Sequence[float]) -> PickVariant | int:
    """
    Make the choice of a variant, independent of the rollout's draw.

    Args:
        shares: Percentages in the order of the variants.

    Returns:
        The choice of a variant's index for an identifier's bytes; ``len(shares)`` where the shares
        add up to less than 100 and leave the identifier out. The index itself where it is the same
        for everybody.
    """
    taken = next((index for index, share in enumerate(shares) if share > 0), len(shares))
    if taken == len(shares) or shares[taken] >= 100:  # noqa: PLR2004 -- per cent
        return taken
    make = _murmur3_variants if bucketing == "murmur3" else _sha1_variants
    return make(f"{flag_key}.".encode(), shares)


def holdout(bucketing: Bucketing, percentage: float) -> IsInside | None:
    """
    Make the test of a holdout: of one identifier it is the same for all flags.

    Args:
        percentage: Below 0 it is 0, from 100 on everybody is held out.

    Returns:
        None where everybody is held out.
    """
    if bucketing == "murmur3":
        return _murmur3_rollout(_HOLDOUT, max(percentage, 0))
    if percentage >= 100:  # noqa: PLR2004 -- per cent
        return None
    sha1, bound = hashlib.sha1, _sha1_bound(max(percentage, 0))
    return lambda identifier: sha1(_HOLDOUT + identifier).digest() < bound


def percentages(bucketing: Bucketing, flag_key: str, identifier: bytes) -> tuple[float, float]:
    """
    Tell where an identifier stands among all others: for people, no part of evaluating.

    Returns:
        In percent, from 0 to below 100, in the draw of the rollout and in that of the variants.
        Inside a rollout is, of murmur3, who stands below its percentage, of sha1 also who stands
        right at it.
    """
    prefix = f"{flag_key}.".encode()
    if bucketing == "murmur3":
        first, second = mmh3.mmh3_x64_128_utupledigest(prefix + identifier)
        return _murmur3_percentage(first), _murmur3_percentage(second)
    if not identifier:
        return 0.0, 0.0
    return _sha1_percentage(prefix + identifier), _sha1_percentage(prefix + identifier + b"variant")


def holdout_percentage(bucketing: Bucketing, identifier: bytes) -> float:
    """Tell the same for a holdout, which has who stands below its percentage."""
    if bucketing == "murmur3":
        return _murmur3_percentage(mmh3.mmh3_x64_128_utupledigest(_HOLDOUT + identifier)[0])
    return _sha1_percentage(_HOLDOUT + identifier)


def _murmur3_percentage(word: int) -> float:
    return (word * BUCKETS >> 64) / _PERCENT


def _sha1_percentage(hashed: bytes) -> float:
    sha1 = hashlib.sha1
    return _quotient(int.from_bytes(sha1(hashed).digest()[:8]) >> 4) * 100


def _murmur3_rollout(prefix: bytes, percentage: float) -> IsInside | None:
    """
    Compare the first word.

    Source:
        MurmurHash3 x64_128, seed 0, over UTF-8 of ``<flag key>.<identifier>``; its two 64-bit words
        are independent draws; bucket = word * 100,000 >> 64. Vectors in
        ``tests/conformance/cases/bucketing.json``.
    """
    hash_words = mmh3.mmh3_x64_128_utupledigest
    bucket = round(percentage * _PERCENT)
    if bucket >= BUCKETS:
        return None
    bound = _first_word(bucket)
    return lambda identifier: hash_words(prefix + identifier)[0] < bound


def _murmur3_variants(prefix: bytes, shares: Sequence[float]) -> PickVariant:
    """Compare the second word, so that a narrow rollout does not starve the last variants."""
    hash_words = mmh3.mmh3_x64_128_utupledigest
    # Sums are rounded, not shares: three thirds make a whole.
    bounds = [_first_word(round(total * _PERCENT)) for total in accumulate(shares)]
    return lambda identifier: bisect_right(bounds, hash_words(prefix + identifier)[1])


def _first_word(bucket: int) -> int:
    """Find the lowest 64-bit word of a bucket."""
    return -(-(bucket << 64) // BUCKETS)


def _sha1_rollout(prefix: bytes, percentage: float) -> IsInside | None:
    """
    Do as PostHog does, so that nobody changes sides on migration.

    An identifier of no characters hashes to 0 there, hence is inside every rollout.

    Source:
        First 60 bits of SHA-1 over UTF-8 of ``<flag key>.<identifier>``, divided by 2^60 in
        double precision; inside where the quotient is <= percentage / 100.
    """
    if percentage >= 100:  # noqa: PLR2004 -- per cent
        return None
    sha1, bound = hashlib.sha1, _sha1_bound(percentage)
    return lambda identifier: not identifier or sha1(prefix + identifier).digest() < bound


@lru_cache(maxsize=4096)
def _sha1_bound(percentage: float) -> bytes:
    return _digest_bound(bisect_right(_VALUES, percentage / 100, key=_quotient))


def _sha1_variants(prefix: bytes, shares: Sequence[float]) -> PickVariant:
    """Hash with the suffix ``variant``; the first whose cumulated share is above the quotient."""
    sha1 = hashlib.sha1
    totals = accumulate(share / 100 for share in shares)
    bounds = [_digest_bound(bisect_left(_VALUES, total, key=_quotient)) for total in totals]

    def pick(identifier: bytes) -> int:
        digest = sha1(b"%b%bvariant" % (prefix, identifier)).digest() if identifier else _ZERO
        return bisect_right(bounds, digest)

    return pick


def _quotient(value: int) -> float:
    return value / _SHA1_VALUES


def _digest_bound(value: int) -> bytes:
    """Make what every digest with a lower 60-bit value sorts before, and no other does."""
    if value >= _SHA1_VALUES:
        return _ABOVE_ALL_DIGESTS
    return (value << 4).to_bytes(8)
