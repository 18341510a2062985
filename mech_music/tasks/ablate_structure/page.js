// Where a found head looks: an arc from each beat to every earlier one that it gives much of its attention.
DRAW.arcs = (spec, lines, place, section, choose) => {
  if (!DATA.more.length) { section.hidden = true; return; } // of features and directions
  const t = theme(), heads = [...new Set(DATA.more.flatMap((piece) => Object.keys(piece.arcs)))];
  const head = picked("head", heads), charts = el("div", {});
  place.append(el("p", {}, "head ", head), charts);
  const redraw = () => {
    emptied(charts);
    DATA.more.forEach(drawPiece);
  };
  const drawPiece = (piece) => {
    const arcs = piece.arcs[head.value] ?? [], longest = Math.max(1e-9, ...arcs.map(([a, b]) => piece.beats[a] - piece.beats[b]));
    const middle = (beat) => (piece.beats[beat] + (piece.beats[beat + 1] ?? piece.seconds)) / 2;
    const shapes = arcs.map(([a, b, share]) => ({
      type: "path", xref: "x", yref: "y", line: { color: t.ink, width: 0.5 + 4 * share }, opacity: 0.25 + 0.75 * share,
      path: `M ${middle(b)},0 Q ${(middle(a) + middle(b)) / 2},${(2 * (middle(a) - middle(b))) / longest} ${middle(a)},0`,
    }));
    const said = arcs.map(([a, b, share]) => `beat ${a + 1} to ${b + 1}: ${share}`).join("; ");
    chart(charts, `${piece.name}: sections ${piece.sections.map((one) => one.kind).join(", ")}; head ${head.value}: ${said || "no arcs"}.`, () => [[{
      x: arcs.map(([a]) => middle(a)), y: arcs.map(() => 0), mode: "markers", marker: { size: 4, color: t.ink }, hoverinfo: "text",
      text: arcs.map(([a, b, share]) => `from ${middle(a).toFixed(1)} s to ${middle(b).toFixed(1)} s: ${share}`),
    }], timelineLayout(piece, t, axis(t, "", { range: [-0.04, 1.05], showticklabels: false, showgrid: false }), { shapes })], choose);
    charts.append(...playerOf(piece));
  };
  head.onchange = redraw;
  redraw();
  drawLegend(section, []);
};
