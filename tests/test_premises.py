"""The rules of `bdpl_async.premises`: what cannot be put before a model is refused before it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from bdpl_async.config import load_config
from bdpl_async.errors import ConfigError
from bdpl_async.premises import price_of, refuse_behind_mask, refuse_several
from bdpl_async.records import Price
from bdpl_async.scorer import Capabilities
from bdpl_async.task import Task
from tests.workbench import write_task

TWO = '\n[[models]]\nname = "roberta/builtin"\n\n[[models]]\nname = "vllm/other"\n'


def test_a_run_has_one_model(tmp_path: Path) -> None:
    """Several belong to a comparison; a run that silently took one of them would mislead."""
    refuse_several(load_config(write_task(tmp_path)))
    with pytest.raises(ConfigError, match="models: several models are for compare"):
        refuse_several(load_config(write_task(tmp_path, more=TWO)))


def test_dollars_need_a_price(tmp_path: Path) -> None:
    """The user's own first, then the provider's; a model of this machine needs none."""
    file, known = write_task(tmp_path), Price(1.0, 2.0)
    plain, priced = Capabilities(), Capabilities(price=known)
    own = load_config(file, {"model.price_in": 0.5, "model.price_out": 1.5, "budget.usd": 1.0})
    assert price_of(own, "vllm/x", priced) == Price(0.5, 1.5)
    dollars = load_config(file, {"budget.usd": 1.0})
    assert price_of(dollars, "vllm/x", priced) == known
    assert price_of(dollars, "roberta/x", Capabilities(local=True)) is None
    with pytest.raises(ConfigError, match=r"budget\.usd: no price is known for vllm/x"):
        price_of(dollars, "vllm/x", plain)
    assert price_of(load_config(file), "vllm/x", plain) is None


@pytest.mark.parametrize(
    ("template", "at_fault"),
    [
        ("{prompt} {text} It was {mask}.", None),
        ("{text} It was {mask}. {prompt}", "{prompt} stands behind {mask}"),
        ("{prompt} It was {mask}. {text}", "no column of the data stands before {mask}"),
    ],
)
def test_a_causal_model_reads_all_before_the_mask(
    tmp_path: Path, template: str, at_fault: str | None
) -> None:
    """What stands behind it would not be read."""
    task = Task.from_toml(write_task(tmp_path), overrides={"task.template": template})
    if at_fault is None:
        refuse_behind_mask(task)
        return
    with pytest.raises(ConfigError) as caught:
        refuse_behind_mask(task)
    assert at_fault in str(caught.value)
