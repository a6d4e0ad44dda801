"""The page of a comparison: what is in it, that it is honest, and that nothing gets out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from bdpl_async.errors import ConfigError
from bdpl_async.studies.boardfile import KeptComparison, read_comparison
from bdpl_cli.page.comparison import comparison_page
from bdpl_cli.page.contest import contest
from bdpl_cli.page.contestverdict import contest_verdict
from tests.workbench import command, rows, write_task

Capsys = pytest.CaptureFixture[str]
NEEDED = ("arm", "model", "method", "seeds", "mean", "ci95", "dev", "test")
EARLIER = ("model", "method", "seed", "dev", "test", "usage", "latency", "prompt", "run")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> KeptComparison:
    """Two methods with two seeds on a simulated model."""
    return compared(tmp_path, monkeypatch, capsys, "--seeds", "2")


def compared(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys, *more: str
) -> KeptComparison:
    monkeypatch.chdir(folder)
    (folder / "test.tsv").write_text(rows(40, 300))
    task = write_task(folder, ('dev = "dev.tsv"', 'dev = "dev.tsv"\ntest = "test.tsv"'))
    arms = () if "--method" in more else ("--method", "bdpl", "--method", "empty")
    done = command(capsys, "compare", task, *arms, *more, "--out", "out", "--ui", "none")
    assert done.code == 0, done.err
    return read_comparison(folder / "out")


def changed(kept: KeptComparison, **parts: object) -> KeptComparison:
    return replace(kept, document={**kept.document, **parts})


def words(page: bytes) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page.decode())).split())


def difference(arm: str, reference: str, score: float, p: float) -> dict[str, Any]:
    ends = [score - 0.05, score + 0.05]
    return {"arm": arm, "reference": reference, "score": score, "ci95": ends} | {
        "p_value": p,
        "p_adjusted": p,
        "real": p < 0.05,
    }


def judged(kept: KeptComparison, against: float, p: float) -> str:
    """The sentences where the second arm differs from the first like this."""
    first, second = (row["arm"] for row in kept.document["summary"])
    found = [difference(second, first, against, p), difference(first, "empty prompt", -against, p)]
    verdict = contest_verdict(contest(changed(kept, differences=found)))
    return " ".join([verdict.kind, verdict.text, *verdict.doubts])


def test_the_whole_page(kept: KeptComparison) -> None:
    """Scores, figures, costs, prompts, what was compared, and every run; in a file of its own."""
    pytest.importorskip("matplotlib")
    page = comparison_page(kept, plots=True)
    told = words(page)
    assert "tiny on simulated/x" in told
    assert "2 arms, 2 seeds, 40 test examples in each" in told
    assert page.count(b"<svg") == 2
    for arm in kept.document["arms"]:
        assert arm["run"] in told
    for row in kept.document["summary"]:
        assert f"{100 * row['mean']:.1f}" in told
    for entry in kept.document["differences"]:
        assert f"{100 * entry['score']:+.1f}" in told
    assert kept.document["examples_sha256"] in told
    assert "(the empty prompt)" in told
    assert "--method bdpl --method empty --seeds 2 --out runs/again" in told
    assert comparison_page(read_comparison(kept.path), plots=True) == page


def test_nothing_leaves_the_page(kept: KeptComparison) -> None:
    """No script, nothing fetched, and links lead to parts of the page."""
    page = comparison_page(kept, plots=True).decode()
    assert "<script" not in page
    assert "://" not in page
    assert not re.search(r'(src|action|onload)="', page)
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids
    assert len(re.findall(r'\bid="', page)) == len(ids)


def test_report_writes_it(kept: KeptComparison, capsys: Capsys) -> None:
    """The command takes the folder of a comparison as it takes that of a run."""
    done = command(capsys, "report", kept.path, "--title", "Which one?")
    assert done.code == 0, done.err
    page = (kept.path / "report.html").read_bytes()
    assert b"<h1>Which one?</h1>" in page
    assert done.out == f"{kept.path / 'report.html'}\n"


def test_without_matplotlib(kept: KeptComparison) -> None:
    """The tables are all there."""
    page = comparison_page(kept, plots=False)
    assert b"<svg" not in page
    assert "Over the empty prompt" in words(page)


def test_the_command_that_the_page_names_gives_the_same(
    kept: KeptComparison, capsys: Capsys
) -> None:
    """Run again as the page says, the comparison finds the same scores on the same examples."""
    page = comparison_page(kept, plots=False).decode()
    found = re.search(r"<pre>bdpl-async (compare [^<]*)</pre>", page)
    assert found is not None
    done = command(capsys, *unescape(found[1]).split(), "--ui", "none")
    assert done.code == 0, done.err
    again = read_comparison(Path("runs/again")).document
    assert again["examples_sha256"] == kept.document["examples_sha256"]
    assert [row["mean"] for row in again["summary"]] == [
        row["mean"] for row in kept.document["summary"]
    ]


def test_a_real_difference_is_named(kept: KeptComparison) -> None:
    """Better and worse are said of what chance explains poorly, with interval and p."""
    told = judged(kept, -0.2, 0.001)
    assert told.startswith("better")
    assert "Worse than bdpl, the first arm: empty -20.0 points (95 %: -25.0 to -15.0; " in told
    assert "Better than the empty prompt: bdpl +20.0 points" in told
    assert judged(kept, 0.2, 0.001).startswith("worse")


def test_what_is_not_shown_is_not_claimed(kept: KeptComparison) -> None:
    """Without p below 0.05 nobody is better or worse, however far the scores lie apart."""
    told = judged(kept, 0.3, 0.05)
    assert told.startswith("same")
    assert "Better than" not in told
    assert "Worse than" not in told
    said = "Not shown to be better or worse than bdpl, the first arm, by 40 examples and 2 seeds"
    assert f"{said}: empty (+30.0 points)." in told
    assert "not shown to differ" in told


def test_nothing_scored(kept: KeptComparison) -> None:
    """Where arms have no scores in common, the page says so and claims nothing."""
    bare = [{**row, "dev": None, "test": None} for row in kept.document["summary"]]
    open_ = changed(kept, split=None, n=0, differences=[], summary=bare)
    told = words(comparison_page(open_, plots=True))
    assert "Nothing can be compared" in told
    assert "scores highest" not in told


def test_an_earlier_release(kept: KeptComparison) -> None:
    """A comparison.json with the contract's keys alone has the same page."""
    document = kept.document
    old = changed(
        kept,
        summary=[{key: row[key] for key in NEEDED} for row in document["summary"]],
        arms=[{key: arm[key] for key in EARLIER} for arm in document["arms"]],
    )
    assert comparison_page(old, plots=True) == comparison_page(kept, plots=True)


