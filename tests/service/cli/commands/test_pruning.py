"""`cellserve prune`."""

from tests.service.cli.fakes import Shell


def test_prune_says_what_goes_and_why_the_rest_stays(shell: Shell) -> None:
    for alias in ("stable", None, None, None):
        shell.publish(alias=alias)
    shell.publish("speech")
    planned = shell.json("prune", "--keep", "2", "--dry-run")
    assert planned["digits"]["removed"] == [2]
    assert planned["digits"]["kept"] == {"1": "alias stable", "3": "one of the 2 newest", "4": "one of the 2 newest"}
    assert planned["speech"]["removed"] == []
    text = shell("prune", "digits", "--keep", "2", "--dry-run").stdout
    assert "alias stable" in text
    assert "goes" in text
    assert len(shell.json("models")) == 5


def test_prune_removes_what_goes_once_it_is_told_to(shell: Shell) -> None:
    for _ in range(3):
        shell.publish()
    assert shell("prune", "--keep", "1").exit_code == 1  # nobody said yes
    assert len(shell.json("models")) == 3
    assert "removed 2 of them" in shell("prune", "--keep", "1", "--yes").stdout
    assert [row["version"] for row in shell.json("models")] == [3]
    assert shell("prune", "--keep", "1", "--yes").stdout == "nothing to remove\n"


def test_prune_goes_by_model_yaml_where_nothing_else_is_said(shell: Shell) -> None:
    for name in ("digits", "digits", "speech", "speech"):
        shell.publish(name)
    (shell.root / "digits/model.yaml").write_text("retention: {keep: 1}")
    result = shell("prune", "--yes")
    assert "speech is left as it is: give --keep" in result.stderr
    assert [(row["model"], row["version"]) for row in shell.json("models")] == [("digits", 2), ("speech", 1), ("speech", 2)]


def test_prune_leaves_a_model_alone_whose_aliases_are_damaged(shell: Shell) -> None:
    shell.publish()
    shell.publish()
    (shell.root / "digits/aliases.json").write_text("{")
    assert "digits is left as it is" in shell("prune", "--keep", "1", "--yes").stderr
    assert len(shell.json("models")) == 2
