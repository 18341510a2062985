"use strict";
// The charts that a task declares: measures against an axis, and one measure against another.
const DRAW = { curves: drawCurves, scatter: drawScatter };

// -- curves ---------------------------------------------------------------------------------

function drawCurves(spec, lines, place, section, choose) {
  const t = theme(), places = placesOf(spec.x, lines), marks = new Map();
  const panels = !spec.panels ? spec.measures.map((name) => [MEASURES[name].title, lines, [name]])
    : DATA.orders[spec.panels].map((value) => [wordOf(spec.panels, value), lines.filter((line) => line[spec.panels] === value), spec.measures]).filter(([, own]) => own.length);
  for (const [title, own, names] of panels) {
    const groups = groupsOf(spec, own);
    for (const { word, colour } of groups) marks.set(word, { word, colour, symbol: "circle" });
    const ranks = names.includes(VIEW.rank), top = ranks ? best(own) : null, level = MEASURES[names[0]].level;
    const [first, last] = [own[0], own.at(-1)].map((line) => `${siteWords(line)} ${written(names[0], line[names[0]])}`);
    const said = `${title}: ${names.map((name) => MEASURES[name].word).join(" and ")} by ${spec.x} with intervals${DATA.controls.length ? " and controls" : ""}. ` +
      (top ? `Greatest ${MEASURES[RANK].word} ${written(RANK, top[RANK])} at ${siteWords(top)}${level ? `; ${MEASURES[level].word} ${written(level, top[level])}` : ""}. ${verdict(top)}` : `First ${first}, last ${last}.`);
    const rows = names.length, height = (1 - 0.06 * (rows - 1)) / rows;
    const yaxes = names.map((name, i) => [`yaxis${i ? i + 1 : ""}`, axis(t, spec.panels ? MEASURES[name].label : MEASURES[name].unit, { range: rangeOf(lines, name), domain: [1 - (i + 1) * height - 0.06 * i, 1 - i * (height + 0.06)].map((end) => Math.max(0, end)) })]);
    chart(place, said, () => [names.flatMap((name, i) => tracesOf(spec, groups, name, places, { axes: { yaxis: `y${i ? i + 1 : ""}` } }, t)), layoutOf(t, {
      title: panelTitle(t, title), margin: { l: 56, r: 12, t: 34, b: 44 }, ...Object.fromEntries(yaxes),
      xaxis: axis(t, spec.x, { ...ticksOf(places, rows > 1 ? 16 : 8), anchor: rows > 1 ? `y${rows}` : "y", range: endsOf(places), ticklabeloverflow: "allow", zeroline: false, showgrid: false }),
    })], choose);
  }
  drawLegend(section, [...marks.values(), ...controlMarks(), ...levelMarks(spec.measures)]);
}

// A group is what one line joins. Of very many layers, the ends, the best one and the sets are drawn.
function groupsOf(spec, own) {
  if (!spec.lines.length) return [{ word: VIEW.effect, colour: colourOf(""), lines: own }];
  const name = spec.lines[0], all = DATA.orders[name].filter((value) => own.some((line) => line[name] === value));
  const single = all.filter(isNumber), few = all.length <= 8 ? all : all.filter((value) => !isNumber(value) || value === single[0] || value === single.at(-1) || value === best(own)[name]);
  return few.map((value, i) => ({ word: wordOf(name, value), colour: colourOf(name, value, i, few.length), lines: own.filter((line) => line[name] === value) }));
}

// The controls of two lines have the lines' colours; those of many are the best line's.
function tracesOf(spec, groups, name, places, style, t) {
  const traces = groups.length && MEASURES[name].level ? levelTraces(groups.flatMap((group) => group.lines), name, endsOf(places), style, t) : [];
  const top = groups.reduce((a, b) => (best(b.lines)[RANK] > best(a.lines)[RANK] ? b : a));
  for (const group of groups.length > 2 ? [top] : groups) {
    const colour = groups.length === 2 ? group.colour : t.control;
    ofControls(name).forEach((control, i) => traces.push(...strokes(group.lines, spec.x, places, name, control, colour, style, 0.1 * (i + 1)).map((trace) => ({ ...trace, opacity: groups.length === 2 ? 0.6 : 1 }))));
  }
  for (const group of groups) traces.push(...strokes(group.lines, spec.x, places, name, "", group.colour, { ...style, solid: !DATA.controls.length || !VIEW.rank }, 0));
  return traces;
}

