"""Completion scripts for bash, zsh and fish, from one description of the commands.

Each script knows the commands, their options, the values that an option may have, and where files,
folders or names of built-in tasks stand. This module knows shells; it does not know cyclopts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["FILES", "FOLDERS", "NOTHING", "TASKS", "Command", "Flag", "scripts"]

Takes = tuple[str, ...]
FILES: Takes = ("<files>",)
FOLDERS: Takes = ("<folders>",)
TASKS: Takes = ("<tasks>",)
NOTHING: Takes = ("<nothing>",)
"""What an option or a command takes where that is no choice of words."""

PROGRAM = "bdpl-async"


@dataclass(frozen=True, slots=True)
class Flag:
    """An option: its names, and what it takes; empty for a switch."""

    names: tuple[str, ...]
    help: str
    takes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a subcommand under both words; `rest` is what stands behind it."""

    name: str
    help: str
    flags: tuple[Flag, ...]
    rest: tuple[str, ...]


Script = Callable[[Sequence[Command], Sequence[str]], str]


def scripts() -> Mapping[str, Script]:
    """Shell -> what makes its script of the commands and the names of the built-in tasks."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _by_value(commands: Sequence[Command]) -> dict[tuple[str, ...], list[str]]:
    """What is taken -> the options that take it, each as "command option"."""
    found: dict[tuple[str, ...], list[str]] = {}
    for command in commands:
        for flag in command.flags:
            if flag.takes:
                found.setdefault(flag.takes, []).extend(f"{command.name} {n}" for n in flag.names)
    return found


def _by_rest(commands: Sequence[Command]) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for command in commands:
        found.setdefault(command.rest, []).append(command.name)
    return found


def _top(commands: Sequence[Command]) -> list[Command]:
    return [command for command in commands if " " not in command.name]


def _cases(
    table: Mapping[tuple[str, ...], Sequence[str]], act: Callable[[Sequence[str]], str]
) -> str:
    """Branches of a `case` of bash or zsh."""
    lines = []
    for takes, names in table.items():
        patterns = " | ".join(f'"{name}"' for name in names)
        lines.append(f"    {patterns})\n      {act(takes)}; return ;;")
    return "\n".join(lines)


BASH = """\
# Completion of bdpl-async for bash, printed by: bdpl-async completion bash
__bdpl_async_words() {
  local word
  for word in "$@"; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
  done
}
__bdpl_async_paths() {
  local path
  compopt -o filenames 2>/dev/null
  while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen "$1" -- "$cur")
}
_bdpl_async() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local command=${COMP_WORDS[1]} options=
  COMPREPLY=()
  if [[ $cur == "=" ]]; then
    cur=
  elif [[ $prev == "=" ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  if ((COMP_CWORD == 1)); then
    __bdpl_async_words @commands@ --help --version; return
  fi
  case " @groups@ " in
    *" $command "*) ((COMP_CWORD > 2)) && command="$command ${COMP_WORDS[2]}" ;;
  esac
  case "$command $prev" in
@values@
  esac
  case "$command" in
@options@
  esac
  if [[ $cur == -* ]]; then
    __bdpl_async_words $options; return
  fi
  case "$command" in
@rest@
  esac
}
complete -F _bdpl_async bdpl-async
"""


def _bash(commands: Sequence[Command], tasks: Sequence[str]) -> str:
    def act(takes: Sequence[str]) -> str:
        return {
            FILES: "__bdpl_async_paths -f",
            FOLDERS: "__bdpl_async_paths -d",
            TASKS: f"__bdpl_async_words {' '.join(tasks)}; __bdpl_async_paths -f",
            NOTHING: ":",
        }.get(tuple(takes), f"__bdpl_async_words {' '.join(takes)}")

    options = "\n".join(
        f'    "{command.name}") options="{_names(command)}" ;;' for command in commands
    )
    return _filled(BASH, commands, act, options)


ZSH = """\
#compdef bdpl-async
# Completion of bdpl-async for zsh, printed by: bdpl-async completion zsh
_bdpl_async() {
  local command=${words[2]} prev=${words[CURRENT-1]}
  local -a options
  if (( CURRENT == 2 )); then
    options=(
@described@
    )
    _describe command options; return
  fi
  case " @groups@ " in
    *" $command "*) (( CURRENT > 3 )) && command="$command ${words[3]}" ;;
  esac
  if [[ $PREFIX == --*=* ]]; then
    prev=${PREFIX%%=*}
    compset -P '*='
  fi
  case "$command $prev" in
