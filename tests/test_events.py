"""Events are JSON, one kind one name."""

from __future__ import annotations

import typing

import orjson
import pytest

from bdpl_async.evaluation import Evaluation
from bdpl_async.events import Evaluated, Event, Note, Probed, Retry, Started, Step, to_json
from bdpl_async.result import Totals

EVALUATION = Evaluation("accuracy", 0.5, (0.25, 0.75), 8)
STARTED = Started(
    0.0, task="t", model="m", method="bdpl", seed=0, train=4, dev=2, test=0, steps=None
)
STEP = Step(2.0, step=1, loss=0.5, entropy=3.0, kl=0.02, prompt="a b", usage=Totals(requests=2))
EVALUATED = Evaluated(3.0, "dev", "learned", "a b", EVALUATION)
EVENTS: list[Event] = [
    STARTED,
    Probed(0.5, batch=64, labels=(" bad", " good"), readout="logprobs"),
    Retry(0.75, attempt=2, wait=0.25, reason="busy"),
    STEP,
    EVALUATED,
    Note(4.0, "a note"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_json(event: Event) -> None:
    """Every event is one JSON object with its type, its time and all its fields."""
    document = orjson.loads(orjson.dumps(to_json(event)))
    assert document["type"] == event.type
    assert document["t"] == event.t
    assert set(document) == {"type", *event.__slots__}


def test_step() -> None:
    """A step tells number, loss, entropy and usage under the contract's names."""
    document = orjson.loads(orjson.dumps(to_json(STEP)))
    assert (document["step"], document["loss"], document["entropy"]) == (1, 0.5, 3.0)
    assert document["usage"]["requests"] == 2


def test_nan_is_null() -> None:
    """A loss that is no number becomes null, for JSON has no NaN."""
    lost = Step(2.0, step=1, loss=float("nan"), entropy=3.0, kl=0.0, prompt="", usage=Totals())
    assert orjson.loads(orjson.dumps(to_json(lost)))["loss"] is None


def test_types() -> None:
    """No two kinds of event share a name, and the contract's names are among them."""
    names = [kind.type for kind in typing.get_args(Event)]
    assert len(set(names)) == len(names)
    assert {"started", "probed", "step", "evaluated", "retry", "finished"} <= set(names)
