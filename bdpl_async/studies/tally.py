"""What a run of a comparison took and gained, and the mean of several: the numbers beside a score.

Reads what runs left, and prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from bdpl_async.config import Config
from bdpl_async.evaluation import Gain, compare
from bdpl_async.kept import Kept
from bdpl_async.studies.sidebyside import HERE, server_of

__all__ = ["Tally", "full_price", "gained", "mean_of", "per_point", "tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """What was taken; means of several runs are of those that know the number.

    Attributes:
        usd: as paid; None where no price is known.
        usd_full: the same and what the cache answered at what that had cost, which depends on no
            earlier run; None as above.
        p50, p95: seconds that a request took; None where none was answered.
        tokens_per_second: read and written by the model, over the whole run; None without any.
    """

    prompts: float
    requests: float
    usd: float | None
    usd_full: float | None
    p50: float | None
    p95: float | None
    tokens_per_second: float | None
    failures: float
    retries: float


def tally(run: Kept) -> Tally:
    """What one run took."""
    usage, latency = run.result.usage, run.result.latency
    full = full_price(run)
    tokens = usage.prompt_tokens + usage.completion_tokens
    return Tally(
        prompts=usage.prompts,
        requests=usage.requests,
        usd=None if full is None else usage.usd,
        usd_full=full,
        p50=latency.p50,
        p95=latency.p95,
        tokens_per_second=tokens / usage.seconds if tokens and usage.seconds else None,
        failures=usage.failures,
        retries=usage.retries,
    )


def mean_of(runs: Sequence[Kept]) -> Tally:
    """The mean of each number over the runs that know it; of at least one run."""
    found = [tally(run) for run in runs]

    def mean(name: str) -> Any:
        known = [value for t in found if (value := getattr(t, name)) is not None]
        return sum(known) / len(known) if known else None

    return Tally(**{field.name: mean(field.name) for field in fields(Tally)})


def full_price(run: Kept) -> float | None:
    """USD that the run would have cost without a cache; None where no price is known."""
    saved = run.result.spending.saved.usd if run.result.spending is not None else 0.0
    found = run.result.usage.usd + saved
    return found if found or _priced(run.config) else None


def _priced(config: Config) -> bool:
    """Whether a price of nothing is known to be one."""
    return config.model.price_in is not None or server_of(config) == HERE


def gained(run: Kept) -> tuple[str, Gain] | None:
    """The split, and the gain over the empty prompt on it: test, else dev; None without either."""
    if run.result.gain is not None:
        return "test", run.result.gain
    roles = run.answers.get("dev", {})
    if not {"learned", "empty"} <= set(roles):
        return None
    learned, empty = roles["learned"], roles["empty"]
    count = min(len(learned.labels), len(empty.labels))
    pair = (learned.logprobs[:count], empty.logprobs[:count])
    config = run.config
    return "dev", compare(config.task.metric, pair, learned.labels[:count], config.run.seed)


def per_point(usd: float | None, gain: float | None) -> float | None:
    """USD for each point (a hundredth) of `gain`; None where nothing was gained."""
    if usd is None or gain is None or gain <= 0:
        return None
    return usd / (100 * gain)
