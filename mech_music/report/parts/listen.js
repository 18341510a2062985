"use strict";
// The clips behind a cell: one player for each prompt, in which the original and the edited clip change places, their
// spectrograms, and what the classifier hears.
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
  return el("div", { class: "sample" },
    el("h4", {}, sampleWords(sample, line)),
    el("p", {}, `Prompt ${sample.index}: “${sample.prompt}”`),
    isOne(sample) ? el("p", { class: "note" }, VIEW.clips.same) : null,
    el("div", { class: "twins" }, player(sample, line), sample.labels.length ? labels(sample, line) : null));
}

// Where the row's clip is the baseline's.
function isOne(sample) { return sample.before === sample.after; }

function sampleWords(sample, line) {
  const of = `of ${sample.n} prompts`, ends = { first: "The first prompt", strongest: `Greatest ${MEASURES[RANK].word} ${of}`, median: `Median ${MEASURES[RANK].word} ${of}`, weakest: `Least ${MEASURES[RANK].word} ${of}` };
  const told = VIEW.clips.told.map((name, i) => `${MEASURES[name].word} ${written(name, sample[name])}${i ? "" : ` (mean of the cell ${written(name, line[name])})`}`);
  return `${sample.n === 1 ? "The only prompt" : ends[sample.end]}: ${told.join(", ")}`;
}

// -- players --------------------------------------------------------------------------------

const VERSIONS = ["before", "after"];

function versionWords(line) { return VERSIONS.map((version) => capital(filled(VIEW.clips[version], line))); }

// Both versions are in one place and one of them is shown, with a radio button for each.
function player(sample, line) {
  const titles = versionWords(line), versions = isOne(sample) ? VERSIONS.slice(0, 1) : VERSIONS;
  return clipPlayer(versions.map((version, i) => ({ version, title: titles[i], ...sound(sample[version]) })), `prompt ${sample.index}`);
}

// -- what the classifier hears --------------------------------------------------------------

function labels(sample, line) {
  const share = (value) => (value < 0.001 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`);
  const bar = (value) => el("td", { class: "bar" }, el("span", { class: "share", "aria-hidden": "true" }, el("span", { style: `width: ${(100 * value).toFixed(1)}%` })), share(value));
  const versions = isOne(sample) ? VERSIONS.slice(0, 1) : VERSIONS, heads = versionWords(line).slice(0, versions.length);
  const rows = () => [["label", "concept", ...heads], ...sample.labels.map((label) => [label.name, label.concept, ...versions.map((version) => label[version])])];
  return el("figure", {}, el("figcaption", {}, `What ${line.classifier} (the classifier) hears`),
    el("table", { class: "numbers labels" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "word" }, "label"), ...heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, ...sample.labels.map((label) => el("tr", {},
        el("th", { scope: "row", class: label.concept ? "word concept" : "word" }, label.name + (label.concept ? ` (${label.concept})` : "")),
        ...versions.map((version) => bar(label[version])))))),
    csvButton(["labels", siteWords(line), `prompt ${sample.index}`], rows));
}
