import json

import pytest

from cellserve.models.measuring.traffic import TRAFFIC_KINDS
from cellserve.service.config import Settings
from cellserve.service.registry.calibration import machine
from cellserve.service.registry.calibration.cache import CalibrationCache
from cellserve.service.registry.repository.repository import Repository
from tests.documented import ROOT, blocks, commands, words
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


def test_a_share_is_told_as_the_documentation_shows(shell: Shell) -> None:
    shown = (command for block in blocks(ROOT / "docs/registry.md") if block.language == "console" for command in commands(block))
    (command,) = (command for command in shown if "--share" in words(command))
    for _ in range(4):
        shell.publish()
    assert shell("promote", "digits", "3").exit_code == 0
    assert shell(*words(command)[1:]).stdout == command.expected


def flip_a_byte(shell: Shell, version: int) -> None:
    path = shell.root / f"digits/{version}/weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("arguments", [("digits", "2"), ("digits/2",), ("digits@canary",)])
def test_promote_refuses_a_version_that_cannot_be_served(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.publish(alias="stable")
    shell.publish(alias="canary")
    flip_a_byte(shell, 2)
    result = shell("promote", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "digits/2 cannot be served, and no alias was moved" in result.stderr
    assert "is not what was published: its digest is" in result.stderr
    assert shell.json("models")[0]["aliases"] == ["stable"]


def test_promote_refuses_a_version_whose_golden_pair_no_implementation_gives(shell: Shell) -> None:
    shell.publish(alias="stable")
    shell.publish()
    path = shell.root / "digits/2/manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["parity"]["bound"] = 0.0
    path.write_text(json.dumps(manifest))
    path.with_name("manifest.sha256").unlink()  # as of before there was one
    result = shell("promote", "digits", "2")
    assert result.exit_code == 2
    assert "no implementation gives the published answers" in result.stderr


def test_references_are_taken_in_one_word_and_in_two(shell: Shell) -> None:
    for _ in range(2):
        shell.publish()
    assert shell("promote", "digits/1", "--alias", "canary").stdout == "digits@canary is digits/1\n"
    assert shell("promote", "digits@canary").stdout == "digits@stable is digits/1\n"
    for arguments in (("digits", "1"), ("digits/1",), ("digits", "canary"), ("digits@canary",)):
        assert shell.json("show", *arguments)["version"] == 1
    assert shell("remove", "digits", "2", "--yes").stdout == "removed digits/2\n"
    assert shell("remove", "digits", "canary", "--yes").stdout == "removed digits@canary\n"


@pytest.mark.parametrize("command", ["promote", "show", "remove"])
@pytest.mark.parametrize(
    "arguments", [("digits/1", "1"), ("digits@stable", "1"), ("digits", "0"), ("digits", "two"), ("digits", "1/2")]
)
def test_references_that_contradict_themselves_are_refused(shell: Shell, command: str, arguments: tuple[str, str]) -> None:
    shell.publish(alias="stable")
    result = shell(command, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


def test_an_alias_that_begins_with_a_line_is_one_in_two_words_too(shell: Shell) -> None:
    shell.publish(alias="_next")
    assert shell.json("show", "digits", "_next")["version"] == 1


def test_promote_wants_a_version(shell: Shell) -> None:
    shell.publish()
    result = shell("promote", "digits")
    assert result.exit_code == 2
    assert "cellserve promote digits 3" in result.stderr


def test_show_tells_how_the_aliases_moved_and_who_moved_them(shell: Shell) -> None:
    shell.publish()
    shell.publish()
    for arguments in (("promote", "digits", "1"), ("promote", "digits", "2"), ("remove", "digits@stable", "--yes")):
        assert shell(*arguments).exit_code == 0
    moves = shell.json("show", "digits")["alias_history"]
    assert [(move["alias"], move["from"], move["to"]) for move in moves] == [
        ("stable", None, 1), ("stable", 1, 2), ("stable", 2, None),
    ]  # fmt: skip
    assert all("@" in move["by"] and move["when"] for move in moves)
    text = shell("show", "digits/1").stdout
    assert "Moves of the aliases of digits" in text
    assert moves[0]["by"] in text


@pytest.mark.parametrize(
    ("aliases", "told"),
    [
        ('{"stable": 9}', "the alias 'stable' of digits points at version 9, which does not exist"),
        ('{"stable": 2}', "aliases.json of digits was changed by hand: stable is 2, and was last set to 1"),
        (None, "aliases.json is missing, though there were aliases: stable was 1"),
    ],
)
def test_aliases_that_are_dangling_changed_or_missing_are_listed(shell: Shell, aliases: str | None, told: str) -> None:
    shell.publish(alias="stable")
    shell.publish()
    path = shell.root / "digits/aliases.json"
    path.unlink()
    if aliases is not None:
        path.write_text(aliases)
    assert told in "; ".join(row["problem"] for row in shell.json("models"))
    verified = shell("verify")
    assert verified.exit_code == 1
    assert told in verified.stdout


def test_verify_tells_of_every_version_and_changes_nothing(shell: Shell) -> None:
    shell.publish(alias="stable")
    shell.publish()
    shell.publish("speech")
    before = {path: path.read_bytes() for path in shell.root.rglob("*") if path.is_file()}
    assert shell("verify").stdout == "digits/1 (stable): ok\ndigits/2: ok\nspeech/1: ok\n"
    assert {path: path.read_bytes() for path in shell.root.rglob("*") if path.is_file()} == before
    flip_a_byte(shell, 2)
    result = shell("verify")
    assert result.exit_code == 1
    assert "digits/2: " in result.stdout
    assert "is not what was published" in result.stdout
    assert "speech/1: ok" in result.stdout
    assert (
        shell("verify", "digits@stable").exit_code
        == shell("verify", "speech").exit_code
        == shell("verify", "digits/1").exit_code
        == 0
    )
    assert shell("verify", "digits/2").exit_code == shell("verify", "digits").exit_code == 1
    assert shell("verify", "nobody").exit_code == shell("verify", "digits/7").exit_code == 2
    listed = json.loads(shell("verify", "--json").stdout)
    assert [(row["version"], bool(row["problem"])) for row in listed] == [(1, False), (2, True), (1, False)]


@pytest.mark.parametrize("content", ["{", "[]", "{}", ""])
def test_verify_goes_on_after_any_damage(shell: Shell, content: str) -> None:
    shell.publish()
    shell.publish("speech")
    (shell.root / "digits/1/manifest.json").write_text(content)
    result = shell("verify")
    assert result.exit_code == 1
    assert "digits/1: " in result.stdout
    assert "speech/1: ok" in result.stdout


def test_verify_of_an_empty_repository_says_what_to_do(shell: Shell) -> None:
    result = shell("verify")
    assert result.exit_code == 0
    assert "cellserve import FILE" in result.stderr


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


def test_show_tells_what_the_owner_says(shell: Shell) -> None:
    shell.publish(alias="stable")
    assert "Settings of digits" not in shell("show", "digits").stdout
    (shell.root / "digits/model.yaml").write_text("keep_previous: 10m\nlabels: {owner: the speech group}\n")
    text = shell("show", "digits").stdout
    assert "label owner" in text
    assert "the speech group" in text
    assert "keep_previous" in text
    assert shell.json("show", "digits")["settings"] == {"keep_previous": 600.0, "labels": {"owner": "the speech group"}}
    (shell.root / "digits/model.yaml").write_text("\nkeep_previous: soon\n")
    assert "line 2: keep_previous: 'soon' is not a duration" in shell.json("models")[0]["problem"]


def test_promote_gives_a_share_and_takes_it_back(shell: Shell) -> None:
    shell.publish(alias="stable")
    shell.publish()
    assert shell.json("promote", "digits", "2", "--share", "10%")["split"] == {"2": 0.1, "1": 0.9}
    assert "digits@stable is split: 20% to 2, 80% to 1" in shell("promote", "digits", "2", "--share", "0.2").stdout
    assert [row["aliases"] for row in shell.json("models")] == [["stable"], ["stable"]]
    text = " ".join(shell("show", "digits", "2").stdout.split())
    assert "stable is split" in text
    assert "20% to 2, 80% to 1" in text
    assert shell("promote", "digits", "1").exit_code == 0
    assert "split" not in shell.json("promote", "digits", "1")
    assert [row["aliases"] for row in shell.json("models")] == [["stable"], []]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("2", "--share", "0"), "is no share"),
        (("2", "--share", "much"), "is no share"),
        (("1", "--share", "10%"), "nothing to share"),
        (("2", "--gradually", "10m"), "name it with --url"),
        (("2", "--gradually", "10m", "--share", "10%"), "--gradually and --share are both given"),
        (("2", "--gradually", "soon"), "is not a duration"),
        (("2", "--gradually", "0"), "no time is no gradual promote"),
        (("2", "--stop-if", "errors > 1%"), "give --gradually too"),
        (("2", "--gradually", "10m", "--stop-if", "errors > many"), "expected a percentage"),
        (("2", "--share", "10%", "--alias", "canary"), "no alias 'canary' to give a share of"),
    ],
)
def test_promote_says_why_there_is_no_share(shell: Shell, arguments: tuple[str, ...], words: str) -> None:
    shell.publish(alias="stable")
    shell.publish()
    result = shell("promote", "digits", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert shell.json("promote", "digits", "1")["version"] == 1
