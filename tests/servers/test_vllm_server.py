"""A real vLLM server: whole runs, exact numbers, budgets by the server's own count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from bdpl_async.errors import RequestFailed
from bdpl_async.records import Request, Score, Text
from bdpl_providers import connect
from tests.servers.bench import (
    LABELS,
    bdpl,
    events_of,
    learned,
    metrics,
    questions,
    result_of,
    same,
    write_questions,
)
from tests.servers.proxy import counting

pytestmark = pytest.mark.servers
MODEL = ("--model", "vllm/tiny", "--base-url")
FRESH = ("--cache", "none")
SCORING = "vllm:request_success_total"
REQUESTS = "http_requests_total"
TEXTS = tuple(
    Text(f"{prompt}Question: Is {a} greater than {b}? Answer:")
    for prompt in ("", "small red ", "the count number ")
    for a, b in questions()[:12]
)
SHORT_WORDS = ("cat", "dog", "the", "small", "red", "is", "greater", "than", "plus", "The")
ENDLESS = ("steps = 3\n", "")


async def scores(url: str, *options: tuple[str, Any], lists: int | None = None) -> list[Score]:
    """What our provider reads for `TEXTS`, in requests of `lists` texts, or all in one."""
    size = lists or len(TEXTS)
    found: list[Score] = []
    async with connect("vllm/tiny", base_url=url, **dict(options)) as scorer:
        for start in range(0, len(TEXTS), size):
            reply = await scorer.score(Request(TEXTS[start : start + size], LABELS))
            found += [score for score in reply.scores if isinstance(score, Score)]
    assert len(found) == len(TEXTS)
    return found


async def ask(url: str, path: str, body: dict[str, Any]) -> Any:
    async with aiohttp.ClientSession() as session, session.post(url + path, json=body) as response:
        response.raise_for_status()
        return await response.json()


async def label_ids(url: str) -> list[int]:
    """The server's own ids of the label words behind the question, asked plainly."""
    found = []
    for label in LABELS:
        body = {"model": "tiny", "prompt": f"{TEXTS[0].causal}{label}"}
        found.append((await ask(url.removesuffix("/v1"), "/tokenize", body))["tokens"][-1])
    return found


async def own_logprobs(url: str) -> list[tuple[float, ...]]:
    """The server's log-probabilities, text by text, without any code of ours."""
    ids, found = await label_ids(url), []
    for text in TEXTS:
        body = {
            "model": "tiny",
            "prompt": text.causal,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 1,
            "logprob_token_ids": ids,
            "return_tokens_as_token_ids": True,
        }
        answer = await ask(url, "/completions", body)
        top = answer["choices"][0]["logprobs"]["top_logprobs"][0]
        found.append(tuple(top[f"token_id:{number}"] for number in ids))
    return found


async def test_a_run_ends_with_a_result(vllm: str, task: Path, tmp_path: Path) -> None:
    """Label words " Yes" and " No" on the tiny model: exact read-out, a scored prompt, exit 0."""
    outcome = await bdpl("run", task, *MODEL, vllm, *FRESH, "--out", tmp_path / "run")
    assert (outcome.code, outcome.err) == (0, "")
    result = result_of(tmp_path / "run")
    assert result["stop_reason"] == "steps"
    assert result["steps_done"] == 3
    assert result["test"]["n"] == 34
    assert result["usage"]["failures"] == 0
    (probed,) = events_of(tmp_path / "run", "probed")
    assert probed["readout"] == "token-ids"
    assert probed["batch"] > 1
    assert events_of(tmp_path / "run", "note") == []


async def test_scores_are_the_servers_own_log_probabilities(vllm: str) -> None:
    """Bit for bit what the server says to each prompt alone, sent in lists or one by one."""
    own = await own_logprobs(vllm)
    for lists in (None, 7, 1):
        assert [score.logprobs for score in await scores(vllm, lists=lists)] == own


