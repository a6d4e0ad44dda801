"""A model with a known truth: no network, no weights, answers at once.

It is a real provider, for tests, for benchmarks of searches, and for trying out a budget. Two
things decide its answer. The *evidence* of the words says which label is right. Their *utility*
says how well the model listens, ``sigmoid(bias + sum of utilities)``: as far as it does, its
log-odds follow the evidence, and as far as it does not, they lean to the last label. So the best
prompt is known, the token of highest utility at every position, and any search can be measured
against it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence

from bdpl_async.errors import ConfigError
from bdpl_async.records import Reply, Request, Score, Text, Usage
from bdpl_async.scorer import Capabilities
from bdpl_providers import Connection

__all__ = ["Simulated", "from_connection"]

FAVOURABLE = (
    "good best better enjoy enjoyed love loved like lovely fine happy well perfect perfectly nice"
    " superb warm easy clean fresh friendly kind honest clear bright quick comfortable reliable"
    " brilliant delight delighted wonderful excellent charming recommend worth glad gem"
)
ADVERSE = (
    "bad worst worse poor boring hate hated dull broken dirty cold rude slow late loud wrong waste"
    " avoid awful sad never refund cheap noisy stale weak useless failed fails disappointing"
    " disappointed mess ugly bland overpriced broke rubbish tedious"
)
SENTIMENT = {**dict.fromkeys(FAVOURABLE.split(), 1.0), **dict.fromkeys(ADVERSE.split(), -1.0)}
WORD = re.compile(r"\w+")
STRENGTH = 3.0  # half the log-odds of a text with all its evidence, listened to in full
PREJUDICE = 0.7  # half the log-odds for the last label, of a model that does not listen


class Simulated:
    """A scorer whose truth can be looked up.

    Args:
        model: names the truth: another name is another assignment of utilities.
        utility: worth of one word for listening; None derives it from model and word.
        evidence: how much one word speaks for the last label against the first; None takes a
            short list of English words of praise and blame.
        bias: what `sigmoid` gets before any word.
    """

    def __init__(
        self,
        model: str = "default",
        *,
        utility: Callable[[str], float] | None = None,
        evidence: Callable[[str], float] | None = None,
        bias: float = -2.0,
    ) -> None:
        self.model = model
        self.capabilities = Capabilities(batch=64, local=True, exact=True)
        self._utility = utility or self._drawn
        self._evidence = evidence or _sentiment
        self._bias = bias

    @property
    def name(self) -> str:
        """``simulated/<model>``."""
        return f"simulated/{self.model}"

    async def score(self, request: Request) -> Reply:
        """Label log-probabilities by the truth; they sum to one."""
        scores = [self._score(text, len(request.labels)) for text in request.texts]
        return Reply(scores, Usage(prompt_tokens=sum(await self.count(request.texts))))

    async def count(self, texts: Sequence[Text], labels: tuple[str, ...] = ()) -> list[int]:
        """A token is a word."""
        return [len(WORD.findall(f"{text.before} {text.after}")) for text in texts]

    def _score(self, text: Text, classes: int) -> Score:
        words = WORD.findall(text.before.lower())
        worth = self._bias + sum(map(self._utility, words))
        listening = (1 + math.tanh(worth / 2)) / 2  # the sigmoid that cannot overflow
        evidence = math.tanh(sum(map(self._evidence, words)))
        odds = STRENGTH * listening * evidence + PREJUDICE * (1 - listening)
        # One number orders all labels: the last gains what the first loses.
        logits = [odds * (2 * label / (classes - 1) - 1) for label in range(classes)]
        return Score(_log_softmax(logits), mass=1.0)

    def _drawn(self, word: str) -> float:
        """A fixed draw for each word: one in eight helps, one in eight harms, the rest are idle."""
        digest = hashlib.sha256(f"{self.model}\0{word}".encode()).digest()
        return {0: 1.0, 1: -1.0}.get(digest[0] % 8, 0.0) * (0.5 + digest[1] / 255)


def from_connection(connection: Connection) -> Simulated:
    """The provider's entry point.

    Raises:
        ConfigError: a server is named.
    """
    if connection.base_url is not None:
        raise ConfigError(
            f"model.base_url: simulated/{connection.model} runs here, there is no server",
            hint="leave it out, or take another provider",
        )
    return Simulated(connection.model)


def _sentiment(word: str) -> float:
    return SENTIMENT.get(word, 0.0)


def _log_softmax(logits: Sequence[float]) -> tuple[float, ...]:
    top = max(logits)
    total = top + math.log(sum(math.exp(value - top) for value in logits))
    return tuple(value - total for value in logits)
