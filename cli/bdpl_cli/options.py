"""Which options each command takes.

One frozen dataclass a command instead of two dozen parameters threaded through; cyclopts makes
flags of its fields. What makes no difference to a command is understood and not listed, so that the
command line of a `run` works there unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bdpl_cli.optionkeys import KEYS, OUTPUT, PATHS, SEARCH, SILENT, WHERE, Ui, Whole, option
from bdpl_cli.optionparts import (
    Bygone,
    Cached,
    Data,
    Given,
    Methods,
    Model,
    Models,
    Quiet,
    Search,
    Seed,
    Server,
    hiding,
    names,
)

__all__ = [
    "KEYS",
    "PATHS",
    "ArmOptions",
    "CompareOptions",
    "EstimateOptions",
    "EvalOptions",
    "ExplainOptions",
    "Given",
    "InitOptions",
    "Options",
    "ProbeOptions",
    "ResumeOptions",
    "SweepOptions",
    "TransferOptions",
    "VocabOptions",
    "Whole",
]

# Bases stand in the reverse of the order in which their options are listed within a group.


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Options(Cached, Data, Seed, Search, Server, Model):
    """Of `run`: all that there are."""

    out: Annotated[str | None, option("out", "RUN_DIR to write", OUTPUT)] = None
    ui: Annotated[Ui | None, option("ui", "What to show while running", OUTPUT)] = None
    yes: Annotated[
        bool | None, option("yes", "Never ask; none but init ever does", OUTPUT, switch=True)
    ] = None


PACE = ("api_key_env", "concurrency", "rpm", "tpm", "timeout", "workers")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
@hiding("out", *(names(Data, Seed, Search, Server, Model) - {*PACE}))
class ResumeOptions(Options):
    """Of `resume`: how fast to go on; what would make it another run is refused by its key."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class InitOptions:
    """Of `init`: what need not be guessed or asked."""

    out: Annotated[Path, Parameter(name=["--out", "-o"], help="The file to write")] = Path(
        "task.toml"
    )
    label: Annotated[str | None, Parameter(help="The column with the classes")] = None
    text: Annotated[
        tuple[str, ...],
        Parameter(help="A column to show; may be repeated", negative=(), show_default=False),
    ] = ()
    model: Annotated[
        str | None, Parameter(help="PROVIDER/NAME; else roberta/builtin, which runs offline")
    ] = None
    base_url: Annotated[str | None, Parameter(help="Where the model's server listens")] = None
    split: Annotated[
        bool, Parameter(help="Cut a test set where there is none: two new files beside OUT")
    ] = True
    yes: Annotated[bool, Parameter(help="Never ask, take every guess", negative=())] = False


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SweepOptions(Quiet, Cached, Data, Seed, Search, Server, Model):
    """Of `sweep`: for every cell."""

    out: Annotated[
        str | None, option("out", "Folder for sweep.csv and a RUN_DIR a cell", OUTPUT)
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
@hiding("method", "steps", "out", "ui", "yes")
class EvalOptions(Options):
    """Of `eval`: it scores, and does not search."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
@hiding("method", "steps", "cache", "out", "ui", "yes")
class ProbeOptions(Options):
    """Of `probe`: nothing of it comes from the cache."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
@hiding(*names(Model, Server, Search, Cached), "ui", "yes")
class VocabOptions(Options):
    """Of `vocab`: no model is asked."""

    out: Annotated[str | None, option("out", "File to write, else stdout", OUTPUT)] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ExplainOptions(Bygone, Quiet, Cached, Data, Server):
    """Of `explain`: the run is over, and so is its search; the model is its own."""

    model: Annotated[str | None, SILENT] = None
    out: Annotated[str | None, SILENT] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TransferOptions(Bygone, Quiet, Cached, Data, Server):
    """Of `transfer`: the models are named by an option of its own."""

    out: Annotated[str | None, option("out", "CSV file to write as well", OUTPUT)] = None


SEEDS = Parameter(help="So many: seeds 0..N-1", group=SEARCH, show_default=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ArmOptions(Cached, Data, Seed, Methods, Server, Models):
    """Where there may be several models, methods and seeds."""

    seeds: Annotated[Whole | None, SEEDS] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EstimateOptions(ArmOptions):
    """Of `estimate`: the command line of a run or a comparison, to be judged beforehand."""

    out: Annotated[str | None, SILENT] = None
    ui: Annotated[Ui | None, SILENT] = None
    yes: Annotated[bool | None, SILENT] = None
    executor: Annotated[str | None, SILENT] = None
    address: Annotated[str | None, SILENT] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CompareOptions(ArmOptions):
    """Of `compare`: also where the runs run, and what is shown of them."""

    ui: Annotated[
        Ui | None,
        option("ui", "auto shows all arms in a terminal, json prints events, none nothing", OUTPUT),
    ] = None
    yes: Annotated[bool | None, SILENT] = None
    out: Annotated[
        str | None, option("out", "Folder for comparison.json and a RUN_DIR a run", OUTPUT)
    ] = None
    executor: Annotated[
        Literal["local", "ray"],
        Parameter(help="local: server by server; ray: a cluster", group=WHERE),
    ] = "local"
    address: Annotated[
        str | None, Parameter(help="Of a Ray cluster", group=WHERE, show_default=False)
    ] = None
