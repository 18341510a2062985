"use strict";
// Elements, and clips as players with their spectrograms: what every page uses.
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

let sounds = null;
function sound(key) {
  sounds ??= JSON.parse(byId("sounds").textContent);
  return sounds[key];
}

function player(title, clip, sample) {
  const image = el("img", { src: clip.image, alt: `Mel spectrogram. ${title}, prompt ${sample.index}.` });
  return el("figure", {}, el("figcaption", {}, title),
    el("audio", { controls: "", preload: "metadata", src: clip.audio, "aria-label": `${title}, prompt ${sample.index}` }),
    el("div", { class: "mel" }, el("span", {}, `${(clip.top_hz / 1000).toFixed(0)} kHz (mel)`), el("span", { class: "low" }, "0 Hz"), image,
      el("span", { class: "time" }, el("span", {}, "0 s"), el("span", {}, `${+clip.seconds.toFixed(2)} s`))));
}
