"""Clients that live in another Python: LiteLLM, lm-evaluation-harness, inspect_ai.

    PYTHON benchmarks/foreign.py PEER BASE_URL      one round a line, see `main`

Only the standard library is imported at the top, so that any Python can run this file. Each client
is called as its own users call it, on an event loop that stays between rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from peers import EXTRA, KEYS, Rows, workers

if TYPE_CHECKING:
    from figures import Setting

MODEL = "loopback"
Solve = Callable[[Sequence[str], int], None]
PEERS = {"LiteLLM": "litellm", "lm-evaluation-harness": "lm_eval", "inspect_ai": "inspect_ai"}


def litellm(base_url: str) -> Solve:
    """`atext_completion`, from as many workers as requests may be in flight."""
    from litellm import atext_completion  # type: ignore[import-not-found,unused-ignore]

    async def send(prompts: list[str]) -> Rows:
        answer: Any = await atext_completion(
            model=f"text-completion-openai/{MODEL}",
            prompt=prompts,
            max_tokens=1,
            temperature=0,
            logprobs=1,
            extra_body=EXTRA,
            api_base=base_url,
            api_key="none",
            max_retries=0,
        )
        choices = answer.model_dump()["choices"]
        return [[choice["logprobs"]["top_logprobs"][0][key] for key in KEYS] for choice in choices]

    return _looped(lambda texts, concurrency: workers(send, texts, concurrency))


def lm_eval(base_url: str) -> Solve:
    """`local-completions` with `num_concurrent`; one token of each text is generated.

    A label's likelihood takes it one request for each label, a tokenizer, and echoed tokens.
    """
    from lm_eval.api.instance import Instance  # type: ignore[import-not-found,unused-ignore]
    from lm_eval.models.openai_completions import (  # type: ignore[import-not-found,unused-ignore]
        LocalCompletionsAPI,
    )

    told = {"until": ["\n"], "max_gen_toks": 1, "temperature": 0}
    clients: dict[int, Any] = {}

    def solve(texts: Sequence[str], concurrency: int) -> None:
        client = clients.get(concurrency) or LocalCompletionsAPI(
            base_url=f"{base_url}/completions",
            model=MODEL,
            tokenizer_backend=None,
            num_concurrent=concurrency,
            eos_string="</s>",
        )
        clients[concurrency] = client
        kind = "generate_until"
        asked = [
            Instance(request_type=kind, doc={}, arguments=(text, dict(told)), idx=index)
            for index, text in enumerate(texts)
        ]
        assert len(client.generate_until(asked, disable_tqdm=True)) == len(texts)

    return solve


def inspect_ai(base_url: str) -> Solve:
    """A model's `generate`, by chat, with `max_connections`."""
    from inspect_ai.model import (  # type: ignore[import-not-found,unused-ignore]
        GenerateConfig,
        get_model,
    )

    models: dict[int, Any] = {}

    async def solve(texts: Sequence[str], concurrency: int) -> None:
        if concurrency not in models:
            config = GenerateConfig(
                max_connections=concurrency, max_tokens=1, temperature=0, logprobs=True
            )
            models[concurrency] = get_model(
                f"openai-api/loopback/{MODEL}", base_url=base_url, api_key="none", config=config
            )
        found = await asyncio.gather(*(models[concurrency].generate(text) for text in texts))
        assert all(one.choices[0].logprobs for one in found)

    return _looped(solve)


def _looped(work: Callable[[Sequence[str], int], Awaitable[None]]) -> Solve:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def whole(texts: Sequence[str], concurrency: int) -> None:
        await work(texts, concurrency)

    return lambda texts, concurrency: loop.run_until_complete(whole(texts, concurrency))


def main(peer: str, base_url: str) -> None:
    """A round for each line of JSON ``[texts, concurrency]``; tells its CPU seconds."""
    os.environ.setdefault("OPENAI_API_KEY", "none")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network
    clients = {"litellm": litellm, "lm_eval": lm_eval, "inspect_ai": inspect_ai}
    solve: Solve = clients[peer](base_url)
    for line in iter(sys.stdin.readline, ""):
        texts, concurrency = json.loads(line)
        solve(texts[:concurrency], concurrency)
        began = time.process_time()
        solve(texts, concurrency)
        print(f"cpu {time.process_time() - began}", flush=True)


class Foreign:
    """A client in another Python, which stays between rounds; a context manager.

    Args:
        peer: one of `PEERS`.
        python: that has it.
        base_url: of the server.
    """

    @staticmethod
    def found(peer: str, setting: Setting) -> str | None:
        """The first Python in which it answers; says so if there is none."""
        from loopback import served  # which needs what other Pythons may not have

        for python in setting.pythons:
            with (
                served() as server,
                suppress(RuntimeError),
                Foreign(peer, python, server.url) as one,
            ):
                one.cpu(["This is a trial. It was", "This is another. It was"], 2)
                return python
        setting.remark(f"{peer} is left out: no --peer-python has it and works")
        return None

    def __init__(self, peer: str, python: str, base_url: str) -> None:
        self._peer = peer
        pipe = subprocess.PIPE
        command = [python, __file__, PEERS[peer], base_url]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def cpu(self, texts: Sequence[str], concurrency: int) -> float:
        """CPU seconds for these texts, after as many as fit in flight to warm up.

        Raises:
            RuntimeError: it has died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([list(texts), concurrency]), file=self._process.stdin, flush=True)
        for line in iter(self._process.stdout.readline, ""):
            if line.startswith("cpu "):  # between advertisements
                return float(line.split()[1])
        raise RuntimeError(f"{self._peer} ended with status {self._process.wait()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
