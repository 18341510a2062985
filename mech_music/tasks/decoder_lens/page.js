"use strict";
// DecoderLens: which concepts are heard in which layers.
const VIEW = {
  rank: "ndcg", digits: 2, controlled: true, within: ["concept", "layer"],
  signed: new Set(), shares: new Set(["heard", "agreement"]),
  measures: {
    ndcg: { word: "NDCG", long: "NDCG of the concept's labels" },
    other_ndcg: { word: "NDCG of the control", long: "Control: NDCG of the same labels in the same layer, prompts without the concept" },
    p: { word: "probability", long: "probability of the concept's first label" },
    heard: { word: "heard", long: "heard: share of clips in which no other word of the category is more probable" },
    agreement: { word: "agreement", long: "agreement: share of tokens that are the full model's" },
  },
  words: { lens: lensWord, reading: (name) => `${name}: ${DATA.words.readings[name]}`, component: (name) => DATA.words.points[name] ?? name, layer: layerWord },
  subject: ["lens", "reading", "component", "model"],
  fact: (axis, line) => (axis === "lens" ? lensWord(line.lens) : axis === "reading" ? DATA.words.readings[line.reading] : axis === "component" ? DATA.words.points[line.component] : `${axis} ${line[axis]}`),
  siteWords: (line) => `${line.concept}, ${layerWord(line.layer)}`,
  hover: (line) => `${lensWord(line.lens)}, ${DATA.words.readings[line.reading]}`,
  order: (axis) => (axis === "layer" ? DATA.layers : only(LINES, axis)),
  heat: {
    across: "layer", down: "concept", turns: false, corner: "layer read", caption: "layers across", absent: "not run", downWord: (name) => name,
    above: ", NDCG above the control", below: ", NDCG below the control",
    note: "● NDCG above, ▽ below the interval of the control: the same layer's clips of prompts that name another concept. Choose a cell for its numbers and clips: by mouse, or with Tab and the arrow keys.",
  },
  scaleOf: () => ({ palette: DATA.palettes.cividis, low: 0, high: 1 }),
  verdict, drawCell, drawGlance,
  announced: (line) => `${VIEW.siteWords(line)}: NDCG ${written("ndcg", line.ndcg)} ${interval(line, "ndcg")}. ${verdict(line)} Numbers and clips are below the heat map.`,
  described: () => true,
  first: (lines) => best(["decoder", "free"].reduce((left, name, i) => { const own = left.filter((line) => line[["lens", "reading"][i]] === name); return own.length ? own : left; }, lines)),
  behind: { measures: ["ndcg", "ndcg_full", "p", "heard", "agreement"], controls: ["ndcg"] },
  clips: {
    note: "The concept's first prompt, so that layers can be compared, and the prompt with the highest NDCG, which is no typical clip. Both clips of a prompt share its sampling noise.",
    titles: (line) => ["The full model", `${layerWord(line.layer).replace("l", "L")} through the ${lensWord(line.lens)}`], heads: ["full model", "layer"],
    one: "The last layer is the model's end: its clip and the full model's are one.",
    head: (sample, line) => `${sample.end === "first" ? "The first prompt" : `The highest NDCG of ${sample.n} prompts`}: NDCG ${written("ndcg", sample.ndcg)} (mean of the cell ${written("ndcg", line.ndcg)}), in the full model's clip ${written("ndcg_full", sample.ndcg_full)}`,
  },
  charts: () => [["curves", ["lens"], drawCurves]],
};

function lensWord(name) { return DATA.words.lenses[name] ?? name; }
function lensColour(name) { return DATA.words.lens_colours[name]; }

function verdict(line) {
  if (line.verdict === ABOVE) return "Above the control: its interval lies above that of the same layer on prompts without the concept.";
  if (line.verdict === BELOW) return "Below the control: its interval lies below that of the same layer on prompts without the concept.";
  return "Not above the control: the same layer's clips of prompts without the concept do as well, or nearly so.";
}

// -- one cell -------------------------------------------------------------------------------

function drawCell(line) {
  byId("cell-h").textContent = `${line.concept}: ${layerWord(line.layer)} through the ${lensWord(line.lens)}`;
  const names = ["ndcg", "p", "heard", "agreement"];
  const head = (title, note) => el("span", {}, title, note ? el("div", { class: "note" }, note) : "");
  const rows = [
    { cells: [head("this layer"), ...names.map((name) => spread(line, name))] },
    { cells: [head("control", "prompts without the concept"), ...names.map((name) => spread(line, name, "other"))] },
    { cells: [head("full model"), spread(line, "ndcg_full"), "", "", ""] },
  ];
  const failures = line.failed ? `, ${line.failed} clips failed and are left out` : "";
  byId("cell-numbers").replaceChildren(
    el("p", {}, el("b", {}, verdict(line))),
    el("p", { class: "note" }, "NDCG of the concept's labels:"),
    forest([{ word: "this layer", line, control: "", ink: lensColour(line.lens), strong: true }, { word: "control", line, control: "other", ink: "var(--control)" },
      { word: "full model", line, name: "ndcg_full", control: "", ink: "var(--ink)" }], "ndcg", "NDCG of this layer, of its control and of the full model with intervals"),
    el("div", { class: "scroll" }, table(["", ...names.map((name) => VIEW.measures[name].word)], rows, 1, `Means over n = ${line.n} prompts${failures}, with ${PERCENT} intervals`)),
    line.n < 20 ? el("p", { class: "note" }, `Only ${line.n} prompts: such intervals are rough, and rather too narrow.`) : "",
    allMeasures(line));
}

