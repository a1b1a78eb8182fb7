"""A real browser without a window, spoken to through two pipes: the DevTools protocol, and no library."""

import base64
import itertools
import json
import os
import shutil
import subprocess

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """A context manager with one page.

    Args:
        folder: for what it keeps.
    """

    def __init__(self, folder):
        self.folder = folder
        self.events = []  # (method, parameters) of all that it has told
        self.session = None

    def __enter__(self):
        theirs, ours = os.pipe(), os.pipe()

        def lend():  # they are 3 and 4 there
            reader, writer = os.dup(theirs[0]), os.dup(ours[1])
            os.dup2(reader, 3)
            os.dup2(writer, 4)

        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        self.process = subprocess.Popen(
            [PROGRAM, *options, f"--user-data-dir={self.folder}", "about:blank"],
            preexec_fn=lend,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs[0])
        os.close(ours[1])
        self.writer, self.reader = os.fdopen(theirs[1], "wb"), os.fdopen(ours[0], "rb")
        self.numbers, self.buffer = itertools.count(1), b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.writer.close()
        self.reader.close()

    def call(self, method, **params):
        """Have it do something, and return what came of it."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.writer.write(json.dumps(message).encode() + b"\0")
        self.writer.flush()
        while (answer := self._read()).get("id") != number:
            self.events.append((answer.get("method"), answer.get("params")))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _read(self):
        while b"\0" not in self.buffer:
            data = os.read(self.reader.fileno(), 2**16)
            if not data:
                raise RuntimeError("the browser ended")
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path, width=1280, height=900, scheme="light"):
        """Load a page from disk, and wait until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            message = self._read()
            self.events.append((message.get("method"), message.get("params")))

    def evaluate(self, expression):
        """Return what an expression of JavaScript gives, as plain data."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def picture(self, path, whole=False):
        """Write what it shows as a PNG, the whole page or the part that is in sight."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
