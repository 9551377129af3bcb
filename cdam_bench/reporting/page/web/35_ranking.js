// The ranking in every headline score: dots with intervals, ties with the best marked.

function showRanking(report, comparison) {
  const body = bodyOf("ranking", comparison.rankings.length > 0);
  if (!comparison.rankings.length) return;
  const panels = el("div", { class: "panels" });
  const words = new Set(comparison.rankings.filter(({ tested }) => tested).map((ranking) => ranking.words));
  const common = words.size === 1 ? `The test: ${[...words][0]}. ` : "";
  const redraw = () =>
    panels.replaceChildren(...comparison.rankings.map((ranking) => rankingPanel(report, comparison, ranking, !common)));
  fill(
    body,
    el(
      "p",
      { class: "small muted" },
      "Mean over images with its 95 % bootstrap interval; the best mean stands first. ",
      el("span", { class: "mark filled", "aria-hidden": "true" }),
      " filled: the best mean, or not told apart from it by the paired test; ",
      el("span", { class: "mark", "aria-hidden": "true" }),
      " hollow: worse by that test, or not tested. ",
      common,
      "Overlapping intervals make no tie: the test looks at the same images pair by pair.",
    ),
    panels,
  );
  onState(["off"], redraw);
  redraw();
}

function rankingPanel(report, comparison, ranking, hasWords) {
  const score = comparison.scores[ranking.score];
  const shown = new Set(shownMethods(comparison.estimators));
  const rows = ranking.rows
    .map((row, place) => ({ ...row, place: place + 1 }))
    .filter((row) => shown.has(row.estimator));
  const scale = rankingScale(rows);
  const direction =
    { high: "higher is better", low: "lower is better" }[score.better] || "neither direction is better in itself";
  const foot = el("tr", {}, el("td", {}), el("td", {}), el("td", { class: "plot" }, rankingAxis(scale)), el("td", {}));
  return el(
    "figure",
    { class: "panel", "data-score": ranking.score },
    el(
      "figcaption",
      {},
      el("h3", {}, rich(score.label)),
      el(
        "p",
        { class: "small muted" },
        [score.unit, direction].filter(Boolean).join("; "),
        hasWords && ranking.words ? `. Test: ${ranking.words}.` : ".",
      ),
      ranking.warning ? el("p", { class: "small warning" }, ranking.warning) : null,
    ),
    el(
      "table",
      { class: "ranking" },
      el(
        "colgroup",
        {},
        ["place", "name", "plot", "mean"].map((name) => el("col", { class: name })),
      ),
      el(
        "thead",
        { class: "out-of-sight" },
        el(
          "tr",
          {},
          ["Rank", "Method", "Plot", "Mean [95 % interval]"].map((text) => el("th", { scope: "col" }, text)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) => rankingRow(report, score, row, scale)),
      ),
      el("tfoot", { "aria-hidden": "true" }, foot),
    ),
  );
}

/** Where a value stands, in percent of the plot's width. */
function rankingScale(rows) {
  const values = rows.flatMap((row) => [row.low ?? row.mean, row.high ?? row.mean]).filter((value) => value !== null);
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (!values.length) [low, high] = [0, 1];
  if (low > 0 && low < 0.4 * high) low = 0;
  const margin = (high - low || Math.abs(high) || 1) * 0.03;
  [low, high] = [low - margin, high + margin];
  return { low, high, at: (value) => (100 * (value - low)) / (high - low) };
}

function rankingAxis(scale) {
  return el(
    "div",
    { class: "axis" },
    ticks(scale.low, scale.high, 4).map(([value, text]) => placed("span", "", scale.at(value), text)),
  );
}

function placed(tag, name, left, ...children) {
  const element = el(tag, { class: name }, ...children);
  element.style.left = `${left}%`;
  return element;
}

function rankingRow(report, score, row, scale) {
  const value = number(row.mean, score.decimals);
  const isTied = row.tied === true || row.best;
  const words = row.best ? ", best by every paired test" : isTied ? ", not told apart from the best" : "";
  const track = el("div", { class: "track" });
  if (scale.low < 0 && scale.high > 0) track.append(placed("i", "zero", scale.at(0)));
  if (row.mean !== null) {
    if (row.low !== null) {
      const bar = placed("i", "bar-of-interval", scale.at(row.low));
      bar.style.width = `${scale.at(row.high) - scale.at(row.low)}%`;
      track.append(bar);
    }
    track.append(placed("i", isTied ? "dot filled" : "dot", scale.at(row.mean)));
  }
  const line = el(
    "tr",
    { "data-method": row.estimator, class: isTied ? "tied" : null, title: rankingTitle(row, score) },
    el("td", {}, row.mean === null ? "–" : String(row.place)),
    el(
      "th",
      { scope: "row" },
      nameOf(report, row.estimator),
      row.complete ? "" : " (part)",
      el("span", { class: "out-of-sight" }, words),
    ),
    el("td", { class: "plot" }, track),
    el(
      "td",
      { class: row.best ? "best" : null },
      value,
      " ",
      el("span", { class: "out-of-sight" }, row.mean === null ? "" : interval(row.low, row.high, score.decimals)),
    ),
  );
  line.style.setProperty("--own", colourOf(row.estimator));
  return line;
}

function rankingTitle(row, score) {
  const parts =
    row.mean === null ? [] : [`${number(row.mean, score.decimals)} ${interval(row.low, row.high, score.decimals)}`];
  parts.push(`${row.n} images`);
  if (row.missing) parts.push(`undefined on ${row.missing}`);
  if (row.p !== null && row.p !== undefined)
    parts.push(`corrected p against the best mean: ${row.p < 0.001 ? "< 0.001" : row.p.toFixed(3)}`);
  return parts.join("; ");
}
