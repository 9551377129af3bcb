// Charts: how they look, how they are drawn, and the box of values under the pointer.
// Colours are CSS variables, so a chart follows dark mode and print without being drawn again.

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";
const LOOK = {
  background: null,
  font: FONT,
  padding: 4,
  autosize: { type: "fit-x", contains: "padding" },
  view: { stroke: null },
  axis: {
    domainColor: "var(--edge)",
    gridColor: "var(--grid)",
    labelColor: "var(--muted)",
    labelFontSize: 11.5,
    tickColor: "var(--edge)",
    tickSize: 4,
    titleColor: "var(--ink)",
    titleFontSize: 12,
    titleFontWeight: 400,
    titleLimit: Math.min(420, innerWidth - 90),
    titlePadding: 6,
  },
  axisY: { domain: false, ticks: false, labelPadding: 6 },
  axisX: { grid: false, labelFlush: false },
  text: { color: "var(--ink)", font: FONT, fontSize: 11.5 },
};

const drawings = new Map(); // canvas → its chart, to be let go once the canvas has left the page

/** Draw a Vega-Lite specification into a place instead of what was there. */
async function draw(place, spec) {
  const canvas = el("div", { class: "chart" });
  place.replaceChildren(canvas);
  const chart = await vegaEmbed(
    canvas,
    { ...spec, config: LOOK },
    { mode: "vega-lite", actions: false, renderer: "svg", ast: true, tooltip: showTip },
  );
  drawings.set(canvas, chart);
  for (const [other, drawn] of drawings) {
    if (other.isConnected) continue;
    drawn.finalize();
    drawings.delete(other);
  }
}

/** The handler that Vega calls: `value` is the datum under the pointer; its `tip` says what to show. */
function showTip(_handler, event, _item, value) {
  const tip = document.getElementById("tip");
  const content = value && value.tip;
  if (!content) {
    tip.hidden = true;
    return;
  }
  const lines = content.lines.map(([label, text]) => [el("dt", {}, rich(label)), el("dd", {}, text)]);
  const image = content.picture ? picture(content.picture, "", { class: "tip-picture" }) : null;
  tip.replaceChildren(...[image, el("strong", {}, content.title), el("dl", {}, lines)].filter(Boolean));
  tip.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = tip;
  const left = event.clientX + 14 + width > innerWidth - 6 ? event.clientX - 14 - width : event.clientX + 14;
  const top = Math.min(event.clientY + 12, innerHeight - height - 6);
  tip.style.left = `${Math.max(6, left)}px`;
  tip.style.top = `${Math.max(6, top)}px`;
}

/** The scales that give every method its own colour, dashes and marker. */
function methodScale(report, ids, channel) {
  const of = {
    color: (id) => colourOf(id),
    strokeDash: (id) => (report.estimators[id].dash.length ? report.estimators[id].dash : [1, 0]),
    shape: (id) => report.estimators[id].marker,
  };
  return { field: "e", type: "nominal", scale: { domain: ids, range: ids.map(of[channel]) }, legend: null };
}

/** Numbers in rows, for those who cannot or do not want to read them off the chart; made when it is opened. */
function valuesTable(summary, make) {
  const details = el("details", { class: "values small" }, el("summary", {}, summary));
  details.addEventListener("toggle", () => {
    details.querySelector(".scroll")?.remove();
    if (details.open) details.append(scrolling(summary, make()));
  });
  return details;
}