// Numbers joined by a line with its band; sets of layers, and what stands alone, as points with bars.
function strokes(lines, x, places, name, control, colour, style, aside) {
  const there = lines.filter((line) => valueOf(line, name, control) !== null), at = (own, by = 0) => own.map((line) => places.get(line[x]) + by);
  const joined = there.filter((line) => isNumber(line[x])).sort((a, b) => a[x] - b[x]), curve = joined.length > 1 ? joined : [];
  const rest = there.filter((line) => !curve.includes(line));
  return [
    ...(curve.length ? band(curve, at(curve), name, control, colour, style).map((trace) => (control ? trace : { ...trace, hoverinfo: "skip" })) : []),
    ...(curve.length && !control ? [points(curve, at(curve), name, "", colour, style)] : []),
    ...(rest.length ? [points(rest, at(rest, aside), name, control, colour, { ...style, bars: true })] : []),
  ];
}

function levelTraces(lines, name, ends, style, t) {
  const { level } = MEASURES[name], mean = (end) => lines.reduce((sum, line) => sum + line[level + end], 0) / lines.length;
  const one = { ...lines[0], ...Object.fromEntries(["", "_low", "_high"].map((end) => [level + end, mean(end)])) };
  return band([one, one], ends, level, "", "#777777", style).map((trace, i) => (i < 2 ? trace : {
    ...trace, customdata: undefined, line: { color: t.ink, width: 1.3, dash: "1.5px,2.5px" }, text: `${MEASURES[level].word} ${written(level, one[level])} ${interval(one, level)}`,
  }));
}

// -- one measure against another ------------------------------------------------------------

