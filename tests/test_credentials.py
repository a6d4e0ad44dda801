"""The rules of `bdpl_providers.credentials`."""

from __future__ import annotations

import pytest

from bdpl_async.errors import ConfigError
from bdpl_providers.credentials import checked_url, exposed, here, key_from


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("https://api.example.org/v1///", "https://api.example.org/v1"),
        (" http://[::1]:8000/v1\n", "http://[::1]:8000/v1"),
        ("HTTPS://example.org", "HTTPS://example.org"),
    ],
)
def test_an_address_stays_itself_without_the_last_slash(given: str, clean: str) -> None:
    """Slashes at the end and space around it do not count; a clean address stays itself."""
    assert checked_url(given) == clean
    assert checked_url(clean) == clean


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000/v1",
        "ftp://host/v1",
        "http://",
        "http:///v1",
        "/v1",
        "http://h:99999/v1",
        "http://h:0/v1",
        "http://ho st/v1",
        "http://h/v1\x00",
        "http://[::1/v1",
        "http://a\\b/v1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Only http and https addresses of a host pass; the error names the key of the file."""
    with pytest.raises(ConfigError, match=r"model\.base_url"):
        checked_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@host/v1",
        "http://hunter2@host/v1",
        "http://host/v1?key=hunter2",
        "http://host/v1#hunter2",
        "hunter2@host",
    ],
)
def test_a_secret_in_an_address_is_refused_unseen(url: str) -> None:
    """User, password, query and fragment are refused and never shown."""
    with pytest.raises(ConfigError, match=r"model\.base_url") as caught:
        checked_url(url)
    assert "hunter2" not in str(caught.value)


def test_the_named_variable_goes_before_the_default() -> None:
    """The key is that of the variable that the user names, else of the provider's own."""
    environ = {"MINE": " sk-mine\n", "OPENAI_API_KEY": "sk-theirs"}
    for required in (True, False):
        assert key_from("MINE", "OPENAI_API_KEY", required=required, environ=environ) == "sk-mine"
        assert key_from(None, "OPENAI_API_KEY", required=required, environ=environ) == "sk-theirs"


@pytest.mark.parametrize("environ", [{}, {"MINE": ""}, {"MINE": " \n"}])
def test_a_named_variable_must_hold_a_key(environ: dict[str, str]) -> None:
    """Who names a variable means it: unset and empty are errors even where no key is needed."""
    with pytest.raises(ConfigError, match="MINE"):
        key_from("MINE", "VLLM_API_KEY", required=False, environ={**environ, "VLLM_API_KEY": "k"})


def test_no_key_is_fine_where_none_is_needed() -> None:
    """An unset default is an error only for a provider that cannot do without."""
    assert key_from(None, "VLLM_API_KEY", required=False, environ={}) is None
    assert key_from(None, None, required=False, environ={}) is None
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        key_from(None, "OPENAI_API_KEY", required=True, environ={})
    with pytest.raises(ConfigError, match="no key"):
        key_from(None, None, required=True, environ={})


@pytest.mark.parametrize(
    "key", ["sk-a b", "sk-a\x00b", "sk-a\r\nX: y", "sk-ä", "“sk-a”", "sk-a\x7f"]
)
def test_a_key_that_cannot_be_sent_is_refused_unseen(key: str) -> None:
    """Spaces inside, control characters and others outside ASCII are refused, the key not shown."""
    with pytest.raises(ConfigError, match="MINE") as caught:
        key_from("MINE", None, required=True, environ={"MINE": key})
    assert "sk-a" not in str(caught.value)
    assert "sk-ä" not in str(caught.value)


@pytest.mark.parametrize("pasted", ["sk-proj-0123456789", "abcdef0123456789abcdef0123456789", ""])
def test_a_key_in_the_place_of_a_name_is_not_shown(pasted: str) -> None:
    """Who gives the key itself as the variable's name does not find it in the error."""
    with pytest.raises(ConfigError, match="api_key_env") as caught:
        key_from(pasted, None, required=True, environ={})
    assert not pasted or pasted not in str(caught.value)


@pytest.mark.parametrize("part", ["/sk-proj-ABCDEF0123456789abcdef/v1", "/hf_AbCdEfGh12345678AbCd"])
def test_a_key_in_the_path_of_an_address_is_refused_unseen(part: str) -> None:
    """An address stands in files and messages, so that no key may be a part of it."""
    with pytest.raises(ConfigError, match=r"model\.base_url.*looks like a key") as caught:
        checked_url(f"https://gateway.example{part}")
    assert part not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LocalHost.", True),
        ("gpu.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),  # noqa: S104  nobody binds to it here
        ("10.0.0.5", False),
        ("192.168.1.1", False),
        ("gpu-box", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("::ffff:10.0.0.5", False),
    ],
)
def test_this_machine_is_known_by_name_and_address(host: str, local: bool) -> None:
    """Loopback in all its spellings, and nothing that only looks like it."""
    assert here(host) is local


@pytest.mark.parametrize(
    ("url", "environ", "warns"),
    [
        ("http://10.0.0.5:8000/v1", {"VLLM_API_KEY": "k"}, True),
        ("http://gpu-box/v1", {"VLLM_API_KEY": "k"}, True),
        ("http://gpu-box/v1", {}, False),
        ("http://gpu-box/v1", {"VLLM_API_KEY": ""}, False),
        ("http://gpu-box/v1", {"OPENAI_API_KEY": "k"}, False),
        ("https://gpu-box/v1", {"VLLM_API_KEY": "k"}, False),
        ("http://localhost:8000/v1", {"VLLM_API_KEY": "k"}, False),
        ("http://[::1]:8000/v1", {"VLLM_API_KEY": "k"}, False),
        ("http://127.0.0.1/v1", {"VLLM_API_KEY": "k"}, False),
    ],
)
def test_a_key_in_the_clear_is_warned_of(url: str, environ: dict[str, str], warns: bool) -> None:
    """Only if one would be sent, by plain http, to another machine, a private network or not."""
    found = exposed("vllm/x", url, None, "VLLM_API_KEY", environ)
    assert len(found) == warns
    assert all("VLLM_API_KEY" in one and "without encryption" in one for one in found)


def test_the_warning_names_the_variable_that_counts() -> None:
    """The one that the user names goes before the default; no key is shown."""
    environ = {"MINE": "hunter2hunter2", "VLLM_API_KEY": "k"}
    (found,) = exposed("vllm/x", "http://h/v1", "MINE", "VLLM_API_KEY", environ)
    assert "MINE" in found
    assert "hunter2" not in found
