// What the reader chose, in the URL's hash: `#comparison=…&off=cdam,rise&…`. A default is not written down.

const state = new URLSearchParams();
let listeners = [];

function readState() {
  for (const key of [...state.keys()]) state.delete(key);
  const hash = location.hash.slice(1);
  if (hash.includes("=")) for (const [key, value] of new URLSearchParams(hash)) state.set(key, value);
}

/** Choose; tells those who asked for the key. */
function setState(key, value) {
  if (value === "" || value === null) state.delete(key);
  else state.set(key, value);
  history.replaceState(null, "", `#${state}`);
  for (const [keys, listener] of [...listeners]) if (keys.includes(key)) listener();
}

/** Call `listener` whenever one of the keys is chosen anew, until the sections are built anew. */
function onState(keys, listener) {
  listeners.push([keys, listener]);
}

function forgetListeners() {
  listeners = [];
}

/** The choice if it is one of those there are, else the fallback. */
function chosen(key, allowed, fallback) {
  const value = state.get(key);
  return value !== null && allowed.includes(value) ? value : fallback;
}

/** A labelled <select> for a key. Options: [value, text] or [group, [[value, text], …]]. */
function selection(label, key, options, fallback) {
  const entry = ([value, text]) =>
    Array.isArray(text) ? el("optgroup", { label: value }, text.map(entry)) : el("option", { value }, text);
  const values = options.flatMap(([value, text]) => (Array.isArray(text) ? text.map(([inner]) => inner) : [value]));
  const element = el(
    "select",
    { onchange: () => setState(key, element.value === fallback ? "" : element.value) },
    options.map(entry),
  );
  element.value = chosen(key, values, fallback);
  return el("label", { "data-key": key }, label, element);
}

/** Buttons side by side of which one is pressed. Options: [value, text]. */
function segments(label, key, options, fallback) {
  const buttons = options.map(([value, text]) =>
    el("button", { type: "button", value, onclick: () => press(value) }, text),
  );
  const show = (value) =>
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === value)));
  const press = (value) => {
    show(value);
    setState(key, value === fallback ? "" : value);
  };
  show(
    chosen(
      key,
      options.map(([value]) => value),
      fallback,
    ),
  );
  return el("div", { class: "segmented", role: "group", "aria-label": label, "data-key": key }, buttons);
}

/** Light or dark: the system's choice until the button was pressed; remembered where the browser allows it. */
function startTheme() {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
  };
  const remember = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("cdam_bench.theme");
      localStorage.setItem("cdam_bench.theme", value);
    } catch {
      // a browser that keeps nothing
    }
    return null;
  };
  const kept = remember();
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  system.addEventListener("change", label);
  label();
}
