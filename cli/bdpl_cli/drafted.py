"""What `init` makes of data: the files found, the TASK.toml written and checked, and what to say.

Nothing is sent anywhere; a tokenizer on this machine tells which label words a model can read.
"""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bdpl_async.data.columns import short
from bdpl_async.drafting.draft import Draft
from bdpl_async.drafting.holdout import FEWEST, hold_out
from bdpl_async.drafting.labelwords import LabelWords, bare_number, first_word
from bdpl_async.drafting.proposal import Proposal, propose
from bdpl_async.drafting.roles import (
    Roles,
    guess_roles,
    label_columns,
    lone_label,
    not_used,
    text_columns,
)
from bdpl_async.drafting.sheet import Sheet, look_at
from bdpl_async.errors import ConfigError, UsageError
from bdpl_cli.asker import Asker
from bdpl_cli.commacopy import about_copies, drop_copies, with_commas
from bdpl_cli.datafound import Found, find_data, free_hint, prefix, refuse_taken, remove
from bdpl_cli.options import InitOptions
from bdpl_cli.plaintext import clean
from bdpl_cli.wordkeys import BUILTIN, MASKED, WINDOWS, word_key

__all__ = ["Drafted", "drafted"]

PROMPTS = 8000  # the paper's budget
TESTED = 1000  # test rows beyond which the budget is not raised for them
CHECKED = 5000  # train rows up to which candidates are drawn as well
CHOICES = 9
SHOWN = 8  # classes in a line
UNTESTED = "no test set: the dev score flatters a little, since dev chooses the prompt"
WIDTH = 79
NAME = 10


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was written.

    Attributes:
        sizes: rows per split that has a file.
        notes: what a person should know, a sentence each.
    """

    out: Path
    draft: Draft
    proposal: Proposal
    sizes: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())

    def lines(self) -> Iterator[str]:
        """For a person: what was guessed, and what to do next."""
        draft, roles = self.draft, self.proposal.roles
        yield from _wrapped(f"wrote {self.out} from {draft.origin}")
        yield from _told("label", f"{roles.label}: {_counted(draft.classes.counts)}")
        yield from _told("texts", ", ".join(roles.texts))
        yield from _told("words", self._words())
        if rest := not_used(self.proposal.train, roles):
            yield from _told("not used", rest)
        yield from _told("template", draft.template)
        yield from _told("metric", draft.classes.metric)
        yield from _told("rows", self._splits())
        yield from _told("model", draft.model)
        yield from _told("budget", f"{draft.prompts:,} prompts")
        for note in self.notes:
            yield from _wrapped(f"note: {note}")
        task = shlex.quote(str(self.out))
        yield "change in it what is wrong, or name other columns with --label and --text; then"
        yield f"  bdpl-async estimate {clean(task)}"
        yield f"  bdpl-async run {clean(task)}"

    def _words(self) -> str:
        words = list(self.draft.words.words.items())
        shown = [
            word.strip() if value.lower() == word.strip() else f"{value} is {word.strip()}"
            for value, word in words[:SHOWN]
        ]
        more = len(words) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def _splits(self) -> str:
        parts = [
            f"{name} {count:,} ({self.draft.files[name]})" for name, count in self.sizes.items()
        ]
        return ", ".join(parts) + ("" if "dev" in self.sizes else "; dev is cut from train")


def drafted(data: Path | None, wish: InitOptions) -> Drafted:
    """Look, ask what is unclear, write, and check by loading.

    Raises:
        UsageError: the data cannot be a task as they are, or a file is in the way; nothing new is
            left behind.
    """
    refuse_taken([wish.out], free_hint(wish.out))
    if not wish.out.absolute().parent.is_dir():
        raise ConfigError(f"--out {wish.out}: its folder is not there", hint="make it first")
    asker = Asker(silent=wish.yes)
    found = find_data(data, wish.out, asker)
    try:
        return _drafted(found, wish, asker)
    except UsageError as error:
        remove(found.made)
        hint = error.hint and found.called(error.hint)
        raise type(error)(found.called(str(error.args[0])), hint=hint) from None
    except BaseException:
        remove(found.made)
        raise


def _drafted(found: Found, wish: InitOptions, asker: Asker) -> Drafted:
    found = with_commas(found, wish.out)
    sheets = {split: look_at(file) for split, file in found.files.items()}
    roles, doubts = _roles(sheets["train"], wish, asker)
    proposal = propose(sheets, roles)
    model = wish.model or asker.text("which model, as PROVIDER/NAME?", BUILTIN)
    key, missing = word_key(model)
    words = proposal.words(found.name, key)
    files, sizes = _splits(proposal, found, wish)
    draft = Draft(
        name=found.name,
        origin=f"{found.origin} ({sheets['train'].rows:,} rows)",
        files={split: _relative(file, wish.out) for split, file in files.items()},
        label=roles.label,
        classes=proposal.classes,
        words=words,
        phrasing=proposal.phrasing(words),
        model=model,
        base_url=wish.base_url,
        prompts=_budget(sizes.get("test", 0)),
        causal=model.partition("/")[0] not in MASKED,
    )
    _write(draft, wish.out, found.made, sizes["train"])
    window = proposal.too_long(WINDOWS[model]) if model in WINDOWS else None
    untested = None if "test" in sizes else UNTESTED
    about = _about_words(words, model, known=key is not first_word)
    told = (*doubts, *proposal.notes, untested, window, missing, about, _about_numbers(words))
    notes = [found.called(note) for note in told if note]
    copied = about_copies(found, [*files.values()])
    return Drafted(wish.out, draft, proposal, sizes, (*copied, *notes))


def _roles(train: Sheet, wish: InitOptions, asker: Asker) -> tuple[Roles, list[str]]:
    """The roles of the columns, after what was unclear has been asked, and what stayed unclear."""
    roles = guess_roles(train, wish.label, wish.text)
    doubts = []
    if not roles.sure_label:
        columns = label_columns(train, wish.text)[:CHOICES]
        roles = guess_roles(train, asker.choice("which column is the label?", columns), wish.text)
        if asker.silent and columns[1:]:
            doubts.append(_doubt("label", columns))
    if not roles.sure_texts:
        columns = text_columns(train, roles.label)[:CHOICES]
        text = asker.choice("which column is the text?", columns)
        roles = replace(roles, texts=(text,))
        if asker.silent:
            doubts.append(_doubt("text", columns))
    if wish.label is None and (lone := lone_label(train, roles.label)):
        doubts.append(
            f"column {short(lone[0])} holds {short(lone[1])} alone, so there is nothing to learn of"
            f" it; {short(roles.label)} is taken as the label instead"
        )
    return roles, doubts


def _doubt(role: str, columns: Sequence[str]) -> str:
    others = " or ".join(map(short, columns[1:4]))
    return f"{short(columns[0])} as the {role} is a guess; it might be {others}: see --{role}"


def _splits(
    proposal: Proposal, found: Found, wish: InitOptions
) -> tuple[dict[str, Path], dict[str, int]]:
    """The files of the task and their rows; with a test set cut from a single file."""
    files = {split: found.files[split] for split in proposal.sheets}
    sizes = {split: sheet.rows for split, sheet in proposal.sheets.items()}
    if set(files) != {"train"} or not wish.split or sizes["train"] < FEWEST:
        return files, sizes
    begin = f"{prefix(found.name, wish.out)}-"
    new = {split: wish.out.parent / f"{begin}{split}.csv" for split in ("train", "test")}
    refuse_taken([*new.values()], f"{free_hint(wish.out)}; or --no-split cuts no files")
    found.made.extend(new.values())
    held = hold_out(proposal.train, proposal.roles, new)
    if not held:
        return files, sizes
    drop_copies(found)
    return new, held


def _budget(test: int) -> int:
    """Prompts: the usual ones, and more where many test rows have to be scored."""
    more = 2 * max(0, min(test, TESTED) - TESTED // 2)
    return PROMPTS + -(-more // 100) * 100


def _relative(file: Path, out: Path) -> str:
    """The path of `file` as the TASK.toml says it."""
    try:
        found = Path(os.path.relpath(file.absolute(), out.absolute().parent)).as_posix()
    except ValueError:  # another drive
        return file.absolute().as_posix()
    return f"./{found}" if found.startswith("~") else found


def _write(draft: Draft, out: Path, made: list[Path], rows: int) -> None:
    """Write the file and load it as a run would.

    Raises:
        UsageError: it cannot be written, or does not load.
    """
    from bdpl_async.task import Task

    try:
        with out.open("x", encoding="utf-8", newline="\n") as file:
            made.append(out)
            file.write(draft.toml())
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}") from None
    task = Task.from_toml(out)
    if rows <= CHECKED:
        task.vocabulary()


def _about_words(words: LabelWords, model: str, *, known: bool) -> str | None:
    """What a person should know of the label words; whether the model's tokens are `known`."""
    if known and not words.apart:
        return (
            f"{model} cannot tell words for these {len(words.words)} classes apart: take another"
            " model, or write words of one token each in [task.labels]"
        )
    if any(words.meant.values()):
        listed = [
            f"{word.strip()} for {short(value)}"
            for value, word in words.words.items()
            if words.meant.get(value)
        ]
        more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
        why = (
            f"{model} has no token of its own for some classes"
            if known
            else "the words of some classes begin alike"
        )
        other = "; another model may read the words themselves: see [task.labels]" if known else ""
        return f"{why}; stand-ins: {', '.join(listed[:SHOWN])}{more}{other}"
    return None


def _about_numbers(words: LabelWords) -> str | None:
    """What to look at where the classes are numbers, whose meaning is a guess."""
    if not all(map(bare_number, words.words)):
        return None
    if words.kind == "topic":
        return "the labels are numbers: say in [task.labels] what each of them means"
    means = [f"{value} means {word.strip()}" for value, word in words.words.items()]
    listed = f"{', '.join(means[:-1])} and {means[-1]}"
    return f"the labels are numbers: see whether {listed}; [task.labels] says so"


def _counted(counts: Mapping[str, int]) -> str:
    shown = [f"{value} {count:,}" for value, count in list(counts.items())[:SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(clean(text), WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _told(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        clean(text),
        WIDTH,
        initial_indent=f"  {name:{NAME}}",
        subsequent_indent=" " * (NAME + 2),
        max_lines=4,
        break_on_hyphens=False,
        placeholder=" ...",
    )
