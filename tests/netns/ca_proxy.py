"""A stand-in for a proxy, as far as certificates go: it says Hello, asks for a certificate and prints what the agent brings back: a line of
JSON with "error", the names and issuers of "chain", and how many "roots" it was told of. Run as the proxy's user:

    ca_proxy.py SOCKET INSTANCE IDENTITY
"""
import json
import socket
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ca_programs import _field, _fields, _varint

HELLO, SIGN, SIGNED, ROOTS = 1, 5, 7, 8  # numbers of leat.proto
PATIENCE = 20


def request_for(identity, number=1):
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return _field(SIGN, _varint(1 << 3) + _varint(number) + _field(2, identity.encode())
                  + _field(3, csr.public_bytes(serialization.Encoding.DER)))


def messages(channel):
    whole = b""
    while True:
        frame = channel.recv(65536)
        if not frame:
            return
        whole += frame[1:]
        if frame[0] == 0:
            yield from _fields(whole)
            whole = b""


def main(path, instance, identity):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(PATIENCE)
        channel.connect(path)
        channel.send(b"\0" + _field(HELLO, _field(1, b"0.1.0") + _field(2, instance.encode()) + _field(7, b"epoll")))
        channel.send(b"\0" + request_for(identity))
        roots, end = 0, time.monotonic() + PATIENCE
        for kind, content in messages(channel):
            if kind == ROOTS:
                roots = len(list(_fields(content)))
            if kind == SIGNED:
                fields = list(_fields(content))
                chain = [x509.load_der_x509_certificate(value) for number, value in fields if number == 2]
                error = "".join(value.decode() for number, value in fields if number == 3)
                names = [str(name.value) for found in chain[:1] for name in
                         found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]
                print(json.dumps({"error": error, "names": names, "chain": [found.issuer.rfc4514_string() for found in chain], "roots": roots}))
                return
            if time.monotonic() > end:
                break
        print(json.dumps({"error": "no answer", "names": [], "chain": [], "roots": roots}))


main(*sys.argv[1:])
