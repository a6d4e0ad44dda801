"""Which file of a data folder is which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bdpl_async.data.textfile import exists
from bdpl_async.errors import ConfigError

__all__ = ["data_files"]

ENDINGS = ("tsv", "csv", "jsonl", "parquet")


def data_files(folder: Path, names: Mapping[str, Sequence[str]]) -> dict[str, str | None]:
    """train, dev and test as a data folder has them; None for a split that it has not.

    Args:
        folder: with files such as ``train.tsv``.
        names: what a split's file may be called instead of the split's name, the best first.

    Raises:
        ConfigError: there is no train file, or two that differ in their endings alone.
    """
    found = {split: _file(folder, names.get(split, [split])) for split in ("train", "dev", "test")}
    if found["train"] is None:
        raise ConfigError(
            f"{folder}: no train file",
            hint=f"a data folder holds train.{{{','.join(ENDINGS)}}}, and dev and test likewise",
        )
    return found


def _file(folder: Path, stems: Sequence[str]) -> str | None:
    for stem in stems:
        files = [file for ending in ENDINGS if exists(file := folder / f"{stem}.{ending}")]
        if len(files) > 1:
            raise ConfigError(f"{folder}: both {files[0].name} and {files[1].name}: which one?")
        if files:
            return str(files[0])
    return None
