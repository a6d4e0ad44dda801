"""The rules of runs elsewhere: the same as here, again if a worker is lost, stopped when asked.

Workers are threads of this process; tests/cluster has Ray's own.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from bdpl_async import __version__
from bdpl_async.elsewhere.cluster import Cluster, Lost
from bdpl_async.elsewhere.mirror import put
from bdpl_async.elsewhere.parcels import Broke, Files, Heard, Job, Opened, Parcel, Stands
from bdpl_async.elsewhere.remote import TRIES, Remote
from bdpl_async.elsewhere.worker import work
from bdpl_async.errors import ConfigError, ProviderRefused, ProviderUnavailable
from bdpl_async.events import Checkpoint, Event, Finished
from bdpl_async.halt import Stopped
from bdpl_async.kept import Kept
from bdpl_async.result import Result
from bdpl_async.studies.cells import Cell, Watched, run_cell
from bdpl_async.task import Task
from bdpl_cli.connecting import connected
from bdpl_cli.elsewhere import Place, refuse_address, threads_of
from tests.workbench import write_task

CONNECT = "bdpl_cli.connecting:connected"
ONE: Mapping[str, float] = {"cores": 1, "gpus": 0}


def cell_in(
    folder: Path, name: str = "out", overrides: Mapping[str, str | int | float] | None = None
) -> Cell:
    (folder / "runs").mkdir(exist_ok=True)
    given: dict[str, str | int | float] = {
        "model.name": "simulated/demo",
        "optimizer.steps": 3,
        "run.cache": "none",
    }
    return Cell(
        Task.from_toml(write_task(folder), overrides={**given, **(overrides or {})}),
        folder / "runs" / name,
    )


async def never() -> bool:
    return False


def job(cell: Cell, *, sees: bool = True, **more: Any) -> Job:
    """For a worker that has the folder, or has not."""
    token = cell.out.parent / "token"
    if sees:
        token.write_text("it")
    return Job(cell, CONNECT, more.pop("version", __version__), (token, "it"), [], **more)


def same(one: Result, other: Result) -> bool:
    def bare(result: Result) -> Result:
        usage = replace(result.usage, seconds=0.0)
        return replace(result, usage=usage, latency=one.latency, spending=None)

    return bare(one).to_json() == bare(other).to_json()


class Threads:
    """A cluster of threads.

    Attributes:
        losses: tries that are lost after so many parcels, in their order.
        sees: whether workers have the driver's folder.
    """

    cores = 3

    def __init__(self, *losses: int, sees: bool = True) -> None:
        self.losses = list(losses)
        self.sees = sees
        self.jobs: list[Job] = []
        self._rung = False

    def ring(self) -> None:
        self._rung = True

    async def _asked(self) -> bool:
        return self._rung

    async def parcels(self, job: Job, *, cores: float, gpus: float) -> AsyncGenerator[Parcel]:
        self.jobs.append(job)
        if not self.sees:
            job = replace(job, token=(job.token[0].with_name("unseen"), "it"))
        left = self.losses.pop(0) if self.losses else None
        async for parcel in _awaited(work(job, self._asked)):
            if left is not None:
                if left == 0:
                    raise Lost("the node died")
                left -= 1
            yield parcel


async def _awaited(parcels: Iterator[Parcel]) -> AsyncIterator[Parcel]:
    """From a worker's thread to the loop; the rest is taken, so that no thread is left."""
    loop, found = asyncio.get_running_loop(), queue.SimpleQueue[Parcel | None]()

    def take() -> None:
        for parcel in parcels:
            found.put(parcel)
        found.put(None)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        while (parcel := await loop.run_in_executor(None, found.get)) is not None:
            yield parcel
    finally:
        await loop.run_in_executor(None, thread.join)


async def remote(
    cluster: Threads,
    cell: Cell,
    on_event: Callable[[Event], None] = lambda event: None,
    on_open: Callable[[Watched], None] = lambda run: None,
) -> Kept:
    return await Remote(cast(Cluster, cluster), CONNECT)(cell, on_event, on_open)


