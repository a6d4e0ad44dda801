"""``bdpl-async explain`` from outside: what it prints, how it ends, and what it sends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from bdpl_async.errors import ProviderRefused
from bdpl_async.records import Reply, Request
from bdpl_providers.simulated import Simulated
from tests.workbench import TESTED, Outcome, command, finished_run, rows, write_task

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """A folder of one's own with a finished run in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    finished_run(tmp_path, capsys)


def document(done: Outcome) -> dict[str, Any]:
    found = orjson.loads(done.out)
    assert isinstance(found, dict)
    return found


def explained(capsys: Capsys, *arguments: str) -> dict[str, Any]:
    """What --json prints, and nothing else, of a command that succeeds."""
    done = command(capsys, "explain", "run", "--json", *arguments)
    assert done.code == 0, done.err
    return document(done)


def edit(**changes: object) -> None:
    """Change keys of result.json."""
    file = Path("run/result.json")
    file.write_bytes(orjson.dumps(orjson.loads(file.read_bytes()) | changes))


def refuse_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    async def score(self: Simulated, request: Request) -> Reply:
        pytest.fail("something was sent")

    monkeypatch.setattr(Simulated, "score", score)


def test_json_has_the_whole(capsys: Capsys) -> None:
    """Distributions, every token left out, phrases and flipped examples in one document."""
    found = explained(capsys)
    result = orjson.loads(Path("run/result.json").read_bytes())
    assert found["prompt"] == result["prompt"]
    assert [place["token"] for place in found["distributions"]] == result["tokens"]
    assert [effect["token"] for effect in found["effects"]] == result["tokens"]
    assert (found["split"], found["full"]["n"]) == ("dev", 8)
    assert found["full"]["score"] == result["dev"]["score"]
    flipped = found["flipped"]
    counted = (flipped[name] for name in ("both_right", "both_wrong", "gained", "lost"))
    assert sum(counted) == flipped["n"] == 8
    assert len(found["phrases"]) > 12
    divergences = [one["divergence"] for one in found["phrases"]]
    assert divergences == sorted(divergences)


def test_on_test_the_scores_of_the_run_come_back(capsys: Capsys) -> None:
    """--split test asks the test rows, and its flips explain the run's gain."""
    found = explained(capsys, "--split", "test", "--no-phrases")
    result = orjson.loads(Path("run/result.json").read_bytes())
    assert found["full"]["score"] == result["test"]["score"]
    flipped = found["flipped"]
    gain = (flipped["gained"] - flipped["lost"]) / flipped["n"]
    assert gain == pytest.approx(result["gain"]["score"])
    assert found["phrases"] == []


def test_the_price_is_told_before_and_kept(capsys: Capsys) -> None:
    """(n + 1) prompts on N examples: on stderr before, and in `usage` after."""
    done = command(capsys, "explain", "run", "--json", "--no-phrases", "--examples", "5")
    assert max(map(len, done.err.splitlines())) <= 80
    told = done.err.replace("\n  ", " ")
    assert "asking 4 prompts on 5 dev examples of simulated/x takes at most 20 prompts" in told
    found = document(done)
    assert found["usage"]["prompts"] == 20
    assert found["full"]["n"] == 5


