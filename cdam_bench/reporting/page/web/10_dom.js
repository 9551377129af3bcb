// Elements, numbers and labels. Text of the data enters the page as text nodes and attributes alone, not as markup.

/** An element; attributes by name (`onclick` and the like are listeners), children are nodes or text; null is left out. */
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  return fill(element, ...children);
}

/** Append children: nodes, text and lists of them. */
function fill(element, ...children) {
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** An SVG element with attributes and children. */
function svgEl(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** An <img> of the data; anything but an embedded picture is shown as a gap. */
function picture(uri, text, attributes) {
  if (typeof uri !== "string" || !uri.startsWith("data:image/")) return el("span", { class: "gap", title: text }, "–");
  return el("img", { src: uri, alt: text, ...attributes });
}

/** Fraction digits and a real minus; "–" for what is undefined. */
function number(value, decimals) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** Three significant digits, for values whose size is not known beforehand. */
function brief(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1).replaceAll("-", "−");
  return number(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** A difference with its sign. */
function signed(value, decimals) {
  const text = number(value, decimals);
  return value > 0 && Number(text) !== 0 ? `+${text}` : text;
}

function interval(low, high, decimals) {
  return `[${number(low, decimals)}, ${number(high, decimals)}]`;
}

/** Text with the subscripts of scores set as such: A_LIF−MIF, ΔA_box, A′_MIF. */
function rich(text) {
  const parts = [];
  let from = 0;
  for (const match of String(text).matchAll(/(Δ?A′?)_([A-Za-z]+(?:−[A-Za-z]+)?)/gu)) {
    parts.push(text.slice(from, match.index), match[1], el("sub", {}, match[2]));
    from = match.index + match[0].length;
  }
  parts.push(String(text).slice(from));
  return parts.filter((part) => part !== "");
}

/** Round positions for an axis from low to high. */
function ticks(low, high, about) {
  const raw = (high - low) / about || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= raw * 0.999);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1)
    found.push([at * step, number(at * step, decimals)]);
  return found;
}

/** The body of a section, emptied; the section is hidden where it has nothing to say. */
function bodyOf(id, hasContent) {
  const section = document.getElementById(id);
  section.hidden = !hasContent;
  const body = section.querySelector(".body");
  body.replaceChildren();
  return body;
}

/** A table inside its own scrolling box, reachable by keyboard. */
function scrolling(label, ...children) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...children);
}
