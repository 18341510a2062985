"""Where and how an interchange edits: projections, techniques by layer, heads; and what is refused."""

from __future__ import annotations

import re

import pytest

from mech_music.base.errors import UserError
from mech_music.config.schema import naming
from mech_music.edits.row import Edit, Half, Mean, Projection, RandomDirection, Term
from mech_music.results.tables import summarise
from mech_music.tasks.interchange.task import Interchange
from mech_music.tasks.interchange.trials import trials
from tests.answers import answered
from tests.tasks.test_interchange import STUDY, compose_run, outcomes_of


def test_project_removes_the_direction_between_the_concepts_and_its_controls_go_along() -> None:
    run = compose_run("technique=project", "prompts=2", "layer=3", "half=cond", "design=velez2024")
    found = {trial.role: trial.row.edits[0] for trial in trials(run) if trial.row.edits}
    edit = found["technique"]
    assert isinstance(edit, Projection) and (edit.scale, edit.half) == (0.0, Half.cond)
    assert {(term.weight, term.source.prompts.name) for term in edit.direction} == {(1.0, "piano"), (-1.0, "guitar")}
    assert isinstance(found["random"], RandomDirection) and found["random"].edit == edit
    others = {term.source.prompts.name for term in found["other"].direction}
    assert others == {"guitar", "trumpet"} and isinstance(found["self"], Edit)
    (half,) = {
        row.edits[0].scale
        for row in Interchange().plan(
            compose_run("technique=project", "strength=0.5", "prompts=2", "layer=3", "controls=[]")
        )
        if row.edits
    }
    assert half == 0.5


def test_the_original_against_the_others_is_no_matter_of_the_desired_one(caplog: pytest.LogCaptureFixture) -> None:
    words = ("technique=project-original", "prompts=2", "layer=3", "controls=[other]", "design=velez2024")
    edits = {
        trial.row.edits[0]
        for pair in ("guitar-piano", "guitar-violin")
        for trial in trials(compose_run(f"pair={pair}", *words))
    }
    (edit,) = edits
    weights = {term.source.prompts.name: term.weight for term in edit.direction}
    assert weights == {"guitar": 1.0} | dict.fromkeys(("piano", "trumpet", "violin"), -1 / 3)
    assert "control other is technique project-original itself" in caplog.text


def test_a_technique_has_a_shift_or_a_direction() -> None:
    from mech_music.cli.validation import validate

    with pytest.raises(UserError, match="technique adjust has a shift and a direction"):
        validate(compose_run("technique=adjust", "+technique.along.piano=1"))
    with pytest.raises(UserError, match="concept in technique.along 'pian'; did you mean piano"):
        validate(compose_run("technique=project", "+technique.along.pian=1"))


def test_layers_may_have_techniques_of_their_own() -> None:
    run = compose_run("layer='3:steer+5:ablate+6,2'", "strength=2", "prompts=2", "design=velez2024")
    found = [trial for trial in trials(run) if trial.index == 0]
    of = {(t.role, t.layer): t for t in found}
    mixed = of["technique", "3:steer+5:ablate+6"]
    assert mixed.technique == "steer+ablate+replace" and of["technique", "2"].technique == "replace"
    steer, ablate, plain = mixed.row.edits
    assert [edit.hook for edit in mixed.row.edits] == [f"blocks.{n}.hook_mlp_out" for n in (3, 5, 6)]
    assert {term.weight for term in steer.shift} == {2.0, -2.0} and steer.scale == 1.0
    assert ablate == Edit("blocks.5.hook_mlp_out", 0.0)
    assert plain == Edit("blocks.6.hook_mlp_out", 0.0, of["technique", "2"].row.edits[0].shift)
    assert [edit.edit for edit in of["random", mixed.layer].row.edits] == [*mixed.row.edits]
    assert len(of["self", mixed.layer].row.edits) == 3, "all three layers have their own mean"
    assert of["random", mixed.layer].technique == mixed.technique


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["layer=3:steer+8:ablate"], "layer 8 does not exist: the model has 8 layers, 0 to 7"),
        (["layer=3:stear"], "unknown technique 'stear'; did you mean steer?"),
        (["layer=3:steer+3:ablate"], "a layer is named twice"),
        (["layer=all:steer"], "layer=all:steer: expected a number and a technique for each layer"),
        (["head=0"], "head=0: component=mlp has no heads; allowed with head: sa, ca"),
        (["head=0", "component=resid"], "component=resid has no heads"),
        (["head=4", "component=ca"], "head 4 does not exist: the model has 4 heads, 0 to 3"),
        (["head=first", "component=ca"], "unknown head 'first'; allowed: all, a number"),
        (["head=0", "component=ca", "model.heads=0"], "the config of model 'tiny' does not say how many heads it has"),
    ],
)
def test_what_is_not_there_is_one_line(words: list[str], told: str) -> None:
    from mech_music.cli.validation import validate

    with pytest.raises(UserError, match=re.escape(told)) as error:
        validate(compose_run(*words))
    assert "\n" not in str(error.value)


def test_heads_are_edited_at_their_outputs_with_means_taken_there() -> None:
    run = compose_run("component=ca", "head=all", "layer='1,together'", "prompts=2", "design=velez2024")
    task = Interchange()
    found = [trial for trial in trials(run) if trial.role == "technique"]
    assert {(t.layer, t.head) for t in found} == {
        (layer, str(head)) for layer in ("1", "together") for head in range(4)
    }
    (one,) = {trial.row.edits for trial in found if (trial.layer, trial.head) == ("1", "2")}
    mean = Mean(STUDY.prompts_of(STUDY.concepts["piano"], 2), heads=True)
    assert one == (Edit("blocks.1.cross_attn.hook_z", 0.0, (Term(1.0, mean),), heads=(2,)),)
    table = task.score(run, answered(outcomes_of(task.plan(run))))
    assert set(table[table["role"] == "technique"]["head"]) == {"0", "1", "2", "3"}
    assert set(table[table["role"] == "noise"]["head"]) == {""}
    summary = summarise(table, 20, 0.95, 0)
    margins = summary[summary["role"] == "technique"]["over"]
    assert len(margins) == 8 and all(margins), "each head is compared with the noise floor, and with its own controls"
    both = compose_run("component=ca", "head='0+2,3'", "layer=1", "prompts=2", "controls=[]")
    assert {t.head: t.row.edits[0].heads for t in trials(both)} == {"0+2": (0, 2), "3": (3,)}


def test_an_axis_that_is_not_given_does_not_change_a_run_s_name() -> None:
    """Runs of before the axis keep theirs, and are resumed."""
    plain, one = compose_run("component=ca"), compose_run("component=ca", "head=1")
    assert "head" not in naming(plain) and "heads" not in naming(plain)["model"]
    assert "along" not in naming(plain)["technique"]
    assert naming(one) == naming(plain) | {"head": "1"}
    assert "along" in naming(compose_run("technique=project"))["technique"]
