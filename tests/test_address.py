"""The rules of `bdpl_async.sharing.address`: where a Redis is, and never its password."""

from __future__ import annotations

import pytest

from bdpl_async.errors import ConfigError
from bdpl_async.sharing.address import Address, is_address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://h", "redis://h:6379/0"),
        ("redis://h:7000/3", "redis://h:7000/3"),
        ("rediss://team@h/1?expire=7d", "rediss://h:6379/1"),
        ("redis://[::1]:7000", "redis://[::1]:7000/0"),
    ],
)
def test_an_address_is_shown_without_who_uses_it(text: str, shown: str) -> None:
    """Messages have host, port and database."""
    assert is_address(text)
    assert str(Address.of("run.cache", text)) == shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 30 * 86_400), ("?expire=90m", 5_400), ("?expire=12h", 43_200), ("?expire=never", None)],
)
def test_answers_are_kept_for_as_long_as_it_says(text: str, seconds: float | None) -> None:
    """Thirty days without a word."""
    assert Address.of("run.cache", f"redis://h{text}").expire == seconds


def test_the_password_is_the_environments() -> None:
    """It stands in no file, so it cannot stand in an address; the user may."""
    environ = {"BDPL_REDIS_PASSWORD": "word-of-the-day", "BDPL_REDIS_USERNAME": "other"}
    told = Address.of("x", "rediss://team@h").options(environ)
    assert (told["username"], told["password"]) == ("team", "word-of-the-day")
    assert Address.of("x", "redis://h").options(environ)["username"] == "other"
    assert "password" not in Address.of("x", "redis://h").options({})


def test_tls_is_verified() -> None:
    """By the system's authorities or one's own; there is no way to switch that off."""
    told = Address.of("x", "rediss://h?ca=/etc/ours.pem").options({})
    assert told["ssl_cert_reqs"] == "required"
    assert told["ssl_check_hostname"] is True
    assert told["ssl_ca_certs"] == "/etc/ours.pem"
    assert "ssl" not in Address.of("x", "redis://h").options({})


@pytest.mark.parametrize(
    "text",
    [
        "redis://",
        "redis://:6379",
        "http://h",
        "redis://h:port",
        "redis://h:99999",
        "redis://h/base",
        "redis://h/-1",
        "redis://h#x",
        "redis://h?expire",
        "redis://h?expire=0d",
        "redis://h?expire=soon",
        "redis://h?ssl_cert_reqs=none",
        "redis://u:secret-word@h",
        "redis://:secret-word@h:port",
    ],
)
def test_what_is_none_is_refused_without_being_shown(text: str) -> None:
    """A message names the key; what was pasted there may hold a password."""
    with pytest.raises(ConfigError, match=r"^run\.cache: ") as caught:
        Address.of("run.cache", text)
    assert "secret-word" not in str(caught.value)
