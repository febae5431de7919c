# SPDX-License-Identifier: ISC
"""
A network namespace in which nothing else runs, and everything on its wires.
One thread lives in it; what that starts does, too.  Beside the loopback there
is a way out, to a wire with nobody at its end: a packet that strays is seen.
"""

import concurrent.futures
import ctypes
import socket
import struct
import subprocess
import threading

CLONE_NEWNET = 0x40000000
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x0800, 0x86dd
PACKET_OUTGOING = 4
PACKET_STATISTICS = 6
SOL_PACKET = 263
SO_RCVBUFFORCE = 33
CANARY = "fd77:6655:4433:2211:9988:aabb:ccdd:eeff"

SETUP = """
set -e
ip link set lo up
ip address add %s/128 dev lo
ip link add out0 type veth peer name end0
echo 1 >/proc/sys/net/ipv6/conf/out0/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/end0/disable_ipv6
ip address add 10.77.0.1/24 dev out0
ip link set out0 up
ip link set end0 up
ip route add default via 10.77.0.2
""" % CANARY


class Namespace:
    def __init__(self):
        self._threads = concurrent.futures.ThreadPoolExecutor(1)
        self.run(self._enter)

    @staticmethod
    def _enter():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) == -1:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["sh", "-c", SETUP], check=True)

    def run(self, function, *args):
        """Calls a function there; returns what it returns."""
        return self._threads.submit(function, *args).result()

    def close(self):
        self._threads.shutdown()


class Packet:
    """An IP packet: protocol and both ends, or None for what is not one."""

    def __init__(self, interface, ethertype, data):
        self.interface = interface
        self.protocol = self.source = self.target = None
        self.payload = data
        if ethertype == ETH_P_IP:
            self.protocol = data[9]
            family, ends = socket.AF_INET, (data[12:16], data[16:20])
            body = data[(data[0] & 15) * 4:]
        elif ethertype == ETH_P_IPV6:
            self.protocol = data[6]
            family, ends = socket.AF_INET6, (data[8:24], data[24:40])
            body = data[40:]
        else:
            return
        ports = struct.unpack("!2H", body[:4])
        if self.protocol not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            ports = None, None
        hosts = [socket.inet_ntop(family, end) for end in ends]
        self.source, self.target = zip(hosts, ports)
        self.payload = body

    def has_end(self, protocol, end):
        return (self.interface == "lo" and self.protocol == protocol
                and end in (self.source, self.target))

    def __repr__(self):
        return "%s: protocol %s, %s > %s" % (
            self.interface, self.protocol, self.source, self.target)


class Capture(threading.Thread):
    """Everything that is sent in the namespace it is made in."""

    def __init__(self):
        super().__init__()
        self.packets = []
        self.sock = socket.socket(
            socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
        self.sock.settimeout(0.2)
        self.done = threading.Event()
        self.start()

    def run(self):
        while True:
            try:
                data, (name, ethertype, kind, *_) = self.sock.recvfrom(1 << 17)
            except socket.timeout:
                if self.done.is_set():
                    return
                continue
            if kind == PACKET_OUTGOING:
                self.packets.append(Packet(name, ethertype, data))

    def finish(self):
        """The packets; none has been missed."""
        self.done.set()
        self.join()
        statistics = self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self.sock.close()
        assert struct.unpack("=2I", statistics)[1] == 0, "packets were missed"
        return self.packets
