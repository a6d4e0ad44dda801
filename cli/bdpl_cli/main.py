"""The command ``bdpl-async``: commands by name, errors to exit codes.

    0 done · 2 bad usage, configuration or data · 3 the provider refuses · 4 budget too small ·
    130 interrupted, saved

A user never sees a traceback for a mistake of theirs or of a server.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from bdpl_async import __version__
from bdpl_async.errors import BdplError, BudgetExhausted, BudgetTooSmall, ProviderError
from bdpl_cli.plaintext import clean
from bdpl_cli.stdout import silence, take_everything

__all__ = ["app", "main"]

LONGEST = 500  # characters of one line of a message
FAILED = 1  # the machine's fault: a full disk, say
USAGE, REFUSED, TOO_SMALL, INTERRUPTED = 2, 3, 4, 130
UNBUILT = {
    "resume": "go on with a stopped run",
    "report": "one HTML file about a run",
    "export": "the learned prompt for other tools",
    "init": "write an annotated TASK.toml",
}
SWEEP = """SWEEP.toml:

  task = "reviews"             # built in, or a TASK.toml relative to this file
  [set]                        # optional: for every cell, over the task
  "optimizer.steps" = 100
  [grid]                       # every combination is a cell; any key of a task
  "task.k_shot" = [4, 8, 16]
  "run.seed" = [0, 1, 2]
  [[cells]]                    # optional: picked by hand, each with all the grid
  "model.name" = "vllm/tiny"
  [sweep]                      # optional: name, out, and what is drawn
  x = "task.k_shot"
  series = "model.name"

Options win over [set]. OUT holds sweep.csv, sweep.json, sweep.svg (drawn with
the extra `report`) and one RUN_DIR a cell; the same command again goes on
where it stopped.

Example: bdpl-async sweep examples/sweeps/data-size.toml --seeds 5"""

app = App(
    name="bdpl-async",
    version=__version__,
    help="Learn a prompt for a model that you cannot open, within a budget.",
    help_format="plaintext",
    help_epilogue="Start with: bdpl-async run",
)
# Commands are imported when they are called; their one-line help stands here, so --help stays fast.
app.command(
    "bdpl_cli.run:run",
    help="Learn a prompt; without TASK on the built-in example and model, offline.",
    help_epilogue="Example: bdpl-async run task.toml --max-prompts 8000 --seed 1",
)
app.command(
    "bdpl_cli.evaluate:evaluate",
    name="eval",
    help="Score one prompt on one split.",
    help_epilogue='Example: bdpl-async eval reviews --prompt "a film review:" --split test',
)
app.command(
    "bdpl_cli.compare:compare",
    help="Compare models and methods on the same examples and the same budget.",
    help_epilogue="Example: bdpl-async compare reviews --method bdpl --method random --seeds 5",
)
app.command(
    "bdpl_cli.sweep:sweep",
    help="Run a grid of runs: data size, budget, method, seed, any key; resumable as a whole.",
    help_epilogue=SWEEP,
)
app.command(
    "bdpl_cli.vocab:vocab",
    help="Build the candidates of a task, one a line, for stdout or --out FILE.",
    help_epilogue="Example: bdpl-async vocab reviews --set prompt.vocabulary_size=100",
)
app.command(
    "bdpl_cli.tasks:tasks",
    help="List the built-in tasks.",
    help_epilogue="Example: bdpl-async tasks --json",
)
app.command(
    "bdpl_cli.estimate:estimate",
    help="Say what a run would send and cost; nothing is sent.",
    help_epilogue="Example: bdpl-async estimate task.toml --model openai/gpt-4o-mini --max-usd 5",
)
app.command(
    "bdpl_cli.probe:probe",
    help="Ask one model what it can do: read-outs, limits, label tokens.",
    help_epilogue="Example: bdpl-async probe --model vllm/Qwen/Qwen3-4B --json",
)
app.command(
    "bdpl_cli.transfer:transfer",
    help="Score learned prompts on other models, as a matrix.",
    help_epilogue="Example: bdpl-async transfer runs/a runs/b --model vllm/Qwen/Qwen3-4B",
)
app.command(
    "bdpl_cli.explain:explain",
    help="Say what the learned tokens do, and which examples flipped.",
    help_epilogue="Example: bdpl-async explain runs/tickets --split test --examples 100",
)
cache = App(name="cache", help="Look after the response cache.", help_format="plaintext")
cache.command("bdpl_cli.cache:stats", help="Say what is in the cache.")
cache.command(
    "bdpl_cli.cache:prune",
    help="Remove old answers, the oldest first.",
    help_epilogue="Example: bdpl-async cache prune --older-than 30 --max-mb 500",
)
cache.command("bdpl_cli.cache:verify", help="Check the file and every answer; --repair mends it.")
app.command(cache)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    take_everything()
    sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _run(arguments: list[str]) -> int:
    if arguments and arguments[0] in UNBUILT:
        return _fail(f"{arguments[0]} is not built yet ({UNBUILT[arguments[0]]})", USAGE)
    if strange := next((a for a in arguments if any("\ud800" <= c <= "\udfff" for c in a)), None):
        return _fail(f"{strange!r}: not UTF-8 text", USAGE)
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, BdplError, KeyboardInterrupt, OSError) as error:
        return _failed(error)
    return code if isinstance(code, int) else 0


def _failed(error: CycloptsError | BdplError | KeyboardInterrupt | OSError) -> int:
    """What a person reads of an error, and the exit code it stands for."""
    match error:
        case CycloptsError():
            return _fail(f"{error}\n  see bdpl-async --help", USAGE)
        case BdplError():
            return _fail(str(error), _code(error))
        case KeyboardInterrupt():
            return _fail("interrupted", INTERRUPTED)
        case BrokenPipeError():  # as in `bdpl-async tasks | head`: nobody reads on
            silence()
            return 0
        case OSError():
            return _fail(f"{error.filename or 'output'}: {error.strerror}", FAILED)


def _code(error: BdplError) -> int:
    if isinstance(error, BudgetTooSmall | BudgetExhausted):
        return TOO_SMALL
    return REFUSED if isinstance(error, ProviderError) else USAGE


def _fail(message: str, code: int) -> int:
    """Say on stderr, in short lines that no terminal obeys, what is the matter."""
    lines = [clean(line) for line in f"bdpl-async: {message}".splitlines()]
    for line in lines:
        print(line if len(line) <= LONGEST else line[: LONGEST - 3] + "...", file=sys.stderr)
    return code
