"""Ed25519 by the strict rules (domains.md), and the names of keys.

`cryptography` checks the equation without the cofactor and compares R byte by byte; points of small order and spellings that
are not canonical are refused here, before it is asked.
"""

import base64
import struct

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from .hashes import sha256

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def _double(point):
    x, y = point
    t = D * x * x * y * y % P
    return (2 * x * y * pow(1 + t, -1, P) % P, (y * y + x * x) * pow(1 - t, -1, P) % P)


def _point(encoded):
    """The affine point of a canonical encoding, or None."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x, y)


def _good_point(encoded):
    """Whether the bytes are a point, spelled canonically, whose order is not 1, 2, 4 or 8."""
    point = _point(encoded)
    if point is None:
        return False
    for _ in range(3):
        point = _double(point)
    return point != (0, 1)


def verify(key, signature, message):
    """Whether the signature is good, strictly."""
    if len(key) != 32 or len(signature) != 64 or int.from_bytes(signature[32:], "little") >= L:
        return False
    if not _good_point(key) or not _good_point(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(key):
    """A key's name as OpenSSH prints it."""
    wire = b"".join(struct.pack(">I", len(part)) + part for part in (b"ssh-ed25519", key))
    return "SHA256:" + base64.b64encode(sha256(wire)).decode().rstrip("=")


def trusted(text):
    """The fingerprint that a user names: itself, 64 hex digits of the key, or a PEM file of it."""
    if text.startswith("SHA256:"):
        return text.rstrip("=")
    if len(text) == 64:
        try:
            return fingerprint(bytes.fromhex(text))
        except ValueError:
            pass
    with open(text, "rb") as file:
        data = file.read(1 << 16)
    try:
        key = load_pem_private_key(data, None).public_key() if b"PRIVATE" in data else load_pem_public_key(data)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("a PEM file that holds no key, or a locked one") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return fingerprint(key.public_bytes_raw())
