// Curves of the metrics: a line per method, its band of the 95 % interval, values under the pointer.

const FEW_LINES = 5; // up to so many bands can be seen at once

function showCurves(report, comparison) {
  const body = bodyOf("curves", comparison.curves.length > 0);
  if (!comparison.curves.length) return;
  const figures = el("div", { class: "curves" });
  const titles = comparison.curves.map((curve) => [curve.name, curve.title]);
  const maps = comparison.curves.find((curve) => curve.maps.length > 1)?.maps;
  const words = maps ? maps.map((text, at) => [String(at), capital(text)]) : [];
  const controls = el(
    "div",
    { class: "controls" },
    titles.length > 1 ? selection("Curves", "curves", [["all", "All"], ...titles], "all") : null,
    words.length ? segments("Whose map ranks the pixels", "map", words, "0") : null,
  );
  const redraw = () => {
    const which = chosen(
      "curves",
      titles.map(([name]) => name),
      "all",
    );
    const shown = comparison.curves.filter((curve) => which === "all" || curve.name === which);
    figures.replaceChildren(...shown.map((curve) => curveFigure(report, comparison, curve)));
  };
  fill(
    body,
    el(
      "p",
      { class: "small muted only-on-screen" },
      "Point at a line to read its values and see its interval; tick methods or whole families on and off.",
    ),
    controls,
    el(
      "div",
      { class: "with-picker" },
      figures,
      el("aside", { class: "only-on-screen", "aria-label": "Methods shown" }, methodPicker(report, comparison)),
    ),
  );
  onState(["off", "map", "curves"], redraw);
  redraw();
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function curveFigure(report, comparison, curve) {
  const ids = shownMethods(comparison.estimators).filter((id) => curve.bands[id]);
  const map = Math.min(
    Number(
      chosen(
        "map",
        curve.maps.map((_, at) => String(at)),
        "0",
      ),
    ),
    curve.maps.length - 1,
  );
  const rows = curve.panels.map((_, panel) => curveRows(report, curve, ids, map, panel));
  const domain = extent(rows.flat(), ids.length <= FEW_LINES);
  const panels = curve.panels.map((title, at) => {
    const place = el("div", { class: "canvas" });
    if (ids.length) draw(place, curveSpec(report, curve, ids, rows[at], domain, at === 0));
    return el("div", { class: "panel" }, title ? el("h4", {}, title) : null, place);
  });
  return el(
    "figure",
    { "data-curve": curve.name },
    el(
      "h3",
      {},
      capital(curve.title),
      curve.maps.length > 1 ? el("span", { class: "muted" }, ` – ${curve.maps[map]}`) : null,
    ),
    ids.length ? el("div", { class: "panels" }, panels) : el("p", { class: "muted" }, "No method is ticked."),
    curve.note ? el("figcaption", { class: "small muted" }, rich(curve.note)) : null,
    ids.length ? valuesTable("Values as a table", () => curveTable(report, curve, ids, map)) : null,
  );
}

/** A datum per method and place, with what the pointer shows there. */
function curveRows(report, curve, ids, map, panel) {
  return ids.flatMap((id) => {
    const band = curve.bands[id]?.[map]?.[panel];
    if (!band) return [];
    return curve.x.map((x, at) => {
      const [mean, low, high] = [band.mean[at], band.low[at], band.high[at]];
      const lines = [
        [curve.x_label, brief(x)],
        [curve.y_label, `${brief(mean)} [${brief(low)}, ${brief(high)}]`],
      ];
      return { e: id, x, mean, low, high, tip: { title: nameOf(report, id), lines } };
    });
  });
}

/** The common y axis of all panels. */
function extent(rows, hasBands) {
  const values = rows.flatMap((row) => (hasBands ? [row.mean, row.low, row.high] : [row.mean])).filter(Number.isFinite);
  return values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
}

function curveSpec(report, curve, ids, values, domain, isFirst) {
  const places = curve.x.length <= 13 ? { values: curve.x, labelOverlap: true } : {};
  const x = {
    field: "x",
    type: "quantitative",
    title: curve.x_label,
    scale: { zero: false, nice: false },
    axis: places,
  };
  const y = {
    field: "mean",
    type: "quantitative",
    title: isFirst ? curve.y_label : null,
    scale: { domain, nice: true, zero: false },
  };
  const color = methodScale(report, ids, "color");
  const pointed = (value, otherwise, empty) => ({ condition: { param: "near", empty, value }, value: otherwise });
  return {
    description: `${curve.title}: a line per method`,
    width: "container",
    height: 280,
    data: { values },
    encoding: { x, y, color },
    layer: [
      {
        mark: { type: "area", clip: true },
        encoding: {
          y: { ...y, field: "low" },
          y2: { field: "high" },
          opacity: pointed(0.2, ids.length <= FEW_LINES ? 0.13 : 0, false),
        },
      },
      {
        mark: { type: "line", strokeWidth: 1.7, clip: true },
        encoding: { strokeDash: methodScale(report, ids, "strokeDash"), opacity: pointed(1, 0.16, true) },
      },
      {
        params: [
          {
            name: "near",
            select: { type: "point", on: "pointerover", nearest: true, fields: ["e"], clear: "pointerout" },
          },
        ],
        mark: { type: "point", filled: true, size: 42, tooltip: { content: "data" } },
        encoding: { shape: methodScale(report, ids, "shape"), opacity: pointed(1, 0, false) },
      },
    ],
  };
}

function curveTable(report, curve, ids, map) {
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "Method"),
    curve.x.map((x) => el("th", { scope: "col" }, brief(x))),
  );
  const bodies = curve.panels.map((title, panel) =>
    el(
      "tbody",
      {},
      title
        ? el("tr", {}, el("th", { scope: "rowgroup", colspan: String(curve.x.length + 1), class: "group" }, title))
        : null,
      ids.map((id) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, nameOf(report, id)),
          (curve.bands[id]?.[map]?.[panel]?.mean ?? []).map((value) => el("td", {}, brief(value))),
        ),
      ),
    ),
  );
  return el(
    "table",
    { class: "sticky" },
    el("caption", { class: "small muted" }, `Means, ${curve.y_label}; columns: ${curve.x_label}`),
    el("thead", {}, head),
    bodies,
  );
}
