"""The rules of `bdpl_cli.probe`, of `visit` and `findings` under it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from bdpl_async.budget import Budget, Ledger
from bdpl_async.channel import Channel
from bdpl_async.config import Config
from bdpl_async.errors import BdplError, LabelError, RequestFailed
from bdpl_async.gate import Gate
from bdpl_async.records import Quota, Reply, Request, Score, Text
from bdpl_async.result import Totals
from bdpl_async.scorer import Capabilities, Line, Scorer
from bdpl_async.terms import Terms
from bdpl_cli.findings import Findings
from bdpl_cli.visit import Visit
from bdpl_providers.survey import Attempt, LabelWord, Survey
from tests.faults import Faults
from tests.faultserver import FaultServer, Manners
from tests.test_cli import environment
from tests.workbench import Outcome, command, write_task

Capsys = pytest.CaptureFixture[str]
LABELS = ("--label", " terrible", "--label", " great")
KEYS: dict[str, type] = {
    "model": str,
    "base_url": str,
    "task": type(None),
    "readouts": dict,
    "chosen": str,
    "labels": dict,
    "label_mass": float,
    "samples": list,
    "limits": dict,
    "models": list,
    "price": type(None),
    "notes": list,
    "trouble": type(None),
    "usage": dict,
}
LIMITS = {"context_tokens", "texts_per_request", "lists", "top_logprobs", "temperature_ignored"}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer.in_thread() as server:
        yield server


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def asked(capsys: Capsys, server: FaultServer, *more: str | Path) -> Outcome:
    """Probe what `server` serves."""
    return command(capsys, "probe", "--model", "vllm/fake", "--base-url", server.url, *more)


def document(done: Outcome) -> dict[str, Any]:
    found = orjson.loads(done.out)
    assert isinstance(found, dict)
    return found


# A server


def test_a_person_reads_what_the_model_can_do(server: FaultServer, capsys: Capsys) -> None:
    """Without TASK, read-outs, label words, samples, limits and usage are told; exit 0."""
    done = asked(capsys, server, *LABELS)
    assert (done.code, done.err) == (0, "")
    first, second = done.out.splitlines()[:2]
    assert first == f"vllm/fake at {server.url}"
    assert second == "A run would read it by token-ids, up to 32 texts a request."
    for line in ("* token-ids  works  ", "  logprobs   works  ", "' great'     1 token ("):
        assert line in done.out
    assert "1  'Question: Is water wet? Answer:'" in done.out
    assert "no price is known" in done.out
    assert max(map(len, done.out.splitlines())) <= 100


def test_json_is_one_document_with_stable_keys(server: FaultServer, capsys: Capsys) -> None:
    """`--json` prints the documented keys and nothing else; the server counts as we do."""
    done = asked(capsys, server, *LABELS, "--json", "--price-in", "1", "--price-out", "1")
    found = document(done)
    assert (done.code, done.err) == (0, "")
    assert {key: type(value) for key, value in found.items()} == {**KEYS, "price": dict}
    assert found["chosen"] == "token-ids"
    assert found["readouts"]["token-ids"]["works"] is True
    assert found["readouts"]["token-ids"]["detail"] == ""
    assert list(found["labels"]) == [" terrible", " great"]
    great = found["labels"][" great"]
    assert (great["single"], len(great["ids"]), len(great["logprobs"])) == (True, 1, 2)
    assert set(found["limits"]) >= LIMITS
    assert found["limits"]["texts_per_request"] == 32
    assert found["label_mass"] == pytest.approx(0.9, abs=0.01)
    books, usage = server.books, found["usage"]
    assert (usage["requests"], usage["prompts"]) == (books.requests, books.prompts)
    assert usage["usd"] == pytest.approx(books.tokens / 1e6)


def test_a_task_gives_template_words_and_samples(
    server: FaultServer, capsys: Capsys, tmp_path: Path
) -> None:
    """TASK's row is sent with a prompt and without; `--label` wins over its label words."""
    task = write_task(tmp_path)
    found = document(asked(capsys, server, task, "--json"))
    with_prompt, without = found["samples"]
    assert with_prompt == "prompt prompt prompt " + without
    assert without.endswith("It was")
    assert found["task"] == "tiny"
    assert list(found["labels"]) == [" terrible", " great"]
    others = ("--label", " good", "--label", " bad")
    assert list(document(asked(capsys, server, task, "--json", *others))["labels"]) == [
        " good",
        " bad",
    ]


