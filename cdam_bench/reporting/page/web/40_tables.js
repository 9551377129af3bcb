// The paper's tables, with the paper's numbers and the difference beside ours where it has them.

function showTables(report, comparison) {
  const body = bodyOf("tables", comparison.tables.length + comparison.text_tables.length > 0);
  const place = el("div", { class: "tables" });
  const redraw = () => {
    const tables = comparison.tables.map((table) => scoreTable(report, comparison, table));
    place.replaceChildren(...tables, ...comparison.text_tables.map(textTable), ...paperCheck(report, comparison));
  };
  fill(
    body,
    el(
      "p",
      { class: "small muted only-on-screen" },
      "A column’s heading sorts by it; once more turns the order round.",
    ),
    place,
  );
  onState(["off"], redraw);
  redraw();
}

function scoreTable(report, comparison, table) {
  const shown = new Set(shownMethods(comparison.estimators));
  const columns = table.columns.map((name, at) => ({ at, score: comparison.scores[name], hasPaper: table.paper[at] }));
  const heads = columns.flatMap(({ at, score, hasPaper }) => {
    const own = el(
      "th",
      { scope: "col", "aria-sort": "none" },
      el("button", { type: "button", class: "sort", "data-column": String(at) }, rich(score.heading)),
    );
    return hasPaper
      ? [
          own,
          el("th", { scope: "col", class: "paper" }, "paper"),
          el("th", { scope: "col", class: "paper" }, "ours − paper"),
        ]
      : [own];
  });
  const rows = table.rows
    .filter((row) => shown.has(row.estimator))
    .map((row) => ({ row, line: scoreRow(report, columns, row) }));
  const tbody = el(
    "tbody",
    {},
    rows.map(({ line }) => line),
  );
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Method"), heads));
  const element = el(
    "table",
    { class: `ruled sticky${table.paper.some(Boolean) ? " with-paper" : ""}`, "data-table": table.name },
    head,
    tbody,
  );
  head.addEventListener("click", (event) => {
    const button = event.target.closest("button.sort");
    if (button) sortTable(head, tbody, rows, button, columns[Number(button.dataset.column)]);
  });
  return el(
    "figure",
    { class: "of-table" },
    el("h3", {}, table.title),
    scrolling(table.title, element),
    el("figcaption", { class: "small muted" }, el("p", { class: "wide" }, rich(table.caption))),
  );
}

/** Best first, then worst first; what has no value stands last. */
function sortTable(head, tbody, rows, button, { at, score }) {
  const heading = button.closest("th");
  const first = score.better === "low" ? "ascending" : "descending";
  const order =
    heading.getAttribute("aria-sort") === first ? { ascending: "descending", descending: "ascending" }[first] : first;
  for (const other of head.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  const value = ({ row }) => row.entries[at]?.mean ?? null;
  const sign = order === "ascending" ? 1 : -1;
  const sorted = [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (a - b);
  });
  tbody.replaceChildren(...sorted.map(({ line }) => line));
}

function scoreRow(report, columns, row) {
  const cells = columns.flatMap(({ at, score, hasPaper }) => {
    const entry = row.entries[at];
    if (!entry)
      return [el("td", {}, "–"), ...(hasPaper ? [el("td", { class: "paper" }), el("td", { class: "paper" })] : [])];
    const value = el(
      "td",
      { class: entry.best ? "best" : null, title: entry.missing ? `undefined on ${entry.missing} images` : null },
      number(entry.mean, score.decimals),
      entry.missing ? "*" : "",
      " ",
      el("span", { class: "interval" }, entry.mean === null ? "" : interval(entry.low, entry.high, score.decimals)),
    );
    if (!hasPaper) return [value];
    const difference =
      entry.difference === null || entry.difference === undefined ? "" : signed(entry.difference, score.decimals);
    return [
      value,
      el("td", { class: "paper" }, (entry.paper || "").replace("-", "−")),
      el("td", { class: "paper" }, difference),
    ];
  });
  const part = row.complete ? null : el("span", { class: "muted" }, ` (${row.images})`);
  return el(
    "tr",
    { "data-method": row.estimator },
    el("th", { scope: "row" }, nameOf(report, row.estimator), part),
    cells,
  );
}

/** A table of plain text. */
function textTable(table) {
  const isNumber = table.heading.map(
    (_, at) => at > 0 && table.rows.every((row) => /^[\s–−+\-\d.,%[\]×*e<≈]*$/u.test(row[at] ?? "")),
  );
  const kind = (at) => (isNumber[at] ? null : "text");
  const head = el(
    "tr",
    {},
    table.heading.map((text, at) => el("th", { scope: "col", class: kind(at) }, rich(text))),
  );
  const rows = table.rows.map((row) =>
    el(
      "tr",
      {},
      row.map((text, at) => el(at ? "td" : "th", { class: kind(at), scope: at ? null : "row" }, rich(text))),
    ),
  );
  return el(
    "figure",
    { class: "of-table" },
    el("h3", {}, table.title),
    scrolling(table.title, el("table", { class: "ruled sticky" }, el("thead", {}, head), el("tbody", {}, rows))),
    el("figcaption", { class: "small muted" }, el("p", { class: "wide" }, rich(table.caption))),
  );
}

/** Are our numbers the paper's? */
function paperCheck(report, { paper, scores }) {
  if (!paper) return [];
  const heading = [
    "Method",
    "Score",
    "Paper",
    "Ours",
    "Ours − paper",
    "Smallest visible",
    "Corrected p",
    "Compatible",
    "Depends on",
  ];
  const isText = (at) => [0, 1, 7, 8].includes(at);
  const lines = paper.rows.map((row) => {
    const score = scores[row.score];
    const ours = [
      number(row.mean, score.decimals),
      " ",
      el("span", { class: "interval" }, interval(row.low, row.high, score.decimals)),
    ];
    const p = row.p === null ? "–" : row.p < 0.001 ? "< 0.001" : row.p.toFixed(3);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, nameOf(report, row.estimator)),
      el("td", { class: "text" }, rich(score.label)),
      el("td", {}, row.printed.replace("-", "−")),
      el("td", {}, ours),
      el("td", {}, signed(row.difference, score.decimals)),
      el("td", {}, row.visible === null ? "–" : brief(row.visible)),
      el("td", {}, p),
      el("td", { class: `text ${row.compatible ? "yes" : "no"}` }, row.compatible ? "yes" : "no"),
      el("td", { class: "text long" }, row.open || ""),
    );
  });
  const head = heading.map((text, at) => el("th", { scope: "col", class: isText(at) ? "text" : null }, text));
  return [
    el(
      "figure",
      { class: "of-table" },
      el("h3", {}, "Are these the paper’s numbers?"),
      el("p", {}, paper.verdict),
      scrolling(
        "The paper’s numbers beside ours",
        el("table", { class: "ruled sticky" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, lines)),
      ),
      el(
        "figcaption",
        { class: "small muted" },
        [paper.note, paper.orders]
          .flat()
          .filter(Boolean)
          .map((text) => el("p", { class: "wide" }, rich(text))),
      ),
    ),
  ];
}
