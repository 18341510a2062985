"""The words for layers and frames."""

import pytest

from mech_music.base.errors import UserError
from mech_music.config.axes import n_steps, parse_frames, parse_layers
from tests.composing import compose_run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", [("0", (0,)), ("1", (1,)), ("2", (2,)), ("3", (3,))]),
        ("last", [("3", (3,))]),
        ("0", [("0", (0,))]),
        ("together", [("together", (0, 1, 2, 3))]),
        ("1+2", [("1+2", (1, 2))]),
        ("2+1+2", [("1+2", (1, 2))]),
        ("0, 2,last", [("0", (0,)), ("2", (2,)), ("3", (3,))]),
        ("all,last", [("0", (0,)), ("1", (1,)), ("2", (2,)), ("3", (3,))]),
        ("all,together", [("0", (0,)), ("1", (1,)), ("2", (2,)), ("3", (3,)), ("together", (0, 1, 2, 3))]),
    ],
)
def test_layers(text: str, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    assert parse_layers(text, 4) == expected


@pytest.mark.parametrize("text", ["4", "1+4", "", "0,", "-1", "1-2", "first", "1++2", "1.5"])
def test_layers_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="layer"):
        parse_layers(text, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", None),
        ("0:50", (0, 50)),
        ("10:", (10, 103)),
        (":10", (0, 10)),
        (":", (0, 103)),
        ("0s:1s", (0, 25)),
        ("0.5s:60", (12, 60)),
        ("2s:", (50, 103)),
        ("1 : 2", (1, 2)),
    ],
)
def test_frames(text: str, expected: tuple[int, int] | None) -> None:
    assert parse_frames(text, n_steps=103, frame_rate=25) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5:5", "empty"),
        ("7:5", "empty"),
        ("103:", "empty"),
        ("0:104", "103 steps"),
        ("0s:9s", "103 steps"),
        ("", "cannot read"),
        ("5", "cannot read"),
        ("-5:5", "cannot read"),
        ("a:b", "cannot read"),
        ("0.5:2", "write seconds as 0.5s"),
    ],
)
def test_frames_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        parse_frames(text, n_steps=103, frame_rate=25)


def test_steps_of_four_seconds() -> None:
    assert n_steps(compose_run()) == 4 * 25 + 3
    assert n_steps(compose_run("model=small")) == 4 * 50 + 3
