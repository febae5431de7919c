# SPDX-License-Identifier: ISC
"""
Clients that are patient: they ask again as a stub does, know to the octet what
the scripted upstream says to each of their queries, and keep account of what
became of them.  Several hundred queries a second, in one thread of their own.
"""

import asyncio
import contextlib
import random
import struct
import threading
import zlib

QUERY_TIMEOUT_S = 3     # the daemon's
RESEND_S = 4            # more than that: who is not lost has been answered
SENDINGS = 6
PATIENCE_S = RESEND_S * SENDINGS
REMEMBERED_S = 60       # an answer may come twice as long after
A, TXT = 1, 16
RIGHT, TC, SERVFAIL = 0x8180, 0x8380, 0x8182
UDP_MAX = 512
STREAMS = "whole", "whole", "slow", "half", "leave"


def padding(length):
    """Strings of x, as answer_pad() of knob.h has them."""
    data = b""
    while len(data) < length:
        n = min(length - len(data), 256)
        data += bytes([n - 1]) + b"x" * (n - 1)
    return data


class Query:
    """A question, its one right answer, and what has become of it."""

    def __init__(self, rng, label, number, now):
        kind = rng.random()
        self.size = 0
        first = label
        if kind < 0.1:
            first = "delay-%d" % rng.randrange(50, 400)
        elif kind < 0.2:
            self.size = rng.randrange(200, 4000)
            first = "size-%d" % self.size
        labels = [first, "n%d" % number, label, "test", ""]
        name = b"".join(bytes([len(part)]) + part.encode() for part in labels)
        rdtype = TXT if self.size else A
        self.name = ".".join(labels)
        self.question = name + struct.pack("!2H", rdtype, 1)
        rdata = struct.pack("!I", zlib.crc32(name.lower()))
        if self.size:
            rdata = padding(
                self.size - 12 - len(self.question) - 12)
        self.answer = struct.pack(
            "!3HIH", 0xc00c, rdtype, 1, 300, len(rdata)) + rdata
        self.first = now
        self.sendings = 0
        self.answers = 0
        self.ended = False

    def wire(self, number):
        return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + self.question

    def judge(self, message, limit):
        """What a message with the query's ID is to it."""
        flags = struct.unpack("!H", message[2:4])[0]
        whole = 12 + len(self.question) + len(self.answer)
        bare = struct.pack("!4H", 1, 0, 0, 0) + self.question
        if flags == SERVFAIL and message[4:] == bare:
            return "servfail"
        if flags == TC and whole > limit and message[4:] == bare:
            return "right"
        right = struct.pack("!4H", 1, 1, 0, 0) + self.question + self.answer
        if flags == RIGHT and whole <= limit and message[4:] == right:
            return "right"
        return "wrong"


class Account:
    """What became of all queries; events are (first sent, then) in seconds."""

    def __init__(self):
        self.queries = self.right = self.again = 0
        self.slowest_s = 0.0
        self.wrong = []
        self.double = []
        self.missing = []
        self.refused = []       # by the port
        self.servfail = []
        self.resent = []

    def answered(self, query, message, limit, now):
        query.answers += 1
        verdict = query.judge(message, limit)
        event = (query.first, now, query.name)
        if verdict == "wrong":
            self.wrong.append(event + (message[:80].hex(),))
        elif query.answers > query.sendings:
            self.double.append(event)
        elif query.ended:
            self.again += 1
        else:
            query.ended = True
            self.slowest_s = max(self.slowest_s, now - query.first)
            if verdict == "servfail":
                self.servfail.append(event)
            else:
                self.right += 1


class Clients(threading.Thread):
    """Stubs over UDP and streams over TCP until finish() is called."""

    def __init__(self, address, seed, stubs=16, streams=10, rate=300):
        super().__init__()
        self.address = address
        self.rng = random.Random(seed)
        self.label = "c%d" % self.rng.randrange(1 << 40)
        self.count = {"stubs": stubs, "streams": streams}
        self.rate = rate / stubs
        self.account = Account()
        self.asking = True
        self.error = None

    def run(self):
        try:
            asyncio.run(self._run())
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def finish(self):
        """Asks no more; returns when every query has ended."""
        self.asking = False
        self.join()
        if self.error:
            raise self.error
        return self.account

    async def _run(self):
        self.loop = asyncio.get_running_loop()
        tasks = [stub(self) for _ in range(self.count["stubs"])]
        tasks += [stream(self) for _ in range(self.count["streams"])]
        await asyncio.gather(*tasks)

    def query(self):
        self.account.queries += 1
        return Query(self.rng, self.label, self.account.queries,
                     self.loop.time())


