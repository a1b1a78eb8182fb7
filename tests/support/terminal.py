"""Programs on a terminal: what they write there, and what it looks like."""

import fcntl
import os
import pty
import re
import select
import struct
import termios

CONTROL = re.compile(r"\r|\n|\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """A terminal, which a program that is started has as its stderr; it knows what progress bars need.

    Attributes:
        end: what the program writes to.
        written: pairs of the column where a text without control characters began, and the text.
        lines: what the screen shows, from top to bottom.
    """

    def __init__(self, columns=80, rows=24):
        self._screen, self.end = pty.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self.written, self.lines = [], [""]

    def watch(self, seconds=60):
        """Read all that the program writes, until it ends or says nothing more for some time."""
        os.close(self.end)
        seen = b""
        while select.select([self._screen], [], [], seconds)[0]:
            try:
                seen += os.read(self._screen, 4096)
            except OSError:  # how Linux says that the terminal's other end was closed
                break
        os.close(self._screen)
        self._show(seen.decode())

    def _show(self, text):
        row = column = 0
        place = 0
        for control in [*CONTROL.finditer(text), None]:
            part = text[place : control.start() if control else len(text)]
            if part:
                self.written.append((column, part))
                line = self.lines[row].ljust(column)
                self.lines[row] = line[:column] + part + line[column + len(part) :]
                column += len(part)
            if control is None:
                break
            place = control.end()
            if control[0] == "\r":
                column = 0
            elif control[0] == "\n":
                row += 1
                self.lines += [""] * (row + 1 - len(self.lines))
            elif control[0].endswith("A"):
                row -= 1
            else:
                raise ValueError(f"expected no other control characters, got {control[0]!r}")
