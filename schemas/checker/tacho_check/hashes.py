"""Every hash of the format but those of the tree (domains.md)."""

import hashlib
import hmac
import struct

from blake3 import blake3

GENESIS_PREV = bytes(32)


def sha256(data):
    return hashlib.sha256(data).digest()


def chain(before, record):
    """The chain hash of a record, from the chain hash of the record before."""
    return blake3(before + struct.pack(">Q", len(record)) + record, derive_key_context="tacho/v1/chain").digest()


def commitment(domain, salt, kind, number, data):
    """The commitment to a text (`content`, by field) or a descriptor (`artefact`, by role)."""
    head = f"tacho/v1/{domain}".encode() + b"\0" + struct.pack(">HHQ", kind, number, len(data))
    return hmac.new(salt, head + data, hashlib.sha256).digest()


def signed(purpose, data):
    """What a signature of ours is over."""
    return f"tacho/v1/sign/{purpose}".encode() + b"\0" + data


def ref(texts):
    """The key of a row of `refs`: eight texts, each with a line feed."""
    data = "".join(text + "\n" for text in texts).encode()
    return blake3(data, derive_key_context="tacho/v1/ref").digest()
