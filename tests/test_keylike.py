"""The rules of `bdpl_async.keylike`: what looks like a key is hidden, what does not is left."""

from __future__ import annotations

import pytest

from bdpl_async.errors import BdplError, ConfigError
from bdpl_async.keylike import hidden, known, namelike

KEYS = [
    "sk-proj-ABCDEF0123456789abcdef0123456789xyz",
    "sk-ant-api03-" + "aB3_" * 20 + "0123456789abcdef",
    "sk-or-v1-" + "0123456789abcdef" * 4,
    "sk-lf-0a1b2c3d-4e5f-6a7b-8c9d-0e1f2a3b4c5d",
    "hf_" + "AbCdEfGh12345678" * 2,
    "gsk_" + "AbCdEfGh12345678" * 3,
    "xai-" + "AbCdEfGh12345678" * 5,
    "AIzaSy" + "A1b2C3d4" * 4,
    "ghp_" + "A1b2C3d4" * 5,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_a_known_form_is_hidden(key: str) -> None:
    """In quotes, behind an equals sign, in an address, cut off in its middle."""
    for text in ("{}", "'{}'", "KEY={}", "https://h/{}/v1", "see {}, it is"):
        assert hidden(text.format(key)) == text.format("***")
    assert key[:12] not in hidden(f"cut: {key[:36]}...")


@pytest.mark.parametrize(
    "text",
    [
        "vllm/Qwen/Qwen3-4B-Instruct-2507-FP8",
        "sk-learn-experiments-2024-with-a-long-name",
        "/home/me/task-runs/tiny-bdpl-0-20261123-202504",
        "openai/gpt-6-luna-2026-11-01",
        "hf_cache_of_2024_models",
        "https://localhost:8000/v1",
        "desk-0123456789abcdef0123",
        "the label words ' terrible' and ' great' are the same token",
        "data_sha256 0123456789abcdef0123456789abcdef",
    ],
)
def test_what_is_no_key_is_left_alone(text: str) -> None:
    """Names of models, folders and servers stay readable."""
    assert hidden(text) == text


def test_credentials_of_other_forms_are_hidden() -> None:
    """What stands behind Bearer, and the user and password of an address."""
    assert hidden("Authorization: Bearer abcdefgh12") == "Authorization: Bearer ***"
    assert hidden("http://me:hunter2@proxy:3128/x") == "http://***@proxy:3128/x"


def test_what_the_caller_knows_is_hidden_in_any_form() -> None:
    """Secrets of the environment are known by the names of their variables."""
    environ = {
        "OPENAI_API_KEY": "of-no-known-form-at-all",
        "HF_TOKEN": "as-long-as-this-one-is",
        "PYTHONPATH": "/a/path/that/is/no/secret",
        "KEYBOARD": "a-german-one-with-umlauts",
        "VLLM_API_KEY": "EMPTY",
    }
    secrets = known(environ)
    assert secrets == ["of-no-known-form-at-all", "as-long-as-this-one-is"]
    assert hidden("x of-no-known-form-at-all y EMPTY", secrets) == "x *** y EMPTY"


def test_no_error_of_ours_carries_a_key() -> None:
    """Neither message nor hint, whoever raised it and wherever it is shown."""
    for error in (BdplError(f"a {KEYS[0]}", hint=f"b {KEYS[1]}"), ConfigError(KEYS[2])):
        assert not any(key in str(error) + repr(error) + repr(vars(error)) for key in KEYS)


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("OPENAI_API_KEY", True),
        ("my_key", True),
        ("THE_KEY_OF_MY_2ND_ACCOUNT", True),
        ("a_very_long_name_of_a_variable", True),
        ("abcdef0123456789abcdef0123456789", False),
        ("sk_live_0123456789abcdefghijk", False),
    ],
)
def test_a_key_is_told_from_the_name_of_a_variable(name: str, fine: bool) -> None:
    """Long, not in capitals and with digits: that is the key itself."""
    assert namelike(name) is fine
