"""Text that would do something in Markdown, and a renderer that says what of it does."""

from hypothesis import strategies as st
from markdown_it import MarkdownIt

RENDERER = MarkdownIt("gfm-like")  # with tables, tags, and bare addresses as links
LIVE = {"link_open", "image", "heading_open", "table_open", "html_block", "html_inline", "blockquote_open"}
TRAPS = (
    "<script>alert(1)</script>", "</details>", "<!-- x -->", "<?x?>", "<https://x.test>", "<a@x.test>",
    "![x](https://x.test/x.png)", "[x](javascript:x)", "[x][y]", "[x]", "[y]: https://x.test",
    "[x\ny]: //x.test", "https://x.test", "http:", "//x.test", "www.x.test", "x.com", "q.py", "a@x.test",
    "mailto:a@b", "&#46;com", "# x", "#", "x\n===", "x\n-", "---", "- ", "1. ", "> ", "x|y\n-|-\nx|y",
    "| x |\n|---|", "|", ":-:", "    ", "\t", "`", "``", "```", "```\n", "~~~\n", "\n", " ", "\\", "\\`",
    "[", "]", "(", ")", "](", "]:", "*", "**", "_", "\u061c", "\u202e", "\u200b", "\x85", "\x0b",
    "\x1b[1m", "\r", "\x00", "\ud800", "x", "1", ".", "é.рф", "$$",
)  # fmt: skip
# Everything that a student's code can print or raise, and then what is likeliest to do harm.
HOSTILE = st.text(
    st.characters(exclude_categories=())
    | st.sampled_from("`~<>![](){}\\#\0\x1b\r\n\ud800\u202e\N{ZERO WIDTH SPACE}")
)
TRAPPED = st.lists(st.sampled_from(TRAPS), max_size=12).map("".join) | HOSTILE


def live_in(markdown):
    """Return what a browser would make of Markdown beyond text, emphasis, lists and code."""
    tokens = RENDERER.parse(markdown)
    found = [token for token in tokens for token in (token, *(token.children or []))]
    return [(token.type, token.content, token.attrs) for token in found if token.type in LIVE]
