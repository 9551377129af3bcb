// The gallery: a row per image, a column per method; Enter or a click enlarges.

const FIRST_ROWS = 12;

function showGallery(report, comparison) {
  const { gallery } = comparison;
  const body = bodyOf("gallery", gallery !== null && comparison.scatter_scores.length > 0);
  if (body.parentElement.hidden) return;
  const view = { report, comparison, gallery, rows: FIRST_ROWS, at: [0, 0] };
  const how =
    gallery.shown < gallery.of
      ? `${gallery.shown} of ${gallery.of} images. ${gallery.how}`
      : `All ${gallery.of} images. ${gallery.how}`;
  const box = el("div", {
    class: "scroll wall",
    role: "region",
    "aria-label": "Maps, a row per image and a column per method",
  });
  const more = el("button", { type: "button", onclick: () => showRows(view, box, more, Infinity) });
  box.addEventListener("keydown", (event) => moveInGallery(view, box, event));
  fill(
    body,
    el("p", { class: "small muted" }, how),
    galleryControls(report, comparison),
    el(
      "p",
      { class: "small muted only-on-screen" },
      "Click or press Enter on a map to enlarge it; arrow keys move between maps.",
    ),
    galleryScales(gallery),
    box,
    el("p", {}, more),
    gallery.untold.length
      ? el(
          "details",
          { class: "small" },
          el("summary", {}, "Methods without maps here"),
          el(
            "ul",
            {},
            gallery.untold.map(({ estimator, why }) => el("li", {}, nameOf(report, estimator), ": ", why)),
          ),
        )
      : "",
  );
  const redraw = () => showRows(view, box, more, view.rows);
  onState(["off", "sort", "by", "of", "against", "target"], redraw);
  redraw();
}

/** The scores to choose from: the headline ones, then all others. */
function scoreOptions(comparison) {
  const option = (name) => [name, comparison.scores[name].heading];
  const others = comparison.scatter_scores.filter((name) => !comparison.headline_scores.includes(name));
  const headlines = comparison.headline_scores.filter((name) => comparison.scatter_scores.includes(name));
  return [
    ["Headline", headlines.map(option)],
    ["Others", others.map(option)],
  ].filter(([, options]) => options.length);
}

function methodOptions(report, comparison) {
  return report.families
    .map((family) => [
      family.name,
      family.estimators.filter((id) => comparison.estimators.includes(id)).map((id) => [id, nameOf(report, id)]),
    ])
    .filter(([, options]) => options.length);
}

const ORDERS = [
  ["chosen", "as chosen"],
  ["worst", "worst first"],
  ["best", "best first"],
  ["disagreement", "largest disagreement"],
];

function galleryControls(report, comparison) {
  const [first, second] = defaultPair(comparison);
  const against = selection("and", "against", methodOptions(report, comparison), second);
  const names = comparison.gallery.images.reduce((most, { targets }) => Math.max(most, targets.length), 0);
  const targets = Array.from({ length: names }, (_, at) => [
    String(at),
    ["First target", "Second target"][at] ?? `Target ${at + 1}`,
  ]);
  const method = selection("of", "of", methodOptions(report, comparison), first);
  const show = () => {
    const order = chosen(
      "sort",
      ORDERS.map(([value]) => value),
      "chosen",
    );
    against.hidden = order !== "disagreement";
    method.hidden = order === "chosen";
  };
  onState(["sort"], show);
  show();
  return el(
    "div",
    { class: "controls" },
    selection("Score under the maps", "by", scoreOptions(comparison), defaultScore(comparison)),
    selection("Order", "sort", ORDERS, "chosen"),
    method,
    against,
    targets.length > 1 ? segments("Target of the maps", "target", targets, "0") : null,
  );
}

function defaultScore(comparison) {
  return (
    comparison.headline_scores.find((name) => comparison.scatter_scores.includes(name)) ?? comparison.scatter_scores[0]
  );
}

/** The best method of the first ranking, and the first of the table that is another. */
function defaultPair(comparison) {
  const first = comparison.rankings[0]?.best ?? comparison.estimators[0];
  return [first, comparison.estimators.find((id) => id !== first) ?? first];
}

function galleryScales(gallery) {
  return el(
    "div",
    { class: "scales small" },
    gallery.scales.map(({ ends, uri }) =>
      el(
        "span",
        {},
        el("span", { class: "muted" }, ends[0]),
        picture(uri, `colours from ${ends.join(" to ")}`, { class: "ramp" }),
        el("span", { class: "muted" }, ends.at(-1)),
      ),
    ),
  );
}

/** Value of a score on an image; of the second target it goes by the name `other_…`. */
function scoreOf(comparison, id, score, image, target) {
  const own = comparison.images.scores[id] ?? {};
  const name = target === 0 ? score : target === 1 ? `other_${score}` : null;
  return own[name]?.[image] ?? null;
}

function galleryTarget() {
  return Number(state.get("target") || 0);
}

