import pytest

from cellserve.models.traffic import TRAFFIC_KINDS
from cellserve.service.config import Settings
from cellserve.service.registry import machine
from cellserve.service.registry.calibration_cache import CalibrationCache
from cellserve.service.registry.repository import Repository
from tests.service.cli.fakes import Shell


def test_an_empty_repository_says_what_to_do(shell: Shell) -> None:
    result = shell("models")
    assert result.exit_code == 0
    assert "cellserve import FILE" in result.stderr
    assert shell.json("models") == []
    assert not shell.root.exists()


def test_models_lists_versions_with_their_aliases(shell: Shell) -> None:
    shell.publish(alias="stable")
    shell.publish()
    listed = shell.json("models")
    assert [(row["model"], row["version"], row["aliases"]) for row in listed] == [("digits", 1, ["stable"]), ("digits", 2, [])]
    assert listed[0]["parameters"] == 3 * 16 + 4 * 16 + 16 + 4 * 2 + 2
    assert "stable" in shell("models").stdout


def test_a_damaged_version_is_listed_with_its_problem(shell: Shell) -> None:
    shell.publish()
    shell.publish("speech")
    (shell.root / "digits/1/manifest.json").write_text("{")
    listed = shell.json("models")
    assert "damaged" in listed[0]["problem"]
    assert listed[1]["problem"] == ""
    assert "damaged" in shell("models").stdout


def test_damaged_aliases_are_listed_as_a_problem(shell: Shell) -> None:
    shell.publish()
    (shell.root / "digits/aliases.json").write_text("{")
    assert "aliases.json is damaged" in shell.json("models")[0]["problem"]


def test_show_tells_source_layers_and_implementations(shell: Shell) -> None:
    shell.publish(alias="stable")
    text = shell("show", "digits@stable").stdout
    for expected in (
        "keras 2.2.4",
        "digits.h5",
        "lstm",
        "[batch, 2]",
        "differs from the oracle",
        "dropout acts only in training",
    ):
        assert expected in text
    data = shell.json("show", "digits")
    assert data["aliases"] == ["stable"]
    assert [layer["parameters"] for layer in data["layers"]] == [128, 10]
    assert data["causal"] is True


def test_show_tells_what_auto_chooses_here_once_it_was_measured(shell: Shell) -> None:
    shell.publish()
    assert shell.json("show", "digits")["choices"] == {}
    assert "Measured" not in shell("show", "digits").stdout
    manifest = Repository(shell.root).manifest("digits", 1)
    cache = CalibrationCache(Settings().calibration_folder, machine.identity())
    cache.write(manifest, "cpu", dict.fromkeys(TRAFFIC_KINDS, "onnxruntime"), {})
    assert shell.json("show", "digits")["choices"] == {"cpu": dict.fromkeys(TRAFFIC_KINDS, "onnxruntime")}
    text = shell("show", "digits").stdout
    assert "Measured to be fastest here, on cpu" in text
    assert "few at once" in text


@pytest.mark.parametrize(
    "arguments", [("show", "speech"), ("show", "digits/9"), ("show", "digits@canary"), ("show", "../x"), ("remove", "digits/9")]
)
def test_what_does_not_exist_is_one_sentence_and_exit_code_2(shell: Shell, arguments: tuple[str, str]) -> None:
    shell.publish()
    result = shell(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_promote_moves_the_alias(shell: Shell) -> None:
    shell.publish()
    shell.publish()
    assert shell("promote", "digits", "2", "--alias", "canary").stdout == "digits@canary is digits/2\n"
    assert shell("promote", "digits", "1").stdout == "digits@stable is digits/1\n"
    assert shell("promote", "digits", "3").exit_code == 2
    assert shell("promote", "digits", "two").exit_code == 2
    assert [row["aliases"] for row in shell.json("models")] == [["stable"], ["canary"]]


def test_remove_asks_first(shell: Shell) -> None:
    shell.publish()
    shell.publish()
    refused = shell("remove", "digits/1", answer="n\n")
    assert refused.exit_code == 1
    assert len(shell.json("models")) == 2
    assert shell("remove", "digits/1", answer="y\n").stdout.endswith("removed digits/1\n")
    assert shell("remove", "digits", "--yes").exit_code == 0
    assert shell.json("models") == []


def test_remove_refuses_an_aliased_version(shell: Shell) -> None:
    shell.publish(alias="stable")
    result = shell("remove", "digits/1", "--yes")
    assert result.exit_code == 2
    assert "'stable'" in result.stderr
    assert shell("remove", "digits@stable", "--yes").exit_code == 0
    assert shell("remove", "digits/1", "--yes").exit_code == 0


def test_promote_and_remove_tell_scripts(shell: Shell) -> None:
    shell.publish()
    shell.publish()
    assert shell.json("promote", "digits", "2") == {"model": "digits", "alias": "stable", "version": 2}
    assert shell.json("remove", "digits/1", "--yes") == {"removed": "digits/1"}
