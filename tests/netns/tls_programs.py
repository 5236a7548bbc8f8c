"""Certificates of tests, and programs that speak TLS: openssl's own, and clients that say exactly what they are told."""
import select
import socket
import ssl
import subprocess

from programs import connect, read_all


class Authority:
    """A CA in a folder: issue(name, …) writes NAME.crt and NAME.key."""

    def __init__(self, folder, name="test CA"):
        self.folder, self.name = folder, name
        self.certificate, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                 "-keyout", self._key, "-out", self.certificate)

    def issue(self, name, *names, days=2):
        """`names`: DNS:…, URI:… or IP:…; without any, DNS:NAME. Paths of the certificate and the key."""
        certificate, key, request, extensions = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr", "ext"))
        extensions.write_text(f"subjectAltName={','.join(names or [f'DNS:{name}'])}\n")
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key,
                 "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", str(days),
                 "-extfile", extensions, "-out", certificate)
        return certificate, key


def _openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def s_server(pod, port, certificate, key, *options):
    """openssl s_server, which answers each request with a page about its TLS."""
    server = pod.start(["openssl", "s_server", "-accept", port, "-cert", certificate, "-key", key, "-www", *options])
    server.expect("ACCEPT")
    return server


def subject_seen(pod, address, port, name):
    """The common name in the certificate that openssl s_client is shown."""
    sni = ["-servername", name] if name else ["-noservername"]
    done = pod.run(["openssl", "s_client", "-connect", f"{address}:{port}", *sni], text_input="", check=False, timeout=20)
    for line in done.stdout.splitlines():
        if line.startswith("subject="):
            return line.split("CN = ")[-1].split("CN=")[-1].strip()
    return f"nobody: {done.stdout[-200:]}{done.stderr[-200:]}"


# ---------------------------------------------------------------- for Pod.call()

def client_hello(name, padding=0):
    """`padding`: it offers so many protocols of 255 letters that nobody speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if padding:
        context.set_alpn_protocols([f"{number:x>255}" for number in range(padding)])
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def subject_by_pieces(address, port, name, size):
    """The same by a client whose ClientHello leaves in segments of `size` bytes, in records of half its length."""
    hello = client_hello(name)
    body = hello[5:]
    half = len(body) // 2
    records = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in (body[:half], body[half:]))
    sock = connect(address, port)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(records), size):
        sock.sendall(records[at:at + size])
    return is_understood(sock)


def is_understood(sock):
    """Whether the server answers a ClientHello with a ServerHello."""
    answer = b""
    while len(answer) < 5:
        more = sock.recv(4096)
        if not more:
            break
        answer += more
    return answer[:1] == b"\x16"


def late_hello(address, port, name, seconds):
    """The same by a client that says nothing for so long."""
    sock = connect(address, port)
    assert not select.select([sock], [], [], seconds)[0], "nobody speaks before the client"
    sock.sendall(client_hello(name))
    return is_understood(sock)


def large_hello(address, port, name):
    """The same by a client whose ClientHello has more than 20 KB."""
    hello = client_hello(name, padding=80)
    assert len(hello) > 20_000
    sock = connect(address, port)
    sock.sendall(hello)
    return is_understood(sock)


def first_bytes_after(address, port, say):
    """What a server says to a client that sends `say`, which is no TLS."""
    sock = connect(address, port)
    sock.sendall(say)
    sock.shutdown(socket.SHUT_WR)
    return read_all(sock)
