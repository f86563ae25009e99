from __future__ import annotations

from pathlib import Path

import pytest

from cellserve.service.cluster.errors import ClusterFailed
from cellserve.service.cluster.folder import Folder


def test_a_folder_has_one_cluster_at_a_time(tmp_path: Path) -> None:
    with Folder(tmp_path / "cluster").held():
        assert Folder(tmp_path / "cluster").taken()
        with pytest.raises(ClusterFailed, match=r"runs in .* already"), Folder(tmp_path / "cluster").held():
            raise AssertionError
    assert not Folder(tmp_path / "cluster").taken()
    with Folder(tmp_path / "cluster").held():
        assert Folder(tmp_path / "cluster").taken()


def test_what_runs_is_told_while_it_runs(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "cluster")
    with folder.held():
        with pytest.raises(ClusterFailed, match="starting or ending"):
            folder.state()
        folder.write_state({"pid": 1})
        assert Folder(tmp_path / "cluster").state() == {"pid": 1}
        with pytest.raises(ClusterFailed, match="already"), Folder(tmp_path / "cluster").held():
            raise AssertionError
        assert Folder(tmp_path / "cluster").state() == {"pid": 1}  # whoever was refused has left it alone
    with pytest.raises(ClusterFailed, match="no cluster runs"):
        folder.state()


def test_what_a_dead_cluster_left_is_nobodys_state(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "cluster")
    folder.root.mkdir()
    folder.write_state({"pid": 1})
    with pytest.raises(ClusterFailed, match="no cluster runs"):
        folder.state()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterFailed, match="cannot be written"), Folder(tmp_path / "file" / "cluster").held():
        raise AssertionError


def test_the_end_of_a_log(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.log("store").write_text("\n".join(map(str, range(100))))
    assert folder.tail("store").splitlines()[-1] == "  99"
    assert len(folder.tail("store").splitlines()) == 16
    assert folder.tail("proxy") == ""
