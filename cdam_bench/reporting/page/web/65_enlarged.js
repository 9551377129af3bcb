// One map large: the picture, the map, both over each other, and its scores. Arrow keys go on, Escape closes.

const strength = { value: 55 }; // percent of the map over the picture

function enlarge(view, row, column) {
  if (!view.methods.length) return;
  const dialog = document.getElementById("enlarged");
  view.at = [row, column];
  fillEnlarged(view, dialog);
  if (!dialog.open) dialog.showModal();
  dialog.querySelector(".close").focus();
}

/** Listeners that the dialog has once, whatever it shows. */
function startEnlarged() {
  const dialog = document.getElementById("enlarged");
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (!steps[event.key] || event.target.matches("input, select")) return;
    event.preventDefault();
    stepEnlarged(dialog, ...steps[event.key]);
  });
  dialog.addEventListener("close", () => {
    const { view } = dialog;
    const box = document.querySelector("#gallery .wall");
    if (view && box) giveTabStop(view, box)?.focus();
  });
}

function stepEnlarged(dialog, down, right) {
  const { view } = dialog;
  const [row, column] = view.at;
  const columns = view.methods.length;
  const wrap = (value, count) => ((value % count) + count) % count;
  view.at = [wrap(row + down, view.images.length), wrap(Math.max(column, 1) - 1 + right, columns) + 1];
  fillEnlarged(view, dialog);
}

function fillEnlarged(view, dialog) {
  const { report, comparison, gallery } = view;
  const [row, column] = view.at;
  const entry = view.images[row];
  const id = view.methods[Math.max(column, 1) - 1];
  const target = entry.targets[view.target] ?? entry.targets[0];
  const map = entry.maps[id]?.[view.target];
  const name = comparison.images.names[entry.image];
  const held =
    document.activeElement && dialog.contains(document.activeElement) ? document.activeElement.dataset.hold : null;
  dialog.view = view;
  dialog.replaceChildren(
    el(
      "header",
      {},
      el("h2", { id: "enlarged-title" }, `${nameOf(report, id)}: ${target?.name ?? ""}`),
      el("button", { type: "button", class: "close", "data-hold": "close", onclick: () => dialog.close() }, "Close"),
    ),
    el(
      "p",
      { class: "small muted" },
      `Image ${name} (${row + 1} of ${view.images.length}); method ${view.methods.indexOf(id) + 1} of ${view.methods.length}`,
      entry.why.length ? `. Here as: ${entry.why.join("; ")}.` : ".",
    ),
    el(
      "div",
      { class: "large" },
      el(
        "figure",
        {},
        withOutlines(picture(entry.picture, `Image ${name}`, {}), entry.outline, target?.box, gallery),
        el("figcaption", {}, targetsOf(entry)),
      ),
      el("figure", {}, picture(map, `Map of ${nameOf(report, id)}`, { class: "pixels" }), el("figcaption", {}, "Map")),
      el("figure", {}, overlay(entry, map), el("figcaption", {}, strengthSlider(dialog))),
    ),
    enlargedControls(view, dialog, entry),
    enlargedScores(view, entry, id),
  );
  if (held) dialog.querySelector(`[data-hold="${held}"]`)?.focus();
}

function targetsOf(entry) {
  return entry.targets.map(({ name, value }) => [name, value].filter(Boolean).join(": ")).join("; ");
}

function overlay(entry, map) {
  const top = picture(map, "Map over the image", { class: "pixels over" });
  top.style.opacity = strength.value / 100;
  return el("span", { class: "stack" }, picture(entry.picture, "", {}), top);
}

function strengthSlider(dialog) {
  const input = el("input", {
    type: "range",
    min: "0",
    max: "100",
    value: String(strength.value),
    "data-hold": "strength",
  });
  input.addEventListener("input", () => {
    strength.value = Number(input.value);
    dialog.querySelector(".over").style.opacity = strength.value / 100;
  });
  return el("label", {}, "Overlay ", input);
}

function enlargedControls(view, dialog, entry) {
  const step = (hold, text, down, right) =>
    el("button", { type: "button", "data-hold": hold, onclick: () => stepEnlarged(dialog, down, right) }, text);
  const ofTarget = (at) => () => {
    view.target = at;
    fillEnlarged(view, dialog);
  };
  const targets = entry.targets.map(({ name }, at) =>
    el(
      "button",
      {
        type: "button",
        "data-hold": `target-${at}`,
        "aria-pressed": String(view.target === at),
        onclick: ofTarget(at),
      },
      name,
    ),
  );
  return el(
    "div",
    { class: "controls" },
    step("left", "← Method", 0, -1),
    step("right", "Method →", 0, 1),
    step("up", "↑ Image", -1, 0),
    step("down", "↓ Image", 1, 0),
    targets.length > 1 ? el("div", { class: "segmented", role: "group", "aria-label": "Target" }, targets) : null,
  );
}

/** The map's headline scores and its place among the methods on this image. */
function enlargedScores({ report, comparison, methods, target }, entry, id) {
  const names = comparison.headline_scores.filter((name) => comparison.scatter_scores.includes(name));
  const lines = names
    .map((name) => {
      const score = comparison.scores[name];
      const value = scoreOf(comparison, id, name, entry.image, target);
      if (value === null) return null;
      const sign = score.better === "low" ? -1 : 1;
      const all = methods
        .map((one) => scoreOf(comparison, one, name, entry.image, target))
        .filter((one) => one !== null);
      const place = all.filter((one) => sign * one > sign * value).length + 1;
      const rank = score.better ? `${place} of ${all.length}` : "–";
      return el(
        "tr",
        {},
        el("th", { scope: "row" }, rich(score.heading)),
        el("td", {}, number(value, score.decimals)),
        el("td", {}, rank),
      );
    })
    .filter(Boolean);
  if (!lines.length) return "";
  const head = el(
    "tr",
    {},
    ["Score", "On this image", "Place among the methods"].map((text) => el("th", { scope: "col" }, text)),
  );
  return scrolling(`Scores of ${nameOf(report, id)}`, el("table", {}, el("thead", {}, head), el("tbody", {}, lines)));
}
