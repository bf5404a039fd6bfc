"""Finds a network's weights in what a training script saved: wrapped in dictionaries, their names with prefixes.

Nothing here needs PyTorch: a weight is whatever has a shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["find_weights"]

_DEPTH = 4
# What wrappers of modules put into names: DataParallel, torch.compile, FSDP.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# As Lightning and most scripts call them; taken where several would fit.
_USUAL = ("", "state_dict")


def find_weights(loaded: Any, expected: Sequence[str]) -> dict[str, Any]:
    """The weights by the names that the network has for them.

    ``loaded``: what was in the file. ``expected``: the names of the network's own ``state_dict()``.

    Raises:
        ValueError: there are no weights for all of these names, or several different ones.
    """
    groups = dict(_groups(loaded, ""))
    if not groups:
        raise ValueError("there are no weights in it: expected a dictionary of names and tensors")
    fitting = {
        f"{place} {prefix}".strip(): found
        for place, group in groups.items()
        for prefix, found in _renamed(group, expected).items()
    }
    usual = [fitting[name] for name in _USUAL if name in fitting]
    chosen = usual or list(fitting.values())
    if len(chosen) > 1 and not usual:
        raise ValueError(
            f"several weights in it fit the network: {', '.join(fitting)}; save the one that is meant by itself, with "
            "torch.save(weights, FILE)"
        )
    if not chosen:
        raise ValueError(_misfit(groups, expected))
    return chosen[0]


def _groups(loaded: Any, place: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """The dictionaries with weights in them, by the keys that lead there."""
    if not isinstance(loaded, Mapping) or depth > _DEPTH:
        return
    weights = {name: value for name, value in loaded.items() if isinstance(name, str) and hasattr(value, "shape")}
    if weights:
        yield place, weights
    for name, value in loaded.items():
        yield from _groups(value, f"{place}.{name}" if place else str(name), depth + 1)


def _renamed(group: Mapping[str, Any], expected: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The group under the network's names, by the prefix that was dropped or added; what has another prefix is left."""
    if set(expected) <= group.keys():
        return {"": dict(group)}
    plain = {_without_wrappers(name): value for name, value in group.items()}
    if len(plain) == len(group) and set(expected) <= plain.keys():
        return {"": plain}
    if len(plain) < len(group):
        plain = dict(group)
    longest = max(expected, key=len, default="")
    prefixes = sorted({name.removesuffix(longest) for name in plain if name.endswith(f".{longest}")})
    dropped = {
        prefix: {name.removeprefix(prefix): value for name, value in plain.items() if name.startswith(prefix)}
        for prefix in prefixes
    }
    fitting = {prefix: found for prefix, found in dropped.items() if set(expected) <= found.keys()}
    return fitting or _with_prefix(plain, expected)


def _with_prefix(plain: Mapping[str, Any], expected: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Where the network is a wrapper itself, and the file has the weights of what it wraps."""
    first = expected[0].split(".") if expected else []
    for count in range(1, len(first)):
        prefix = ".".join(first[:count]) + "."
        if {f"{prefix}{name}" for name in plain} == set(expected):
            return {prefix: {f"{prefix}{name}": value for name, value in plain.items()}}
    return {}


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _misfit(groups: Mapping[str, Mapping[str, Any]], expected: Sequence[str]) -> str:
    """Of the largest group."""
    group = max(groups.values(), key=len)
    missing = [name for name in expected if name not in group]
    others = [name for name in group if name not in set(expected)]
    found = f"it has {', '.join(others[:3])} instead" if others else f"it has {len(group)} of {len(expected)}"
    return f"the weights are of another network: Missing key(s) {', '.join(missing[:3])}; {found}"
