"""A YAML file that people edit, as plain values with the line of every key, so that errors can point at it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from crossdomain.errors import InputError

Key = tuple[str | int, ...]
_NO_VALUE = (".nan", ".inf")  # no bound of a schema refuses .nan: it is neither above nor below


class _PlainLoader(yaml.SafeLoader):
    """YAML whose only scalars are null, numbers, true, false and text: ``on`` is a name and a date stays text."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "int", "float")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


@dataclass(frozen=True)
class CheckedFile:
    """Content of a file that fits its schema.

    Attributes:
        path: The file.
        content: Its values: mappings with texts as keys, lists, texts, numbers, booleans and None.
        lines: Line of each key, from 1.
    """

    path: Path
    content: dict[str, Any]
    lines: dict[Key, int]

    def error(self, key: Sequence[str | int], what: str) -> InputError:
        """An error that names file, line and key."""
        found = tuple(key)
        while found and found not in self.lines:
            found = found[:-1]
        name = ".".join(str(part) for part in key) or "the file"
        return InputError(f"{self.path}, line {self.lines.get(found, 1)}: {name}: {what}")


def read_checked_file(path: Path, *, schema: Path, what: str) -> CheckedFile:
    """Reads a YAML file and checks it against its published JSON Schema.

    Args:
        path: YAML file.
        schema: JSON Schema of its content, a mapping.
        what: What the file is, for messages: ``design file``.

    Raises:
        InputError: The file or its schema is missing, the file is not UTF-8, not YAML, gives a key twice, or breaks
            the schema, or says not-a-number or infinity; the message names file, line and key.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), _PlainLoader)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such {what}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}: save the {what} as UTF-8") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    rules = _read_schema(schema, what)
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}, line 1: a {what} is a mapping with {', '.join(rules['required'])}, …")
    lines: dict[Key, int] = {}
    _collect_lines(node, (), lines, path)
    file = CheckedFile(path, _with_text_keys(_PlainLoader("").construct_document(node)), lines)
    if problem := best_match(Draft202012Validator(rules).iter_errors(file.content)):
        raise file.error(*_explain(problem))
    return file


def _read_schema(path: Path, what: str) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path}: the schema of a {what} is missing") from None


def _with_text_keys(value: Any) -> Any:
    """Mappings with texts as keys: an arm may be called 0."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(child) for key, child in value.items()}
    return [_with_text_keys(child) for child in value] if isinstance(value, list) else value


def _collect_lines(node: yaml.Node, key: Key, lines: dict[Key, int], path: Path) -> None:
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            child = (*key, str(name.value))
            if child in lines:
                raise InputError(
                    f"{path}, line {name.start_mark.line + 1}: {'.'.join(map(str, child))}: the key is given twice"
                )
            lines[child] = name.start_mark.line + 1
            _collect_lines(value, child, lines, path)
    elif (
        isinstance(node, yaml.ScalarNode)
        and node.tag.endswith(":float")
        and node.value.lstrip("+-").lower() in _NO_VALUE
    ):
        raise InputError(
            f"{path}, line {lines[key]}: {'.'.join(map(str, key))}: {node.value} is no value: give a number"
        )
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _collect_lines(value, (*key, position), lines, path)


def _explain(error: ValidationError) -> tuple[Key, str]:
    """Key and message of a schema error; an unknown key is named itself."""
    key: Key = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = cast("dict[str, Any]", error.schema).get("properties", {})
        unknown = sorted(str(name) for name in error.instance if name not in known)
        return (*key, unknown[0]), f"unknown key; known are {', '.join(sorted(known))}"
    if error.validator == "enum":
        allowed = ", ".join(map(str, cast("list[object]", error.validator_value)))
        return key, f"{error.instance!r} is unknown; use one of {allowed}"
    if error.validator == "anyOf" and all(set(one) == {"required"} for one in cast("list[Any]", error.validator_value)):
        names = [name for one in cast("list[dict[str, list[str]]]", error.validator_value) for name in one["required"]]
        return key, f"give at least one of {', '.join(names)}"
    if error.validator == "type" and error.validator_value == "string" and type(error.instance) in (int, float):
        return key, f"{error.instance} is a number, not a text: write it in quotes"
    if error.validator == "pattern" and "description" in (schema := cast("dict[str, Any]", error.schema)):
        return key, f"{error.instance!r} does not fit: {schema['description']}"
    if error.validator == "required" and isinstance(error.instance, dict):
        missing = next(name for name in cast("list[str]", error.validator_value) if name not in error.instance)
        return (*key, missing), "is required"
    return key, error.message
