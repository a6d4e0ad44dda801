"""``bdpl-async estimate`` from outside: what it prints, how it ends, and that nothing is sent."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bdpl_async.records import Request
from bdpl_providers.simulated import Simulated
from tests.workbench import Outcome, command, write_task

Capsys = pytest.CaptureFixture[str]
KEYS: dict[str, object] = {
    "task": str,
    "model": str,
    "method": str,
    "requests": int,
    "prompts": int,
    "tokens": int,
    "usd": (float, type(None)),
    "updates": int,
    "budget_updates": (int, type(None)),
    "dev": int,
    "test": int,
    "batch": int,
    "exact": bool,
    "notes": list,
    "parts": dict,
    "each": dict,
    "budget": dict,
}


@pytest.fixture(autouse=True)
def _silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of one's own, and a model that may not be asked."""

    async def score(self: Simulated, request: Request) -> None:
        pytest.fail("something was sent")

    monkeypatch.setattr(Simulated, "score", score)
    monkeypatch.chdir(tmp_path)


def estimate(capsys: Capsys, *arguments: str) -> Outcome:
    write_task(Path())
    return command(capsys, "estimate", "task.toml", *arguments)


def document(capsys: Capsys, *arguments: str) -> dict[str, object]:
    """What --json prints, and nothing else."""
    done = estimate(capsys, "--json", *arguments)
    assert (done.code, done.err) == (0, "")
    found = orjson.loads(done.out)
    assert isinstance(found, dict)
    return found


def test_json(capsys: Capsys) -> None:
    """One document: counts, updates, the splits scored, the price, the grant and the notes."""
    found = document(capsys, "--max-prompts", "100")
    assert set(found) == set(KEYS)
    for key, kind in KEYS.items():
        assert isinstance(found[key], kind), key  # type: ignore[arg-type]
    assert (found["task"], found["model"], found["method"]) == ("tiny", "simulated/x", "bdpl")
    assert found["updates"] == 2
    assert isinstance(found["prompts"], int)
    assert 2 * 8 + 2 * 8 <= found["prompts"] <= 100
    assert found["usd"] == 0.0  # it runs here
    assert found["budget"] == {
        "requests": None,
        "prompts": 100,
        "tokens": None,
        "usd": None,
        "seconds": None,
    }


def test_plain(capsys: Capsys) -> None:
    """For a person: what each part takes, what the budget buys, and where the price comes from."""
    done = estimate(capsys, "--max-prompts", "100")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80
    for part in ("tiny on simulated/x", "requests", "prompts", "USD", "free", "taken as new"):
        assert part in done.out
    assert "2 updates, as --steps says; the budget buys" in done.out
    server = estimate(capsys, "--model", "vllm/x")
    assert "no budget limits them" in server.out
    assert "give --price-in and --price-out" in server.out
    priced = estimate(capsys, "--model", "vllm/x", "--price-in", "1", "--price-out", "2")
    assert "--price-in" not in priced.out


def test_the_parts_are_the_whole(capsys: Capsys) -> None:
    """Probe, updates, dev and test add up, in the document and in the table."""
    priced = ("--model", "vllm/x", "--price-in", "1", "--price-out", "2")
    found = document(capsys, *priced)
    parts = found["parts"]
    assert isinstance(parts, dict)
    assert list(parts) == ["probe", "train", "dev", "test"]
    for key in ("requests", "prompts", "tokens"):
        assert sum(part[key] for part in parts.values()) == found[key]
    assert sum(part["usd"] for part in parts.values()) == pytest.approx(found["usd"])
    lines = estimate(capsys, *priced).out.splitlines()
    table = [line.split() for line in lines if line.strip().startswith((*parts, "updates"))]
    assert [row[0] for row in table] == ["probe", "updates", "dev", "test"]
    assert table[1][2] == f"{parts['train']['prompts']:,}"


