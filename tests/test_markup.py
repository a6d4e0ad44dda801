"""The rules of `bdpl_async.markup`."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from bdpl_async.markup import clean, html, shaded, tag

HOSTILE = "</p><script>alert(1)</script>\x1b[31m\u202e"


class Reader(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text())
def test_text_stays_text(text: str, title: str) -> None:
    """Whatever text and attributes hold, they come out as text and attributes."""
    found = Reader(html(tag("p", text, tag("b", "x"), text, title=title)))
    assert found.tags == ["p", "b"]
    assert found.text == f"{clean(text)}x{clean(text)}"
    assert found.attributes == [("title", clean(title))]


def test_nothing_is_obeyed() -> None:
    """Neither markup nor control characters nor a change of direction survive as such."""
    page = html(tag("p", HOSTILE))
    assert "<script" not in page
    assert not set("\x1b\u202e") & set(page)


def test_names_of_attributes() -> None:
    """A trailing underscore is dropped, others become hyphens, None is left out."""
    assert html(tag("a", class_="x", data_y=1, id=None)) == '<a class="x" data-y="1"></a>'


def test_shades() -> None:
    """The likelier a token, the stronger its shade; a prompt without odds is plain."""
    page = html(shaded(["a", "b"], [1.0, 0.25]))
    assert "0.600" in page
    assert "0.150" in page
    assert Reader(page).text == "a b"
    assert Reader(html(shaded(["a", "b"], []))).tags == ["span"]
