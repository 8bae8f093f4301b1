"""A sealed folder: what was changed, added or taken is named, and only the key it was signed with fits."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from stages.core.errors import HeadwaterError
from stages.release import seal


def _keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and its public key, as openssl writes them."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, one of them below."""
    folder = tmp_path / "model"
    (folder / "below").mkdir(parents=True)
    (folder / "a").write_text("one")
    (folder / "below" / "b").write_text("two")
    return folder


def test_a_folder_that_was_not_touched_is_as_it_was_sealed(folder: Path, tmp_path: Path) -> None:
    private, public = _keys(tmp_path, "mine")
    seal.seal(folder, private)
    assert seal.check(folder, public) == []
    assert seal.check(folder, None) == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("a", "other", "a: was changed"), ("c", "three", "c: was added"), ("below/b", None, "below/b: is missing")],
)
def test_what_was_done_to_it_is_named(folder: Path, name: str, text: str | None, said: str) -> None:
    seal.seal(folder, None)
    (folder / name).unlink(missing_ok=True)
    if text is not None:
        (folder / name).write_text(text)
    assert seal.check(folder, None) == [said]


def test_only_the_key_that_signed_fits(folder: Path, tmp_path: Path) -> None:
    private, public = _keys(tmp_path, "mine")
    _, other = _keys(tmp_path, "other")
    seal.seal(folder, private)
    assert seal.check(folder, other) == [f"SHA256SUMS.sig: is not of {other}"]
    # Hashes that were made to fit again are not signed.
    (folder / "a").write_text("other")
    sums = "".join(f"{digest}  {name}\n" for name, digest in seal.hashes(folder).items())
    (folder / seal.SUMS).write_text(sums)
    assert seal.check(folder, public) == [f"SHA256SUMS.sig: is not of {public}"]
    (folder / seal.SIGNATURE).write_text("?")
    assert seal.check(folder, public) == [f"SHA256SUMS.sig: is not of {public}"]


def test_what_is_no_key_or_no_seal_is_refused(folder: Path, tmp_path: Path) -> None:
    _, public = _keys(tmp_path, "mine")
    with pytest.raises(HeadwaterError, match="was not sealed"):
        seal.check(folder, None)
    wrong = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "rsa.pem").write_bytes(wrong)
    for key in (public, tmp_path / "rsa.pem", tmp_path / "missing.pem", folder / "a"):
        with pytest.raises(HeadwaterError, match="openssl genpkey -algorithm ed25519"):
            seal.seal(folder, key)
    assert not (folder / seal.SUMS).exists()
