"use strict";
// The clips behind a cell: players, spectrograms, and what the classifier hears.
let sounds = null;
function sound(key) {
  sounds ??= JSON.parse(byId("sounds").textContent);
  return sounds[key];
}

// Sounds come last in the file: until they are there, nothing is drawn.
function drawClips(line) {
  const place = byId("cell-clips");
  if (!VIEW.clips || document.readyState === "loading") return;
  const samples = DATA.samples[line.cell] ?? [];
  if (!samples.length) {
    place.replaceChildren(el("p", { class: "note" }, "This page carries no clips of this cell."));
    return;
  }
  place.replaceChildren(el("h3", {}, "What is heard"), el("p", { class: "note" }, `${VIEW.clips.note} Sounds are compressed.`),
    ...samples.map((sample) => drawSample(sample, line)));
}

function drawSample(sample, line) {
  const [before, after] = [VIEW.clips.before, VIEW.clips.after].map((text) => capital(filled(text, line))), one = sample.before === sample.after;
  return el("div", { class: "sample" },
    el("h4", {}, sampleWords(sample, line)),
    el("p", {}, `Prompt ${sample.index}: “${sample.prompt}”`),
    one ? el("p", { class: "note" }, VIEW.clips.same) : null,
    el("div", { class: "twins" }, player(before, sound(sample.before), sample), one ? null : player(after, sound(sample.after), sample), sample.labels.length ? labels(sample, line, one) : null));
}

function sampleWords(sample, line) {
  const ends = { first: "The first prompt", strongest: `Greatest ${MEASURES[RANK].word} of ${sample.n} prompts`, weakest: `Least ${MEASURES[RANK].word} of ${sample.n} prompts` };
  const told = VIEW.clips.told.map((name, i) => `${MEASURES[name].word} ${written(name, sample[name])}${i ? "" : ` (mean of the cell ${written(name, line[name])})`}`);
  return `${sample.n === 1 ? "The only prompt" : ends[sample.end]}: ${told.join(", ")}`;
}

function player(title, clip, sample) {
  const image = el("img", { src: clip.image, alt: `Mel spectrogram. ${title}, prompt ${sample.index}.` });
  return el("figure", {}, el("figcaption", {}, title),
    el("audio", { controls: "", preload: "metadata", src: clip.audio, "aria-label": `${title}, prompt ${sample.index}` }),
    el("div", { class: "mel" }, el("span", {}, `${(clip.top_hz / 1000).toFixed(0)} kHz (mel)`), el("span", { class: "low" }, "0 Hz"), image,
      el("span", { class: "time" }, el("span", {}, "0 s"), el("span", {}, `${+clip.seconds.toFixed(2)} s`))));
}

function labels(sample, line, one) {
  const share = (value) => (value < 0.001 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`);
  const bar = (value) => el("td", { class: "bar" }, el("span", { class: "share", "aria-hidden": "true" }, el("span", { style: `width: ${(100 * value).toFixed(1)}%` })), share(value));
  const heads = [VIEW.clips.before, filled(VIEW.clips.after, line)].slice(0, one ? 1 : 2);
  return el("figure", {}, el("figcaption", {}, `What ${line.classifier} (the classifier) hears`),
    el("table", { class: "numbers labels" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "word" }, "label"), ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...sample.labels.map((label) => el("tr", {},
        el("th", { scope: "row", class: label.concept ? "word concept" : "word" }, label.name + (label.concept ? ` (${label.concept})` : "")),
        bar(label.before), one ? null : bar(label.after))))));
}
