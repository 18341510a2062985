"use strict";
// Self-similarity: any two layers beside each other, and every layer beside the last.
const KINDS = { distance: "Euclidean distance", cosine: "cosine", cka: "CKA (unbiased)" };
const MOVED = "moved_";
const VIEW = {
  rank: "distance", digits: 2, controlled: true, within: ["layer", "other"],
  signed: new Set(), shares: new Set(),
  measures: Object.fromEntries(["", MOVED].flatMap((control) => Object.entries(KINDS).map(([name, word]) => [control + name, {
    word: control ? `${word}, control` : word, long: control ? `Control: ${word} of a layer and the other half a clip later` : word,
  }]))),
  words: { component: (name) => DATA.words.points[name] ?? name },
  subject: ["concept", "component", "half", "model"],
  fact: (axis, line) => (axis === "component" ? DATA.words.points[line.component] : axis === "concept" ? line.concept : axis === "half" ? `guidance half: ${line.half}` : `${axis} ${line[axis]}`),
  siteWords: (line) => (line.layer === line.other ? `layer ${line.layer} with itself` : `layers ${line.layer} and ${line.other}`),
  hover: (line) => line.concept,
  order: (axis) => [...new Set([...DATA.layers, ...only(LINES, "other")])].sort((a, b) => a - b).filter((layer) => LINES.some((line) => line[axis] === layer)),
  heat: {
    across: "other", down: "layer", turns: false, corner: "layer", caption: "one layer down, the other across", absent: "", downWord: (name) => name,
    mirrored: (measure) => !measure.startsWith(MOVED), above: "", below: "",
    note: "Choose two layers for their numbers: by mouse, or with Tab and the arrow keys. The control moves the later of the two layers, so it has one half only.",
  },
  scaleOf, drawCell, drawGlance,
  announced: (line) => `${VIEW.siteWords(line)}: ${Object.entries(KINDS).map(([name, word]) => `${word} ${written(name, line[name])}, control ${written(name, valueOf(line, name, "moved"))}`).join("; ")}.`,
  described: () => true,
  first: (lines) => { const last = lastLayer(); return lines.find((line) => line.other === last && line.layer !== last) ?? lines[0]; },
  behind: { measures: Object.keys(KINDS), controls: Object.keys(KINDS) },
  charts: () => [["maps", [], drawMaps], ["curves", [], drawCurves]],
};

function lastLayer() { return VIEW.order("other").at(-1); }

// A measure and its control have one scale.
function scaleOf(measure) {
  const name = measure.replace(MOVED, "");
  const values = LINES.flatMap((line) => [line[name], line[MOVED + name]]).filter((value) => (value ?? null) !== null);
  if (name === "distance") return { palette: DATA.palettes.viridis_r, low: 0, high: Math.max(...values, 1e-9) };
  return { palette: DATA.palettes.viridis, low: Math.min(0, ...values), high: 1 };
}

function drawCell(line) {
  byId("cell-h").textContent = `${VIEW.siteWords(line).replace("l", "L")}: ${line.concept}`;
  const rows = Object.entries(KINDS).map(([name, word]) => ({ cells: [word, spread(line, name), spread(line, name, "moved")] }));
  byId("cell-numbers").replaceChildren(
    el("div", { class: "scroll" }, table(["", "the two layers", controlWord("moved")], rows, 1, `Means over n = ${line.n} prompts, with ${PERCENT} intervals`)),
    line.n < 20 ? el("p", { class: "note" }, `Only ${line.n} prompts: such intervals are rough, and rather too narrow.`) : "",
    line.concept === DATA.words.all ? el("p", { class: "note" }, "All concepts: n prompts of each; the interval is the widest of theirs.") : "",
    allMeasures(line));
}

function pooledWords(lines) { return lines[0].concept === DATA.words.all ? " That many of each concept; intervals are the widest of theirs." : ""; }

