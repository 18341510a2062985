"""The table of features, a line each: how often they fire, what they tell, whether they come back, and the rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mech_music.saes.concepts import aurocs
from mech_music.saes.measured import SIMILAR
from mech_music.saes.monosemanticity import against_nulls
from mech_music.saes.rules import FIRES, dropped_by, position
from mech_music.tasks.sae.concept_scores import Candidates, Word
from mech_music.tasks.sae.site import Site

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers

TELLS = 0.8
"""A feature is of the words that it tells with this AUROC or a higher one: of one concept, mixed, or of none."""
_MOST = 1024  # lines of features in the results: more features share one


def feature_table(site: Site, answers: Answers) -> pd.DataFrame:
    """Shares of held-out clips by each way of counting, and whether that is viable; the word that a feature tells best
    on the clips that it is chosen by, with the AUROC on held-out ones, by clip means and in its best pooling; and what
    `docs/sae.md` lists."""
    chosen, tested = (answers.records[firing] for firing in site.firings)
    rule, n = site.run.evaluation.filter, len(chosen["largest"])
    columns: dict[str, Any] = {"layer": np.full(n, site.layer), "hook": [site.hook] * n, "feature": np.arange(n)}
    rates = {name: np.nanmean(tested["share"] > least, axis=0) for name, least in FIRES.items()}
    columns |= rates
    columns |= {f"viable_{name}": (rule.least <= rate) & (rate <= rule.most) for name, rate in rates.items()}
    columns |= _told(site, answers) | {"largest": chosen["largest"]}
    columns["position"], columns["position_null"] = (
        position(tested[f"by_{which}"]) for which in ("step", "shifted_step")
    )
    columns |= _heard(site, answers) | _again(site, answers)
    columns |= against_nulls(answers.records[site.meanings]) if site.meanings else {}
    dropped = dropped_by(rule, columns)
    return pd.DataFrame(columns | {"kept": dropped == "", "dropped_by": dropped})


def _told(site: Site, answers: Answers) -> dict[str, Any]:
    chosen, tested = site.labels()
    record, held_record = (answers.records[one] for one in site.pooled("sae"))
    candidates = Candidates(record, held_record, chosen, tested)
    if not chosen:  # of a corpus nothing may be known
        texts = dict.fromkeys(("category", "word", "pooled_category", "pooled_word", "pooling"), "")
        return texts | {"auroc": np.nan, "pooled_auroc": np.nan, "kind": "none"}
    words, signs = list(chosen), np.stack(list(chosen.values()))
    here = aurocs(candidates.columns[0], signs)
    there = aurocs(candidates.columns[1], np.stack([tested[word] for word in words]))
    n = candidates.chosen["mean"].shape[1]
    by_pooling = (len(words), len(candidates.chosen), n)  # word, pooling, feature
    mean = list(candidates.chosen).index("mean")
    plain, held = here.reshape(by_pooling)[:, mean], there.reshape(by_pooling)[:, mean]
    best, every = np.nan_to_num(plain, nan=-1.0).argmax(0), np.arange(n)
    pooled = np.nan_to_num(here.reshape(by_pooling), nan=-1.0).reshape(-1, n).argmax(0)
    word, pooling = np.divmod(pooled, len(candidates.chosen))
    tells = (plain >= TELLS).sum(0)
    return {
        **_names(words, best),
        "auroc": held[best, every],
        **{f"pooled_{name}": values for name, values in _names(words, word).items()},
        "pooling": np.array(list(candidates.chosen))[pooling],
        "pooled_auroc": there.reshape(by_pooling)[word, pooling, every],
        "kind": np.select([tells == 1, tells > 1], ["one concept", "mixed"], default="none"),
    }


def _names(words: list[Word], places: np.ndarray) -> dict[str, list[str]]:
    return {"category": [words[place].category for place in places], "word": [words[place].text for place in places]}


def _heard(site: Site, answers: Answers) -> dict[str, Any]:
    if site.loudness is None:
        return {}
    record = answers.records[site.loudness]
    return {
        "loudness": record["correlation"],
        "loudness_null": record["correlation_null"],
        "silence": record["silence"],
        "silence_null": np.full(len(record["silence"]), float(record["silent"])),
    }


def _again(site: Site, answers: Answers) -> dict[str, Any]:
    """Nearest features of the first other seed, and in how many seeds there is a similar one."""
    if not site.others:
        return {}
    seeds, (random,) = ([answers.records[one] for one in site.overlaps[role]] for role in ("sae", "random"))
    found = {
        f"match{'' if name == 'match' else '_' + name}": seeds[0][name] for name in ("match", "cosine", "mutual", "iou")
    }
    found["found_again"] = np.mean([one["cosine"] >= SIMILAR for one in seeds], axis=0)
    return found | {"match_cosine_null": random["cosine"], "match_iou_null": random["iou"]}


def feature_lines(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A line for each feature (or for some of them together), and for each of one kind, beside nulls."""
    groups = {"features": table} | {f"features, {kind}": own for kind, own in table.groupby("kind")}
    n = len(table)
    lines = min(n, _MOST)
    for measured, own in groups.items():
        for role, metrics in _shown(own).items():
            parts = own["feature"].to_numpy() * lines // n
            for part in np.unique(parts):
                line = {"measured": measured, "role": role, "index": int(part), "repeat": 0, "prompts": lines}
                told = f"feature {part}" if lines == n else f"features, part {part}"
                means = {name: _mean(values[parts == part]) for name, values in metrics.items()}
                yield line | {"prompt": told} | means


def _mean(values: np.ndarray) -> float:
    """Of those that there are: a feature that never fires has no entropy, and no place."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _shown(own: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    shown: dict[str, dict[str, Any]] = {"sae": {"kept": own["kept"].astype(float)}}
    shown["sae"]["positional"] = own["position"]
    shown["turned"] = {"positional": own["position_null"]}
    if "match" in own:
        shown["sae"] |= {"found_again": own["found_again"], "cosine": own["match_cosine"], "iou": own["match_iou"]}
        again = (own["match_cosine_null"] >= SIMILAR).astype(float)
        shown["random"] = {"found_again": again, "cosine": own["match_cosine_null"], "iou": own["match_iou_null"]}
    if "R" in own:
        differs = own["R_q"] <= 0.05
        shown["sae"] |= {"r": own["R"], "token_entropy": own["token_entropy"]}
        shown["sae"] |= {
            "r_above": (differs & (own["R"] > own["R_null"])).astype(float).where(own["R_q"].notna()),
            "r_below": (differs & (own["R"] < own["R_null"])).astype(float).where(own["R_q"].notna()),
        }
        shown["frames"] = {"r": own["R_null"], "token_entropy": own["token_entropy_null"]}
        shown["patterns"] = {"r": own["R_clips"]}
    return {role: {name: np.asarray(values, float) for name, values in found.items()} for role, found in shown.items()}
