"use strict";
// Two runs next to each other: a_, b_ and d_ are the columns of A, of B, and of B less A over the prompts that both have.
const DATA = JSON.parse(byId("data").textContent);
const MEASURES = DATA.measures, NAMES = Object.keys(DATA.columns);
const LINES = DATA.columns.n.map((_, cell) => Object.fromEntries(NAMES.map((name) => [name, DATA.columns[name][cell]])));
const RUNS = ["a", "b"], SIGNS = { 1: "●", "-1": "▽" }, PERCENT = `${+(100 * DATA.level).toFixed(2)} %`;
const [DOWN, ACROSS] = [DATA.within[0], DATA.within[1] ?? DATA.within[0]];
const chosen = {};
let measure = DATA.rank;

function wordOf(axis, value) { return DATA.words[axis]?.[value] ?? String(value); }
function inBoth(line) { return line[`a_${DATA.rank}`] !== null && line[`b_${DATA.rank}`] !== null; }
function shown() { return LINES.filter((line) => DATA.selectors.every((axis) => line[axis] === chosen[axis])); }
function nameOf(line) { return DATA.axes.filter((axis) => only(LINES, axis).length > 1).map((axis) => (DATA.words[axis] ? wordOf(axis, line[axis]) : `${axis} ${line[axis]}`)).join(", ") || "the only cell"; }

// A difference has a sign, and is told in points where the measure is a share.
function difference(name, value) {
  if (value === null || value === undefined) return "–";
  const text = MEASURES[name].share ? `${Math.round(100 * value)} points` : value.toFixed(2);
  return ((value > 0 ? "+" : "") + text).replace("-", "−");
}

function textOf(side, name, value) { return side === "d" ? difference(name, value) : written(name, value); }

function spread(line, side, name) {
  const [low, high] = ["_low", "_high"].map((end) => line[`${side}_${name}${end}`]), value = line[`${side}_${name}`];
  const interval = low === null ? "" : `[${textOf(side, name, low)}, ${textOf(side, name, high)}]`;
  return el("span", { class: "mean" }, textOf(side, name, value), SIGNS[line[`${side}_verdict`]] && name === DATA.rank ? ` ${SIGNS[line[`${side}_verdict`]]}` : "", " ", el("span", { class: "interval" }, interval));
}

// -- tables next to each other --------------------------------------------------------------

function drawMaps() {
  const lines = shown(), titles = { a: `A: ${DATA.names[0]}`, b: `B: ${DATA.names[1]}`, d: "B less A" };
  byId("maps").replaceChildren(...Object.entries(titles).map(([side, title]) => map(side, title, lines)));
  byId("maps-note").textContent = `${MEASURES[measure].title}. ${DATA.compared.some(Boolean) ? `● ${MEASURES[DATA.rank].word} above, ▽ below every control of its own run. ` : ""}A and B have one scale. Bold in B less A: its interval leaves out 0, not corrected for the number of cells.`;
}

// Whichever axis has fewer values goes across.
function map(side, title, lines) {
  const values = (axis) => DATA.orders[axis].filter((value) => lines.some((line) => line[axis] === value));
  const [across, down] = values(DOWN).length <= values(ACROSS).length ? [DOWN, ACROSS] : [ACROSS, DOWN];
  const scale = side === "d" ? DATA.differences[measure] : MEASURES[measure];
  const cell = (top, left) => {
    const line = lines.find((one) => one[across] === top && one[down] === left), value = line?.[`${side}_${measure}`] ?? null;
    const rgb = value === null ? null : shade(scale, value), mark = side === "d" ? "" : SIGNS[line?.[`${side}_verdict`]] ?? "";
    const told = side === "d" && rgb && line[`d_${measure}_low`] * line[`d_${measure}_high`] > 0 ? "font-weight: 800" : "";
    return el("td", {}, rgb ? el("div", { class: "shaded", style: `background: rgb(${rgb}); color: ${inkOn(rgb)}; ${told}` }, textOf(side, measure, value), " ", mark) : side === "d" ? "–" : "not run");
  };
  const tops = across === down ? [null] : values(across), pick = (top, left) => (top === null ? cell(left, left) : cell(top, left));
  const node = el("table", { class: "heat" }, el("caption", {}, title),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, down), ...tops.map((top) => el("th", { scope: "col" }, top === null ? "" : wordOf(across, top))))),
    el("tbody", {}, ...values(down).map((left) => el("tr", {}, el("th", { scope: "row" }, wordOf(down, left)), ...tops.map((top) => pick(top, left))))));
  return edged(el("div", { class: "scroll", role: "region", "aria-label": title, tabindex: 0 }, node));
}

