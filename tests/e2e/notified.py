# SPDX-License-Identifier: ISC
"""A service manager, as far as it listens: what sd_notify(3) writes to."""

import contextlib
import os
import socket

from dnsclient import eventually


class Manager:
    """Where NOTIFY_SOCKET points to."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.heard = []     # messages, each as a list of lines

    def listen(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                data, fds, _, _ = socket.recv_fds(self.socket, 4096, 16)
                for fd in fds:
                    os.close(fd)
                self.heard.append(data.decode().split("\n"))
        return self.heard

    def words(self, key):
        """All values of a variable, in order."""
        return [line.partition("=")[2] for message in self.listen()
                for line in message if line.startswith(key + "=")]

    def status(self):
        return (self.words("STATUS") or [None])[-1]

    def shows(self, text):
        return eventually(lambda: self.status() == text, seconds=20,
                          what="%r in %r" % (text, self.heard))

    def close(self):
        self.socket.close()
