"use strict";
// Self-similarity: every two layers as a map, each measure beside its control.
DRAW.maps = (spec, lines, place, section, choose) => {
  const t = theme(), layers = DATA.orders.other, at = new Map(lines.map((line) => [`${line.layer} ${line.other}`, line]));
  const find = (a, b, mirrored) => at.get(`${a} ${b}`) ?? (mirrored ? at.get(`${b} ${a}`) : undefined);
  for (const control of ["", ...DATA.controls]) for (const name of spec.measures) {
    const scale = MEASURES[name], grid = layers.map((a) => layers.map((b) => find(a, b, !control))), each = (read) => grid.map((row) => row.map((line) => (line ? read(line) : null)));
    const title = control ? `${scale.word}, control` : scale.word;
    chart(place, `${title} of every two layers, from ${written(name, scale.low)} to ${written(name, scale.high)}; the heat map above has the numbers.`, () => [[{
      type: "heatmap", x: layers, y: layers, z: each((line) => valueOf(line, name, control)), zmin: scale.low, zmax: scale.high, xgap: 1, ygap: 1, hoverongaps: false,
      colorscale: scale.palette.map((colour, i) => [i / (scale.palette.length - 1), colour]), colorbar: { thickness: 10, outlinewidth: 0, tickfont: { size: 10 } },
      customdata: each((line) => line.cell), hoverinfo: "text", text: each((line) => hoverText(line, name, control)),
    }], layoutOf(t, {
      title: panelTitle(t, title), margin: { l: 44, r: 6, t: 34, b: 44 },
      xaxis: axis(t, control ? "layer, half a clip later" : "layer", { type: "category", showgrid: false, nticks: 9 }), yaxis: axis(t, "layer", { type: "category", autorange: "reversed", showgrid: false, nticks: 9 }),
    })], choose);
  }
  drawLegend(section, []);
};
