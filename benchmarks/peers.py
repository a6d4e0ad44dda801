"""Other clients that send the same requests: bare aiohttp, the openai SDK, LiteLLM.

    PYTHON benchmarks/peers.py BASE_URL      LiteLLM in a Python that has it, one round a line

Only the standard library is imported at the top, so that any Python can run this file. A peer's
`ask` sends all texts, so many requests in flight, and reads the label words' log-probabilities.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

MODEL = "loopback"
LABELS = (" no", " yes")
IDS = tuple(
    zlib.crc32(label.strip().encode()) % 50_000 for label in LABELS
)  # as loopback.py has it
KEYS = tuple(f"token_id:{token}" for token in IDS)
EXTRA = {"logprob_token_ids": list(IDS), "return_tokens_as_token_ids": True}
Ask = Callable[[Sequence[str]], Awaitable[None]]
Rows = list[list[float]]


async def workers(
    send: Callable[[list[str]], Awaitable[Rows]],
    texts: Sequence[str],
    concurrency: int,
    batch: int = 1,
) -> None:
    """`send` all texts, `batch` a request; each worker takes the next request that is left."""
    queue = iter(range(0, len(texts), batch))
    found = 0

    async def work() -> None:
        nonlocal found
        for start in queue:
            rows = await send(list(texts[start : start + batch]))
            found += sum(len(row) == len(IDS) for row in rows)

    await asyncio.gather(*(work() for _ in range(concurrency)))
    assert found == len(texts)


def read(choices: list[dict[str, Any]]) -> Rows:
    """The label words' log-probabilities in the choices of a reply, without any doubt."""
    rows: Rows = [[]] * len(choices)
    for choice in choices:
        top = choice["logprobs"]["top_logprobs"][0]
        rows[choice["index"]] = [top[key] for key in KEYS]
    return rows


@asynccontextmanager
async def bare(base_url: str, concurrency: int, batch: int = 1) -> AsyncIterator[Ask]:
    """aiohttp and orjson, with the options of our own transport, and nothing around them."""
    import aiohttp
    import orjson

    url, timeout = base_url + "/completions", aiohttp.ClientTimeout(total=60.0, sock_connect=10.0)
    connector = aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=4.0)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=headers | {"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:

        async def send(texts: list[str]) -> Rows:
            common = {"model": MODEL, "prompt": texts, "max_tokens": 1, "temperature": 0}
            body = orjson.dumps({**common, "logprobs": 1, **EXTRA})
            async with session.post(url, data=body, allow_redirects=False) as response:
                return read(orjson.loads(await response.read())["choices"])

        yield lambda texts: workers(send, texts, concurrency, batch)


@asynccontextmanager
async def openai(base_url: str, concurrency: int, *, backend: str = "") -> AsyncIterator[Ask]:
    """The openai SDK as its users call it, on its own backend or on ``aiohttp``."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    async with AsyncExitStack() as stack:
        http = DefaultAioHttpClient() if backend == "aiohttp" else None
        client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0, http_client=http)
        await stack.enter_async_context(client)

        async def send(texts: list[str]) -> Rows:
            answer: Any = await client.completions.create(
                model=MODEL,
                prompt=texts,
                max_tokens=1,
                temperature=0,
                logprobs=1,
                extra_body=EXTRA,
            )
            tops = [choice.logprobs.top_logprobs[0] for choice in answer.choices]
            return [[top[key] for key in KEYS] for top in tops]

        yield lambda texts: workers(send, texts, concurrency)


async def litellm_round(base_url: str, texts: Sequence[str], concurrency: int) -> float:
    """CPU seconds of LiteLLM for these texts, one a request."""
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

    began = time.process_time()
    await workers(send, texts, concurrency)
    return time.process_time() - began


async def litellm_rounds(base_url: str) -> None:
    """A round for each line of JSON ``[texts, concurrency]``; answers with its CPU seconds."""
    for line in iter(sys.stdin.readline, ""):
        texts, concurrency = json.loads(line)
        await litellm_round(base_url, texts[:concurrency], concurrency)
        print(await litellm_round(base_url, texts, concurrency), flush=True)


class LiteLLM:
    """LiteLLM in another Python, which stays between rounds."""

    @staticmethod
    def found_by(python: str | None) -> bool:
        """Whether `python` can import it; says so if not."""
        if python is None:
            print("LiteLLM is left out: name a Python that has it by --litellm")
            return False
        trial = [python, "-c", "import litellm"]
        done = subprocess.run(trial, check=False, capture_output=True)  # noqa: S603
        if done.returncode:
            print(f"LiteLLM is left out: {python} cannot import it")
        return not done.returncode

    def __init__(self, python: str, base_url: str) -> None:
        pipe = subprocess.PIPE
        command = [python, __file__, base_url]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    def cpu(self, texts: Sequence[str], concurrency: int) -> float:
        """CPU seconds for these texts, after as many as fit in flight to warm up.

        Raises:
            RuntimeError: it has died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([list(texts), concurrency]), file=self._process.stdin, flush=True)
        answer = next(self._numbers(), None)
        if answer is None:
            raise RuntimeError(f"LiteLLM ended with status {self._process.wait()}")
        return answer

    def _numbers(self) -> Iterator[float]:
        """What it prints, without the advertisements between."""
        assert self._process.stdout is not None
        for line in iter(self._process.stdout.readline, ""):
            if line[0].isdigit():
                yield float(line)

    def close(self) -> None:
        """End it."""
        self._process.communicate()


if __name__ == "__main__":
    asyncio.run(litellm_rounds(sys.argv[1]))
