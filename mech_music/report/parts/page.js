"use strict";
// What is selected, and who draws it.
const chosen = {};
let selectedCell = null;
let measure = Object.keys(VIEW.measures)[0];

function fits(line, except = []) {
  return DATA.selectors.every((axis) => except.includes(axis) || line[axis] === chosen[axis]);
}

function shown(...except) { return LINES.filter((line) => isMeasured(line) && fits(line, except)); }

function subject(except = []) {
  const line = LINES[selectedCell];
  const facts = [...VIEW.subject, ...DATA.selectors.filter((axis) => !VIEW.subject.includes(axis))];
  return facts.filter((axis) => !except.includes(axis)).map((axis) => VIEW.fact(axis, line)).join(" · ");
}

// The axes of a line become the selection; other axes may have had to follow the one that was changed.
function adopt(line) {
  for (const axis of DATA.selectors) {
    chosen[axis] = line[axis];
    const select = byId(`select-${axis}`);
    if (select) select.value = String(line[axis]);
  }
}

function onSelector(axis, text) {
  const old = LINES[selectedCell];
  const agreed = (line) => DATA.selectors.filter((other) => other !== axis && line[other] === chosen[other]).length * 10 + VIEW.within.reduce((sum, other) => 2 * sum + (line[other] === old[other]), 0);
  const candidates = LINES.filter((line) => String(line[axis]) === text);
  const next = candidates.reduce((a, b) => (agreed(b) > agreed(a) ? b : a));
  choose(next.cell, false);
}

const options = {};
function optionsOf(axis) {
  options[axis] ??= [...new Set(LINES.map((line) => line[axis]))].sort((a, b) => (typeof a === "number" ? a - b : 0));
  return options[axis];
}

function drawSelectors() {
  byId("selectors").replaceChildren(...DATA.selectors.map((axis) => {
    const values = optionsOf(axis);
    const select = el("select", { id: `select-${axis}`, onchange: (event) => onSelector(axis, event.target.value) },
      ...values.map((value) => el("option", { value }, wordOf(axis, value))));
    return el("label", { for: `select-${axis}` }, axis, select);
  }));
  byId("selectors").addEventListener("submit", (event) => event.preventDefault());
}

function drawMeasures() {
  const there = Object.keys(VIEW.measures).filter((name) => LINES.some((line) => (line[name] ?? null) !== null));
  byId("measures").append(...there.map((name) => el("label", {},
    el("input", { type: "radio", name: "measure", value: name, checked: name === measure ? "" : null, onchange: () => { measure = name; drawHeatMap(); } }), ` ${VIEW.measures[name].word}`)));
}

function drawHeatMap() {
  if (!VIEW.heat) return;
  drawHeat(LINES.filter((line) => fits(line)), measure, selectedCell, choose);
  byId("heat-note").textContent = VIEW.heat.note;
}

// `loud`: somebody pressed it, so say what is shown now.
function choose(cell, loud) {
  const line = LINES[cell];
  const moved = selectedCell === null || !fits(line);
  selectedCell = cell;
  adopt(line);
  if (moved) drawAll(); else if (VIEW.heat) pressCell(cell);
  if (!VIEW.heat) return;
  VIEW.drawCell(line);
  drawClips(line);
  if (loud) byId("announce").textContent = VIEW.announced(line);
}

function drawAll() {
  if (VIEW.heat) byId("cells").querySelector(".subject").textContent = subject();
  for (const [id, except] of VIEW.charts()) byId(id).querySelector(".subject").textContent = subject(except);
  drawHeatMap();
  drawCharts();
}

function drawCharts() {
  if (!shown().length || !window.Plotly) return;
  for (const [, except, draw] of VIEW.charts()) draw(shown(...except), choose);
}

function show(line) {
  choose(line.cell, true);
  byId("cells").scrollIntoView();
  byId("cell-h").focus({ preventScroll: true });
}

function drawMeasureWords() {
  byId("measure-words").append(...DATA.metrics.filter(VIEW.described).map((metric) =>
    el("p", {}, el("b", {}, metric.name.replace("_", " ")), `${metric.unit ? ` (${metric.unit})` : ""}: ${metric.meaning}.`)));
}

// -- start ----------------------------------------------------------------------------------

function start() {
  drawSelectors();
  if (VIEW.heat) drawMeasures();
  VIEW.drawGlance();
  drawMeasureWords();
  const measured = LINES.filter(isMeasured);
  const certain = measured.filter((line) => line.verdict === ABOVE);
  choose(measured.length ? (VIEW.first ?? best)(certain.length ? certain : measured).cell : 0, false);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawHeatMap(); } });
  addEventListener("beforeprint", drawWaiting);
  if (VIEW.heat) document.addEventListener("DOMContentLoaded", () => drawClips(LINES[selectedCell]));
  document.body.dataset.ready = "yes";
}

// As a file of its own the library is read beside the page and not before it.
function startCharts() {
  const source = URL.createObjectURL(new Blob([byId("plotly").textContent], { type: "text/javascript" }));
  document.head.append(el("script", { src: source, onload: drawCharts }));
}

start();
