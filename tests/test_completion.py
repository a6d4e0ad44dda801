"""Shell completion: scripts that each shell accepts, and what they complete."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bdpl_async.config import BUILTIN
from bdpl_cli.commands import app
from bdpl_cli.completion import described
from bdpl_cli.shells import scripts
from tests.workbench import command

Capsys = pytest.CaptureFixture[str]
SHELLS = ("bash", "zsh", "fish")
METHODS = ["bdpl", "bdpl-paper", "manual", "empty", "calibration", "random", "greedy"]
LINES: list[tuple[str, set[str], set[str]]] = [
    ("e", {"eval", "estimate", "explain", "export"}, {"run"}),
    ("ru", {"run"}, {"eval"}),
    ("cache ", {"stats", "prune", "verify"}, {"run"}),
    ("cache st", {"stats"}, {"prune"}),
    ("run --max-r", {"--max-requests"}, {"--max-tokens", "--rpm"}),
    ("run --method ", set(METHODS), {"--model", "reviews"}),
    ("run reviews --seed 0 --method b", {"bdpl", "bdpl-paper"}, {"random"}),
    ("run --ui ", {"auto", "rich", "plain", "json", "none"}, {"bdpl"}),
    ("eval reviews --readout lo", {"logprobs"}, {"chat"}),
    ("run re", {"reviews"}, {"sst2"}),
    ("run ", set(BUILTIN), {"--model"}),
    ("cache prune --o", {"--older-than"}, {"--repair"}),
    ("completion ", set(SHELLS), {"run"}),
    ("explain --s", {"--split", "--set"}, {"--seed", "--steps"}),
    ("eval --split ", {"train", "dev", "test"}, set()),
    ("run --seed ", set(), {"reviews", "--model"}),
]
each_line = pytest.mark.parametrize(("line", "there", "not_there"), LINES)


def shell(name: str) -> str:
    """The shell's program, or a skip."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


Scripts = Callable[[str], Path]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    """The script of a shell, as a file."""
    folder, commands = tmp_path_factory.mktemp("scripts"), list(described(app))

    def written(name: str) -> Path:
        path = folder / f"completion.{name}"
        path.write_text(scripts()[name](commands, BUILTIN))
        return path

    return written


def printed(arguments: Sequence[str | Path], folder: Path) -> list[str]:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def check(found: set[str], there: set[str], not_there: set[str]) -> None:
    assert there <= found
    assert not not_there & found


@pytest.mark.parametrize("name", SHELLS)
def test_valid(name: str, script: Scripts, tmp_path: Path) -> None:
    """The shell itself finds no fault with its script, and loads it in silence."""
    program, path = shell(name), script(name)
    assert printed([program, "-n", path], tmp_path) == []
    if name != "zsh":  # which has compdef in interactive shells alone
        assert printed([program, "-c", f"source {path}"], tmp_path) == []


BASH = """source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_bdpl_async
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(script: Scripts, folder: Path, *words: str) -> set[str]:
    arguments: list[str | Path] = [
        shell("bash"),
        "-c",
        BASH,
        "bash",
        script("bash"),
        "bdpl-async",
        *words,
    ]
    return {line for line in printed(arguments, folder) if line}


@each_line
def test_bash(
    line: str, there: set[str], not_there: set[str], script: Scripts, tmp_path: Path
) -> None:
    """bash completes commands, options, their values and the names of tasks."""
    check(bash(script, tmp_path, *line.split(" ")), there, not_there)


def test_bash_files(script: Scripts, tmp_path: Path) -> None:
    """bash completes files and folders where they belong, spaces in names included."""
    (tmp_path / "my runs").mkdir()
    (tmp_path / "my task.toml").write_text("")
    assert bash(script, tmp_path, "run", "my") == {"my runs", "my task.toml"}
    assert bash(script, tmp_path, "explain", "my") == {"my runs"}
    assert bash(script, tmp_path, "run", "--data", "my") == {"my runs"}
    assert bash(script, tmp_path, "run", "--method", "=", "ra") == {"random"}


ZSH = """
compdef() { : }
_describe() { while [[ $1 == -* ]]; do shift; done; print -l -- ${${(P)2}%%:*} }
_files() { print -l -- files $@ }
compadd() { shift; print -l -- $@ }
compset() { PREFIX=${PREFIX#*=} }
source "$1"; shift
words=("$@"); CURRENT=$#; PREFIX=$words[-1]
_bdpl_async
"""


@each_line
def test_zsh(
    line: str, there: set[str], not_there: set[str], script: Scripts, tmp_path: Path
) -> None:
    """zsh is offered the same; it leaves out by itself what does not begin as typed."""
    words = ["bdpl-async", *line.split(" ")]
    found = printed([shell("zsh"), "-f", "-c", ZSH, "zsh", script("zsh"), *words], tmp_path)
    check({one for one in found if one.startswith(words[-1])}, there, not_there)


@each_line
def test_fish(
    line: str, there: set[str], not_there: set[str], script: Scripts, tmp_path: Path
) -> None:
    """fish completes commands, options, their values and the names of tasks."""
    asked = f'source {script("fish")}; complete -C "bdpl-async {line}"'
    found = printed([shell("fish"), "--no-config", "-c", asked], tmp_path)
    check({one.partition("\t")[0] for one in found}, there, not_there)


def test_bash_knows_everything(capsys: Capsys) -> None:
    """Every command of the command line is described, with every option that its help lists."""
    commands = {one.name: one for one in described(app)}
    assert {name for name in app if not name.startswith("-")} <= set(commands)
    for name, one in commands.items():
        lines = command(capsys, *name.split(), "--help").out.splitlines()
        listed = {word for line in lines if line.startswith("│ -") for word in line.split()[1:3]}
        listed = {word.rstrip(",") for word in listed if word.startswith("-")}
        assert listed - {"--version"} <= {known for flag in one.flags for known in flag.names}
        assert all(listed & set(flag.names) for flag in one.flags if flag.names != ("--help",))


def test_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    """The command writes to stdout and nowhere else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert command(capsys, "completion", "bash").out.startswith("# Completion of bdpl-async")
    assert list(tmp_path.iterdir()) == []
    assert command(capsys, "completion", "tcsh").code == 2
