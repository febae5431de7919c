# SPDX-License-Identifier: ISC
"""Certificates made on the fly: authorities and the leaves they issue."""

import base64
import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FILLING = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
DAY = datetime.timedelta(days=1)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _write(path, certificate, key=None):
    data = certificate.public_bytes(serialization.Encoding.PEM)
    path.with_suffix(".pem").write_bytes(data)
    if key is not None:
        path.with_suffix(".key").write_bytes(key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))


def pin_of(certificate):
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.sha256(spki).digest()
    return "sha256/" + base64.b64encode(digest).decode()


class Leaf:
    def __init__(self, path, certificate):
        self.cert = str(path.with_suffix(".pem"))
        self.key = str(path.with_suffix(".key"))
        self.pin = pin_of(certificate)


class Authority:
    def __init__(self, folder, name, above=None):
        self.folder = folder
        self.subject = _name(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=True, path_length=None)
        certificate = (above or self)._build(
            self.subject, self.key, basic, 0, 30)
        _write(folder / name, certificate)
        self.file = str(folder / (name + ".pem"))
        self.pin = pin_of(certificate)

    def _build(self, subject, key, basic, start_days, end_days, names=(),
               filling=0):
        now = datetime.datetime.utcnow() - DAY
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start_days * DAY)
            .not_valid_after(now + end_days * DAY)
            .add_extension(basic, critical=True)
        )
        if names:
            alt = x509.SubjectAlternativeName([x509.DNSName(n) for n in names])
            builder = builder.add_extension(alt, critical=False)
        if filling:
            builder = builder.add_extension(x509.UnrecognizedExtension(
                FILLING, b"x" * filling), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, label, name="dot.test", start_days=0, end_days=30,
              filling=0):
        """filling is for a certificate of as many bytes more."""
        key = ec.generate_private_key(ec.SECP256R1())
        basic = x509.BasicConstraints(ca=False, path_length=None)
        certificate = self._build(
            _name(name), key, basic, start_days, end_days, [name], filling)
        _write(self.folder / label, certificate, key)
        return Leaf(self.folder / label, certificate)


class Pki:
    """What the tests need: one good leaf and those which must not pass."""

    def __init__(self, folder):
        authority = Authority(folder, "root")
        self.ca = authority.file
        self.issue = authority.issue
        self.good = authority.issue("good")
        self.wrong_name = authority.issue("wrong-name", name="other.test")
        self.expired = authority.issue("expired", start_days=-9, end_days=-2)
        self.future = authority.issue("future", start_days=9, end_days=20)
        self.other_authority = Authority(folder, "stranger-root")
        self.stranger = self.other_authority.issue("stranger")
        self.between = Authority(folder, "between", authority)
        self.alone = self.between.issue("alone")
        self.chained = self.between.issue("chained")
        with open(self.chained.cert, "a") as chain, \
                open(self.between.file) as above:
            chain.write(above.read())
