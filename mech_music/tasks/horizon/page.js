"use strict";
// Pieces from beginning to end: sections, what a probe says at each moment, and the sound where there is some.
const SECTION_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442"];

// Sections that are alike have one colour: that of the first of them.
function firstOf(sections, number) {
  const { source } = sections[number];
  return source === null ? number : firstOf(sections, source);
}

DRAW.timelines = (spec, lines, place, section, choose) => {
  const t = theme(), regimes = new Set(lines.map((line) => line.regime));
  const layers = DATA.orders.layer, horizons = DATA.orders.horizon;
  const pick = (label, values) => {
    const node = el("select", { "aria-label": label }, ...values.map((value) => el("option", { value }, `${value}`)));
    return node;
  };
  const layer = pick("layer", layers), horizon = pick("how much later", horizons);
  layer.value = layers.at(-1);
  horizon.value = horizons[Math.floor(horizons.length / 2)];
  const charts = el("div", {});
  place.append(el("p", {}, "layer ", layer, " · how much later ", horizon, ` ${lines[0]?.horizons_in ?? ""}`), charts);
  const redraw = () => {
    emptied(charts);
    for (const piece of DATA.more.filter((one) => regimes.has(one.regime) && one.forecasts.some((f) => layer.value in f.layers))) drawPiece(piece);
  };
  const drawPiece = (piece) => {
    const own = piece.forecasts.find((one) => `${one.horizon}` === horizon.value && layer.value in one.layers);
    const shapes = piece.sections.map((one, number) => ({
      type: "rect", xref: "x", yref: "paper", x0: one.start, x1: one.end, y0: 0, y1: 1, layer: "below", line: { width: 1, color: t.paper },
      fillcolor: SECTION_COLOURS[firstOf(piece.sections, number) % SECTION_COLOURS.length], opacity: one.kind === "decoy" ? 0.12 : 0.3,
    }));
    const annotations = piece.sections.map((one) => ({
      x: (one.start + one.end) / 2, y: 1, yref: "paper", yanchor: "bottom", showarrow: false, font: { size: 11, color: t.ink },
      text: one.source === null ? one.kind : `${one.kind} of ${one.source + 1}`,
    }));
    const said = own ? own.layers[layer.value] : [];
    chart(charts, `${piece.name}: sections ${piece.sections.map((one) => one.kind).join(", ")}; the probe's probability of a return at each moment.`, () => [[{
      x: own?.seconds ?? [], y: said, mode: "lines+markers", line: { color: t.ink, width: 1.5 }, hoverinfo: "x+y",
      marker: { size: 7, color: (own?.returns ?? []).map((yes) => (yes ? t.ink : t.paper)), line: { color: t.ink, width: 1.5 } },
    }], layoutOf(t, {
      title: panelTitle(t, `${piece.name}: ${piece.prompt}`), shapes, annotations, margin: { l: 56, r: 26, t: 56, b: 44 },
      xaxis: axis(t, "seconds (of symbolic models: five notes)", { range: [0, piece.seconds] }), yaxis: axis(t, "P(return)", { range: [0, 1] }),
    })], choose);
    if (piece.sound) charts.append(el("audio", { controls: "", preload: "none", src: piece.sound }));
  };
  layer.onchange = redraw;
  horizon.onchange = redraw;
  redraw();
  drawLegend(section, []);
};
