"""Every command by name: where it is, what it says of itself, and an example of it.

Commands are imported when they are called. What ``--help`` says of all of them stands here, so
that it imports none.
"""

from __future__ import annotations

from typing import NamedTuple

from cyclopts import App, Group

from bdpl_async import __version__

__all__ = ["app"]

START = Group("Learn a prompt", sort_key=10)
AFTER = Group("Look at what was learned", sort_key=20)
STUDY = Group("Many runs at once", sort_key=30)
PARTS = Group("One thing at a time", sort_key=40)
MEMORY = Group("What it can do", sort_key=10)
SELF = Group("Options", sort_key=90)

SWEEP = """SWEEP.toml:

  task = "reviews"             # built in, or a TASK.toml relative to this file
  [set]                        # optional: for every cell, over the task
  "optimizer.steps" = 100
  [grid]                       # every combination is a cell; any key of a task
  "task.k_shot" = [4, 8, 16]
  "run.seed" = [0, 1, 2]
  [[cells]]                    # optional: by hand, each with all the grid
  "model.name" = "vllm/tiny"
  [sweep]                      # optional: name, out, and what is drawn
  x = "task.k_shot"
  series = "model.name"

Options win over [set]. OUT holds sweep.csv, sweep.json, sweep.svg (drawn with
the extra `report`) and one RUN_DIR a cell; the same command again goes on
where it stopped.
"""


class _Command(NamedTuple):
    """A command: `place` is module:function, `takes` what stands behind its name."""

    place: str
    takes: str
    group: Group
    help: str
    examples: tuple[str, ...]
    more: str = ""


COMMANDS = {
    "init": _Command(
        "init:init",
        "[DATA] [OPTIONS]",
        START,
        "Look at a data file and write an annotated TASK.toml that runs.",
        ("init tickets.csv", "init data/ --label category --text title --text body --yes"),
    ),
    "run": _Command(
        "run:run",
        "[TASK] [OPTIONS]",
        START,
        "Learn a prompt; without TASK on the built-in example and model, offline.",
        ("run", "run task.toml --max-prompts 8000 --seed 1"),
        "Every option is a key of TASK.toml, in brackets; options win over the file.\n",
    ),
    "estimate": _Command(
        "estimate:estimate",
        "[TASK] [OPTIONS]",
        START,
        "Say what a run would send and cost; nothing is sent.",
        ("estimate task.toml --model openai/gpt-4o-mini --max-usd 5",),
        "It takes the options of the run or the comparison that is to be judged.\n",
    ),
    "resume": _Command(
        "resume:resume",
        "RUN_DIR [OPTIONS]",
        START,
        "Go on with a run that was stopped, killed or crashed.",
        ("resume runs/tickets",),
    ),
    "report": _Command(
        "report:report",
        "RUN_DIR [OPTIONS]",
        AFTER,
        "Write one HTML file about a run or a comparison; it opens offline.",
        ("report runs/tickets -o report.html",),
    ),
    "export": _Command(
        "export:export",
        "RUN_DIR [OPTIONS]",
        AFTER,
        "Give the learned prompt to other tools: text, JSON, OpenAI, promptfoo, DSPy.",
        ("export runs/tickets --format promptfoo",),
    ),
    "eval": _Command(
        "evaluate:evaluate",
        "[TASK] (--prompt TEXT | --run RUN_DIR) [OPTIONS]",
        AFTER,
        "Score one prompt on one split.",
        ('eval reviews --prompt "a film review:" --split test', "eval --run runs/tickets"),
    ),
    "explain": _Command(
        "explain:explain",
        "RUN_DIR [OPTIONS]",
        AFTER,
        "Say what the learned tokens do, and which examples flipped.",
        ("explain runs/tickets --split test --examples 100",),
        "The budget is what is given here; the model is the run's own.\n",
    ),
    "transfer": _Command(
        "transfer:transfer",
        "RUN_DIR... [OPTIONS]",
        AFTER,
        "Score learned prompts on other models, as a matrix.",
        ("transfer runs/a runs/b --model vllm/Qwen/Qwen3-4B",),
        "The budget is what is given here, and holds for each model.\n",
    ),
    "compare": _Command(
        "compare:compare",
        "TASK [OPTIONS]",
        STUDY,
        "Compare models and methods on the same examples and the same budget.",
        (
            "compare reviews --method bdpl --method random --seeds 5",
            "compare task.toml --model openai/gpt-4o-mini --model openai/gpt-4o",
        ),
    ),
    "sweep": _Command(
        "sweep:sweep",
        "SWEEP.toml [OPTIONS]",
        STUDY,
        "Run a grid of runs: data size, budget, method, seed, any key; resumable as a whole.",
        ("sweep examples/sweeps/data-size.toml --seeds 5",),
        SWEEP,
    ),
    "probe": _Command(
        "probe:probe",
        "[TASK] [OPTIONS]",
        PARTS,
        "Ask one model what it can do: read-outs, limits, label tokens.",
        ("probe --model vllm/Qwen/Qwen3-4B --json",),
    ),
    "tasks": _Command(
        "tasks:tasks",
        "[NAME] [OPTIONS]",
        PARTS,
        "List the built-in tasks, or show one in full.",
        ("tasks", "tasks sst2"),
    ),
    "vocab": _Command(
        "vocab:vocab",
        "TASK [OPTIONS]",
        PARTS,
        "Build the candidates of a task, one a line, for stdout or --out FILE.",
        ("vocab reviews --set prompt.vocabulary_size=100",),
    ),
    "group": _Command(
        "group:group",
        "NAME [OPTIONS]",
        STUDY,
        "Make a budget that many processes share, change it, or see what is left of it.",
        ("group team --max-usd 5 --rpm 500", "group team --json"),
    ),
    "completion": _Command(
        "completion:completion",
        "SHELL",
        PARTS,
        "Print a script that completes commands and options in bash, zsh or fish.",
        ('eval "$(bdpl-async completion bash)"',),
        "No file of yours is touched: the script goes to stdout. To have it in every new\n"
        "shell, add the line below to ~/.bashrc; for zsh, with zsh, to ~/.zshrc behind\n"
        "compinit; for fish write it to a file once:\n"
        "  bdpl-async completion fish > ~/.config/fish/completions/bdpl-async.fish\n",
    ),
}
CACHE = {
    "stats": _Command(
        "cache:stats", "[OPTIONS]", MEMORY, "Say what is in the cache.", ("cache stats --json",)
    ),
    "prune": _Command(
        "cache:prune",
        "[OPTIONS]",
        MEMORY,
        "Remove old answers, the oldest first.",
        ("cache prune --older-than 30 --max-mb 500 --dry-run",),
    ),
    "verify": _Command(
        "cache:verify",
        "[OPTIONS]",
        MEMORY,
        "Check the file and every answer; --repair mends it.",
        ("cache verify --repair",),
    ),
}


