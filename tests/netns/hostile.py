"""What a hostile peer brings: certificates of its own making, a raw HTTP/2 client that obeys no rule, TLS to a pod's port 15008."""
import datetime
import socket
import ssl
import struct
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from programs import connect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1


# ---------------------------------------------------------------- certificates

class Authority:
    """Signs whatever a test asks for, with the key of the lab's own CA or with one of its own."""

    def __init__(self, folder=None):
        if folder:
            self._key = serialization.load_pem_private_key((Path(folder) / "root.key").read_bytes(), None)
            self.root = x509.load_pem_x509_certificate((Path(folder) / "root.pem").read_bytes())
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self.root = self._sign(self._key.public_key(), ["spiffe://cluster.local"], days=1, issuer=None, is_root=True)

    def issue(self, *uris, days=1.0):
        """(certificate, key) in PEM. With negative `days` it has expired already."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(key.public_key(), uris, days, self.root.subject)
        return (certificate.public_bytes(serialization.Encoding.PEM),
                key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def _sign(self, public_key, uris, days, issuer, is_root=False):
        now = datetime.datetime.utcnow()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Leat root")] if is_root else [])
        start, end = sorted((now - datetime.timedelta(hours=1), now + datetime.timedelta(days=days)))
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(public_key)
                   .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
                   .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris]), critical=not is_root)
                   .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
                   .add_extension(_key_usage(is_root), critical=True)
                   .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False))
        return builder.sign(self._key, hashes.SHA256())


def _key_usage(is_root):
    return x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, content_commitment=False,
                         key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)


# ---------------------------------------------------------------- a connection to a pod's HBONE port

def tls(address, pem=None, alpn=("h2",), version=None, timeout=8):
    """A TLS connection to port 15008; the server's certificate is taken as it is. With TLS 1.3 a client learns only
    from its first read that its certificate was refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if pem:
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"".join(pem))
            file.flush()
            context.load_cert_chain(file.name)
    return context.wrap_socket(connect(address, 15008, timeout))


class Http2:
    """As little of HTTP/2 as it takes to ask, and to misbehave."""

    def __init__(self, sock):
        self.sock = sock
        self._bytes = b""
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def connect_to(self, authority, stream=1, flags=END_HEADERS):
        self.sock.sendall(frame(HEADERS, flags, stream, literal(":method", "CONNECT") + literal(":authority", authority)))

    def next_frame(self):
        """(type, flags, stream, payload)"""
        head = self._take(9)
        length = int.from_bytes(b"\0" + head[:3], "big")
        return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, self._take(length)

    def status_of(self, stream=1):
        """The answer on a stream: its :status, or "reset", or "goaway"."""
        while True:
            kind, _, number, payload = self.next_frame()
            if kind == HEADERS and number == stream:
                return status(payload)
            if kind == RST_STREAM and number == stream:
                return "reset"
            if kind == GOAWAY:
                return "goaway"

    def _take(self, size):
        while len(self._bytes) < size:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError("the peer ended the connection")
            self._bytes += more
        taken, self._bytes = self._bytes[:size], self._bytes[size:]
        return taken


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without indexing and without Huffman coding (RFC 7541, 6.2.2)."""
    return b"\0" + _string(name) + _string(value)


def _string(text):
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


_STATIC_STATUS = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}


def status(block):
    """:status from a header block whose first field it is: indexed, or literal with an indexed name."""
    if block[0] & 0xE0 == 0x20:  # a dynamic table size update comes first
        return status(block[1:])
    if block[0] & 0x80:
        return _STATIC_STATUS.get(block[0] & 0x7F, "?")
    value = block[2:2 + (block[1] & 0x7F)]
    return _huffman_digits(value) if block[1] & 0x80 else value.decode()


def _huffman_digits(data):
    """Digits only, which is all that a status has: 0, 1, 2 are 00000 to 00010, 3 to 9 are 011001 to 011111 (RFC 7541, appendix B)."""
    codes = {f"{digit:05b}": str(digit) for digit in range(3)} | {f"{0b011001 + digit - 3:06b}": str(digit) for digit in range(3, 10)}
    text, code = "", ""
    for bit in "".join(f"{byte:08b}" for byte in data):
        code += bit
        if code in codes:
            text, code = text + codes[code], ""
    return text


def refusal(action):
    """How a peer was refused: "closed", "refused", "timeout", "alert: …"; None where `action` went through."""
    try:
        action()
        return None
    except ssl.SSLError as error:
        return f"alert: {error.reason}"
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return "closed"
    except ConnectionRefusedError:
        return "refused"
    except socket.timeout:
        return "timeout"
