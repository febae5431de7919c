# SPDX-License-Identifier: ISC
"""A terminal of its own for a program: tmux plays it."""

import os
import subprocess

from dnsclient import eventually


class Terminal:
    def __init__(self, folder, command, width=80, height=24):
        self.socket = str(folder / "tmux")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width),
                  "-y", str(height), command)

    def tmux(self, *args):
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8",
               "TERM": "xterm", "HOME": "/"}
        done = subprocess.run(["tmux", "-S", self.socket, *args], env=env,
                              capture_output=True, text=True, timeout=30)
        return done.stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def shows(self, *texts):
        eventually(lambda: all(text in self.screen() for text in texts),
                   what="%r on the screen:\n%s" % (texts, self.screen()))

    def close(self):
        self.tmux("kill-server")
