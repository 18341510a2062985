"use strict";
// What Plotly draws: how charts are made and marked, their legends, and the table behind each.
const MARKERS = { x: "x-thin-open", "+": "cross-thin-open", "*": "asterisk-open", 1: "y-up-open" }; // Matplotlib's, as Plotly calls them
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"];
const CONFIG = { responsive: true, displayModeBar: false };

function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { ink: read("--ink"), faint: read("--faint"), rule: read("--rule"), paper: read("--paper"), control: read("--control") };
}

function controlStyle(name) {
  const { dash, marker } = DATA.roles[name];
  return { dash: dash.map((length) => `${1.5 * length}px`).join(","), symbol: MARKERS[marker] ?? "x-thin-open" };
}

// Of an axis' value, the i-th of n: its own colour, or a shade.
function colourOf(axis, value, i = 0, n = 1) {
  return DATA.colours[axis]?.[value] ?? (n === 1 ? "#0072b2" : DATA.shades[Math.round(2 + 12 * i / (n - 1))]);
}

function faded(hex, alpha) {
  return `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(", ")}, ${alpha})`;
}

function axis(t, title, more = {}) {
  return { title: { text: title, standoff: 6 }, gridcolor: t.rule, zerolinecolor: t.ink, linecolor: t.rule, automargin: true, fixedrange: true, ...more };
}

function layoutOf(t, more) {
  return {
    paper_bgcolor: t.paper, plot_bgcolor: t.paper, font: { color: t.ink, size: 12, family: "system-ui, sans-serif" },
    margin: { l: 56, r: 26, t: 30, b: 44 }, showlegend: false, hovermode: "closest", dragmode: false, ...more,
  };
}

function panelTitle(t, text) { return { text, x: 0.02, xanchor: "left", y: 0.985, font: { size: 14, color: t.ink } }; }

// -- when they are drawn --------------------------------------------------------------------

const waiting = new Map();
const near = new IntersectionObserver((seen) => { for (const { target, isIntersecting } of seen) if (isIntersecting) drawNow(target); }, { rootMargin: "200px" });
const whenIdle = window.requestIdleCallback ?? ((task) => setTimeout(task, 30));
let idling = false;

// A chart in its figure, drawn when it comes near the screen or nothing else is to be done. `said` stands for it where
// it cannot be seen; `make` gives traces and layout. A click on a point chooses its cell.
function chart(place, said, make, choose) {
  const node = el("div", { class: "chart", role: "img", "aria-label": said });
  place.append(el("figure", {}, node));
  waiting.set(node, () => {
    Plotly.newPlot(node, ...make(), CONFIG);
    node.on("plotly_click", (event) => {
      const cell = event.points[0]?.customdata;
      if (Number.isInteger(cell)) choose(cell, true);
    });
  });
  near.observe(node);
  if (!idling) { idling = true; whenIdle(drawNext); }
}

function drawNow(node) {
  const draw = waiting.get(node);
  waiting.delete(node);
  near.unobserve(node);
  if (draw && node.isConnected) { draw(); document.body.dataset.charts = "some"; }
}

function drawNext() {
  const [node] = waiting.keys();
  if (node) drawNow(node);
  idling = waiting.size > 0;
  if (idling) whenIdle(drawNext);
  else document.body.dataset.charts = "yes";
}

function drawWaiting() { for (const node of [...waiting.keys()]) drawNow(node); }

function emptied(place) {
  for (const node of place.querySelectorAll(".js-plotly-plot")) Plotly.purge(node);
  for (const node of place.querySelectorAll(".chart")) { waiting.delete(node); near.unobserve(node); }
  place.replaceChildren();
  return place;
}

// -- marks ----------------------------------------------------------------------------------

function hoverText(line, name, control = "") {
  const who = control ? `${controlWord(control)}, beside ` : "";
  return `${who}${siteWords(line)}<br>${filled(VIEW.hover, line)}<br>${MEASURES[name].word} ${written(name, valueOf(line, name, control))} ${interval(line, name, control)}<br>n = ${line.n}`;
}

// A mean with its band: three traces.
function band(lines, xs, name, control, colour, style) {
  const ends = (end) => lines.map((line) => valueOf(line, name, control, end));
  const edge = { x: xs, mode: "lines", line: { width: 0 }, hoverinfo: "skip", ...style.axes };
  return [
    { ...edge, y: ends("_low") },
    { ...edge, y: ends("_high"), fill: "tonexty", fillcolor: faded(colour, 0.17) },
    {
      x: xs, y: ends(""), mode: control ? "lines+markers" : "lines", line: { color: colour, dash: control ? controlStyle(control).dash : "solid", width: control ? 1.4 : 2.2 },
      marker: { symbol: control && controlStyle(control).symbol, size: 7, color: colour, line: { color: colour, width: 1.2 } }, hoverinfo: "text",
      text: lines.map((line) => hoverText(line, name, control)), customdata: lines.map((line) => line.cell), ...style.axes,
    },
  ];
}

function errorBars(lines, name, control, colour, width = 1.5) {
  const mean = lines.map((line) => valueOf(line, name, control));
  const reach = (end, sign) => lines.map((line, i) => sign * ((valueOf(line, name, control, end) ?? mean[i]) - mean[i]));
  return { type: "data", symmetric: false, array: reach("_high", 1), arrayminus: reach("_low", -1), color: colour, thickness: width, width: 3 };
}

