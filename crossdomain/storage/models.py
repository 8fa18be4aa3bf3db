"""Model files: a folder a version, named by its content, put in place whole."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from shutil import rmtree
from typing import Any

from crossdomain.errors import MissingInput
from crossdomain.storage.home import Home, make_folder, write_whole

_METADATA = "metadata.json"


@dataclass(frozen=True)
class ModelStore:
    """Versions of models by kind (``als``, ``topics``)."""

    home: Home

    def save(self, kind: str, files: Mapping[str, bytes], metadata: Mapping[str, Any]) -> str:
        """Stores a model and returns its version, a hash of files and metadata.

        The same content gives the same version; readers see the whole folder or none.
        """
        content = {**files, _METADATA: json.dumps(metadata, sort_keys=True, indent=1, ensure_ascii=False).encode()}
        digest = blake2b(digest_size=8)
        for name in sorted(content):
            digest.update(f"{name}\0{len(content[name])}\0".encode())
            digest.update(content[name])
        version = digest.hexdigest()
        folder = self.home.models(kind) / version
        if not folder.exists():
            aside = folder.with_name(f".{version}.{uuid.uuid4().hex}")
            make_folder(aside)
            for name, data in content.items():
                write_whole(aside / name, data)
            try:
                os.rename(aside, folder)
            except OSError:  # another task saved the same version first: its content is the same
                rmtree(aside, ignore_errors=True)
                if not folder.exists():
                    raise
        return version

    def load(self, kind: str, version: str) -> dict[str, bytes]:
        """Files of a version by name, without the metadata.

        Raises:
            MissingInput: There is no such version.
        """
        folder = self.home.models(kind) / version
        if not folder.is_dir():
            raise MissingInput(f"model {kind}/{version} is not in {folder.parent}: train it again")
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != _METADATA}

    def metadata(self, kind: str, version: str) -> dict[str, Any]:
        """Metadata of a version.

        Raises:
            MissingInput: There is no such version.
        """
        path = self.home.models(kind) / version / _METADATA
        if not path.exists():
            raise MissingInput(f"model {kind}/{version} is not in {path.parents[1]}: train it again")
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
