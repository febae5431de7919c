# SPDX-License-Identifier: ISC
"""
Which calls are made to fail: a point is a process, a function, which call of
it, an errno, once or from then on.
"""

import collections
import errno
import random

# What a step of confinement is made of: whatever fails there must end the
# process, or be named as not on offer.
CONFINEMENT = {
    "capget", "capset", "capng_apply", "capng_change_id",
    "capng_get_caps_process", "capng_update", "chdir", "chroot", "getresuid",
    "prctl", "seccomp_init", "seccomp_load", "seccomp_rule_add",
    "seccomp_rule_add_array", "setgroups", "setresgid", "setresuid",
    "setrlimit", "syscall", "unshare", "close_range", "lstat", "mkdir",
}

E = errno
ERRNOS = {
    "accept4": (E.EMFILE, E.ECONNABORTED, E.ENOMEM, E.EINTR),
    "bind": (E.EADDRINUSE, E.EACCES, E.ENOMEM),
    "capset": (E.EPERM,), "capget": (E.EPERM,),
    "chroot": (E.EPERM, E.ENOENT),
    "close_range": (E.ENOMEM, E.EMFILE),
    "connect": (E.ENETUNREACH, E.ENOMEM, E.EINTR, E.ECONNREFUSED),
    "dup2": (E.EBUSY, E.EINTR),
    "epoll_create1": (E.EMFILE, E.ENOMEM),
    "epoll_ctl": (E.ENOMEM, E.ENOSPC),
    "epoll_wait": (E.EINTR, E.EBADF),
    "execve": (E.ENOMEM, E.EACCES, E.ENOENT),
    "fcntl": (E.EMFILE, E.EINTR),
    "fork": (E.EAGAIN, E.ENOMEM),
    "getrandom": (E.EAGAIN, E.EINTR),
    "kill": (E.EPERM, E.ESRCH),
    "listen": (E.EADDRINUSE,),
    "mkdir": (E.EROFS, E.ENOSPC, E.EACCES),
    "open": (E.EMFILE, E.ENOENT, E.EIO, E.EINTR),
    "openat": (E.EMFILE, E.ENOENT),
    "poll": (E.EINTR, E.ENOMEM),
    "prctl": (E.EPERM, E.EINVAL),
    "read": (E.EINTR, E.EIO, E.EAGAIN),
    "recv": (E.EINTR, E.EAGAIN, E.ECONNRESET, E.ENOMEM),
    "recvmmsg": (E.EINTR, E.EAGAIN, E.ENOMEM, E.ECONNREFUSED),
    "recvmsg": (E.EINTR, E.EAGAIN, E.ECONNRESET, E.ENOMEM),
    "send": (E.EAGAIN, E.EINTR, E.ECONNRESET, E.ENOBUFS, E.EPIPE),
    "sendmmsg": (E.EAGAIN, E.EINTR, E.ENOBUFS, E.EPERM, E.ENETUNREACH),
    "sendmsg": (E.EAGAIN, E.EINTR, E.ENOBUFS, E.EPIPE, E.ETOOMANYREFS),
    "setgroups": (E.EPERM, E.ENOMEM),
    "setresgid": (E.EPERM, E.EAGAIN), "setresuid": (E.EAGAIN, E.EPERM),
    "setrlimit": (E.EPERM, E.EINVAL),
    "setsockopt": (E.ENOMEM, E.ENOPROTOOPT, E.EPERM),
    "socket": (E.EMFILE, E.ENFILE, E.ENOBUFS, E.EAFNOSUPPORT),
    "socketpair": (E.EMFILE, E.ENFILE, E.ENOMEM),
    "syscall": (E.ENOMEM, E.EPERM, E.EINVAL, E.ENOSYS),
    "unlink": (E.EROFS, E.EACCES),
    "unshare": (E.ENOMEM, E.EPERM, E.ENOSPC, E.EINVAL),
    "waitpid": (E.EINTR, E.ECHILD),
    "write": (E.EIO, E.ENOSPC, E.EINTR, E.EAGAIN, E.EPIPE),
}

Point = collections.namedtuple(
    "Point", "role function nth err forever life")


def describe(p):
    return "%s: %s %s%d %s%s" % (
        p.role, p.function, "from " if p.forever else "", p.nth,
        errno.errorcode.get(p.err, p.err),
        " in life %d" % p.life if p.life else "")


def which(calls, exhaustive):
    """Numbers of calls: all of the first, and then ever fewer."""
    chosen, n = [], 1
    while n <= calls:
        chosen.append(n)
        n = n + 1 if n < exhaustive else n + max(1, n // 6)
    if calls not in chosen:
        chosen.append(calls)
    return chosen


def plan(counts, exhaustive=24):
    """All points there are."""
    points = []
    for role, functions in counts.items():
        for function, calls in sorted(functions.items()):
            if (role, function) == ("exporter", "write"):
                continue    # its log, by which it is followed
            errnos = ERRNOS.get(function, (E.ENOMEM,))
            confines = function in CONFINEMENT
            every = 200 if confines else exhaustive
            for nth in which(calls, every):
                for i, err in enumerate(errnos):
                    if i > 0 and not confines and nth > 3:
                        continue
                    points.append(Point(role, function, nth, err, 0, 0))
            # What says "try again" does not do so for ever.
            lasting = next((e for e in errnos
                            if e not in (E.EINTR, E.EAGAIN)), E.EIO)
            for nth in (1, calls // 2, calls):
                if nth > 0:
                    points.append(Point(role, function, nth, lasting, 1, 0))
            if role in ("listener", "pool"):
                for nth in ((1, calls) if not confines
                            else which(calls, 200)[::3]):
                    points.append(Point(role, function, nth, lasting, 1, 2))
    return list(dict.fromkeys(points))


def sample(points, count):
    """The same ones every time, some of each function of each process."""
    by_function = collections.defaultdict(list)
    for point in points:
        by_function[point.role, point.function].append(point)
    chosen = []
    rng = random.Random(1)
    while len(chosen) < count and by_function:
        for key in sorted(by_function):
            group = by_function[key]
            if key[1] in CONFINEMENT or len(chosen) < count:
                chosen.append(group.pop(rng.randrange(len(group))))
            if not group:
                del by_function[key]
    return chosen[:count]