function points(lines, xs, name, control, colour, style) {
  const t = theme();
  const fill = lines.map((line) => (style.solid || line.verdict === ABOVE ? colour : t.paper));
  const marker = control ? { symbol: controlStyle(control).symbol, size: 8, color: colour, line: { color: colour, width: 1.2 } } : { size: 8, color: fill, line: { color: colour, width: 2 } };
  return {
    x: xs, y: lines.map((line) => valueOf(line, name, control)), mode: "markers", cliponaxis: false, marker, hoverinfo: "text",
    text: lines.map((line) => hoverText(line, name, control)), customdata: lines.map((line) => line.cell),
    error_y: style.bars ? errorBars(lines, name, control, colour) : undefined, ...style.axes,
  };
}

// Where each value of an axis stands: numbers at their own place, sets of layers after a gap, words one by one.
function placesOf(axis, lines) {
  const values = DATA.orders[axis].filter((value) => lines.some((line) => line[axis] === value));
  const numbers = values.filter((value) => isNumber(value)).map(Number);
  const gap = numbers.length ? Math.max(1.2, 0.09 * (numbers.at(-1) - numbers[0])) : 1;
  let next = numbers.length ? numbers.at(-1) + gap : 0;
  return new Map(values.map((value) => [value, isNumber(value) ? Number(value) : (next += gap) - gap]));
}

function endsOf(places) {
  const all = [...places.values()], room = all.length > 2 ? 0.04 * (Math.max(...all) - Math.min(...all)) : 1;
  return [Math.min(...all) - room, Math.max(...all) + room];
}

// The values of a measure, of its controls and of its level, and some room.
function rangeOf(lines, name) {
  const { limits, level } = MEASURES[name];
  if (!limits.includes(null)) return [limits[0], limits[1] + 0.02 * (limits[1] - limits[0])];
  const all = ["", ...ofControls(name)].flatMap((control) => ["", "_low", "_high"].flatMap((end) => lines.map((line) => valueOf(line, name, control, end))));
  const values = [0, ...all, ...(level ? lines.map((line) => line[level]) : [])].filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return [low - 0.06 * (high - low || 1), high + 0.06 * (high - low || 1)];
}

// So many ticks that their numbers do not touch.
function ticksOf(places, most = 12) {
  const kept = [...places].filter(([value], i) => !isNumber(value) || i % Math.ceil(places.size / most) === 0);
  return { tickvals: kept.map(([, place]) => place), ticktext: kept.map(([value]) => String(value)) };
}

// -- legends and tables ---------------------------------------------------------------------

function swatch(mark) {
  const dash = (mark.dash ?? "").replaceAll("px", "").replaceAll(",", " ");
  const shapes = { "x-thin-open": "✕", "cross-thin-open": "+", "asterisk-open": "✳", "y-up-open": "Y", circle: "●", square: "■", "triangle-up": "▲", diamond: "◆", "triangle-down": "▼", cross: "✚", x: "✖", star: "★" };
  const node = el("span", { "aria-hidden": "true" });
  const line = mark.line === false ? "" : `<line x1="0" x2="30" y1="8" y2="8" stroke="${mark.colour}" stroke-width="2" stroke-dasharray="${dash}"/>`;
  const sign = mark.symbol ? `<text x="15" y="13" text-anchor="middle" font-size="13" fill="${mark.colour}">${shapes[mark.symbol]}</text>` : "";
  node.innerHTML = `<svg width="30" height="16">${line}${sign}</svg>`;
  return node;
}

function drawLegend(section, marks) {
  section.querySelector(".legend").replaceChildren(...marks.map((mark) => el("span", {}, swatch(mark), mark.word)));
}

function controlMarks(line = true) {
  return DATA.controls.map((name) => ({ word: controlWord(name), colour: "var(--control)", line, ...controlStyle(name) }));
}

function levelMarks(names) {
  return names.map((name) => MEASURES[name].level).filter(Boolean).map((level) => ({ word: MEASURES[level].word, colour: "var(--ink)", dash: "1.5px,2.5px" }));
}

function numbersTable(what, lines, leading) {
  const controls = SHOWN.flatMap((name) => ofControls(name).map((control) => [control, name]));
  const heads = [...leading, ...SHOWN.map((name) => MEASURES[name].word), ...controls.map(([control, name]) => `${control}: ${MEASURES[name].word}`), "n"];
  const rows = lines.map((line) => ({
    above: line.verdict === ABOVE,
    cells: [...leading.map((name) => wordOf(name, line[name])), ...SHOWN.map((name) => spread(line, name)), ...controls.map(([control, name]) => spread(line, name, control)), String(line.n)],
  }));
  const numbers = scrolling("Numbers", "tall", table(heads, rows, leading.length));
  return el("div", {}, numbers, csvButton([what, ...selectionWords(leading)], () => linesAsRows(lines)));
}

function drawBehind(section, lines, leading) {
  const details = el("details", {}, el("summary", {}, "The numbers behind this chart"));
  details.addEventListener("toggle", () => details.open && details.children.length < 2 && details.append(numbersTable(section.id, lines, leading)));
  section.querySelector(".behind").replaceChildren(details);
}

function countWords(lines) {
  const sizes = [...new Set(lines.map((line) => line.n))].sort((a, b) => a - b);
  const failed = lines.reduce((sum, line) => sum + line.failed, 0);
  return `Means over prompts with ${PERCENT} bootstrap intervals, n = ${sizes.length === 1 ? sizes[0] : `${sizes[0]} to ${sizes.at(-1)}`} clips each${failed ? ` (${failed} clips failed and are left out)` : ""}.` +
    (DATA.controls.length || !VIEW.of_controls.length ? "" : " No controls were run.") + (DATA.controls.length && VIEW.rank ? ` Filled points: ${MEASURES[RANK].word} above ${RULE}.` : "");
}
