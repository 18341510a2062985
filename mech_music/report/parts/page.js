"use strict";
// What is selected, and who draws it.
const chosen = {};
let selectedCell = null;
let measure = "effectiveness";

function fits(line, except = []) {
  return DATA.selectors.every((axis) => except.includes(axis) || line[axis] === chosen[axis]);
}

function shown(...except) { return LINES.filter((line) => line.effectiveness !== null && fits(line, except)); }

function subject(except = []) {
  const line = LINES[selectedCell];
  const facts = ["pair", "technique", "model", ...DATA.selectors.filter((axis) => !["pair", "technique", "model"].includes(axis))];
  return facts.filter((axis) => !except.includes(axis)).map((axis) => (axis === "pair" ? line.pair : `${axis} ${line[axis]}`)).join(" · ");
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
  const agreed = (line) => DATA.selectors.filter((other) => other !== axis && line[other] === chosen[other]).length * 10 + (line.component === old.component) * 2 + (line.layer === old.layer);
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
      ...values.map((value) => el("option", { value }, String(value))));
    return el("label", { for: `select-${axis}` }, axis, select);
  }));
  byId("selectors").addEventListener("submit", (event) => event.preventDefault());
}

function drawMeasures() {
  const there = Object.keys(MEASURES).filter((name) => LINES.some((line) => line[name] !== null));
  byId("measures").append(...there.map((name) => el("label", {},
    el("input", { type: "radio", name: "measure", value: name, checked: name === measure ? "" : null, onchange: () => { measure = name; drawHeatMap(); } }), ` ${name}`)));
}

function drawHeatMap() {
  drawHeat(LINES.filter((line) => fits(line)), measure, selectedCell, choose);
  byId("heat-note").textContent = (DATA.controls.length ? "● effectiveness above, ▽ below the intervals of all controls that were run. " : "No controls were run. ") + "Choose a cell for its numbers and clips: by mouse, or with Tab and the arrow keys.";
}

// `loud`: somebody pressed it, so say what is shown now.
function choose(cell, loud) {
  const line = LINES[cell];
  const moved = selectedCell === null || !fits(line);
  selectedCell = cell;
  adopt(line);
  if (moved) drawAll(); else pressCell(cell);
  drawCell(line);
  drawClips(line);
  if (loud) byId("announce").textContent = `${siteWords(line)}: effectiveness ${written("effectiveness", line.effectiveness)} ${interval(line, "effectiveness")}. ${verdict(line)} Numbers and clips are below the heat map.`;
}

function drawAll() {
  for (const [id, except] of [["cells", []], ["curves", []], ["tradeoff", ["technique"]], ["dose", ["strength"]]]) byId(id).querySelector(".subject").textContent = subject(except);
  drawHeatMap();
  drawCharts();
}

function drawCharts() {
  if (!shown().length || !window.Plotly) return;
  drawCurves(shown(), choose);
  drawTradeoff(shown("technique"), choose);
  drawDose(shown("strength"), choose);
}

// -- at a glance ----------------------------------------------------------------------------

function glanceLines() {
  const blocks = new Map();
  for (const line of LINES.filter((one) => one.effectiveness !== null)) {
    const key = JSON.stringify([...DATA.selectors.map((axis) => line[axis]), line.component]);
    blocks.set(key, [...(blocks.get(key) ?? []), line]);
  }
  return [...blocks.values()].flatMap((lines) => {
    const alone = lines.filter(isSingle);
    return [...(alone.length ? [best(alone)] : []), ...lines.filter((line) => !isSingle(line))];
  });
}

// Blocks in the order of the selectors' options.
function placeOf(line) {
  return DATA.selectors.reduce((sum, axis) => 1000 * sum + optionsOf(axis).indexOf(line[axis]), 0);
}

function highestControl(line) {
  const there = DATA.controls.filter((name) => valueOf(line, "effectiveness", name) !== null);
  if (!there.length) return "–";
  const name = there.reduce((a, b) => (valueOf(line, "effectiveness", b) > valueOf(line, "effectiveness", a) ? b : a));
  return el("span", {}, `${name} `, spread(line, "effectiveness", name));
}

function show(line) {
  choose(line.cell, true);
  byId("cells").scrollIntoView();
  byId("cell-h").focus({ preventScroll: true });
}

function drawGlance() {
  const lines = byComponent(glanceLines()).sort((a, b) => placeOf(a) - placeOf(b)), most = 200;
  const axes = DATA.selectors.length ? DATA.selectors : ["pair"];
  const heads = [...axes, "site", "effectiveness (nats)", "highest control", "precision (nats)", "n"];
  byId("glance-table").replaceChildren(el("div", { class: "scroll tall", role: "region", "aria-label": "Greatest effects", tabindex: 0 }, el("table", { class: "numbers" },
    el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i < axes.length + 1 ? "word" : null }, head)))),
    el("tbody", {}, ...lines.slice(0, most).map((line) => el("tr", { class: line.verdict === ABOVE ? "above" : null },
      ...axes.map((axis) => el("td", { class: "word" }, String(line[axis]))),
      el("th", { scope: "row", class: "word" }, el("button", { type: "button", class: "link", "aria-label": `Show ${line.pair}, ${siteWords(line)}`, onclick: () => show(line) }, siteWords(line))),
      el("td", {}, spread(line, "effectiveness"), line.verdict === ABOVE ? " ●" : ""), el("td", {}, highestControl(line)),
      el("td", {}, spread(line, "precision")), el("td", {}, String(line.n))))))));
  const above = LINES.filter((line) => line.verdict === ABOVE).length, tried = LINES.filter((line) => line.effectiveness !== null).length;
  byId("glance-count").textContent = DATA.controls.length ? `${above} of ${tried} interventions have an effect above all of their controls (${DATA.controls.join(", ")}).` : `${tried} interventions, no controls: effects cannot be told from damage or chance.`;
  byId("glance-note").textContent = `The best single layer of each component${lines.some((line) => !isSingle(line)) ? ", and every set of layers" : ""}${lines.length > most ? `; the first ${most} of ${lines.length} lines` : ""}. ` +
    `A best layer is chosen on the same prompts that measure it: a little flattered. ` + (DATA.controls.length ? `● above all controls: the ${PERCENT} interval lies above those of all controls that were run. Intervals are not corrected for the number of interventions, so among many a few stand out by chance.` : "");
}

function drawMeasureWords() {
  byId("measure-words").append(...DATA.metrics.filter((metric) => !/_(before|original|desired)$|^p_/.test(metric.name)).map((metric) =>
    el("p", {}, el("b", {}, metric.name.replace("_", " ")), `${metric.unit ? ` (${metric.unit})` : ""}: ${metric.meaning}.`)));
}

// -- start ----------------------------------------------------------------------------------

function start() {
  drawSelectors();
  drawMeasures();
  drawGlance();
  drawMeasureWords();
  const measured = LINES.filter((line) => line.effectiveness !== null);
  const certain = measured.filter((line) => line.verdict === ABOVE);
  choose(measured.length ? best(certain.length ? certain : measured).cell : 0, false);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawHeatMap(); } });
  document.body.dataset.ready = "yes";
  addEventListener("load", () => setTimeout(startCharts, 30));
}

function startCharts() {
  document.head.append(el("script", {}, byId("plotly").textContent));
  drawCharts();
  document.body.dataset.charts = "yes";
}

start();