def test_a_budget_too_small_is_refused_unsent(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 4, what it takes, and how many examples would fit; the run's own budget is spent."""
    refuse_to_send(monkeypatch)
    done = command(capsys, "explain", "run", "--no-phrases", "--max-prompts", "31")
    assert (done.code, done.out) == (4, "")
    assert "takes 32 prompts" in done.err
    assert "--examples 7 fits" in done.err


def test_a_phrase_of_ones_own_is_compared(capsys: Capsys) -> None:
    """--phrase may be repeated, and stands alone with --no-phrases."""
    given = ("--phrase", "one way", "--phrase", "another way")
    found = explained(capsys, "--no-phrases", *given)
    assert {one["phrase"] for one in found["phrases"]} == {"one way", "another way"}
    assert {"one way", "a film review:"} < {
        one["phrase"] for one in explained(capsys, *given)["phrases"]
    }


def test_examples_limit_what_is_shown_never_what_is_counted(capsys: Capsys) -> None:
    """All eight rows are counted, one of each kind is listed, with its text."""
    answers = orjson.loads(Path("run/answers.json").read_bytes())
    labels = answers["dev"]["labels"]
    answers["dev"]["learned"] = [[-1.0, -2.0] if label == 0 else [-2.0, -1.0] for label in labels]
    answers["dev"]["empty"] = [[-2.0, None] if label else [None, -1.0] for label in labels]
    Path("run/answers.json").write_bytes(orjson.dumps(answers))
    flipped = explained(capsys, "--no-phrases", "--examples", "1")["flipped"]
    assert (flipped["gained"], flipped["lost"], flipped["n"]) == (8, 0, 8)
    assert flipped["by_label"] == {str(i): {"n": 4, "gained": 4, "lost": 0} for i in range(2)}
    (one,) = flipped["examples"]["gained"]
    assert set(one["columns"]) == {"text"}
    assert {one["label"], one["empty"]} == {"0", "1"}
    assert one["empty_margin"] == pytest.approx(-100.0)  # null among numbers: impossible


def test_text_fits_80_columns_and_no_terminal_obeys_it(capsys: Capsys) -> None:
    """Every part is there, and nothing from outside moves the cursor."""
    edit(tokens=["red\x1b[2J", "green", "a very very long candidate"], prompt="\x1b[2J")
    done = command(capsys, "explain", "run")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    for part in ("Odds of each", "Without one token", "not of meaning", "Learned against empty"):
        assert part in done.out


def test_people_read_per_cent_and_points(capsys: Capsys) -> None:
    """The score with its interval, and what each token changes; the document has fractions."""
    found = explained(capsys, "--no-phrases")
    out = command(capsys, "explain", "run", "--no-phrases").out
    low, high = (100 * end for end in found["full"]["ci95"])
    score = f"{100 * found['full']['score']:.1f} % (95 %: {low:.1f} to {high:.1f}, n=8)"
    assert f"The whole prompt on dev: accuracy {score}" in out
    (line,) = [line for line in out.splitlines() if line.startswith("  1 ") and "[" in line]
    assert f"{100 * found['effects'][0]['gain']['score']:+.1f} [" in line


def test_what_no_search_found_is_not_called_learned(capsys: Capsys) -> None:
    """A manual prompt is a prompt."""
    assert "Learned against empty prompt" in command(capsys, "explain", "run").out
    setting = ("--method", "manual", "--set", "prompt.manual=warm and", "--out", "other")
    assert command(capsys, "run", "task.toml", *setting, "--ui", "none").code == 0
    out = command(capsys, "explain", "other", "--no-phrases").out
    assert "This against empty prompt" in out
    assert "learned" not in out.lower()


def test_changed_data_leave_what_the_run_kept(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distributions and row numbers are told, a note says why no more, and it exits 2 unsent."""
    refuse_to_send(monkeypatch)
    Path("dev.tsv").write_text(rows(8, 101))
    done = command(capsys, "explain", "run", "--json")
    assert done.code == 2
    assert "data are not those" in done.err
    found = document(done)
    assert found["distributions"]
    assert (found["effects"], found["phrases"]) == (None, None)
    told = [*found["flipped"]["examples"]["gained"], *found["flipped"]["examples"]["lost"]]
    assert all(flip["columns"] is None for flip in told)
    assert any("by number only" in note for note in found["notes"])


def test_missing_data_leave_what_the_run_kept(capsys: Capsys) -> None:
    """Also as text, where the file that is gone is named."""
    Path("dev.tsv").unlink()
    done = command(capsys, "explain", "run")
    assert done.code == 2
    assert "dev.tsv" in done.err
    assert "Odds of each" in done.out


def test_a_provider_that_refuses_leaves_what_is_free(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 3, with the distributions and the flipped examples printed."""

    async def score(self: Simulated, request: Request) -> Reply:
        raise ProviderRefused("gone for good", fate="refused")

    monkeypatch.setattr(Simulated, "score", score)
    done = command(capsys, "explain", "run")
    assert done.code == 3
    assert "gone for good" in done.err
    assert "Odds of each" in done.out
    assert "Without one token" not in done.out


def test_a_method_without_distributions_says_so(capsys: Capsys) -> None:
    """The rest is explained all the same."""
    done = command(
        capsys, "run", "task.toml", "--method", "random", "--out", "other", "--ui", "none"
    )
    assert done.code == 0
    found = document(command(capsys, "explain", "other", "--json", "--no-phrases"))
    assert found["distributions"] is None
    assert any("'random' keeps no distributions" in note for note in found["notes"])
    assert len(found["effects"]) == 3


def test_an_empty_prompt_has_nothing_to_leave_out(capsys: Capsys) -> None:
    """It is said, and phrases are still compared."""
    done = command(
        capsys, "run", "task.toml", "--method", "empty", "--out", "other", "--ui", "none"
    )
    assert done.code == 0
    done = command(capsys, "explain", "other")
    assert done.code == 0
    assert "the prompt has no tokens" in done.out
    assert "Without one token" not in done.out
    assert "nats," in done.out


@pytest.mark.parametrize("kind", ["batch", "contextual"])
def test_a_calibrated_run_is_scored_by_its_own_offsets(
    capsys: Capsys, tmp_path: Path, kind: str
) -> None:
    """On test too the score is the run's: no row that is asked here has a say in the offsets."""
    write_task(tmp_path, TESTED, ("length = 3", 'length = 3\nmanual = "warm and"'))
    method = ("--method", "calibration", "--set", f"optimizer.calibration={kind}")
    done = command(capsys, "run", "task.toml", *method, "--out", "other", "--ui", "none")
    assert done.code == 0, done.err
    result = orjson.loads(Path("other/result.json").read_bytes())
    for split in ("dev", "test"):
        explain = ("explain", "other", "--json", "--no-phrases", "--split", split)
        found = document(command(capsys, *explain))
        assert found["full"]["score"] == result[split]["score"]
        assert found["usage"]["prompts"] == 3 * result[split]["n"]
    assert any("its offsets" in note for note in found["notes"])


def test_hushed(capsys: Capsys) -> None:
    """--ui none tells nothing on stderr; views that there are none of are refused."""
    assert command(capsys, "explain", "run", "--json", "--ui", "none").err == ""
    refused = command(capsys, "explain", "run", "--ui", "json")
    assert (refused.code, refused.out) == (2, "")
    assert "--ui json" in refused.err


def test_an_interrupted_run_is_explained_with_a_note(capsys: Capsys) -> None:
    """Its prompt was chosen on no score; what it did not keep is said to be missing."""
    edit(stop_reason="interrupted")
    Path("run/answers.json").unlink()
    found = explained(capsys, "--no-phrases")
    assert any("cut off" in note for note in found["notes"])
    assert found["flipped"] is None
    assert any("kept no answers" in note for note in found["notes"])
    assert len(found["effects"]) == 3


@pytest.mark.usefixtures("_signals")
def test_ctrl_c_ends_it_with_130(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is printed on stdout, nothing more is sent."""
    asked: list[int] = []
    usual = Simulated.score

    async def score(self: Simulated, request: Request) -> Reply:
        asked.append(len(request.texts))
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.02)  # the loop hears of it
        return await usual(self, request)

    monkeypatch.setattr(Simulated, "score", score)
    done = command(capsys, "explain", "run", "--json", "--concurrency", "1")
    assert (done.code, done.out) == (130, "")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere"),
        (("run", "--examples", "0"), "--examples 0"),
        (("run", "--examples", "1.5"), "no whole number"),
        (("run", "--model", "simulated/y"), "bdpl-async transfer"),
        (("run", "--method", "random"), "optimizer.method"),
        (("run", "--seed", "1"), "run.seed"),
        (("run", "--out", "x"), "run.out"),
        (("run", "--set", "task.metric=mcc"), "task.metric"),
        (("run", "--max-prompts", "-1"), "budget.prompts"),
        (("run", "--max-usd", "-1"), "budget.usd"),
        (("run", "--base-url", "http://127.0.0.1:1"), "model.base_url"),
    ],
)
def test_bad_input_is_refused_by_name(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    """Exit 2, nothing on stdout, nothing sent."""
    refuse_to_send(monkeypatch)
    done = command(capsys, "explain", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_who_is_flattered_is_sent_to_the_test_rows_there_are(
    capsys: Capsys, tmp_path: Path
) -> None:
    """--split test is named where it can be taken; else what would give it."""
    edit(chosen_from=8)
    assert any("see --split test" in note for note in explained(capsys)["notes"])
    write_task(tmp_path)
    assert command(capsys, "run", "task.toml", "--out", "plain", "--ui", "none").code == 0
    Path("run").rename("tested")
    Path("plain").rename("run")
    edit(chosen_from=8)
    (note,) = [one for one in explained(capsys)["notes"] if "flatters" in one]
    assert "--split test" not in note
    assert "task.test" in note
    Path("dev.tsv").unlink()
    done = command(capsys, "explain", "run")
    assert done.code == 2
    assert "--split test" not in done.out


def test_a_row_is_named_with_its_split(capsys: Capsys) -> None:
    """It is counted within the split, and is no line of a file."""
    for split in ("dev", "test"):
        out = command(capsys, "explain", "run", "--split", split, "--no-phrases").out
        told = [line for line in out.splitlines() if " row " in line]
        assert told
        assert all(line.startswith(f"  {split} row ") for line in told)
