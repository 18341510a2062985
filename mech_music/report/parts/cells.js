"use strict";
// The numbers, how they are written, the heat map, and what one cell shows.
const DATA = JSON.parse(document.getElementById("data").textContent);
const NAMES = Object.keys(DATA.columns);
const LINES = DATA.columns.layer.map((_, cell) => {
  const line = { cell };
  for (const name of NAMES) line[name] = DATA.columns[name][cell];
  return line;
});
const ABOVE = 1, BELOW = -1;
const PERCENT = `${+(100 * DATA.level).toFixed(2)} %`;
const SIGNED = new Set(["effectiveness", "effectiveness_original", "effectiveness_desired", "precision", "ideal_precision"]);
const SHARES = new Set(["kept", "kept_before", "flipped"]);
const MEASURES = {
  effectiveness: "effectiveness (nats)", precision: "precision (nats)", kept: "kept (share of clips)", flipped: "flipped (share of clips)",
};

function byId(id) { return document.getElementById(id); }

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// -- words ----------------------------------------------------------------------------------

function componentWord(name) { return DATA.words.components[name] ?? name; }
function layerWord(layer) { return /^\d+$/.test(layer) ? `layer ${layer}` : layer === "together" ? "all layers together" : `layers ${layer} together`; }
function isSingle(line) { return /^\d+$/.test(line.layer); }

function written(name, value) {
  if (value === null || value === undefined) return "–";
  if (SHARES.has(name)) return `${Math.round(100 * value)} %`;
  const text = !SIGNED.has(name) ? value.toFixed(3) : Math.abs(value) < 0.005 ? "0.00" : (value > 0 ? "+" : "") + value.toFixed(2);
  return text.replace("-", "−");
}

// `control` is empty for the effect itself.
function valueOf(line, name, control = "", end = "") {
  return line[(control ? control + "_" : "") + name + end] ?? null;
}

function interval(line, name, control = "") {
  const [low, high] = ["_low", "_high"].map((end) => valueOf(line, name, control, end));
  return low === null ? "" : `[${written(name, low)}, ${written(name, high)}]`;
}

function spread(line, name, control = "") {
  return el("span", { class: "mean" }, written(name, valueOf(line, name, control)), " ",
    el("span", { class: "interval" }, interval(line, name, control)));
}

function verdict(line) {
  if (!DATA.controls.length) return "No controls were run: this effect cannot be told from damage or chance.";
  if (line.verdict === ABOVE) return "Above all controls: its interval lies above those of all controls that were run.";
  if (line.verdict === BELOW) return "Below all controls: its interval lies below those of all controls that were run.";
  const reach = DATA.controls.filter((name) => !(valueOf(line, "effectiveness", name, "_high") < line.effectiveness_low));
  return `Not above all controls: its interval overlaps, or lies below, that of ${reach.join(", ") || "none with an interval"}.`;
}

function byComponent(lines) {
  return [...lines].sort((a, b) => DATA.components.indexOf(a.component) - DATA.components.indexOf(b.component));
}

function siteWords(line) { return `${componentWord(line.component)}, ${layerWord(line.layer)}`; }

// -- heat map -------------------------------------------------------------------------------

// Sets of layers may reach far beyond single layers, whose differences would then be invisible: they take the end's colour.
function scaleOf(measure) {
  const values = (LINES.some(isSingle) ? LINES.filter(isSingle) : LINES).map((line) => line[measure]).filter((value) => value !== null);
  if (measure === "effectiveness") {
    const most = Math.max(...values.map(Math.abs)) || 1;
    return { palette: DATA.palettes.RdBu_r, low: -most, high: most };
  }
  if (measure === "precision") return { palette: DATA.palettes.cividis, low: Math.min(...values, -1e-9), high: 0 };
  return { palette: DATA.palettes.cividis, low: 0, high: 1 };
}

function shade(scale, value) {
  const at = Math.min(1, Math.max(0, (value - scale.low) / (scale.high - scale.low))) * (scale.palette.length - 1);
  const [from, to] = [Math.floor(at), Math.ceil(at)].map((i) => [1, 3, 5].map((k) => parseInt(scale.palette[i].slice(k, k + 2), 16)));
  return from.map((part, k) => Math.round(part + (to[k] - part) * (at % 1)));
}

