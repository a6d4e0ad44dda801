"""What a run elsewhere is told, and what it sends back. Plain data, for any two processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bdpl_async.elsewhere.mirror import Change
from bdpl_async.errors import BdplError
from bdpl_async.events import Event
from bdpl_async.pulse import Pulse
from bdpl_async.studies.cells import Cell

__all__ = ["Broke", "Files", "Heard", "Job", "Opened", "Parcel", "Stands"]


@dataclass(frozen=True, slots=True)
class Job:
    """One cell to be run.

    Attributes:
        cell: with its task as it was loaded, since its files may not be there.
        connect: MODULE:FUNCTION, from a configuration to a connected scorer.
        version: of bdpl-async here; another one there may find something else.
        token: a file in the folder above the cell's, and what it holds: who finds it works there.
        left: what an earlier try has left, for who does not find it.
    """

    cell: Cell
    connect: str
    version: str
    token: tuple[Path, str]
    left: list[Change]


@dataclass(frozen=True, slots=True)
class Opened:
    """The run begins, or goes on."""


@dataclass(frozen=True, slots=True)
class Heard:
    """It said something."""

    event: Event


@dataclass(frozen=True, slots=True)
class Stands:
    """How it stands at this moment."""

    pulse: Pulse


@dataclass(frozen=True, slots=True)
class Files:
    """Its folder, which is not ours, changed."""

    changes: list[Change]


@dataclass(frozen=True, slots=True)
class Broke:
    """It came to no end, by an error of ours."""

    error: BdplError


Parcel = Opened | Heard | Stands | Files | Broke