function drawMaps(lines, choose) {
  const section = byId("maps"), t = theme(), place = emptied(section.querySelector(".charts"));
  const layers = VIEW.order("other"), at = new Map(lines.map((line) => [`${line.layer} ${line.other}`, line]));
  const line = (a, b, mirrored) => at.get(`${a} ${b}`) ?? (mirrored ? at.get(`${b} ${a}`) : undefined);
  for (const control of ["", ...DATA.controls]) for (const [name, word] of Object.entries(KINDS)) {
    const scale = scaleOf(name), grid = layers.map((a) => layers.map((b) => line(a, b, !control)));
    const value = (one) => (one ? valueOf(one, name, control) : null);
    const title = control ? `${word}, control` : word;
    chart(place, `${title} of every two layers, from ${written(name, scale.low)} to ${written(name, scale.high)}; the heat map above has the numbers.`, () => [[{
      type: "heatmap", x: layers, y: layers, z: grid.map((row) => row.map(value)), zmin: scale.low, zmax: scale.high, xgap: 1, ygap: 1, hoverongaps: false,
      colorscale: scale.palette.map((colour, i) => [i / (scale.palette.length - 1), colour]), colorbar: { thickness: 10, outlinewidth: 0, tickfont: { size: 10 } },
      customdata: grid.map((row) => row.map((one) => one?.cell)), hoverinfo: "text", text: grid.map((row) => row.map((one) => (one ? hoverText(one, name, control) : ""))),
    }], layoutOf(t, {
      title: panelTitle(t, title), margin: { l: 44, r: 6, t: 34, b: 44 },
      xaxis: axis(t, control ? "layer, half a clip later" : "layer", { type: "category", showgrid: false, nticks: 9 }), yaxis: axis(t, "layer", { type: "category", autorange: "reversed", showgrid: false, nticks: 9 }),
    })], choose);
  }
  section.querySelector(".note").textContent = `Bright is alike in all maps. A measure and its control (the second layer half a clip later) have one scale: what is as bright in the control does not depend on what is being played. ${countWords(lines)}${pooledWords(lines)}`;
}

function drawCurves(lines, choose) {
  const section = byId("curves"), t = theme(), place = emptied(section.querySelector(".charts"));
  const last = lastLayer(), own = lines.filter((line) => line.other === last).sort((a, b) => a.layer - b.layer);
  const xs = own.map((line) => Number(line.layer)), ticks = ticksOf(own.map((line) => line.layer), 9), colour = DATA.words.colour;
  for (const [name, word] of Object.entries(KINDS)) {
    chart(place, `${word} of each layer and layer ${last}, with intervals and control. Layer ${own[0].layer}: ${written(name, own[0][name])}, control ${written(name, valueOf(own[0], name, "moved"))}.`, () => [[
      ...DATA.controls.flatMap((control) => band(own, xs, name, control, t.control, { axes: {} })),
      ...band(own, xs, name, "", colour, { axes: {} }).map((trace) => ({ ...trace, hoverinfo: "skip" })),
      points(own, xs, name, "", colour, { axes: {}, solid: true }),
    ], layoutOf(t, {
      title: panelTitle(t, `${word} to layer ${last}`), margin: { l: 50, r: 10, t: 34, b: 44 },
      xaxis: axis(t, "layer", { tickvals: ticks.map(Number), ticktext: ticks, zeroline: false, showgrid: false }),
      yaxis: axis(t, name === "distance" ? "units of the stream" : word, { range: rangeOf(own, name, [0]) }),
    })], choose);
  }
  drawLegend(section, [{ word: "the layer and the last layer", colour, symbol: "circle" }, ...controlMarks()]);
  section.querySelector(".note").textContent = countWords(own) + pooledWords(own);
  drawBehind(section, own, ["layer", "other"]);
}

function drawGlance() {
  const last = lastLayer(), rows = LINES.filter((line) => line.other === last && line.layer === VIEW.order("layer").filter((layer) => layer !== last).at(-1));
  const axes = DATA.selectors, heads = [...axes, "layers", ...Object.values(KINDS).flatMap((word) => [word, "control"])];
  byId("glance-count").textContent = "The last layer and the one before it:";
  byId("glance-table").replaceChildren(scrolling("Last layers", table(heads, rows.slice(0, 200).map((line) => ({
    cells: [...axes.map((axis) => wordOf(axis, line[axis])), el("button", { type: "button", class: "link", "aria-label": `Show ${siteWords(line)}, ${line.concept}`, onclick: () => show(line) }, `${line.layer}, ${line.other}`),
      ...Object.keys(KINDS).flatMap((name) => [spread(line, name), spread(line, name, "moved")])],
  })), axes.length + 1)));
  byId("glance-note").textContent = `Control: the last layer half a clip later. Intervals: ${PERCENT}.`;
}
