"use strict";
// The map of concept by layer, and what one cell shows and plays.
const DATA = JSON.parse(byId("data").textContent);
const PERCENT = `${+(100 * DATA.level).toFixed(2)} %`;
const chosen = Object.fromEntries(DATA.selectors.map((axis) => [axis, DATA.lines[0][axis]]));
let selected = null;

function fits(line) { return DATA.selectors.every((axis) => line[axis] === chosen[axis]); }
function word(axis, value) { return DATA.words[axis]?.[value] ?? String(value); }
function written(value) { return value === null ? "–" : value.toFixed(2); }
function spread(line, name) { return `${written(line[name])} [${written(line[`${name}_low`])}, ${written(line[`${name}_high`])}]`; }
function isAbove(line) { return line.ndcg_low > line.other_ndcg_high; }

// Viridis, from which one reads more and less without colour as well.
const SHADES = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function shade(value) {
  const at = Math.max(0, Math.min(0.9999, value)) * (SHADES.length - 1), i = Math.floor(at);
  return SHADES[i].map((from, k) => Math.round(from + (at - i) * (SHADES[i + 1][k] - from)));
}
function ink([r, g, b]) { return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff"; }

function drawSelectors() {
  byId("selectors").replaceChildren(...DATA.selectors.map((axis) => {
    const values = [...new Set(DATA.lines.map((line) => line[axis]))];
    const select = el("select", { id: `select-${axis}`, onchange: (event) => { chosen[axis] = values[event.target.selectedIndex]; follow(); } },
      ...values.map((value) => el("option", {}, word(axis, value))));
    return el("label", { for: `select-${axis}` }, axis, select);
  }));
  byId("selectors").addEventListener("submit", (event) => event.preventDefault());
}

// After another lens or reading was chosen: the same concept and layer there.
function follow() {
  const old = DATA.lines[selected], here = DATA.lines.filter(fits);
  const next = here.find((line) => line.concept === old.concept && line.layer === old.layer) ?? here[0];
  if (next) choose(DATA.lines.indexOf(next), false); else byId("heat").replaceChildren(el("p", {}, "These were not run together."));
}

function drawHeat() {
  byId("subject").textContent = DATA.selectors.map((axis) => `${axis}: ${word(axis, chosen[axis])}`).join(" · ");
  const at = new Map(DATA.lines.map((line, cell) => [`${line.concept} ${line.layer} ${fits(line)}`, cell]));
  const row = (concept) => el("tr", {}, el("th", { scope: "row" }, concept), ...DATA.layers.map((layer) => {
    const cell = at.get(`${concept} ${layer} true`);
    return el("td", {}, cell === undefined ? "–" : button(cell));
  }));
  byId("heat").replaceChildren(el("table", { class: DATA.layers.length > 14 ? "heat dense" : "heat" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), ...DATA.layers.map((layer) => el("th", { scope: "col" }, layer)))),
    el("tbody", {}, ...DATA.concepts.map(row))));
}

function button(cell) {
  const line = DATA.lines[cell], rgb = shade(line.ndcg ?? 0);
  return el("button", {
    type: "button", "data-cell": cell, "aria-pressed": cell === selected, style: `background: rgb(${rgb}); color: ${ink(rgb)}`,
    "aria-label": `${line.concept}, layer ${line.layer}: NDCG ${spread(line, "ndcg")}${isAbove(line) ? ", above the control" : ""}`,
    onclick: () => choose(cell, true), onkeydown: (event) => move(event, cell),
  }, el("span", {}, written(line.ndcg)), el("i", {}, isAbove(line) ? "●" : ""));
}

function move(event, cell) {
  const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
  if (!step) return;
  event.preventDefault();
  const line = DATA.lines[cell], concept = DATA.concepts[DATA.concepts.indexOf(line.concept) + step[0]], layer = DATA.layers[DATA.layers.indexOf(line.layer) + step[1]];
  const next = DATA.lines.findIndex((one) => fits(one) && one.concept === concept && one.layer === layer);
  if (next >= 0) choose(next, true);
}

function choose(cell, loud) {
  selected = cell;
  drawHeat();
  drawCell(DATA.lines[cell]);
  drawClips(DATA.lines[cell], DATA.samples[cell] ?? []);
  if (!loud) return;
  document.querySelector(`[data-cell="${cell}"]`).focus({ preventScroll: true });  // the buttons were drawn anew
  byId("announce").textContent = `${byId("cell-h").textContent}: NDCG ${spread(DATA.lines[cell], "ndcg")}.`;
}

function drawCell(line) {
  byId("cell-h").textContent = `${line.concept}, layer ${line.layer}, ${word("component", line.component)}`;
  const failed = line.failed ? `, ${line.failed} clips failed and are left out` : "";
  const row = (name, value) => el("tr", {}, el("th", { scope: "row", class: "word" }, name), el("td", {}, value));
  byId("cell-numbers").replaceChildren(
    el("p", {}, el("b", {}, isAbove(line) ? "The layer carries the concept: above its control." : "Not above its control.")),
    el("table", { class: "numbers" }, el("caption", {}, `Means over n = ${line.n} prompts${failed}, with ${PERCENT} intervals`), el("tbody", {},
      row("NDCG of its labels", spread(line, "ndcg")), row("control: prompts without it", spread(line, "other_ndcg")),
      row("full model", spread(line, "ndcg_full")), row("heard above its like (share)", spread(line, "heard")),
      row("… in the control", spread(line, "other_heard")), row("tokens as the full model's (share)", spread(line, "agreement")))));
}

function drawClips(line, samples) {
  if (!samples.length) { byId("cell-clips").replaceChildren(el("p", { class: "note" }, "This page carries no clips of this cell.")); return; }
  byId("cell-clips").replaceChildren(el("h3", {}, "What is heard"),
    el("p", { class: "note" }, "The first prompts of the concept, the same at every layer. Sounds are compressed."),
    ...samples.map((sample) => el("div", { class: "sample" },
      el("h4", {}, `NDCG ${written(sample.ndcg)} (mean of the cell ${written(line.ndcg)})`), el("p", {}, `Prompt ${sample.index}: “${sample.prompt}”`),
      el("div", { class: "twins" }, player(`Layer ${line.layer}`, sound(sample.row), sample), player("Full model", sound(sample.baseline), sample), labels(sample, line)))));
}

function labels(sample, line) {
  const share = (value) => el("td", {}, value < 0.001 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`);
  return el("figure", {}, el("figcaption", {}, `What ${line.classifier} (the classifier) hears`), el("table", { class: "numbers labels" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "word" }, "label"), el("th", { scope: "col" }, "layer"), el("th", { scope: "col" }, "full model"))),
    el("tbody", {}, ...sample.labels.map((label) => el("tr", {}, el("th", { scope: "row", class: label.own ? "word concept" : "word" }, label.name), share(label.here), share(label.full))))));
}

drawSelectors();
const first = DATA.lines.findIndex(fits);
choose(first, false);
