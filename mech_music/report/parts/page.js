"use strict";
// What is selected, and who draws it.
const chosen = {};
let selectedCell = null;
let measure = SHOWN[0];

function fits(line, except = []) {
  return DATA.selectors.every((axis) => except.includes(axis) || line[axis] === chosen[axis]);
}

function shown(...except) { return LINES.filter((line) => isMeasured(line) && fits(line, except)); }

function subject(except = []) {
  const line = LINES[selectedCell], facts = [...new Set([...VIEW.plain, ...DATA.selectors, "model"])].filter((axis) => axis in line && !except.includes(axis));
  return facts.map((axis) => fact(axis, line)).join(" · ");
}

// What is selected, as the name of a file says it.
function selectionWords(except = []) {
  return DATA.selectors.filter((axis) => !except.includes(axis)).map((axis) => (VIEW.plain.includes(axis) ? chosen[axis] : `${axis} ${chosen[axis]}`));
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
  const agreed = (line) => DATA.selectors.filter((other) => other !== axis && line[other] === chosen[other]).length * 10 + [VIEW.heat.down, VIEW.heat.across].reduce((sum, other) => 2 * sum + (line[other] === old[other]), 0);
  const candidates = LINES.filter((line) => String(line[axis]) === text);
  const next = candidates.reduce((a, b) => (agreed(b) > agreed(a) ? b : a));
  choose(next.cell, false);
  record(next);
}

function drawSelectors() {
  byId("selectors").replaceChildren(...DATA.selectors.map((axis) => {
    const values = DATA.orders[axis];
    const select = el("select", { id: `select-${axis}`, onchange: (event) => onSelector(axis, event.target.value) },
      ...values.map((value) => el("option", { value }, wordOf(axis, value))));
    return el("label", { for: `select-${axis}` }, axis, select);
  }));
  byId("selectors").addEventListener("submit", (event) => event.preventDefault());
}

function drawMeasures() {
  const of = DATA.controls.length === 1 ? VIEW.of_controls.map((name) => `${DATA.controls[0]}_${name}`) : [];
  byId("measures").append(...[...SHOWN, ...of].map((name) => el("label", {},
    el("input", { type: "radio", name: "measure", value: name, checked: name === measure ? "" : null, onchange: () => { measure = name; drawHeatMap(); } }), ` ${MEASURES[name].word}`)));
}

function drawHeatMap() {
  drawHeat(LINES.filter((line) => fits(line)), measure, selectedCell, choose);
  const marks = DATA.controls.length && VIEW.rank ? `● ${MEASURES[RANK].word} above, ▽ below ${RULE}. ` : VIEW.of_controls.length && !DATA.controls.length ? "No controls were run. " : "";
  byId("heat-note").textContent = `${marks}${VIEW.heat.note} Choose a cell for its numbers${VIEW.clips ? " and clips" : ""}: by mouse, or with Tab and the arrow keys.`;
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
  if (loud) record(line);
  if (loud) byId("announce").textContent = `${siteWords(line)}: ${SHOWN.map((name) => `${MEASURES[name].word} ${written(name, line[name])} ${interval(line, name)}`).join("; ")}. ${verdict(line)} Numbers${VIEW.clips ? " and clips" : ""} are below the heat map.`;
}

function drawAll() {
  byId("cells").querySelector(".subject").textContent = subject();
  drawHeatMap();
  drawCharts();
}

function drawCharts() {
  if (!window.Plotly) return;
  for (const spec of VIEW.charts) {
    const section = byId(spec.id), axes = [spec.panels, ...spec.lines, spec.x].filter(Boolean);
    const lines = shown(...axes).filter((line) => !spec.keep || spec.keep.includes(line.cell));
    section.querySelector(".subject").textContent = subject(axes);
    section.hidden = byId(`to-${spec.id}`).hidden = !lines.length || (spec.optional && only(lines, spec.x).length < 2);
    if (section.hidden) continue;
    DRAW[spec.kind](spec, lines, emptied(section.querySelector(".charts")), section, choose);
    section.querySelector(".note").textContent = `${countWords(lines)} ${spec.note}`;
    drawBehind(section, lines, [...new Set(axes)]);
  }
  if (!waiting.size) document.body.dataset.charts = "yes";
}

// -- one cell, and the best of them ---------------------------------------------------------

