# SPDX-License-Identifier: ISC
"""
What a seccomp filter decides, read from its BPF program without running
anything: for each system call the conditions on its arguments under which it
is allowed.
"""

import re
import struct

LOAD, AND, RETURN, JUMP = 0x20, 0x54, 0x06, 0x05
JUMP_EQ, JUMP_GT, JUMP_GE, JUMP_SET = 0x15, 0x25, 0x35, 0x45
ALLOW = 0x7fff0000
ERRNO = 0x00050000
KILL_PROCESS = 0x80000000
AUDIT_ARCH = {"x86_64": 0xc000003e, "aarch64": 0xc00000b7}

TESTS = {
    JUMP_EQ: lambda a, k: a == k,
    JUMP_GT: lambda a, k: a > k,
    JUMP_GE: lambda a, k: a >= k,
    JUMP_SET: lambda a, k: a & k != 0,
}


class Argument:
    """Half of an argument that is not known, some bits of it."""

    def __init__(self, offset, mask=0xffffffff):
        self.offset = offset
        self.mask = mask

    def condition(self, value):
        number, high = divmod(self.offset - 16, 8)
        if high:
            return None if value == 0 else "arg%d>>32=%#x" % (number, value)
        if self.mask == 0:
            return None
        bits = "" if self.mask == 0xffffffff else "&%#x" % self.mask
        return "arg%d%s=%d" % (number, bits, value)


class Filter:
    def __init__(self, program, machine):
        self.code = list(struct.iter_unpack("=HBBI", program))
        self.arch = AUDIT_ARCH[machine]

    def _load(self, number, offset):
        known = {0: number, 4: self.arch}
        return known[offset] if offset in known else Argument(offset)

    def paths(self, number, at=0, acc=None, conditions=()):
        """Every (verdict, conditions) a system call can come to."""
        while True:
            op, yes, no, k = self.code[at]
            at += 1
            if op == LOAD:
                acc = self._load(number, k)
            elif op == AND:
                acc = (Argument(acc.offset, acc.mask & k)
                       if isinstance(acc, Argument) else acc & k)
            elif op == RETURN:
                yield k, conditions
                return
            elif op == JUMP:
                at += k
            elif isinstance(acc, Argument):
                assert op == JUMP_EQ, "a comparison the filters do not have"
                more = acc.condition(k)
                added = conditions if more is None else (*conditions, more)
                yield from self.paths(number, at + yes, acc, added)
                if acc.mask != 0:
                    yield from self.paths(number, at + no, acc, conditions)
                return
            else:
                at += yes if TESTS[op](acc, k) else no

    def allowed(self, number):
        """The conditions, as text, under which it may be made."""
        return {" ".join(conditions)
                for verdict, conditions in self.paths(number)
                if verdict == ALLOW}

    def denials(self, number):
        return {verdict for verdict, _ in self.paths(number)
                if verdict != ALLOW}

    def describe(self, names):
        """The allowances, one a line: name and conditions."""
        lines = []
        for number, name in names.items():
            for conditions in self.allowed(number):
                if name == "tgkill":    # its process is its own
                    conditions = re.sub(
                        "arg0=[0-9]+", "arg0=self", conditions)
                lines.append(("%s %s" % (name, conditions)).strip())
        return sorted(lines)
