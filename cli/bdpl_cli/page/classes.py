"""Scores of each class before and after, and which labels were taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bdpl_async.answers import Answers
from bdpl_async.markup import Element, Node, tag
from bdpl_async.metrics import confusion
from bdpl_cli.page.document import note, section, table
from bdpl_cli.page.material import Material
from bdpl_cli.page.wording import ellipsis, share

__all__ = ["ClassScore", "class_scores", "classes"]

NAME: Final = 24  # characters of a label
ROLES: Final = ("empty", "learned")
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: shares from 0 to 1, NaN where nothing was said to be of it, or nothing is."""

    precision: float
    recall: float
    f1: float
    support: int


def class_scores(matrix: Counts) -> list[ClassScore]:
    """The scores of each class, of a matrix (C, C + 1) as `metrics.confusion` makes it."""
    hits = np.diagonal(matrix).astype(float)
    support, said = matrix.sum(axis=1), matrix[:, :-1].sum(axis=0)

    def ratio(part: float, whole: float) -> float:
        return part / whole if whole else float("nan")

    return [
        ClassScore(
            ratio(hits[c], said[c]),
            ratio(hits[c], support[c]),
            ratio(2 * hits[c], support[c] + said[c]),
            int(support[c]),
        )
        for c in range(len(hits))
    ]


def classes(material: Material) -> Element | None:
    """The section; None without answers."""
    found = _matrices(material.answers, len(material.result.labels))
    if not found:
        return None
    names = [ellipsis(name, NAME) for name in material.labels]
    titles = {"empty": "Empty prompt", "learned": material.noun.capitalize()}
    drawn = [_matrix(found[role], names, titles[role]) for role in ROLES if role in found]
    of = f"{int(next(iter(found.values())).sum()):,} {material.split} examples"
    return section(
        "classes",
        "Classes",
        _each(found, names, _told(found, material)),
        note(
            f"On {of}. Precision: how many of those that were said to be of the class are;"
            " recall: how many of the class were found; F1 is between the two."
        ),
        tag("h3", "Which label was taken for which"),
        tag("div", drawn, class_="beside"),
        note("Rows are the truth, columns what was said; shares are of the row."),
    )


def _matrices(roles: Mapping[str, Answers], size: int) -> dict[str, Counts]:
    return {
        role: confusion(roles[role].predictions, roles[role].labels, size)
        for role in ROLES
        if role in roles and len(roles[role].labels)
    }


def _told(found: Mapping[str, Counts], material: Material) -> str:
    """What the table shows; which prompt, where there is but one."""
    alone = {"empty": "empty prompt", "learned": material.noun}
    one = f", {alone[next(iter(found))]}" if len(found) == 1 else ""
    return f"Each class on {material.split}{one}"


def _each(found: Mapping[str, Counts], names: Sequence[str], caption: str) -> Element:
    """A row for each class: every number without the run's prompt, and with it."""
    sides = [class_scores(found[role]) for role in ROLES if role in found]
    kinds = ("precision", "recall", "f1")
    shown = {"precision": "Precision", "recall": "Recall", "f1": "F1"}
    both = len(sides) == 2
    columns = ["Class", "Examples"]
    for kind in kinds:
        columns += [f"{shown[kind]} before", "after"] if both else [shown[kind]]
    rows: list[tuple[Node, list[Node]]] = []
    for c, name in enumerate(names):
        cells: list[Node] = [f"{sides[0][c].support:,}"]
        cells += [share(getattr(side[c], kind)) for kind in kinds for side in sides]
        rows.append((name, cells))
    return table(caption, columns, rows, kind="figures")


def _matrix(matrix: Counts, names: Sequence[str], title: str) -> Element:
    lost = bool(matrix[:, -1].any())
    columns = ["", *names, *(["no answer"] if lost else [])]
    rows: list[tuple[Node, list[Node]]] = []
    for truth, name in enumerate(names):
        whole = int(matrix[truth].sum())
        cells = matrix[truth] if lost else matrix[truth, :-1]
        rows.append(
            (name, [_cell(int(n), whole, right=c == truth) for c, n in enumerate(cells.tolist())])
        )
    return table(title, columns, rows, kind="matrix")


def _cell(count: int, whole: int, *, right: bool) -> Element:
    of = count / whole if whole else 0.0
    shade = f"--share:{of:.2f}" if count else None
    below = tag("small", share(of, 0)) if count else ()
    return tag("td", f"{count:,}", below, class_="right" if right else None, style=shade)
