"""A certificate authority for one cluster's life, and the kubeconfigs of those who talk to its API server."""
import base64
import datetime
import ipaddress
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .layout import API_SERVER

LIFE = datetime.timedelta(days=365)


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Authority:
    def __init__(self, name):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
                              data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)
        self._certificate = self._sign(self._name, self._key.public_key(), [
            (x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)])
        self.certificate = self._certificate.public_bytes(serialization.Encoding.PEM)
        self.key = private_pem(self._key)

    def _sign(self, subject, key, extensions):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + LIFE))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, user, group="", names=()):
        """(certificate, key) for both ends of TLS; `names` are host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        extensions = [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False)]
        if names:
            extensions.append((x509.SubjectAlternativeName([_alternative(name) for name in names]), False))
        certificate = self._sign(x509.Name(subject), key.public_key(), extensions)
        return certificate.public_bytes(serialization.Encoding.PEM), private_pem(key)

    def kubeconfig(self, user, group=""):
        """The kubeconfig of a user of this group, with a certificate of its own."""
        certificate, key = self.issue(user, group)
        text = {name: base64.b64encode(value).decode() for name, value in
                {"client-certificate-data": certificate, "client-key-data": key}.items()}
        cluster = {"server": API_SERVER, "certificate-authority-data": base64.b64encode(self.certificate).decode()}
        return json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "leat",
                           "clusters": [{"name": "leat", "cluster": cluster}], "users": [{"name": user, "user": text}],
                           "contexts": [{"name": "leat", "context": {"cluster": "leat", "user": user}}]}, indent=1).encode()


def _alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
