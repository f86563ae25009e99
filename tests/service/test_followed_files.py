"""Files that are replaced under a running server."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from cellserve.service.followed_files import FollowedFiles, UnusableFile, read


class Numbers:
    """Reads a file of one number, and counts how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.readings = 0

    def __call__(self) -> int:
        self.readings += 1
        text = read("numbers", self.path).decode()
        if not text.isdigit():
            raise UnusableFile(f"--numbers {self.path}: no number; write one")
        return int(text)


@pytest.fixture
def numbers(tmp_path: Path) -> Numbers:
    path = tmp_path / "numbers"
    path.write_text("1")
    return Numbers(path)


def replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_what_has_not_changed_is_read_once(numbers: Numbers) -> None:
    following = FollowedFiles((numbers.path,), numbers)
    assert [following.current() for _ in range(3)] == [1, 1, 1]
    assert numbers.readings == 1


def test_what_is_replaced_is_read_again(numbers: Numbers) -> None:
    following = FollowedFiles((numbers.path,), numbers)
    replace(numbers.path, "2")
    assert following.current() == 2
    replace(numbers.path, "3")
    assert following.current() == 3
    assert numbers.readings == 3


def test_a_link_that_is_turned_to_another_file_counts(numbers: Numbers) -> None:
    """As Kubernetes does with secrets."""
    link, other = numbers.path.with_name("link"), numbers.path.with_name("other")
    link.symlink_to(numbers.path)
    other.write_text("2")
    following = FollowedFiles((link,), Numbers(link))
    fresh = link.with_name("fresh")
    fresh.symlink_to(other)
    os.replace(fresh, link)
    assert following.current() == 2


@pytest.mark.parametrize("bad", ["none", None])
def test_what_is_bad_or_gone_is_told_once_and_the_last_good_stays(
    numbers: Numbers, bad: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    following = FollowedFiles((numbers.path,), numbers)
    if bad is None:
        numbers.path.unlink()
    else:
        replace(numbers.path, bad)
    with caplog.at_level(logging.ERROR):
        assert [following.current(), following.current()] == [1, 1]
    assert [str(numbers.path) in line for line in caplog.messages] == [True]
    replace(numbers.path, "2")
    assert following.current() == 2


def test_bad_files_at_the_start_are_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(UnusableFile, match=r"--numbers .*missing: cannot be read \(No such file or directory\); name a file"):
        FollowedFiles((missing,), Numbers(missing))