// -- curves ---------------------------------------------------------------------------------

function drawCurves(lines, choose) {
  const section = byId("curves"), t = theme(), place = emptied(section.querySelector(".charts"));
  const lenses = Object.keys(DATA.words.lenses).filter((name) => lines.some((line) => line.lens === name));
  const layers = DATA.layers.filter((layer) => lines.some((line) => line.layer === layer)), ticks = ticksOf(layers, 8);
  for (const concept of only(lines, "concept")) {
    const own = lines.filter((line) => line.concept === concept), top = best(own);
    const said = `${concept}: NDCG by layer with intervals and control. Highest ${written("ndcg", top.ndcg)} at ${layerWord(top.layer)} through the ${lensWord(top.lens)}; full model ${written("ndcg_full", top.ndcg_full)}. ${verdict(top)}`;
    chart(place, said, () => [conceptTraces(own, lenses, t), layoutOf(t, {
      title: panelTitle(t, concept), margin: { l: 44, r: 10, t: 30, b: 40 },
      xaxis: axis(t, "layer read", { tickvals: ticks.map(Number), ticktext: ticks, zeroline: false, showgrid: false }),
      yaxis: axis(t, "NDCG", { range: [0, 1.02] }),
    })], choose);
  }
  drawLegend(section, [...lenses.map((name) => ({ word: lensWord(name), colour: lensColour(name), symbol: "circle" })),
    ...lenses.map((name) => ({ word: lenses.length > 1 ? `${controlWord("other")} (${lensWord(name)})` : controlWord("other"), colour: lensColour(name), dash: "other", symbol: CONTROL_SYMBOLS.other })),
    { word: "full model", colour: "var(--ink)", dash: "ideal" }]);
  section.querySelector(".note").textContent = `${countWords(lines)} Filled points: above the interval of the control. A layer carries a concept where its curve is above its control. Dotted: the full model's own clips, with their interval. All panels have one scale.`;
  drawBehind(section, lines, ["concept", "lens", "layer"]);
}

function conceptTraces(own, lenses, t) {
  const style = { axes: {} }, xs = (lines) => lines.map((line) => Number(line.layer));
  const full = own[0], ends = [Math.min(...xs(own)), Math.max(...xs(own))];
  const level = band([full, full], ends, "ndcg_full", "", "#777777", style);
  level[2] = { ...level[2], customdata: undefined, line: { color: t.ink, width: 1.3, dash: "1.5px,2.5px" }, text: `full model ${written("ndcg_full", full.ndcg_full)} ${interval(full, "ndcg_full")}` };
  return [...level, ...lenses.flatMap((lens) => {
    const lines = own.filter((line) => line.lens === lens).sort((a, b) => a.layer - b.layer), colour = lensColour(lens);
    if (!lines.length) return [];
    return [
      ...band(lines, xs(lines), "ndcg", "other", colour, style).map((trace) => ({ ...trace, opacity: 0.6, fillcolor: faded(colour, 0.08) })),
      ...band(lines, xs(lines), "ndcg", "", colour, style).map((trace) => ({ ...trace, hoverinfo: "skip" })),
      points(lines, xs(lines), "ndcg", "", colour, { ...style, size: 6 }),
    ];
  })];
}

// Layers that follow each other as one: 1–4, 6.
function runs(layers) {
  const found = [];
  for (const layer of layers) found.at(-1)?.[1] === layer - 1 ? (found.at(-1)[1] = layer) : found.push([layer, layer]);
  return found.map(([first, last]) => (first === last ? first : `${first}–${last}`)).join(", ");
}

// -- at a glance ----------------------------------------------------------------------------

function drawGlance() {
  const axes = DATA.selectors, groups = new Map(), most = 200;
  for (const line of LINES.filter(isMeasured)) {
    const key = JSON.stringify([line.concept, ...axes.map((axis) => line[axis])]);
    groups.set(key, [...(groups.get(key) ?? []), line]);
  }
  const rows = [...groups.values()].map((lines) => {
    const above = lines.filter((line) => line.verdict === ABOVE).sort((a, b) => a.layer - b.layer), top = best(lines);
    const button = el("button", { type: "button", class: "link", "aria-label": `Show ${siteWords(top)}`, onclick: () => show(top) }, layerWord(top.layer));
    return { above: top.verdict === ABOVE, cells: [top.concept, ...axes.map((axis) => (axis === "lens" ? lensWord(top.lens) : String(top[axis]))), button, spread(top, "ndcg"), spread(top, "ndcg", "other"), spread(top, "ndcg_full"), `${above.length} of ${lines.length}${above.length ? `: ${runs(above.map((line) => Number(line.layer)))}` : ""}`] };
  });
  const heads = ["concept", ...axes, "best layer", "NDCG", "control there", "full model", "layers above their control"];
  byId("glance-table").replaceChildren(scrolling("Best layers", table(heads, rows.slice(0, most), axes.length + 2)));
  const tried = LINES.filter(isMeasured), above = tried.filter((line) => line.verdict === ABOVE);
  byId("glance-count").textContent = `In ${above.length} of ${tried.length} readings (a concept in a layer, through a lens) the concept's labels rank higher than on prompts without it (the interval of NDCG lies above the control's). The last layer is the full model itself.`;
  byId("glance-note").textContent = `${rows.length > most ? `The first ${most} of ${rows.length} lines. ` : ""}Bold: the best layer is above its control, with ${PERCENT} intervals. A best layer is chosen on the same prompts that measure it: a little flattered; and among many readings a few stand out by chance.`;
}