/** The gallery's images in the order that is chosen; those without a value stand last. */
function orderedImages(comparison) {
  const { images } = comparison.gallery;
  const order = chosen(
    "sort",
    ORDERS.map(([value]) => value),
    "chosen",
  );
  if (order === "chosen") return images;
  const [first, second] = defaultPair(comparison);
  const method = chosen("of", comparison.estimators, first);
  const against = chosen("against", comparison.estimators, second);
  const score = chosen("by", comparison.scatter_scores, defaultScore(comparison));
  const value = ({ image }, id) => scoreOf(comparison, id, score, image, galleryTarget());
  const sign = comparison.scores[score].better === "low" ? -1 : 1;
  const key = (entry) => {
    const own = value(entry, method);
    if (own === null) return null;
    if (order === "best") return -sign * own;
    if (order === "worst") return sign * own;
    const other = value(entry, against);
    return other === null ? null : -Math.abs(own - other);
  };
  return images
    .map((entry) => [entry, key(entry)])
    .sort(([, one], [, other]) => (one === null || other === null ? (one === null) - (other === null) : one - other))
    .map(([entry]) => entry);
}

/** Draw the rows anew. */
function showRows(view, box, more, count) {
  const { report, comparison, gallery } = view;
  view.rows = count;
  view.images = orderedImages(comparison);
  view.methods = shownMethods(comparison.estimators).filter((id) => gallery.images.some((entry) => entry.maps[id]));
  view.target = galleryTarget();
  view.score = chosen("by", comparison.scatter_scores, defaultScore(comparison));
  view.at = [Math.min(view.at[0], view.images.length - 1), Math.min(view.at[1], view.methods.length)];
  const heads = view.methods.map((id) =>
    el("th", { scope: "col", "data-method": id }, el("span", {}, nameOf(report, id))),
  );
  const rows = view.images.slice(0, count).map((entry, row) => galleryRow(view, entry, row));
  const table = el(
    "table",
    { class: "gallery" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Image"), heads)),
    el("tbody", {}, rows),
  );
  box.replaceChildren(table);
  more.hidden = view.images.length <= count;
  more.textContent = `Show all ${view.images.length} images`;
  giveTabStop(view, box);
}

function galleryRow(view, entry, row) {
  const { comparison, gallery } = view;
  const { names } = comparison.images;
  const name = names[entry.image];
  const target = entry.targets[view.target];
  const open = (column) => () => enlarge(view, row, column);
  const first = el(
    "button",
    {
      type: "button",
      class: "map",
      "data-at": `${row},0`,
      tabindex: "-1",
      onclick: open(0),
      "aria-label": `Image ${name}`,
    },
    withOutlines(picture(entry.picture, "", {}), entry.outline, target?.box, gallery),
  );
  const about = el(
    "div",
    { class: "about" },
    el("strong", {}, entry.targets.map((one) => one.name).join(", ")),
    el("span", { class: "muted name" }, name),
    entry.why.length ? el("span", { class: "muted why", title: entry.why.join("; ") }, rich(entry.why.join("; "))) : null,
  );
  return el(
    "tr",
    { class: "case", "data-image": name },
    el("th", { scope: "row" }, el("div", { class: "who" }, first, about)),
    view.methods.map((id, column) => mapCell(view, entry, id, row, column + 1)),
  );
}

function mapCell(view, entry, id, row, column) {
  const { report, comparison } = view;
  const map = entry.maps[id]?.[view.target];
  const score = comparison.scores[view.score];
  const value = number(scoreOf(comparison, id, view.score, entry.image, view.target), score.decimals);
  const label = `${nameOf(report, id)}, ${entry.targets[view.target]?.name ?? ""}: ${score.label} ${value}`;
  const button = el(
    "button",
    {
      type: "button",
      class: "map",
      "data-at": `${row},${column}`,
      tabindex: "-1",
      "aria-label": label,
      onclick: () => enlarge(view, row, column),
    },
    picture(map, "", { class: "pixels" }),
  );
  return el(
    "td",
    { "data-method": id },
    el("span", { class: "only-in-print" }, nameOf(report, id)),
    button,
    el("span", { class: "value" }, value),
  );
}

/** A picture with the outline of objects and the target's box over it. */
function withOutlines(image, outline, box, { width, height }) {
  const stack = el("span", { class: "stack" }, image);
  if (outline) stack.append(picture(outline, "", { class: "outline" }));
  if (box) {
    const [top, left, bottom, right] = box;
    const frame = el("span", { class: "box" });
    const place = {
      left: left / width,
      top: top / height,
      width: (right - left) / width,
      height: (bottom - top) / height,
    };
    for (const [side, share] of Object.entries(place)) frame.style[side] = `${100 * share}%`;
    stack.append(frame);
  }
  return stack;
}

/** One map takes part in the tab order: the one where the reader was. */
function giveTabStop(view, box) {
  box.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
  const button = box.querySelector(`[data-at="${view.at.join(",")}"]`);
  button?.setAttribute("tabindex", "0");
  return button;
}

function moveInGallery(view, box, event) {
  const steps = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    Home: [0, -Infinity],
    End: [0, Infinity],
  };
  const at = event.target.dataset?.at;
  if (!steps[event.key] || !at) return;
  const [row, column] = at.split(",").map(Number);
  const [down, right] = steps[event.key];
  event.preventDefault();
  const last = Math.min(view.rows, view.images.length) - 1;
  view.at = [Math.max(0, Math.min(last, row + down)), Math.max(0, Math.min(view.methods.length, column + right))];
  giveTabStop(view, box)?.focus();
}
