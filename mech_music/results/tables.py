"""The results table: checked, ordered, summarised, and stored as Parquet byte for byte the same each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.metrics.intervals import Intervals, mean_intervals, ratio
from mech_music.metrics.metric import Metric
from mech_music.results.across import across
from mech_music.results.columns import Column, Schema, layer_order
from mech_music.results.comparison import compare, not_compared
from mech_music.tasks.registry import find_task, task_names

if TYPE_CHECKING:
    import pyarrow as pa

Line: TypeAlias = Mapping[str, Any]
ABOVE, BELOW, WITHIN, EQUAL = 1, -1, 0, 2
"""Verdicts: the effect is above every control, below every one, neither, or so near to all that it is none."""
_LAYERS = ("layer", "other")
_SCHEMA = b"mech_music.schema"


def schema_of(table: pd.DataFrame) -> Schema:
    """The schema that the table carries (`Schema.attach`, `read_table`), or that of the task that it names.

    ValueError for no task, several, or one that does not exist.
    """
    tasks = set(table["task"]) if "task" in table.columns else set()
    carried = table.attrs.get("schema")
    if carried is not None and tasks <= {carried.task}:
        return carried
    if len(tasks) != 1 or not tasks <= {*task_names()}:
        raise ValueError(
            f"a table is of one task of {', '.join(task_names())}, not of {', '.join(map(str, tasks)) or 'none'}"
        )
    return find_task(tasks.pop()).schema


@contextmanager
def needing(what: str, table: pd.DataFrame) -> Iterator[None]:
    """UserError, one line, if the block asks for a column that the table does not have."""
    try:
        yield
    except KeyError as error:
        if error.args[0] in table.columns:
            raise
        raise UserError(
            f"{what} of task={schema_of(table).task} needs the column {error}; there are {', '.join(table.columns)}"
        ) from error


def varying(summary: pd.DataFrame) -> list[str]:
    """The axes in which the lines of a table differ."""
    return [name for name in schema_of(summary).axes if len(set(summary[name])) > 1]


def title_of(summary: pd.DataFrame) -> str:
    """``self similarity, model tiny``."""
    models = f", model {', '.join(sorted(set(summary['model'])))}" if "model" in summary else ""
    return schema_of(summary).task.replace("_", " ") + models


def lines_of(table: pd.DataFrame) -> list[Line]:
    """The lines of a table, each a mapping of its columns."""
    return [{str(name): value for name, value in line.items()} for line in table.to_dict("records")]


def blocks_of(table: pd.DataFrame, keys: Sequence[str]) -> list[list[Line]]:
    """The lines in blocks that agree on ``keys``, both in the table's order."""
    blocks: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines_of(table):
        blocks.setdefault(tuple(line[key] for key in keys), []).append(line)
    return list(blocks.values())


def layers_of(lines: Iterable[Line]) -> list[str]:
    """The layers of some lines, in their order."""
    return sorted({line["layer"] for line in lines}, key=layer_order)


def conform(table: pd.DataFrame) -> pd.DataFrame:
    """The table with exactly its schema's columns and types, in the schema's order of lines.

    Lines come by axes (layers by number, roles as the schema has them) and then by prompt. ValueError names columns
    that are missing or unknown, roles that do not exist, and clips that are there twice.
    """
    schema = schema_of(table)
    table = _typed(table, schema.columns)
    strangers = set(table["role"]) - set(schema.roles)
    if strangers:
        raise ValueError(f"unknown role {sorted(strangers)[0]!r}: expected one of {', '.join(schema.roles)}")
    table = _ordered(table, schema, [*schema.axes, *schema.numbering])
    twice = table.duplicated([*schema.axes, *schema.numbering])
    if twice.any():
        line = table[twice].iloc[0]
        raise ValueError(f"two lines for prompt {line['index']} of {_describe(line)}")
    return schema.attach(table)


