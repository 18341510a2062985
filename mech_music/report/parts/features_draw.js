"use strict";
// Curves and bars of a feature. What is drawn is said in words beside it, or in a table.
const SVG = "http://www.w3.org/2000/svg";

function shape(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Bytes from 0 to 255, in base64, of the greatest value beside them.
function unpacked({ most, bytes }) {
  return Array.from(atob(bytes), (letter) => (letter.charCodeAt(0) * most) / 255);
}

// The activation over a spectrogram: step s is frame s of the first codebook; what lies beyond the clip's end is not drawn.
function overlay(values, most, frames) {
  const points = values.slice(0, frames).map((value, step) => `${step} ${(100 - (92 * value) / (most || 1)).toFixed(1)} ${step + 1} ${(100 - (92 * value) / (most || 1)).toFixed(1)}`).join(" ");
  const line = (kind) => shape("polyline", { points, class: kind, "vector-effect": "non-scaling-stroke" });
  return shape("svg", { class: "trace", viewBox: `0 0 ${frames} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("polygon", { points: `0 100 ${points} ${Math.min(frames, values.length)} 100` }), line("under"), line("over"));
}

// In how large a share of the clips it fires at each step.
function stepChart(curve, frames, rate) {
  const values = unpacked(curve), most = curve.most || 1, n = values.length;
  const points = values.map((value, step) => `${step} ${(100 - (96 * value) / most).toFixed(1)} ${step + 1} ${(100 - (96 * value) / most).toFixed(1)}`).join(" ");
  const line = shape("polyline", { points, class: "curve", "vector-effect": "non-scaling-stroke" }), area = shape("polygon", { points: `0 100 ${points} ${n} 100` });
  const end = shape("line", { x1: frames, x2: frames, y1: 0, y2: 100, class: "end", "vector-effect": "non-scaling-stroke" });
  return el("div", { class: "steps" },
    el("span", { class: "top" }, share(curve.most)),
    shape("svg", { viewBox: `0 0 ${n} 100`, preserveAspectRatio: "none", role: "img", "aria-label": `Share of clips in which it fires, by step: at most ${share(curve.most)}` }, area, line, end),
    el("span", { class: "axis" }, el("span", {}, "step 0"), el("span", {}, `step ${n - 1} (${(frames / rate).toFixed(1)} s of sound)`)));
}

// One bar for each word, with its interval and, as a line through all, the mean of all prompts; `best`: the word to mark.
function wordBars(set, words, best) {
  const [mean, low, high] = words, most = Math.max(...high.map((value, i) => value ?? mean[i] ?? 0), 1e-9), part = (value) => `${((100 * value) / most).toFixed(2)}%`;
  const bar = ([category, text, n], i) => el("tr", { class: text === best ? "above" : null },
    el("th", { scope: "row", class: "word" }, text),
    el("td", { class: "bar" }, el("div", { class: "range", style: `--mean: ${part(mean[i] ?? 0)}; --low: ${part(low[i] ?? mean[i] ?? 0)}; --high: ${part(high[i] ?? mean[i] ?? 0)}; --all: ${part(mean[0] ?? 0)}` }, el("span", {}), el("i", {}), el("b", {}))),
    el("td", {}, el("span", { class: "mean" }, share(mean[i]), " ", el("span", { class: "interval" }, low[i] === null ? "" : `[${share(low[i])}, ${share(high[i])}]`))),
    el("td", { class: "count" }, String(n)));
  const groups = [...new Set(set.words.map(([category]) => category))];
  return groups.map((category) => el("table", { class: "numbers words" },
    el("caption", {}, category || "every prompt"),
    el("thead", { class: "unseen" }, el("tr", {}, ...["word", "", `share of steps, ${100 * ABOUT.level} % interval`, "prompts"].map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...set.words.map((word, i) => [word, i]).filter(([[own]]) => own === category).sort(([, i], [, j]) => (mean[j] ?? -1) - (mean[i] ?? -1)).map(([word, i]) => bar(word, i)))));
}
