"""What a bundle is made of, as a CycloneDX document: every program and package with its version, licence and sum."""

from __future__ import annotations

import email
import hashlib
import io
import json
import uuid
import zipfile
from typing import Any, Dict, List

OWN = "MIT"
LICENCES = {"psutil": "BSD-3-Clause", "bcrypt": "Apache-2.0", "bottle": "MIT"}  # where a wheel only says it in words


def document(version: str, files: Dict[str, bytes], pure: str) -> bytes:
    """The document for a bundle of these files. pure: the wheel whose module lies inside the hub's file.

    It has no date, and a serial number made from the contents: the same bundle gives the same document.
    """
    components = [_own(name, version, files[name]) for name in ("smon_agent.py", "smon_server.pyz")]
    name, number = pure.split("-")[:2]
    components.append(_package(name, number, ref=pure))
    components += [_wheel(name, content) for name, content in sorted(files.items()) if name.startswith("wheels/")]
    seed = hashlib.sha256(b"".join(hashlib.sha256(files[name]).digest() for name in sorted(files))).hexdigest()
    whole = {"type": "application", "bom-ref": "smon", "name": "smon", "version": version, "licenses": _licences(OWN)}
    return json.dumps({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": "urn:uuid:%s" % uuid.uuid5(uuid.NAMESPACE_OID, seed),
        "metadata": {"component": whole}, "components": components,
        "dependencies": [{"ref": "smon", "dependsOn": [component["bom-ref"] for component in components]}],
    }, indent=2).encode() + b"\n"


def _own(name: str, version: str, content: bytes) -> Dict[str, Any]:
    return {"type": "application", "bom-ref": name, "name": name, "version": version, "licenses": _licences(OWN),
            "hashes": _hashes(content)}


def _wheel(path: str, content: bytes) -> Dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        about = email.message_from_bytes(archive.read(name))
    file = path.rpartition("/")[2]
    described = _package(about["Name"], about["Version"], ref=file, licence=about["License-Expression"] or "")
    return dict(described, purl="%s?file_name=%s" % (described["purl"], file), hashes=_hashes(content))


def _package(name: str, version: str, ref: str, licence: str = "") -> Dict[str, Any]:
    return {"type": "library", "bom-ref": ref, "name": name, "version": version,
            "purl": "pkg:pypi/%s@%s" % (name, version), "licenses": _licences(licence or LICENCES[name])}


def _licences(name: str) -> List[Dict[str, Any]]:
    return [{"license": {"id": name}}]


def _hashes(content: bytes) -> List[Dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]
