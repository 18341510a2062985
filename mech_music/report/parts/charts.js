"use strict";
// The charts that Plotly draws, their legends, and the table behind each.
const DASHES = { self: "dash", random: "dot", noise: "dashdot" };
const CONTROL_SYMBOLS = { self: "x-thin-open", random: "cross-thin-open", noise: "asterisk-open" };
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"];
const CONFIG = { responsive: true, displayModeBar: false };

function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { ink: read("--ink"), faint: read("--faint"), rule: read("--rule"), paper: read("--paper"), control: read("--control") };
}

function colourOf(component) { return DATA.colours[component] ?? DATA.colours.other; }

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

// A chart in its figure; `said` stands for it where it cannot be seen. A click on a point chooses its cell.
function chart(place, said, traces, layout, choose) {
  const node = el("div", { class: "chart", role: "img", "aria-label": said });
  place.append(el("figure", {}, node));
  Plotly.newPlot(node, traces, layout, CONFIG);
  node.on("plotly_click", (event) => {
    const cell = event.points[0]?.customdata;
    if (Number.isInteger(cell)) choose(cell, true);
  });
}

// -- marks ----------------------------------------------------------------------------------

function hoverText(line, name, control = "") {
  const who = control ? `${DATA.words.controls[control]}, beside ` : "";
  return `${who}${siteWords(line)}<br>${line.technique}, strength ${line.strength}<br>${name} ${written(name, valueOf(line, name, control))} ${interval(line, name, control)}<br>n = ${line.n}`;
}

// A mean with its band: three traces.
function band(lines, xs, name, control, colour, style) {
  const ends = (end) => lines.map((line) => valueOf(line, name, control, end));
  const edge = { x: xs, mode: "lines", line: { width: 0 }, hoverinfo: "skip", ...style.axes };
  return [
    { ...edge, y: ends("_low") },
    { ...edge, y: ends("_high"), fill: "tonexty", fillcolor: faded(colour, 0.17) },
    {
      x: xs, y: ends(""), mode: control ? "lines+markers" : "lines", line: { color: colour, dash: control ? DASHES[control] : "solid", width: control ? 1.4 : 2.2 },
      marker: { symbol: CONTROL_SYMBOLS[control], size: 7, color: colour, line: { color: colour, width: 1.2 } }, hoverinfo: "text",
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
  const fill = lines.map((line) => (line.verdict === ABOVE ? colour : t.paper));
  const marker = control ? { symbol: CONTROL_SYMBOLS[control], size: 8, color: colour, line: { color: colour, width: 1.2 } } : { size: 8, color: fill, line: { color: colour, width: 2 } };
  return {
    x: xs, y: lines.map((line) => valueOf(line, name, control)), mode: "markers", cliponaxis: false, marker, hoverinfo: "text",
    text: lines.map((line) => hoverText(line, name, control)), customdata: lines.map((line) => line.cell),
    error_y: style.bars ? errorBars(lines, name, control, colour) : undefined, ...style.axes,
  };
}

// Where each layer stands: single layers at their number, sets after a gap.
function placesOf(layers) {
  const single = layers.filter((layer) => /^\d+$/.test(layer)).map(Number);
  const gap = Math.max(1.2, 0.09 * (single.length ? single.at(-1) - single[0] : 0));
  let next = single.length ? single.at(-1) + gap : 0;
  return new Map(layers.map((layer) => [layer, /^\d+$/.test(layer) ? Number(layer) : (next += gap) - gap]));
}

// The ends of the layer axis.
function endsOf(places) {
  const all = [...places.values()];
  const room = all.length > 2 ? 0.5 : 1.2;
  return [Math.min(...all) - room, Math.max(...all) + room];
}

function rangeOf(lines, name) {
  const all = ["", ...DATA.controls].flatMap((control) => ["", "_low", "_high"].flatMap((end) => lines.map((line) => valueOf(line, name, control, end))));
  const values = [...all, 0, ...(name === "precision" ? lines.map((line) => line.ideal_precision) : [])].filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return [low - 0.06 * (high - low || 1), high + 0.06 * (high - low || 1)];
}

// -- legends and tables ---------------------------------------------------------------------

function swatch(mark) {
  const dash = { self: "6 3", random: "2 2", noise: "7 2 2 2", ideal: "1.5 2.5" }[mark.dash] ?? "";
  const shapes = { "x-thin-open": "✕", "cross-thin-open": "+", "asterisk-open": "✳", circle: "●", square: "■", "triangle-up": "▲", diamond: "◆", "triangle-down": "▼", cross: "✚", x: "✖", star: "★", hollow: "○" };
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
  return DATA.controls.map((name) => ({ word: DATA.words.controls[name], colour: "var(--control)", dash: name, symbol: CONTROL_SYMBOLS[name], line }));
}

const IDEAL = { word: "ideal precision (pure swap)", colour: "var(--ink)", dash: "ideal" };

function numbersTable(lines, leading, choose) {
  const measured = ["effectiveness", "precision", "ideal_precision", "kept", "flipped"].filter((name) => lines.some((line) => line[name] !== null));
  const controls = DATA.controls.flatMap((name) => [[name, "effectiveness"], [name, "precision"]]);
  const heads = [...leading, ...measured.map((name) => name.replace("_", " ")), ...controls.map((pair) => pair.join(": ")), "n"];
  const word = (line, name) => (name === "component" ? componentWord(line.component) : String(line[name]));
  return el("div", { class: "scroll tall", role: "region", "aria-label": "Numbers", tabindex: 0 }, el("table", { class: "numbers" },
    el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i < leading.length ? "word" : null }, head)))),
    el("tbody", {}, ...lines.map((line) => el("tr", { class: line.verdict === ABOVE ? "above" : null },
      ...leading.map((name) => el("th", { scope: "row", class: "word" }, word(line, name))),
      ...measured.map((name) => el("td", {}, spread(line, name))),
      ...controls.map(([control, name]) => el("td", {}, spread(line, name, control))),
      el("td", {}, String(line.n)))))));
}