// Black or white, whichever stands out more (WCAG's relative luminance).
function inkOn(rgb) {
  const [r, g, b] = rgb.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

function cellButton(line, measure, scale, choose) {
  const value = line[measure];
  const rgb = value === null ? null : shade(scale, value);
  const style = rgb ? `background: rgb(${rgb}); color: ${inkOn(rgb)}` : "";
  const numbers = `${measure} ${written(measure, value)} ${interval(line, measure)}, n = ${line.n}`;
  const said = value === null ? "no value: its clips failed" : numbers;
  const mark = line.verdict === ABOVE ? "●" : line.verdict === BELOW ? "▽" : "";
  return el("button", {
    type: "button", style, "data-cell": line.cell, tabindex: -1, "aria-pressed": "false", title: `${siteWords(line)}: ${said}`,
    "aria-label": `${siteWords(line)}: ${said}${line.verdict === ABOVE ? ", above all controls" : line.verdict === BELOW ? ", below all controls" : ""}`,
    onclick: () => choose(line.cell, true),
  }, el("span", {}, written(measure, value)), el("i", { "aria-hidden": "true" }, mark));
}

function drawHeat(lines, measure, selected, choose) {
  const at = new Map(lines.map((line) => [`${line.component} ${line.layer}`, line]));
  const layers = DATA.layers.filter((layer) => lines.some((line) => line.layer === layer));
  const components = DATA.components.filter((name) => lines.some((line) => line.component === name));
  const scale = scaleOf(measure);
  const many = layers.length > 16;
  const upright = byId("cells").clientWidth < 120 + (many ? 21 : 58) * layers.length;  // layers go down where they do not fit across
  const firstSet = layers.find((layer, i) => i && !/^\d+$/.test(layer) && /^\d+$/.test(layers[i - 1]));
  const gap = (layer) => (layer === firstSet ? "set" : null);
  const cell = (component, layer) => {
    const line = at.get(`${component} ${layer}`);
    return el("td", { class: upright ? null : gap(layer) }, line ? cellButton(line, measure, scale, choose) : "not run");
  };
  const head = (text, scope, kind = null) => el("th", { scope, class: kind }, text);
  const [across, down] = upright ? [components, layers] : [layers, components];
  const label = { true: componentWord, false: (layer) => layer };
  const table = el("table", { class: `heat ${upright ? "upright" : ""} ${many ? (upright ? "long" : "dense") : ""}` },
    el("caption", {}, `${MEASURES[measure]}, ${upright ? "layers down" : "layers across"}${many && !upright ? "; a cell says its number when it is pointed at or chosen" : ""}`),
    el("thead", {}, el("tr", {}, head("layer", upright ? "col" : "row"),
      ...across.map((name) => head(label[upright](name), "col", upright ? null : gap(name))))),
    el("tbody", {}, ...down.map((name) => el("tr", { class: upright ? gap(name) : null }, head(label[!upright](name), "row"),
      ...across.map((other) => (upright ? cell(other, name) : cell(name, other)))))));
  table.addEventListener("keydown", moveInTable);
  byId("heat").replaceChildren(table);
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
    const pressed = Number(button.dataset.cell) === selected;
    button.setAttribute("aria-pressed", String(pressed));
    button.tabIndex = pressed ? 0 : -1;
  }
  if (buttons.length && !buttons.some((button) => button.tabIndex === 0)) buttons[0].tabIndex = 0;
}

// -- one cell -------------------------------------------------------------------------------

function drawCell(line) {
  byId("cell-h").textContent = `${line.pair}: ${line.technique} at ${siteWords(line)}`;
  const names = ["effectiveness", "precision", "kept"].filter((name) => line[name] !== null);
  const row = (title, control) => el("tr", {}, el("th", { scope: "row", class: "word" }, title, control ? el("div", { class: "note" }, DATA.words.controls[control]) : ""),
    ...names.map((name) => el("td", {}, spread(line, name, control))));
  const failures = line.failed ? `, ${line.failed} clips failed and are left out` : "";
  byId("cell-numbers").replaceChildren(
    el("p", {}, el("b", {}, verdict(line))),
    el("p", { class: "note" }, "Effectiveness (nats) of the edit and of its controls:"),
    forest(line),
    el("div", { class: "scroll" }, el("table", { class: "numbers" },
      el("caption", {}, `Means over n = ${line.n} prompts${failures}, with ${PERCENT} intervals`),
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "word" }, ""), ...names.map((name) => el("th", { scope: "col" }, MEASURES[name].replace(" (share of clips)", ""))))),
      el("tbody", {}, row("the edit", ""), ...DATA.controls.map((name) => row(name, name))))),
    line.n < 20 ? el("p", { class: "note" }, `Only ${line.n} prompts: such intervals are rough, and rather too narrow.`) : "",
    el("details", {}, el("summary", {}, "All measures of this cell"), allMeasures(line)));
}

function allMeasures(line) {
  return el("div", { class: "scroll" }, el("table", { class: "numbers" }, el("tbody", {}, ...DATA.metrics.filter((metric) => line[metric.name] !== null).map((metric) =>
    el("tr", {}, el("th", { scope: "row", class: "word" }, metric.name + (metric.unit ? ` (${metric.unit})` : ""), el("div", { class: "note" }, metric.meaning)),
      el("td", {}, spread(line, metric.name)))))));
}

