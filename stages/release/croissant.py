"""The training documents as Croissant 1.0 says it (https://docs.mlcommons.org/croissant/docs/croissant-spec.html)."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core import shards
from stages.core.trace.lineage import Lineage

_CONFORMS = "http://mlcommons.org/croissant/1.0"

# The context that the specification asks every description to carry.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def described(lineage: Lineage, name: str, published: str) -> dict[str, Any]:
    """The documents that tokens were packed from: files with hashes, and columns with types.

    Args:
        lineage: The build.
        name: Of the model.
        published: Day of the build, ISO 8601.
    """
    packer = lineage.tokens[0][0]
    stage, folder = next(one for one in lineage.documents if one[1].as_posix() in packer.inputs)
    hashes = lineage.files(stage.makes[folder.as_posix()]) or {}
    paths = shards.files(folder, "*.parquet")
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS,
        "name": f"{name}-training-documents",
        "description": f"The web pages' documents that {name} was trained on, with the scores that judged them.",
        "license": "https://spdx.org/licenses/NOASSERTION",
        "url": folder.as_posix(),
        "version": "1.0.0",
        "datePublished": published,
        "distribution": [_file(path, hashes.get(path.name, "")) for path in paths]
        + [
            {
                "@type": "cr:FileSet",
                "@id": "shards",
                "containedIn": [{"@id": path.as_posix()} for path in paths],
                "encodingFormat": "application/x-parquet",
                "includes": "*.parquet",
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "documents",
                "name": "documents",
                "field": [_field(column) for column in pq.read_schema(paths[0])],
            }
        ],
    }


def _file(path: Path, md5: str) -> dict[str, str]:
    about = {"@type": "cr:FileObject", "@id": path.as_posix(), "name": path.name, "contentUrl": path.as_posix()}
    return about | {"encodingFormat": "application/x-parquet", "md5": md5}


def _field(column: pa.Field) -> dict[str, Any]:
    source = {"fileSet": {"@id": "shards"}, "extract": {"column": column.name}}
    about = {"@type": "cr:Field", "@id": f"documents/{column.name}", "name": column.name}
    return about | {"dataType": _type(column.type), "source": source}


def _type(kind: pa.DataType) -> str:
    if pa.types.is_floating(kind):
        return "sc:Float"
    return "sc:Integer" if pa.types.is_integer(kind) else "sc:Text"