def summarise(table: pd.DataFrame, resamples: int, level: float, seed: int, equivalence: float = 1.0) -> pd.DataFrame:
    """One line per condition: every metric's mean with its interval, and how many clips are in it.

    ``<metric>``, ``<metric>_low`` and ``<metric>_high``; failed clips are left out and counted; several clips of one
    prompt count as their mean. All lines with
    the same ``prompts`` share their resampled prompts, so that their differences are paired. Where the schema compares
    effects with controls, each has its margin over the highest control and p-values (`mech_music.metrics.inference`);
    ``equivalence`` is written beside them: a distance from every control that counts as none, in the metric's unit.
    """
    table = conform(table)
    schema = schema_of(table)
    values, failed, index, sizes = _measured(table, schema)
    shares = [metric.share for metric in schema.metric_columns]
    lines: list[dict[str, Any]] = []
    compared: dict[tuple[Any, ...], np.ndarray] = {}
    rows, clips = table["row"].to_numpy() if "row" in table else None, dict[tuple[Any, ...], frozenset[str]]()
    for axes, at in _conditions(table, schema).items():
        # A place for every prompt of the job, NaN where a clip failed or is not there: keeps prompts paired.
        by_prompt = _by_prompt(values[at], index[at], int(sizes[at].max()))
        if schema.comparison is not None:
            compared[axes] = by_prompt
            clips |= {axes: frozenset(rows[at])} if rows is not None else {}
        found = mean_intervals(by_prompt, resamples, level, seed, shares)
        n_failed = int(failed[at].sum())
        counts = {"n": len(at) - n_failed, "failed": n_failed, "level": level, "resamples": resamples}
        lines.append(dict(zip(schema.axes, axes, strict=True)) | counts | _spread(schema, found))
    found = compare(schema, compared, resamples, level, seed, clips)
    together = across(schema, compared, resamples, level, seed, clips)
    if schema.comparison is not None:
        plain = not_compared(schema.comparison) | {"equivalence": equivalence}
        plain |= dict.fromkeys((column.name for column in schema.across_columns), np.nan)
        for line in lines:
            axes = tuple(line[axis] for axis in schema.axes)
            line |= plain | found.get(axes, {}) | together.get(axes, {})
    columns = pd.Index([column.name for column in schema.summary_columns])
    summary = _typed(pd.DataFrame(lines, columns=columns), schema.summary_columns)
    return schema.attach(_ordered(summary, schema, list(schema.axes)))


def _conditions(table: pd.DataFrame, schema: Schema) -> dict[tuple[Any, ...], np.ndarray]:
    """Line numbers by axes."""
    groups = table.groupby(list(schema.axes), sort=False, dropna=False)
    return cast(dict[tuple[Any, ...], np.ndarray], groups.indices)


def _measured(table: pd.DataFrame, schema: Schema) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Metrics ``[line, metric]`` without those of failed clips; failed; prompt numbers; how many there are."""
    values = table[list(schema.metrics)].to_numpy(copy=True)
    failed, index = table["failed"].to_numpy(), table["index"].to_numpy()
    values[failed] = np.nan
    told = table["prompts"].to_numpy() if "prompts" in table else 0
    return values, failed, index, np.maximum(told, index + 1)


def _by_prompt(
    values: Float64[np.ndarray, "line metric"], index: Int64[np.ndarray, " line"], n_prompts: int
) -> Float64[np.ndarray, "prompt metric"]:
    """The means of each prompt's clips: it is prompts that are drawn, however many clips there are of each."""
    found = np.full((n_prompts, values.shape[1]), np.nan)
    if len(set(index)) == len(index):
        found[index] = values
        return found
    sums, counts = np.zeros_like(found), np.zeros_like(found)
    np.add.at(sums, index, np.nan_to_num(values))
    np.add.at(counts, index, ~np.isnan(values))
    return ratio(sums, counts)


