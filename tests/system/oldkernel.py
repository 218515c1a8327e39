#!/usr/bin/python3
"""Runs a program, and all that it starts, as if the kernel were older, or a container stood in the way.

    oldkernel.py NAME[,NAME...][=ERRNO] PROGRAM [ARGUMENT ...]

The calls NAME fail with ENOSYS, or with ERRNO; SO_PEERPIDFD is a socket option and fails with ENOPROTOOPT.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

# The same numbers on every machine.
CALLS = {"pidfd_send_signal": 424, "pidfd_open": 434, "close_range": 436, "landlock_create_ruleset": 444,
         "landlock_add_rule": 445, "landlock_restrict_self": 446}
GETSOCKOPT = {"x86_64": 55}.get(platform.machine(), 209)
SOL_SOCKET, SO_PEERPIDFD = 1, 77
NR, ARGS = 0, 16                                # offsets in struct seccomp_data
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06       # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ, BPF_RET
ALLOW, FAIL = 0x7fff0000, 0x00050000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


def program(names, number):
    """Instructions: code, how many to leave out if it is equal and if not, value."""
    code = [(LOAD, 0, 0, NR)]
    for name in names:
        if name == "SO_PEERPIDFD":
            code += [(IF_EQUAL, 0, 5, GETSOCKOPT), (LOAD, 0, 0, ARGS + 8), (IF_EQUAL, 0, 3, SOL_SOCKET),
                     (LOAD, 0, 0, ARGS + 16), (IF_EQUAL, 0, 1, SO_PEERPIDFD), (RETURN, 0, 0, FAIL | errno.ENOPROTOOPT),
                     (LOAD, 0, 0, NR)]
        else:
            code += [(IF_EQUAL, 0, 1, CALLS[name]), (RETURN, 0, 0, FAIL | number)]
    return code + [(RETURN, 0, 0, ALLOW)]


def main():
    names, _, number = sys.argv[1].partition("=")
    code = program(names.split(","), getattr(errno, number or "ENOSYS"))
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in code))
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(text)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, filter_, 0, 0) != 0:
        sys.exit(f"oldkernel.py: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
