// What the page does without asking the server: the overlay, the blurred pictures, the address. Loaded into the page's head.
(() => {
  const pixelsOf = (image, width, height) => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  };

  const loaded = async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    return image;
  };

  // Blurred parts: every canvas keeps, for each pixel, the step at which it is blurred.
  const start = async (blur) => {
    blur.dataset.started = "yes";
    const [sharp, blurred] = await Promise.all(
      [".cdam-sharp", ".cdam-blurred"].map((name) => loaded(blur.querySelector(name).src)),
    );
    await Promise.all([...blur.querySelectorAll("canvas")].map(async (canvas) => {
      const { width, height } = canvas;
      const at = pixelsOf(await loaded(canvas.dataset.at), width, height).data;
      canvas.parts = { at, sharp: pixelsOf(sharp, width, height), blurred: pixelsOf(blurred, width, height) };
    }));
    draw(blur);
  };

  const draw = (blur) => {
    const step = Number(blur.querySelector(".cdam-share").value);
    const share = step / Number(blur.dataset.steps);
    blur.querySelector(".cdam-slider output").textContent = `${Math.round(100 * share)} %`;
    for (const canvas of blur.querySelectorAll("canvas")) {
      const value = JSON.parse(canvas.dataset.values)[step];
      canvas.closest("figure").querySelector("output").textContent = value.toFixed(2).replace("-", "−");
      if (!canvas.parts) continue;
      const { at, sharp, blurred } = canvas.parts;
      const shown = new ImageData(new Uint8ClampedArray(sharp.data), canvas.width, canvas.height);
      for (let i = 0; i < at.length; i += 4) {
        if (at[i] <= step) shown.data.set(blurred.data.subarray(i, i + 4), i);
      }
      canvas.getContext("2d").putImageData(shown, 0, 0);
    }
    for (const chart of blur.querySelectorAll(".cdam-chart svg")) {
      const [left, right] = [Number(chart.dataset.left), Number(chart.dataset.right)];
      const x = left + share * (right - left);
      for (const end of ["x1", "x2"]) chart.querySelector(".cdam-marker").setAttribute(end, x);
    }
  };

  // The address says what is shown.
  const tell = () => {
    const maps = document.querySelector(".cdam-maps");
    if (!maps) return;
    const overlay = maps.querySelector(".cdam-overlay").value;
    const kept = [...new URLSearchParams(location.search)].filter(([key]) => key.startsWith("__"));  // Gradio's own
    const query = `?${[maps.dataset.query, `overlay=${overlay}`, ...kept.map((pair) => pair.join("="))].join("&")}`;
    if (location.search !== query) history.replaceState(null, "", location.pathname + query);
    for (const link of document.querySelectorAll(".cdam-link")) link.value = location.href;
  };

  document.addEventListener("input", (event) => {
    if (event.target.matches(".cdam-overlay")) {
      event.target.closest(".cdam-maps").style.setProperty("--overlay", event.target.value);
      tell();
    }
    if (event.target.matches(".cdam-share")) draw(event.target.closest(".cdam-blur"));
  });

  document.addEventListener("click", async (event) => {
    if (event.target.matches(".cdam-link")) event.target.select();
    if (!event.target.matches(".cdam-copy")) return;
    const link = document.querySelector(".cdam-link");
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      event.target.textContent = "Copied";
    } catch {
      event.target.textContent = "Selected: copy it";  // browsers write to the clipboard of secure pages alone
    }
  });

  // Whatever the server sends is begun as soon as it stands in the page.
  new MutationObserver(() => {
    for (const blur of document.querySelectorAll(".cdam-blur:not([data-started])")) start(blur);
    const maps = document.querySelector(".cdam-maps:not([data-told])");
    const link = document.querySelector(".cdam-link:not([data-told])");
    for (const part of [maps, link]) if (part) part.dataset.told = "yes";
    if (maps || link) tell();
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
