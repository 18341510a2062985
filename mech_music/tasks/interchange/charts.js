"use strict";
// The charts of interchanges.
const MARK_WORDS = DATA.controls.length ? " Filled points: effectiveness above the intervals of all controls that were run." : "";
const IDEAL = { word: "ideal precision (pure swap)", colour: "var(--ink)", dash: "ideal" };

function effectRange(lines, name) { return rangeOf(lines, name, [0, ...(name === "precision" ? lines.map((line) => line.ideal_precision) : [])]); }

function drawCurves(lines, choose) {
  const section = byId("curves"), t = theme();
  const place = section.querySelector(".charts");
  const components = DATA.components.filter((name) => lines.some((line) => line.component === name));
  const places = placesOf(DATA.layers.filter((layer) => lines.some((line) => line.layer === layer)));
  const ranges = ["effectiveness", "precision"].map((name) => effectRange(lines, name));
  emptied(place);
  for (const component of components) {
    const own = lines.filter((line) => line.component === component);
    const traces = () => ["effectiveness", "precision"].flatMap((name, i) => curveTraces(own, places, name, { axes: { yaxis: i ? "y2" : "y" } }, t));
    const ticks = ticksOf([...places.keys()]);
    const top = best(own);
    chart(place, `${componentWord(component)}: effectiveness and precision by layer with intervals and controls. Greatest effectiveness ${written("effectiveness", top.effectiveness)} nats at ${layerWord(top.layer)}. ${verdict(top)}`,
      () => [traces(), layoutOf(t, {
        title: panelTitle(t, componentWord(component)),
        xaxis: axis(t, "layer edited", { anchor: "y2", range: endsOf(places), tickvals: ticks.map((layer) => places.get(layer)), ticktext: ticks, ticklabeloverflow: "allow", zeroline: false, showgrid: false }),
        yaxis: axis(t, "effectiveness (nats)<br>up: nearer to desired", { domain: [0.53, 1], range: ranges[0] }),
        yaxis2: axis(t, "precision (nats)<br>0: no other label moved", { domain: [0, 0.47], range: ranges[1] }),
      })], choose);
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
  emptied(place);
  chart(place, `Precision against effectiveness, one point for each site, with intervals; controls in grey. Furthest right: ${siteWords(top)}, effectiveness ${written("effectiveness", top.effectiveness)}, precision ${written("precision", top.precision)} nats.`, () => [traces,
    layoutOf(t, { shapes, margin: { l: 56, r: 12, t: 12, b: 60 }, xaxis: axis(t, "effectiveness (nats)<br>→ nearer the desired concept"), yaxis: axis(t, "precision (nats)<br>0: no other label moved") })], choose);
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
  const ranges = ["effectiveness", "precision"].map((name) => effectRange(lines, name));
  emptied(place);
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
    chart(place, `${componentWord(component)}: effectiveness and precision against strength, with intervals and controls. Greatest effectiveness ${written("effectiveness", top.effectiveness)} nats at strength ${top.strength}, ${layerWord(top.layer)}.`, () => [traces, layoutOf(t, {
      title: panelTitle(t, componentWord(component)),
      xaxis: axis(t, "strength (factor on the edit's shift)", { anchor: "y2", zeroline: false, showgrid: false }),
      yaxis: axis(t, "effectiveness (nats)<br>up: nearer to desired", { domain: [0.53, 1], range: ranges[0] }),
      yaxis2: axis(t, "precision (nats)<br>0: no other label moved", { domain: [0, 0.47], range: ranges[1] }),
    })], choose);
  }
  drawLegend(section, [...marks, ...controlMarks()]);
  section.querySelector(".note").textContent = `${countWords(lines)}${MARK_WORDS}` + (DATA.controls.length ? ` The controls are those of ${wheres.join(" and ")}.` : "");
  drawBehind(section, lines, ["component", "layer", "strength"]);
}
