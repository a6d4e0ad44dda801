"""Where the real servers are: environment variables, each skipping its tests where it is unset."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.servers.bench import Keyed, Launched, launched, write_questions

HOW = "see 'Real servers' in CONTRIBUTING.md"
PATIENCE = aiohttp.ClientTimeout(total=10)


def told(variable: str) -> str:
    """What `variable` says, or a skip that names it."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set; {HOW}")
    return value


async def answering(variable: str, key: str | None = None) -> str:
    """The base URL in `variable`, if somebody answers there."""
    url = told(variable).rstrip("/")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=PATIENCE) as session,
            session.get(f"{url}/models", headers=headers) as response,
        ):
            if response.ok:
                return url
            trouble = f"answers {response.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        trouble = f"does not answer: {type(error).__name__}"
    pytest.skip(f"the server that {variable} names {trouble}; {HOW}")


@pytest.fixture
async def vllm() -> str:
    """A vLLM server without a key, serving the tiny model as ``tiny``."""
    return await answering("BDPL_VLLM_URL")


@pytest.fixture
async def keyed() -> Keyed:
    """A vLLM server that wants a key."""
    key = told("BDPL_VLLM_KEY")
    return Keyed(await answering("BDPL_VLLM_KEYED_URL", key), key)


@pytest.fixture
async def gateway() -> Keyed:
    """A LiteLLM gateway before the vLLM server."""
    key = told("BDPL_GATEWAY_KEY")
    return Keyed(await answering("BDPL_GATEWAY_URL", key), key)


@pytest.fixture
async def llamacpp() -> str:
    """llama-cpp-python's server with the same model."""
    return await answering("BDPL_LLAMACPP_URL")


@pytest.fixture
def weights() -> Path:
    """The folder with the served model's weights and tokenizer."""
    return Path(told("BDPL_TINY_MODEL"))


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Launched]:
    """A server of the test's own, to be killed; ``{port}`` in the command is replaced."""
    with launched(told("BDPL_VLLM_START"), tmp_path / "server.log") as server:
        yield server


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task of questions with the answers Yes and No, without a model."""
    return write_questions(tmp_path)
