"""The rules of `bdpl_async.saving.identity`: what must be the same is, and what may differ may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bdpl_async.config import Config, load_config
from bdpl_async.errors import ConfigError
from bdpl_async.saving.identity import FREE, identity, refuse_changed
from tests.workbench import write_task

CHANGES: dict[str, tuple[str, Any]] = {
    "[task]": ("task.template", "{prompt} {text} So {mask}."),
    "[prompt]": ("prompt.length", 4),
    "[optimizer]": ("optimizer.samples", 5),
    "[budget]": ("budget.requests", 100),
    "[model]": ("model.name", "simulated/y"),
    "[chat]": ("chat.system", "You judge."),
    "run.seed": ("run.seed", 7),
}
HARMLESS: dict[str, Any] = {
    "model.concurrency": 3,
    "model.timeout": 5.0,
    "model.attempts": 2,
    "model.rpm": 60.0,
    "model.tpm": 9000.0,
    "model.api_key_env": "OTHER_KEY",
    "model.workers": 4,
    "group.name": "team",
    "group.redis": "redis://other",
    "run.out": "elsewhere",
    "run.cache": "none",
}


def config(folder: Path, **overrides: Any) -> Config:
    return load_config(write_task(folder), overrides)


def of(
    found: Config, data: str = "abc", vocabulary: tuple[str, ...] = ("a", "b")
) -> dict[str, str]:
    return identity(found, data, vocabulary)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_named(tmp_path: Path, name: str) -> None:
    """By the table or key where it stands, and no other is."""
    key, value = CHANGES[name]
    was, now = of(config(tmp_path)), of(config(tmp_path, **{key: value}))
    with pytest.raises(ConfigError) as caught:
        refuse_changed(tmp_path, was, now)
    assert caught.value.args[0] == f"{tmp_path}: {name} changed since the run began"
    assert "another folder" in (caught.value.hint or "")


@pytest.mark.parametrize("key", HARMLESS)
def test_how_a_model_is_asked_may_change(tmp_path: Path, key: str) -> None:
    """Pace, patience, keys, and where files are kept decide no result."""
    refuse_changed(tmp_path, of(config(tmp_path)), of(config(tmp_path, **{key: HARMLESS[key]})))
    assert {f"model.{name}" for name in FREE} <= HARMLESS.keys()


def test_data_are_named_alone(tmp_path: Path) -> None:
    """The vocabulary comes from them; a vocabulary that changed by itself is named."""
    found = config(tmp_path)
    other = of(found, "xyz", ("c",))
    with pytest.raises(ConfigError, match=": the data changed since"):
        refuse_changed(tmp_path, of(found), other)
    with pytest.raises(ConfigError, match=": the vocabulary changed since"):
        refuse_changed(tmp_path, of(found), of(found, "abc", ("c",)))
    named = of(config(tmp_path, **{"task.name": "other"}), "xyz")
    with pytest.raises(ConfigError, match=r": the data, \[task\] changed since"):
        refuse_changed(tmp_path, of(found), named)


def test_what_is_missing_is_a_change(tmp_path: Path) -> None:
    """A run of a release that knew less of itself is not taken for the same."""
    now = of(config(tmp_path))
    for name in now:
        was = {key: value for key, value in now.items() if key != name}
        with pytest.raises(ConfigError, match="changed since the run began"):
            refuse_changed(tmp_path, was, now)


def test_it_tells_nothing_of_the_data(tmp_path: Path) -> None:
    """Digests and names, no text of the user's."""
    found = of(config(tmp_path), vocabulary=("secret words",))
    assert "secret" not in repr(found)
    assert all(len(value) == 32 for name, value in found.items() if name != "the data")
