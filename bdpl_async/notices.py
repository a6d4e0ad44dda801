"""What a run says beside its own steps: how it begins, and what happened underneath since."""

from __future__ import annotations

from bdpl_async.events import Event, Note, Probed, Started
from bdpl_async.gate import Gate
from bdpl_async.plan import Plan
from bdpl_async.session import Session
from bdpl_async.usable import LOW_MASS

__all__ = ["Notices", "opening"]

FEWEST = 32  # answers before label mass is judged
DECIDED = (
    "{model} is read by its text and shows no probabilities: every loss is 0 or 1, and the search"
    " learns slowly; give it more samples and examples (optimizer.samples, optimizer.batch), or"
    " read the model in another way (--readout)"
)


def opening(session: Session, plan: Plan, steps: int | None) -> list[Event]:
    """The first events of a run: what it is, what the probe found, what had to be cut."""
    task, config, gate = session.task, session.config, session.gate
    found, now = gate.capabilities, gate.elapsed
    started = Started(
        0.0,
        task=task.name,
        model=session.model,
        method=config.optimizer.method,
        seed=config.run.seed,
        train=len(task.train),
        dev=plan.dev,
        test=plan.test,
        steps=steps,
    )
    said = (DECIDED.format(model=session.model),) if found.decides and plan.update else ()
    notes = [Note(now, note) for note in (*found.notes, *said, *plan.notes)]
    return [started, Probed(now, found.batch, task.words, found.readout), *notes]


class Notices:
    """Requests that were sent again, a cache in trouble, a model that expects other words.

    Attributes:
        troubles: of the cache and the budget group, that were told.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.troubles: set[str] = set()
        self._told: dict[object, int] = {}  # notes of cache and group
        self._judged = False
        self._failed = False  # told that texts fail
        self._added: list[str] = []

    def add(self, message: str) -> None:
        """Something that the run itself has to say, after what happened before."""
        self._added.append(message)

    def new(self, now: float) -> list[Event]:
        """What has not been told yet, oldest first, at `now` at the latest."""
        again = self._gate.channel.again
        retries, again.retries = again.retries, []
        added, self._added = self._added, []
        found = (*self._shared(), self._mass(), self._failing(), *added)
        notes = [note for note in found if note is not None]
        return [*retries, *(Note(now, note) for note in notes)]

    def _shared(self) -> list[str]:
        notes: list[str] = []
        for shared in (self._gate.cache, self._gate.channel.group):
            if shared is None:
                continue
            told = self._told.get(shared, 0)
            notes += shared.notes[told:]
            self._told[shared] = len(shared.notes)
            if shared.trouble is not None and shared.trouble not in self.troubles:
                self.troubles.add(shared.trouble)
                notes.append(shared.trouble)
        return notes

    def _failing(self) -> str | None:
        """Once: that texts got no usable answer, and why."""
        if self._failed or self._gate.trouble is None:
            return None
        self._failed = True
        return f"a text got no usable answer and counts as wrong: {self._gate.trouble.args[0]}"

    def _mass(self) -> str | None:
        gate = self._gate
        if self._judged or gate.mass is None or gate.ledger.used.prompts < FEWEST:
            return None
        self._judged = True
        if gate.mass >= LOW_MASS:
            return None
        return (
            f"{gate.channel.name} gives the label words only {gate.mass:.2g} of its probability on"
            " average: end the template so that one of them must follow, or choose words that the"
            " model would say"
        )
