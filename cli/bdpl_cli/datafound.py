"""Which files `init` is to look at: those named, those lying here, or an example of our own."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bdpl_async.config import builtin_tasks
from bdpl_async.data.columns import short
from bdpl_async.data.textfile import read_text
from bdpl_async.errors import ConfigError, UsageError
from bdpl_cli.asker import Asker

__all__ = ["COMMAS", "CUT", "Found", "find_data", "free_hint", "prefix", "refuse_taken", "remove"]

SPLITS = {
    "train": ("train", "training"),
    "dev": ("dev", "validation", "valid", "val"),
    "test": ("test",),
}
CUT = ("-train.csv", "-test.csv")
COMMAS = "-commas.csv"
TABLES = ("comparison.csv", "comparison-runs.csv", "sweep.csv")
"""What this tool writes itself, and is no data to learn from."""
LARGEST = 1_000_000  # bytes of a TASK.toml
ENDINGS = (".tsv", ".csv", ".jsonl", ".parquet")
KINDS = "tsv, csv, jsonl or parquet"
SPREADSHEET = "save the sheet as csv in UTF-8"
INSTEAD = {
    ".json": "write one object a line, and name it .jsonl",
    ".ndjson": "rename it, so that its name ends in .jsonl",
    **dict.fromkeys((".xlsx", ".xls", ".ods"), SPREADSHEET),
    **dict.fromkeys((".gz", ".zip", ".bz2", ".xz", ".zst"), "unpack it first"),
}
"""What to do with files of other endings."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is.

    Attributes:
        name: for the task.
        origin: what it was made from, for a person.
        files: by split, train among them.
        made: new files of ours, to be taken away if nothing comes of it.
        copies: those of them that stand for a file of the person's, with that file.
    """

    name: str
    origin: str
    files: Mapping[str, Path]
    made: list[Path] = field(default_factory=list)
    copies: dict[Path, Path] = field(default_factory=dict)

    def called(self, text: str) -> str:
        """`text` with the names that the person knows, in the place of the copies'."""
        for copy, source in self.copies.items():
            text = text.replace(str(copy), str(source)).replace(copy.name, source.name)
        return text


def find_data(data: Path | None, out: Path, asker: Asker) -> Found:
    """The files of DATA, or without DATA those of the current folder, or an example.

    Raises:
        ConfigError: there is no such file, or it is unclear which is meant.
    """
    if data is None:
        return _here(out, asker)
    if data.is_dir():
        splits = _splits(data)
        if not splits:
            raise ConfigError(
                f"{data}: no train file",
                hint=f"a data folder holds train.ENDING ({KINDS}), and dev and test likewise;"
                " or name a single file",
            )
        return _of_folder(data, splits)
    if not data.exists():
        raise ConfigError(f"{data}: no such file or folder", hint="check the path")
    if data.suffix.lower() not in ENDINGS:
        ending = data.suffix.lower()
        hint = f"take a file in {KINDS}"
        raise ConfigError(
            f"{data}: unknown file ending {data.suffix!r}",
            hint=f"{hint}: {INSTEAD[ending]}" if ending in INSTEAD else hint,
        )
    if data.stem.lower() in SPLITS["train"]:
        return _of_folder(data.parent, _splits(data.parent) | {"train": data})
    return Found(_named(data.stem), str(data), {"train": data})


def _here(out: Path, asker: Asker) -> Found:
    """What lies in the current folder."""
    here = Path()
    if splits := _splits(here):
        return _of_folder(here, splits)
    there = sorted(file for file in here.iterdir() if file.suffix.lower() in ENDINGS)
    files = [file for file in there if not _ours(file, there)]
    if not files:
        return _example(out)
    names = [file.name for file in files]
    if len(files) > 1 and asker.silent:
        shown = ", ".join(map(short, names[:5])) + (", ..." if len(names) > 5 else "")
        raise ConfigError(
            f"several data files: {shown}", hint=f"name one: bdpl-async init {names[0]}"
        )
    chosen = Path(asker.choice("which file?", names))
    return Found(_named(chosen.stem), f"{chosen}, the data file in this folder", {"train": chosen})