function drawScatter(spec, lines, place, section, choose) {
  const t = theme(), [across, up] = spec.measures, groups = new Map(), { level } = MEASURES[up];
  for (const line of lines) {
    const key = spec.lines.map((name) => wordOf(name, line[name])).join(", ");
    groups.set(key, [...(groups.get(key) ?? []), line]);
  }
  const middle = (Math.min(...lines.map((line) => line[across])) + best(lines, across)[across]) / 2, marks = [], traces = DATA.controls.map((control) => cloud(lines, spec, control, t));
  for (const [word, own] of groups) {
    own.sort((a, b) => DATA.orders[spec.x].indexOf(a[spec.x]) - DATA.orders[spec.x].indexOf(b[spec.x]));
    const [first, second] = spec.lines, colour = colourOf(first, own[0][first]), symbol = SYMBOLS[(second ? DATA.orders[second].indexOf(own[0][second]) : 0) % SYMBOLS.length];
    const named = new Set(own.length <= 14 ? own : [own[0], best(own), own.at(-1), ...own.filter((line) => !isSingle(line))]);
    const path = own.filter(isSingle), of = (some, name) => some.map((line) => line[name]);
    marks.push({ word, colour, symbol, line: false });
    traces.push({ x: of(path, across), y: of(path, up), mode: "lines", line: { color: faded(colour, 0.35), width: 1 }, hoverinfo: "skip" });
    traces.push({
      x: of(own, across), y: of(own, up), mode: "markers+text", text: own.map((line) => (named.has(line) ? line[spec.x] : "")), textposition: own.map((line) => (line[across] > middle ? "top left" : "top right")), textfont: { size: 11, color: t.ink },
      marker: { symbol, size: 9, color: own.map((line) => (line.verdict === ABOVE ? colour : t.paper)), line: { color: colour, width: 2 } }, customdata: of(own, "cell"), ...crossed(own, spec, "", faded(colour, 0.45), 1),
    });
  }
  const front = frontOf(lines, across, up), ends = upTo(lines, up);
  if (front.length > 1) traces.unshift({ x: front.map((line) => line[across]), y: front.map((line) => line[up]), mode: "lines", line: { color: t.ink, width: 1.2, shape: "vh" }, opacity: 0.55, hoverinfo: "skip" });
  if (front.length > 1) marks.push({ word: "front: no point is better in both", colour: "var(--ink)", dash: "" });
  // A level beyond the points is said at the edge, so that they keep the room.
  const height = level ? lines.reduce((sum, line) => sum + line[level], 0) / lines.length : 0, inside = level && height >= ends[0] && height <= ends[1];
  const shapes = inside ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: height, y1: height, line: { color: t.ink, width: 1.3, dash: "1.5px,2.5px" } }] : [];
  const beyond = level && !inside ? [{ xref: "paper", yref: "paper", x: 1, xanchor: "right", y: height < ends[0] ? 0.01 : 0.99, showarrow: false, font: { size: 11, color: t.ink }, text: `${height < ends[0] ? "↓" : "↑"} ${MEASURES[level].word} ${written(level, height)}` }] : [];
  const top = best(lines, across), words = spec.measures.map((name) => MEASURES[name].word);
  chart(place, `${words[1]} against ${words[0]}, one point for each cell, with intervals; controls in grey. Furthest right: ${siteWords(top)}, ${spec.measures.map((name, i) => `${words[i]} ${written(name, top[name])}`).join(", ")}.`, () => [traces,
    layoutOf(t, { shapes, annotations: beyond, margin: { l: 56, r: 12, t: 12, b: 60 }, xaxis: axis(t, MEASURES[across].title), yaxis: axis(t, MEASURES[up].label, { range: ends }) })], choose);
  drawLegend(section, [...marks, ...controlMarks(false), ...(inside ? levelMarks([up]) : [])]);
}

// The lines than which none is better in both measures, from left to right.
function frontOf(lines, across, up) {
  const better = (a, b) => a[across] >= b[across] && a[up] >= b[up] && (a[across] > b[across] || a[up] > b[up]);
  return lines.filter((line) => !lines.some((other) => better(other, line))).sort((a, b) => a[across] - b[across]);
}

// The ends of the upright axis: the points with their intervals, the means of controls, and some room.
function upTo(lines, up) {
  const ends = ["", "_low", "_high"].map((end) => ["", end]), means = DATA.controls.map((control) => [control, ""]);
  const values = lines.flatMap((line) => [...ends, ...means].map(([control, end]) => valueOf(line, up, control, end))).filter((value) => value !== null);
  const [least, most] = [Math.min(...values), Math.max(...values)], room = 0.06 * (most - least || 1);
  return [least - room, most + room];
}

// Intervals in both directions, and what a point says.
function crossed(own, spec, control, colour, width) {
  const [across, up] = spec.measures;
  return {
    error_x: errorBars(own, across, control, colour, width), error_y: errorBars(own, up, control, colour, width), hoverinfo: "text",
    hovertext: own.map((line) => `${hoverText(line, across, control)}<br>${MEASURES[up].word} ${written(up, valueOf(line, up, control))} ${interval(line, up, control)}`),
  };
}

// The controls' points, each once: several cells share a control.
function cloud(lines, spec, control, t) {
  const of = (line) => spec.measures.map((name) => valueOf(line, name, control));
  const own = [...new Map(lines.filter((line) => !of(line).includes(null)).map((line) => [String(of(line)), line])).values()];
  return {
    x: own.map((line) => of(line)[0]), y: own.map((line) => of(line)[1]), mode: "markers",
    marker: { symbol: controlStyle(control).symbol, size: 9, color: t.control, line: { color: t.control, width: 1.5 } }, ...crossed(own, spec, control, faded(t.control, 0.3), 0.8),
  };
}
