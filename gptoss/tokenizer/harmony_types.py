"""Functions as a harmony developer message declares them: JSON Schema in, TypeScript-like types out.

The published description of the format shows the result by example; where it is silent, this follows the stream that
OpenAI's package `openai-harmony` 0.0.8 renders.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gptoss import strict_json

_PLAIN_TYPES = {"number": "number", "integer": "number", "boolean": "boolean"}


@dataclass(frozen=True)
class Function:
    """A tool that the model may call.

    Attributes:
        name: what follows `functions.` in a call.
        description: what it does, one or more lines.
        parameters: the JSON Schema of its arguments, or None where it takes none.
    """

    name: str
    description: str = ""
    parameters: Mapping | None = None


def functions_to_json(functions: Sequence[Function]) -> str:
    """Functions as a person edits them: a JSON list of objects with name, description and parameters."""
    return strict_json.write([{"name": function.name, "description": function.description} | (
        {} if function.parameters is None else {"parameters": function.parameters}) for function in functions], indent=2,
        ensure_ascii=False)


def functions_from_json(text: str) -> tuple[Function, ...]:
    """What `functions_to_json` wrote, or a person in its place; an empty text is no function.

    Raises `ValueError` for a text that is no such list: the sentence says where it goes wrong.
    """
    try:
        listed = strict_json.read(text or "[]")
    except json.JSONDecodeError as error:
        raise ValueError(f"This is no JSON: {error.msg.lower()} in line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is no JSON: {strict_json.obstacle(error)}.") from None
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ValueError('A list of functions is expected: [{"name": …, "description": …, "parameters": …}].')
    functions = tuple(_function(place, entry) for place, entry in enumerate(listed, 1))
    declare_functions(functions)
    return functions


def _function(place: int, given: dict) -> Function:
    name, description = given.get("name"), given.get("description", "")
    parameters = given.get("parameters")
    if not isinstance(name, str) or not re.fullmatch(r"[^\s<>]+", name):
        raise ValueError(f"Function {place} needs a name: one word, without spaces, < and >.")
    if not isinstance(description, str) or not isinstance(parameters, dict | None):
        raise ValueError(f"Function {place} ({name}): its description is a text, its parameters are a JSON Schema {{…}}.")
    return Function(name, description, parameters)


def declare_functions(functions: Sequence[Function], namespace: str = "functions") -> str:
    """The `# Tools` section of a developer message.

    Raises `ValueError` for a schema with `oneOf`, whose rendering the published format does not describe.
    """
    lines = ["# Tools", "", f"## {namespace}", "", f"namespace {namespace} {{", ""]
    for function in functions:
        lines += [f"// {line}" for line in _lines(function.description)]
        arguments = "" if function.parameters is None else f"_: {typescript(function.parameters)}"
        lines += [f"type {function.name} = ({arguments}) => any;", ""]
    return "\n".join([*lines, f"}} // namespace {namespace}"])


def typescript(schema: Mapping, indent: str = "") -> str:
    """A JSON Schema as the type that the model reads; whatever has no such type is `any`.

    Raises `ValueError` for a schema with `oneOf`.
    """
    if "oneOf" in schema:
        raise ValueError("a schema with oneOf cannot be declared here; allowed: one type, a list of types, or an enum")
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_PLAIN_TYPES.get(name, name) for name in kind if isinstance(name, str)) or "any"
    if kind == "object":
        return _object_type(schema, indent)
    if kind == "array":
        items = schema.get("items")
        return f"{typescript(items, indent)}[]" if isinstance(items, Mapping) else "Array<any>"
    if kind == "string":
        return " | ".join(f'"{value}"' for value in _list(schema, "enum") if isinstance(value, str)) or "string"
    return _PLAIN_TYPES.get(kind, "any") if isinstance(kind, str) else "any"


def _object_type(schema: Mapping, indent: str) -> str:
    lines = [f"{indent}// {schema['description']}"] if isinstance(schema.get("description"), str) else []
    lines.append("{")
    required = _list(schema, "required")
    properties = schema.get("properties")
    for name, value in properties.items() if isinstance(properties, Mapping) else ():
        value = value if isinstance(value, Mapping) else {}  # true is a schema too, of anything
        lines += _comments_above(value, indent)
        optional = "" if name in required else "?"
        lines.append(f"{indent}{name}{optional}: {_property_type(value, indent)},{_default_comment(value)}")
    return "\n".join([*lines, f"{indent}}}"])


def _comments_above(value: Mapping, indent: str) -> Iterator[str]:
    if isinstance(value.get("title"), str):
        yield from (f"{indent}// {value['title']}", f"{indent}//")
    if isinstance(value.get("description"), str):
        yield f"{indent}// {value['description']}"
    if _list(value, "examples"):
        yield f"{indent}// Examples:"
        yield from (f'{indent}// - "{example}"' for example in value["examples"] if isinstance(example, str))


def _property_type(value: Mapping, indent: str) -> str:
    written = typescript(value, indent + "    ")
    return f"{written} | null" if value.get("nullable") is True and "null" not in written else written


def _default_comment(value: Mapping) -> str:
    if "default" not in value:
        return ""
    default = value["default"]
    if not isinstance(default, str):
        default = strict_json.write(default, separators=(",", ":"), ensure_ascii=False)
    elif not _list(value, "enum"):
        default = f'"{default}"'
    return f" // default: {default}"


def _list(schema: Mapping, name: str) -> Sequence:
    values = schema.get(name)
    return values if isinstance(values, list) else ()


def _lines(text: str) -> list[str]:
    lines = re.split(r"\r?\n", text)
    return lines if lines[-1] else lines[:-1]