def test_the_samples_are_what_a_run_sends(
    server: FaultServer, capsys: Capsys, tmp_path: Path
) -> None:
    """A causal model is probed with the template that it reads, `task.causal`."""
    template = 'template = "{prompt} {text} It was {mask}."'
    causal = template + '\ncausal = "{prompt} {text} Verdict: {mask}"'
    task = write_task(tmp_path, (template, causal))
    samples = document(asked(capsys, server, task, "--json"))["samples"]
    assert [sample.endswith(" Verdict:") for sample in samples] == [True, True]
    masked = document(command(capsys, "probe", task, "--model", "simulated/x", "--json"))
    assert all("It was {mask}." in sample for sample in masked["samples"])


def test_the_end_of_a_long_sample_is_shown(
    server: FaultServer, capsys: Capsys, tmp_path: Path
) -> None:
    """A long sample loses its middle, never its end; what `prompt` means is said."""
    template = 'template = "{prompt} {text} It was {mask}."'
    long = 'template = "{prompt} {text} ' + "and so on " * 20 + 'It was {mask}."'
    task = write_task(tmp_path, (template, long))
    done = asked(capsys, server, task)
    first, second = (line for line in done.out.splitlines() if line.endswith("It was'"))
    assert first.startswith("  1  'prompt prompt prompt ")
    assert " ... " in first
    assert " ... " in second
    assert "'prompt' stands in for the words of a prompt; the second sample has none" in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    (whole, _) = document(asked(capsys, server, task, "--json"))["samples"]
    assert whole.endswith("and so on " * 20 + "It was")


@pytest.mark.parametrize("more", [(), ("--readout", "chat")])
def test_an_address_without_its_version(
    server: FaultServer, capsys: Capsys, more: tuple[str, ...]
) -> None:
    """Where nothing is found and the URL has no version, /v1 is asked for, after a few requests."""
    url = server.url.removesuffix("/v1")
    words = ("probe", "--model", "vllm/fake", "--base-url", url, *more)
    done = command(capsys, *words)
    assert (done.code, "did you forget /v1?" in done.err) == (3, True)
    assert f"--base-url {server.url}" in done.err
    assert server.books.requests <= 8


def test_no_read_out_works(capsys: Capsys) -> None:
    """Where none works, what was found is still printed, in words or as JSON, and exit is 3."""
    with FaultServer.in_thread(Manners(logprobs=False)) as server:
        words = ("--label", " red", "--label", " blue")
        done = asked(capsys, server, *words)
        found = document(asked(capsys, server, *words, "--json"))
    assert done.code == 3
    assert "A run could not use it." in done.out
    assert "does not work" in done.out
    assert "no usable read-out" in done.err
    assert found["chosen"] is None
    assert not any(readout["works"] for readout in found["readouts"].values())
    assert "no usable read-out" in found["trouble"]


def test_another_read_out_is_named(capsys: Capsys) -> None:
    """Where the read-out asked for does not work and others do, they are named."""
    with FaultServer.in_thread(Manners(ids=False, tokenizes=False)) as server:
        done = asked(capsys, server, *LABELS, "--readout", "token-ids")
    assert done.code == 3
    assert "what works: --readout logprobs" in done.err


def test_label_words_that_cannot_be_told_apart(server: FaultServer, capsys: Capsys) -> None:
    """Two label words with one first token: what was found, and exit 2 as a run would."""
    done = asked(capsys, server, "--label", " great", "--label", " great job")
    assert done.code == 2
    assert "Read-outs" in done.out
    assert "share their first token" in done.err


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 11])
def test_a_budget_of_requests_holds(server: FaultServer, capsys: Capsys, most: int) -> None:
    """Not one request more is sent than granted; too few for a run's probe is exit 4."""
    done = asked(capsys, server, *LABELS, "--max-requests", str(most))
    assert server.books.requests <= most
    assert done.code == (4 if most < 3 else 0)
    if done.code == 4:
        assert "the probe of a run takes" in done.err
    else:
        assert "the other read-outs were not tried" in done.out


