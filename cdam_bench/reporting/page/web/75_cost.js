// What a map costs against how good it is, with the front that no cheaper method passes.

const COST_HEIGHT = 420;

function showCost(report, comparison) {
  const body = bodyOf("cost", comparison.cost.length > 0);
  if (!comparison.cost.length) return;
  const place = el("div", { class: "canvas" });
  const note = el("figcaption", { class: "small muted" });
  const key = ({ name, score }) => `${name}:${score}`;
  const names = comparison.cost.map((cost) => [
    key(cost),
    `${comparison.scores[cost.score]?.label ?? cost.score} against ${cost.label}`,
  ]);
  const redraw = () => {
    const wanted = chosen(
      "cost",
      names.map(([value]) => value),
      names[0][0],
    );
    const cost = comparison.cost.find((one) => key(one) === wanted);
    const shown = new Set(shownMethods(comparison.estimators));
    const points = cost.points.filter((point) => shown.has(point.estimator) && point.cost > 0 && point.mean !== null);
    note.replaceChildren(...rich(cost.note || ""));
    draw(place, costSpec(report, comparison.scores[cost.score], cost, points, place.clientWidth));
  };
  fill(
    body,
    names.length > 1 ? el("div", { class: "controls" }, selection("Show", "cost", names, names[0][0])) : null,
    el("figure", {}, place, note),
  );
  onState(["off", "cost"], redraw);
  redraw();
}

/** Low and high end of the axes; costs are positive. */
function costDomains(points) {
  const costs = points.map(({ cost }) => cost);
  const means = points.flatMap(({ mean, low, high }) => [mean, low ?? mean, high ?? mean]);
  const margin = (Math.max(...means) - Math.min(...means)) * 0.04 || 1;
  return points.length
    ? {
        x: [Math.min(...costs) / 1.5, Math.max(...costs) * 1.8],
        y: [Math.min(...means) - margin, Math.max(...means) + margin],
      }
    : { x: [0.1, 1], y: [0, 1] };
}

/** Where each name stands beside its point, those of the front first; a name without room is left to the pointer. */
function placedLabels(values, domains, width) {
  const [left, right] = domains.x.map(Math.log);
  const [bottom, top] = domains.y;
  const at = ({ cost, mean }) => [
    ((Math.log(cost) - left) / (right - left)) * width,
    ((top - mean) / (top - bottom)) * COST_HEIGHT,
  ];
  const taken = values.map((value) => {
    const [x, y] = at(value);
    return [x - 6, y - 6, x + 6, y + 6];
  });
  const isFree = ([x0, y0, x1, y1]) =>
    x0 >= 0 && x1 <= width && taken.every(([a0, b0, a1, b1]) => x1 <= a0 || a1 <= x0 || y1 <= b0 || b1 <= y0);
  const labels = [];
  for (const value of [...values].sort((one, other) => other.front - one.front)) {
    const [x, y] = at(value);
    const length = 6.6 * value.name.length;
    for (const [align, dx, dy] of [
      ["left", 9, 0],
      ["left", 7, -10],
      ["left", 7, 11],
      ["right", -9, 0],
      ["right", -7, -10],
      ["right", -7, 11],
    ]) {
      const start = align === "left" ? x + dx : x + dx - length;
      const box = [start, y + dy - 7, start + length, y + dy + 7];
      if (!isFree(box)) continue;
      taken.push(box);
      labels.push({ cost: value.cost, mean: value.mean, name: value.name, align, dx, dy });
      break;
    }
  }
  return labels;
}

function costSpec(report, score, cost, points, width) {
  const label = score?.label ?? cost.score;
  const decimals = score?.decimals ?? 2;
  const values = points.map((point) => {
    const lines = [
      [cost.label, brief(point.cost)],
      [label, `${number(point.mean, decimals)} ${interval(point.low, point.high, decimals)}`],
    ];
    if (point.front) lines.push(["", "no method is both cheaper and better"]);
    return {
      ...point,
      e: point.estimator,
      name: nameOf(report, point.estimator),
      tip: { title: nameOf(report, point.estimator), lines },
    };
  });
  const domains = costDomains(points);
  const labels = placedLabels(values, domains, Math.max(240, width - 70));
  const ids = points.map((point) => point.estimator);
  const x = {
    field: "cost",
    type: "quantitative",
    title: `${cost.label} (logarithmic)`,
    scale: { type: "log", domain: domains.x, nice: false },
    axis: { format: "~g", labelOverlap: true },
  };
  const y = {
    field: "mean",
    type: "quantitative",
    title: score?.unit ? `${label} (${score.unit})` : label,
    scale: { domain: domains.y, nice: false, zero: false },
  };
  const ofLabel = (name) => ({ expr: `datum.${name}` });
  return {
    description: `${label} against ${cost.label}`,
    width: "container",
    height: COST_HEIGHT,
    data: { values },
    encoding: { x, y },
    layer: [
      {
        transform: [{ filter: "datum.front" }],
        mark: { type: "line", interpolate: "step-after", color: "var(--edge)", strokeDash: [4, 3] },
      },
      {
        mark: { type: "rule", opacity: 0.5 },
        encoding: { y: { ...y, field: "low" }, y2: { field: "high" }, color: methodScale(report, ids, "color") },
      },
      {
        mark: { type: "point", filled: true, size: 75, opacity: 1, tooltip: { content: "data" } },
        encoding: { color: methodScale(report, ids, "color"), shape: methodScale(report, ids, "shape") },
      },
      {
        data: { values: labels },
        mark: { type: "text", align: ofLabel("align"), dx: ofLabel("dx"), dy: ofLabel("dy") },
        encoding: { text: { field: "name" } },
      },
    ],
  };
}
