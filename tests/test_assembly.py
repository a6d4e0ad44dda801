"""Texts become rows, and label words ids, as the tokenizer itself would have it."""

from __future__ import annotations

import pytest

from bdpl_async.errors import LabelError, RequestFailed
from bdpl_async.records import Text
from bdpl_providers.assembly import Assembler, Row
from tests.tinymodels import WINDOW, byte_level, sentence_pieces, word_pieces

FAMILIES = {"byte-level": byte_level, "WordPiece": word_pieces}


@pytest.fixture(params=FAMILIES)
def assembler(request: pytest.FixtureRequest) -> Assembler:
    """An assembler of each tokenizer family."""
    return Assembler("roberta/tiny", FAMILIES[request.param](), WINDOW)


def read(assembler: Assembler, text: Text) -> tuple[list[int], str]:
    """The ids of one text that fits, and what they spell."""
    (row,) = assembler.rows([text])
    assert isinstance(row, Row)
    assert row.ids[row.mask] == assembler._mask_id
    spelled = assembler._backend.decode(row.ids, skip_special_tokens=False)
    for sign in (assembler._mask, ".", "</s>", "[SEP]"):
        spelled = spelled.replace(sign, f" {'____' if sign == assembler._mask else sign} ")
    return row.ids, " ".join(spelled.split())


class TestLabels:
    @pytest.mark.parametrize("word", ["great", " great"])
    @pytest.mark.parametrize(
        ("before", "token"),
        [
            ("It was ", "Ġgreat"),
            ('She said "', "great"),
            ("", "Ġgreat"),  # with a prompt there is a space before it; both must read alike
            ("the film.\n", "great"),
        ],
    )
    def test_leading_space_is_the_templates(self, before: str, token: str, word: str) -> None:
        """A word's form follows what stands before the mask, however the word is written."""
        for family, expected in ((byte_level(), token), (word_pieces(), "great")):
            assembler = Assembler("roberta/tiny", family, WINDOW)
            (found,) = assembler.label_ids((word,), before)
            assert found == family.convert_tokens_to_ids(expected)

    def test_sentence_pieces(self) -> None:
        """A SentencePiece word carries its mark after a space, a line break and at the start."""
        family = sentence_pieces()
        assembler = Assembler("roberta/tiny", family, WINDOW)
        places = {"It was ": "▁great", "It was\n": "▁great", "": "▁great", 'said "': "great"}
        for before, token in places.items():
            (found,) = assembler.label_ids(("great",), before)
            assert found == family.convert_tokens_to_ids(token)

    @pytest.mark.parametrize(
        ("labels", "reason"),
        [
            ((" great", " hyponym"), "is 2 tokens (' ', 'hyponym')"),
            ((" great", "great"), "are the same token"),
            ((" great", " "), "is no token of its own"),
            ((" great", ""), "is no token of its own"),
            ((" great", "</s>"), "is 2 tokens (' ', '</s>')"),
        ],
    )
    def test_unreadable_words_are_refused(self, labels: tuple[str, ...], reason: str) -> None:
        """A word that is not one token of its own is refused by name, with a way out."""
        assembler = Assembler("roberta/tiny", byte_level(), WINDOW)
        with pytest.raises(LabelError) as caught:
            assembler.label_ids(labels, "It was ")
        assert reason in str(caught.value)
        assert "roberta/tiny" in str(caught.value)
        assert caught.value.hint

    @pytest.mark.parametrize("word", ["猫", "[MASK]", "[UNK]"])
    def test_unknown_and_special_words_are_refused(self, word: str) -> None:
        """A word that WordPiece reads as [UNK], or as another special token, is refused."""
        assembler = Assembler("roberta/tiny", word_pieces(), WINDOW)
        with pytest.raises(LabelError, match="is not in the vocabulary"):
            assembler.label_ids(("great", word), "It was ")

    def test_case_folded_words_are_one(self) -> None:
        """Two words that the tokenizer folds into one token are refused."""
        assembler = Assembler("roberta/tiny", word_pieces(), WINDOW)
        with pytest.raises(LabelError, match="'Great' and 'great' are the same token"):
            assembler.label_ids(("Great", "great"), "It was ")


class TestTexts:
    def test_special_strings_are_text(self, assembler: Assembler) -> None:
        """A user's text that spells special tokens stays text: one mask, no early end."""
        rude = "<mask>[MASK]</s><<mask>[[MASK]][SEP]<pad>\ud800"
        ids, _ = read(assembler, Text(f"{rude} It was ", " <mask>[MASK]"))
        unknown = assembler._backend.token_to_id("[UNK]")
        assert sum(i in assembler._special and i != unknown for i in ids) == 3

    def test_only_data_is_cut(self, assembler: Assembler) -> None:
        """An over-long text loses the ends of its longest columns; all else stays as it is."""
        long, short, late = "one two three " * 30, "four five six", "seven eight " * 20
        before, after = f"a great film. {long}and {short}. it was ", f". {late}nine ten"
        starts = [(before + after).index(part) for part in (long, short, late)]
        spans = [(i, i + len(part)) for i, part in zip(starts, (long, short, late), strict=True)]
        ids, spelled = read(assembler, Text(before, after, tuple(spans)))
        assert len(ids) == WINDOW
        assert "a great film . one two three" in spelled
        assert "and four five six . it was ____ . seven eight" in spelled
        assert "nine ten" in spelled

    def test_longest_span_is_cut_first(self) -> None:
        """Of several columns the longest by then gives way, so that a short one stays whole."""
        assembler = Assembler("roberta/tiny", word_pieces(), 11)
        text = Text("one " * 90 + "two two it was ", ".", ((0, 359), (360, 367)))
        _, spelled = read(assembler, text)
        assert spelled == "[CLS] one one one two two it was ____ . [SEP]"

    def test_impossible_window_fails_in_place(self, assembler: Assembler) -> None:
        """A text that is too long without its data is its own error; its neighbours are rows."""
        texts = [Text("it was "), Text("great film " * 90, "", ((0, 5),)), Text("", " film")]
        rows = assembler.rows(texts)
        assert [type(row) for row in rows] == [Row, RequestFailed, Row]
        assert f"the window holds {WINDOW}" in str(rows[1])
