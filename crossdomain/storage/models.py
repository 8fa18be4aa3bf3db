"""Model files: a folder a version, named by its content, put in place whole."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from shutil import rmtree
from typing import Any

from crossdomain.errors import CrossdomainError, MissingInput
from crossdomain.storage.home import Home, explained, make_folder, write_whole

_METADATA = "metadata.json"
_PICTURES = "pictures"
_PLAIN = re.compile(r"^[a-z0-9_]+$")
"""Names that come from outside: a kind, a version, a picture."""


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
            try:
                for name, data in content.items():
                    write_whole(aside / name, data)
                os.rename(aside, folder)
            except OSError as error:
                if not folder.exists():  # else another task saved the same version first: its content is the same
                    raise CrossdomainError(f"cannot write {folder}: {explained(error)}") from error
            finally:
                rmtree(aside, ignore_errors=True)
        return version

    def kinds(self) -> list[str]:
        """Kinds of which there are models."""
        root = self.home.models("any").parent
        return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []

    def versions(self, kind: str) -> list[str]:
        """Versions of a kind, sorted; no order of time."""
        root = self.home.models(kind)
        if not root.is_dir():
            return []
        return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def saved_at(self, kind: str, version: str) -> datetime:
        """When a version was saved (UTC)."""
        return datetime.fromtimestamp((self.home.models(kind) / version).stat().st_mtime, tz=UTC)

    def remove(self, kind: str, version: str) -> None:
        """Deletes a version; whoever loads it from then on is told to train again."""
        folder = self.home.models(kind) / version
        aside = folder.with_name(f".{version}.{uuid.uuid4().hex}")
        try:
            os.rename(folder, aside)
        except FileNotFoundError:  # another task was first
            return
        rmtree(aside)

    def load(self, kind: str, version: str) -> dict[str, bytes]:
        """Files of a version by name, without the metadata.

        Raises:
            MissingInput: There is no such version.
        """
        folder = self.home.models(kind) / version
        if not folder.is_dir():
            raise MissingInput(f"model {kind}/{version} is not in {folder.parent}: train it again")
        return {
            path.name: path.read_bytes()
            for path in sorted(folder.iterdir())
            if path.name != _METADATA and path.is_file()
        }

    def save_pictures(self, kind: str, version: str, pictures: Mapping[str, bytes]) -> None:
        """Keeps pictures (SVG) of a model with it; they are no part of its version and go when it goes.

        Args:
            kind: The kind of model.
            version: A version that is there.
            pictures: SVG by name; small letters, digits and underscores.

        Raises:
            MissingInput: There is no such version.
            CrossdomainError: A file cannot be written.
        """
        folder = self.home.models(kind) / version
        if not folder.is_dir():
            raise MissingInput(f"model {kind}/{version} is not in {folder.parent}: train it again")
        make_folder(folder / _PICTURES)
        for name, data in pictures.items():
            write_whole(folder / _PICTURES / f"{name}.svg", data)

    def pictures(self, kind: str, version: str) -> list[str]:
        """Names of the pictures that are kept with a model, sorted."""
        return sorted(path.stem for path in (self.home.models(kind) / version / _PICTURES).glob("*.svg"))

    def picture(self, kind: str, version: str, name: str) -> bytes | None:
        """A picture of a model; None if there is none of that kind, version and name, whatever they are."""
        if not all(_PLAIN.match(part) for part in (kind, version, name)):
            return None
        path = self.home.models(kind) / version / _PICTURES / f"{name}.svg"
        return path.read_bytes() if path.is_file() else None

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