def test_a_budget_says_what_updates_get_of_it(capsys: Capsys) -> None:
    """Of the limit that is reached first, in per cent."""
    steps = ("--steps", "100000")
    done = estimate(capsys, "--max-prompts", "1000", *steps)
    found = document(capsys, "--max-prompts", "1000", *steps)
    parts = found["parts"]
    assert isinstance(parts, dict)
    share = f"{parts['train']['prompts'] / 10:.0f} % of its 1,000 prompts"
    assert f"The budget buys {found['updates']} updates, which get {share}." in done.out


def test_what_more_money_buys_is_what_an_estimate_of_it_says(capsys: Capsys) -> None:
    """Round sums around the grant, each with about the updates that it would buy."""
    priced = ("--model", "vllm/x", "--price-in", "10", "--price-out", "20", "--steps", "100000")
    lines = estimate(capsys, *priced, "--max-usd", "1").out.splitlines()
    (sums,) = [line.split()[1:] for line in lines if "--max-usd" in line]
    (bought,) = [line.split()[2:-1] for line in lines if "buys about" in line]
    assert {"0.5", "1", "2", "5"} <= set(sums)
    for usd, updates in zip(sums, bought, strict=True):
        found = document(capsys, *priced, "--max-usd", usd)["updates"]
        assert found == pytest.approx(int(updates.replace(",", "")), rel=0.1)


def test_dollars(capsys: Capsys) -> None:
    """With a price the estimate is in USD, too."""
    found = document(capsys, "--price-in", "1000", "--price-out", "0")
    assert found["usd"] == pytest.approx(found["tokens"] / 1000, rel=0.01)  # type: ignore[operator]


def test_nothing_is_written(capsys: Capsys, tmp_path: Path) -> None:
    """Neither a run's folder nor a cache."""
    estimate(capsys)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"task.toml", "train.tsv", "dev.tsv"}


@pytest.mark.parametrize("limit", ["--max-prompts", "--max-requests", "--max-tokens"])
def test_too_small(capsys: Capsys, limit: str) -> None:
    """A budget that buys no update and its evaluation ends with 4, and says what it would take."""
    done = estimate(capsys, limit, "2", "--json")
    assert (done.code, done.out) == (4, "")
    assert "24 prompts in 3 requests" in done.err


BAD: list[tuple[tuple[str, ...], str]] = [
    (("--max-usd", "1", "--model", "vllm/x"), "budget.usd: no price is known"),
    (("--model", "nope/x"), "unknown provider 'nope'"),
    (("--set", "task.template={mask} {prompt} {text}", "--model", "vllm/x"), "behind {mask}"),
    (("--set", "task.template={prompt} {mask} {text}", "--model", "vllm/x"), "no column of the"),
    (("--steps", "0"), "optimizer.steps"),
    (("--method", "manual"), "prompt.manual"),
    (("--set", "optimizer.calibration=much"), "optimizer.calibration"),
]


@pytest.mark.parametrize(("arguments", "part"), BAD)
def test_bad(capsys: Capsys, arguments: tuple[str, ...], part: str) -> None:
    """What a run would refuse an estimate refuses, with 2."""
    done = estimate(capsys, *arguments)
    assert (done.code, done.out) == (2, "")
    assert part in done.err


@pytest.mark.parametrize("name", ["vllm/x", "compatible/x", "openai/gpt-4o-mini"])
def test_a_server_is_not_needed(capsys: Capsys, name: str) -> None:
    """Models behind a network are estimated without one, and without a key."""
    address = ("--base-url", "http://127.0.0.1:9/v1")
    found = document(capsys, "--model", name, *address)
    assert found["model"] == name
    assert found["updates"] == 2
    assert isinstance(found["requests"], int)
    assert found["requests"] > 3
    assert isinstance(found["tokens"], int)
    assert found["tokens"] > 100


MODELS = """
[[models]]
name = "vllm/one"
base_url = "http://127.0.0.1:9/v1"
price_in = 1.0
price_out = 2.0

[[models]]
name = "compatible/two"
base_url = "http://127.0.0.1:9/v1"
price_in = 3.0
price_out = 4.0
"""


