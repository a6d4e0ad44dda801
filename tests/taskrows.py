"""Rows in the form of each task of the paper, written for these tests, and where real ones lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared" / "data"
FOLDERS = {
    "sst2": "sst2",
    "mnli": "mnli",
    "qqp": "qqp",
    "mrpc": "mrpc",
    "cola": "cola",
    "qnli": "qnli",
    "rte": "rte",
    "ci": "citation_intent",
    "se": "sciie",
    "hp": "hyperpartisan",
}
"""Where the data of a task lie in `SHARED`; rct has none there."""

THINGS = ("harbour", "kettle", "violin", "meadow", "ladder", "bakery", "lantern", "orchard")
RELATIONS = ("COMPARE", "CONJUNCTION", "EVALUATE-FOR", "FEATURE-OF", "HYPONYM-OF", "PART-OF")
Texts = Callable[[str, int], dict[str, str]]


def one(pattern: str) -> Texts:
    """Rows of one text."""
    return lambda thing, n: {"text": pattern.format(thing=thing, n=n)}


def two(first: str, second: str) -> Texts:
    """Rows of two texts."""
    return lambda thing, n: {
        "text_a": first.format(thing=thing, n=n),
        "text_b": second.format(thing=thing, n=n),
    }


KINDS: dict[str, tuple[Texts, list[str]]] = {
    "sst2": (one("the {thing} scene number {n} drags , and then it sings"), ["0", "1"]),
    "mnli": (
        two("We saw {n} of the {thing}s.", "There was a {thing}."),
        ["contradiction", "neutral", "entailment"],
    ),
    "qqp": (two("Where is {thing} {n}?", "How do I find {thing} {n}?"), ["0", "1"]),
    "mrpc": (
        two("The {thing} was sold for {n} pounds .", "For {n} pounds the {thing} went ."),
        ["0", "1"],
    ),
    "cola": (one("She put the {thing} on shelf {n}."), ["0", "1"]),
    "qnli": (
        two("Who built {thing} {n}?", "The {thing} was built by a carpenter in year {n}."),
        ["entailment", "not_entailment"],
    ),
    "rte": (
        two("The town opened its {thing} in year {n}.", "The town has a {thing}."),
        ["entailment", "not_entailment"],
    ),
    "ci": (
        one("We follow the {thing} model ( Smith , {n} ) ."),
        ["Background", "CompareOrContrast", "Extends", "Future", "Motivation", "Uses"],
    ),
    "se": (
        one("The [[ {thing} parser ]] is used for << task {n} >> ."),
        [*RELATIONS, "USED-FOR"],
    ),
    "rct": (
        one("The {thing} group had {n} patients ."),
        ["BACKGROUND", "CONCLUSIONS", "METHODS", "OBJECTIVE", "RESULTS"],
    ),
    "hp": (
        one("Article {n}. " + "The council spoke about the {thing} again. " * 15),
        ["false", "true"],
    ),
}


def table(task: str, each: int, start: int = 0) -> str:
    """A TSV in the form of a task's data, with `each` rows of every class."""
    texts, labels = KINDS[task]
    rows = [
        {**texts(THINGS[n % len(THINGS)], 100 * start + n), "label": label}
        for n, label in enumerate(labels * each)
    ]
    return "\n".join("\t".join(row) for row in [list(rows[0]), *(r.values() for r in rows)]) + "\n"


def folder(root: Path, task: str, **each: int) -> Path:
    """A data folder of a task: ``train=4`` writes train.tsv with four rows of every class."""
    there = root / f"{task}-data"
    there.mkdir(exist_ok=True)
    for start, (split, rows) in enumerate(each.items()):
        (there / f"{split}.tsv").write_text(table(task, rows, start))
    return there
