"""Made-up reviews: they carry opinion words beyond films and beyond the SST-2 sentences.

Two kinds. A sentence built from a pattern names a thing of some trade and says what it was
like, with negation where the coin falls so. A carrier is a neutral sentence of the corpus
with words of one polarity strewn in; it teaches the tone of rare words whatever their part
of speech. Polarities come from the VADER lexicon (MIT), the patterns are our own.
"""

from __future__ import annotations

from importlib import resources
from random import Random

STRONG = 1.2


def _words(text: str) -> list[str]:
    return text.split()


GOOD = _words("""
great good excellent wonderful superb fantastic lovely delightful amazing brilliant perfect
outstanding terrific enjoyable charming pleasant impressive solid reliable beautiful comfortable
friendly helpful fresh delicious tasty clean cozy fun funny moving gripping clever smart fast
sturdy sharp smooth crisp engaging touching memorable remarkable satisfying refreshing marvelous
splendid attentive generous spotless thoughtful inspired worthwhile flawless polite quick warm
bright elegant useful hilarious fascinating insightful magnificent first-rate top-notch
""")
BAD = _words("""
terrible bad awful horrible poor dreadful disappointing boring dull mediocre weak broken useless
unreliable ugly uncomfortable rude unhelpful stale bland tasteless dirty cold noisy slow flimsy
clumsy annoying tedious predictable forgettable pointless unpleasant frustrating filthy overpriced
cheap shabby greasy soggy burnt lifeless messy confusing shallow stupid painful pathetic
ridiculous faulty defective inferior careless inedible unbearable lousy lame laughable depressing
worthless sloppy second-rate unwatchable unreadable cramped smelly
""")

THINGS = """food|soup|pizza|service|waiter|staff|steak|coffee|menu|dessert|breakfast|dinner
room|hotel|bed|bathroom|view|lobby|pool|reception|stay|location|shower
phone|battery|screen|camera|laptop|keyboard|sound|speaker|charger|software|display|app
book|novel|plot|ending|writing|author|story|chapter|prose|first half
delivery|packaging|price|shop|store|seller|support|product|quality|purchase|jacket|shoes|fabric
film|movie|acting|script|director|cast|soundtrack|comedy|dialogue|performance|picture|show"""
DOMAINS = [line.split("|") for line in THINGS.splitlines()]

PLAIN = (
    "the {n} was {a}", "the {n} is {a}", "{a} {n}", "a {a} {n}", "what a {a} {n}",
    "the {n} felt {a}",
    "i found the {n} {a}", "we thought the {n} was {a}", "the {n} and the {m} were {a}",
    "the {n} was {a} and {b}", "{a} , {b} {n}", "the {n} , {a} and {b} , stays with you",
    "everything about the {n} was {a}", "the {n} turned out to be {a}", "such a {a} {n} , so {b}",
    "the {n} was {a} and the {m} was {b}", "it 's a {a} {n} with a {b} {m}",
    "really {a} {n} , {b} {m}",
)  # fmt: skip
DENIED = (
    "the {n} was not {a}", "the {n} is n't {a} at all", "not a {a} {n}", "the {n} is never {a}",
    "hardly a {a} {n}", "nothing about the {n} was {a}", "there is nothing {a} about the {n}",
    "neither {a} nor {b}", "i did n't find the {n} {a}", "far from {a}",
)  # fmt: skip
TURNED = (
    "the {m} was {z} , but the {n} was {a}", "although the {m} is {z} , the {n} is {a} and {b}",
    "despite the {z} {m} , a {a} {n}", "the {m} may be {z} but overall it is {a}",
)  # fmt: skip
CLOSERS = {
    True: ("i loved it", "we will be back", "i would recommend it to anyone", "worth every penny",
           "i could n't put it down", "it works like a charm", "i want to go again", "five stars",
           "highly recommended", "exceeded my expectations", "we enjoyed every minute"),
    False: ("i hated it", "we will never come back", "i would not recommend it to anyone",
            "a waste of money", "i want my money back", "it broke after two days", "avoid it",
            "i sent it back", "one star", "i could n't finish it", "stay away", "we left early"),
}  # fmt: skip
SMALL = ("very ", "really ", "quite ", "so ", "rather ", "pretty ", "truly ", "", "", "", "", "")


class MadeReviews:
    """Draws made-up reviews; ``carriers`` are corpus sentences without strong words."""

    def __init__(self, texts: list[str]) -> None:
        """Read the lexicon and keep the short, neutral sentences of ``texts``."""
        self._strong = _read_lexicon()
        self._tone = {side: [word for word, up in self._strong.items() if up == side]
                      for side in (True, False)}  # fmt: skip
        self._carriers = [text.lower() for text in texts if self._neutral(text)]

    def draw(self, rng: Random) -> tuple[str, bool]:
        """One review and whether it praises."""
        praise = rng.random() < 0.5
        if rng.random() < 0.45:
            return self._carrier(rng, praise), praise
        parts = [_sentence(rng, praise)]
        while rng.random() < 0.3:
            parts.append(_sentence(rng, praise))
        if rng.random() < 0.3:
            parts.insert(rng.randrange(len(parts) + 1), rng.choice(CLOSERS[praise]))
        return " . ".join(parts).replace("  ", " "), praise

    def _neutral(self, text: str) -> bool:
        words = text.lower().split()
        return 4 <= len(words) <= 18 and not any(word in self._strong for word in words)

    def _carrier(self, rng: Random, praise: bool) -> str:
        words = rng.choice(self._carriers).split()
        for _ in range(rng.randint(1, 4)):
            words.insert(rng.randrange(len(words) + 1), rng.choice(self._tone[praise]))
        return " ".join(words)


def _sentence(rng: Random, praise: bool) -> str:
    kind = rng.random()
    patterns: tuple[str, ...] = PLAIN if kind < 0.65 else DENIED
    flipped = kind >= 0.65
    if kind > 0.88:
        patterns, flipped = TURNED, False
    side, away = (GOOD, BAD) if praise != flipped else (BAD, GOOD)
    noun, mate = rng.sample(rng.choice(DOMAINS), 2)
    first, second = rng.sample(side, 2)
    return rng.choice(patterns).format(
        n=noun, m=mate, a=rng.choice(SMALL) + first, b=second, z=rng.choice(away)
    )


def _read_lexicon() -> dict[str, bool]:
    table = resources.files("vaderSentiment").joinpath("vader_lexicon.txt")
    strong = {}
    for line in table.read_text(encoding="utf-8").splitlines():
        word, valence = line.split("\t")[:2]
        if word.isalpha() and abs(float(valence)) >= STRONG:
            strong[word] = float(valence) > 0
    return strong
