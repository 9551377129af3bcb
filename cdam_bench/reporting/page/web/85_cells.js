// What was run: settings and versions of every cell, and the notes.

function showCells(report, comparison) {
  const body = bodyOf("cells", comparison.cells.length > 0);
  const heading = ["Method", "Images", "Seconds", "A map (s)", "Device", "Started", "Settings"];
  const isText = (at) => at === 0 || at > 3;
  const head = el(
    "tr",
    {},
    heading.map((text, at) => el("th", { scope: "col", class: isText(at) ? "text" : null }, text)),
  );
  const rows = comparison.cells.map((cell) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, nameOf(report, cell.estimator)),
      el("td", {}, cell.images),
      el("td", {}, brief(cell.seconds)),
      el("td", {}, brief(cell.explaining)),
      el("td", { class: "text" }, cell.device),
      el("td", { class: "text" }, cell.started),
      el("td", { class: "text" }, cellDetails(cell)),
    ),
  );
  fill(
    body,
    el("details", {}, el("summary", {}, "Settings that all cells share"), settingsList(comparison.settings)),
    versionsShared(report, comparison),
    scrolling("Cells", el("table", { class: "ruled sticky" }, el("thead", {}, head), el("tbody", {}, rows))),
    el(
      "p",
      { class: "small muted" },
      "Seconds: of the chunks, with what they shared through the store; who comes first computes it for all. ",
      "A map (s): seconds that one image’s maps took.",
    ),
  );
}

function cellDetails(cell) {
  return el(
    "details",
    {},
    el("summary", {}, el("code", {}, cell.digest)),
    settingsList(cell.settings),
    settingsList(cell.versions),
  );
}

function settingsList(settings) {
  const entries = Object.entries(settings);
  if (!entries.length) return el("p", { class: "small muted" }, "None but the defaults.");
  return el(
    "dl",
    { class: "settings small" },
    entries.map(([key, value]) => el("div", {}, el("dt", {}, el("code", {}, key)), el("dd", {}, String(value)))),
  );
}

/** Versions once if they are all the same, else who has which. */
function versionsShared(report, comparison) {
  const groups = new Map();
  for (const { estimator, versions } of comparison.cells) {
    const text = Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ");
    groups.set(text, [...(groups.get(text) ?? []), nameOf(report, estimator)]);
  }
  const lines = [...groups].map(([text, names]) => el("li", {}, groups.size > 1 ? `${names.join(", ")}: ` : "", text));
  return el(
    "details",
    {},
    el("summary", {}, groups.size > 1 ? "Versions: not the same for all cells" : "Versions, the same for all cells"),
    el("ul", { class: "small" }, lines),
  );
}

const KINDS = {
  weights: "Weights",
  partial: "Not finished",
  few: "Few images",
  undefined: "Undefined scores",
  remaining: "What remains of the logit",
  paper: "The paper",
  choices: "Where the paper is silent",
  images: "Images",
};

function showNotes(_report, comparison) {
  const body = bodyOf("notes", comparison.notes.length > 0);
  const groups = new Map();
  for (const { kind, text } of comparison.notes) groups.set(kind, [...(groups.get(kind) ?? []), text]);
  fill(
    body,
    el(
      "dl",
      { class: "notes" },
      [...groups].map(([kind, texts]) =>
        el(
          "div",
          {},
          el("dt", {}, KINDS[kind] ?? capital(kind)),
          el(
            "dd",
            {},
            texts.map((text) => el("p", { class: "wide" }, rich(text))),
          ),
        ),
      ),
    ),
  );
}
