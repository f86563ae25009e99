"""The parts of ARCHITECTURE.md that the tree says itself: `python -m tests.architecture` writes them anew.

The table of rooms is the first sentence of each package. The diagram is the import contract: who may know whom, from the layers
in pyproject.toml. What lies between the marks is replaced; everything else is the writer's.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DOCUMENT: Final = ROOT / "ARCHITECTURE.md"
TREES: Final = ("models", "service")
_PACKAGE: Final = "cellserve."


def rooms() -> list[Path]:
    """Every package that is installed, relative to the root, in order."""
    return sorted(file.parent.relative_to(ROOT) for tree in TREES for file in (ROOT / tree).rglob("__init__.py"))


def sentence(room: Path) -> str:
    """The first one of its docstring; empty without one."""
    text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text())) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=\.) ", paragraph, maxsplit=1)[0].rstrip(".")


def table() -> str:
    """One row for each room."""
    return "\n".join(["| room | what it is |", "|---|---|", *(f"| `{room}/` | {sentence(room)} |" for room in rooms())])


def diagram() -> str:
    """One line for each contract of layers: whoever stands further left may know those to its right, never the other way."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    chains = [_chain(contract["layers"]) for contract in contracts if contract["type"] == "layers"]
    width = max(len(house) for house, _ in chains)
    return "\n".join(["```text", *(f"{house:<{width}}  {chain}" for house, chain in sorted(chains)), "```"])


def _chain(layers: list[str]) -> tuple[str, str]:
    """Where they lie, and their names there; modules between | know nothing of one another."""
    split = [[module.strip().removeprefix(_PACKAGE) for module in layer.split("|")] for layer in layers]
    modules = [module for layer in split for module in layer]
    house = modules[0].rsplit(".", 1)[0]
    while not all(module.startswith(f"{house}.") for module in modules):
        house = house.rsplit(".", 1)[0]
    names = [" | ".join(module.removeprefix(f"{house}.") for module in layer) for layer in split]
    return house.replace(".", "/"), " → ".join(names)


def written(document: str) -> str:
    """The document with its generated parts as they should be. Raises ValueError: a mark is missing."""
    for name, part in (("diagram", diagram()), ("rooms", table())):
        begin, end = f"<!-- {name}: python -m tests.architecture -->\n", f"<!-- end of {name} -->"
        if document.count(begin) != 1 or document.count(end) != 1:
            raise ValueError(f"{DOCUMENT.name} should have {begin.strip()} and {end.strip()} once each")
        head, rest = document.split(begin)
        document = f"{head}{begin}{part}\n{end}{rest.split(end)[1]}"
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
