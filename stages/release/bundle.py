"""A model to hand over: the export with all that is known of it, sealed.

::

    python -m stages.release.bundle make release/headwater-demo --key key.pem
    python -m stages.release.bundle verify release/headwater-demo --key public.pem

A bundle is the exported folder with a bill of materials (bom.cdx.json), its training data described (croissant.json),
the whole build (prov.json) and the hashes of all files, signed where a key is given. Its model card says how long
training took, where the runs were made on this machine.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from stages.core.errors import HeadwaterError
from stages.core.progress import log
from stages.core.trace.lineage import LOCK, Lineage
from stages.release import bill_of_materials, croissant, figures, hours, prov, seal

_REQUIREMENTS = Path("requirements.lock")


def make(target: Path, key: Path | None) -> None:
    """Write the bundle of the build in the working folder.

    Args:
        target: Folder for it, which must not be there yet.
        key: Private key to sign with.

    Raises:
        HeadwaterError: nothing was exported, what is on disk is not what was built, or the folder is there.
    """
    lineage = Lineage()
    maker = next((stage for stage in lineage.stages if stage.name == "export"), None)
    exported = Path("data/export")
    if maker is None or not exported.is_dir():
        raise HeadwaterError(f"{exported}: no export here; `dvc repro export` makes it")
    if target.exists():
        raise HeadwaterError(f"{target} is there already; remove it, or name another folder")
    for fact in (*lineage.broken(), *lineage.disagreements(*(path for path in exported.rglob("*") if path.is_file()))):
        raise HeadwaterError(f"{fact.about['path']} is not what {LOCK} says: run `dvc repro`, or `dvc checkout`")
    measured = figures.read(sorted(Path(path) for path in maker.inputs if path.startswith("metrics/")))
    shutil.copytree(exported, target)
    if section := hours.section({stage: Path("data", stage, "log.csv") for stage in ("pretrain", "finetune")}):
        card = target / "README.md"
        text = card.read_text("utf-8")
        card.unlink()  # it has the mode of a file in DVC's cache, which nobody writes to
        card.write_text(text + section, "utf-8")
    documents = {
        "bom.cdx.json": bill_of_materials.bill(lineage, maker, seal.hashes(target), _REQUIREMENTS, measured),
        "croissant.json": croissant.described(lineage, maker.params["name"], _day()),
        "prov.json": prov.record(lineage),
    }
    for name, content in documents.items():
        _write(target / name, content)
    seal.seal(target, key)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _day() -> str:
    """When the build was committed; the epoch where it was not, so that nothing depends on today."""
    command = ["git", "log", "-1", "--format=%cs", "--", LOCK.as_posix()]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "1970-01-01"
    except FileNotFoundError:
        return "1970-01-01"


def main() -> int:
    """Make or verify a bundle; 1 where that fails."""
    described = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m stages.release.bundle", description=__doc__, formatter_class=described)
    parser.add_argument("action", choices=("make", "verify"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", type=Path, help="ed25519 key in PEM: private to make, public to verify")
    arguments = parser.parse_args()
    try:
        if arguments.action == "make":
            make(arguments.folder, arguments.key)
            log(f"{arguments.folder}: {len(seal.hashes(arguments.folder))} files")
            return 0
        wrong = seal.check(arguments.folder, arguments.key)
    except HeadwaterError as error:
        log(f"error: {error}")
        return 1
    signed = " and signed" if arguments.key else ""
    log("\n".join(wrong) or f"{arguments.folder}: every file is as it was sealed{signed}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
