// The page: reads its data, builds the sections of the comparison that is chosen, and follows the URL.

const page = { report: JSON.parse(document.getElementById("report-data").textContent) };
const SECTIONS = [
  showHeadline,
  showRanking,
  showTables,
  showCurves,
  showGallery,
  showScatter,
  showCost,
  showAgreement,
  showMeta,
  showCells,
  showNotes,
];

function build() {
  const { report } = page;
  const ids = report.comparisons.map(({ id }) => id);
  const id = chosen("comparison", ids, ids[0]);
  const comparison = report.comparisons.find((one) => one.id === id);
  forgetListeners();
  document.getElementById("tip").hidden = true;
  showPickers(report, comparison);
  for (const show of SECTIONS) show(report, comparison);
  showContents();
  onState(["comparison"], build);
}

function showPickers(report, comparison) {
  const options = report.comparisons.map(({ id, title, distinction }) => [
    id,
    distinction ? `${title} (${distinction})` : title,
  ]);
  const select = options.length > 1 ? selection("Comparison", "comparison", options, options[0][0]) : null;
  const hadFocus = document.activeElement?.closest?.("#pickers select");
  const place = document.getElementById("pickers");
  place.replaceChildren(...[select, methodMenu(report, comparison)].filter(Boolean));
  if (hadFocus) place.querySelector("select")?.focus();
}

/** Links to the sections that have something to say. */
function showContents() {
  const sections = [...document.querySelectorAll("main > section:not([hidden])")].filter(({ id }) => id !== "headline");
  document.getElementById("contents").replaceChildren(
    ...sections.map((section) => {
      const go = (event) => {
        event.preventDefault();
        goTo(section);
      };
      return el(
        "li",
        {},
        el(
          "a",
          { href: `#${section.id}`, onclick: go },
          section.querySelector("h2").dataset.short ?? section.querySelector("h2").textContent,
        ),
      );
    }),
  );
  markWhere();
}

/** To a section, without losing what the hash keeps. */
function goTo(section) {
  const heading = section.querySelector("h1, h2");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  section.scrollIntoView();
}

/** The link of the section in view is marked. */
function markWhere() {
  const links = [...document.querySelectorAll("#contents a")];
  const passed = links.filter(
    (link) => document.getElementById(link.hash.slice(1)).getBoundingClientRect().top < innerHeight * 0.35,
  );
  for (const link of links) link.setAttribute("aria-current", String(link === passed.at(-1)));
}

function start() {
  startTheme();
  startEnlarged();
  defineColours(page.report);
  readState();
  build();
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    goTo(document.querySelector("main > section:not([hidden]):not(#headline)"));
  });
  let waits = false;
  addEventListener(
    "scroll",
    () => {
      document.getElementById("tip").hidden = true;
      if (waits) return;
      waits = true;
      requestAnimationFrame(() => {
        waits = false;
        markWhere();
      });
    },
    { passive: true },
  );
  addEventListener("hashchange", () => {
    readState();
    build();
  });
  const section = location.hash && !location.hash.includes("=") && document.getElementById(location.hash.slice(1));
  if (section) section.scrollIntoView();
}

start();
