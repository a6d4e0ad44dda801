"""A masked language model on this machine: ``roberta/builtin``, a folder, or a hub id.

    Request --assemble--> Rows --sort by length, cut--> batches --one thread--> Scores

One thread owns the model and its tokenizer; the event loop only waits. How a request falls into
batches is a function of the request alone, so the same request gives the same bits, on one machine
with one number of threads. Beside other texts a text's score may differ by rounding. torch and
transformers are imported when the model is opened, not before.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from bdpl_async.errors import ConfigError, ProviderError, ProviderRefused, RequestFailed, UsageError
from bdpl_async.records import Reply, Request, Score, Text, Usage
from bdpl_async.scorer import Capabilities, Line, Scorer
from bdpl_providers import Connection
from bdpl_providers.assembly import Assembler, Row
from bdpl_providers.loading import load
from bdpl_providers.maskedlm import MaskedLM

__all__ = ["Roberta", "connected", "from_connection"]

P = ParamSpec("P")
T = TypeVar("T")

BUILTIN = Path(__file__).with_name("builtin")


class Roberta:
    """Any masked language model that transformers loads, as a `Scorer`.

        async with Roberta("builtin") as scorer:
            reply = await scorer.score(Request((Text("It was ", "."),), (" bad", " great")))

    Args:
        model: ``builtin``, a folder, or a hub id; safetensors weights only, no remote code.
        device: as torch names it; None takes cuda, else mps, else cpu.
        dtype: ``float32`` (also None), ``bf16``, ``float16``, or ``auto``: bf16 where the
            hardware multiplies it fast. float32 gives the same answers on every machine, but for
            rounding.
        batch: texts that run through the model at once.
        max_length: tokens of the window, where the model's own is longer than the texts need.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch: int = 64,
        max_length: int | None = None,
    ) -> None:
        if batch < 1:
            raise UsageError(f"roberta/{model}: a batch of {batch} texts", hint="take 1 or more")
        self.name = f"roberta/{model}"
        self.capabilities = Capabilities(
            batch=batch, order="length", concurrency=1, local=True, readout="mlm", exact=True
        )
        self._model = model
        self._options = (device, dtype, max_length)
        self._thread: ThreadPoolExecutor | None = None
        self._loaded: tuple[MaskedLM, Assembler] | None = None

    async def __aenter__(self) -> Self:
        """Load the model, on its thread.

        Raises:
            UsageError: torch or transformers is missing, or an option is of no use.
            ProviderRefused: there is no usable masked language model of that name.
        """
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.name)
        try:
            source = _source(self.name, self._model)
            self._loaded = await self._on_thread(load, self.name, source, *self._options)
        except BaseException:
            self._thread.shutdown(wait=False, cancel_futures=True)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the batch under way finish, then let go of the model."""
        thread, self._thread, self._loaded = self._thread, None, None
        if thread is not None:
            await asyncio.to_thread(thread.shutdown, cancel_futures=True)

    async def probe(self, request: Request, line: Line) -> Capabilities:
        """Resolve the label words and assemble the sample texts; the model itself does not run.

        Raises:
            LabelError: a label word is not one known token, or two share one.
            ProviderRefused: a sample does not fit the model's window, so no text would.
        """
        _, assembler = self._opened()
        rows, _ = await self._on_thread(_assemble, assembler, request)
        for row in rows:
            if isinstance(row, RequestFailed):
                raise ProviderRefused(row.args[0], hint=row.hint)
        return self.capabilities

    async def score(self, request: Request) -> Reply:
        """Weigh the label words at the mask of each text.

        A request of any size is sorted by length and cut into batches here. A text that cannot
        be made to fit, or whose numbers are not finite, stands as its `RequestFailed`.

        Raises:
            LabelError: a label word is not one known token, or two share one.
        """
        model, assembler = self._opened()
        rows, labels = await self._on_thread(_assemble, assembler, request)
        fitting = {index: row for index, row in enumerate(rows) if isinstance(row, Row)}
        outcomes: dict[int, Score | ProviderError] = {
            index: row for index, row in enumerate(rows) if isinstance(row, RequestFailed)
        }
        order = sorted(fitting, key=lambda index: len(fitting[index].ids))
        # One hop to the thread per batch: a cancelled request stops at the next one.
        for first in range(0, len(order), self.capabilities.batch):
            indices = order[first : first + self.capabilities.batch]
            batch = [fitting[index] for index in indices]
            found = await self._on_thread(model.logprobs, batch, [labels[i] for i in indices])
            for index, logprobs in zip(indices, found, strict=True):
                outcomes[index] = self._outcome(logprobs, request.labels)
        tokens = sum(len(row.ids) for row in fitting.values())
        return Reply([outcomes[index] for index in range(len(rows))], Usage(prompt_tokens=tokens))

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...] = ()) -> list[int]:
        """Tokens of each text as the model will read it; 0 for one that cannot be made to fit."""
        _, assembler = self._opened()
        rows = await self._on_thread(assembler.rows, texts)
        return [len(row.ids) if isinstance(row, Row) else 0 for row in rows]

    def _outcome(
        self, logprobs: list[float] | None, labels: tuple[str, ...]
    ) -> Score | RequestFailed:
        if logprobs is None:
            return RequestFailed(
                f"{self.name}: out of memory on a single text",
                hint="set max_length, or take a smaller model or device='cpu'",
            )
        for label, value in zip(labels, logprobs, strict=True):
            if not math.isfinite(value):
                return RequestFailed(
                    f"{self.name}: the log-probability of label word {label!r} is {value}",
                    hint="the weights may be damaged, or dtype too narrow: try float32",
                )
        return Score(tuple(logprobs), mass=min(1.0, math.fsum(map(math.exp, logprobs))))

    def _opened(self) -> tuple[MaskedLM, Assembler]:
        if self._loaded is None:
            raise UsageError(f"{self.name} is not open", hint="enter it with 'async with' first")
        return self._loaded

    async def _on_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._thread is None:  # closed meanwhile; None would mean the loop's own threads
            raise UsageError(f"{self.name} is closed", hint="score inside its 'async with' block")
        work = functools.partial(call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def from_connection(connection: Connection) -> Roberta:
    """The scorer that a connection asks for, in this process.

    Raises:
        ConfigError: another read-out than that of a masked model is asked for, or a server.
    """
    if connection.base_url is not None:
        raise ConfigError(
            f"model.base_url: roberta/{connection.model} runs here, there is no server",
            hint="leave it out, or take another provider",
        )
    if connection.readout not in {"auto", "mlm"}:
        raise ConfigError(
            f"model.readout: roberta/{connection.model} cannot be read by {connection.readout!r}",
            hint="take auto or mlm",
        )
    return Roberta(connection.model, device=connection.device, dtype=connection.dtype)


def connected(connection: Connection) -> Scorer:
    """The provider's entry point: in this process, or in Ray actors.

    Raises:
        ConfigError: as `from_connection`, or Ray is not installed.
    """
    if connection.workers is None:
        return from_connection(connection)
    from bdpl_providers.actors import Actors

    return Actors(connection)


def _assemble(
    assembler: Assembler, request: Request
) -> tuple[list[Row | RequestFailed], list[tuple[int, ...]]]:
    """Per text, its row or its error, and the ids of the label words where its mask stands."""
    labels = [assembler.label_ids(request.labels, text.before) for text in request.texts]
    return assembler.rows(request.texts), labels


def _source(name: str, model: str) -> str:
    """What the loader is given: an existing folder, or a hub id.

    Raises:
        ProviderRefused: `model` reads as a folder, and there is none.
    """
    folder = BUILTIN if model == "builtin" else Path(model).expanduser()
    if folder.is_dir():
        return str(folder)
    if model == "builtin" or model.startswith((".", "~", "/")) or model.count("/") > 1:
        raise ProviderRefused(f"{name}: there is no folder {folder}", hint="check the model's name")
    return model