async def test_likely_tokens_say_the_same_as_token_ids(vllm: str) -> None:
    """The fall-back by the top k gives the same numbers where the label words are among them."""
    exact = await scores(vllm)
    listed = await scores(vllm, ("readout", "logprobs"))
    assert [score.logprobs for score in listed] == [score.logprobs for score in exact]
    assert not any(any(score.censored) for score in listed)


async def test_scores_are_those_of_transformers(vllm: str, weights: Path) -> None:
    """The same weights in transformers give the same log-probabilities within 1e-4."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(weights)
    model = transformers.AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32).eval()
    ids = await label_ids(vllm)
    for text, score in zip(TEXTS, await scores(vllm), strict=True):
        tokens = tokenizer(text.causal, return_tensors="pt").input_ids
        with torch.inference_mode():
            own = model(tokens).logits[0, -1].log_softmax(-1)[ids].tolist()
        assert score.logprobs == pytest.approx(own, abs=1e-4)


async def test_every_id_asked_for_comes_back(vllm: str, task: Path, tmp_path: Path) -> None:
    """In a whole run, each choice names each token id that its request asked for."""
    async with counting(vllm) as seen:
        await learned(task, tmp_path / "run", *MODEL, seen.url, *FRESH)
    asked = [p for p in seen.paths("/completions") if "logprob_token_ids" in p.asked]
    assert asked
    for passage in asked:
        wanted = {f"token_id:{number}" for number in passage.asked["logprob_token_ids"]}
        choices = passage.answered["choices"]
        assert len(choices) == len(passage.asked["prompt"])
        assert all(wanted <= set(c["logprobs"]["top_logprobs"][0]) for c in choices)


async def test_neither_lists_nor_concurrency_change_a_run(
    vllm: str, task: Path, tmp_path: Path
) -> None:
    """One prompt a request or many, one request at a time or 64: the same losses and prompt."""
    found = []
    for number, (size, crowd) in enumerate(((1, 1), (1, 64), (32, 1), (32, 64))):
        shape = ("--batch-prompts", str(size), "--concurrency", str(crowd))
        result = await learned(task, tmp_path / f"run{number}", *MODEL, vllm, *FRESH, *shape)
        found.append(same(result))
    assert found == found[:1] * 4


async def test_a_warm_cache_sends_no_scoring_request(vllm: str, task: Path, tmp_path: Path) -> None:
    """A second run gives the same result, and the server is asked nothing that it scores."""
    shared = (*MODEL, vllm, "--cache", tmp_path / "cache.db")
    first = await learned(task, tmp_path / "first", *shared)
    before = await metrics(vllm)
    second = await learned(task, tmp_path / "second", *shared)
    assert (await metrics(vllm))[SCORING] == before[SCORING]
    assert same(second) == same(first)
    assert second["usage"]["prompts"] == 0
    assert second["usage"]["cache_hits"] > 0


@pytest.mark.parametrize("crowd", ["1", "64"])
@pytest.mark.parametrize(
    ("limit", "granted", "counter"),
    [
        ("requests", 40, REQUESTS),
        ("prompts", 600, SCORING),
        ("tokens", 12_000, "tokens"),
    ],
)
async def test_a_budget_holds_by_the_servers_own_count(
    limit: str, granted: int, counter: str, crowd: str, vllm: str, tmp_path: Path
) -> None:
    """The server counts no more than was granted, at least 80 % of it, and just what we say."""
    task = write_questions(tmp_path, ENDLESS)
    shape = ("--batch-prompts", "4", "--concurrency", crowd)
    before = await metrics(vllm)
    result = await learned(
        task, tmp_path / "run", *MODEL, vllm, *FRESH, *shape, f"--max-{limit}", str(granted)
    )
    taken = await metrics(vllm)
    taken.subtract(before)
    taken["tokens"] = taken["vllm:prompt_tokens_total"] + taken["vllm:generation_tokens_total"]
    assert result["stop_reason"] == "budget"
    assert result["dev"] is not None
    assert 0.8 * granted <= taken[counter] <= granted
    usage = result["usage"]
    assert usage["requests"] == taken[REQUESTS]
    assert usage["prompts"] == taken[SCORING]
    assert usage["prompt_tokens"] == taken["vllm:prompt_tokens_total"]
    assert usage["completion_tokens"] == taken["vllm:generation_tokens_total"]


async def test_an_estimate_bounds_what_a_run_then_spends(
    vllm: str, tmp_path: Path, weights: Path
) -> None:
    """Nothing is sent; where all candidates are one token, the run spends at most 5 % less."""
    task = write_questions(tmp_path, ('"{prompt} Q', '"Question: {prompt} Q'))
    (tmp_path / "words.txt").write_text("\n".join(SHORT_WORDS))
    known = (*MODEL, vllm, "--set", f"model.tokenizer={weights}", "--set", "optimizer.steps=10")
    before = await metrics(vllm)
    outcome = await bdpl("estimate", task, *known, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert (await metrics(vllm))[REQUESTS] == before[REQUESTS]
    told = orjson.loads(outcome.out)
    assert told["exact"] is True
    usage = (await learned(task, tmp_path / "run", *known, *FRESH))["usage"]
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["requests"] <= told["requests"]
    assert usage["prompts"] <= told["prompts"]
    assert tokens <= told["tokens"] <= 1.05 * tokens


async def test_an_estimate_without_the_tokenizer_is_a_bound(
    vllm: str, task: Path, tmp_path: Path
) -> None:
    """Bytes bound the tokens, and the estimate says that they do."""
    outcome = await bdpl("estimate", task, *MODEL, vllm, "--json")
    told = orjson.loads(outcome.out)
    assert told["exact"] is False
    usage = (await learned(task, tmp_path / "run", *MODEL, vllm, *FRESH))["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] <= told["tokens"]


async def test_the_probe_tells_what_the_server_can_do(vllm: str, task: Path) -> None:
    """Every read-out, the label words' ids, the limits, and what asking cost, as one document."""
    before = await metrics(vllm)
    outcome = await bdpl("probe", task, *MODEL, vllm, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    taken = await metrics(vllm)
    taken.subtract(before)
    told = orjson.loads(outcome.out)
    assert told["chosen"] == "token-ids"
    exact = told["readouts"]["token-ids"]
    assert (exact["works"], exact["lists"], exact["temperature_ignored"]) == (True, True, True)
    assert [told["labels"][word]["ids"] for word in LABELS] == [[n] for n in await label_ids(vllm)]
    assert told["limits"]["context_tokens"] == 256
    assert told["usage"]["requests"] == taken[REQUESTS]
    assert told["usage"]["prompts"] == taken[SCORING]
    assert told["label_mass"] == pytest.approx(1.0, abs=0.01)


async def test_one_prompt_beyond_the_window_fails_alone(vllm: str) -> None:
    """In a list it fails, but a run asks the others again; here it is known for what it is."""
    long = Text("Question: " + "1 " * 400 + "Answer:")
    async with connect("vllm/tiny", base_url=vllm) as scorer:
        await scorer.score(Request(TEXTS[:1], LABELS))
        with pytest.raises(RequestFailed, match="400"):
            await scorer.score(Request((*TEXTS[:2], long), LABELS))


async def test_an_overlong_row_costs_its_own_score_only(vllm: str, tmp_path: Path) -> None:
    """One row beyond the model's window: the run ends well and counts one text unanswered."""
    task = write_questions(tmp_path)
    data = tmp_path / "dev.tsv"
    data.write_text(data.read_text() + "1 " * 400 + "\t3\t0\n")
    result = await learned(task, tmp_path / "run", *MODEL, vllm, *FRESH)
    assert result["dev"]["n"] == 25
    assert result["dev"]["unanswered"] == 1
