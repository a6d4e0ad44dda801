"""A run among many: done once, read back afterwards, started over where it was cut off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.scorer import Scorer
from bdpl_async.studies.cells import Cell, run_cell
from bdpl_async.task import Task
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task


class Connections:
    """Connects to the simulated model, and counts."""

    def __init__(self) -> None:
        self.made = 0

    @asynccontextmanager
    async def __call__(self, config: Config) -> AsyncIterator[Scorer]:
        self.made += 1
        yield Simulated()


async def test_a_finished_cell_is_not_run_again(tmp_path: Path) -> None:
    """The second time nobody connects, and the same run is read back."""
    connect = Connections()
    cell = Cell(Task.from_toml(write_task(tmp_path)), tmp_path / "cell")
    first = await run_cell(cell, connect)
    again = await run_cell(cell, connect)
    assert connect.made == 1
    assert again.result == first.result


async def test_a_cell_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    """Without a result, or with an interrupted one, the cell comes to the same end."""
    connect = Connections()
    cell = Cell(Task.from_toml(write_task(tmp_path)), tmp_path / "cell")
    first = await run_cell(cell, connect)
    (cell.out / "result.json").unlink()
    again = await run_cell(cell, connect)
    assert connect.made == 2
    assert again.result.losses == first.result.losses


async def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    """What another configuration left is neither taken for this cell nor removed."""
    connect = Connections()
    path = write_task(tmp_path)
    await run_cell(Cell(Task.from_toml(path), tmp_path / "cell"), connect)
    other = Cell(Task.from_toml(path, seed=1), tmp_path / "cell")
    with pytest.raises(ConfigError, match="another configuration"):
        await run_cell(other, connect)
    assert (tmp_path / "cell" / "result.json").exists()
