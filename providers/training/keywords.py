"""The words by which a prefix names its question.

A pool is large on purpose: a search that draws prompt words from a few dozen texts has to
meet some of it whatever the texts are about. Words that carry praise or blame themselves
(good, awful, love) are in no pool, so a prefix cannot push the answer by its own tone.
"""

from __future__ import annotations

import re


def _pool(words: str) -> frozenset[str]:
    return frozenset(words.split())


OPINION = _pool("""
movie movies film films cinema cinematic theater theatre screen screenplay screenwriter acting
actor actors actress actresses cast casting plot plots story stories storyline storytelling
script scripts director directors directed directing direction filmmaker filmmakers filmmaking
comedy comedies comic drama dramas dramatic melodrama thriller thrillers romance romantic horror
documentary animation animated sequel genre scene scenes sequence character characters
protagonist hero heroine role roles performance performances performer performers audience
audiences viewer viewers viewing watch watching watched dialogue soundtrack score music musical
entertainment entertaining humor joke jokes laughs ending picture pictures camera cinematography
hollywood movie-going video dvd television tv series episode show shows production
food meal meals dish dishes menu restaurant restaurants cafe bar dinner lunch breakfast pizza
burger soup coffee drinks taste flavor waiter waitress waiters chef kitchen table service staff
hotel hotels room rooms stay stayed bed bathroom lobby reception guest guests breakfast pool trip
visit visited holiday travel book books novel novels author authors writer writing read reading
reader readers chapter chapters prose pages publisher phone phones battery device laptop
tablet charger keyboard display app software headphones speaker price prices priced
quality value product products item items purchase purchased buy bought buying sell seller
shop shops shopping store stores shipping delivery delivered package warranty refund
customer customers client consumer consumers experience experiences experienced
opinion opinions review reviews reviewer reviewers reviewed rating ratings rate rated rates verdict
critic critics critical criticism critique judge judgment judgement feel feels feeling feelings
felt think thinks thought thoughts believe impression impressions recommend recommended
recommendation sentiment tone mood attitude emotion emotions emotional stars overall evaluate
assessment appraisal satisfaction satisfied enjoyment
""")

OPPOSITE = _pool("""
opposite opposites opposed oppose reverse reversed reversal contrary unlike flip flipped inverse
invert inverted instead not never although though but despite however rather against contradict
contradictory deny denied nothing none without neither nor hardly barely yet except otherwise
nobody nowhere cannot unless whereas backwards turned switch switched swap swapped negate
counter differ different difference
""")

LENGTH = _pool("""
long longer longest short shorter length lengthy brief briefly size count counts many few fewer
number numbers words word letters minutes minute hours hour time times large larger small
smaller tiny little big bigger huge amount measure total extended compact wide narrow extent
duration half double
""")

COMMA = _pool("""
comma commas punctuation list lists pause pauses clause clauses structure mark marks dash style
phrase phrases period dot colon stop break breaks separate separated parts piece pieces
format layout form syntax
""")

PERSON = _pool("""
who whom person people speaker somebody someone anyone everyone self myself yourself himself
herself themselves ourselves man men woman women boy boys girl girls child children
kids friend friends family father mother name names individual human pronoun voice
""")

INFERENCE = _pool("""
entail entails entailment follow follows following imply implies implication true truth inference
infer logic logical premise hypothesis conclude conclusion therefore mean means meaning agree
support supports consequence given statement claim claims fact facts evidence contradiction
contradicts answer answers question questions sentence sentences context reason reasoning
because thus hence prove certain correct paragraph
""")

OVERLAP = _pool("""
same overlap repeat repeated repeats share shares shared common copy copied similar match
matches matching identical words both equal again resemble alike
""")

GRAMMAR = _pool("""
grammar grammatical sentence sentences english linguistics linguistic linguist acceptable
acceptability language native correct verb noun subject object tense say said speak spoken
write wrote written proper wording well-formed allowed possible
""")

SCIENCE = _pool("""
paper papers citation citations cite cites cited citing reference references author authors
research researchers study studies work science scientific computer purpose intent method methods
model models system systems algorithm data result results approach problem task tasks relation
relations relationship entity entities link between term terms connect abstract section
role article journal propose proposed analysis learning experiments technique
""")

POOLS = {
    "opinion": OPINION,
    "opposite": OPPOSITE,
    "length": LENGTH,
    "comma": COMMA,
    "person": PERSON,
    "inference": INFERENCE,
    "overlap": OVERLAP,
    "grammar": GRAMMAR,
    "science": SCIENCE,
}

_WORD = re.compile(r"[a-z][a-z'-]*")


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, without punctuation and figures."""
    return _WORD.findall(text.lower())


def count(prefix: str, pools: tuple[str, ...]) -> list[int]:
    """How many words of the prefix each pool holds, repeats included."""
    words = words_of(prefix)
    return [sum(word in POOLS[pool] for word in words) for pool in pools]
