"""What a run is: whatever must be the same when it is resumed, as digests that can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError

__all__ = ["identity", "refuse_changed"]

FREE: Final = ("concurrency", "timeout", "attempts", "rpm", "tpm", "api_key_env", "workers")
"""Keys of [model] that say how fast a model is asked, not what."""
WHOLE: Final = ("task", "prompt", "optimizer", "budget", "chat")
ANEW: Final = (
    "a changed run is another run: start it in another folder, or undo the change and resume"
)


def identity(config: Config, data: str, vocabulary: Sequence[str]) -> dict[str, str]:
    """What each part of a run depends on, by the name that a message calls it.

    Args:
        config: as the run has it.
        data: digest of the rows as drawn.
        vocabulary: the candidates.
    """
    tables = config.model_dump()
    model = {key: value for key, value in tables["model"].items() if key not in FREE}
    parts = {
        f"[{name}]": tables[name] for name in ("task", "prompt", "optimizer", "budget", "chat")
    }
    parts |= {"[model]": model, "run.seed": tables["run"]["seed"], "the vocabulary": vocabulary}
    return {"the data": data, **{name: _digest(part) for name, part in parts.items()}}


def refuse_changed(folder: Path, was: Mapping[str, str], now: Mapping[str, str]) -> None:
    """See to it that a run is the one that it was.

    Raises:
        ConfigError: naming what changed.
    """
    changed = [name for name, digest in now.items() if was.get(name) != digest]
    if not changed:
        return
    if "the data" in changed and "[task]" not in changed:
        changed = ["the data"]  # the vocabulary comes from it
    what = ", ".join(changed)
    raise ConfigError(f"{folder}: {what} changed since the run began", hint=ANEW)


def _digest(part: object) -> str:
    spelled = orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(spelled, digest_size=16).hexdigest()
