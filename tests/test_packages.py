"""The wheel holds every room: one that pyproject.toml forgets works in an editable install and is missing in the wheel."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = ("models", "service")


def rooms() -> list[str]:
    """Every folder with Python files below the trees that are installed, as a dotted name."""
    folders = {file.parent.relative_to(ROOT) for tree in TREES for file in (ROOT / tree).rglob("*.py")}
    return sorted(f"cellserve.{'.'.join(folder.parts)}" for folder in folders)


def test_pyproject_lists_every_room_and_none_that_is_gone() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert sorted(listed) == rooms()


def test_every_room_is_a_package() -> None:
    assert [room for room in rooms() if not (ROOT / Path(*room.split(".")[1:]) / "__init__.py").exists()] == []


def test_a_room_of_the_service_can_be_taken_in_at_a_glance() -> None:
    modules = {room: len(list((ROOT / Path(*room.split(".")[1:])).glob("[!_]*.py"))) for room in rooms() if ".service" in room}
    del modules["cellserve.service.pb"]  # generated
    assert {room: number for room, number in modules.items() if number > 16} == {}
