"""A headless Chromium, driven over its pipe with nothing but the standard library (Chrome DevTools Protocol, one JSON text and a NUL each)."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def found():
    """The browser here, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One browser. Use it with `with`."""

    def __init__(self, patience=60):
        self.patience = patience
        self.profile = tempfile.mkdtemp(prefix="report-")
        self.number, self.events, self.left = 0, [], b""
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        flags = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self.profile}", "--no-first-run", "--disable-gpu",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars", "--font-render-hinting=none"]  # fmt: skip
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # it refuses to sandbox root

        def descriptors():
            # Chromium reads commands from 3 and writes to 4. Copies first, so that neither is overwritten before it is moved.
            a, b = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.child = subprocess.Popen(
            [found(), *flags, "about:blank"], preexec_fn=descriptors, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.reads, self.writes = ours_in, ours_out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        os.close(self.reads)
        os.close(self.writes)
        shutil.rmtree(self.profile, ignore_errors=True)

    def _next(self, until):
        while b"\0" not in self.left:
            ready, _, _ = select.select([self.reads], [], [], max(0, until - time.monotonic()))
            data = os.read(self.reads, 1 << 20) if ready else b""
            if not data:
                raise TimeoutError("the browser does not answer")
            self.left += data
        text, _, self.left = self.left.partition(b"\0")
        return json.loads(text)

    def ask(self, method, session=None, **params):
        """The result of a command; events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.writes, data) :]
        until = time.monotonic() + self.patience
        while True:
            got = self._next(until)
            if got.get("id") == self.number:
                if "error" in got:
                    raise RuntimeError(f"{method}: {got['error']}")
                return got["result"]
            self.events.append(got)

    def page(self):
        return Page(self)


class Page:
    """One page: what it says on its console and what it asks of the network is kept."""

    def __init__(self, browser):
        self.browser = browser
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.ask(domain + ".enable")

    def ask(self, method, **params):
        return self.browser.ask(method, self.session, **params)

    def size(self, width, height, dark=False):
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = "dark" if dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def script(self, on):
        self.ask("Emulation.setScriptExecutionDisabled", value=not on)

    def open(self, path):
        """Goes to a file, and waits until it is loaded."""
        self.browser.events.clear()
        self.ask("Page.navigate", url=Path(path).resolve().as_uri())
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def eval(self, text):
        done = self.ask("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"])
        return done["result"].get("value")

    def until(self, text):
        """Waits until a condition holds; how long it takes is nobody's business here."""
        until = time.monotonic() + self.browser.patience
        while not self.eval(text):
            if time.monotonic() > until:
                raise TimeoutError(text)
            time.sleep(0.05)

    def key(self, key, code):
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text="\r" if key == "Enter" else "")

    def picture(self, path, whole=False):
        more = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            more["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}
        Path(path).write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png", **more)["data"]))

    def pdf(self, path):
        got = self.ask("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        Path(path).write_bytes(base64.b64decode(got["data"]))

    def told(self):
        """Complaints on the console, and requests to anything but the file and what it made itself."""
        self.eval("1")
        complaints, requests = [], []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            method, params = event["method"], event["params"]
            if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                complaints.append(params["entry"]["text"])
            if method == "Runtime.exceptionThrown" or method == "Runtime.consoleAPICalled":
                complaints.append(json.dumps(params)[:400])
            if method == "Network.requestWillBeSent":
                requests.append(params["request"]["url"])
        return complaints, [url for url in requests if not url.startswith(("file:", "blob:", "about:"))]


if __name__ == "__main__":
    sys.exit(0 if found() else 1)
