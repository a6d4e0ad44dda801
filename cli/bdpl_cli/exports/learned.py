"""A run as exports see it: its prompt, filled into its template as a model without a mask reads it.

    RUN_DIR --learned--> Learned --a format--> Export

Knows no format and no server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.events import Note, Probed
from bdpl_async.history import read_events
from bdpl_async.kept import Kept, read_run
from bdpl_async.methods import searches
from bdpl_async.result import Result
from bdpl_async.template import Template

__all__ = ["Column", "Export", "Learned", "Piece", "learned", "marks", "renamed"]


@dataclass(frozen=True, slots=True)
class Export:
    """A document, and what a person should know of it, a sentence each."""

    document: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """Where a filled text holds a column of the data."""

    name: str


Piece = str | Column


@dataclass(frozen=True, slots=True)
class Learned:
    """One run that has a prompt.

    Attributes:
        readout: how its model was read; None where that is not known.
        said: what the run noted of its model.
    """

    kept: Kept
    readout: str | None
    said: tuple[str, ...]

    @property
    def result(self) -> Result:
        """What the run left."""
        return self.kept.result

    @property
    def config(self) -> Config:
        """What the run was told."""
        return self.kept.config

    @property
    def template(self) -> Template:
        """The template that a model without a mask reads."""
        table = self.config.task
        return Template.parse(table.template if table.causal is None else table.causal)

    @property
    def causal(self) -> bool:
        """Whether its model is known to read only what stands before the mask."""
        return self.readout not in (None, "mlm")

    def pieces(self, prompt: str) -> tuple[Piece, ...]:
        """The text up to the mask, as sent with `prompt`, its columns left open.

        Raises:
            ConfigError: the mask stands before the prompt, or before all columns.
        """
        template = self.template
        if not (template.prompt_first and template.columns_first):
            raise ConfigError(
                f"{self.kept.path}: the template {template.text!r} has its mask before the prompt"
                " or the data, and other models read only what stands before it",
                hint="--format text and json give the prompt; to use it elsewhere, write a"
                " template that ends in {mask} as task.causal, and learn with that",
            )
        found: list[Piece] = [""]
        for part in template.parts if prompt else template.bare:
            if not isinstance(part, str) and part.name not in ("prompt", "mask"):
                found += [Column(part.name), ""]
            elif not isinstance(part, str) and part.name == "mask":
                break
            else:
                found[-1] = f"{found[-1]}{part if isinstance(part, str) else prompt}"
        if isinstance(last := found[-1], str):
            found[-1] = last.rstrip(" ")  # as every text up to a mask is sent
        return tuple(piece for piece in found if piece)

    def notes(self) -> list[str]:
        """What holds for every format."""
        result = self.result
        notes = []
        if result.cut_off:
            notes.append(
                "the run was cut off: its prompt is the best guess by then, chosen on no score"
            )
        if not result.prompt:
            notes.append("the prompt is empty: nothing stands where {prompt} is")
        return notes

    def offsets(self) -> dict[str, float]:
        """Label word -> what the run took off its log-probability (nats); empty if uncalibrated."""
        found = self.result.calibration
        words = self.result.labels.values()
        return {} if found is None else dict(zip(words, found.offsets, strict=True))


def learned(path: Path) -> Learned:
    """The run in `path`.

    Raises:
        ConfigError: it is no run, or it has no prompt.
    """
    kept = read_run(path)
    result = kept.result
    if result.cut_off and searches(kept.config) and not result.steps_done:
        raise ConfigError(
            f"{path}: the run was cut off before its first update: it has learned no prompt",
            hint=f"go on with it: bdpl-async resume {path}",
        )
    events = read_events(path / "events.jsonl")
    probed = next((event for event in events if isinstance(event, Probed)), None)
    said = tuple(event.message for event in events if isinstance(event, Note))
    return Learned(kept, None if probed is None else probed.readout, said)


def marks(pieces: Iterable[Piece], around: str) -> Mapping[str, str]:
    """What stands for each column in a text; nothing else in the text looks like it.

    Args:
        pieces: of the text.
        around: whatever else is sent beside it.
    """
    pieces = tuple(pieces)
    names = dict.fromkeys(piece.name for piece in pieces if isinstance(piece, Column))
    depth = 1
    while True:
        found = {name: "{" * depth + name + "}" * depth for name in names}
        text = "".join(one if isinstance(one, str) else found[one.name] for one in pieces)
        if all(
            text.count(mark) == pieces.count(Column(name)) and mark not in around
            for name, mark in found.items()
        ):
            return found
        depth += 1


def renamed(columns: Iterable[str], fit: Callable[[str], str]) -> dict[str, str]:
    """Column -> a name of its own in another tool.

    Args:
        columns: as the data call them.
        fit: what the tool can use instead of a name of letters, digits and underscores.
    """
    found: dict[str, str] = {}
    for column in columns:
        name = fit(re.sub(r"\W", "_", column, flags=re.ASCII))
        while name in found.values():
            name += "_"
        found[column] = name
    return found