def _ours(file: Path, there: Sequence[Path]) -> bool:
    """Whether an earlier command wrote it: a table of scores, or a part of data that lie here.

    A part's name ends so, and its source or a TASK.toml that names it is beside it.
    """
    if file.name in TABLES:
        return True
    ending = next((ending for ending in (*CUT, COMMAS) if file.name.endswith(ending)), None)
    if ending is None:
        return False
    stem = file.name.removesuffix(ending)
    if any(_named(other.stem) == stem for other in there):
        return True
    return any(f'"{file.name}"' in _read(task) for task in file.parent.glob("*.toml"))


def _read(task: Path) -> str:
    try:
        return read_text(task, most=LARGEST, hint="")
    except UsageError:
        return ""


def _splits(folder: Path) -> dict[str, Path]:
    """The files of a data folder by split; empty where there is no train file.

    Raises:
        ConfigError: two files could be the same split.
    """
    found: dict[str, Path] = {}
    there = {file.name.lower(): file for file in sorted(folder.iterdir())}
    for split, stems in SPLITS.items():
        files = [
            there[name]
            for stem in stems
            for ending in ENDINGS
            if (name := f"{stem}{ending}") in there
        ]
        if len(files) > 1:
            raise ConfigError(
                f"{folder}: both {files[0].name} and {files[1].name}: which one is {split}?",
                hint="leave one of them in the folder, or name a single file",
            )
        if files:
            found[split] = files[0]
    return found if "train" in found else {}


def _of_folder(folder: Path, splits: Mapping[str, Path]) -> Found:
    listed = ", ".join(file.name for file in splits.values())
    return Found(_named(folder.absolute().name), f"{listed} in {folder.absolute().name}", splits)


def _example(out: Path) -> Found:
    """Rows of the built-in task `reviews`, which are ours, beside `out`."""
    source = builtin_tasks()["reviews"].parent
    files = {split: out.parent / f"{split}.tsv" for split in SPLITS}
    found = Found("reviews", "an example: short reviews that we wrote ourselves", files)
    for split, file in files.items():
        refuse_taken([file], hint="move it away; or init DATA looks at your own file")
        try:
            shutil.copyfile(source / f"{split}.tsv", file)
        except OSError as error:
            remove(found.made)
            raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
        found.made.append(file)
    return found


def refuse_taken(files: Sequence[Path], hint: str) -> None:
    """See to it that nothing is overwritten.

    Raises:
        ConfigError: a file is there already; names all that are.
    """
    if taken := [file for file in files if _taken(file)]:
        listed = " and ".join(map(str, taken))
        are = "is" if len(taken) == 1 else "are"
        raise ConfigError(f"{listed}: {are} there already", hint=hint)


def _taken(file: Path) -> bool:
    return file.exists() or file.is_symlink()


def prefix(name: str, out: Path) -> str:
    """How the new files of a task begin: as OUT does where somebody named it, else as the data."""
    return name if out.stem == "task" else _named(out.stem)


def free_hint(out: Path) -> str:
    """What to do where a name is taken: another OUT, with which all that go with it are free."""
    names = (out.with_name(f"{out.stem}-{number}") for number in count(2))
    endings = (".toml", *CUT, COMMAS, *(f"-{split}{COMMAS}" for split in SPLITS))
    free = next(
        name
        for name in names
        if not any(_taken(name.with_name(f"{name.name}{ending}")) for ending in endings)
    )
    return f"--out {shlex.quote(f'{free}.toml')} is free, and so is every file that goes with it"


def remove(files: Sequence[Path]) -> None:
    """Take away files of ours."""
    for file in files:
        file.unlink(missing_ok=True)


def _named(stem: str) -> str:
    """A task's name from a file's."""
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "task"
