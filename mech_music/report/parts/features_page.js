"use strict";
// One feature: what it is called, where it is loudest, when it fires, and what its direction says.
const ENDS = { strongest: "Strongest", median: "Median of those in which it fires", random: "Random clip" };

function section(id, heading, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-h` }, el("h2", { id: `${id}-h` }, heading), ...children.filter(Boolean));
}

async function drawFeature(set, feature) {
  const chunk = Math.floor(feature / ABOUT.chunk), [pages, clips] = await Promise.all([load(`${set.number}/${chunk}`), load(`${set.number}/clips`)]);
  if (location.hash !== addressOf(set, feature)) return; // the reader has gone on
  const page = pages[feature % ABOUT.chunk], best = conceptOf(set, feature);
  byId("feature").replaceChildren(
    head(set, feature, page, best), labelled(page), moments(set, page, clips), ...[steering(set, feature, page, clips)].filter(Boolean),
    section("when", "When it fires",
      el("p", { class: "note" }, `The share of the ${set.clips} held-out clips in which it fires at each step of generation. Beyond the thin line the last codebooks are filled up.`),
      stepChart(page.steps, set.frames, set.frame_rate)),
    section("words", "What is asked for when it fires",
      el("p", { class: "note" }, `The share of steps in which it fires in clips of prompts with each word: mean over prompts with its ${100 * ABOUT.level} % interval, not corrected for the number of words. The upright line is the mean of all ${set.prompts} prompts.${best ? ` Bold: the word that it tells best (${best}).` : ""}`),
      el("div", { class: "columns" }, ...wordBars(set, page.words, best))),
    el("div", { class: "halves" }, nearest(set, page), numbers(set, feature)), effects(set, page));
  document.body.dataset.feature = `${set.number}/${feature}`;
}

// -- its head -------------------------------------------------------------------------------

function step(set, feature, by, words) {
  const place = LISTED.findIndex(([one, i]) => one === set && i === feature), next = place < 0 ? null : LISTED[place + by];
  return next ? el("a", { href: addressOf(...next), rel: by < 0 ? "prev" : "next" }, words) : el("span", { class: "note" }, words);
}

function head(set, feature, page, best) {
  const { score, rate } = ABOUT.names, label = labelOf(set, feature);
  const facts = [
    set.dead.has(feature) ? el("b", {}, "Dead: it never fires on these clips.") : null,
    best ? el("span", {}, "tells ", el("b", {}, best), ` best (${columnWord(score)} ${told(set, score, feature)})`) : null,
    cell(set, rate, feature) === null ? null : el("span", {}, `${columnWord(rate)}: ${share(cell(set, rate, feature))} of clips`),
    el("span", {}, set.hook),
  ].filter(Boolean);
  return el("div", { class: "top" },
    el("nav", { "aria-label": "Features" }, el("a", { href: "#" }, "← All features"), step(set, feature, -1, "‹ previous"), step(set, feature, 1, "next ›")),
    el("h2", { class: "name", tabindex: "-1", id: "feature-h" }, label ? `${label} ` : `Feature ${feature} `, el("small", {}, label ? siteOf(set, feature) : `layer ${set.layer}`)),
    el("p", { class: "facts" }, ...facts));
}

function labelled(page) {
  if (!page.labels.length) return el("p", { class: "note" }, "No label: there was none for it in labels.csv when this browser was written.");
  const interval = (one) => (one.score === null || one.score === undefined ? "–" : `${figure(one.score)}${one.score_low === null || one.score_low === undefined ? "" : ` [${figure(one.score_low)}, ${figure(one.score_high)}]`}`);
  const rows = page.labels.map((one) => ({ cells: [el("span", {}, el("b", {}, String(one.label ?? "–")), one.description ? el("div", { class: "note" }, String(one.description)) : ""), String(one.labeller ?? "–"), figure(one.confidence), interval(one), figure(one.control), String(one.n_clips ?? "–")] }));
  return section("labels", "Labels", scrolling("Labels", "", table(["label", "by", "confidence", "held-out score", "control", "clips"], rows, 2)),
    el("p", { class: "note" }, "Held-out score: how well the label predicts on other clips where the feature fires, with its interval; control: the same of a label that is not its own."));
}

// -- moments --------------------------------------------------------------------------------

function moments(set, page, clips) {
  const groups = ABOUT.kinds.map((name, kind) => [name, page.moments.filter((one) => one.kind === kind)]).filter(([, some]) => some.length);
  if (!groups.length) return section("moments", "Moments", el("p", {}, "It fires in none of the clips."));
  const quiet = page.moments.some((one) => !clips.files[one.clip]) ? "Only the first features by score have sound (browser.features); of others the activation alone is drawn." : "";
  return section("moments", "Moments",
    el("p", { class: "note" }, `Held-out clips: the strongest ones, ones from the middle of those in which it fires, and random ones. The curve is its activation, on one scale for all (${figure(page.moments[0].trace.most)} at the top). ${quiet}`),
    ...groups.map(([name, some]) => el("div", { class: "group" }, el("h3", {}, `${ENDS[name]}${some.length > 1 && name !== "median" ? (name === "random" ? "s" : " clips") : ""}`), el("div", { class: "cards" }, ...some.map((one, i) => moment(set, one, clips, `${name} clip ${i + 1}`))))));
}

function moment(set, one, clips, what) {
  const values = unpacked(one.trace), file = clips.files[one.clip], most = one.trace.most;
  const seconds = (one.step + 0.5) / set.frame_rate, words = one.peak > 0 ? `peak ${figure(one.peak)} at ${seconds.toFixed(2)} s, fires in ${share(one.share)} of steps` : "does not fire";
  const card = el("div", { class: "card" }, el("p", { class: "prompt" }, clips.prompts[clips.prompt[one.clip]]),
    file ? clipPlayer([{ version: "original", title: words, audio: file.sound, image: file.image, ...file, over: overlay(values, most, set.frames) }], what, "metadata")
      : el("figure", {}, el("figcaption", {}, words), el("div", { class: "bare" }, overlay(values, most, set.frames))));
  if (file) inTime(card.querySelector(".pair"), set, values);
  return card;
}

// What the activation is at the moment that is heard; a press on the spectrogram goes there.
function inTime(pair, set, values) {
  const now = el("output", { class: "now", "aria-live": "off" }), audio = pair.querySelector("audio"), picture = pair.querySelector(".picture");
  pair.querySelector(".time").firstChild.after(now);
  pair.addEventListener("at", ({ detail }) => {
    const value = values[Math.min(Math.floor(detail * set.frame_rate), set.frames - 1)] ?? 0;
    now.textContent = `${detail.toFixed(2)} s: ${value > 0 ? figure(value) : "does not fire"}`;
  });
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    if (audio.duration) audio.currentTime = (audio.duration * (event.clientX - box.left)) / box.width;
  });
}

// -- steering -------------------------------------------------------------------------------

function steering(set, feature, page, clips) {
  if (!page.steered) return null;
  const { clip, versions } = page.steered, file = clips.files[clip];
  const all = [{ version: "original", title: "original", audio: file.sound, image: file.image, ...file }, ...versions.map((one) => ({ ...one, version: one.name, title: one.name, audio: one.sound }))];
  return section("steering", "Steered with it",
    el("p", { class: "note" }, "The same prompt and seed with the feature erased (all else kept), and with its direction added in the conditional half at strength α, in its largest activations. The versions change places at the same moment. One clip lets you hear it and proves nothing: whether a feature steers has to be measured on many prompts, beside random features."),
    el("p", { class: "prompt" }, clips.prompts[clips.prompt[clip]]), el("div", { class: "in-place" }, clipPlayer(all, `the clip steered with feature ${feature}`, "metadata")));
}

// -- its direction --------------------------------------------------------------------------

function nearest(set, page) {
  const rows = page.nearest.map((other, i) => ({ cells: [el("a", { href: addressOf(set, other) }, siteOf(set, other)), labelOf(set, other) ?? conceptOf(set, other) ?? "–", figure(page.cosine[i])] }));
  return section("nearest", "Nearest features", el("p", { class: "note" }, `By the cosine of decoder directions. Random directions come as near as ${figure(set.random_cosine)} to one.`),
    table(["feature", "label, or concept", "cosine"], rows, 2));
}

function numbers(set, feature) {
  const rows = Object.keys(set.columns).map((name) => ({ cells: [columnWord(name), told(set, name, feature)] }));
  return section("numbers", "All numbers", rows.length ? table(["of features.csv", ""], rows, 1) : el("p", { class: "note" }, "There was no features.csv."));
}

function effects(set, page) {
  const n = page.tokens[0].length / 2, cells = (tokens, effect, from) => el("span", { class: "tokens" }, ...tokens.slice(from, from + n).map((token, i) => el("span", {}, el("code", {}, String(token)), ` ${effect[from + i] > 0 ? "+" : ""}${figure(effect[from + i])}`)));
  const rows = page.tokens.map((tokens, codebook) => ({ cells: [`codebook ${codebook}`, cells(tokens, page.effect[codebook], 0), cells(tokens, page.effect[codebook], n), figure(set.random_effect[codebook])] }));
  return section("effects", "What its direction says to the heads",
    el("p", { class: "note" }, "Direct path only: the decoder direction alone through the final norm and each codebook's head, less what the heads say to nothing, in logits. The layers in between and the stream that it is added to are left out. Tokens are the codec's, without a meaning of their own. Random: the mean of the greatest one of random directions."),
    scrolling("Direct effect on logits", "", table(["", "raised most", "lowered most", "random"], rows, 1)));
}

// -- start ----------------------------------------------------------------------------------

let left = 0; // where the list was when a feature was opened

function go() {
  const found = featureAt(location.hash), list = byId("list"), article = byId("feature");
  if (found === undefined) return trouble(`There is no feature ${decodeURIComponent(location.hash.slice("#feature=".length)).replace(";", ", ")} here.`);
  byId("trouble").hidden = true;
  if (found && article.hidden) left = scrollY;
  for (const audio of document.querySelectorAll("audio")) audio.pause();
  [list.hidden, article.hidden] = [found !== null, found === null];
  document.body.classList.toggle("one", found !== null);
  if (found === null) {
    article.replaceChildren();
    delete document.body.dataset.feature;
    document.title = `${byId("title").textContent}: mech_music`;
    drawRows();
    return scrollTo({ top: left });
  }
  scrollTo({ top: 0 });
  document.title = `Feature ${found.feature}, ${found.set.hook}: mech_music`;
  drawFeature(found.set, found.feature).catch((error) => trouble(error.message));
}

function trouble(words) {
  [byId("trouble").textContent, byId("trouble").hidden] = [words, false];
}

function summarise() {
  const [first] = ABOUT.sets, n = ABOUT.sets.reduce((sum, set) => sum + set.features, 0);
  byId("summary").textContent = `${n.toLocaleString("en")} features of ${ABOUT.sets.length === 1 ? first.hook : `${ABOUT.sets.length} sparse autoencoders`}, on ${first.clips.toLocaleString("en")} held-out clips of ${first.prompts.toLocaleString("en")} prompts.`;
}

async function start() {
  ABOUT = await load("about");
  summarise();
  for (let number = 0; number < ABOUT.sets.length; number++) {
    arrange(number, await load(String(number)));
    if (number === 0) heads();
    drawAsked();
    drawList();
    document.body.dataset.ready = "yes"; // the first SAE's features are in the page, and soon on the screen
    if (number === 0) requestAnimationFrame(() => setTimeout(() => performance.mark("drawn")));
  }
  history.scrollRestoration = "manual";
  byId("asked").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("scroll", () => { if (!byId("list").hidden) drawRows(); }, { passive: true });
  addEventListener("resize", () => { if (!byId("list").hidden) drawRows(); });
  addEventListener("hashchange", go);
  if (location.hash) go();
  document.body.dataset.all = "yes";
}

start().catch((error) => trouble(`${error.message}: open index.html where its data/ folder is`));
