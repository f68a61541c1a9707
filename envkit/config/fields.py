"""Field types of the configuration (names, ports, text, lists) and the base class of its models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from envkit.config.names import NAME, VARIABLE

Name = Annotated[str, Field(pattern=NAME)]
Variable = Annotated[str, Field(pattern=VARIABLE)]
HostPort = Annotated[int, Field(ge=1024, le=65535)]
ContainerPort = Annotated[int, Field(ge=1, le=65535)]


def one_or_many(value: Any) -> Any:
    """Return a list with the value if the value is text; other values stay as they are."""
    return [value] if isinstance(value, str) else value


def _scalar(value: Any) -> Any:
    """Return a number or boolean as text, because YAML reads `PORT: 8080` as a number, and a variable must be text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_scalar, json_schema_input_type=str | int | float | bool)]


def _command(value: Any) -> Any:
    words = one_or_many(value)
    if isinstance(words, list | tuple) and (not words or words[0] == ""):
        raise ValueError("expected a program and its arguments; found none")
    return words


Command = Annotated[tuple[Text, ...], BeforeValidator(_command, json_schema_input_type=str | tuple[Text, ...])]
"""A program and its arguments."""

Strings = Annotated[tuple[Text, ...], BeforeValidator(one_or_many, json_schema_input_type=str | tuple[Text, ...])]


_MODE, _OWNER = r"^0?[0-7]{3}$", r"^\d+(:\d+)?$"
Mode = Annotated[
    str,
    BeforeValidator(_scalar, json_schema_input_type=Annotated[str, Field(pattern=_MODE)] | int),
    Field(pattern=_MODE),
]
Owner = Annotated[
    str,
    BeforeValidator(_scalar, json_schema_input_type=Annotated[str, Field(pattern=_OWNER)] | int),
    Field(pattern=_OWNER),
]


class Model(BaseModel):
    """Base class of the configuration's models. Models are frozen, and an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
