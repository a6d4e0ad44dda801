"""English function words: they hold sentences together and say nothing of a task.

Pieces of contractions ("n't", "'s" as "s") are in the list, because public data sets split them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["STOP_WORDS"]

_ARTICLES = "a an the this that these those such each every either neither both all any some"
_PRONOUNS = (
    "i me my mine myself you your yours yourself yourselves he him his himself she her hers "
    "herself it its itself we us our ours ourselves they them their theirs themselves one one's "
    "who whom whose which what someone anyone everyone something anything everything"
)
_PREPOSITIONS = (
    "of in on at by for with from to into onto upon about above across after against along among "
    "around as before behind below beneath beside between beyond down during inside near off out "
    "outside over per since than through throughout till toward towards under until up via "
    "within without"
)
_CONJUNCTIONS = (
    "and or but nor so yet if then else because while though although unless whereas whether "
    "when whenever where wherever why how"
)
_VERBS = (
    "am is are was were be been being do does did doing done have has had having can could may "
    "might must shall should will would ought"
)
_ADVERBS = (
    "not no there here also just only too very now again once ever even still already rather "
    "quite much many more most other another own same few further however therefore thus hence"
)
_CONTRACTIONS = (
    "aren't can't cannot couldn't didn't doesn't don't hadn't hasn't haven't isn't mustn't "
    "needn't shan't shouldn't wasn't weren't won't wouldn't i'm i've i'd i'll you're you've you'd "
    "you'll he's he'd he'll she's she'd she'll it's it'd it'll we're we've we'd we'll they're "
    "they've they'd they'll that's that'd that'll there's here's who's what's where's how's let's "
    "n't s t d m ll re ve ca wo ai ain't"
)

STOP_WORDS: Final[frozenset[str]] = frozenset(
    " ".join(
        (_ARTICLES, _PRONOUNS, _PREPOSITIONS, _CONJUNCTIONS, _VERBS, _ADVERBS, _CONTRACTIONS)
    ).split()
)
"""Lower-case words that neither begin nor end a candidate."""