function drawBehind(section, lines, leading) {
  const details = el("details", {}, el("summary", {}, "The numbers behind this chart"));
  details.addEventListener("toggle", () => details.open && details.children.length < 2 && details.append(numbersTable(lines, leading)));
  section.querySelector(".behind").replaceChildren(details);
}

function best(lines) { return lines.reduce((a, b) => (b.effectiveness > a.effectiveness ? b : a)); }

function countWords(lines) {
  const sizes = [...new Set(lines.map((line) => line.n))].sort((a, b) => a - b);
  const failed = lines.reduce((sum, line) => sum + line.failed, 0);
  return `Means over prompts with ${PERCENT} bootstrap intervals, n = ${sizes.length === 1 ? sizes[0] : `${sizes[0]} to ${sizes.at(-1)}`} clips each${failed ? ` (${failed} clips failed and are left out)` : ""}.` +
    (DATA.controls.length ? "" : " No controls were run.");
}

const MARK_WORDS = DATA.controls.length ? " Filled points: effectiveness above the intervals of all controls that were run." : "";

// -- the three kinds ------------------------------------------------------------------------

function drawCurves(lines, choose) {
  const section = byId("curves"), t = theme();
  const place = section.querySelector(".charts");
  const components = DATA.components.filter((name) => lines.some((line) => line.component === name));
  const places = placesOf(DATA.layers.filter((layer) => lines.some((line) => line.layer === layer)));
  const ranges = ["effectiveness", "precision"].map((name) => rangeOf(lines, name));
  place.replaceChildren();
  for (const component of components) {
    const own = lines.filter((line) => line.component === component);
    const traces = ["effectiveness", "precision"].flatMap((name, i) => curveTraces(own, places, name, { axes: { yaxis: i ? "y2" : "y" } }, t));
    const ticks = [...places.keys()].filter((layer, i) => !/^\d+$/.test(layer) || i % Math.ceil(places.size / 16) === 0);
    const top = best(own);
    chart(place, `${componentWord(component)}: effectiveness and precision by layer with intervals and controls. Greatest effectiveness ${written("effectiveness", top.effectiveness)} nats at ${layerWord(top.layer)}. ${verdict(top)}`,
      traces, layoutOf(t, {
        title: { text: componentWord(component), x: 0.02, xanchor: "left", y: 0.985, font: { size: 14, color: t.ink } },
        xaxis: axis(t, "layer edited", { anchor: "y2", range: endsOf(places), tickvals: ticks.map((layer) => places.get(layer)), ticktext: ticks, ticklabeloverflow: "allow", zeroline: false, showgrid: false }),
        yaxis: axis(t, "effectiveness (nats)<br>up: nearer to desired", { domain: [0.53, 1], range: ranges[0] }),
        yaxis2: axis(t, "precision (nats)<br>0: no other label moved", { domain: [0, 0.47], range: ranges[1] }),
      }), choose);
  }
  drawLegend(section, [...components.map((name) => ({ word: `the edit, ${componentWord(name)}`, colour: colourOf(name), symbol: "circle" })), ...controlMarks(), IDEAL]);
  section.querySelector(".note").textContent = `${countWords(lines)}${MARK_WORDS} All panels of one measure have one scale.`;
  drawBehind(section, lines, ["component", "layer"]);
}

