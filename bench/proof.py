"""A column must be what its name says before its numbers mean anything. The witnesses are the kernel's: how many sockets a connection
takes in the client's namespace, and what passes the wire."""
import processes
from columns import ECHO, HTTP
from generator import Generator

_CONNECTIONS = 50
_BODY = b"x" * 64  # what the server's answers are made of


class NotWhatItSays(AssertionError):
    pass


def check(tools, column):
    """Raises NotWhatItSays."""
    _check_capture(tools, column)
    if column.wire:
        _check_encryption(tools, column)
    if column.counted:
        _check_split(tools, column)


def _check_capture(tools, column):
    """The client's own socket, and a proxy's beside it where one accepts the connection inside the client's namespace."""
    before = processes.tcp_sockets(column.client)
    with Generator(tools, column, "idle", ECHO, "--connections", _CONNECTIONS) as generator:
        generator.expect("START")
        each = (processes.tcp_sockets(column.client) - before) / _CONNECTIONS
    if column.captured != (each > 1.5):
        raise NotWhatItSays(f"{column.name}: {each:.1f} sockets a connection in the client's namespace: "
                            f"{'no proxy took it' if column.captured else 'a proxy took it'}")


def _check_split(tools, column):
    """Each request of the load is counted as HTTP, and the servers' shares are the weights."""
    before = column.counted()
    with Generator(tools, column, "http", HTTP, "--connections", 4, "--seconds", 0.5) as generator:
        done = generator.finish()["done"]
    counted = column.counted() - before
    if sum(counted.values()) < done or not 0.85 < counted["v1"] / sum(counted.values()) < 0.95:
        raise NotWhatItSays(f"{column.name}: {done} requests, counted {dict(counted)}")


def _check_encryption(tools, column):
    with column.wire() as wire, Generator(tools, column, "http", HTTP, "--connections", 4, "--seconds", 0.2) as generator:
        generator.finish()
    if wire.saw(_BODY):
        raise NotWhatItSays(f"{column.name}: plaintext on the wire")
    if not wire.tls_records():
        raise NotWhatItSays(f"{column.name}: no TLS on the wire")
