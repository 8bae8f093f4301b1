"""A build as W3C PROV says it, in PROV-JSON (https://www.w3.org/submissions/prov-json/): who used and made what."""

from typing import Any

from stages.core.trace.lineage import Lineage, Stage

_PREFIX = "build"


def record(lineage: Lineage) -> dict[str, Any]:
    """Files are entities, stages are activities; every file is known by the MD5 in dvc.lock."""
    entities: dict[str, dict[str, Any]] = {}
    activities: dict[str, dict[str, Any]] = {}
    used: dict[str, dict[str, str]] = {}
    generated: dict[str, dict[str, str]] = {}
    for stage in lineage.stages:
        name = f"{_PREFIX}:stages/{stage.name}"
        activities[name] = {"prov:label": stage.name, f"{_PREFIX}:command": stage.command}
        for relation, paths in ((used, stage.needs), (generated, stage.makes)):
            for path, md5 in paths.items():
                entity = f"{_PREFIX}:{path}"
                entities[entity] = {"prov:label": path, f"{_PREFIX}:md5": md5}
                relation[f"_:{_verb(relation is used)}-{stage.name}-{len(relation)}"] = {
                    "prov:activity": name,
                    "prov:entity": entity,
                }
    return {
        "prefix": {_PREFIX: "urn:headwater:build:"},
        "entity": entities,
        "activity": activities,
        "used": used,
        "wasGeneratedBy": generated,
        "wasDerivedFrom": _derived(lineage),
    }


def _verb(uses: bool) -> str:
    return "used" if uses else "made"


def _derived(lineage: Lineage) -> dict[str, dict[str, str]]:
    pairs = [pair for stage in lineage.stages for pair in _pairs(stage)]
    return {
        f"_:derived-{number}": {
            "prov:generatedEntity": f"{_PREFIX}:{made}",
            "prov:usedEntity": f"{_PREFIX}:{read}",
        }
        for number, (made, read) in enumerate(pairs)
    }


def _pairs(stage: Stage) -> list[tuple[str, str]]:
    return [(made, read) for made in stage.makes for read in stage.inputs]
