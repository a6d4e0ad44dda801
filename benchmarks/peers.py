"""Other clients that send the same requests: bare aiohttp and the openai SDK.

Only the standard library is imported at the top, for `foreign.py` runs in other Pythons. A peer's
`ask` sends all texts, so many requests in flight, and reads the label words' log-probabilities.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

MODEL = "loopback"
LABELS = (" no", " yes")
IDS = tuple(zlib.crc32(label.strip().encode()) % 50_000 for label in LABELS)  # as replies.py has it
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