@pytest.mark.parametrize("sees", [True, False])
async def test_a_run_elsewhere_is_as_one_here(tmp_path: Path, sees: bool) -> None:
    """Its result, its files, and what it says; whether the worker has the folder or not."""
    here, there = cell_in(tmp_path, "here"), cell_in(tmp_path, "there")
    events: dict[str, list[Event]] = {"here": [], "there": []}
    ours = await run_cell(here, connected, events["here"].append)
    theirs = await remote(Threads(sees=sees), there, events["there"].append)
    assert same(ours.result, theirs.result)
    kinds = {
        place: [type(event) for event in told if not isinstance(event, Checkpoint)]
        for place, told in events.items()  # when the disk has one is chance
    }
    assert kinds["here"] == kinds["there"]
    files = [{path.name for path in cell.out.iterdir()} for cell in (here, there)]
    assert files[0] == files[1]
    assert (here.out / "policy.json").read_bytes() == (there.out / "policy.json").read_bytes()
    assert not list(there.out.parent.glob(".ray-*"))


@pytest.mark.parametrize("sees", [True, False])
async def test_a_lost_worker_is_replaced_and_goes_on(tmp_path: Path, sees: bool) -> None:
    """From what is known by then, to the same end."""
    ours = await run_cell(cell_in(tmp_path, "here"), connected)
    cluster = Threads(0, 3, sees=sees)
    theirs = await remote(cluster, cell_in(tmp_path, "there"))
    assert same(ours.result, theirs.result)
    assert len(cluster.jobs) in (2, 3)  # a thread that is lost may finish all the same


async def test_who_loses_every_worker_gives_up(tmp_path: Path) -> None:
    """After a few."""
    cluster = Threads(*[0] * 99, sees=False)
    with pytest.raises(ProviderUnavailable, match="the node died"):
        await remote(cluster, cell_in(tmp_path))
    assert len(cluster.jobs) == TRIES


async def test_an_error_of_ours_comes_back_as_it_is(tmp_path: Path) -> None:
    """With its class and its hint; nobody tries again."""
    cluster = Threads()
    cell = cell_in(tmp_path, overrides={"model.name": "roberta/./nowhere"})
    with pytest.raises(ProviderRefused, match="there is no folder") as caught:
        await remote(cluster, cell)
    assert caught.value.hint
    assert len(cluster.jobs) == 1


async def test_a_run_that_is_there_is_not_run_again(tmp_path: Path) -> None:
    """As here."""
    cell, cluster = cell_in(tmp_path), Threads()
    first = await remote(cluster, cell)
    assert same((await remote(cluster, cell)).result, first.result)
    assert len(cluster.jobs) == 1


async def test_a_run_is_stopped_where_it_is(tmp_path: Path) -> None:
    """It is saved, and goes on later."""
    cell = cell_in(tmp_path, overrides={"optimizer.steps": 4_000})
    runs: list[Watched] = []
    cluster = Threads()

    def opened(run: Watched) -> None:
        runs.append(run)
        run.halt()

    kept = await remote(cluster, cell, on_open=opened)
    assert kept.result.stop_reason == "interrupted"
    assert runs[0].pulse() is None or runs[0].pulse() is not None


async def test_one_that_has_not_begun_is_stopped_too(tmp_path: Path) -> None:
    """Nothing is left of it."""
    cluster = Threads()
    cluster.ring()
    cell = cell_in(tmp_path, overrides={"optimizer.steps": 4_000})
    try:
        kept = await remote(cluster, cell)
    except Stopped:
        assert not (cell.out / "result.json").exists()
    else:
        assert kept.result.stop_reason == "interrupted"


def test_another_release_is_refused(tmp_path: Path) -> None:
    """It may find something else."""
    parcels = list(work(job(cell_in(tmp_path), version="0.0.1"), never))
    assert len(parcels) == 1
    assert isinstance(parcels[0], Broke)
    assert isinstance(parcels[0].error, ConfigError)
    assert "0.0.1" in str(parcels[0].error)


def test_a_worker_without_the_folder_sends_its_files(tmp_path: Path) -> None:
    """And leaves nothing on its own machine."""
    cell = cell_in(tmp_path)
    parcels = list(work(job(cell, sees=False), never))
    assert not cell.out.exists()
    cell.out.mkdir()
    for parcel in parcels:
        if isinstance(parcel, Files):
            put(cell.out, parcel.changes)
    assert (cell.out / "result.json").exists()
    kinds = [type(parcel) for parcel in parcels]
    assert {Opened, Heard, Files, Stands} == set(kinds)
    last = [parcel.event for parcel in parcels if isinstance(parcel, Heard)][-1]
    assert isinstance(last, Finished)


