"""What has come of publications: resumed, bounded, left to nobody for too long, and never mistaken for what was declared."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from cellserve.service.errors import InvalidInput, RepositoryFull, UploadBusy, UploadDamaged, UploadLimit
from cellserve.service.registry.publishing.declaration import Declaration
from cellserve.service.registry.publishing.uploads import UPLOADS_FOLDER, UploadLimits, Uploads

LIMITS = UploadLimits(most_bytes=1000, most=2, expiry_seconds=60.0)
CONTENT = {"manifest.json": b"{...}", "weights.safetensors": bytes(range(200))}


def declared(content: dict[str, bytes] = CONTENT, name: str = "publication-1", model: str = "digits") -> Declaration:
    files = [(file, len(data), f"sha256:{hashlib.sha256(data).hexdigest()}") for file, data in content.items()]
    return Declaration.checked(model, name, files, {}, "the operators")


def test_what_was_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    upload = Uploads(tmp_path, LIMITS).open(declared())
    upload.append("manifest.json", 0, CONTENT["manifest.json"])
    upload.append("weights.safetensors", 0, CONTENT["weights.safetensors"][:70])
    upload.close()
    again = Uploads(tmp_path, LIMITS).open(declared())
    assert again.received == {"manifest.json": 5, "weights.safetensors": 70}
    assert not again.whole
    again.append("weights.safetensors", 70, CONTENT["weights.safetensors"][70:])
    assert again.whole
    again.verify()
    again.discard()
    again.close()
    assert list((tmp_path / UPLOADS_FOLDER).iterdir()) == []


def test_parts_follow_one_another(tmp_path: Path) -> None:
    upload = Uploads(tmp_path, LIMITS).open(declared())
    upload.append("weights.safetensors", 0, b"a" * 100)
    for name, offset, data in (
        ("weights.safetensors", -1, b"a"),
        ("weights.safetensors", 101, b"a"),
        ("weights.safetensors", 100, b"a" * 101),
        ("graph.onnx", 0, b"a"),
        ("../weights.safetensors", 0, b"a"),
    ):
        with pytest.raises(InvalidInput):
            upload.append(name, offset, data)
    upload.append("weights.safetensors", 0, b"b")
    upload.append("weights.safetensors", 50, b"b" * 60)
    assert upload.received["weights.safetensors"] == 110
    assert (upload.folder / "weights.safetensors").read_bytes() == b"a" * 100 + b"b" * 10
    upload.close()


def test_what_is_not_what_was_declared_is_dropped(tmp_path: Path) -> None:
    upload = Uploads(tmp_path, LIMITS).open(declared())
    upload.append("manifest.json", 0, CONTENT["manifest.json"])
    upload.append("weights.safetensors", 0, bytes(200))
    with pytest.raises(UploadDamaged, match=r"weights\.safetensors has the digest sha256:"):
        upload.verify()
    upload.close()
    again = Uploads(tmp_path, LIMITS).open(declared())
    assert again.received == {"manifest.json": 0, "weights.safetensors": 0}
    again.close()


def test_another_declaration_under_the_same_name_begins_anew(tmp_path: Path) -> None:
    upload = Uploads(tmp_path, LIMITS).open(declared())
    upload.append("manifest.json", 0, CONTENT["manifest.json"])
    upload.close()
    other = Uploads(tmp_path, LIMITS).open(declared({"manifest.json": b"{more}", "graph.onnx": b"graph"}))
    assert other.received == {"manifest.json": 0, "graph.onnx": 0}
    other.close()


def test_a_damaged_record_of_what_was_declared_begins_anew(tmp_path: Path) -> None:
    upload = Uploads(tmp_path, LIMITS).open(declared())
    upload.append("manifest.json", 0, CONTENT["manifest.json"])
    (upload.folder / "declaration.json").write_text('{"model": ')
    upload.close()
    again = Uploads(tmp_path, LIMITS).open(declared())
    assert again.received["manifest.json"] == 0
    again.close()


def test_size_and_number_are_bounded_and_told(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, LIMITS)
    with pytest.raises(UploadLimit, match=r"has 1,005 bytes, and a publication at most 1,000"):
        uploads.open(declared({"manifest.json": b"{...}", "weights.safetensors": bytes(1000)}))
    held = [uploads.open(declared(name=f"publication-{number}")) for number in range(2)]
    with pytest.raises(UploadLimit, match="2 publications are unfinished here, and at most 2 may be"):
        uploads.open(declared(name="publication-2"))
    for upload in held:
        upload.discard()
        upload.close()
    uploads.open(declared(name="publication-2")).close()


def test_what_has_become_a_version_is_forgotten_unless_somebody_holds_it(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, LIMITS)
    uploads.forget(declared())
    upload = uploads.open(declared())
    uploads.forget(declared())
    assert upload.folder.is_dir()
    upload.close()
    uploads.forget(declared())
    assert not upload.folder.exists()


def test_nobody_else_takes_what_is_held(tmp_path: Path) -> None:
    upload = Uploads(tmp_path, LIMITS).open(declared())
    with pytest.raises(UploadBusy):
        Uploads(tmp_path, LIMITS).open(declared())
    upload.close()


def test_what_is_too_old_is_swept_and_what_is_held_is_not(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, LIMITS)
    wide = Uploads(tmp_path, UploadLimits(1000, 3, 60.0))
    abandoned, held, young = (wide.open(declared(name=f"publication-{number}")) for number in range(3))
    past = time.time() - 120
    for upload in (abandoned, held):
        for path in (upload.folder, *upload.folder.iterdir()):
            os.utime(path, (past, past))
    abandoned.close()
    young.close()
    uploads.sweep()
    assert {entry.name for entry in (tmp_path / UPLOADS_FOLDER).iterdir()} == {held.folder.name, young.folder.name}
    held.close()


def test_a_full_disk_is_told_before_anything_comes_and_while_it_comes(small: Path) -> None:
    limits = UploadLimits(most_bytes=1 << 30, most=2, expiry_seconds=60.0)
    size = 160 * 1024  # of 256 KiB, and twice as much is needed
    with pytest.raises(RepositoryFull, match=r"needs 327,68\d bytes .* are free"):
        Uploads(small, limits).open(declared({"manifest.json": b"{}", "weights.safetensors": bytes(size)}))
    fitting = declared({"manifest.json": b"{}", "weights.safetensors": bytes(100 * 1024)})
    upload = Uploads(small, limits).open(fitting)
    (small / "ballast").write_bytes(bytes(200 * 1024))
    with pytest.raises(RepositoryFull, match="the disk of the model repository is full"):
        upload.append("weights.safetensors", 0, bytes(100 * 1024))
    written = upload.received["weights.safetensors"]
    (small / "ballast").unlink()
    upload.append("weights.safetensors", written, bytes(100 * 1024 - written))
    upload.append("manifest.json", 0, b"{}")
    upload.verify()
    upload.close()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": "../digits"}, "is not a model name"),
        ({"publication_id": "short"}, "8 to 128"),
        ({"publication_id": "x/../../y"}, "8 to 128"),
        ({"files": []}, "declared are: none"),
        ({"files": [("manifest.json", 1, "sha256:" + "0" * 64)]}, "declared are: manifest.json"),
        ({"files": [("manifest.json", 1, "md5:0"), ("graph.onnx", 1, "sha256:" + "0" * 64)]}, "its digest"),
        ({"files": [("manifest.json", -1, "sha256:" + "0" * 64), ("graph.onnx", 1, "sha256:" + "0" * 64)]}, "its size"),
        ({"files": [("manifest.json", 1, "sha256:" + "0" * 64)] * 2}, "declared are"),
        ({"tags": {"a": "x" * 257}}, "tags"),
    ],
)
def test_a_declaration_that_is_none_is_refused(changes: dict[str, object], complaint: str) -> None:
    digest = "sha256:" + "0" * 64
    good = {
        "model": "digits",
        "publication_id": "publication-1",
        "files": [("manifest.json", 1, digest), ("graph.onnx", 1, digest)],
        "tags": {},
        "by": "",
    }
    Declaration.checked(**good)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=complaint):
        Declaration.checked(**(good | changes))  # type: ignore[arg-type]
