# SPDX-License-Identifier: ISC
"""Chromium without a screen, spoken to over a pipe (DevTools protocol)."""

import base64
import fcntl
import json
import os
import subprocess

CHROMIUM = "/usr/bin/chromium"


class Browser:
    """One page in a browser of its own."""

    def __init__(self, folder, width=1280, height=900, scheme="light",
                 mobile=False):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        # It expects its ends of the pipes as 3 and 4.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10)
                for fd in (theirs_in, theirs_out)]

        def place():
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
             "--remote-debugging-pipe", "--hide-scrollbars", "--no-first-run",
             "--disable-dev-shm-usage", "--disable-background-networking",
             "--disable-component-update", "--disable-sync",
             "--user-data-dir=%s" % folder, "about:blank"],
            pass_fds=(3, 4), preexec_fn=place, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)})
        for fd in (theirs_in, theirs_out, *ends):
            os.close(fd)
        self.reading = os.fdopen(ours_in, "rb", 0)
        self.writing = os.fdopen(ours_out, "wb", 0)
        self.buffer = b""
        self.number = 0
        self.session = None
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")
        self.session = self.call(
            "Target.attachToTarget", targetId=target["targetId"],
            flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.resize(width, height, mobile)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])

    def resize(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=1, mobile=mobile)

    def _receive(self):
        while b"\0" not in self.buffer:
            piece = self.reading.read(1 << 20)
            assert piece, "the browser has ended"
            self.buffer += piece
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.writing.write(json.dumps(message).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def open(self, url):
        self.call("Page.navigate", url=url)

    def run(self, expression):
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression,
                           returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector):
        return self.run("document.querySelector(%s)?.textContent"
                        % json.dumps(selector))

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def complaints(self):
        """What the page has written to the console, and errors in it."""
        self.run("0")
        return [message for message in self.events
                if message.get("method") in (
                    "Runtime.exceptionThrown", "Runtime.consoleAPICalled",
                    "Log.entryAdded")]

    def requests(self):
        return [message["params"]["request"]["url"] for message in self.events
                if message.get("method") == "Network.requestWillBeSent"]

    def screenshot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png",
                         captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def stop(self):
        self.writing.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reading.close()
