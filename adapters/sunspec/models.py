"""The official SunSpec models as register layouts, taken from the definitions that pysunspec2 ships."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from sunspec2.device import Model

BASE = 40000
MARKER = (0x5375, 0x6E53)
"""`SunS`, which begins a device's chain of models."""
END_ID = 0xFFFF

_SIGNED = {"int16": 1, "int32": 2, "int64": 4, "sunssf": 1}
_UNSIGNED = {
    "uint16": 1,
    "uint32": 2,
    "uint64": 4,
    "enum16": 1,
    "enum32": 2,
    "bitfield16": 1,
    "bitfield32": 2,
    "count": 1,
    "pad": 1,
}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a model: where it stands (registers from the model's ID), how wide, how it is read."""

    name: str
    offset: int
    size: int
    kind: str
    scale: str


@lru_cache(maxsize=64)
def layout(model_id: int) -> Mapping[str, Point]:
    """The points of a model's fixed block by name."""
    points = {}
    for name, point in Model(model_id=model_id).points.items():
        definition = point.pdef
        scale = str(definition.get("sf", ""))
        points[name] = Point(name, int(point.offset), int(point.len), str(definition["type"]), scale)
    return points


def length(model_id: int) -> int:
    """Registers that follow a model's ID and L."""
    return max(p.offset + p.size for p in layout(model_id).values()) - 2


def not_implemented(point: Point) -> int:
    """The raw value by which a device says that it lacks a point."""
    bits = 16 * point.size
    if point.kind in _SIGNED:
        return -(1 << (bits - 1))
    return (1 << bits) - 1


def to_registers(point: Point, raw: int) -> tuple[int, ...]:
    """The registers of a raw value; raises `ValueError` naming the point when it does not fit."""
    bits = 16 * point.size
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if point.kind in _SIGNED else (0, (1 << bits) - 1)
    if point.kind not in _SIGNED and point.kind not in _UNSIGNED:
        raise ValueError(f"{point.name} is not a number")
    if not low <= raw <= high:
        raise ValueError(f"{point.name} cannot hold {raw}")
    return tuple((raw >> shift) & 0xFFFF for shift in range(bits - 16, -1, -16))


def from_registers(point: Point, registers: Sequence[int]) -> int:
    """The raw value of a point's registers."""
    raw = 0
    for register in registers:
        raw = raw << 16 | register
    bits = 16 * point.size
    return raw - (1 << bits) if point.kind in _SIGNED and raw >> (bits - 1) else raw


def scaled(raw: int, factor: int) -> Fraction:
    """The exact value of a raw number under a scale factor."""
    return raw * Fraction(10) ** factor


def image(models: Iterable[tuple[int, Mapping[str, int]]]) -> list[int]:
    """The registers of a device from `BASE` on: marker, models with raw values, end.

    Points not named are not implemented, texts are blank.
    """
    registers = list(MARKER)
    for model_id, values in models:
        block = [0] * (length(model_id) + 2)
        for point in layout(model_id).values():
            if point.kind == "string":
                continue
            raw = values.get(point.name, not_implemented(point))
            raw = {"ID": model_id, "L": length(model_id)}.get(point.name, raw)
            block[point.offset : point.offset + point.size] = to_registers(point, raw)
        registers += block
    return [*registers, END_ID, 0]
