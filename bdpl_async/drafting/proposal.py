"""From data files to a draft of a task: what was seen, what was made of it, and what to say of it.

Knows files, columns and classes; of a model no more than how it reads label words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bdpl_async.data.columns import short
from bdpl_async.drafting.classes import Classes, classes_of, has_labels
from bdpl_async.drafting.labelwords import Key, LabelWords, first_word, label_words
from bdpl_async.drafting.phrasing import Phrasing, phrase
from bdpl_async.drafting.roles import Roles, name_words
from bdpl_async.drafting.sheet import Sheet
from bdpl_async.errors import DataError

__all__ = ["Proposal", "propose"]

TOP = 20  # labels that a server's list of likely tokens can hold
CHARACTERS = 4  # a token, roughly


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was made of the files.

    Attributes:
        sheets: the splits that can be used, train first.
        notes: what a person should know, a sentence each.
    """

    sheets: Mapping[str, Sheet]
    roles: Roles
    classes: Classes
    notes: tuple[str, ...] = field(default=())

    @property
    def train(self) -> Sheet:
        """The rows to learn from."""
        return self.sheets["train"]

    def words(self, name: str, key: Key = first_word) -> LabelWords:
        """A label word for each class.

        Args:
            name: of the task, which may hint at what is asked.
            key: how the model reads a word.
        """
        hints = [
            word
            for source in (self.roles.label, *self.roles.texts, name)
            for word in name_words(source)
        ]
        return label_words(list(self.classes.counts), hints, key)

    def phrasing(self, words: LabelWords) -> Phrasing:
        """Templates for these words."""
        return phrase(
            self.roles.label,
            self.roles.texts,
            [words.meant.get(value) or word for value, word in words.words.items()],
            words.kind,
            list(self.train.columns),
        )

    def too_long(self, window: int) -> str | None:
        """A sentence about texts that a model with a window of so many tokens does not read."""
        longest = sum(
            max(sheet.columns[text].longest for sheet in self.sheets.values())
            for text in self.roles.texts
        )
        if longest <= window * CHARACTERS:
            return None
        return (
            f"the longest row has {longest:,} characters; the model reads {window} tokens, about"
            f" {window * CHARACTERS:,} characters: longer texts are cut"
        )


def propose(sheets: Mapping[str, Sheet], roles: Roles) -> Proposal:
    """What the classes are, and what is odd.

    Args:
        sheets: of the splits there are, train among them.
        roles: of the columns.

    Raises:
        UsageError: the files cannot be a task as they are; says why.
    """
    usable, notes = dict(sheets), []
    for split in ("dev", "test"):
        if split in usable and not has_labels(usable[split], roles.label):
            notes.append(f"{usable[split].path.name} has no labels and is left out")
            del usable[split]
    others = [sheet for split, sheet in usable.items() if split != "train"]
    for sheet in usable.values():
        notes += _checked_texts(sheet, roles.texts)
    classes = classes_of(roles.label, usable["train"], others)
    notes += _about(classes)
    return Proposal(usable, roles, classes, tuple(notes))


def _checked_texts(sheet: Sheet, texts: Sequence[str]) -> list[str]:
    """Notes on the text columns of a file.

    Raises:
        DataError: a row lacks one.
    """
    notes = []
    for text in texts:
        column = sheet.columns.get(text)
        if column is None or column.unusable:
            raise DataError(
                f"{sheet.path}: column {short(text)} is not text in every row",
                hint="every row of every file needs it, as text; or name others with --text",
            )
        if column.empty:
            count = f"{column.empty:,} rows" if column.empty > 1 else "1 row"
            notes.append(f"{sheet.path.name}: column {short(text)} is empty in {count}")
    return notes


def _about(classes: Classes) -> list[str]:
    notes = []
    if classes.spellings:
        listed = ", ".join(
            f"{short(one)} as {short(main)}" for one, main in list(classes.spellings.items())[:3]
        )
        notes.append(f"taken for other spellings of a class: {listed}")
    if len(classes.counts) > TOP:
        notes.append(
            f"{len(classes.counts)} classes: servers that list the {TOP} likeliest tokens alone"
            " cannot tell them all apart; vllm, roberta and openai decisions can"
        )
    notes += [
        f"{short(value)} is taken for a class: if it means that a label is missing, take these rows"
        " out"
        for value in classes.missing
    ]
    if rare := classes.rare:
        listed = ", ".join(map(short, rare[:3])) + (", ..." if len(rare) > 3 else "")
        notes.append(f"a single row has the class {listed}: nothing can be learned of it")
    return notes
