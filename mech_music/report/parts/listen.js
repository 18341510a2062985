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
let pairs = 0;
let lastPair = null;

function versionWords(line) { return VERSIONS.map((version) => capital(filled(VIEW.clips[version], line))); }

// Both versions are in one place and one of them is shown, with a radio button for each. A prompt with one clip has no choice.
function player(sample, line) {
  const titles = versionWords(line), name = `pair-${pairs += 1}`, versions = isOne(sample) ? VERSIONS.slice(0, 1) : VERSIONS;
  const node = el("figure", { class: "pair", "data-version": "before" },
    isOne(sample) ? el("figcaption", {}, titles[0]) : el("fieldset", { class: "versions" }, el("legend", { class: "unseen" }, `What plays of prompt ${sample.index}`),
      ...versions.map((version, i) => el("label", {}, el("input", { type: "radio", name, value: version, checked: i ? null : "", onchange: () => hear(node, version) }), titles[i])),
      el("span", { class: "note" }, "or press ", el("kbd", {}, "x"))),
    ...versions.map((version, i) => el("audio", { controls: "", preload: "auto", src: sound(sample[version]).audio, "data-version": version, hidden: i ? "" : null, "aria-label": `${titles[i]}, prompt ${sample.index}`, ontimeupdate: (event) => follow(node, event.target) })),
    el("div", { class: "mels" }, ...versions.map((version, i) => spectrogram(version, titles[i], sound(sample[version]), sample))));
  return node;
}

function playerOf(pair, version) { return pair.querySelector(`audio[data-version=${version}]`); }

// The other version from the same moment on: playing if the first was.
function hear(pair, version) {
  const from = playerOf(pair, pair.dataset.version), to = playerOf(pair, version);
  lastPair = pair;
  if (from === to) return;
  const [playing, focused] = [!from.paused, document.activeElement === from];
  from.pause();
  to.currentTime = Math.min(from.currentTime, to.duration || Infinity);
  [to.volume, to.muted, to.playbackRate] = [from.volume, from.muted, from.playbackRate];
  [to.hidden, from.hidden] = [false, true];
  pair.dataset.version = version;
  pair.querySelector(`input[value=${version}]`).checked = true;
  if (focused) to.focus();
  if (playing) to.play();
}

// The line on the spectrograms that goes with the sound.
function follow(pair, audio) {
  if (!audio.hidden) pair.style.setProperty("--at", audio.duration ? audio.currentTime / audio.duration : 0);
}

// One clip at a time: the one that was started last.
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
  lastPair = event.target.closest(".pair");
}, true);

// The key x changes versions of the pair that plays, else of the one with the focus, that was used last, or that is first.
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "x" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, textarea")) return;
  const there = [...document.querySelectorAll(".pair:has(.versions)")];
  const plays = (pair) => [...pair.querySelectorAll("audio")].some((audio) => !audio.paused);
  const pair = there.find(plays) ?? there.find((one) => one.contains(document.activeElement)) ?? there.find((one) => one === lastPair) ?? there[0];
  if (pair) hear(pair, VERSIONS.find((version) => version !== pair.dataset.version));
});

function spectrogram(version, title, clip, sample) {
  return el("div", { class: "mel", "data-version": version }, el("span", { class: "title" }, title),
    el("span", { class: "high" }, `${(clip.top_hz / 1000).toFixed(0)} kHz (mel)`), el("span", { class: "low" }, "0 Hz"),
    el("span", { class: "picture" }, el("img", { src: clip.image, alt: `Mel spectrogram. ${title}, prompt ${sample.index}.` }), el("i", { "aria-hidden": "true" })),
    el("span", { class: "time" }, el("span", {}, "0 s"), el("span", {}, `${+clip.seconds.toFixed(2)} s`)));
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
