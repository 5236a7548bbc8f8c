"""The few system calls about namespaces that Python 3.11's library lacks."""
import contextlib
import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result, what):
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def unshare(flags):
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd, kind):
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source, target, kind=None, flags=0, options=None):
    def encode(text):
        return text.encode() if text is not None else None
    _checked(_libc.mount(encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(options)),
             f"mount {source} on {target}")


def bind(source, target):
    mount(source, target, flags=_MS_BIND)


def make_mounts_private():
    """What is mounted from here on stays in this mount namespace."""
    mount("none", "/", flags=_MS_REC | _MS_PRIVATE)


def detach(target):
    _checked(_libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def enter(pid, kind):
    """Moves the calling thread into the namespace of process `pid`."""
    fd = os.open(f"/proc/{pid}/ns/{'mnt' if kind == CLONE_NEWNS else 'net'}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, kind)
    finally:
        os.close(fd)


@contextlib.contextmanager
def network_namespace(pid):
    """The calling thread works in the network namespace of `pid`: sockets opened here stay there. Its cgroup remains the caller's, so
    that no hook of a pod sees these sockets: for observers, not for stand-ins of applications."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(pid, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)
