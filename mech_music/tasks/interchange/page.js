"use strict";
// Interchanges: what one intervention shows, and the best of them.
const VIEW = {
  rank: "effectiveness", digits: 3, controlled: true, within: ["component", "layer"],
  signed: new Set(["effectiveness", "effectiveness_original", "effectiveness_desired", "precision", "ideal_precision"]),
  shares: new Set(["kept", "kept_before", "flipped"]),
  measures: {
    effectiveness: { word: "effectiveness", long: "effectiveness (nats)" }, precision: { word: "precision", long: "precision (nats)" },
    kept: { word: "kept", long: "kept (share of clips)" }, flipped: { word: "flipped", long: "flipped (share of clips)" },
  },
  words: { component: componentWord },
  subject: ["pair", "technique", "model"],
  fact: (axis, line) => (axis === "pair" ? line.pair : `${axis} ${line[axis]}`),
  siteWords: (line) => `${componentWord(line.component)}, ${layerWord(line.layer)}`,
  hover: (line) => `${line.technique}, strength ${line.strength}`,
  order: (axis) => (axis === "layer" ? DATA.layers : DATA.components),
  heat: {
    across: "layer", down: "component", turns: true, corner: "layer", caption: "layers across", absent: "not run", downWord: componentWord,
    above: ", above all controls", below: ", below all controls",
    note: (DATA.controls.length ? "● effectiveness above, ▽ below the intervals of all controls that were run. " : "No controls were run. ") + "Choose a cell for its numbers and clips: by mouse, or with Tab and the arrow keys.",
  },
  scaleOf: effectScale, verdict, drawCell, drawGlance,
  announced: (line) => `${VIEW.siteWords(line)}: effectiveness ${written("effectiveness", line.effectiveness)} ${interval(line, "effectiveness")}. ${verdict(line)} Numbers and clips are below the heat map.`,
  described: (metric) => !/_(before|original|desired)$|^p_/.test(metric.name),
  behind: { measures: ["effectiveness", "precision", "ideal_precision", "kept", "flipped"], controls: ["effectiveness", "precision"] },
  clips: {
    note: "Of the cell's prompts, the one that the edit moved furthest and the one that it moved least (or the other way): the ends of the range, not typical clips.",
    titles: () => ["Original (no edit)", "Edited"], heads: ["before", "after"], one: "",
    head: (sample, line) => {
      const title = sample.n === 1 ? "The only prompt" : `${sample.end === "strongest" ? "Greatest" : "Least"} effect of ${sample.n} prompts`;
      return `${title}: ${written("effectiveness", sample.effectiveness)} nats (mean of the cell ${written("effectiveness", line.effectiveness)}), precision ${written("precision", sample.precision)}`;
    },
  },
  charts: () => [["curves", [], drawCurves], ["tradeoff", ["technique"], drawTradeoff], ["dose", ["strength"], drawDose]],
};

function componentWord(name) { return DATA.words.components[name] ?? name; }

function verdict(line) {
  if (!DATA.controls.length) return "No controls were run: this effect cannot be told from damage or chance.";
  if (line.verdict === ABOVE) return "Above all controls: its interval lies above those of all controls that were run.";
  if (line.verdict === BELOW) return "Below all controls: its interval lies below those of all controls that were run.";
  const reach = DATA.controls.filter((name) => !(valueOf(line, "effectiveness", name, "_high") < line.effectiveness_low));
  return `Not above all controls: its interval overlaps, or lies below, that of ${reach.join(", ") || "none with an interval"}.`;
}

function byComponent(lines) {
  return [...lines].sort((a, b) => DATA.components.indexOf(a.component) - DATA.components.indexOf(b.component));
}

// Sets of layers may reach far beyond single layers, whose differences would then be invisible: they take the end's colour.
function effectScale(measure) {
  const values = (LINES.some(isSingle) ? LINES.filter(isSingle) : LINES).map((line) => line[measure]).filter((value) => value !== null);
  if (measure === "effectiveness") {
    const most = Math.max(...values.map(Math.abs)) || 1;
    return { palette: DATA.palettes.RdBu_r, low: -most, high: most };
  }
  if (measure === "precision") return { palette: DATA.palettes.cividis, low: Math.min(...values, -1e-9), high: 0 };
  return { palette: DATA.palettes.cividis, low: 0, high: 1 };
}

// -- one cell -------------------------------------------------------------------------------

