"""Curves of a sweep: means and intervals that are right, and pictures that any name survives."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

import bdpl_async as bdpl
from bdpl_async.evaluation import Evaluation
from bdpl_async.result import Result
from bdpl_async.studies.grid import Sweep
from bdpl_async.studies.gridfile import read_sweep
from bdpl_async.studies.sweeping import Row
from bdpl_async.task import Task
from bdpl_cli.plots import curves, draw, mean_interval
from bdpl_providers.simulated import Simulated
from tests.workbench import write_task

SEEDS = '"run.seed" = [0, 1, 2]\n'


def make(folder: Path, text: str) -> Sweep:
    path = folder / "s.toml"
    path.write_text(f'task = "reviews"\n{text}', encoding="utf-8")
    return read_sweep(path)


@pytest.fixture
async def result(tmp_path: Path) -> Result:
    return await bdpl.tune(Task.from_toml(write_task(tmp_path)), Simulated())


def scored(result: Result, test: float | None, dev: float = 0.5) -> Result:
    def found(score: float) -> Evaluation:
        return Evaluation("accuracy", score, (score - 0.1, score + 0.1), 20)

    return replace(result, dev=found(dev), test=None if test is None else found(test))


@pytest.mark.parametrize(
    ("count", "t"),
    [
        (2, 12.7062),
        (3, 4.3027),
        (5, 2.7764),
        (11, 2.2281),
        (12, 2.201),
        (40, 2.0227),
        (400, 1.9659),
    ],
)
def test_the_interval_of_a_mean_is_students(count: int, t: float) -> None:
    """Mean and standard error with the printed 97.5 % points of the t distribution."""
    scores = [0.5 + 0.01 * ((7 * i) % 13) for i in range(count)]
    low, high = mean_interval(scores)
    mean = sum(scores) / count
    error = (sum((score - mean) ** 2 for score in scores) / (count - 1) / count) ** 0.5
    assert (low, high) == pytest.approx((mean - t * error, mean + t * error), abs=1e-3 * error)


def test_a_curve_is_the_mean_over_seeds(tmp_path: Path, result: Result) -> None:
    """One spot for each x, in the order of the numbers, with the interval over its seeds."""
    sweep = make(tmp_path, f'[grid]\n"task.k_shot" = [8, 4]\n{SEEDS}')
    scores = [0.8, 0.9, 0.7, 0.5, 0.5, 0.5]
    rows = [Row(p, scored(result, s)) for p, s in zip(sweep.points, scores, strict=True)]
    measured, (curve,) = curves(sweep, rows)
    assert measured == "test accuracy"
    assert curve.label == ""
    four, eight = curve.spots
    assert (four.x, four.mean, four.low, four.high, four.runs) == (4, 0.5, 0.5, 0.5, 3)
    assert eight.x == 8
    assert eight.mean == pytest.approx(0.8)
    assert (eight.low, eight.high) == pytest.approx((0.8 - 4.303 * 0.1 / 3**0.5, 1.0))


def test_one_run_has_the_interval_of_its_examples(tmp_path: Path, result: Result) -> None:
    """Without other seeds there is nothing to tell about them."""
    sweep = make(tmp_path, '[grid]\n"task.k_shot" = [4, 8]\n')
    rows = [Row(point, scored(result, 0.6)) for point in sweep.points]
    spot = curves(sweep, rows)[1][0].spots[0]
    assert (spot.mean, spot.low, spot.high, spot.runs) == (0.6, 0.5, 0.7, 1)


def test_dev_is_drawn_where_a_row_has_no_test(tmp_path: Path, result: Result) -> None:
    """All rows are measured alike."""
    sweep = make(tmp_path, '[grid]\n"task.k_shot" = [4, 8]\n')
    rows = [Row(p, scored(result, t)) for p, t in zip(sweep.points, (0.9, None), strict=True)]
    measured, (curve,) = curves(sweep, rows)
    assert measured == "dev accuracy"
    assert [spot.mean for spot in curve.spots] == [0.5, 0.5]


def test_each_other_combination_is_a_line(tmp_path: Path, result: Result) -> None:
    """Nothing is averaged but seeds; the series names a line first."""
    text = (
        f'[grid]\n"task.k_shot" = [4, 8]\n"prompt.length" = [2, 3]\n{SEEDS}'
        '"optimizer.loss" = ["ce", "hinge"]\n[sweep]\nseries = "optimizer.loss"\n'
    )
    sweep = make(tmp_path, text)
    rows = [Row(point, scored(result, 0.6)) for point in sweep.points]
    found = curves(sweep, rows)[1]
    assert [curve.label for curve in found] == [
        "loss = ce, length = 2",
        "loss = hinge, length = 2",
        "loss = ce, length = 3",
        "loss = hinge, length = 3",
    ]
    assert {spot.runs for curve in found for spot in curve.spots} == {3}


def test_what_follows_from_another_key_names_no_line(tmp_path: Path, result: Result) -> None:
    """An address that goes with a model, and a learning rate that goes with x, tell nothing."""
    cells = "".join(
        f'[[cells]]\n"optimizer.steps" = {steps}\n"optimizer.lr" = 0.{steps}\n'
        f'"model.name" = "vllm/{name}"\n"model.base_url" = "http://{name}:1/v1"\n'
        for steps in (1, 2)
        for name in "ab"
    )
    sweep = make(tmp_path, cells)
    rows = [Row(point, scored(result, 0.6)) for point in sweep.points]
    found = curves(sweep, rows)[1]
    assert [curve.label for curve in found] == ["name = vllm/a", "name = vllm/b"]
    assert [len(curve.spots) for curve in found] == [2, 2]


@pytest.mark.parametrize(
    "grid",
    [
        '"task.k_shot" = [2, 16]\n',
        '"optimizer.loss" = ["ce", "hinge"]\n',
        '"optimizer.lr" = [0.01, 1.0]\n"model.name" = ["a/$x$ <b>&\\u0001", "a/_$"]\n',
        '"model.name" = ["\u732b/\U0001f600", "%s"]\n',
        '"run.seed" = [0, 1]\n',
    ],
)
def test_a_picture_is_valid_svg_and_always_the_same(
    tmp_path: Path, result: Result, grid: str
) -> None:
    """Numbers, words and odd names alike; the text stays text, and no date makes it another."""
    pytest.importorskip("matplotlib")
    sweep = make(tmp_path, f"[grid]\n{grid}")
    rows = [Row(point, scored(result, 0.6)) for point in sweep.points]
    picture = draw(sweep, rows)
    assert picture == draw(sweep, rows)
    words = "".join(ET.fromstring(picture).itertext())  # noqa: S314  our own file
    assert "test accuracy" in words
    assert sweep.x in words


def test_no_text_breaks_the_picture(tmp_path: Path, result: Result) -> None:
    """Names may hold markup and what XML may not hold; nothing is loaded from elsewhere."""
    sweep = make(tmp_path, f'[grid]\n{SEEDS}[sweep]\nname = "<script>x</script>\\uffff\\u001b"\n')
    picture = draw(sweep, [Row(point, result) for point in sweep.points]).decode()
    root = ET.fromstring(picture)  # noqa: S314  our own file
    assert "<script>x</script>\ufffd\ufffd" in "".join(root.itertext())
    places = [value for element in root.iter() for value in element.attrib.values()]
    assert not [place for place in places if "://" in place and "purl.org" not in place]


def test_a_picture_as_png(tmp_path: Path, result: Result) -> None:
    """Where SVG is no use there are pixels."""
    pytest.importorskip("matplotlib")
    sweep = make(tmp_path, '[grid]\n"task.k_shot" = [2, 16]\n')
    rows = [Row(point, scored(result, 0.6)) for point in sweep.points]
    assert draw(sweep, rows, "png").startswith(b"\x89PNG")
