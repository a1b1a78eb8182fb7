"""The parts of class.html, as an HTML parser has them."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """A page's elements, tables and scripts.

    Attributes:
        tags: name and attributes of each element, in their order.
        scripts: what is in each script, by its id.
    """

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.scripts = {}
        self._section = self._script = None
        self._tables = {}
        self._cell = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))
        if tag == "section":
            self._section = dict(attrs)["id"]
        elif tag == "script":
            self._script = dict(attrs).get("id", "")
            self.scripts[self._script] = ""
        elif tag == "tr":
            self._tables.setdefault(self._section, []).append([])
        elif tag == "td":
            self._tables[self._section][-1].append("")
            self._cell = self._tables[self._section][-1]

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None
        elif tag == "td":
            self._cell = None

    def handle_data(self, data):
        if self._script is not None:
            self.scripts[self._script] += data
        elif self._cell is not None:
            self._cell[-1] += data

    def table(self, section):
        """Return the texts of the last table in a section, row by row, without its head."""
        rows = [[" ".join(cell.split()) for cell in row] for row in self._tables[section] if row]
        return [row for row in rows if len(row) == len(rows[-1])]