class Stub(asyncio.DatagramProtocol):
    """One socket; each query has an ID of its own, also when sent again."""

    def __init__(self, clients):
        self.clients = clients
        self.asked = {}
        self.open = 0

    def error_received(self, exc):
        self.clients.account.refused.append(repr(exc))

    def datagram_received(self, data, addr):
        now = self.clients.loop.time()
        query = self.asked.get(struct.unpack("!H", data[:2])[0])
        if query is None:
            self.clients.account.wrong.append((now, data[:80].hex()))
            return
        before = query.ended
        self.clients.account.answered(query, data, UDP_MAX, now)
        self.open -= query.ended and not before

    def ask(self, transport, number):
        query = self.asked[number] = self.clients.query()
        self.open += 1
        self.send(transport, number, query)

    def send(self, transport, number, query):
        loop, account = self.clients.loop, self.clients.account
        if query.ended:
            loop.call_later(REMEMBERED_S, self.forget, number, query)
            return
        if query.sendings == SENDINGS:
            account.missing.append((query.first, loop.time(), query.name))
            query.ended = True
            self.open -= 1
            return
        if query.sendings > 0:
            account.resent.append((query.first, loop.time(), query.name))
        query.sendings += 1
        transport.sendto(query.wire(number))
        loop.call_later(RESEND_S, self.send, transport, number, query)

    def forget(self, number, query):
        if self.asked.get(number) is query:
            del self.asked[number]


async def stub(clients):
    loop, number = clients.loop, clients.rng.randrange(65536)
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: Stub(clients), remote_addr=clients.address)
    with contextlib.closing(transport):
        while clients.asking:
            number = (number + 1) % 65536
            protocol.ask(transport, number)
            await asyncio.sleep(clients.rng.expovariate(clients.rate))
        while protocol.open > 0:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)    # for an answer too many


class Connection:
    """One connection and the queries on it, in the way a kind of client has."""

    def __init__(self, clients, kind):
        self.clients = clients
        self.kind = kind
        self.asked = {}

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection(
            *self.clients.address)

    async def send(self, queries):
        data = b""
        for query in queries:
            number = len(self.asked)
            self.asked[number] = query
            query.sendings += 1
            wire = query.wire(number)
            data += struct.pack("!H", len(wire)) + wire
        step = 7 if self.kind == "slow" else len(data)
        for at in range(0, len(data), step):
            self.writer.write(data[at:at + step])
            await self.writer.drain()
            if self.kind == "slow":
                await asyncio.sleep(0.01)
        if self.kind == "half":
            self.writer.write_eof()

    async def _message(self):
        (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        return await self.reader.readexactly(length)

    async def receive(self):
        """Until all are answered; one that closes early breaks its promise."""
        while not all(query.ended for query in self.asked.values()):
            self.take(await self._message())
        if self.kind == "half" and await self.reader.read(1):
            raise AssertionError("octets after the last answer")

    def take(self, message):
        account, now = self.clients.account, self.clients.loop.time()
        query = self.asked.get(struct.unpack("!H", message[:2])[0])
        if query is None:
            account.wrong.append((now, message[:80].hex()))
        else:
            account.answered(query, message, 65535, now)

    async def linger(self, seconds):
        """For answers too many."""
        with contextlib.suppress(asyncio.TimeoutError):
            self.take(await asyncio.wait_for(self._message(), seconds))


BROKEN = (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError)


async def converse(clients, kind, queries):
    """Asks all of them on one connection; what is not answered is left."""
    loop = clients.loop
    connection = Connection(clients, kind)
    deadline = min((query.first for query in queries),
                   default=loop.time()) + PATIENCE_S
    async def all_of_it():
        await connection.open()
        rounds = 1 if kind != "whole" else 2
        share = -(-len(queries) // rounds)
        for at in range(0, len(queries), share):
            await connection.send(queries[at:at + share])
            if kind != "leave":
                await connection.receive()
        if kind == "whole":
            await connection.linger(0.2)
    try:
        await asyncio.wait_for(all_of_it(), deadline - loop.time())
    except ConnectionRefusedError as error:
        clients.account.refused.append(repr(error))
        await asyncio.sleep(0.1)
    except BROKEN:
        await asyncio.sleep(0.05)
    finally:
        if hasattr(connection, "writer"):
            connection.writer.close()


async def stream(clients):
    """One connection after the other; who leaves expects nothing."""
    loop, account, rng = clients.loop, clients.account, clients.rng
    while clients.asking:
        await asyncio.sleep(rng.expovariate(2))
        kind = rng.choice(STREAMS)
        if kind == "leave":
            leaving = [Query(rng, clients.label, rng.getrandbits(30),
                             loop.time()) for _ in range(4)]
            await converse(clients, kind, leaving)
            continue
        queries = [clients.query() for _ in range(rng.randrange(1, 16))]
        while queries:
            await converse(clients, kind, queries)
            now = loop.time()
            queries = [query for query in queries if not query.ended]
            for query in list(queries):
                event = (query.first, now, query.name)
                if now - query.first >= PATIENCE_S - 0.1:
                    account.missing.append(event)
                    queries.remove(query)
                elif query.sendings:
                    account.resent.append(event)