function drawCell(line) {
  byId("cell-h").textContent = `${line.pair}: ${line.technique} at ${siteWords(line)}`;
  const names = ["effectiveness", "precision", "kept"].filter((name) => line[name] !== null);
  const row = (title, control) => ({ cells: [el("span", {}, title, control ? el("div", { class: "note" }, controlWord(control)) : ""), ...names.map((name) => spread(line, name, control))] });
  const failures = line.failed ? `, ${line.failed} clips failed and are left out` : "";
  const heads = ["", ...names.map((name) => VIEW.measures[name].long.replace(" (share of clips)", ""))];
  byId("cell-numbers").replaceChildren(
    el("p", {}, el("b", {}, verdict(line))),
    el("p", { class: "note" }, "Effectiveness (nats) of the edit and of its controls:"),
    forest(["", ...DATA.controls].map((control) => ({ word: control || "edit", line, control, ink: control ? "var(--control)" : colourOf(line.component), strong: !control })), "effectiveness", "Effectiveness of the edit and of its controls with intervals"),
    el("div", { class: "scroll" }, table(heads, [row("the edit", ""), ...DATA.controls.map((name) => row(name, name))], 1, `Means over n = ${line.n} prompts${failures}, with ${PERCENT} intervals`)),
    line.n < 20 ? el("p", { class: "note" }, `Only ${line.n} prompts: such intervals are rough, and rather too narrow.`) : "",
    allMeasures(line));
}

// -- at a glance ----------------------------------------------------------------------------

function glanceLines() {
  const blocks = new Map();
  for (const line of LINES.filter(isMeasured)) {
    const key = JSON.stringify([...DATA.selectors.map((axis) => line[axis]), line.component]);
    blocks.set(key, [...(blocks.get(key) ?? []), line]);
  }
  return [...blocks.values()].flatMap((lines) => {
    const alone = lines.filter(isSingle);
    return [...(alone.length ? [best(alone)] : []), ...lines.filter((line) => !isSingle(line))];
  });
}

// Blocks in the order of the selectors' options.
function placeOf(line) {
  return DATA.selectors.reduce((sum, axis) => 1000 * sum + optionsOf(axis).indexOf(line[axis]), 0);
}

function highestControl(line) {
  const there = DATA.controls.filter((name) => valueOf(line, "effectiveness", name) !== null);
  if (!there.length) return "–";
  const name = there.reduce((a, b) => (valueOf(line, "effectiveness", b) > valueOf(line, "effectiveness", a) ? b : a));
  return el("span", {}, `${name} `, spread(line, "effectiveness", name));
}

function show(line) {
  choose(line.cell, true);
  byId("cells").scrollIntoView();
  byId("cell-h").focus({ preventScroll: true });
}

function drawGlance() {
  const lines = byComponent(glanceLines()).sort((a, b) => placeOf(a) - placeOf(b)), most = 200;
  const axes = DATA.selectors.length ? DATA.selectors : ["pair"];
  const heads = [...axes, "site", "effectiveness (nats)", "highest control", "precision (nats)", "n"];
  byId("glance-table").replaceChildren(el("div", { class: "scroll tall", role: "region", "aria-label": "Greatest effects", tabindex: 0 }, el("table", { class: "numbers" },
    el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i < axes.length + 1 ? "word" : null }, head)))),
    el("tbody", {}, ...lines.slice(0, most).map((line) => el("tr", { class: line.verdict === ABOVE ? "above" : null },
      ...axes.map((axis) => el("td", { class: "word" }, String(line[axis]))),
      el("th", { scope: "row", class: "word" }, el("button", { type: "button", class: "link", "aria-label": `Show ${line.pair}, ${siteWords(line)}`, onclick: () => show(line) }, siteWords(line))),
      el("td", {}, spread(line, "effectiveness"), line.verdict === ABOVE ? " ●" : ""), el("td", {}, highestControl(line)),
      el("td", {}, spread(line, "precision")), el("td", {}, String(line.n))))))));
  const above = LINES.filter((line) => line.verdict === ABOVE).length, tried = LINES.filter(isMeasured).length;
  byId("glance-count").textContent = DATA.controls.length ? `${above} of ${tried} interventions have an effect above all of their controls (${DATA.controls.join(", ")}).` : `${tried} interventions, no controls: effects cannot be told from damage or chance.`;
  byId("glance-note").textContent = `The best single layer of each component${lines.some((line) => !isSingle(line)) ? ", and every set of layers" : ""}${lines.length > most ? `; the first ${most} of ${lines.length} lines` : ""}. ` +
    `A best layer is chosen on the same prompts that measure it: a little flattered. ` + (DATA.controls.length ? `● above all controls: the ${PERCENT} interval lies above those of all controls that were run. Intervals are not corrected for the number of interventions, so among many a few stand out by chance.` : "");
}
