"""Raises an error whose message has control characters, half characters and Markdown in it.

Expect: ValueError
"""

MESSAGE = "\x1b[31mred\x00\ud800 ```\n</pre><script>alert(1)</script>\n# all passed\n\r\x07\u202e"


class ReLULayer:
    def forward(self, x):
        raise ValueError(MESSAGE)
