"use strict";
// A tuned lens: how near each layer comes to the model's end, with and without training.
const VIEW = {
  rank: "kl", digits: 3, controlled: false, within: ["lens", "layer"],
  signed: new Set(), shares: new Set(["agreement"]),
  measures: {
    kl: { word: "KL", title: "KL(final ‖ lens), each guidance half", axis: "nats" },
    kl_guided: { word: "KL after guidance", title: "KL(final ‖ lens), after guidance", axis: "nats" },
    agreement: { word: "agreement", title: "same most probable token", axis: "share of codebooks" },
  },
  words: { lens: lensWord, component: (name) => DATA.words.points[name] ?? name, layer: layerWord },
  subject: ["component", "model"],
  fact: (axis, line) => (axis === "component" ? DATA.words.points[line.component] : `${axis} ${line[axis]}`),
  siteWords: (line) => layerWord(line.layer), hover: (line) => lensWord(line.lens),
  order: () => DATA.layers, heat: null, drawGlance() {}, described: () => true,
  first: (lines) => lines[0],
  behind: { measures: ["kl", "kl_guided", "agreement"], controls: [] },
  charts: () => [["curves", [], drawCurves]],
};

function lensWord(name) { return DATA.words.lenses[name] ?? name; }
function byLens(lines, lens) { return lines.filter((line) => line.lens === lens).sort((a, b) => a.layer - b.layer); }

function drawCurves(lines, choose) {
  const section = byId("curves"), t = theme(), place = emptied(section.querySelector(".charts"));
  const lenses = Object.keys(DATA.words.lenses).filter((name) => lines.some((line) => line.lens === name));
  const ticks = ticksOf(DATA.layers, 12);
  for (const [name, measure] of Object.entries(VIEW.measures)) {
    const most = Math.max(...lines.flatMap((line) => [line[name], line[`${name}_high`]]));
    const [low, high] = [DATA.layers[0], DATA.layers.at(-1)].map((layer) => lenses.map((lens) => `${lensWord(lens)} ${written(name, byLens(lines, lens).find((line) => line.layer === layer)?.[name])}`).join(", "));
    chart(place, `${measure.title} by layer, both lenses, with intervals. ${layerWord(DATA.layers[0])}: ${low}; ${layerWord(DATA.layers.at(-1))}: ${high}.`, () => [
      lenses.flatMap((lens) => {
        const own = byLens(lines, lens), xs = own.map((line) => Number(line.layer)), colour = DATA.words.lens_colours[lens], style = { axes: {}, solid: true };
        return [...band(own, xs, name, "", colour, style).map((trace) => ({ ...trace, hoverinfo: "skip" })), { ...points(own, xs, name, "", colour, style), customdata: undefined }];
      }),
      layoutOf(t, {
        title: panelTitle(t, measure.title), margin: { l: 56, r: 12, t: 34, b: 44 },
        xaxis: axis(t, "layer read", { tickvals: ticks.map(Number), ticktext: ticks, zeroline: false, showgrid: false }),
        yaxis: axis(t, measure.axis, { range: [0, 1.05 * most || 1], zeroline: false, tickformat: name === "agreement" ? ".0%" : "" }),
      })], choose);
  }
  drawLegend(section, lenses.map((lens) => ({ word: lensWord(lens) + (lens === "decoder" ? " (no training)" : ""), colour: DATA.words.lens_colours[lens], symbol: "circle" })));
  section.querySelector(".note").textContent = `${countWords(lines)} On clips that no map was trained on. The last layer is the end itself: nothing is to be translated there. Lower divergence is nearer to the end.`;
  drawNumbers(lines, lenses);
}

function drawNumbers(lines, lenses) {
  const names = Object.keys(VIEW.measures), both = lenses.length === 2;
  const heads = ["layer", ...names.flatMap((name) => lenses.map((lens) => `${VIEW.measures[name].word}, ${lensWord(lens)}`)), ...(both ? ["KL, tuned ÷ decoder"] : [])];
  const rows = DATA.layers.map((layer) => {
    const at = Object.fromEntries(lenses.map((lens) => [lens, byLens(lines, lens).find((line) => line.layer === layer)]));
    if (lenses.some((lens) => !at[lens])) return null;
    return { cells: [layer, ...names.flatMap((name) => lenses.map((lens) => spread(at[lens], name))), ...(both ? [(at.tuned.kl / at.decoder.kl).toFixed(2)] : [])] };
  }).filter(Boolean);
  byId("glance-count").textContent = subject();
  byId("glance-table").replaceChildren(scrolling("Both lenses by layer", table(heads, rows, 1)));
  byId("glance-note").textContent = `KL in nats. Means with ${PERCENT} intervals over held-out clips. After guidance: of the distributions that tokens are sampled from.`;
}
