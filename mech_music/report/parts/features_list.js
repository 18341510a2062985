"use strict";
// All features as a list: searched, filtered and sorted at once, drawn only as far as they are on the screen.
const ASKED = { text: "", layer: "", word: "", show: "alive", sort: "score" };
let LISTED = [];

const FILTERS = {
  alive: ["that fire", (set, feature) => !set.dead.has(feature)],
  all: ["all", () => true],
  dead: ["dead: never fire on these clips", (set, feature) => set.dead.has(feature)],
  heard: ["with sound", (set, feature) => set.heard.has(feature)],
  steered: ["steered with", (set, feature) => set.steered.has(feature)],
  labelled: ["with a label", (set, feature) => set.labels[feature] !== undefined],
};

// Everything that is searched, in one string a feature; made with the first search.
function searched(set) {
  set.texts ??= Array.from({ length: set.features }, (_, feature) =>
    [set.searched[feature] ?? labelOf(set, feature), ...Object.keys(set.columns).filter((name) => set.columns[name].kind === "word").map((name) => cell(set, name, feature)), set.hook, `layer ${set.layer}`].filter(Boolean).join("\n").toLowerCase());
  return set.texts;
}

// Every word has to be there; a number is a feature's, or part of its label.
function finds(set, words) {
  if (!words.length) return () => true;
  const texts = searched(set);
  return (feature) => words.every((word) => texts[feature].includes(word) || word === String(feature));
}

function select() {
  const words = ASKED.text.toLowerCase().split(/\s+/).filter(Boolean), chosen = [];
  for (const set of SETS) {
    if (!set || (ASKED.layer && set.hook !== ASKED.layer)) continue;
    const found = finds(set, words), shows = FILTERS[ASKED.show]?.[1] ?? ((one, feature) => cell(one, ASKED.show, feature) === 1);
    for (const feature of set.rank) if (shows(set, feature) && (!ASKED.word || conceptOf(set, feature) === ASKED.word) && found(feature)) chosen.push([set, feature]);
  }
  LISTED = sorted(chosen);
}

// Places of rank are by score already; numbers go down, what has none comes last.
function sorted(chosen) {
  if (ASKED.sort === "score") return SETS.length > 1 ? chosen.sort(([a, i], [b, j]) => a.place.get(i) / a.features - b.place.get(j) / b.features) : chosen;
  if (ASKED.sort === "number") return chosen.sort(([a, i], [b, j]) => a.number - b.number || i - j);
  const value = ASKED.sort === "label" ? ([set, feature]) => set.labels[feature]?.[1] ?? null : ([set, feature]) => cell(set, ASKED.sort, feature);
  return chosen.map((one) => [one, value(one) ?? -Infinity]).sort((a, b) => b[1] - a[1]).map(([one]) => one);
}

// -- what is asked --------------------------------------------------------------------------

function choice(name, label, options) {
  return el("label", {}, label, el("select", { id: `asked-${name}`, onchange: (event) => ask(name, event.target.value) },
    ...options.map(([value, words]) => el("option", { value, selected: value === ASKED[name] ? "" : null }, words))));
}

function ask(name, value) {
  ASKED[name] = value;
  drawList();
  scrollTo({ top: 0 });
}

function drawAsked() {
  const words = [...new Set(SETS.flatMap((set) => set.columns[ABOUT.names.word]?.words ?? []))].sort();
  const shows = Object.entries(FILTERS).filter(([name, [, shows]]) => ["alive", "all", "dead"].includes(name) || SETS.some((set) => set.rank.some((feature) => shows(set, feature)))).map(([name, [told]]) => [name, told]);
  const numbers = columnNames("number").filter((name) => !/_(low|high)$/.test(name)).map((name) => [name, columnWord(name)]), scored = SETS.some((set) => Object.keys(set.labels).length);
  byId("asked").replaceChildren(
    el("label", { class: "wide" }, "Search", el("input", { type: "search", id: "asked-text", value: ASKED.text, placeholder: "label, concept, number", autocomplete: "off", oninput: (event) => ask("text", event.target.value) })),
    ...(SETS.length > 1 ? [choice("layer", "Layer", [["", "all"], ...SETS.map((set) => [set.hook, `${set.layer}: ${set.hook}`])])] : []),
    ...(words.length ? [choice("word", "Concept", [["", "any"], ...words.map((word) => [word, word])])] : []),
    choice("show", "Show", [...shows, ...columnNames("flag").map((name) => [name, columnWord(name)])]),
    choice("sort", "Sort by", [["score", scored ? "label's score, then AUROC" : columnWord(ABOUT.names.score)], ["number", "number"], ...(scored ? [["label", "label's score"]] : []), ...numbers.filter(([name]) => scored || name !== ABOUT.names.score)]));
}

// -- rows -----------------------------------------------------------------------------------

let drawn = new Map();

function heads() {
  const { score } = ABOUT.names;
  document.body.classList.toggle("unlabelled", !SETS.some((set) => Object.keys(set.labels).length));
  byId("heads").replaceChildren(...["feature", "label", "concept it tells best", columnWord(score), "fires in", "sound"].map((word) => el("span", {}, word)));
}

function row(place) {
  const [set, feature] = LISTED[place], { score, rate } = ABOUT.names, label = labelOf(set, feature), dead = set.dead.has(feature);
  const often = cell(set, rate, feature), marks = [set.heard.has(feature) ? "♪" : "", set.steered.has(feature) ? "±" : ""].join(" ").trim();
  return el("a", { class: dead ? "row dead" : "row", role: "listitem", href: addressOf(set, feature), "aria-posinset": place + 1, "aria-setsize": LISTED.length, style: `top: calc(${place} * var(--row))` },
    el("span", { class: "site" }, siteOf(set, feature)),
    el("span", { class: label ? "label" : "label none" }, label ?? (dead ? "dead" : "no label"), label && set.labels[feature][1] !== null ? el("span", { class: "interval" }, ` ${figure(set.labels[feature][1])}`) : null),
    el("span", { class: "concept" }, conceptOf(set, feature) ?? "–"),
    el("span", { class: "score" }, told(set, score, feature)),
    el("span", { class: "often" }, el("span", { class: "share", "aria-hidden": "true" }, el("span", { style: `width: ${100 * (often ?? 0)}%` })), share(often)),
    el("span", { class: "marks" }, marks, marks ? el("span", { class: "unseen" }, " has sound") : null));
}

// The rows on the screen and a few around them; the rest of the list is empty space.
function drawRows() {
  const box = byId("rows"), { top, height: whole } = box.getBoundingClientRect(), height = whole / LISTED.length || 1;
  const from = Math.max(0, Math.floor(-top / height) - 8), to = Math.min(LISTED.length, Math.ceil((innerHeight - top) / height) + 8), next = new Map();
  for (let place = from; place < to; place++) next.set(place, drawn.get(place) ?? box.appendChild(row(place)));
  for (const [place, node] of drawn) if (!next.has(place)) node.remove();
  drawn = next;
}

function drawList() {
  select();
  const all = SETS.reduce((sum, set) => sum + set.features, 0);
  byId("count").textContent = `${LISTED.length.toLocaleString("en")} of ${all.toLocaleString("en")} features. ♪ has sound, ± steered with.`;
  byId("rows").replaceChildren();
  byId("rows").style.height = `calc(${LISTED.length} * var(--row))`;
  drawn = new Map();
  drawRows();
}
