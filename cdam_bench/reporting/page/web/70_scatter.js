// Any two scores of any two methods, a point per image, with the picture under the pointer.

function showScatter(report, comparison) {
  const { images } = comparison;
  const body = bodyOf("scatter", images.names.length > 0 && comparison.scatter_scores.length > 0);
  if (body.parentElement.hidden) return;
  const [first, second] = defaultPair(comparison);
  const score = defaultScore(comparison);
  const place = el("div", { class: "canvas" });
  const words = el("p", { class: "small muted", role: "status" });
  const names = () => ({
    x: { id: chosen("xm", comparison.estimators, second), score: chosen("xs", comparison.scatter_scores, score) },
    y: { id: chosen("ym", comparison.estimators, first), score: chosen("ys", comparison.scatter_scores, score) },
  });
  const redraw = () => {
    const axes = names();
    const points = scatterPoints(report, comparison, axes);
    words.textContent = scatterWords(report, comparison, axes, points);
    draw(place, scatterSpec(report, comparison, axes, points));
  };
  fill(
    body,
    el(
      "p",
      { class: "small muted" },
      "A point per image",
      images.note ? ` (${images.note})` : "",
      ". ",
      el("span", { class: "only-on-screen" }, "Point at one to see the picture."),
    ),
    el(
      "div",
      { class: "cloud" },
      place,
      el(
        "div",
        {},
        el(
          "div",
          { class: "controls" },
          selection("Across: method", "xm", methodOptions(report, comparison), second),
          selection("Across: score", "xs", scoreOptions(comparison), score),
          selection("Up: method", "ym", methodOptions(report, comparison), first),
          selection("Up: score", "ys", scoreOptions(comparison), score),
        ),
        words,
      ),
    ),
  );
  onState(["xm", "xs", "ym", "ys"], redraw);
  redraw();
}

function scatterPoints(report, comparison, { x, y }) {
  const { images, scores } = comparison;
  const values = (axis) => images.scores[axis.id]?.[axis.score] ?? [];
  const [across, up] = [values(x), values(y)];
  const line = (axis, value) => [
    `${nameOf(report, axis.id)}, ${scores[axis.score].label}`,
    number(value, Math.max(2, scores[axis.score].decimals)),
  ];
  return images.names
    .map((name, at) => ({ name, at, x: across[at] ?? null, y: up[at] ?? null }))
    .filter((point) => point.x !== null && point.y !== null)
    .map((point) => {
      const title = [images.targets[point.at]?.join(", "), point.name].filter(Boolean).join(" · ");
      return {
        ...point,
        tip: { title, picture: images.thumbnails[point.at], lines: [line(x, point.x), line(y, point.y)] },
      };
    });
}

/** What the cloud says in one sentence. */
function scatterWords(report, comparison, { x, y }, points) {
  const count = `${points.length} images; rank correlation ${number(rankCorrelation(points), 2)}.`;
  if (x.score !== y.score || x.id === y.id) return count;
  const sign = comparison.scores[y.score].better === "low" ? -1 : 1;
  if (!comparison.scores[y.score].better) return count;
  const better = points.filter((point) => sign * (point.y - point.x) > 0).length;
  return `${count} ${nameOf(report, y.id)} is better than ${nameOf(report, x.id)} on ${better} of them.`;
}

/** Spearman's: Pearson's of the ranks, ties sharing their mean rank. */
function rankCorrelation(points) {
  const ranks = (values) => {
    const order = values.map((value, at) => [value, at]).sort(([one], [other]) => one - other);
    const found = new Array(values.length);
    for (let from = 0; from < order.length;) {
      let to = from;
      while (to + 1 < order.length && order[to + 1][0] === order[from][0]) to += 1;
      for (let at = from; at <= to; at += 1) found[order[at][1]] = (from + to) / 2;
      from = to + 1;
    }
    return found;
  };
  const [a, b] = [ranks(points.map(({ x }) => x)), ranks(points.map(({ y }) => y))];
  const mean = (points.length - 1) / 2;
  const sum = (one, other) => one.reduce((total, value, at) => total + (value - mean) * (other[at] - mean), 0);
  const scale = Math.sqrt(sum(a, a) * sum(b, b));
  return points.length > 2 && scale > 0 ? sum(a, b) / scale : null;
}

function scatterSpec(report, comparison, { x, y }, points) {
  const title = (axis) => `${nameOf(report, axis.id)}: ${comparison.scores[axis.score].label}`;
  const isSame = x.score === y.score;
  const all = points.flatMap((point) => [point.x, point.y]);
  const domain = isSame && all.length ? { domain: [Math.min(...all), Math.max(...all)] } : {};
  const axis = (field, of) => ({
    field,
    type: "quantitative",
    title: title(of),
    scale: { zero: false, nice: true, ...domain },
    axis: { grid: true },
  });
  const diagonal = {
    data: {
      values: [
        { x: domain.domain?.[0], y: domain.domain?.[0] },
        { x: domain.domain?.[1], y: domain.domain?.[1] },
      ],
    },
    mark: { type: "line", color: "var(--edge)", strokeDash: [4, 3] },
  };
  const cloud = {
    params: [
      {
        name: "near",
        select: { type: "point", on: "pointerover", nearest: true, clear: "pointerout", fields: ["at"] },
      },
    ],
    data: { values: points },
    mark: { type: "point", filled: true, color: colourOf(y.id), tooltip: { content: "data" } },
    encoding: {
      size: { condition: { param: "near", empty: false, value: 150 }, value: 46 },
      opacity: { condition: { param: "near", empty: false, value: 1 }, value: 0.6 },
    },
  };
  return {
    description: `${title(y)} against ${title(x)}, a point per image`,
    width: "container",
    height: 420,
    encoding: { x: axis("x", x), y: axis("y", y) },
    layer: isSame && all.length ? [diagonal, cloud] : [cloud],
  };
}
