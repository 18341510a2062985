"use strict";
// One player in which the versions of a clip change places at the same moment, with their spectrograms.
let pairs = 0;
let lastPair = null;

// `versions`: { version, title, audio, image, seconds, top_hz, over (drawn over the spectrogram, or null) }; `what`: whose clip.
// A clip with one version has no choice. `preload`: how much is read before it is played.
function clipPlayer(versions, what, preload = "auto") {
  const name = `pair-${pairs += 1}`, one = versions.length === 1;
  const node = el("figure", { class: "pair", "data-version": versions[0].version },
    one ? el("figcaption", {}, versions[0].title) : el("fieldset", { class: "versions" }, el("legend", { class: "unseen" }, `What plays of ${what}`),
      ...versions.map(({ version, title }, i) => el("label", {}, el("input", { type: "radio", name, value: version, checked: i ? null : "", onchange: () => hear(node, version) }), title)),
      el("span", { class: "note" }, "or press ", el("kbd", {}, "x"))),
    ...versions.map(({ version, title, audio }, i) => el("audio", { controls: "", preload, src: audio, "data-version": version, hidden: i ? "" : null, "aria-label": `${title}, ${what}`,
      ontimeupdate: (event) => follow(node, event.target), onseeking: (event) => follow(node, event.target), onplay: (event) => keepUp(node, event.target) })),
    el("div", { class: "mels" }, ...versions.map((version, i) => spectrogram(version, what, !i))));
  return node;
}

function playerOf(pair, version) { return [...pair.querySelectorAll("audio")].find((audio) => audio.dataset.version === version); }

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
  for (const mel of pair.querySelectorAll(".mel")) mel.classList.toggle("current", mel.dataset.version === version);
  for (const input of pair.querySelectorAll(".versions input")) input.checked = input.value === version;
  if (focused) to.focus();
  if (playing) to.play();
}

// The line on the spectrograms that goes with the sound; whoever draws over them is told.
function follow(pair, audio) {
  if (audio.hidden) return;
  const at = audio.duration ? audio.currentTime / audio.duration : 0;
  pair.style.setProperty("--at", at);
  pair.dispatchEvent(new CustomEvent("at", { detail: audio.currentTime }));
}

// While it plays, with every frame of the screen and not only a few times a second.
function keepUp(pair, audio) {
  if (audio.paused) return;
  follow(pair, audio);
  requestAnimationFrame(() => keepUp(pair, audio));
}

// One clip at a time: the one that was started last.
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
  lastPair = event.target.closest(".pair");
}, true);

// The key x goes on to the next version of the pair that plays, else of the one with the focus, that was used last, or that is first.
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "x" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, textarea, input:not([type=radio])")) return;
  const there = [...document.querySelectorAll(".pair:has(.versions)")];
  const plays = (pair) => [...pair.querySelectorAll("audio")].some((audio) => !audio.paused);
  const pair = there.find(plays) ?? there.find((one) => one.contains(document.activeElement)) ?? there.find((one) => one === lastPair) ?? there[0];
  if (!pair) return;
  const versions = [...pair.querySelectorAll("audio")].map((audio) => audio.dataset.version);
  hear(pair, versions[(versions.indexOf(pair.dataset.version) + 1) % versions.length]);
});

function spectrogram({ version, title, image, seconds, top_hz, over }, what, current) {
  return el("div", { class: current ? "mel current" : "mel", "data-version": version }, el("span", { class: "title" }, title),
    el("span", { class: "high" }, `${(top_hz / 1000).toFixed(0)} kHz (mel)`), el("span", { class: "low" }, "0 Hz"),
    el("span", { class: "picture" }, el("img", { src: image, alt: `Mel spectrogram. ${title}, ${what}.` }), over ?? null, el("i", { "aria-hidden": "true" })),
    el("span", { class: "time" }, el("span", {}, "0 s"), el("span", {}, `${+seconds.toFixed(2)} s`)));
}
