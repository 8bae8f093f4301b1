"""The files of a folder by their hashes, signed with an ed25519 key (RFC 8032), and checked against both."""

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from stages.core import fingerprint
from stages.core.errors import HeadwaterError

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"

_MAKE = "openssl genpkey -algorithm ed25519 -out key.pem"


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder by its relative name, but for the seal itself; sorted."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: fingerprint.file_hash(folder / name) for name in names if name not in (SUMS, SIGNATURE)}


def seal(folder: Path, key: Path | None) -> None:
    """Write ``SHA256SUMS``, as sha256sum does, and where there is a key its signature.

    Args:
        folder: Whose files are sealed.
        key: Private ed25519 key in PEM.

    Raises:
        HeadwaterError: the key cannot be read, or is of another kind.
    """
    sums = "".join(f"{digest}  {name}\n" for name, digest in hashes(folder).items()).encode()
    signed = _private(key).sign(sums) if key else None
    (folder / SUMS).write_bytes(sums)
    (folder / SIGNATURE).unlink(missing_ok=True)
    if signed:
        (folder / SIGNATURE).write_bytes(base64.b64encode(signed) + b"\n")


def check(folder: Path, key: Path | None) -> list[str]:
    """What is wrong with a sealed folder, a line for each; nothing if it is as it was sealed.

    Args:
        folder: With ``SHA256SUMS``.
        key: Public ed25519 key in PEM that its signature is to be of; None asks for none.

    Raises:
        HeadwaterError: the folder is not sealed, or the key cannot be read.
    """
    try:
        sums = (folder / SUMS).read_bytes()
        pairs = [line.split("  ", 1) for line in sums.decode().splitlines()]
        listed = {name: digest for digest, name in pairs}
    except (OSError, ValueError):
        raise HeadwaterError(f"{folder}: no {SUMS} here that can be read: it was not sealed") from None
    found = hashes(folder)
    wrong = [f"{name}: is missing" for name in sorted(listed.keys() - found.keys())]
    wrong += [f"{name}: was added" for name in sorted(found.keys() - listed.keys())]
    wrong += [f"{name}: was changed" for name in sorted(listed.keys() & found.keys()) if listed[name] != found[name]]
    return wrong + ([] if key is None or _signed(folder, sums, _public(key)) else [f"{SIGNATURE}: is not of {key}"])


def _signed(folder: Path, sums: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(base64.b64decode((folder / SIGNATURE).read_bytes(), validate=False), sums)
    except (OSError, binascii.Error, InvalidSignature):
        return False
    return True


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise HeadwaterError(f"{path}: no private ed25519 key in PEM without a password; make one: {_MAKE}")
    return key


def _public(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise HeadwaterError(f"{path}: no public ed25519 key in PEM: openssl pkey -in key.pem -pubout -out public.pem")
    return key
