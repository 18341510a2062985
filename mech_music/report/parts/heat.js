"use strict";
// The heat map: a table of buttons, one a cell.
function cellButton(line, measure, scale, choose) {
  const value = line[measure];
  const rgb = value === null ? null : shade(scale, value);
  const style = rgb ? `background: rgb(${rgb}); color: ${inkOn(rgb)}` : "";
  const numbers = `${MEASURES[measure].word} ${written(measure, value)} ${interval(line, measure)}, n = ${line.n}`;
  const said = value === null ? "no value: its clips failed" : numbers;
  const mark = line.verdict === ABOVE ? "●" : line.verdict === BELOW ? "▽" : "";
  return el("button", {
    type: "button", style, "data-cell": line.cell, tabindex: -1, "aria-pressed": "false", title: `${siteWords(line)}: ${said}`,
    "aria-label": `${siteWords(line)}: ${said}${line.verdict === ABOVE ? ", above all controls" : line.verdict === BELOW ? ", below all controls" : ""}`,
    onclick: () => choose(line.cell, true),
  }, el("span", {}, written(measure, value)), el("i", { "aria-hidden": "true" }, mark));
}

// Layers across; where they do not fit they go down (VIEW.heat.turns), or cells lose their numbers.
function drawHeat(lines, measure, selected, choose) {
  const map = VIEW.heat, at = new Map(lines.map((line) => [`${line[map.down]} ${line[map.across]}`, line]));
  const [layers, others] = [map.across, map.down].map((axis) => DATA.orders[axis].filter((value) => lines.some((line) => line[axis] === value)));
  const scale = MEASURES[measure];
  const room = byId("cells").clientWidth, fits = (each) => room >= 120 + each * layers.length;
  const many = layers.length > 16 || (!map.turns && !fits(58));
  const upright = map.turns && !fits(many ? 21 : 58);
  const firstSet = layers.find((layer, i) => i && !/^\d+$/.test(layer) && /^\d+$/.test(layers[i - 1]));
  const gap = (layer) => (layer === firstSet ? "set" : null);
  const cell = (other, layer) => {
    const line = at.get(`${other} ${layer}`) ?? (map.mirrored && SHOWN.includes(measure) ? at.get(`${layer} ${other}`) : undefined);
    return el("td", { class: upright ? null : gap(layer) }, line ? cellButton(line, measure, scale, choose) : map.mirrored ? "" : "not run");
  };
  const head = (text, scope, kind = null) => el("th", { scope, class: kind }, text);
  const word = (name, axis) => (axis === "layer" || axis === "other" ? String(name) : wordOf(axis, name));
  const [across, down, top, side] = upright ? [others, layers, map.down, map.across] : [layers, others, map.across, map.down];
  const node = el("table", { class: `heat ${upright ? "upright" : ""} ${many ? (upright ? "long" : "dense") : ""}` },
    el("caption", {}, `${MEASURES[measure].title}, ${upright ? `${map.across} down` : `${map.across} across`}${many && !upright ? "; a cell says its number when it is pointed at or chosen" : ""}`),
    el("thead", {}, el("tr", {}, head(map.across, upright ? "col" : "row"),
      ...across.map((name) => head(word(name, top), "col", upright ? null : gap(name))))),
    el("tbody", {}, ...down.map((name) => el("tr", { class: upright ? gap(name) : null }, head(word(name, side), "row"),
      ...across.map((other) => (upright ? cell(other, name) : cell(name, other)))))));
  node.style.setProperty("--each", `${Math.min(54, Math.floor((room - 130) / layers.length) - 2)}px`);
  node.addEventListener("keydown", moveInTable);
  byId("heat").replaceChildren(edged(el("div", { class: "scroll", role: "region", "aria-label": "Heat map", tabindex: -1 }, node)));
  byId("heat-csv").replaceChildren(csvButton(["heat map", ...selectionWords()], () => linesAsRows(lines)));
  pressCell(selected);
  drawScale(scale, measure);
}

function drawScale(scale, measure) {
  byId("heat-scale").replaceChildren(el("div", { class: "scale" }, el("span", { class: "mean" }, written(measure, scale.low)),
    el("span", { class: "bar", role: "presentation", style: `background: linear-gradient(to right, ${scale.palette.join(", ")})` }),
    el("span", { class: "mean" }, written(measure, scale.high)), `one scale for the whole page${LINES.some(isSingle) && LINES.some((line) => !isSingle(line)) ? ", made for single layers: a set of layers may lie beyond its ends" : ""}`));
}

// One stop for the Tab key; arrows, Home and End move inside.
function moveInTable(event) {
  const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -Infinity], End: [0, Infinity] };
  const step = steps[event.key];
  const td = event.target.closest("td");
  if (!step || !td) return;
  event.preventDefault();
  const rows = [...td.closest("tbody").rows];
  const between = (x, most) => Math.min(most, Math.max(0, x));
  const row = rows[between(rows.indexOf(td.parentNode) + step[0], rows.length - 1)];
  const next = row.cells[between(td.cellIndex - 1 + step[1], row.cells.length - 2) + 1].querySelector("button");
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function pressCell(selected) {
  const buttons = [...byId("heat").querySelectorAll("button")];
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.cell) === selected));
    button.tabIndex = -1;
  }
  const stop = buttons.find((button) => button.getAttribute("aria-pressed") === "true") ?? buttons[0];
  if (stop) stop.tabIndex = 0;
}
