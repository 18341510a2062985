"use strict";
// The address of a cell, #cell=component:ca;layer:4: the heat map's axes, and those in which this page's cells differ.
const ADDRESS = [...new Set([VIEW.heat.down, VIEW.heat.across, ...DATA.axes.filter((axis) => only(LINES, axis).length > 1)])];

function addressOf(line) {
  const word = (value) => encodeURIComponent(value).replaceAll("%2B", "+");
  return `#cell=${ADDRESS.map((axis) => `${axis}:${word(line[axis])}`).join(";")}`;
}

// The first line that agrees with all that the address says; undefined if there is none, or if it is no cell's.
function lineAt(address) {
  const said = isCell(address) ? address.slice("#cell=".length).split(";") : [];
  const parts = said.map((part) => [part.slice(0, part.indexOf(":")), unescaped(part.slice(part.indexOf(":") + 1))]);
  return parts.length ? LINES.find((line) => parts.every(([axis, value]) => DATA.axes.includes(axis) && String(line[axis]) === value)) : undefined;
}

function isCell(address) { return address.startsWith("#cell="); }

function unescaped(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// Into the location and the history: the browser's back and forward go from cell to cell.
function record(line) {
  if (location.hash !== addressOf(line)) location.hash = addressOf(line);
}

// `follow` is called with the line of each address that the reader goes to; the first cell's is the page's own.
function onAddress(first, follow) {
  addEventListener("hashchange", () => {
    const line = location.hash ? lineAt(location.hash) : first;
    if (line || isCell(location.hash)) follow(line);
  });
}
