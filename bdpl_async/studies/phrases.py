"""Plain phrases that a person might write before a text to be classified.

They belong to no task and name no label, so that they can be tried with any.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bdpl_async.config import builtin_tasks, load_config

__all__ = ["PLAIN", "phrases_for"]

PLAIN: Final = (
    "Read the text and answer:",
    "What is this about?",
    "Decide which word fits best.",
    "Classify the following text.",
    "Here is an example:",
    "In my opinion,",
    "Think carefully before you answer.",
    "The following is true:",
    "Please judge what is said here:",
    "To sum up:",
    "Is this good or bad?",
    "A question and its answer:",
    "I am not sure, but",
)


def phrases_for(manual: str | None, given: Iterable[str] = ()) -> tuple[str, ...]:
    """The phrases to try, each once: those given, the task's own, other tasks' own, plain ones."""
    tables = (load_config(path).prompt for path in builtin_tasks().values())
    found = [*given, manual, *(table.manual for table in tables), *PLAIN]
    return tuple(dict.fromkeys(phrase for phrase in found if phrase))
