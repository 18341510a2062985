"use strict";
// Pieces from beginning to end: their sections as bands, for what a task draws over them, and their sound.
const SECTION_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442"];

// Sections that are alike have one colour: that of the first of them.
function firstOf(sections, number) {
  const { source } = sections[number];
  return source === null ? number : firstOf(sections, source);
}

function bandsOf(piece, t) {
  return piece.sections.map((one, number) => ({
    type: "rect", xref: "x", yref: "paper", x0: one.start, x1: one.end, y0: 0, y1: 1, layer: "below", line: { width: 1, color: t.paper },
    fillcolor: SECTION_COLOURS[firstOf(piece.sections, number) % SECTION_COLOURS.length], opacity: one.kind === "decoy" ? 0.12 : 0.3,
  }));
}

function namesOf(piece, t) {
  return piece.sections.map((one) => ({
    x: (one.start + one.end) / 2, y: 1, yref: "paper", yanchor: "bottom", showarrow: false, font: { size: 11, color: t.ink },
    text: one.source === null ? one.kind : `${one.kind} of ${one.source + 1}`,
  }));
}

function timelineLayout(piece, t, yaxis, more) {
  return layoutOf(t, {
    title: panelTitle(t, `${piece.name}: ${piece.prompt}`), annotations: namesOf(piece, t), margin: { l: 56, r: 26, t: 56, b: 44 },
    xaxis: axis(t, "seconds (of symbolic models: five notes)", { range: [0, piece.seconds] }), yaxis, ...more, shapes: [...bandsOf(piece, t), ...(more.shapes ?? [])],
  });
}

function playerOf(piece) {
  return piece.sound ? [el("audio", { controls: "", preload: "none", src: piece.sound })] : [];
}

function picked(label, values) {
  return el("select", { "aria-label": label }, ...values.map((value) => el("option", { value }, `${value}`)));
}
