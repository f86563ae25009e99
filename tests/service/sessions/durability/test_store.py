from pathlib import Path

from cellserve.service.sessions.durability.store import SessionStore


def test_a_commit_removes_what_a_killed_server_was_writing(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    try:
        (tmp_path / ".staging-0abc").write_text("half")
        store.commit((), whole=True, clean=True, written_unix_seconds=1.0)
        assert not list(tmp_path.glob(".staging-*"))
        assert store.manifest.clean
    finally:
        store.close()