def test_one_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """With nothing to compare it to, an arm is told against the empty prompt."""
    kept = compared(tmp_path, monkeypatch, capsys, "--method", "bdpl")
    told = words(comparison_page(kept, plots=True))
    assert "than the empty prompt" in told
    assert "the first arm" not in told
    assert "highest" not in told
    assert "1 arm, seed 0" in told
    assert "one seed" in told  # the note of the comparison


def test_forty_arms(kept: KeptComparison) -> None:
    """Many arms have numbers instead of colours, and sentences that end."""
    page = comparison_page(many(kept, 40), plots=True)
    told = words(page)
    assert "40 models compared" in told
    assert "34 more" in told
    assert b"chip" not in page.partition(b"</style>")[2]
    assert page.count(b'id="prompt-') == 40
    verdict = contest_verdict(contest(many(kept, 40)))
    assert all(len(text) < 500 for text in (verdict.text, *verdict.doubts))


def many(kept: KeptComparison, count: int) -> KeptComparison:
    """The first arm, as that of many models."""
    document, runs = kept.document, kept.runs[:1]
    names = [f"simulated/{number}" for number in range(count)]

    def each(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{**entry, "model": name, "arm": f"{name} {entry['method']}"} for name in names]

    first = f"{names[0]} bdpl"
    apart = [difference(f"{name} bdpl", first, 0.01, 0.9) for name in names[1:]]
    whole = changed(
        kept,
        arms=each(document["arms"][0]),
        summary=each(document["summary"][0]),
        differences=apart,
    )
    return replace(whole, runs=runs * count)


def test_hostile_names(kept: KeptComparison) -> None:
    """Names of models, notes and prompts are text, and turn no writing round."""
    evil = "simulated/$x$ <script>alert(1)</script>\u202e"
    document = kept.document
    rename = {"model": evil, "method": "bdpl"}
    hostile = changed(
        kept,
        task=evil,
        notes=[evil],
        arms=[{**arm, **rename} for arm in document["arms"][:2]],
        summary=[{**document["summary"][0], **rename, "arm": evil}],
        differences=[],
    )
    hostile = replace(hostile, runs=kept.runs[:2])
    page = comparison_page(hostile, plots=True).decode()
    assert "<script>" not in page
    assert "\u202e" not in page
    assert "$x$ <script>" in words(page.encode())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("summary", [{"arm": "a", "model": "other", "method": "bdpl", "dev": None, "test": None}]),
        ("summary", []),
        ("differences", [{"arm": "a", "reference": "b", "score": 1, "ci95": [1]}]),
    ],
)
def test_a_changed_file_is_refused(kept: KeptComparison, key: str, value: object) -> None:
    """What was not written by compare is refused by name, without a traceback."""
    with pytest.raises(ConfigError, match=r"comparison\.json: not as compare writes it"):
        comparison_page(changed(kept, **{key: value}), plots=False)


def test_arms_that_score_alike_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    """Of the arms at the top those alone that have the same score, not every other one."""
    methods = [word for name in ("empty", "bdpl", "random") for word in ("--method", name)]
    kept = compared(tmp_path, monkeypatch, capsys, *methods)
    means = (0.75, 0.5, 0.75)
    rows = [
        {**row, "test": {**row["test"], "mean": mean}}
        for row, mean in zip(kept.document["summary"], means, strict=True)
    ]
    text = contest_verdict(contest(changed(kept, summary=rows))).text
    assert text.startswith("empty and random score alike on test: 75.0 %")