function curveTraces(own, places, name, style, t) {
  const xs = (lines, aside = 0) => lines.map((line) => places.get(line.layer) + aside);
  const alone = own.filter(isSingle);
  const curve = alone.length > 1 ? alone : [];
  const rest = own.filter((line) => !curve.includes(line));
  const ends = endsOf(places);
  const traces = [];
  for (const control of DATA.controls) {
    if (control === "noise") { traces.push(...band([own[0], own[0]], ends, name, control, t.control, style).map((trace) => ({ ...trace, customdata: undefined }))); continue; }
    if (curve.length) traces.push(...band(curve, xs(curve), name, control, t.control, style));
    if (rest.length) traces.push(points(rest, xs(rest, (control === "self" ? 0.12 : 0.22)), name, control, t.control, { ...style, bars: true }));
  }
  const colour = colourOf(own[0].component);
  if (name === "precision") {
    const ideal = own.reduce((sum, line) => sum + line.ideal_precision, 0) / own.length;
    traces.push({ x: ends, y: [ideal, ideal], mode: "lines", line: { color: t.ink, width: 1.3, dash: "1.5px,2.5px" }, hoverinfo: "text", text: `ideal precision ${written("precision", ideal)}`, ...style.axes });
  }
  if (curve.length) traces.push(...band(curve, xs(curve), name, "", colour, style).map((trace) => ({ ...trace, hoverinfo: "skip" })));
  if (curve.length) traces.push(points(curve, xs(curve), name, "", colour, style));
  if (rest.length) traces.push(points(rest, xs(rest), name, "", colour, { ...style, bars: true }));
  return traces;
}

function drawTradeoff(lines, choose) {
  const section = byId("tradeoff"), t = theme();
  const techniques = [...new Set(lines.map((line) => line.technique))];
  const groups = new Map();
  for (const line of byComponent(lines)) {
    const key = `${componentWord(line.component)}, ${line.technique}`;
    groups.set(key, [...(groups.get(key) ?? []), line]);
  }
  const traces = DATA.controls.map((control) => cloud(lines, control, t)), marks = [];
  const middle = (Math.min(...lines.map((line) => line.effectiveness)) + best(lines).effectiveness) / 2;
  for (const [word, own] of groups) {
    own.sort((a, b) => DATA.layers.indexOf(a.layer) - DATA.layers.indexOf(b.layer));
    const colour = colourOf(own[0].component), symbol = SYMBOLS[techniques.indexOf(own[0].technique) % SYMBOLS.length];
    const named = new Set(own.length <= 14 ? own : [own[0], best(own), own.at(-1), ...own.filter((line) => !isSingle(line))]);
    marks.push({ word, colour, symbol, line: false });
    const path = own.filter(isSingle);
    traces.push({ x: path.map((line) => line.effectiveness), y: path.map((line) => line.precision), mode: "lines", line: { color: faded(colour, 0.35), width: 1 }, hoverinfo: "skip" });
    traces.push({
      x: own.map((line) => line.effectiveness), y: own.map((line) => line.precision), mode: "markers+text", text: own.map((line) => (named.has(line) ? line.layer : "")),
      textposition: own.map((line) => (line.effectiveness > middle ? "top left" : "top right")), textfont: { size: 11, color: t.ink }, marker: { symbol, size: 9, color: own.map((line) => (line.verdict === ABOVE ? colour : t.paper)), line: { color: colour, width: 2 } },
      error_x: errorBars(own, "effectiveness", "", faded(colour, 0.45), 1), error_y: errorBars(own, "precision", "", faded(colour, 0.45), 1), customdata: own.map((line) => line.cell), hoverinfo: "text",
      hovertext: own.map((line) => `${hoverText(line, "effectiveness")}<br>precision ${written("precision", line.precision)} ${interval(line, "precision")}`),
    });
  }
  const ideal = lines.reduce((sum, line) => sum + line.ideal_precision, 0) / lines.length;
  const shapes = [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: ideal, y1: ideal, line: { color: t.ink, width: 1.3, dash: "1.5px,2.5px" } }];
  const place = section.querySelector(".charts"), top = best(lines);
  place.replaceChildren();
  chart(place, `Precision against effectiveness, one point for each site, with intervals; controls in grey. Furthest right: ${siteWords(top)}, effectiveness ${written("effectiveness", top.effectiveness)}, precision ${written("precision", top.precision)} nats.`, traces,
    layoutOf(t, { shapes, margin: { l: 56, r: 12, t: 12, b: 60 }, xaxis: axis(t, "effectiveness (nats)<br>→ nearer the desired concept"), yaxis: axis(t, "precision (nats)<br>0: no other label moved") }), choose);
  drawLegend(section, [...marks, ...controlMarks(false), IDEAL]);
  section.querySelector(".note").textContent = `${countWords(lines)} Numbers are layers. Up and right is better.${MARK_WORDS}`;
  drawBehind(section, lines, ["component", "technique", "layer"]);
}

