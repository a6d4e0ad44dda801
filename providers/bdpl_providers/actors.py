"""A masked language model on several machines, cores or GPUs: one whole model in each Ray actor.

    Request --least loaded--> actor: Roberta --Scores--> Reply

A request goes whole to one actor, so how texts fall into batches is a function of the ask alone,
and the same request gives the same bits whoever answers, with the same number of threads on the
same kind of processor. Two requests at most are at an actor; the rest wait here, in order. An actor
that dies is started anew by Ray, and its requests are sent again. Ray is imported when opened.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from bdpl_async.elsewhere.reach import Reach
from bdpl_async.errors import (
    BdplError,
    ConfigError,
    ProviderRefused,
    ProviderUnavailable,
    UsageError,
)
from bdpl_async.records import Reply, Request, Text
from bdpl_async.scorer import Capabilities, Line
from bdpl_providers import Connection
from bdpl_providers.roberta import Roberta, from_connection
from bdpl_providers.slots import Slots

__all__ = ["Actors"]

SETTING: Final = "model.workers"
DEPTH: Final = 2  # requests at an actor: one is computed while the next is on its way
RESTARTS: Final = 3  # of one actor
TRIES: Final = 4  # of a request whose actors die


class Actors:
    """`Roberta` many times over, as one `Scorer`.

    Args:
        connection: with `workers`, how many.

    Raises:
        ConfigError: as `bdpl_providers.roberta.from_connection`; or Ray is not installed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = replace(connection, workers=None)
        self._count = connection.workers or 1
        alone = from_connection(self._connection)
        self.name = alone.name
        self.capabilities = replace(alone.capabilities, concurrency=DEPTH * self._count)
        self._reach = Reach(SETTING)
        self._held = ExitStack()
        self._slots = Slots(self._count, DEPTH)
        self._actors: list[Any] = []

    async def __aenter__(self) -> Self:
        """Start the actors and load the model in each.

        Raises:
            ConfigError: the cluster cannot be reached, or has no room for so many.
            UsageError, ProviderRefused: as `Roberta`, on the actors' machines.
        """
        with ExitStack() as stack:
            stack.enter_context(self._reach)
            stack.callback(self._end)
            self._start()
            await asyncio.gather(*(self._told(actor, "ready") for actor in self._actors))
            self._held = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the actors, and Ray if it was started for them."""
        await asyncio.to_thread(self._held.close)

    async def probe(self, request: Request, line: Line) -> Capabilities:
        """As `Roberta.probe`, by one of them.

        Raises:
            LabelError, ProviderRefused: as there.
        """
        await self._ask("probe", request)
        return self.capabilities

    async def score(self, request: Request) -> Reply:
        """As `Roberta.score`, by the one that has the least to do.

        Raises:
            LabelError: as there.
            ProviderUnavailable: actor after actor died over it.
            ProviderRefused: none is left.
        """
        reply: Reply = await self._ask("score", request)
        return reply

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...] = ()) -> list[int]:
        """As `Roberta.count`."""
        counts: list[int] = await self._ask("count", list(texts), labels)
        return counts

    def _start(self) -> None:
        """One actor for each GPU, or else for each share of the cores."""
        reach = self._reach
        gpu = (self._connection.device or "cuda").startswith("cuda") and reach.gpus >= self._count
        cores = reach.cores // self._count
        if not cores:
            raise ConfigError(
                f"{SETTING}: {self._count} actors, and the Ray cluster has {reach.cores} cores",
                hint=f"take {reach.cores} at most",
            )
        given = os.environ.get("OMP_NUM_THREADS", "")
        threads = min(int(given), cores) if given.isdecimal() and int(given) else cores
        options = {"num_cpus": threads, "num_gpus": int(gpu), "max_restarts": RESTARTS}
        make = reach.ray.remote(_Holder).options(max_concurrency=DEPTH + 1, **options)
        self._actors = [make.remote(self._connection, threads) for _ in range(self._count)]

    def _end(self) -> None:
        actors, self._actors = self._actors, []
        for actor in actors:
            self._reach.ray.kill(actor)

    async def _ask(self, what: str, *given: object) -> Any:
        if not self._actors:
            raise UsageError(f"{self.name} is not open", hint="enter it with 'async with' first")
        deaths = self._reach.ray.exceptions
        for left in range(TRIES - 1, -1, -1):
            try:
                async with self._slots.place() as worker:
                    return await self._told(self._actors[worker], what, *given)
            except LookupError:
                break
            except deaths.ActorUnavailableError as error:  # it is being started anew
                if not left:
                    raise self._dying(error) from None
            except deaths.RayActorError as error:
                await self._slots.lose(worker)
                if not left:
                    raise self._dying(error) from None
        raise ProviderRefused(
            f"{self.name}: all {self._count} actors have died",
            hint="see Ray's log; with less memory than models take lower model.workers",
        )

    def _dying(self, error: Exception) -> ProviderUnavailable:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        return ProviderUnavailable(f"{self.name}: actor after actor died: {first}")

    async def _told(self, actor: Any, what: str, *given: object) -> Any:
        """What an actor's model says; its errors of ours are raised here."""
        found = await actor.told.remote(what, *given)
        if isinstance(found, BdplError):
            raise found
        return found


class _Holder:
    """The actor: one model, loaded when it is first asked for, also after a restart."""

    def __init__(self, connection: Connection, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # before torch is there
        self._threads = threads
        self._connection = connection
        self._roberta: Roberta | None = None
        self._loading = asyncio.Lock()

    async def told(self, what: str, *given: Any) -> Any:
        """The result of a method of `Roberta`, or the error of ours that it raised."""
        try:
            roberta = await self._loaded()
            match what:
                case "score":
                    return await roberta.score(*given)
                case "count":
                    return await roberta.count(*given)
                case "probe":
                    return await roberta.probe(given[0], _nobody)
            return None
        except BdplError as error:
            return error.with_traceback(None)

    async def _loaded(self) -> Roberta:
        async with self._loading:
            if self._roberta is None:
                import torch

                torch.set_num_threads(self._threads)
                self._roberta = await from_connection(self._connection).__aenter__()
        return self._roberta


async def _nobody(exchange: object, texts: object) -> Any:
    """The line of a probe that sends nothing."""
    raise AssertionError("a masked model here is probed without a request")