def test_limits_are_an_accounts(tmp_path: Path) -> None:
    """Cells that keep to some alone come one by one; those of a group, or without, do not."""
    place = Remote(cast(Cluster, Threads()), CONNECT)
    server: dict[str, str | int | float] = {"model.name": "vllm/m", "model.rpm": 60}
    limited = [cell_in(tmp_path, name, server) for name in "ab"]
    shared = [cell_in(tmp_path, name, {**server, "group.name": "lab"}) for name in "ab"]
    free = [cell_in(tmp_path, name) for name in "ab"]
    assert place.together(limited[0]) == place.together(limited[1])
    assert place.together(shared[0]) != place.together(shared[1])
    assert place.together(free[0]) != place.together(free[1])
    assert place.most == 6


def test_a_model_has_the_threads_that_it_has_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its last bits would be others; a server's cells need none."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of(cell_in(tmp_path, overrides={"model.name": "roberta/builtin"}).config) == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    import torch

    local = cell_in(tmp_path, overrides={"model.name": "roberta/builtin"}).config
    assert threads_of(local) == torch.get_num_threads()
    assert threads_of(cell_in(tmp_path).config) is None


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is begun."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="needs the package ray") as caught:
        refuse_address("ray", None)
    assert "bdpl-async[ray]" in str(caught.value.hint)
    refuse_address("local", None)


class FakeRay(ModuleType):
    """What `Cluster` uses of Ray, with one stream of results and then an error, if any."""

    RayError = type("RayError", (Exception,), {})
    RayTaskError = type("RayTaskError", (RayError,), {})

    def __init__(self, sent: int, error: Exception | None) -> None:
        super().__init__("ray")
        self.sent, self.error = sent, error
        self.cancelled: list[object] = []
        self.exceptions = self.util = self.scheduling_strategies = self

    def __getattr__(self, name: str) -> Any:
        return lambda *positional, **named: self  # remote(), options(), a context

    def is_initialized(self) -> bool:
        return True

    def cancel(self, stream: object, force: bool) -> None:
        self.cancelled.append(stream)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._refs()

    async def _refs(self) -> AsyncIterator[Any]:
        for number in range(self.sent):
            yield asyncio.sleep(0, Stands(cast(Any, number)))
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, FakeRay.RayError("the node died")])
async def test_only_a_task_that_is_left_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception | None
) -> None:
    """One that ended or is lost is none: to cancel it as well can crash Ray, and us with it."""
    ray = FakeRay(3, error)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with Cluster() as cluster:
        with nullcontext() if error is None else pytest.raises(Lost, match="the node died"):
            given = [parcel async for parcel in cluster.parcels(job(cell_in(tmp_path)), **ONE)]
            assert len(given) == 3
        assert ray.cancelled == []
        async with aclosing(cluster.parcels(job(cell_in(tmp_path)), **ONE)) as parcels:
            await anext(parcels)
        assert ray.cancelled == [ray]


async def test_a_failed_cell_is_heard_to_its_end(tmp_path: Path) -> None:
    """Who has told of its error ends by itself; who cannot be written to is left at once."""
    closed: list[bool] = []

    class Told(Threads):
        async def parcels(self, job: Job, *, cores: float, gpus: float) -> AsyncGenerator[Parcel]:
            ended = False
            try:
                yield Broke(ProviderRefused("there is no such model"))
                ended = True
            finally:
                closed.append(ended)

    class Full(Threads):
        async def parcels(self, job: Job, *, cores: float, gpus: float) -> AsyncGenerator[Parcel]:
            try:
                yield Opened()
            finally:
                closed.append(False)

    def full(run: Watched) -> None:
        raise OSError("no space left")

    with pytest.raises(ProviderRefused):
        await remote(Told(), cell_in(tmp_path))
    with pytest.raises(OSError, match="no space"):
        await remote(Full(), cell_in(tmp_path), on_open=full)
    assert closed == [True, False]


def test_a_place_is_said_as_it_was_given() -> None:
    """So that the command that goes on with a sweep goes on there."""
    assert Place().words() == []
    there = Place("ray", "10.0.0.1:6379", "otlp").words()
    assert there == ["--executor", "ray", "--address", "10.0.0.1:6379", "--telemetry", "otlp"]
