"use strict";
// The numbers of the page and how they are written. What differs between tasks is in VIEW, as the task declares it.
const DATA = JSON.parse(document.getElementById("data").textContent);
const VIEW = DATA.view, MEASURES = DATA.measures;
const NAMES = Object.keys(DATA.columns);
const LINES = DATA.columns.n.map((_, cell) => Object.fromEntries([["cell", cell], ...NAMES.map((name) => [name, DATA.columns[name][cell]])]));
const ABOVE = 1, BELOW = -1, EQUAL = 2;
const PERCENT = `${+(100 * DATA.level).toFixed(2)} %`;
const SHOWN = VIEW.shown.filter((name) => LINES.some((line) => line[name] !== null));
const RANK = VIEW.rank || SHOWN[0];

// -- words ----------------------------------------------------------------------------------

function layerWord(layer) { return /^\d+$/.test(layer) ? `layer ${layer}` : layer === "together" ? "all layers together" : `layers ${layer} together`; }
function isSingle(line) { return line.layer === undefined || /^\d+$/.test(line.layer); }
function isMeasured(line) { return line[RANK] !== null; }
function wordOf(axis, value) { return DATA.words[axis]?.[value] ?? (axis === "layer" ? layerWord(value) : String(value)); }
// {axis} stands for the word of the line's value, {=axis} for the value itself.
function filled(text, line) { return text.replace(/\{(=?)(\w+)\}/g, (_, raw, axis) => (axis === "site" ? siteWords(line) : raw ? line[axis] : wordOf(axis, line[axis]))); }
function siteWords(line) { return filled(VIEW.site, line); }
function fact(axis, line) { return VIEW.plain.includes(axis) || DATA.words[axis] ? wordOf(axis, line[axis]) : `${axis} ${line[axis]}`; }
function controlWord(name) { return DATA.roles[name].word; }

// `control` is empty for the effect itself.
function valueOf(line, name, control = "", end = "") {
  return line[(control ? control + "_" : "") + name + end] ?? null;
}

function interval(line, name, control = "") {
  const [low, high] = ["_low", "_high"].map((end) => valueOf(line, name, control, end));
  return low === null ? "" : `[${written(name, low)}, ${written(name, high)}]`;
}

function spread(line, name, control = "") {
  return el("span", { class: "mean" }, written(name, valueOf(line, name, control)), " ",
    el("span", { class: "interval" }, interval(line, name, control)));
}

function ofControls(name) { return VIEW.of_controls.includes(name) ? DATA.controls : []; }
function best(lines, name = RANK) { return lines.reduce((a, b) => (b[name] > a[name] ? b : a)); }

function verdict(line) {
  if (!DATA.controls.length || !VIEW.rank) return "";
  const all = DATA.controls.length > 1 ? `all controls (${DATA.controls.join(", ")})` : `the ${controlWord(DATA.controls[0])}`;
  if (DATA.paired) return pairedVerdict(line, all);
  const reach = DATA.controls.filter((name) => !(valueOf(line, RANK, name, "_high") < line[`${RANK}_low`]));
  if (line.verdict === ABOVE || line.verdict === BELOW) return `${line.verdict === ABOVE ? "Above" : "Below"} ${all}: the intervals do not overlap.`;
  return `Not above ${all}: its interval overlaps, or lies below, that of ${reach.join(", ") || "none with an interval"}.`;
}

function pWords(p) { return p < 0.001 ? "under 0.001" : p.toFixed(3); }

// Effects that were compared with their controls prompt by prompt.
function pairedVerdict(line, all) {
  if (!line.over) return "Not compared: no control was run on two of its prompts.";
  const none = `No effect beyond ${all}: within ${line.equivalence} ${MEASURES[RANK].unit} of each`;
  const said = { [ABOVE]: `Above ${all}`, [BELOW]: `Below ${all}`, [EQUAL]: none }[line.verdict] ?? `Not told apart from ${all}`;
  const p = line.verdict === BELOW ? line.p_below : line.p_above;
  return `${said}: prompt by prompt ${written(RANK, line.margin)} [${written(RANK, line.margin_low)}, ${written(RANK, line.margin_high)}] ${MEASURES[RANK].unit} against ${line.over}, the highest of them; p = ${pWords(p)} over all cells of the table.`;
}

const RULE = DATA.paired ? "every control, prompt by prompt" : "the intervals of all controls that were run";

// -- tables ---------------------------------------------------------------------------------

// All that the page knows of some lines, as rows of a file.
function linesAsRows(lines) {
  const names = NAMES.filter((name) => name !== "task" && !VIEW.more.includes(name)), words = { [ABOVE]: "above", [BELOW]: "below", [EQUAL]: "no effect" };
  return [names, ...lines.map((line) => names.map((name) => (name === "verdict" ? words[line.verdict] ?? "" : line[name])))];
}

function allMeasures(line) {
  const rows = Object.entries(MEASURES).filter(([name, measure]) => measure.meaning && line[name] !== null).map(([name, measure]) => ({
    cells: [el("span", {}, measure.word + (measure.unit ? ` (${measure.unit})` : ""), el("div", { class: "note" }, measure.meaning)), spread(line, name)],
  }));
  return el("details", {}, el("summary", {}, "All measures of this cell"), scrolling("All measures", "", table(["", ""], rows, 1)));
}

// Intervals above each other on one axis: `rows` of { word, line, name, control, ink, strong }. A table beside it says the same.
function forest(rows, name, said) {
  const end = (row, which) => valueOf(row.line, row.name ?? name, row.control, which);
  const known = rows.filter((row) => end(row, "") !== null && end(row, "") !== undefined);
  const ends = known.flatMap((row) => ["", "_low", "_high"].map((which) => end(row, which) ?? 0)).concat(0);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const x = (value) => (100 + 250 * (value - low) / (high - low || 1)).toFixed(1);
  const bars = known.map((row, i) => {
    const y = 14 + 20 * i;
    const [from, to] = ["_low", "_high"].map((which) => end(row, which) ?? end(row, ""));
    return `<text x="92" y="${y + 4}" text-anchor="end" font-size="12" fill="var(--ink)">${row.word}</text>` +
      `<line x1="${x(from)}" x2="${x(to)}" y1="${y}" y2="${y}" stroke="${row.ink}" stroke-width="${row.strong ? 4 : 2}"/>` +
      `<circle cx="${x(end(row, ""))}" cy="${y}" r="${row.strong ? 5 : 4}" fill="${row.ink}"/>`;
  });
  const bottom = 14 + 20 * known.length;
  const ticks = [low, 0, high].filter((value) => value === 0 || Math.abs(x(value) - x(0)) > 45).map((value) => `<text x="${x(value)}" y="${bottom + 12}" text-anchor="middle" font-size="11" fill="var(--faint)">${written(name, value)}</text>`);
  const box = el("div", { role: "img", "aria-label": `${said}; the table that follows has the numbers.` });
  box.innerHTML = `<svg viewBox="0 0 380 ${bottom + 18}" width="380" aria-hidden="true"><line x1="${x(0)}" x2="${x(0)}" y1="2" y2="${bottom}" stroke="var(--ink)" stroke-width="1"/>${bars.join("")}${ticks.join("")}</svg>`;
  return box;
}
