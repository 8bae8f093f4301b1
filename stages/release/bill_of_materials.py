"""What a model is made of, as CycloneDX 1.6 says it (https://cyclonedx.org/docs/1.6/json/): an ML bill of materials."""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.core.trace.lineage import Lineage, Stage
from stages.core.trace.models import behind
from stages.release.figures import Measured, flat

_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;#]+)")

# Licences of the SPDX list that people give to weights and data; whatever else a licence is, is given by name.
_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "cc-by-4.0": "CC-BY-4.0", "cc-by-sa-4.0": "CC-BY-SA-4.0"}


def bill(
    lineage: Lineage, maker: Stage, files: Mapping[str, str], requirements: Path, measured: Measured
) -> dict[str, Any]:
    """The bill of an exported model.

    Args:
        lineage: The build.
        maker: The stage that exported it.
        files: Its files by name, with SHA-256.
        requirements: The lock file.
        measured: Stage to metrics.
    """
    data, libraries = _data(lineage, maker), _libraries(requirements)
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": maker.params["name"],
        "version": (maker.makes.get("data/export") or "").removesuffix(".dir"),
        "licenses": [{"license": _licence(maker.params["licence"])}],
        "components": [_file(name, sha256) for name, sha256 in sorted(files.items())],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "self-supervised"},
                "datasets": [{"ref": one["bom-ref"]} for one in data],
            },
            "quantitativeAnalysis": {"performanceMetrics": _performance(measured.get("evaluate", {}))},
        },
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.UUID(bytes=hashlib.sha256(json.dumps(model).encode()).digest()[:16], version=4).urn,
        "version": 1,
        "metadata": {"component": model},
        "components": [*data, *libraries],
        "dependencies": [{"ref": "model", "dependsOn": [one["bom-ref"] for one in (*data, *libraries)]}],
    }


def _data(lineage: Lineage, maker: Stage) -> list[dict[str, Any]]:
    """What each stage behind the model wrote, by the hash that DVC keeps it under."""
    found = []
    for stage in behind(lineage, maker)[1:]:
        for path, md5 in stage.makes.items():
            if not path.startswith("metrics/"):
                digest = [{"alg": "MD5", "content": md5}] if not md5.endswith(".dir") else []
                about = {"type": "data", "bom-ref": path, "name": path, "version": md5}
                described = {"type": "dataset" if (path, stage) in _documents(lineage) else "other", "name": path}
                found.append(about | ({"hashes": digest} if digest else {}) | {"data": [described]})
    return found


def _documents(lineage: Lineage) -> list[tuple[str, Stage]]:
    return [(folder.as_posix(), stage) for stage, folder in lineage.documents]


def _libraries(requirements: Path) -> list[dict[str, Any]]:
    """The packages of the lock file, as pip names them."""
    found = (_REQUIREMENT.match(line) for line in requirements.read_text("utf-8").splitlines())
    pairs = sorted({(match[1].lower().replace("_", "-"), match[2]) for match in found if match})
    return [
        {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        for name, version in pairs
        for purl in (f"pkg:pypi/{name}@{version}",)
    ]


def _file(name: str, sha256: str) -> dict[str, Any]:
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [{"alg": "SHA-256", "content": sha256}]}


def _licence(name: str) -> dict[str, str]:
    return {"id": _SPDX[name]} if name in _SPDX else {"name": name}


def _performance(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"type": name, "value": str(value)} for name, value in flat(metrics.get("tuned", {}))]
