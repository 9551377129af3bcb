// The first lines: what was compared on what.

function showHeadline(report, comparison) {
  const body = bodyOf("headline", true);
  const { headline } = comparison;
  const facts = [
    ["Images", headline.images],
    ["Methods", String(headline.methods)],
    ["Targets of an image", String(headline.targets)],
    ["Outputs", headline.outputs],
    ["Device", headline.devices.join(", ")],
    ["Run", headline.first === headline.last ? headline.first : `${headline.first} to ${headline.last}`],
    ["cdam_bench", headline.versions.join(", ")],
  ].filter(([, value]) => value);
  fill(
    body,
    el("p", {}, headline.sentence, comparison.distinction ? ` Setting: ${comparison.distinction}.` : ""),
    el(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    ),
    report.notes.map((note) => el("p", { class: "warning small" }, note)),
    winners(report, comparison),
  );
}

/** One line per headline score: who is best, and who cannot be told from it. */
function winners(report, comparison) {
  const lines = comparison.rankings
    .filter((ranking) => ranking.best)
    .map((ranking) => {
      const score = comparison.scores[ranking.score];
      const best = ranking.rows.find((row) => row.estimator === ranking.best);
      const tied = ranking.rows
        .filter((row) => row.tied && row.estimator !== ranking.best)
        .map((row) => nameOf(report, row.estimator));
      const value = `${number(best.mean, score.decimals)} ${interval(best.low, best.high, score.decimals)}`;
      return el(
        "tr",
        {},
        el("th", { scope: "row" }, rich(score.heading)),
        el("td", { class: "text" }, swatch(best.estimator), nameOf(report, best.estimator)),
        el("td", {}, value),
        el("td", { class: "text long" }, told(ranking, tied)),
      );
    });
  if (!lines.length) return null;
  const heading = ["Score", "Best mean", "Mean [95 % interval]", "Not told apart from it by the paired test"];
  const head = heading.map((text, place) => el("th", { scope: "col", class: place === 2 ? null : "text" }, text));
  return scrolling(
    "Best methods",
    el("table", { class: "ruled winners" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, lines)),
  );
}

function told(ranking, tied) {
  if (!ranking.tested) return "not tested";
  if (!tied.length) return "none: better than every other method";
  return tied.length > 6 ? `${tied.slice(0, 5).join(", ")} and ${tied.length - 5} more` : tied.join(", ");
}
