"""A comparison, read back from the folder that it was written to.

Files may have been edited or moved; what cannot be used is refused by name. Sends nothing, and
counts nothing anew: the numbers are those that the comparison found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from bdpl_async.data.textfile import exists, read_text
from bdpl_async.errors import ConfigError
from bdpl_async.kept import Kept, read_run
from bdpl_async.studies.scoreboard import FILE, SCHEMA

__all__ = ["KeptComparison", "is_comparison", "read_comparison"]

MAX_BYTES: Final = 100_000_000
HINT: Final = "give the folder of a comparison that came to its end, as compare left it"
Kind = type | tuple[type, ...]
MAYBE_TEXT: Final = (str, type(None))
NUMBER: Final = (int, float, type(None))
PART: Final = (dict, type(None))
PAIR: Final = (list, type(None))
DOCUMENT: Final[Mapping[str, Kind]] = {
    "task": str,
    "metric": str,
    "seeds": list,
    "budget": dict,
    "split": MAYBE_TEXT,
    "n": int,
    "arms": list,
    "summary": list,
    "differences": list,
    "notes": list,
}
ARM: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("model", "method", "prompt", "run"), str),
    **dict.fromkeys(("dev", "test"), PART),
    "seed": int,
    "usage": dict,
    "latency": dict,
}
SUMMARY: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("arm", "model", "method"), str),
    **dict.fromkeys(("dev", "test"), PART),
    "mean": NUMBER,
    "ci95": PAIR,
}
DIFFERENCE: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("arm", "reference"), str),
    **dict.fromkeys(("score", "p_value", "p_adjusted"), (int, float)),
    "ci95": list,
    "real": bool,
}


@dataclass(frozen=True, slots=True)
class KeptComparison:
    """A comparison that came to its end.

    Attributes:
        path: its folder.
        document: what comparison.json holds, see `bdpl_async.studies.scoreboard`; keys that came
            later are not in those of earlier releases.
        runs: one for each of ``document["arms"]``, in that order.
    """

    path: Path
    document: dict[str, Any]
    runs: tuple[Kept, ...]


def is_comparison(path: Path) -> bool:
    """Whether `path` is a folder that ``compare`` wrote its outcome to."""
    return exists(path / FILE)


def read_comparison(path: Path) -> KeptComparison:
    """The comparison in the folder `path`, and its runs.

    Raises:
        ConfigError: it is no comparison, or a file of it or of a run cannot be used.
    """
    if not is_comparison(path):
        raise ConfigError(f"{path}: no comparison: it has no {FILE}", hint=HINT)
    document = _document(path / FILE)
    return KeptComparison(path, document, tuple(_run(path, arm) for arm in document["arms"]))


def _document(file: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(read_text(file, most=MAX_BYTES, hint=HINT))
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{file}: not JSON: {error}", hint=HINT) from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ConfigError(f"{file}: not the document of a comparison", hint=HINT)
    strange = [
        *_strange([document], DOCUMENT, ""),
        *_strange(document.get("arms"), ARM, "arms"),
        *_strange(document.get("summary"), SUMMARY, "summary"),
        *_strange(document.get("differences"), DIFFERENCE, "differences"),
    ]
    if strange or not document["arms"]:
        what = ", ".join(strange[:3]) or "arms"
        raise ConfigError(f"{file}: {what}: not as compare writes it", hint=HINT)
    return document


def _strange(records: object, kinds: Mapping[str, Kind], where: str) -> list[str]:
    """Names of what is not of its kind, among the keys of each record."""
    if not isinstance(records, Sequence) or isinstance(records, str):
        return [where]
    found = []
    for place, record in enumerate(records):
        name = f"{where}[{place}]" if where else ""
        if not isinstance(record, dict):
            found.append(name)
            continue
        keys = [key for key, kind in kinds.items() if not _is(record.get(key, ...), kind)]
        found += [f"{name}.{key}" if name else key for key in keys]
    return found


def _is(value: object, kind: Kind) -> bool:
    """Whether it is of the kind; true is no number."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _run(folder: Path, arm: Mapping[str, Any]) -> Kept:
    """An arm's run, which is the one that the document speaks of.

    Raises:
        ConfigError: it is not there, not a run, or another.
    """
    name = str(arm["run"])
    if Path(name).name != name:
        raise ConfigError(f"{folder / FILE}: {name[:80]!r}: no folder beside it", hint=HINT)
    kept = read_run(folder / name)
    told = (arm["method"], arm["seed"], arm["prompt"])
    if told != (kept.result.method, kept.result.seed, kept.result.prompt):
        raise ConfigError(f"{kept.path}: another run than the one that {FILE} speaks of", hint=HINT)
    return kept
