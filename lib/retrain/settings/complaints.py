"""Says in words what validation found wrong with a parameter: what it is, what it must be, the nearest right thing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from retrain.errors import nearest
from retrain.settings.parameters import Parameters
from retrain.settings.strict_yaml import Place, Where, clipped

__all__ = ["block_at", "complain", "dotted_names", "meaning", "written"]

_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
_WANTED = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a block of names and values",
    "model_type": "a block of names and values",
    "model_attributes_type": "a block of names and values",
}
_LIMITS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}


def complain(found: ValidationError, parameters: Parameters, model: type[BaseModel]) -> None:
    """Add to ``parameters`` a complaint for each error that validation against ``model`` found."""
    for error in found.errors(include_url=False):
        where = tuple(part for part in error["loc"] if part != "[key]")
        parameters.complain(where, _sentence(error, where, parameters.place(where), model))


def block_at(model: type[BaseModel], where: Where) -> type[BaseModel] | None:
    """Return the block that stands at ``where`` below ``model``, or None where a plain value or nothing stands."""
    for name in where:
        field = _fields(model).get(str(name))
        inner = _block(field.annotation) if field is not None else None
        if inner is None:
            return None
        model = inner
    return model


def dotted_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every value that can be set below ``model``."""
    for name, field in _fields(model).items():
        block = _block(field.annotation)
        if block is None:
            yield prefix + name
        else:
            yield from dotted_names(block, f"{prefix}{name}.")


def meaning(model: type[BaseModel], where: Where) -> str:
    """Return what the parameter at ``where`` means, or an empty string."""
    around = block_at(model, where[:-1])
    field = _fields(around).get(str(where[-1])) if around and where else None
    return (field.description or "") if field else ""


def written(value: Any) -> str:
    """Return ``value`` as a person writes it: 1 instead of 1.0, true instead of True, a list with commas."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return ", ".join(map(written, value)) or "nothing"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if value != {} else "nothing"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _block(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _sentence(error: Mapping[str, Any], where: Where, place: Place, model: type[BaseModel]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WANTED:
        return _wrong_type(error["input"], _WANTED[kind], place, meaning(model, where))
    if kind in _LIMITS:
        limits = {name: written(limit) for name, limit in context.items()}
        return f"is {_shown(error['input'], place)}; it must be {_LIMITS[kind].format_map(limits)}"
    if kind in _OTHERS:
        return _OTHERS[kind](error, where, model)
    return f"is not usable ({error['msg']})"


def _wrong_type(value: Any, wanted: str, place: Place, means: str) -> str:
    if value is None:
        return f"is null and must be filled in{f': {means}' if means else ''}"
    return f"must be {wanted}, not {_kind(value, place)}{_hint(value, wanted, place)}"


def _kind(value: Any, place: Place) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {_shown(value, place)}"
        case str():
            return f"the text {clipped(value)!r}"
        case list() | tuple():
            return "a list"
    return "a block"


def _hint(value: Any, wanted: str, place: Place) -> str:
    if wanted == "text" and isinstance(value, (bool, int, float)):
        return f': put it in quotes, "{_shown(value, place)}"'
    if wanted == "a list" and isinstance(value, str):
        return f": write [{clipped(value)}]"
    if wanted == "a whole number" and isinstance(value, float) and value.is_integer():
        return f": write {int(value)}"
    if "number" in wanted and isinstance(value, str):
        bare = value.strip().replace(",", "").replace(" ", "")
        if _NUMBER.fullmatch(bare):
            return f": write {bare}" + (", without quotes" if place.quoted else "")
    return ""


def _shown(value: Any, place: Place) -> str:
    return clipped(place.raw) if place.raw is not None else clipped(written(value))


def _unknown(error: Mapping[str, Any], where: Where, model: type[BaseModel]) -> str:
    name = str(where[-1])
    around = block_at(model, where[:-1])
    known = list(_fields(around)) if around else []
    elsewhere = [full for full in dotted_names(model) if full.rpartition(".")[2] == name]
    if elsewhere:
        return f"is not known here; {name} belongs to {' or '.join(full.rpartition('.')[0] for full in elsewhere)}"
    hint = nearest(name, known)
    if hint or not known:
        return f"is not a known name.{hint}"
    return f"is not a known name. Known here: {', '.join(known)}"


def _not_an_option(error: Mapping[str, Any], where: Where, model: type[BaseModel]) -> str:
    options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
    value = error["input"]
    given = repr(clipped(value)) if isinstance(value, str) else written(value)
    hint = nearest(str(value), options)
    return f"is {given}; it must be one of {', '.join(options)}{'.' if hint else ''}{hint}"


def _missing(error: Mapping[str, Any], where: Where, model: type[BaseModel]) -> str:
    means = meaning(model, where)
    return f"is missing{f': {means}' if means else ''}"


_OTHERS: dict[str, Callable[[Mapping[str, Any], Where, type[BaseModel]], str]] = {
    "extra_forbidden": _unknown,
    "literal_error": _not_an_option,
    "missing": _missing,
    "value_error": lambda error, where, model: str(error["ctx"]["error"]),
    "finite_number": lambda error, where, model: "must be a finite number",
    "too_short": lambda error, where, model: (
        f"must hold at least {error['ctx']['min_length']}, and holds {error['ctx']['actual_length']}"
    ),
    "string_too_short": lambda error, where, model: "must not be empty",
    "string_too_long": lambda error, where, model: f"is longer than {error['ctx']['max_length']} letters",
}
