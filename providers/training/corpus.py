"""The public training files, read once and cleaned.

Only ``<data>/<task>/train.tsv`` is ever opened: development and test rows stay unseen.
A share of the SST-2 train file is put aside as a watch set, so that a run can be followed
without looking at the development rows it will be judged by.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

TASKS = ("sst2", "mnli", "qnli", "rte", "cola", "citation_intent", "sciie", "csabstruct")
MAX_WORDS = 70
WATCH_EVERY = 20

_SPACES = re.compile(r"\s+")
_BEFORE_MARK = re.compile(r" ([,.;:!?)])")
_CLITIC = re.compile(r" ('(?:s|re|ve|ll|d|m)|n't)\b")
_BRACKET = re.compile(r"(?:^|(?<= ))-?(lrb|rrb)-? ?")
_LONE_I = re.compile(r"\bi\b")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled example: the task it came from, one or two texts, the label as written."""

    task: str
    text: str
    label: str
    other: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """All train rows by task, and the SST-2 rows put aside to follow a run."""

    rows: dict[str, list[Row]]
    watch: list[Row]

    def texts(self) -> list[str]:
        """Every text of every task, for the tokenizer and for plain language modelling."""
        found = []
        for rows in self.rows.values():
            for row in rows:
                found.append(row.text)
                if row.other:
                    found.append(row.other)
        return found


def read_rows(path: Path, task: str) -> list[Row]:
    """Read one TSV file without quoting; long texts are cut to ``MAX_WORDS`` words."""
    with path.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [_row(task, record) for record in table]


def load(data: Path) -> Corpus:
    """Read the train file of every task under ``data``."""
    rows = {task: read_rows(data / task / "train.tsv", task) for task in TASKS}
    watch = [row for row in rows["sst2"] if _watched(row)]
    rows["sst2"] = [row for row in rows["sst2"] if not _watched(row)]
    return Corpus(rows, watch)


def natural(text: str) -> str:
    """Turn tokenised lower-case text into an ordinary sentence."""
    text = _BRACKET.sub(_bracket, text)
    text = _CLITIC.sub(r"\1", _BEFORE_MARK.sub(r"\1", text)).strip()
    text = _LONE_I.sub("I", text)
    return text[:1].upper() + text[1:]


def _row(task: str, record: dict[str, str]) -> Row:
    if "text_a" in record:
        return Row(task, _clean(record["text_a"]), record["label"], _clean(record["text_b"]))
    return Row(task, _clean(record["text"]), record["label"])


def _clean(text: str) -> str:
    return " ".join(_SPACES.sub(" ", text).strip().split(" ")[:MAX_WORDS])


def _bracket(found: re.Match[str]) -> str:
    return "(" if found[1] == "lrb" else ") "


def _watched(row: Row) -> bool:
    return crc32(row.text.encode()) % WATCH_EVERY == 0
