"""Black-box discrete prompt learning: learn a prompt for a model that shows only its outputs.

    import bdpl_async as bdpl
    from bdpl_providers import connect

    task = bdpl.Task.from_toml("task.toml")
    async with connect("roberta/builtin") as scorer:
        result = await bdpl.tune(task, scorer, budget=bdpl.Budget(prompts=5000), seed=0)
    print(result.prompt, result.dev.score)

Names are imported when they are first used, so that ``bdpl-async --help`` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdpl_async.budget import Budget as Budget
    from bdpl_async.config import Config as Config
    from bdpl_async.errors import BdplError as BdplError
    from bdpl_async.errors import BudgetTooSmall as BudgetTooSmall
    from bdpl_async.errors import ProviderError as ProviderError
    from bdpl_async.errors import ProviderRefused as ProviderRefused
    from bdpl_async.errors import ProviderUnavailable as ProviderUnavailable
    from bdpl_async.errors import RateLimited as RateLimited
    from bdpl_async.errors import RequestFailed as RequestFailed
    from bdpl_async.errors import UsageError as UsageError
    from bdpl_async.paper import PaperPolicy as PaperPolicy
    from bdpl_async.policy import Policy as Policy
    from bdpl_async.records import Example as Example
    from bdpl_async.records import Price as Price
    from bdpl_async.records import Prompt as Prompt
    from bdpl_async.records import Reply as Reply
    from bdpl_async.records import Request as Request
    from bdpl_async.records import Score as Score
    from bdpl_async.records import Text as Text
    from bdpl_async.records import Usage as Usage
    from bdpl_async.result import Result as Result
    from bdpl_async.scorer import Capabilities as Capabilities
    from bdpl_async.scorer import Scorer as Scorer
    from bdpl_async.task import Task as Task
    from bdpl_async.tuning import resume as resume
    from bdpl_async.tuning import tune as tune
    from bdpl_async.watching import Watching as Watching

__version__ = "0.1.0"

_HOMES = {
    "BdplError": "errors",
    "Budget": "budget",
    "BudgetTooSmall": "errors",
    "Capabilities": "scorer",
    "Config": "config",
    "Example": "records",
    "PaperPolicy": "paper",
    "Policy": "policy",
    "Price": "records",
    "Prompt": "records",
    "ProviderError": "errors",
    "ProviderRefused": "errors",
    "ProviderUnavailable": "errors",
    "RateLimited": "errors",
    "Reply": "records",
    "Request": "records",
    "RequestFailed": "errors",
    "Result": "result",
    "Score": "records",
    "Scorer": "scorer",
    "Task": "task",
    "Text": "records",
    "Usage": "records",
    "UsageError": "errors",
    "Watching": "watching",
    "resume": "tuning",
    "tune": "tuning",
}

__all__ = [
    "BdplError",
    "Budget",
    "BudgetTooSmall",
    "Capabilities",
    "Config",
    "Example",
    "PaperPolicy",
    "Policy",
    "Price",
    "Prompt",
    "ProviderError",
    "ProviderRefused",
    "ProviderUnavailable",
    "RateLimited",
    "Reply",
    "Request",
    "RequestFailed",
    "Result",
    "Score",
    "Scorer",
    "Task",
    "Text",
    "Usage",
    "UsageError",
    "Watching",
    "resume",
    "tune",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

    globals()[name] = found
    return found
