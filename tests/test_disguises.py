"""The rules of `bdpl_providers.disguises`: in what forms a key is known again."""

from __future__ import annotations

import base64
import hashlib
import json
import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdpl_providers.disguises import disguises
from bdpl_providers.replies import Peer

KEY = "sk-a/b+c=0123456789~xyz"
KEYS = st.text(string.ascii_letters + string.digits + "-_.~/+=%!", min_size=12, max_size=60)


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        quote(KEY),
        quote(KEY, safe=""),
        quote_plus(KEY),
        quote(KEY, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d"),
        KEY.encode().hex(),
        hashlib.sha256(KEY.encode()).hexdigest(),
        hashlib.sha256(KEY.encode()).hexdigest().upper(),
        hashlib.md5(KEY.encode(), usedforsecurity=False).hexdigest(),
    ],
)
def test_each_form_is_cleared(form: str) -> None:
    """A server that sends the key back, encoded or digested, finds it in nothing of ours."""
    body = f'{{"error": "no such key: {form}, sorry"}}'.encode()
    assert Peer("x/y", disguises(KEY)).cleared(body) == b'{"error": "no such key: ***, sorry"}'


@given(KEYS, st.binary(max_size=20), st.binary(max_size=20), st.booleans())
def test_base64_is_cleared_wherever_the_key_begins(
    key: str, before: bytes, after: bytes, url: bool
) -> None:
    """Of ``user:key`` packed, no more is left than the letters that touch its neighbours."""
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    packed = encode(before + key.encode() + after)
    cleared = Peer("x/y", disguises(key)).cleared(packed)
    assert b"***" in cleared
    touching = 8  # letters at most that the key shares, or that a key of one letter leaves
    assert len(cleared) <= len(packed) - len(key) * 8 // 6 + len(b"***") + touching


@given(KEYS, st.data())
def test_a_key_spelled_by_number_is_cleared(key: str, data: st.DataObject) -> None:
    """JSON may write any character as an escape; the key is known again all the same."""
    marked = data.draw(st.lists(st.booleans(), min_size=len(key), max_size=len(key)))
    spelled = "".join(
        f"\\u{ord(sign):04x}" if mark else json.dumps(sign)[1:-1]
        for sign, mark in zip(key, marked, strict=True)
    )
    cleared = Peer("x/y", disguises(key)).cleared(f'"{spelled}"'.encode())
    assert key not in json.loads(cleared)


@given(KEYS)
def test_the_likeliest_stand_first(key: str) -> None:
    """Good answers are searched for the first two only; none is so short that it is anywhere."""
    found = disguises(key)
    assert found[:2] == (key, hashlib.sha256(key.encode()).hexdigest())
    assert min(map(len, found)) >= 12
    assert len(set(found)) == len(found)


def test_without_a_key_there_is_nothing_to_hide() -> None:
    """No key, no forms; the peer then leaves every body as it is."""
    assert disguises(None) == disguises("") == ()
    assert Peer("x/y", ()).cleared(b"\\u0041") == b"\\u0041"
    assert "sk-" not in repr(Peer("x/y", disguises(KEY)))
