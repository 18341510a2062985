"use strict";
// The review: one pair after the other, heard and seen, decided by keys and saved at once.
const DATA = JSON.parse(byId("data").textContent);
const QUEUE = DATA.pairs, DECIDED = new Map(Object.entries(DATA.decided)), SERVED = DATA.reviewer !== null;
const DECISIONS = [["y", "positive", "Yes, it returns"], ["n", "negative", "No, other music"], ["a", "ambiguous", "Cannot be said"], ["r", "rejected", "Bad places"]];
let here = 0, since = Date.now(), busy = false;

// -- sounds and pictures: of the file itself, or of the server ---------------------------------

const loaded = new Map();

function load(one, kind, which) {
  const name = `${kind}/${which}`;
  if (one.media) return Promise.resolve(one.media[name]);
  const address = `media/${one.id}/${name}`;
  if (!loaded.has(address)) loaded.set(address, fetched(address).catch((error) => { loaded.delete(address); throw error; }));  // what failed is asked for again
  return loaded.get(address);
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status}`);
  return URL.createObjectURL(await answer.blob());
}

function all(one) { return Promise.all(["first", "second"].flatMap((which) => ["sound", "spectrogram", "pitches"].map((kind) => load(one, kind, which)))); }

// -- a pair -------------------------------------------------------------------------------------

function clock(seconds) { return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`; }
function shifted(n) { return n === 0 ? "in the same key" : `${Math.abs(n)} semitone${Math.abs(n) === 1 ? "" : "s"} ${n > 0 ? "higher" : "lower"}`; }

async function show(place) {
  here = Math.min(Math.max(place, 0), QUEUE.length - 1);
  const one = QUEUE[here];
  let parts;
  try { parts = await all(one); } catch (error) { return trouble(`This pair's sound cannot be had (${error.message}): is the server still running?`); }
  if (QUEUE[here] !== one) return;
  const words = { first: `First: ${clock(one.first[0])} to ${clock(one.first[1])}`, second: `Second: ${clock(one.second[0])} to ${clock(one.second[1])}` };
  const versions = ["first", "second"].map((version, i) => ({ version, title: words[version], audio: parts[3 * i], image: parts[3 * i + 1], seconds: one[version][1] - one[version][0], top_hz: one.top_hz }));
  const seen = ["first", "second"].map((version, i) => el("figure", {}, el("img", { src: parts[3 * i + 2], alt: `Pitch classes of the ${version} place, melody above harmony` })));
  byId("pair").replaceChildren(
    el("p", { class: "facts" }, `${one.recording}: the second place comes ${(one.second[0] - one.first[0]).toFixed(1)} s later; compared ${shifted(one.semitones)}. ${one.licence}, ${one.source}.`),
    clipPlayer(versions, "this pair"), el("div", { class: "pitches" }, ...seen),
    el("p", { class: "note" }, "Below: pitch classes, the melody above the harmony; the second place transposed back."));
  since = Date.now();
  told();
  if (here + 1 < QUEUE.length) all(QUEUE[here + 1]).catch(() => {});
}

function told() {
  const n = DECIDED.size, now = DECIDED.get(QUEUE[here].id);
  byId("progress").textContent = `Pair ${here + 1} of ${QUEUE.length}; ${n} decided${SERVED ? ` by ${DATA.reviewer}` : ""}${n === QUEUE.length ? ": all done" : ""}.`;
  byId("meter").style.width = `${100 * n / QUEUE.length}%`;
  for (const button of byId("decide").children) if (button.dataset.decision) button.setAttribute("aria-pressed", button.dataset.decision === now);
}

function trouble(text) { byId("trouble").textContent = text; byId("trouble").hidden = !text; }

// -- decisions: the server has them before the page goes on ------------------------------------

async function send(address, content) {
  if (!SERVED || busy) return null;
  busy = true;
  try {
    const answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
    if (!answer.ok) throw new Error(await answer.text());
    trouble("");
    return await answer.json();
  } catch (error) { trouble(`Not saved: ${error.message}`); return null; } finally { busy = false; }
}

async function decide(decision) {
  const one = QUEUE[here];
  if (!await send("decide", { pair: one.id, decision, seconds: (Date.now() - since) / 1000 })) return;
  DECIDED.set(one.id, decision);
  const next = undecided(here + 1);
  if (next === -1) told(); else show(next);
}

async function undo() {
  const answer = await send("undo", {});
  if (!answer || !answer.pair) return;
  DECIDED.delete(answer.pair);
  show(QUEUE.findIndex((one) => one.id === answer.pair));
}

function undecided(from) {
  for (let step = 0; step < QUEUE.length; step += 1) { const at = (from + step) % QUEUE.length; if (!DECIDED.has(QUEUE[at].id)) return at; }
  return -1;
}

// -- keys ----------------------------------------------------------------------------------------

function play(version, then = null) {
  const pair = document.querySelector(".pair"), audio = playerOf(pair, version);
  hear(pair, version);
  audio.currentTime = 0;
  audio.onended = then;
  audio.play();
}

const KEYS = {
  " ": () => { const pair = document.querySelector(".pair"), audio = playerOf(pair, pair.dataset.version); if (audio.paused) audio.play(); else audio.pause(); },
  1: () => play("first"), 2: () => play("second"), b: () => play("first", () => play("second")),
  u: undo, ArrowRight: () => show(here + 1), ArrowLeft: () => show(here - 1),
  ...Object.fromEntries(DECISIONS.map(([key, decision]) => [key, () => decide(decision)])),
};

addEventListener("keydown", (event) => {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || event.repeat || !document.querySelector(".pair")) return;
  event.preventDefault();
  act();
});

byId("decide").append(
  ...DECISIONS.map(([key, decision, text]) => el("button", { type: "button", "data-decision": decision, "aria-pressed": "false", disabled: SERVED ? null : "", onclick: () => decide(decision) }, `${text} `, el("kbd", {}, key))),
  ...(SERVED ? [el("button", { type: "button", onclick: undo }, "Undo ", el("kbd", {}, "u"))] : []));
byId("keys").append(...[["b", "both, one after the other"], ["1", "first"], ["2", "second"], ["space", "play or pause"], ["x", "change places at the same moment"], ["← →", "another pair"]].flatMap(([key, text]) => [el("kbd", {}, key), ` ${text}  `]));
show(Math.max(0, SERVED ? undecided(0) : 0)).then(() => { document.body.dataset.ready = "yes"; });
