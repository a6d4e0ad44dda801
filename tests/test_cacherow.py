"""The rules of `bdpl_async.caching.row`."""

from __future__ import annotations

import math
import zlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bdpl_async.caching.cache import Entry
from bdpl_async.caching.row import packed, unpacked
from bdpl_async.records import Score
from tests.cachekit import entry

finite = st.floats(max_value=0.0, allow_nan=False, allow_infinity=False)


@given(
    st.lists(finite | st.just(-math.inf), max_size=5),
    st.none() | st.floats(min_value=0, max_value=1.5),
    st.booleans(),
    st.integers(0, 10**9),
)
def test_numbers_come_back_bit_for_bit(
    logprobs: list[float], mass: float | None, censored: bool, tokens: int
) -> None:
    """Every float, minus infinity too, every flag and count is read as it was written."""
    flags = tuple(index % 2 == 0 for index in range(len(logprobs))) if censored else ()
    before = Entry(Score(tuple(logprobs), mass, flags), tokens, tokens % 7)
    row = packed(b"key", before)
    assert row is not None
    after = unpacked(*row)
    assert after == before
    assert str(after) == str(before)  # -0.0 is not 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_say_is_not_kept(value: float) -> None:
    """NaN and plus infinity never come back as something else: they are not written."""
    assert packed(b"key", entry(value)) is None
    assert packed(b"key", Entry(Score((-1.0,), mass=value))) is None


@given(st.binary(max_size=40) | st.sampled_from([b"[1,[0],null,'',1,1]", b"[]", b"{}"]))
def test_a_value_that_we_did_not_write_is_a_miss(value: bytes) -> None:
    """Any bytes, whatever their checksum, give an entry or None, never an error."""
    assume(value[:1] != b"+")  # before the bytes of a record
    assert unpacked(b"key", value, zlib.crc32(value, zlib.crc32(b"key"))) is None
    assert unpacked(b"key", value, 0) is None


def test_a_value_belongs_to_its_key() -> None:
    """A value that a damaged file gives for another key, or with one digit changed, is a miss."""
    row = packed(b"key", entry())
    assert row is not None
    key, value, checksum = row
    assert unpacked(b"kez", value, checksum) is None
    assert unpacked(key, value.replace(b"-2.5", b"-2.4"), checksum) is None
    assert unpacked(key, value, checksum) == entry()


@given(st.binary(max_size=40), st.integers(0, 39))
def test_a_record_comes_back_byte_for_byte(record: bytes, at: int) -> None:
    """What a probe found is kept as it is, and a damaged one is none."""
    row = packed(b"key", record)
    assert row is not None
    _, value, checksum = row
    assert unpacked(b"key", value, checksum) == record
    at %= len(value)
    damaged = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
    assert unpacked(b"key", damaged, checksum) is None
