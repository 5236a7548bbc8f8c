"""The wire of istio.v1.auth.IstioCertificateService, spoken by the library that others speak it with (grpcio), and with messages that are
put together here: so neither side of it is Leat's own. Functions for Place.call() and Place.spawn(); grpcio is imported only in the
programs themselves: its threads do not survive a fork."""
import datetime

METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"


# ---------------------------------------------------------------- protobuf, as far as these two messages go

def _varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _field(number, payload):
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _fields(message):
    """(number, value) of a message's fields; a value is bytes or an integer."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(message):
        tag = varint()
        value = varint()
        if tag & 7 == 2:
            value, at = message[at:at + value], at + value
        yield tag >> 3, value


def encode_request(csr, identity=None, seconds=0):
    out = _field(1, csr)
    if seconds:
        out += _varint(3 << 3) + _varint(seconds)
    if identity:
        entry = _field(1, b"ImpersonatedIdentity") + _field(2, _field(3, identity.encode()))
        out += _field(4, _field(1, entry))
    return out


def decode_request(message):
    fields = dict(_fields(message))
    identity = None
    if 4 in fields:
        entry = dict(_fields(dict(_fields(fields[4]))[1]))
        identity = dict(_fields(entry[2]))[3].decode()
    return fields[1], identity, fields.get(3, 0)


# ---------------------------------------------------------------- requests

def make_request(names=(), subject="", curve="SECP256R1"):
    """A certificate request in PEM that would like to be all these URIs."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key = ec.generate_private_key(getattr(ec, curve)())
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def ask_ca(address, roots, token, csr, identity=None, seconds=0, times=1):
    """(status code, details, chain in PEM) of the last of so many calls."""
    import grpc
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), [("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(METHOD)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        for _ in range(times):
            try:
                answer = call(encode_request(csr, identity, seconds), metadata=metadata, timeout=10, wait_for_ready=True)
                result = ("OK", "", [value.decode() for number, value in _fields(answer) if number == 1])
            except grpc.RpcError as error:
                result = (error.code().name, error.details(), [])
        return result


# ---------------------------------------------------------------- somebody else's CA

def serve_foreign_ca(say, address, ip, folder, trusts_agents):
    """As istiod: signs the impersonated identity, or the caller's own where it does not trust the caller to ask for others."""
    import ipaddress
    from concurrent import futures

    import grpc
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    now = datetime.datetime.now(datetime.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, name)]) for name in ("foreign root", "foreign issuer", "istiod")]

    def certificate(subject, key, issuer, issuer_key, alternative=None, ca=False, hours=1):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key) \
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=2)) \
            .not_valid_after(now + datetime.timedelta(hours=hours)).add_extension(x509.BasicConstraints(ca, None), critical=True) \
            .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True)
        if alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=not subject.rdns)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    root = certificate(names[0], keys[0].public_key(), names[0], keys[0], ca=True)
    issuer = certificate(names[1], keys[1].public_key(), names[0], keys[0], ca=True)
    own = certificate(names[2], keys[2].public_key(), names[1], keys[1], x509.IPAddress(ipaddress.ip_address(ip)))

    def create(message, context):
        csr, identity, _ = decode_request(message)
        said = dict(context.invocation_metadata()).get("authorization", "")
        say(f"asked for {identity} with {said.split(' ')[0]}")
        if not trusts_agents:
            identity = "spiffe://cluster.local/ns/leat-system/sa/leat-agent"
        leaf = certificate(x509.Name([]), x509.load_pem_x509_csr(csr).public_key(), names[1], keys[1],
                           x509.UniformResourceIdentifier(identity))
        return b"".join(_field(1, pem) for pem in (leaf, issuer, root))
    server = grpc.server(futures.ThreadPoolExecutor(8))
    service, method = METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(create)}),))
    pem_key = keys[2].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server.add_secure_port(address, grpc.ssl_server_credentials([(pem_key, own + issuer)]))
    server.start()
    (folder / "foreign-root.pem").write_bytes(root)
    say("listening")
    server.wait_for_termination()
