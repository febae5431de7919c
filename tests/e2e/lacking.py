# SPDX-License-Identifier: ISC
"""
lacking.py landlock|ipv6 COMMAND ...: runs a command on a kernel that does not
have it.  To be run as root, which needs no "no new privileges" for a filter.
"""

import ctypes
import errno
import os
import socket
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, JUMP_EQ, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7fff0000, 0x00050000
OFFSET_NR, OFFSET_ARG0 = 0, 16
NR_SOCKET = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
NR_LANDLOCK_CREATE_RULESET = 444


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def refuse(number, error, arg0=None):
    code = [(LOAD, 0, 0, OFFSET_NR)]
    if arg0 is None:
        code += [(JUMP_EQ, 0, 1, number)]
    else:
        code += [(JUMP_EQ, 0, 3, number), (LOAD, 0, 0, OFFSET_ARG0),
                 (JUMP_EQ, 0, 1, arg0)]
    code += [(RETURN, 0, 0, ERRNO | error), (RETURN, 0, 0, ALLOW)]
    program = Program(
        len(code), b"".join(struct.pack("=HBBI", *op) for op in code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                  ctypes.byref(program), 0, 0) == -1:
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    if sys.argv[1] == "landlock":
        refuse(NR_LANDLOCK_CREATE_RULESET, errno.ENOSYS)
    else:
        refuse(NR_SOCKET, errno.EAFNOSUPPORT, socket.AF_INET6)
    os.execvp(sys.argv[2], sys.argv[2:])