def test_refusals_are_told(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown model and a wrong key: exit 3, one message, nothing on stdout, no key in it."""
    monkeypatch.setenv("VLLM_API_KEY", "sk-wrong-0123456789")
    with FaultServer.in_thread(Manners(key="sk-right", echo=True)) as server:
        keyless = asked(capsys, server)
        monkeypatch.setenv("VLLM_API_KEY", "sk-right")
        unknown = command(capsys, "probe", "--model", "vllm/nix", "--base-url", server.url)
    for done in (keyless, unknown):
        assert (done.code, done.out) == (3, "")
        assert done.err.startswith("bdpl-async: vllm/")
        assert "Traceback" not in done.err
    assert "sk-wrong" not in keyless.err
    assert "nix" in unknown.err


def test_a_server_that_is_not_there(capsys: Capsys) -> None:
    """A closed port is told within three seconds, with exit 3."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.monotonic()
    url = f"http://127.0.0.1:{port}/v1"
    done = command(capsys, "probe", "--model", "vllm/x", "--base-url", url)
    assert (done.code, done.out) == (3, "")
    assert "is the server running" in done.err
    assert time.monotonic() - began < 3


def test_faults_that_pass_are_ridden_out(capsys: Capsys) -> None:
    """A 429, a 503 and a reset are tried again as in a run, counted, and change nothing else."""
    manners = Manners(faults=Faults(first=("429", "503", "reset"), wait=0.01))
    with FaultServer.in_thread(manners) as server:
        found = document(asked(capsys, server, *LABELS, "--json"))
    assert found["chosen"] == "token-ids"
    assert found["usage"]["retries"] == 3
    assert found["usage"]["requests"] == server.books.requests


def test_interrupted() -> None:
    """Ctrl-C while a server does not answer: exit 130 at once, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        words = ("-m", "bdpl_cli", "probe", "--model", "vllm/x", "--base-url", url)
        process = subprocess.Popen(
            [sys.executable, *words], env=environment(), stderr=subprocess.PIPE, text=True
        )
        silent.settimeout(20)
        connection, _ = silent.accept()  # so it is past its imports
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        connection.close()
    assert process.returncode == 130
    assert "Traceback" not in said


# No server


def test_a_model_on_this_machine(capsys: Capsys) -> None:
    """A scorer without a survey is probed and scores the samples; it costs nothing."""
    found = document(command(capsys, "probe", "--model", "simulated/x", "--json"))
    assert found["readouts"]["own"]["works"] is True
    assert found["chosen"] == "own"
    assert found["base_url"] is None
    assert found["label_mass"] == 1
    assert len(found["labels"][" Yes"]["logprobs"]) == 2
    done = command(capsys, "probe", "--model", "simulated/x")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("simulated/x, on this machine\n")
    assert "1 request, 2 prompts" in done.out
    assert "free" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "model.name: probe needs a model"),
        (("--model", "simulated/x", "--label", " Yes"), "--label"),
        (("--model", "simulated/x", "--label", " Yes", "--label", "Yes"), "--label"),
        (("--model", "simulated/x", "--label", " ", "--label", "Yes"), "--label"),
        (("--model", "nix/x"), "model.name: unknown provider 'nix'"),
        (("--model", "vllm/x", "--timeout", "0"), "model.timeout = 0"),
        (("--model", "vllm/x", "--base-url", "ftp://here"), "model.base_url"),
        (("--model", "vllm/x", "--max-usd", "1"), "budget.usd"),
        (("--model", "vllm/x", "--set", "model.nope=1"), "model.nope = 1: unknown key"),
        (("--model", "vllm/x", "--set", "model=1"), "--set model=1"),
        (("--model", "vllm/x", "--set", "task.k_shot=4"), "task.k_shot"),
        (("--model", "vllm/x", "--data", "here"), "run.data"),
        (("--model", "openai/x"), "OPENAI_API_KEY"),
        (("nowhere",), "no task 'nowhere'"),
    ],
)
def test_bad_options(capsys: Capsys, words: tuple[str, ...], said: str) -> None:
    """What cannot be used is refused with its key's name and exit 2, before anything is sent."""
    done = command(capsys, "probe", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


class Picky:
    """Reads lower-case words only; scores what it is told to."""

    name = "mine/picky"

    def __init__(self, *outcomes: Score | RequestFailed) -> None:
        self.outcomes = outcomes
        self.probed: list[tuple[str, ...]] = []

    async def probe(self, request: Request, line: Line) -> Capabilities:
        self.probed.append(request.labels)
        if not all(word.islower() for word in request.labels):
            raise LabelError(f"label word {request.labels[0]!r} is 2 tokens", hint="take another")
        return Capabilities(batch=2, readout="mlm")

    async def score(self, request: Request) -> Reply:
        return Reply(self.outcomes)


def visit(scorer: Scorer) -> Visit:
    channel = Channel(scorer.name, Ledger(Budget()), Terms())
    gate = Gate(scorer, (), channel, Capabilities())
    table = {"name": "t", "train": "t", "template": "{prompt}{t}{mask}"}
    config = Config.check({"task": {**table, "labels": {"0": "a", "1": "b"}}}, source="test")
    return Visit(scorer, gate, (Text("one"), Text("two")), config)


async def test_words_of_ours_give_way() -> None:
    """The first label words that can be read are taken; a note says which, and why."""
    low = Score((-9.0, -9.0), mass=1e-4)
    scorer = Picky(low, low)
    found = await visit(scorer).findings(((" Yes", " No"), (" yes", " no")))
    assert scorer.probed == [(" Yes", " No"), (" yes", " no")]
    assert [label.word for label in found.survey.labels] == [" yes", " no"]
    assert found.notes == ("asked with ' yes', ' no' instead: label word ' Yes' is 2 tokens",)
    assert found.chosen is not None
    assert found.chosen.readout == "mlm"
    assert "together get a probability of 0.0001" in found.chosen.notes[0]
    with pytest.raises(LabelError):
        await visit(scorer).findings(((" Yes", " No"),))


async def test_a_scorer_without_an_answer() -> None:
    """Samples that all fail are no usable read-out, and the reason is kept."""
    failed = RequestFailed("too long", hint="cut it")
    visited = visit(Picky(failed, failed))
    found = await visited.findings(((" yes", " no"),))
    assert found.chosen is None
    assert not found.readouts["mlm"].works
    assert found.readouts["mlm"].detail == "too long"
    assert isinstance(visited.trouble, BdplError)
    assert "too long" in found.trouble


# What is shown


def findings(*attempts: Attempt) -> Findings:
    labels = (LabelWord(" Yes", (7,), (" Yes",), True), LabelWord(" No", (8, 9), (), False))
    quotas = (Quota("requests", 60, 59, 1.5),)
    survey = Survey("vllm/m", "http://here/v1", ("m",), 4096, labels, "", attempts, quotas)
    capabilities = Capabilities(readout=attempts[0].readout)
    return Findings(survey, capabilities, ("Is it?",), Totals(requests=1))


def test_two_ways_to_one_read_out() -> None:
    """A read-out stands once: the way that works, or all the reasons, each once."""
    good, bad = Attempt("text", "a", works=True), Attempt("text", "b", works=False, detail="no")
    worse = replace(bad, detail="never")
    assert findings(bad, good).readouts == {"text": good}
    assert findings(good, bad).readouts == {"text": good}
    assert findings(bad, worse, bad).readouts["text"].detail == "no; never"


def test_what_is_known_is_shown() -> None:
    """Limits, tokens and temperature are told in words; a server's words rule no terminal."""
    evil = Attempt("chat", "c", works=False, detail="\x1b[31mred\nblue " + "x" * 300)
    best = Attempt(
        "logprobs", "l", True, depth=20, temperature_ignored=False, logprobs=((-1.0, -2.0),)
    )
    shown = findings(best, evil).lines(80)
    told = "\n".join(shown)
    for words in (
        "context length         4,096 tokens",
        "top log-probabilities  20 at most",
        "changes log-probabilities",
        "rate of requests       60 allowed, 59 left, whole again in 1.5 s",
        "' Yes'  1 token (7)        -1.0000",
        "' No'   2 tokens (8, 9)    -2.0000",
        "This probe took 1 request, 0 prompts, 0 tokens",
    ):
        assert words in told
    assert all(line.isprintable() for line in shown)
    assert max(map(len, shown)) <= 80
