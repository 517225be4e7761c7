"""JSON Web Tokens made without jobwire's help: the standard library for
HS256, the program openssl for RS256 and ES256."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import tempfile
import time

from . import leaks

HS_SECRET = leaks.secret("harness-token-secret-0123456789abcdef")
_folder = tempfile.TemporaryDirectory(prefix="jobwire-keys-")
_KINDS = {
    "RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
}


def _openssl(*arguments, data=None):
    return subprocess.run(
        ["openssl", *arguments], input=data, capture_output=True, check=True
    ).stdout


def private_key(alg, name="first"):
    """The path of a private key in PEM, made when first asked for."""
    path = os.path.join(_folder.name, f"{alg}-{name}.pem")
    if os.path.exists(path):
        return path
    _openssl("genpkey", "-algorithm", *_KINDS[alg], "-out", path)
    with open(path, encoding="ascii") as file:
        leaks.secret("".join(file.read().splitlines()[1:-1])[40:100])
    return path


def public_key(alg, name="first"):
    """The path of its public half."""
    path = os.path.join(_folder.name, f"{alg}-{name}.pub")
    _openssl("pkey", "-in", private_key(alg, name), "-pubout", "-out", path)
    return path


def b64url(data):
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _raw(der):
    """The two numbers of an ECDSA signature, side by side."""
    assert der[0] == 0x30 and der[2] == 2
    end = 4 + der[3]
    numbers = der[4:end], der[end + 2 :]
    return b"".join(n.lstrip(b"\0").rjust(32, b"\0") for n in numbers)


def sign(alg, message, key=None):
    """The signature's bytes. `key`: a secret, or the path of a private key."""
    if alg == "none":
        return b""
    if alg == "HS256":
        return hmac.new(
            (key or HS_SECRET).encode(), message, hashlib.sha256
        ).digest()
    path = key or private_key(alg)
    made = _openssl("dgst", "-sha256", "-sign", path, data=message)
    return _raw(made) if alg == "ES256" else made


def claims(sub="alice", ttl=600, **more):
    """The claims of a good token; None leaves one out."""
    now = int(time.time())
    values = {"sub": sub, "exp": now + ttl, "iat": now, **more}
    return {k: v for k, v in values.items() if v is not None}


def token(payload=None, alg="HS256", key=None, header=None):
    """A token. `payload` and `header` are objects, or bytes as they are."""
    if payload is None:
        payload = claims()
    head = {"alg": alg, "typ": "JWT"}
    head = {**head, **header} if isinstance(header, dict) else header or head
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode()
        for part in (head, payload)
    ]
    message = ".".join(b64url(part) for part in parts)
    made = message + "." + b64url(sign(alg, message.encode(), key))
    return leaks.secret(made)


def bearer(text):
    """The header field that brings a token."""
    return {"Authorization": f"Bearer {text}"}
