"""Tokens: made, found, removed, and never in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_ad.cli import main
from edge_ad.controllers.security import (
    Access,
    DeniedError,
    FailureLimit,
    RateLimit,
    Role,
    TokenFile,
    add_token,
    read_tokens,
    remove_token,
)
from edge_ad.errors import InputError


def test_a_token_is_found_with_its_role_and_is_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    anna, otto = add_token(path, "anna", Role.ENGINEER), add_token(path, "otto", Role.OPERATOR)
    file = TokenFile(path)
    assert file.find(anna) == ("anna", Role.ENGINEER)
    assert file.find(otto) == ("otto", Role.OPERATOR)
    assert file.find(anna + "x") is None
    assert file.find("") is None
    assert anna not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert len(anna) >= 43


def test_a_removed_token_is_worth_nothing_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    token = add_token(path, "anna", Role.ENGINEER)
    file = TokenFile(path)
    assert file.find(token) is not None
    remove_token(path, "anna")
    assert file.find(token) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[token", "in TOML", id="no-toml"),
        pytest.param('[token.a]\nrole = "chief"\nsha256 = "0"\nadded = ""', "token.a", id="role"),
        pytest.param('[tokens.a]\nrole = "operator"', "did you mean token", id="misspelt"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InputError, match=said) as caught:
        read_tokens(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    add_token(path, "anna", Role.ENGINEER)
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        TokenFile(path)


def test_a_file_that_breaks_while_it_is_used_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    token = add_token(path, "anna", Role.ENGINEER)
    access = Access(TokenFile(path), Role.OPERATOR)
    assert access.identify(token, "10.0.0.1").name == "anna"
    path.write_text("damaged =")
    with pytest.raises(DeniedError):
        access.identify(token, "10.0.0.1")


def test_roles_include_those_below() -> None:
    assert [[one.may(needed) for needed in Role] for one in Role] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def test_failed_log_ins_are_limited_for_each_address(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "tokens.toml"
    token = add_token(path, "anna", Role.OPERATOR)
    access = Access(TokenFile(path), Role.OPERATOR, FailureLimit(3, 60.0, clock=lambda: now[0]))
    for _ in range(3):
        with pytest.raises(DeniedError, match="not known"):
            access.identify("wrong", "10.0.0.1")
    with pytest.raises(DeniedError, match="too many failed") as caught:
        access.identify(token, "10.0.0.1")
    assert caught.value.retry_s == 60.0
    assert access.identify(token, "10.0.0.2").name == "anna"
    now[0] = 61.0
    assert access.identify(token, "10.0.0.1").name == "anna"


def test_requests_are_limited_for_each_client_and_the_memory_is_bounded() -> None:
    now = [0.0]
    limit = RateLimit(2.0, clock=lambda: now[0])
    assert [limit.take("a") for _ in range(3)] == [0.0, 0.0, 0.5]
    assert limit.take("b") == 0.0
    now[0] = 0.5
    assert limit.take("a") == 0.0
    for number in range(10_000):
        limit.take(str(number))
    assert len(limit._left) <= 4_096


def test_the_command_makes_lists_and_removes_tokens(tmp_path: Path) -> None:
    file = ["--file", str(tmp_path / "tokens.toml")]
    added = CliRunner().invoke(main, ["token", "add", "anna", "--role", "engineer", *file])
    assert added.exit_code == 0
    assert TokenFile(tmp_path / "tokens.toml").find(added.output.strip()) == ("anna", Role.ENGINEER)
    listed = CliRunner().invoke(main, ["token", "list", *file])
    assert listed.output.startswith("anna  engineer  ")
    assert CliRunner().invoke(main, ["token", "remove", "anna", *file]).exit_code == 0
    assert CliRunner().invoke(main, ["token", "list", *file]).output == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["add", "anna"], "needs --role", id="no-role"),
        pytest.param(["add"], "needs a name", id="no-name"),
        pytest.param(["add", "an na", "--role", "operator"], "a name is made of", id="name"),
        pytest.param(["remove", "anna"], "no token of the name", id="unknown"),
        pytest.param(["list"], "no such file of tokens", id="no-file"),
        pytest.param(["list", "anna"], "list takes no name", id="list-name"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["token", *arguments, "--file", str(tmp_path / "tokens.toml")])
    assert done.exit_code == 2
    assert said in done.output
    assert len(done.output.splitlines()) == 1
    assert not (tmp_path / "tokens.toml").exists()