@values@
  esac
  case "$command" in
@options@
  esac
  if [[ $PREFIX == -* ]]; then
    _describe -o option options; return
  fi
  case "$command" in
@rest@
  esac
}
if [[ ${funcstack[1]} == _bdpl_async ]]; then
  _bdpl_async "$@"
else
  compdef _bdpl_async bdpl-async
fi
"""


def _zsh(commands: Sequence[Command], tasks: Sequence[str]) -> str:
    def act(takes: Sequence[str]) -> str:
        return {
            FILES: "_files",
            FOLDERS: "_files -/",
            TASKS: f"compadd -- {' '.join(tasks)}; _files",
            NOTHING: ":",
        }.get(tuple(takes), f"compadd -- {' '.join(takes)}")

    options = []
    for command in commands:
        shown = " ".join(f"'{name}:{flag.help}'" for flag in command.flags for name in flag.names)
        options.append(f'    "{command.name}") options=({shown}) ;;')
    named = "\n".join(f"      '{command.name}:{command.help}'" for command in _top(commands))
    return _filled(ZSH, commands, act, "\n".join(options)).replace("@described@", named)


def _filled(
    script: str, commands: Sequence[Command], act: Callable[[Sequence[str]], str], options: str
) -> str:
    """The parts that bash and zsh have in common, put in their places."""
    groups = dict.fromkeys(c.name.partition(" ")[0] for c in commands if " " in c.name)
    parts = {
        "@commands@": " ".join(command.name for command in _top(commands)),
        "@groups@": " ".join(groups),
        "@values@": _cases(_by_value(commands), act),
        "@options@": options,
        "@rest@": _cases(_by_rest(commands), act),
    }
    for place, text in parts.items():
        script = script.replace(place, text)
    return script


def _names(command: Command) -> str:
    return " ".join(name for flag in command.flags for name in flag.names)


FISH = """\
# Completion of bdpl-async for fish, printed by: bdpl-async completion fish
function __bdpl_async_at
    set -l words (commandline -opc)
    test (count $words) -gt (count $argv); or return 1
    for word in $argv
        set -e words[1]
        test "$words[1]" = "$word"; or return 1
    end
end
function __bdpl_async_only
    set -l words (commandline -opc)
    set -e words[1]
    test "$words" = "$argv"
end
complete -c bdpl-async -f
complete -c bdpl-async -n 'test (count (commandline -opc)) -eq 1' -l help -d 'Say what there is'
complete -c bdpl-async -n 'test (count (commandline -opc)) -eq 1' -l version -d 'Its version'
"""


def _fish(commands: Sequence[Command], tasks: Sequence[str]) -> str:
    values = {
        (): "",
        FILES: "-r -F",
        FOLDERS: "-x -a '(__fish_complete_directories (commandline -ct))'",
        TASKS: f"-F -a '{' '.join(tasks)}'",
        NOTHING: "-x",
    }
    lines = []
    for command in commands:
        *above, name = command.name.split(" ")
        first = f"__bdpl_async_only {' '.join(above)}" if above else FIRST
        lines.append(f"-n '{first}' -a {name} -d '{command.help}'")
        at = f"-n '__bdpl_async_at {command.name}'"
        for flag in command.flags:
            takes = values.get(flag.takes, f"-x -a '{' '.join(flag.takes)}'")
            named = " ".join(_fish_name(name) for name in flag.names)
            lines.append(f"{at} {named} -d '{flag.help}' {takes}".rstrip())
        if command.rest != NOTHING and not _group(command, commands):
            rest = values.get(command.rest, f"-a '{' '.join(command.rest)}'")
            lines.append(f"{at} {rest.replace('-r ', '').replace('-x ', '')}")
    return FISH + "".join(f"complete -c {PROGRAM} {line}\n" for line in lines)


FIRST = "test (count (commandline -opc)) -eq 1"


def _group(command: Command, commands: Sequence[Command]) -> bool:
    """Whether it has subcommands, which are listed with their own help."""
    return any(other.name.startswith(f"{command.name} ") for other in commands)


def _fish_name(name: str) -> str:
    return f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
