"""The document of a comparison, comparison.json. Scores and gains are fractions, times seconds.

schema             1
task, metric       of all arms
seeds              of every arm
budget             of every run: requests, prompts, tokens, usd, seconds; null is no limit
examples_sha256    of all examples of all seeds
split, n           what differences are on: test, else dev; examples of each seed
arms               a run an entry, arm by arm, seeds in order:
  model, method, seed, prompt, steps_done, stop_reason
  dev, test        {metric, score, ci95, n, unanswered} or null
  baseline         {dev, test}: the same of the empty prompt
  gain             over the empty prompt {score, ci95, p_value, split}, on test, else dev; null
                   where there is neither
  usage            {requests, prompts, prompt_tokens, completion_tokens, usd, cache_hits,
                   retries, failures, seconds}
  latency          {p50, p95} of the requests; null where none was answered
  tokens_per_second  read and written, over the whole run; null without any
  failures         requests that came to nothing
  usd_per_point    what the run would cost without a cache, for each point gained; null where
                   nothing was gained, or no price is known
  run              its RUN_DIR in this folder
summary            an arm an entry:
  arm, model, method, seeds (how many), searches (whether the method looks for a prompt)
  mean, ci95       of test, or of dev where there is no test
  dev, test        {mean, ci95, n} or null
  gain             {score, ci95, p_value, p_adjusted, real, split}; null for what is no other
                   prompt than the empty one
  prompts, requests, usd, failures, retries, tokens_per_second, latency  means over the runs;
                   usd is as paid, null where no price is known
  usd_per_point    the mean without a cache, for each point of the mean gain; else as above
  best             {prompt, seed, run}: the run with the best dev score
differences        {arm, reference, score, ci95, p_value, p_adjusted, real}: to the first arm,
                   and where the reference is "empty prompt", gains
notes              what a reader of the numbers should know
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from bdpl_async.studies.tally import full_price, gained, mean_of, per_point, tally

if TYPE_CHECKING:
    from bdpl_async.kept import Kept
    from bdpl_async.studies.arms import Arm
    from bdpl_async.studies.comparison import Difference
    from bdpl_async.studies.scoreboard import Row, Scoreboard

__all__ = ["SCHEMA", "document"]

SCHEMA: Final = 1


def document(board: Scoreboard) -> dict[str, Any]:
    """What comparison.json holds."""
    found = [d for row in board.rows for d in (row.against, row.gain) if d is not None]
    return {
        "schema": SCHEMA,
        "task": board.task.name,
        "metric": board.task.metric,
        "seeds": board.seeds,
        "budget": board.task.config.budget.model_dump(),
        "examples_sha256": board.examples_sha256,
        "split": board.split,
        "n": board.n,
        "arms": [_run(row.arm, run) for row in board.rows for run in row.runs],
        "summary": [_row(row, board.split) for row in board.rows],
        "differences": [{**asdict(d), "real": d.real} for d in found],
        "notes": list(board.notes),
    }


def _run(arm: Arm, run: Kept) -> dict[str, Any]:
    result, found = run.result, gained(run)
    gain = None if found is None else {**asdict(found[1]), "split": found[0]}
    return {
        "model": arm.model,
        "method": arm.method,
        "seed": result.seed,
        "dev": None if result.dev is None else asdict(result.dev),
        "test": None if result.test is None else asdict(result.test),
        "baseline": asdict(result.baseline),
        "gain": gain,
        "usage": asdict(result.usage),
        "latency": asdict(result.latency),
        "tokens_per_second": tally(run).tokens_per_second,
        "failures": result.usage.failures,
        "usd_per_point": per_point(full_price(run), gain["score"] if gain else None),
        "prompt": result.prompt,
        "steps_done": result.steps_done,
        "stop_reason": result.stop_reason,
        "run": run.path.name,
    }


def _row(row: Row, split: str | None) -> dict[str, Any]:
    main, took = row.test or row.dev, mean_of(row.runs)
    return {
        "arm": row.arm.name,
        "model": row.arm.model,
        "method": row.arm.method,
        "seeds": len(row.runs),
        "searches": row.searches,
        "mean": None if main is None else main.mean,
        "ci95": None if main is None else main.ci95,
        "dev": None if row.dev is None else asdict(row.dev),
        "test": None if row.test is None else asdict(row.test),
        "gain": None if row.gain is None else _gain(row.gain, split),
        "prompts": took.prompts,
        "requests": took.requests,
        "usd": took.usd,
        "usd_per_point": row.usd_per_point,
        "latency": {"p50": took.p50, "p95": took.p95},
        "tokens_per_second": took.tokens_per_second,
        "failures": took.failures,
        "retries": took.retries,
        "best": {
            "prompt": row.best.result.prompt,
            "seed": row.best.result.seed,
            "run": row.best.path.name,
        },
    }


def _gain(found: Difference, split: str | None) -> dict[str, Any]:
    return {
        "score": found.score,
        "ci95": found.ci95,
        "p_value": found.p_value,
        "p_adjusted": found.p_adjusted,
        "real": found.real,
        "split": split,
    }
