"""Signed claims (JWT) as the token servers check them, by python3-cryptography.

    header, claims = split(text)          ValueError: no JWT (lax: padding is taken,
                                          as Google does of its own old clients)
    verify(text, public_key, "RS256")     False: the signature is another
    private_pem, public_key = new_key()
    key_pem, certificate_pem, certificate = new_certificate(name)
"""
import base64
import datetime
import json

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID


def decode(part, lax=False):
    if lax:
        part = part.rstrip("=")
    if "=" in part:
        raise ValueError("base64url is to have no padding")
    data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(data).decode().rstrip("=") != part:
        raise ValueError("not base64url")
    return data


def split(text, lax=False):
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("a JWT has three parts")
    header, claims = (json.loads(decode(part, lax)) for part in parts[:2])
    decode(parts[2], lax)
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("a JWT's parts are objects")
    return header, claims


def verify(text, key, algorithm):
    signed, _, signature = text.rpartition(".")
    how = {"RS256": padding.PKCS1v15(), "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), 32)}[algorithm]
    try:
        key.verify(decode(signature, True), signed.encode(), how, hashes.SHA256())
        return True
    except InvalidSignature:
        return False


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def new_key():
    key = rsa.generate_private_key(65537, 2048)
    return pem(key), key.public_key()


def new_certificate(name):
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=365)).sign(key, hashes.SHA256()))
    return pem(key), certificate.public_bytes(serialization.Encoding.PEM).decode(), certificate
