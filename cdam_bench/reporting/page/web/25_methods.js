// Methods: their names and colours, and which of them are shown.

/** CSS variable of a method's colour, made by `defineColours`. */
function colourOf(id) {
  return `var(--method-${methodPlaces.get(id)})`;
}
const methodPlaces = new Map();

/** Every method's colour as a CSS variable; in the dark it is lightened until it can be seen. */
function defineColours(report) {
  Object.entries(report.estimators).forEach(([id, { colour }], place) => {
    methodPlaces.set(id, place);
    if (/^#[0-9a-f]{6}$/i.test(colour)) {
      document.documentElement.style.setProperty(`--method-${place}`, `light-dark(${colour}, ${lightened(colour)})`);
    }
  });
}

/** The colour mixed with white until its relative luminance gives a contrast of 4.5 on the dark page. */
function lightened(colour) {
  const channels = [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16) / 255);
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  let mixed = channels;
  for (let white = 0; white < 1; white += 0.04) {
    mixed = channels.map((value) => value + (1 - value) * white);
    const [red, green, blue] = mixed.map(linear);
    if (0.2126 * red + 0.7152 * green + 0.0722 * blue >= 0.21) break;
  }
  return `#${mixed
    .map((value) =>
      Math.round(value * 255)
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}

function hiddenMethods() {
  return new Set((state.get("off") || "").split(",").filter(Boolean));
}

/** Those of the methods that are not switched off. */
function shownMethods(ids) {
  const off = hiddenMethods();
  return ids.filter((id) => !off.has(id));
}

function nameOf(report, id) {
  return report.estimators[id]?.name ?? id;
}

/** A short piece of the method's line with its dashes. */
function lineSample(report, id) {
  const { dash } = report.estimators[id];
  const line = svgEl("line", { x1: 0, y1: 5, x2: 26, y2: 5, "stroke-width": 2.2, "stroke-dasharray": dash.join(" ") });
  line.style.stroke = colourOf(id);
  return svgEl("svg", { width: 26, height: 10, viewBox: "0 0 26 10", "aria-hidden": "true", class: "sample" }, line);
}

function swatch(id) {
  const dot = el("span", { class: "swatch", "aria-hidden": "true" });
  dot.style.background = colourOf(id);
  return dot;
}

/** Check boxes of all methods by family; several such pickers on the page show the same choice. */
function methodPicker(report, comparison) {
  const off = hiddenMethods;
  const boxes = [];
  const set = (ids, isOn) => {
    const hidden = off();
    ids.forEach((id) => (isOn ? hidden.delete(id) : hidden.add(id)));
    setState("off", [...hidden].join(","));
  };
  const check = (ids, ...label) => {
    const box = el("input", { type: "checkbox", onchange: () => set(ids, box.checked) });
    boxes.push([box, ids]);
    return el("label", {}, box, ...label);
  };
  const families = report.families
    .map((family) => ({ name: family.name, ids: family.estimators.filter((id) => comparison.estimators.includes(id)) }))
    .filter(({ ids }) => ids.length);
  const groups = families.map(({ name, ids }) => {
    const members = ids.map((id) =>
      el("li", { "data-method": id }, check([id], lineSample(report, id), nameOf(report, id))),
    );
    return el("fieldset", {}, el("legend", {}, check(ids, name)), el("ul", {}, members));
  });
  const all = el(
    "div",
    { class: "all-or-none" },
    el("button", { type: "button", onclick: () => set(comparison.estimators, true) }, "All"),
    el("button", { type: "button", onclick: () => set(comparison.estimators, false) }, "None"),
  );
  const show = () => {
    const hidden = off();
    for (const [box, ids] of boxes) {
      const count = ids.filter((id) => !hidden.has(id)).length;
      box.checked = count === ids.length;
      box.indeterminate = count > 0 && count < ids.length;
    }
  };
  onState(["off"], show);
  show();
  return el("div", { class: "methods" }, all, groups);
}

/** "Methods 26/26", to be opened; in the bar at the top. */
function methodMenu(report, comparison) {
  const summary = el("summary", {});
  const show = () => {
    summary.textContent = `Methods ${shownMethods(comparison.estimators).length}/${comparison.estimators.length}`;
  };
  onState(["off"], show);
  show();
  const menu = el("details", { class: "menu" }, summary, methodPicker(report, comparison));
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    summary.focus();
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  return menu;
}