function drawCell(line) {
  byId("cell-h").textContent = filled(VIEW.heading, line);
  byId("cell-address").href = addressOf(line);
  byId("no-cell").hidden = true;
  const compared = VIEW.of_controls.length ? SHOWN.filter((name) => VIEW.of_controls.includes(name)) : SHOWN, { level } = MEASURES[RANK];
  const row = (title, note, cells) => ({ cells: [el("span", {}, title, note ? el("div", { class: "note" }, note) : ""), ...cells] });
  const rows = [row(VIEW.effect, "", compared.map((name) => spread(line, name))), ...DATA.controls.map((control) => row(control, controlWord(control), compared.map((name) => spread(line, name, control))))];
  if (level) rows.push(row(MEASURES[level].word, "", compared.map((name) => (name === RANK ? spread(line, level) : ""))));
  const bars = [{ word: VIEW.effect, line, control: "", ink: colourOf("", ""), strong: true }, ...DATA.controls.map((control) => ({ word: control, line, control, ink: "var(--control)" }))];
  if (level) bars.push({ word: MEASURES[level].word, line, name: level, control: "", ink: "var(--ink)" });
  byId("cell-numbers").replaceChildren(
    el("p", {}, el("b", {}, verdict(line))),
    VIEW.rank ? el("p", { class: "note" }, `${MEASURES[RANK].title}:`) : "",
    VIEW.rank ? forest(bars, RANK, `${MEASURES[RANK].word} with intervals`) : "",
    scrolling("Numbers of the cell", "", table(["", ...compared.map((name) => MEASURES[name].word)], rows, 1, `Means over n = ${line.n} prompts${line.failed ? `, ${line.failed} clips failed and are left out` : ""}, with ${PERCENT} intervals`)),
    line.n < 10 ? el("p", { class: "note" }, `Only ${line.n} prompts: such intervals are rough.`) : "",
    allMeasures(line),
    csvButton([filled(VIEW.heading, line)], () => linesAsRows([line])));
}

function highestControl(line, name) {
  const there = ofControls(name).filter((control) => valueOf(line, name, control) !== null);
  if (!there.length) return "–";
  const highest = there.reduce((a, b) => (valueOf(line, name, b) > valueOf(line, name, a) ? b : a));
  return el("span", {}, there.length > 1 ? `${highest} ` : "", spread(line, name, highest));
}

// How many of the cells that differ across the heat map only are above their controls: 3 of 8 (1–3).
function aboveWords(line) {
  const own = LINES.filter((other) => isMeasured(other) && [...DATA.selectors, VIEW.heat.down].every((axis) => other[axis] === line[axis]));
  const above = own.filter((other) => other.verdict === ABOVE).map((other) => other[VIEW.heat.across]), spans = [];
  for (const value of above) spans.at(-1)?.[1] === value - 1 ? (spans.at(-1)[1] = Number(value)) : spans.push([value, isNumber(value) ? Number(value) : value]);
  return `${above.length} of ${own.length}${above.length ? `: ${spans.map(([first, last]) => (String(first) === String(last) ? first : `${first}–${last}`)).join(", ")}` : ""}`;
}

function drawGlance() {
  const most = 200, axes = DATA.selectors, ranked = VIEW.rank && DATA.controls.length, { level } = MEASURES[RANK];
  const heads = (name) => [MEASURES[name].title, ...(ofControls(name).length && (!VIEW.rank || name === RANK) ? [DATA.controls.length > 1 ? "highest control" : "control"] : []), ...(name === RANK && level ? [MEASURES[level].word] : [])];
  const cells = (line, name) => [spread(line, name), ...(heads(name).length > 1 && ofControls(name).length && (!VIEW.rank || name === RANK) ? [highestControl(line, name)] : []), ...(name === RANK && level ? [spread(line, level)] : [])];
  const rows = DATA.glance.slice(0, most).map((cell) => LINES[cell]).map((line) => ({
    above: line.verdict === ABOVE,
    cells: [...axes.map((axis) => wordOf(axis, line[axis])), el("button", { type: "button", class: "link", "aria-label": `Show ${filled(VIEW.heading, line)}`, onclick: () => show(line) }, siteWords(line)),
      ...SHOWN.flatMap((name) => cells(line, name)), ...(ranked ? [aboveWords(line)] : []), String(line.n)],
  }));
  byId("glance-table").replaceChildren(scrolling("At a glance", "tall", table([...axes, "", ...SHOWN.flatMap(heads), ...(ranked ? ["above controls"] : []), "n"], rows, axes.length + 1)), csvButton(["at a glance"], () => linesAsRows(DATA.glance.map((cell) => LINES[cell]))));
  const tried = LINES.filter(isMeasured), above = tried.filter((line) => line.verdict === ABOVE);
  byId("glance-count").textContent = ranked ? `${above.length} of ${tried.length} ${VIEW.things} have ${MEASURES[RANK].word} above all of their controls (${DATA.controls.join(", ")}).`
    : `${tried.length} ${VIEW.things}${VIEW.of_controls.length && !DATA.controls.length ? ", no controls: effects cannot be told from damage or chance" : ""}.`;
  byId("glance-note").textContent = `${DATA.glance.length > most ? `The first ${most} of ${DATA.glance.length} lines. ` : ""}${VIEW.glance_note}` + (VIEW.rank ? " The best is chosen on the same prompts that measure it: a little flattered." : "") +
    (ranked && DATA.paired ? ` Bold: above ${RULE}. In ${PERCENT} of tables in which every cell equals one of its controls none would be (sign flips of prompts, the greatest t over all cells, each at the control that it beats least).` : ranked ? ` Bold: above ${RULE}. Intervals are not corrected for the number of cells, so among many a few stand out by chance.` : ` Intervals: ${PERCENT}.`);
}