// The controls' points, each once: several cells share a control.
function cloud(lines, control, t) {
  const own = [...new Map(lines.filter((line) => valueOf(line, "effectiveness", control) !== null).map((line) => [JSON.stringify([valueOf(line, "effectiveness", control), valueOf(line, "precision", control)]), line])).values()];
  const pale = faded(t.control, 0.3);
  return {
    x: own.map((line) => valueOf(line, "effectiveness", control)), y: own.map((line) => valueOf(line, "precision", control)), mode: "markers",
    marker: { symbol: CONTROL_SYMBOLS[control], size: control === "noise" ? 13 : 8, color: t.control, line: { color: t.control, width: 1.5 } },
    error_x: errorBars(own, "effectiveness", control, pale, 0.8), error_y: errorBars(own, "precision", control, pale, 0.8), hoverinfo: "text",
    hovertext: own.map((line) => `${hoverText(line, "effectiveness", control)}<br>precision ${written("precision", valueOf(line, "precision", control))} ${interval(line, "precision", control)}`),
  };
}

function drawDose(lines, choose) {
  const section = byId("dose"), t = theme();
  const swept = new Set(lines.map((line) => line.strength)).size > 1;
  section.hidden = byId("to-dose").hidden = !swept;
  if (!swept) return;
  const place = section.querySelector(".charts"), marks = [], wheres = [];
  const ranges = ["effectiveness", "precision"].map((name) => rangeOf(lines, name));
  place.replaceChildren();
  for (const component of DATA.components.filter((name) => lines.some((line) => line.component === name))) {
    const own = lines.filter((line) => line.component === component), top = best(own);
    const all = DATA.layers.filter((layer) => own.some((line) => line.layer === layer));
    const layers = all.length <= 8 ? all : [...new Set([all[0], top.layer, all.filter((layer) => /^\d+$/.test(layer)).at(-1), ...all.filter((layer) => !/^\d+$/.test(layer))])];
    const shades = layers.map((_, i) => (layers.length === 1 ? colourOf(component) : DATA.palettes.viridis[Math.round(2 + 12 * i / (layers.length - 1))]));
    const at = (layer) => own.filter((line) => line.layer === layer).sort((a, b) => a.strength - b.strength);
    const traces = ["effectiveness", "precision"].flatMap((name, i) => {
      const style = { axes: { yaxis: i ? "y2" : "y" } };
      const doses = (layer) => at(layer).map((line) => line.strength);
      return [
        ...DATA.controls.flatMap((control) => band(at(top.layer), doses(top.layer), name, control, t.control, style)),
        ...layers.flatMap((layer, k) => [...band(at(layer), doses(layer), name, "", shades[k], style).map((trace) => ({ ...trace, hoverinfo: "skip" })), points(at(layer), doses(layer), name, "", shades[k], style)]),
      ];
    });
    layers.forEach((layer, k) => marks.push({ word: `${componentWord(component)}, ${layerWord(layer)}`, colour: shades[k], symbol: "circle" }));
    wheres.push(`${componentWord(component)} ${layerWord(top.layer)}`);
    chart(place, `${componentWord(component)}: effectiveness and precision against strength, with intervals and controls. Greatest effectiveness ${written("effectiveness", top.effectiveness)} nats at strength ${top.strength}, ${layerWord(top.layer)}.`, traces, layoutOf(t, {
      title: { text: componentWord(component), x: 0.02, xanchor: "left", y: 0.985, font: { size: 14, color: t.ink } },
      xaxis: axis(t, "strength (factor on the edit's shift)", { anchor: "y2", zeroline: false, showgrid: false }),
      yaxis: axis(t, "effectiveness (nats)<br>up: nearer to desired", { domain: [0.53, 1], range: ranges[0] }),
      yaxis2: axis(t, "precision (nats)<br>0: no other label moved", { domain: [0, 0.47], range: ranges[1] }),
    }), choose);
  }
  drawLegend(section, [...marks, ...controlMarks()]);
  section.querySelector(".note").textContent = `${countWords(lines)}${MARK_WORDS}` + (DATA.controls.length ? ` The controls are those of ${wheres.join(" and ")}.` : "");
  drawBehind(section, lines, ["component", "layer", "strength"]);
}
