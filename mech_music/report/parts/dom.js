"use strict";
// What pages are built of: elements, tables that scroll and can be taken away, words for numbers, colours.
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

function capital(text) { return text[0].toUpperCase() + text.slice(1); }
function isNumber(value) { return typeof value === "number" || /^\d+$/.test(value); }
function only(lines, axis) { return [...new Set(lines.map((line) => line[axis]))]; }

// The number of a measure in words; each page's MEASURES says how.
function written(name, value) {
  const { share, signed } = MEASURES[name];
  if (value === null || value === undefined) return "–";
  if (share) return `${Math.round(100 * value)} %`;
  const text = !signed ? value.toFixed(Math.abs(value) < 0.1 ? 3 : 2) : Math.abs(value) < 0.005 ? "0.00" : (value > 0 ? "+" : "") + value.toFixed(2);
  return text.replace("-", "−");
}

// -- tables ---------------------------------------------------------------------------------

function table(heads, rows, words, caption = null) {
  return el("table", { class: "numbers" }, caption ? el("caption", {}, caption) : null,
    el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i < words ? "word" : null }, head)))),
    el("tbody", {}, ...rows.map(({ cells, above }) => el("tr", { class: above ? "above" : null },
      ...cells.map((cell, i) => el(i < words ? "th" : "td", i < words ? { scope: "row", class: "word" } : {}, cell))))));
}

// A box that scrolls, with a shadow at each side on which there is more of it.
function edged(box) {
  const frame = el("div", { class: "edged" }, box);
  const look = () => {
    frame.classList.toggle("more-left", box.scrollLeft > 1);
    frame.classList.toggle("more-right", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  };
  const observer = new ResizeObserver(look);
  for (const node of [box, ...box.children]) observer.observe(node);
  box.addEventListener("scroll", look, { passive: true });
  return frame;
}

function scrolling(label, kind, ...children) {
  return edged(el("div", { class: `scroll ${kind}`, role: "region", "aria-label": label, tabindex: 0 }, ...children));
}

// -- tables as files ------------------------------------------------------------------------

function slug(text) { return text.replace(/[^\w+.]+/g, "-").replace(/^-|-$/g, ""); }

// RFC 4180: a field with a comma, a quotation mark or a line break stands in quotation marks, and those in it are doubled.
function csvText(rows) {
  const field = (value) => { const text = String(value ?? ""); return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
  return rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

// `what`: the words that tell the table, for the file's name. `make` gives the rows, heads first, when they are asked for.
function csvButton(what, make) {
  const save = () => {
    const url = URL.createObjectURL(new Blob([csvText(make())], { type: "text/csv;charset=utf-8" }));
    const page = document.title.replace(/: mech_music$/, "");
    el("a", { href: url, download: `${[page, ...what].map(slug).filter(Boolean).join("_")}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  return el("button", { type: "button", class: "csv", "aria-label": `Download as CSV: ${what.join(", ")}`, onclick: save }, "Download CSV");
}

// -- colours --------------------------------------------------------------------------------

function shade(scale, value) {
  const at = Math.min(1, Math.max(0, (value - scale.low) / (scale.high - scale.low))) * (scale.palette.length - 1);
  const [from, to] = [Math.floor(at), Math.ceil(at)].map((i) => [1, 3, 5].map((k) => parseInt(scale.palette[i].slice(k, k + 2), 16)));
  return from.map((part, k) => Math.round(part + (to[k] - part) * (at % 1)));
}

// Black or white, whichever stands out more (WCAG's relative luminance).
function inkOn(rgb) {
  const [r, g, b] = rgb.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}
