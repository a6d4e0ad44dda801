"""A causal language model in this process, as a `Scorer`: for studies without a server.

    from scorer import CausalScorer

    async with CausalScorer("DIR", dtype="bf16") as scorer:
        result = await bdpl.tune(task, scorer, budget=bdpl.Budget(prompts=5000), seed=0)

Any folder that `AutoModelForCausalLM` loads will do. Texts are sorted by length and run in
batches; the vocabulary head sees the last token alone. Knows no trainer and no benchmark.
"""

# mypy: disable-error-code="no-untyped-call"
# (torch and transformers annotate only a part of what is called here)
from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from bdpl_async.errors import LabelError, UsageError
from bdpl_async.records import Reply, Request, Score, Text, Usage
from bdpl_async.scorer import Capabilities

__all__ = ["CausalModel", "CausalScorer"]

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
TOKENS = 8192
"""Tokens that run through the model at once, padding included."""

TAIL = 32
"""Last tokens of a text that does not fit, which are kept: they hold the template's end."""


class CausalModel:
    """A model and its tokenizer, asked for label words behind texts. Not for many threads.

    Args:
        folder: as `save_pretrained` leaves it, model and tokenizer.
        dtype: ``float32`` or ``bf16``, which is fast where the processor multiplies it.
        window: tokens of a text at most; a longer one loses tokens before its last `TAIL`.
    """

    def __init__(self, folder: str | Path, *, dtype: str = "float32", window: int = 256) -> None:
        if dtype not in DTYPES:
            raise UsageError(f"dtype {dtype!r} is unknown", hint=f"take {' or '.join(DTYPES)}")
        self._network = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype]).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._encode = self._tokenizer.backend_tokenizer
        self._window = window

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, cut to the window."""
        found = [encoding.ids for encoding in self._encode.encode_batch([*texts])]
        head = self._window - TAIL
        return [ids if len(ids) <= self._window else ids[:head] + ids[-TAIL:] for ids in found]

    def label_ids(self, labels: Sequence[str]) -> list[int]:
        """The token of each label word.

        Raises:
            LabelError: a label word is not one token, or two are the same.
        """
        found = [self._encode.encode(label, add_special_tokens=False).ids for label in labels]
        for label, ids in zip(labels, found, strict=True):
            if len(ids) != 1 or found.count(ids) > 1:
                raise LabelError(
                    f"label word {label!r} is not one token of its own in this model",
                    hint="give each label one frequent word, with a leading space",
                )
        return [ids[0] for ids in found]

    def logprobs(self, texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.float32]:
        """(texts, labels) log-probabilities in nats under the softmax of the whole vocabulary."""
        return self.weigh(self.ids(texts), self.label_ids(labels))

    @torch.inference_mode()
    def weigh(self, rows: list[list[int]], labels: list[int]) -> NDArray[np.float32]:
        """`logprobs`, from token ids."""
        found = np.empty((len(rows), len(labels)), dtype=np.float32)
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        wanted = torch.tensor(labels)
        while order:
            # From the longest down: it says how many fit beside it.
            batch = order[-max(1, TOKENS // len(rows[order[-1]])) :]
            del order[-len(batch) :]
            logits = self._logits([rows[index] for index in batch])
            found[batch] = functional.log_softmax(logits.float(), -1)[:, wanted].numpy()
        return found

    def _logits(self, rows: list[list[int]]) -> torch.Tensor:
        width = max(map(len, rows))
        # Padded on the right, where a causal model never looks from the last token.
        table = torch.tensor([ids + [0] * (width - len(ids)) for ids in rows])
        last = torch.tensor([len(ids) - 1 for ids in rows])
        hidden = self._network.base_model(input_ids=table, use_cache=False).last_hidden_state
        logits: torch.Tensor = self._network.lm_head(hidden[torch.arange(len(rows)), last])
        return logits


class CausalScorer:
    """`CausalModel` behind the protocol of the engine, on a thread of its own.

    Args:
        folder: of the model; its last part becomes the name, as in ``causal/model``.
        dtype: see `CausalModel`.
        window: see `CausalModel`.
    """

    def __init__(self, folder: str | Path, *, dtype: str = "float32", window: int = 256) -> None:
        self.name = f"causal/{Path(folder).name}"
        self.capabilities = Capabilities(
            batch=256, order="length", concurrency=1, local=True, causal=True, exact=True
        )
        self._options = folder, dtype, window
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self.name)
        self._model: CausalModel | None = None

    async def __aenter__(self) -> Self:
        """Load the model."""
        loop = asyncio.get_running_loop()
        self._model = await loop.run_in_executor(self._thread, self._load)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the batch under way finish, then let go of the model."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._model = None

    async def score(self, request: Request) -> Reply:
        """Weigh the label words behind each text.

        Raises:
            LabelError: a label word is not one token, or two are the same.
            UsageError: the scorer is not open.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._reply, request)

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...] = ()) -> list[int]:
        """Tokens of each text as the model reads it."""
        rows = self._opened().ids([text.causal for text in texts])
        return [len(row) for row in rows]

    def _load(self) -> CausalModel:
        folder, dtype, window = self._options
        return CausalModel(folder, dtype=dtype, window=window)

    def _opened(self) -> CausalModel:
        if self._model is None:
            raise UsageError(f"{self.name} is not open", hint="enter it with 'async with' first")
        return self._model

    def _reply(self, request: Request) -> Reply:
        model = self._opened()
        rows = model.ids([text.causal for text in request.texts])
        found = model.weigh(rows, model.label_ids(request.labels))
        mass = np.exp(found.astype(np.float64)).sum(1)
        scores = [
            Score(tuple(logprobs), mass=min(1.0, float(total)))
            for logprobs, total in zip(found.tolist(), mass, strict=True)
        ]
        return Reply(scores, Usage(prompt_tokens=sum(map(len, rows))))