function drawAll() {
  const axes = DATA.axes.filter((axis) => only(LINES, axis).length > 1), heads = DATA.shown.flatMap((name) => [`${MEASURES[name].word}: A`, "B", "B less A"]);
  const rows = LINES.map((line) => ({ above: false, cells: [...axes.map((axis) => wordOf(axis, line[axis])), ...DATA.shown.flatMap((name) => ["a", "b", "d"].map((side) => spread(line, side, name))), String(line.n)] }));
  byId("all-table").replaceChildren(scrolling("Every cell", "tall", table([...axes, ...heads, "prompts in both"], rows, axes.length)),
    csvButton(["every cell"], () => [NAMES, ...LINES.map((line) => NAMES.map((name) => line[name]))]));
  byId("all-note").textContent = `Means over prompts with ${PERCENT} intervals. B less A: over the prompts that both have of a cell, prompt by prompt (so it need not be the difference of the two means where a run has more prompts); these intervals are not corrected for the number of cells.`;
}

// -- what is selected -----------------------------------------------------------------------

// Other axes may have to follow the one that was changed.
function adopt(line) {
  for (const axis of DATA.selectors) {
    chosen[axis] = line[axis];
    byId(`select-${axis}`).value = String(line[axis]);
  }
  drawMaps();
}

function onSelector(axis, text) {
  const agreed = (line) => DATA.selectors.filter((other) => line[other] === chosen[other]).length;
  adopt(LINES.filter((line) => String(line[axis]) === text).reduce((a, b) => (agreed(b) > agreed(a) ? b : a)));
}

// -- in words -------------------------------------------------------------------------------

function summary() {
  const both = LINES.filter(inBoth), alone = RUNS.map((run, i) => LINES.filter((line) => line[`${run}_${DATA.rank}`] !== null && !both.includes(line)).length);
  const marked = RUNS.map((run) => LINES.filter((line) => line[`${run}_verdict`] === 1).length), word = MEASURES[DATA.rank].word;
  const own = alone.map((n, i) => (n ? `${n} only in ${"AB"[i]}` : "")).filter(Boolean).join(", ");
  const signs = DATA.compared.some(Boolean) ? ` Marked (${word} above every control): ${marked[0]} in A, ${marked[1]} in B.` : "";
  const size = (line) => Math.abs(line[`d_${DATA.rank}`] ?? -1), told = both.filter((line) => line.n);
  if (!both.length) return `No cell is in both${own ? ` (${own})` : ""}.${signs}`;
  const most = told.length ? told.reduce((a, b) => (size(b) > size(a) ? b : a)) : null;
  const greatest = most ? ` Where they differ most: ${nameOf(most)}, ${word} ${written(DATA.rank, most[`a_${DATA.rank}`])} in A and ${written(DATA.rank, most[`b_${DATA.rank}`])} in B, ${spread(most, "d", DATA.rank).textContent.trim()} ${MEASURES[DATA.rank].unit} over the ${most.n} prompts that both have.` : " They share no prompt, so there are no differences.";
  return `${both.length === 1 ? "1 cell is" : `${both.length} cells are`} in both${own ? ` (${own})` : ""}.${signs}${greatest}`;
}

// -- start ----------------------------------------------------------------------------------

byId("summary").textContent = summary();
byId("selectors").replaceChildren(...DATA.selectors.map((axis) => el("label", { for: `select-${axis}` }, axis,
  el("select", { id: `select-${axis}`, onchange: (event) => onSelector(axis, event.target.value) },
    ...DATA.orders[axis].map((value) => el("option", { value }, wordOf(axis, value)))))));
byId("selectors").addEventListener("submit", (event) => event.preventDefault());
byId("measures").append(...DATA.shown.map((name) => el("label", {}, el("input", { type: "radio", name: "measure", value: name, checked: name === measure ? "" : null, onchange: () => { measure = name; drawMaps(); } }), ` ${MEASURES[name].word}`)));
for (const box of document.querySelectorAll("#settings .scroll")) { const place = box.parentNode, next = box.nextSibling; place.insertBefore(edged(box), next); }
adopt(LINES.find(inBoth) ?? LINES[0]);
drawAll();
document.body.dataset.ready = "yes";
