"""Text that wants to be more than text, and what a page made of it."""

from html.parser import HTMLParser

from hypothesis import strategies as st

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=30
) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        "</td></table><img src=x onerror=alert(1)>",
        '" onload=alert(1) x="',
        "' autofocus onfocus=alert(1) '",
        "&lt;b&gt;",
        "</title><svg/onload=alert(1)>",
        "<!--",
        "]]>",
        "javascript:alert(1)",
    ]
)
PAGES = st.lists(TEXT, min_size=8, max_size=8)


class Seen(HTMLParser):
    """The tags of a page, with the names of their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, sorted(name for name, _ in attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        self.tags.append(("comment", []))
