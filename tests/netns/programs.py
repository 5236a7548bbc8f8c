"""Small programs for pods: functions for Pod.spawn(function, …) and Pod.call(function, …). Sockets here are an application's."""
import socket
import struct
import threading
import zlib

CHUNK_BYTES = 256 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listen(port, address="::", v6only=False):
    server = socket.socket(family_of(address), socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if server.family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    server.bind((address, port))
    server.listen(1024)
    return server


def connect(address, port, timeout=20, source_port=0):
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    sock.settimeout(timeout)
    if source_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", source_port))
    sock.connect((address, port))
    return sock


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()


def read_all(sock):
    return b"".join(iter(lambda: sock.recv(CHUNK_BYTES), b""))


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError(f"end after {len(data)} of {size} bytes")
        data += more
    return data


def read_until(sock, end):
    data = b""
    while end not in data:
        more = sock.recv(CHUNK_BYTES)
        if not more:
            raise EOFError(f"end after {len(data)} bytes")
        data += more
    return data


def outcome(action):
    """"ok", or how it went wrong: "refused", "reset", "closed", "timeout", "denied", …"""
    try:
        action()
        return "ok"
    except EOFError:
        return "closed"
    except OSError as error:
        return {ConnectionRefusedError: "refused", ConnectionResetError: "reset", BrokenPipeError: "reset", TimeoutError: "timeout",
                PermissionError: "denied"}.get(type(error), str(error))


def try_connect(address, port, timeout=8):
    """How an application sees a connection attempt: up to the first byte that an echo server returns. A connection that a proxy takes
    first and resets then is "reset" or "refused" alike: not served."""
    def attempt():
        with connect(address, port, timeout) as sock:
            sock.sendall(b"?")
            if sock.recv(1) != b"?":
                raise ConnectionResetError
    return outcome(attempt)


def try_http(address, port, timeout=8):
    """The same for an HTTP server: up to the first byte of its answer."""
    def attempt():
        with connect(address, port, timeout) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: backend\r\n\r\n")
            if not sock.recv(1):
                raise ConnectionResetError
    return outcome(attempt)


# ---------------------------------------------------------------- servers: said "listening", then one saying a connection

def echo(say, port, address="::", v6only=False):
    """Echoes for ever, each client on its thread; says (peer, local) for each."""
    server = listen(port, address, v6only)
    say("listening")
    while True:
        client, peer = server.accept()
        say((peer[:2], client.getpeername()[:2], client.getsockname()[:2]))
        threading.Thread(target=_echo_one, args=(client,), daemon=True).start()


def _echo_one(client):
    try:
        while data := client.recv(CHUNK_BYTES):
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    finally:
        client.close()


def serve_one(say, port, handle, *arguments):
    """Accepts one client and says what `handle(socket, …)` returns."""
    with listen(port) as server:
        say("listening")
        client, _ = server.accept()
        client.settimeout(60)
        say(handle(client, *arguments))


# ---------------------------------------------------------------- bulk, checked

def transfer(sock, size, seed):
    """Sends `size` bytes made from `seed` and receives `size` bytes at the same time; returns both checksums."""
    sent = []
    sender = threading.Thread(target=lambda: sent.append(_send_checked(sock, size, seed)))
    sender.start()
    received, left, buffer = 0, size, bytearray(CHUNK_BYTES)
    while left:
        got = sock.recv_into(buffer, min(left, CHUNK_BYTES))
        if got == 0:
            raise EOFError(f"end with {left} bytes missing")
        received = zlib.crc32(memoryview(buffer)[:got], received)
        left -= got
    sender.join()
    return {"sent": sent[0], "received": received}


def _send_checked(sock, size, seed):
    """The bytes differ from place to place, so that a chunk lost, doubled or swapped shows."""
    block = memoryview((seed * 1024 + bytes(range(251)) * 4200)[:2 * CHUNK_BYTES])
    checksum, sent = 0, 0
    while sent < size:
        offset = (sent // CHUNK_BYTES * 7919) % CHUNK_BYTES
        chunk = block[offset:offset + min(CHUNK_BYTES, size - sent)]
        sock.sendall(chunk)
        checksum = zlib.crc32(chunk, checksum)
        sent += len(chunk)
    return checksum
