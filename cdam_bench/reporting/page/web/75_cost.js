// What a map costs against how good it is, with the front that no cheaper method passes.

function showCost(report, comparison) {
  const body = bodyOf("cost", comparison.cost.length > 0);
  if (!comparison.cost.length) return;
  const place = el("div", { class: "canvas" });
  const note = el("figcaption", { class: "small muted" });
  const names = comparison.cost.map((cost) => [cost.name, `${comparison.scores[cost.score]?.label ?? cost.score} against ${cost.label}`]);
  const redraw = () => {
    const name = chosen("cost", names.map(([value]) => value), names[0][0]);
    const cost = comparison.cost.find((one) => one.name === name);
    const shown = new Set(shownMethods(comparison.estimators));
    const points = cost.points.filter((point) => shown.has(point.estimator) && point.cost > 0 && point.mean !== null);
    note.replaceChildren(...rich(cost.note || ""));
    draw(place, costSpec(report, comparison.scores[cost.score], cost, points));
  };
  body.append(
    names.length > 1 ? el("div", { class: "controls" }, selection("Show", "cost", names, names[0][0])) : "",
    el("figure", {}, place, note));
  onState(["off", "cost"], redraw);
  redraw();
}

function costSpec(report, score, cost, points) {
  const label = score?.label ?? cost.score;
  const decimals = score?.decimals ?? 2;
  const values = points.map((point) => {
    const lines = [[cost.label, brief(point.cost)], [label, `${number(point.mean, decimals)} ${interval(point.low, point.high, decimals)}`]];
    if (point.front) lines.push(["", "no cheaper method is better"]);
    return { ...point, e: point.estimator, name: nameOf(report, point.estimator), tip: { title: nameOf(report, point.estimator), lines } };
  });
  const ids = points.map((point) => point.estimator);
  const x = { field: "cost", type: "quantitative", title: `${cost.label} (logarithmic)`, scale: { type: "log", nice: true }, axis: { grid: false, format: "~g", tickCount: 5 } };
  const y = { field: "mean", type: "quantitative", title: score?.unit ? `${label} (${score.unit})` : label, scale: { zero: false, nice: true } };
  const front = { filter: "datum.front" };
  const hasFew = points.length <= 10;
  return {
    description: `${label} against ${cost.label}`,
    width: "container",
    height: 400,
    data: { values },
    encoding: { x, y },
    layer: [
      { transform: [front], mark: { type: "line", interpolate: "step-after", color: "var(--edge)", strokeDash: [4, 3] } },
      { mark: { type: "rule", opacity: 0.55 }, encoding: { y: { ...y, field: "low" }, y2: { field: "high" }, color: methodScale(report, ids, "color") } },
      {
        mark: { type: "point", filled: true, size: 75, opacity: 1, tooltip: { content: "data" } },
        encoding: { color: methodScale(report, ids, "color"), shape: methodScale(report, ids, "shape") },
      },
      { transform: hasFew ? [] : [front], mark: { type: "text", align: "left", dx: 8, dy: -8 }, encoding: { text: { field: "name" } } },
    ],
  };
}