def _spread(schema: Schema, found: Intervals) -> dict[str, float]:
    ends = (("", found.mean), ("_low", found.low), ("_high", found.high))
    return {name + end: float(x) for end, means in ends for name, x in zip(schema.metrics, means, strict=True)}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write the long table, atomically; the same table gives the same bytes."""
    schema = schema_of(table)
    _write_parquet(conform(table), schema, schema.columns, path)


def write_summary(summary: pd.DataFrame, path: Path) -> None:
    """Write a summary, atomically; the same summary gives the same bytes."""
    schema = schema_of(summary)
    columns = schema.summary_columns
    _write_parquet(_ordered(_typed(summary, columns), schema, list(schema.axes)), schema, columns, path)


def read_table(path: Path) -> pd.DataFrame:
    """The long table in a file. UserError if it is not there or is not one of ours."""
    return _read(path, lambda schema: schema.columns)


def read_summary(path: Path) -> pd.DataFrame:
    """The summary in a file. UserError if it is not there or is not one of ours."""
    return _read(path, lambda schema: schema.summary_columns)


def concat_tables(paths: Sequence[Path]) -> pd.DataFrame:
    """The long tables of several jobs of one task as one, whatever their order.

    Jobs that share a condition (the noise floor, mostly) wrote the same lines: they are kept once.
    """
    if not paths:
        raise UserError("no result tables to join: none of the jobs finished")
    tables = [read_table(path) for path in paths]
    schema = schema_of(tables[0])
    for table in tables[1:]:  # one job may have metrics and controls that another has not
        schema = schema.extended(schema_of(table).declared, schema_of(table).metric_columns)
    joined = pd.concat(tables, ignore_index=True).reindex(columns=pd.Index(schema.names))
    # Of a line that several jobs wrote, the one with the most metrics.
    order = joined.isna().sum(axis=1).to_numpy().argsort(kind="stable")
    joined = joined.iloc[order]
    kept = joined.drop_duplicates([*schema.axes, *schema.numbering])
    clips = [column.name for column in schema.clip_columns]
    if len(joined.drop_duplicates([*schema.axes, *clips])) > len(kept):
        raise UserError(
            "jobs of this sweep differ in something that the table has no column for (such as sampling.guidance or "
            "technique.scale): their own folders hold their results; give each a technique or a sweep of its own"
        )
    return conform(schema.attach(kept))


def _typed(table: pd.DataFrame, columns: Sequence[Column | Metric]) -> pd.DataFrame:
    _check(table, columns)
    chosen = cast(pd.DataFrame, table[[column.name for column in columns]])
    found = dict(chosen.dtypes)
    types = {column.name: column.dtype for column in columns if found[column.name] != column.dtype}
    return chosen.astype(types) if types else chosen


def _check(table: pd.DataFrame, columns: Sequence[Column | Metric], only: bool = True) -> None:
    """ValueError names the columns that are not there, and (if ``only`` these may be) those that are too many."""
    names = [column.name for column in columns]
    missing = [name for name in names if name not in table.columns]
    unknown = [name for name in table.columns if name not in names and only]
    if missing or unknown:
        raise ValueError(f"columns missing: {missing}, unknown: {unknown}")


def _ordered(table: pd.DataFrame, schema: Schema, by: list[str]) -> pd.DataFrame:
    def key(values: pd.Series) -> pd.Series:
        if values.name in _LAYERS:
            places = {layer: place for place, layer in enumerate(sorted(set(values), key=layer_order))}
            return values.map(places)
        return values.map(schema.roles.index) if values.name == "role" else values

    varying = [name for name in by if len(table[name].unique()) > 1]
    if not varying:
        return table.reset_index(drop=True)
    return table.sort_values(varying, key=key, kind="stable", ignore_index=True)


def _describe(line: pd.Series) -> str:
    telling = ("role", "component", "layer", "head", "receiver", "other", "original", "desired", "concept")
    return ", ".join(f"{axis}={line[axis]}" for axis in telling if axis in line)


def _arrow_schema(schema: Schema, columns: Sequence[Column | Metric]) -> pa.Schema:
    import pyarrow as pa

    types = {"str": pa.string(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
    fields = [
        pa.field(column.name, types[column.dtype], metadata={"unit": column.unit, "meaning": column.meaning})
        for column in columns
    ]
    return pa.schema(fields, metadata={_SCHEMA: schema.to_json()})


def _write_parquet(table: pd.DataFrame, own: Schema, columns: Sequence[Column | Metric], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _arrow_schema(own, columns)
    # Column by column rather than from_pandas: that would add metadata with the versions of pandas and Arrow.
    arrays = [pa.array(table[field.name].to_numpy(), type=field.type, from_pandas=False) for field in schema]
    with replacing(path) as partial:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), partial, compression="zstd")


def _read(path: Path, columns: Callable[[Schema], Sequence[Column | Metric]]) -> pd.DataFrame:
    """With the schema that the file carries; an older file has that of its task."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pd.read_parquet(path)
        carried = (pq.read_schema(path).metadata or {}).get(_SCHEMA)
        schema = Schema.from_json(carried.decode()) if carried else schema_of(table)
        if schema.task in task_names():
            _check(table, columns(find_task(schema.task).schema), only=False)
        return schema.attach(_typed(table, columns(schema)))
    except FileNotFoundError:
        raise UserError(f"no results table at '{path}'") from None
    except (pa.ArrowInvalid, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"'{path}' is not a results table of this version ({reason})") from None
