// Do faithfulness and localisation order the methods alike? A matrix of rank correlations.

function showAgreement(report, comparison) {
  const { agreement } = comparison;
  const body = bodyOf("agreement", agreement !== null);
  if (!agreement) return;
  const place = el("div", {});
  const redraw = () =>
    place.replaceChildren(agreementMatrix(comparison, chosen("over", ["of_means", "per_image"], "of_means")));
  fill(
    body,
    el(
      "div",
      { class: "controls" },
      segments(
        "Rank correlation",
        "over",
        [
          ["of_means", "Of the means"],
          ["per_image", "On each image"],
        ],
        "of_means",
      ),
    ),
    place,
    el("p", { class: "small muted wide" }, rich(agreement.note)),
  );
  onState(["over"], redraw);
  redraw();
}

function agreementMatrix({ agreement, scores }, over) {
  const found = new Map(agreement.pairs.map((pair) => [`${pair.first}\n${pair.second}`, pair[over]]));
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }),
    agreement.columns.map((name) => el("th", { scope: "col" }, rich(scores[name].label))),
  );
  const rows = agreement.rows.map((row) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, rich(scores[row].label)),
      agreement.columns.map((column) => correlationCell(found.get(`${row}\n${column}`))),
    ),
  );
  return scrolling(
    "Agreement of the metrics",
    el("table", { class: "matrix" }, el("thead", {}, head), el("tbody", {}, rows)),
  );
}

/** Warm for agreement, cold for the contrary; the tint is weak enough for the text. */
function correlationCell(value) {
  if (!value || value.mean === null) return el("td", {}, "–");
  const cell = el(
    "td",
    { title: `n = ${value.n}` },
    el("span", {}, number(value.mean, 2)),
    " ",
    el("span", { class: "interval" }, interval(value.low, value.high, 2)),
  );
  cell.style.setProperty("--share", `${Math.round(42 * Math.min(1, Math.abs(value.mean)))}%`);
  cell.style.setProperty("--tone", value.mean >= 0 ? "var(--agree)" : "var(--contrary)");
  return cell;
}

/** Meta-evaluation, where it was measured. */
function showMeta(_report, comparison) {
  const tables = comparison.meta ?? [];
  bodyOf("meta", tables.length > 0).append(...tables.map(textTable));
}
