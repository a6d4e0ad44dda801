"""The server that the request path is tested on is itself right: truth, faults and books."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.faults import PASSING, REFUSALS, SPOILT, Faults
from tests.faultserver import FaultServer, Manners
from tests.toymodel import BOS, ToyModel

TEXTS = ["soup and garden bad 1 It was", "a good letter It was", "one more It was"]
BROKEN = (aiohttp.ClientError, json.JSONDecodeError, TimeoutError)


def body(**more: object) -> dict[str, object]:
    """A completions request for both label words by their ids."""
    model = ToyModel()
    ids = [model.encode(label, special=False)[0] for label in model.labels]
    exact = {"logprob_token_ids": ids, "return_tokens_as_token_ids": True, "logprobs": 1}
    return {"model": "fake", "prompt": TEXTS, "max_tokens": 1, "temperature": 0, **exact, **more}


async def post(server: FaultServer, path: str, document: object) -> Any:
    """The reply's JSON; an error status or broken bytes raise."""
    limit = aiohttp.ClientTimeout(total=0.2)
    async with (
        aiohttp.ClientSession(raise_for_status=True, timeout=limit) as session,
        session.post(server.url + path, json=document, allow_redirects=False) as reply,
    ):
        return json.loads(await reply.read())


async def test_it_answers_exactly_in_the_order_of_the_index() -> None:
    """Ids asked for come back by name; the same numbers stand in the likeliest k, by text."""
    async with FaultServer() as server:
        exact = await post(server, "/completions", body(return_token_ids=True))
        likeliest = await post(
            server, "/completions", {"model": "fake", "prompt": TEXTS[0], "logprobs": 5}
        )
    first = exact["choices"][0]
    assert [choice["index"] for choice in exact["choices"]] == [0, 1, 2]
    assert first["prompt_token_ids"] == ToyModel().encode(TEXTS[0])
    assert first["prompt_token_ids"][0] == BOS
    top = likeliest["choices"][0]["logprobs"]["top_logprobs"][0]
    truth = ToyModel().ranking(TEXTS[0])
    named = first["logprobs"]["top_logprobs"][0]
    assert list(top.items()) == list(truth.items())[:5]
    assert sorted(named.values()) == sorted(truth[label] for label in ToyModel().labels)


async def test_it_keeps_books_of_what_it_answered() -> None:
    """Prompts, tokens and money are counted as billed; the usage says the same."""
    async with FaultServer(Manners(price=(2.0, 10.0))) as server:
        reply = await post(server, "/completions", body())
    books = server.books
    assert (books.requests, books.scoring, books.prompts) == (1, 1, 3)
    assert reply["usage"]["total_tokens"] == books.tokens
    assert books.completion_tokens == 3
    assert books.usd == pytest.approx((books.prompt_tokens * 2 + 30) / 1e6)
    assert sorted(books.answered) == sorted(TEXTS)


@pytest.mark.parametrize("kind", [*REFUSALS, *SPOILT])
async def test_each_fault_strikes_once_and_is_billed_by_its_kind(kind: str) -> None:
    """The first request meets it, the second does not; refusals are free, the rest is billed."""
    async with FaultServer(Manners(faults=Faults(first=[kind]))) as server:
        try:
            spoilt = await post(server, "/completions", body())
        except BROKEN:
            spoilt = None
        answered = sum(server.books.answered.values())
        assert server.books.prompts == (0 if kind in REFUSALS else 3)
        good = await post(server, "/completions", body())
    assert spoilt != good
    assert (spoilt is None) == (answered == 0) or kind == "no-choices"
    assert server.books.struck[kind] == 1


async def test_faults_of_chance_leave_each_text_in_the_end() -> None:
    """However likely faults are, no text meets more than `at_most` of them."""
    faults = Faults(rates=dict.fromkeys(PASSING, 1 / len(PASSING)), at_most=3)
    kinds = [faults.strike([TEXTS[0]]) for _ in range(5)]
    assert None not in kinds[:3]
    assert kinds[3:] == [None, None]


async def test_it_refuses_as_servers_do() -> None:
    """No key is 401, an unknown model 404, too many log-probabilities 400, too much at once 429."""
    async with FaultServer(Manners(parallel=1, latency=0.02)) as server:
        both = await asyncio.gather(
            *(post(server, "/completions", body()) for _ in range(2)), return_exceptions=True
        )
        assert sorted(type(one) is dict for one in both) == [False, True]
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await post(server, "/completions", body(model="other"))
        with pytest.raises(aiohttp.ClientResponseError, match="400"):
            await post(server, "/completions", body(logprobs=21))
        server.manners.key = "secret"
        with pytest.raises(aiohttp.ClientResponseError, match="401"):
            await post(server, "/completions", body())
    assert server.books.statuses == {200: 1, 429: 1, 404: 1, 400: 1, 401: 1}


async def test_it_chats() -> None:
    """One message, its likeliest answers without the leading space, with their numbers."""
    messages = [{"role": "user", "content": TEXTS[0]}]
    asked = {"model": "fake", "messages": messages, "logprobs": True, "top_logprobs": 20}
    async with FaultServer() as server:
        reply = await post(server, "/chat/completions", asked)
    top = {
        t["token"]: t["logprob"]
        for t in reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    }
    assert {"terrible", "great"} <= set(top)
    assert reply["choices"][0]["message"]["content"] == max(top, key=lambda token: top[token])


def test_it_serves_from_a_thread() -> None:
    """Code with an event loop of its own can ask it."""
    with FaultServer.in_thread() as server:
        reply = asyncio.run(post(server, "/completions", body()))
    assert len(reply["choices"]) == 3


async def test_a_tail_and_its_label_encode_to_one_token_more() -> None:
    """Words are tokens with their leading space, and texts come back from their ids."""
    model = ToyModel()
    assert model.encode("It was great")[:-1] == model.encode("It was")
    assert all(model.decode(model.encode(text)) == text for text in [*TEXTS, "  a,b\n 'c' "])