function show(line) {
  choose(line.cell, true);
  byId("cells").scrollIntoView();
  byId("cell-h").focus({ preventScroll: true });
}

function drawMeasureWords() {
  byId("measure-words").append(...Object.values(MEASURES).filter((measure) => measure.meaning).map((measure) => el("p", {}, el("b", {}, measure.word), `${measure.unit ? ` (${measure.unit})` : ""}: ${measure.meaning}.`)));
}

// An address of a cell that is not here: a page of another run, or of fewer cells.
function sayNoCell() {
  const note = byId("no-cell");
  note.hidden = !isCell(location.hash);
  note.textContent = note.hidden ? "" : `This page has no cell ${unescaped(location.hash.slice("#cell=".length))}.`;
}

// -- the main result ------------------------------------------------------------------------

function mainResult(measured) {
  const marked = measured.filter((line) => line.verdict === ABOVE);
  return best(marked.length ? marked : measured);
}

// The cell's name with whatever the page's selectors say of it beside.
function fullName(line) {
  const beside = DATA.selectors.filter((axis) => !VIEW.plain.includes(axis) && !VIEW.heading.includes(`{${axis}}`));
  return [filled(VIEW.heading, line), ...beside.map((axis) => fact(axis, line))].join(", ");
}

function valueWords(line, name, control = "") {
  const { unit } = MEASURES[name];
  return `${written(name, valueOf(line, name, control))}${unit ? ` ${unit}` : ""} ${interval(line, name, control)}`;
}

function drawResult(measured) {
  if (!VIEW.rank || !measured.length) return;
  const line = mainResult(measured), marked = measured.filter((one) => one.verdict === ABOVE).length, compared = DATA.controls.length > 0;
  const of = `${measured.length} ${VIEW.things}`, lead = !compared ? `No controls were run, so none of ${of} can be marked.` : marked ? "" : `Nothing is marked: none of ${of} is above all of its controls.`;
  const which = marked > 1 ? `the greatest of ${marked} marked among ${of}` : marked ? `the only one marked among ${of}` : "the greatest of them, not marked";
  const controls = DATA.controls.filter((name) => valueOf(line, RANK, name) !== null).map((name) => `${name} ${written(RANK, valueOf(line, RANK, name))} ${interval(line, RANK, name)}`);
  const beside = [controls.length ? `controls ${controls.join(", ")}` : "", DATA.paired && line.over ? `p = ${pWords(line.p_above)}` : ""].filter(Boolean).join("; ");
  const share = VIEW.outcome && line[VIEW.outcome] !== null ? `${MEASURES[VIEW.outcome].word} in ${Math.round(line[VIEW.outcome] * line.n)} of ${line.n} clips` : "";
  const price = VIEW.price.filter((name) => line[name] !== null && line[name] !== undefined).map((name) => `${MEASURES[name].word} ${valueWords(line, name)}`);
  byId("result").hidden = false;
  byId("result-words").replaceChildren(lead ? el("b", {}, lead, " ") : "",
    el("button", { type: "button", class: "link", onclick: () => show(line) }, capital(fullName(line))), ` (${which}): `,
    el("b", {}, `${MEASURES[RANK].word} ${valueWords(line, RANK)}`), beside ? ` (${beside})` : "", share ? el("span", {}, ", ", el("b", {}, share)) : "",
    price.length ? `, at the price of ${price.join(", ")}.` : ".");
}

// The typical clip rather than the best one, where the page has it.
function drawResultClip(measured) {
  const line = VIEW.rank && VIEW.clips && measured.length ? mainResult(measured) : null, samples = line ? DATA.samples[line.cell] ?? [] : [];
  if (!samples.length) return;
  const sample = samples.find((one) => one.end === "median") ?? samples[0];
  byId("result-clip").replaceChildren(el("p", { class: "note" }, sampleWords(sample, line)), player(sample, line));
}

// -- start ----------------------------------------------------------------------------------

function start() {
  drawSelectors();
  drawMeasures();
  drawGlance();
  drawMeasureWords();
  const measured = LINES.filter(isMeasured);
  const first = !measured.length ? LINES[0] : VIEW.rank ? mainResult(measured) : LINES[DATA.glance[0]], asked = lineAt(location.hash);
  drawResult(measured);
  choose((asked ?? first).cell, false);
  if (!asked) sayNoCell();
  onAddress(first, (line) => {
    if (!line) return sayNoCell();
    if (line.cell === selectedCell) return;
    choose(line.cell, false);
    byId("heat").querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawHeatMap(); } });
  addEventListener("beforeprint", drawWaiting);
  document.addEventListener("DOMContentLoaded", () => {
    drawClips(LINES[selectedCell]);
    drawResultClip(measured);
    if (asked) byId("cells").scrollIntoView();
  });
  document.body.dataset.ready = "yes";
}

// As a file of its own the library is read beside the page and not before it.
function startCharts() {
  const source = URL.createObjectURL(new Blob([byId("plotly").textContent], { type: "text/javascript" }));
  document.head.append(el("script", { src: source, onload: drawCharts }));
}

start();
