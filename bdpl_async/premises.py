"""What must hold of a task and a model before one is put in front of the other."""

from __future__ import annotations

from bdpl_async.config import Config
from bdpl_async.errors import ConfigError
from bdpl_async.records import Price
from bdpl_async.scorer import Capabilities
from bdpl_async.task import Task

__all__ = ["price_of", "refuse_behind_mask", "refuse_several"]


def price_of(config: Config, name: str, capabilities: Capabilities) -> Price | None:
    """What the user says tokens cost, else what is known.

    Raises:
        ConfigError: a budget in USD, and no price.
    """
    model = config.model
    if model.price_in is not None and model.price_out is not None:
        return Price(model.price_in, model.price_out)
    if config.budget.usd is not None and capabilities.price is None and not capabilities.local:
        raise ConfigError(
            f"budget.usd: no price is known for {name}",
            hint="give --price-in and --price-out in USD per million tokens, or limit requests,"
            " prompts or tokens instead",
        )
    return capabilities.price


def refuse_behind_mask(task: Task) -> None:
    """See to it that a model which reads up to the mask reads the prompt and the data.

    Raises:
        ConfigError: naming the template.
    """
    if not task.template.prompt_first or not task.template.columns_first:
        what = "{prompt}" if not task.template.prompt_first else "no column of the data"
        where = "stands behind {mask}" if what == "{prompt}" else "stands before {mask}"
        raise ConfigError(
            f"task.template: {what} {where}, and a causal model reads only what is before it",
            hint="write a template that ends in {mask}",
        )


def refuse_several(config: Config) -> None:
    """See to it that a run has one model.

    Raises:
        ConfigError: the configuration names several.
    """
    if config.models:
        raise ConfigError(
            "models: several models are for compare and transfer",
            hint="a run takes one, in [model]",
        )
