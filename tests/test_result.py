"""result.json holds what the contract says, and numbers that JSON knows."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson

from bdpl_async.evaluation import Evaluation
from bdpl_async.result import Baseline, Result, Totals

KEYS = (
    "schema task model method seed prompt tokens template labels dev test baseline usage steps_done"
    " stop_reason losses versions data_sha256"
)
USAGE = "requests prompts prompt_tokens completion_tokens usd cache_hits retries failures seconds"
RESULT = Result(
    task="t",
    model="m/x",
    method="bdpl",
    seed=0,
    prompt="good day",
    tokens=("good", "day"),
    template="{prompt} {text} {mask}",
    labels={"0": " bad", "é": " good"},
    dev=Evaluation("accuracy", 0.5, (0.25, 0.75), 8),
    test=None,
    baseline=Baseline(),
    usage=Totals(),
    steps_done=2,
    stop_reason="steps",
    losses=(0.5, float("nan")),
    data_sha256="00",
)


def test_keys() -> None:
    """Every key of the contract is there, under its name, and so is every kind of usage."""
    document = orjson.loads(orjson.dumps(RESULT.to_json()))
    assert set(KEYS.split()) <= set(document)
    assert set(USAGE.split()) <= set(document["usage"])
    assert set(document["baseline"]) == {"dev", "test"}


def test_values() -> None:
    """Tuples become lists, what is not known null, and schema says 1."""
    document = orjson.loads(orjson.dumps(RESULT.to_json()))
    assert document["schema"] == 1
    assert document["tokens"] == ["good", "day"]
    assert document["labels"] == {"0": " bad", "é": " good"}
    assert document["dev"] == {
        "metric": "accuracy",
        "score": 0.5,
        "ci95": [0.25, 0.75],
        "n": 8,
        "unanswered": 0,
    }
    assert document["test"] is None
    assert document["losses"] == [0.5, None]


def test_strict_json() -> None:
    """The document is strict JSON: no NaN, for other languages read it too."""
    encoded = orjson.dumps(replace(RESULT, losses=(float("inf"),)).to_json())

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    assert json.loads(encoded, parse_constant=refuse)["losses"] == [None]


def test_versions() -> None:
    """The result names the releases that its numbers depend on."""
    assert {"python", "numpy"} <= set(RESULT.versions)
    assert all(version[0].isdigit() for version in RESULT.versions.values())
