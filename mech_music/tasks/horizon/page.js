// What a probe says at each moment of a piece.
DRAW.timelines = (spec, lines, place, section, choose) => {
  const t = theme(), regimes = new Set(lines.map((line) => line.regime));
  const layers = DATA.orders.layer, horizons = DATA.orders.horizon;
  const layer = picked("layer", layers), horizon = picked("how much later", horizons);
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
    const said = own ? own.layers[layer.value] : [];
    chart(charts, `${piece.name}: sections ${piece.sections.map((one) => one.kind).join(", ")}; the probe's probability of a return at each moment.`, () => [[{
      x: own?.seconds ?? [], y: said, mode: "lines+markers", line: { color: t.ink, width: 1.5 }, hoverinfo: "x+y",
      marker: { size: 7, color: (own?.returns ?? []).map((yes) => (yes ? t.ink : t.paper)), line: { color: t.ink, width: 1.5 } },
    }], timelineLayout(piece, t, axis(t, "P(return)", { range: [0, 1] }), {})], choose);
    charts.append(...playerOf(piece));
  };
  layer.onchange = redraw;
  horizon.onchange = redraw;
  redraw();
  drawLegend(section, []);
};
