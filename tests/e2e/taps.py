# SPDX-License-Identifier: ISC
"""
What an upstream gets, seen from both sides of its TLS: a server that keeps the
messages, and a tap on the way to any server, which keeps the sizes of records.
"""

import select
import socket
import ssl
import struct
import threading

APPLICATION_DATA = 23
SEALED = 17     # TLS 1.3: the tag and the type of what is inside


class _Server:
    """Accepts connections on a port of 127.0.0.1, each in a thread."""

    def __init__(self):
        self.ended = threading.Event()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self):
        while not self.ended.is_set():
            if not select.select([self.listening], [], [], 0.1)[0]:
                continue
            sock = self.listening.accept()[0]
            thread = threading.Thread(target=self._serve, args=(sock,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock):
        try:
            with sock:
                self.serve(sock)
        except OSError:
            pass    # also what TLS has to say

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        self.listening.close()


class Recorder(_Server):
    """A server that answers a query with the query, and remembers it."""

    def __init__(self, pki, edit=lambda wire: wire):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pki.good.cert, pki.good.key)
        self.edit = edit    # the answer, or None to close instead
        self.seen = []
        super().__init__()

    def serve(self, sock):
        sock.settimeout(10)
        with self.context.wrap_socket(sock, server_side=True) as tls:
            tls.settimeout(0.1)
            data = b""
            while not self.ended.is_set():
                try:
                    part = tls.recv(65536)
                except socket.timeout:
                    continue
                if not part:
                    return
                data += part
                while len(data) >= 2:
                    end = 2 + struct.unpack("!H", data[:2])[0]
                    if len(data) < end:
                        break
                    wire, data = data[2:end], data[end:]
                    self.seen.append(wire)
                    answer = self.edit(
                        wire[:2] + bytes([wire[2] | 0x80]) + wire[3:])
                    if answer is None:
                        return
                    tls.sendall(struct.pack("!H", len(answer)) + answer)


class Tap(_Server):
    """Passes all on to a port, and notes the plaintext size of each record."""

    def __init__(self, port):
        self.target = port
        self.sent, self.received = [], []   # behind the handshakes
        super().__init__()

    def serve(self, sock):
        with socket.create_connection(("127.0.0.1", self.target)) as other:
            ways = {sock: (other, self.sent, bytearray()),
                    other: (sock, self.received, bytearray())}
            first = {id(self.sent)}
            while not self.ended.is_set():
                for ready in select.select(list(ways), [], [], 0.1)[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    out, sizes, buffer = ways[ready]
                    buffer += data
                    self._note(sizes, buffer, first)
                    out.sendall(data)

    @staticmethod
    def _note(sizes, buffer, first):
        while len(buffer) >= 5:
            length = struct.unpack("!H", buffer[3:5])[0]
            if len(buffer) < 5 + length:
                return
            if buffer[0] == APPLICATION_DATA:
                if id(sizes) in first:  # Finished
                    first.remove(id(sizes))
                else:
                    sizes.append(length - SEALED)
            del buffer[:5 + length]
