"""HTTP/1.1 by hand, for tests: a client and a server that say exactly what they are told, and read no more into an answer than is there.
Functions for Pod.spawn() and Pod.call(), as in programs.py."""
import signal
import threading
from dataclasses import dataclass, field

from programs import CHUNK_BYTES, connect, listen, reset


@dataclass
class Message:
    first: str                # the request line or status line
    headers: list             # (name, value), in their order, names in lower case
    body: bytes = b""
    trailers: list = field(default_factory=list)
    whole: bool = True        # False: the connection ended before the body did

    @property
    def status(self):
        return int(self.first.split(" ")[1])

    @property
    def method(self):
        return self.first.split(" ")[0]

    def header(self, name):
        """Its value; None where it is missing."""
        return next((value for key, value in self.headers if key == name), None)


class Talk:
    """One connection, of either side."""

    def __init__(self, sock):
        self.sock, self.left = sock, b""  # what was received and not yet taken

    def send(self, data):
        self.sock.sendall(data)

    def head(self):
        """The next message's head; its body is still to be read. None where the other side has ended."""
        if not self._fill(lambda: b"\r\n\r\n" in self.left):
            return None
        first = self._line().decode("latin-1")
        return Message(first, self.fields())

    def request(self):
        """The next request, or None where the client has ended."""
        message = self.head()
        if message:
            self._read_body(message, close_delimited=False)
        return message

    def response(self, method="GET"):
        """The next response; 1xx are responses of their own. Raises EOFError where the connection ends before its head is whole."""
        message = self.head()
        if message is None:
            raise EOFError(f"end after {self.left[:200]!r}")
        if method != "HEAD" and message.status >= 200 and message.status not in (204, 304):
            self._read_body(message, close_delimited=True)
        return message

    def ask(self, request, method="GET"):
        self.send(request)
        return self.response(method)

    def exactly(self, size):
        """The next `size` bytes, piece by piece as they come. Raises EOFError where there are fewer."""
        while size:
            if not self.left and not self._fill(lambda: self.left):
                raise EOFError(f"{size} bytes are missing")
            piece = self._take(size)
            size -= len(piece)
            yield piece

    def fields(self):
        """Header or trailer fields up to the empty line."""
        fields = []
        while line := self._line():
            name, value = line.decode("latin-1").split(":", 1)
            fields.append((name.lower(), value.strip()))
        return fields

    def chunks(self):
        """The chunks of a body; its trailer fields are still to be read."""
        while size := int(self._line().split(b";")[0], 16):
            if not self._fill(lambda: len(self.left) >= size + 2):
                raise EOFError
            yield self._take(size + 2)[:-2]

    def rest(self):
        """All that comes until the end."""
        self._fill(lambda: False)
        taken, self.left = self.left, b""
        return taken

    def _fill(self, enough):
        while not enough():
            more = self.sock.recv(CHUNK_BYTES)
            if not more:
                return False
            self.left += more
        return True

    def _take(self, size):
        taken, self.left = self.left[:size], self.left[size:]
        return taken

    def _line(self):
        if not self._fill(lambda: b"\r\n" in self.left):
            raise EOFError
        return self._take(self.left.index(b"\r\n") + 2)[:-2]

    def _read_body(self, message, close_delimited):
        try:
            if message.header("transfer-encoding"):
                message.body = b"".join(self.chunks())
                message.trailers = self.fields()
            elif (length := message.header("content-length")) is not None:
                message.whole = self._fill(lambda: len(self.left) >= int(length))
                message.body = self._take(int(length))
            elif close_delimited:
                message.body = self.rest()
        except EOFError:
            message.whole = False


# ---------------------------------------------------------------- servers: said "listening", then what they saw

def serve(say, port, handle):
    """`handle(talk, say)` for each connection, on its own thread, until the program is killed."""
    server, lock = listen(port), threading.Lock()

    def say_one(word):
        with lock:
            say(word)

    def run(client):
        try:
            handle(Talk(client), say_one)
        except (OSError, EOFError):
            pass
        finally:
            client.close()
    say("listening")
    while True:
        client, _ = server.accept()
        client.settimeout(60)
        threading.Thread(target=run, args=(client,), daemon=True).start()


def answering(respond):
    """A handler: says each request, and sends what `respond(request)` returns."""
    def handle(talk, say):
        while (request := talk.request()) is not None:
            say(request)
            talk.send(respond(request))
    return handle


def ok(body=b"ok", *headers):
    return response(200, body, *headers)


def response(status, body=b"", *headers):
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks, trailers=""):
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return framed + b"0\r\n" + trailers.encode() + b"\r\n"


# ---------------------------------------------------------------- clients

def get(path="/", *headers, version="1.1", method="GET", host="web"):
    return "\r\n".join([f"{method} {path} HTTP/{version}", f"Host: {host}", *headers, "", ""]).encode()


def post(body, *headers, path="/", host="web"):
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST", host=host) + body


def ask(address, port, request, method="GET"):
    """One request on a connection of its own."""
    with connect(address, port) as sock:
        return Talk(sock).ask(request, method)


def ask_in_turn(address, port, requests):
    """One after the other on one connection."""
    with connect(address, port) as sock:
        talk = Talk(sock)
        return [talk.ask(request) for request in requests]


def say_and_read_all(address, port, data):
    """Everything that comes back until the end of the connection."""
    with connect(address, port) as sock:
        sock.sendall(data)
        return Talk(sock).rest()


def ask_and_leave_when_told(say, address, port):
    """For Pod.spawn(): resets its connection at SIGUSR1, whatever the server is doing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    sock = connect(address, port)
    sock.sendall(get())
    say("asked")
    signal.sigwait([signal.SIGUSR1])
    reset(sock)