def test_several_models_have_a_total(capsys: Capsys) -> None:
    """For [[models]] every arm is estimated as `compare` would run it, and all of them together."""
    write_task(Path(), more=MODELS)
    done = command(capsys, "estimate", "task.toml", "--json", "--max-prompts", "100")
    assert (done.code, done.err) == (0, "")
    found = orjson.loads(done.out)
    arms = found["arms"]
    assert [(arm["model"], arm["method"], arm["seed"]) for arm in arms] == [
        ("vllm/one", "bdpl", 0),
        ("compatible/two", "bdpl", 0),
    ]
    for key in ("requests", "prompts", "tokens"):
        assert found[key] == sum(arm[key] for arm in arms) > 0
    assert found["usd"] == pytest.approx(sum(arm["usd"] for arm in arms))
    assert all(arm["prompts"] <= 100 for arm in arms)
    assert found["budget"]["prompts"] == 100
    address = ("--model", "vllm/one", "--base-url", "http://127.0.0.1:9/v1")
    one = document(capsys, *address, "--max-prompts", "100")
    assert one["requests"] == arms[0]["requests"]


def test_the_total_is_printed(capsys: Capsys) -> None:
    """A line an arm, and the total; what is not known of one arm is not known of all."""
    write_task(Path(), more=MODELS)
    total = command(capsys, "estimate", "task.toml", "--json")
    done = command(capsys, "estimate", "task.toml")
    assert (done.code, done.err) == (0, "")
    (line,) = [line for line in done.out.splitlines() if line.strip().startswith("total")]
    assert f"{orjson.loads(total.out)['tokens']:,}" in line
    assert max(map(len, done.out.splitlines())) <= 80
    write_task(Path(), more=MODELS.replace("price_in = 3.0\nprice_out = 4.0\n", ""))
    done = command(capsys, "estimate", "task.toml")
    assert "unknown" in done.out
    assert "--price-in" in done.out


def test_methods_and_seeds_are_those_of_compare(capsys: Capsys) -> None:
    """Every run of every arm is counted, each by the whole budget."""
    several = ("--method", "random", "--method", "empty", "--seeds", "2")
    found = document(capsys, *several)
    arms = found["arms"]
    assert isinstance(arms, list)
    assert [(arm["method"], arm["seed"]) for arm in arms] == [
        ("random", 0),
        ("random", 1),
        ("empty", 0),
        ("empty", 1),
    ]
    assert estimate(capsys, *several, "--max-prompts", "15").code == 4
    assert estimate(capsys, "--seeds", "0").code == 2


def test_the_default_is_the_built_in_task(capsys: Capsys) -> None:
    """Without TASK it is the built-in example, as for run."""
    done = command(capsys, "estimate", "--model", "simulated/x", "--steps", "3", "--json")
    assert (done.code, done.err) == (0, "")
    assert orjson.loads(done.out)["task"] == "reviews"


def test_help(capsys: Capsys) -> None:
    """--help names the command."""
    done = command(capsys, "estimate", "--help")
    assert done.code == 0
    assert done.out.startswith("Usage: bdpl-async estimate")


PRICED = ("--model", "vllm/x", "--price-in", "10", "--price-out", "20", "--steps", "100000")


def test_more_money_buys_nothing_where_another_limit_is_reached_first(capsys: Capsys) -> None:
    """The sums are left out there, and said to be by themselves where other limits stand beside."""
    tight = estimate(capsys, *PRICED, "--max-usd", "100", "--max-prompts", "500")
    assert tight.code == 0, tight.err
    assert "--max-usd" not in tight.out
    assert "--max-usd" not in estimate(capsys, *PRICED, "--max-prompts", "500").out
    loose = estimate(capsys, *PRICED, "--max-usd", "1", "--max-prompts", "900000").out
    assert "by itself buys about" in loose
    assert "by itself" not in estimate(capsys, *PRICED, "--max-usd", "1").out


def test_a_budget_group_is_not_asked_and_that_is_said(capsys: Capsys) -> None:
    """An estimate goes nowhere, so what a group has left is not in it."""
    found = document(capsys, "--budget-group", "team", "--budget-redis", "redis://h")
    note = "what the budget group 'team' has left is not looked at: see bdpl-async group team"
    assert found["notes"] == [note]