// The effect's interval above its controls', on one axis. The table below it says the same.
function forest(line) {
  const rows = ["", ...DATA.controls].filter((control) => valueOf(line, "effectiveness", control) !== null);
  const ends = rows.flatMap((control) => ["", "_low", "_high"].map((end) => valueOf(line, "effectiveness", control, end) ?? 0)).concat(0);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const x = (value) => (70 + 280 * (value - low) / (high - low || 1)).toFixed(1);
  const colour = DATA.colours[line.component] ?? DATA.colours.other;
  const bars = rows.map((control, i) => {
    const y = 14 + 20 * i, ink = control ? "var(--control)" : colour;
    const [from, to] = ["_low", "_high"].map((end) => valueOf(line, "effectiveness", control, end) ?? valueOf(line, "effectiveness", control));
    return `<text x="62" y="${y + 4}" text-anchor="end" font-size="12" fill="var(--ink)">${control || "edit"}</text>` +
      `<line x1="${x(from)}" x2="${x(to)}" y1="${y}" y2="${y}" stroke="${ink}" stroke-width="${control ? 2 : 4}"/>` +
      `<circle cx="${x(valueOf(line, "effectiveness", control))}" cy="${y}" r="${control ? 4 : 5}" fill="${ink}"/>`;
  });
  const bottom = 14 + 20 * rows.length;
  const ticks = [low, 0, high].filter((value) => value === 0 || Math.abs(x(value) - x(0)) > 45).map((value) => `<text x="${x(value)}" y="${bottom + 12}" text-anchor="middle" font-size="11" fill="var(--faint)">${written("effectiveness", value)}</text>`);
  const box = el("div", { role: "img", "aria-label": `Effectiveness of the edit and of its controls with intervals; the table that follows has the numbers.` });
  box.innerHTML = `<svg viewBox="0 0 380 ${bottom + 18}" width="380" aria-hidden="true"><line x1="${x(0)}" x2="${x(0)}" y1="2" y2="${bottom}" stroke="var(--ink)" stroke-width="1"/>${bars.join("")}${ticks.join("")}</svg>`;
  return box;
}

// -- its clips ------------------------------------------------------------------------------

let sounds = null;
function sound(key) {
  sounds ??= JSON.parse(byId("sounds").textContent);
  return sounds[key];
}

function drawClips(line) {
  const samples = DATA.samples[line.cell] ?? [];
  const place = byId("cell-clips");
  if (!samples.length) {
    place.replaceChildren(el("p", { class: "note" }, "This page carries no clips of this cell."));
    return;
  }
  place.replaceChildren(
    el("h3", {}, "What is heard"),
    el("p", { class: "note" }, "Of the cell's prompts, the one that the edit moved furthest and the one that it moved least (or the other way): the ends of the range, not typical clips. Sounds are compressed."),
    ...samples.map((sample) => drawSample(sample, line)));
}

function drawSample(sample, line) {
  const rank = sample.end === "strongest" ? "Greatest" : "Least";
  const title = sample.n === 1 ? "The only prompt" : `${rank} effect of ${sample.n} prompts`;
  return el("div", { class: "sample" },
    el("h4", {}, `${title}: ${written("effectiveness", sample.effectiveness)} nats (mean of the cell ${written("effectiveness", line.effectiveness)}), precision ${written("precision", sample.precision)}`),
    el("p", {}, `Prompt ${sample.index}: “${sample.prompt}”`),
    el("div", { class: "twins" },
      player("Original (no edit)", sound(sample.before), sample), player("Edited", sound(sample.after), sample), labels(sample, line)));
}

function player(title, clip, sample) {
  const image = el("img", { src: clip.image, alt: `Mel spectrogram. ${title}, prompt ${sample.index}.` });
  return el("figure", {}, el("figcaption", {}, title),
    el("audio", { controls: "", preload: "metadata", src: clip.audio, "aria-label": `${title}, prompt ${sample.index}` }),
    el("div", { class: "mel" }, el("span", {}, `${(clip.top_hz / 1000).toFixed(0)} kHz (mel)`), el("span", { class: "low" }, "0 Hz"), image,
      el("span", { class: "time" }, el("span", {}, "0 s"), el("span", {}, `${+clip.seconds.toFixed(2)} s`))));
}

function labels(sample, line) {
  const share = (value) => (value < 0.001 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`);
  const bar = (value) => el("td", { class: "bar" }, el("span", { class: "share", "aria-hidden": "true" }, el("span", { style: `width: ${(100 * value).toFixed(1)}%` })), share(value));
  return el("figure", {}, el("figcaption", {}, `What ${line.classifier} (the classifier) hears`),
    el("table", { class: "numbers labels" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "word" }, "label"), el("th", { scope: "col" }, "before"), el("th", { scope: "col" }, "after"))),
      el("tbody", {}, ...sample.labels.map((label) => el("tr", {},
        el("th", { scope: "row", class: label.concept ? "word concept" : "word" }, label.name + (label.concept ? ` (${label.concept})` : "")),
        bar(label.before), bar(label.after))))));
}
