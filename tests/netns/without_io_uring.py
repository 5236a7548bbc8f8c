"""without_io_uring.py PROGRAM ARGUMENT…: runs a program that may not make an io_uring, as under many containers' seccomp profile."""
import ctypes
import os
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_IO_URING_SETUP = 425  # on every architecture
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def forbid_io_uring():
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in (
        (_LOAD_NUMBER, 0, 0, 0), (_JUMP_IF_EQUAL, 0, 1, _IO_URING_SETUP), (_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)))
    instructions = ctypes.create_string_buffer(code, len(code))
    program = _Program(4, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    for option, *values in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))):
        if libc.prctl(option, *(ctypes.c_ulong(value) for value in (*values, 0, 0, 0)[:4])) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option})")


if __name__ == "__main__":
    forbid_io_uring()
    os.execv(sys.argv[1], sys.argv[1:])