def _add(app: App, place: int, name: str, below: str = "") -> None:
    """Make the command known to `app`, at this place of its group."""
    command = (CACHE if below else COMMANDS)[name]
    examples = [
        one if one.startswith("eval ") and '"$(' in one else f"bdpl-async {one}"
        for one in command.examples
    ]
    word = "Example" if len(examples) == 1 else "Examples"
    shown = "\n".join(f"  {one}" for one in examples)
    more = f"{command.more}\n" if command.more else ""
    app.command(
        f"bdpl_cli.{command.place}",
        name=name,
        help=command.help,
        usage=f"Usage: bdpl-async {below}{name} {command.takes}",
        help_epilogue=f"{more}{word}:\n{shown}",
        group=command.group,
        sort_key=place,
    )


app = App(
    name="bdpl-async",
    version=__version__,
    help="Learn a prompt for a model that you cannot open, within a budget.",
    help_format="plaintext",
    usage="Usage: bdpl-async COMMAND [OPTIONS]",
    suppress_keyboard_interrupt=False,  # or it would end the process without a word
    help_epilogue="Start with: bdpl-async run\n"
    "Then your own rows: bdpl-async init tickets.csv\n"
    "Each command explains itself: bdpl-async run --help",
)
for _place, _name in enumerate(COMMANDS):
    _add(app, _place, _name)
cache = App(
    name="cache",
    help="Look after the response cache: stats, prune, verify.",
    help_format="plaintext",
    help_epilogue="Example:\n  bdpl-async cache stats",
    group=PARTS,
    sort_key=len(COMMANDS),
)
for _place, _name in enumerate(CACHE):
    _add(cache, _place, _name, "cache ")
app.command(cache)
for _flag in ("--help", "--version"):
    app[_flag].group = SELF
