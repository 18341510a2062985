"use strict";
// Data in files beside the page: each is a script that hands over one piece, so that a page from a disk may read it.
const PIECES = new Map();

function receive(name, value) { PIECES.get(name).arrived(value); }

// A piece by its name, read once; rejected where its file is not there.
function load(name) {
  if (!PIECES.has(name)) {
    let arrived, failed;
    const promise = new Promise((done, refused) => { [arrived, failed] = [done, refused]; });
    PIECES.set(name, { promise, arrived });
    document.head.append(el("script", { src: `data/${name}.js`, onerror: () => failed(new Error(`data/${name}.js is not in this folder`)) }));
  }
  return PIECES.get(name).promise;
}

// -- features -------------------------------------------------------------------------------

let ABOUT = null;
// Of each SAE what is told of it (hook, layer, …) and its list: columns, labels, which are dead, which are heard.
const SETS = [];

function arrange(number, list) {
  const set = { ...ABOUT.sets[number], ...list, number };
  for (const name of ["dead", "heard", "steered"]) set[name] = new Set(set[name]);
  set.place = new Map(set.rank.map((feature, place) => [feature, place]));
  SETS[number] = set;
}

function cell(set, name, feature) {
  const column = set.columns[name];
  if (!column) return null;
  const value = column.values[feature];
  return column.kind === "word" ? (value < 0 ? null : column.words[value]) : value;
}

function labelOf(set, feature) { return set.labels[feature]?.[0] ?? null; }
function conceptOf(set, feature) { return cell(set, ABOUT.names.word, feature); }
function columnNames(kind) { return [...new Set(SETS.flatMap((set) => Object.keys(set.columns).filter((name) => set.columns[name].kind === kind)))]; }

// -- words ----------------------------------------------------------------------------------

const ABBREVIATIONS = { auroc: "AUROC", fvu: "FVU", f1: "F1", kl: "KL" };
function columnWord(name) { return name.split("_").map((word) => ABBREVIATIONS[word] ?? word).join(" "); }
function siteOf(set, feature) { return `layer ${set.layer} · ${feature}`; }

function figure(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value), text = size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 0.095 ? value.toFixed(2) : value === 0 ? "0" : String(+value.toPrecision(2));
  return text.replace("-", "−");
}

function share(value) { return value === null || value === undefined ? "–" : value > 0 && value < 0.001 ? "< 0.1 %" : `${+(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`; }
function isShare(name) { return name.startsWith("fires") || name.startsWith("share") || name === ABOUT.names.rate; }
function told(set, name, feature) {
  const value = cell(set, name, feature), column = set.columns[name];
  if (value === null || !column) return "–";
  return column.kind === "flag" ? ["no", "yes"][value] : column.whole ? String(value) : isShare(name) ? share(value) : figure(value);
}

// -- addresses ------------------------------------------------------------------------------

function addressOf(set, feature) { return `#feature=${encodeURIComponent(set.hook)};${feature}`; }

// The feature that an address names: null for none, undefined for one that is not here.
function featureAt(address) {
  if (!address.startsWith("#feature=")) return null;
  const [hook, number] = address.slice("#feature=".length).split(";"), set = SETS.find((one) => encodeURIComponent(one.hook) === hook || one.hook === hook);
  return set && /^\d+$/.test(number) && Number(number) < set.features ? { set, feature: Number(number) } : undefined;
}
