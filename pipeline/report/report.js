/* The report: one scene at a time on a Leaflet map in scene pixels, with its charts and its list. */
"use strict";
(function () {
  const { byId, element, number, plural, colour } = Page;
  const report = Page.data;
  if (report.scenes.length === 0) return;

  const column = Object.fromEntries(report.fields.map((name, index) => [name, index]));
  const field = (row, name) => row[column[name]];

  /* ---- elements and numbers ---- */

  function svgElement(name, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function swatch(score) {
    const made = element("span", { class: "swatch", "aria-hidden": "true" });
    made.style.background = colour(score);
    return made;
  }

  // Rounded down, so that scores agree with the threshold, and only 1 is shown as 1.00.
  const scoreText = (row) => number(Math.floor(field(row, "score") * 100 + 1e-9) / 100, 2);
  const measured = (value, digits, unit) => (value === null ? "not measured" : `${number(value, digits)} ${unit}`);

  /* ---- state ---- */

  const LIST_START = 25;
  const LIST_STEP = 100;
  let scene = report.scenes.find((candidate) => candidate.rows.length > 0) || report.scenes[0];
  let minScore = 0;
  let selected = -1;
  let listed = LIST_START;

  // Rows are sorted by score: those above the threshold are the first.
  function shownCount() {
    const end = scene.rows.findIndex((row) => field(row, "score") < minScore);
    return end < 0 ? scene.rows.length : end;
  }

  /* ---- the map: x to the right, y down, in pixels of the scene ---- */

  const TINY_PX = 9; // a box smaller than this on the screen is drawn as a dot
  const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const map = L.map("map", {
    crs: L.CRS.Simple,
    renderer: L.canvas({ padding: 0.3, tolerance: 4 }),
    attributionControl: false,
    zoomSnap: 0.25,
    zoomDelta: 0.5,
    zoomAnimation: !reducedMotion,
    fadeAnimation: false,
    maxBoundsViscosity: 0.8,
  });
  const background = L.layerGroup().addTo(map);
  const boxes = L.featureGroup().addTo(map);
  const selection = L.layerGroup().addTo(map);
  const corner = (x, y) => L.latLng(-y, x);
  const bounds = (xmin, ymin, xmax, ymax) => L.latLngBounds(corner(xmin, ymin), corner(xmax, ymax));
  const boundsOf = (row) => bounds(...["xmin_px", "ymin_px", "xmax_px", "ymax_px"].map((name) => field(row, name)));

  function screenSize(row) {
    const widest = Math.max(
      field(row, "xmax_px") - field(row, "xmin_px"),
      field(row, "ymax_px") - field(row, "ymin_px"),
    );
    return widest * map.getZoomScale(map.getZoom(), 0);
  }

  function drawBackground() {
    background.clearLayers();
    const frame = bounds(0, 0, scene.width, scene.height);
    map.setMaxBounds(null);
    map.setMinZoom(-Infinity);
    map.invalidateSize();
    const fitZoom = map.getBoundsZoom(frame);
    map.options.minZoom = fitZoom - 0.5;
    map.setMaxZoom(Math.max(1.5, fitZoom + 1));
    map.fitBounds(frame, { animate: false });
    map.setMaxBounds(frame.pad(0.25));
    if (scene.thumbnail) L.imageOverlay(scene.thumbnail, frame, { alt: `Overview of ${scene.name}` }).addTo(background);
    L.rectangle(frame, { color: "#888", weight: 1, fill: false, interactive: false }).addTo(background);
    for (const part of scene.failures) {
      const style = { color: "#ff5f1f", weight: 1.5, dashArray: "6 4", fillOpacity: 0.2 };
      L.rectangle(bounds(...part.box), style).bindTooltip(`Not processed: ${part.error}`, { sticky: true }).addTo(background);
    }
  }

  function boxLayers(row) {
    const fillColor = colour(field(row, "score"));
    if (screenSize(row) < TINY_PX) {
      const style = { radius: 4, color: "#111", weight: 1.5, fillColor, fillOpacity: 1 };
      return [L.circleMarker(boundsOf(row).getCenter(), style)];
    }
    const edge = { weight: 4, color: "#111", opacity: 0.65, fill: false, interactive: false };
    return [L.rectangle(boundsOf(row), edge), L.rectangle(boundsOf(row), { weight: 2, color: fillColor, fillOpacity: 0.08 })];
  }

  function drawBoxes() {
    boxes.clearLayers();
    // The highest score last, so that it lies on top.
    for (let index = shownCount() - 1; index >= 0; index -= 1) {
      for (const layer of boxLayers(scene.rows[index])) {
        layer.airplane = index;
        boxes.addLayer(layer);
      }
    }
    drawSelection();
  }

  function drawSelection() {
    selection.clearLayers();
    if (selected < 0) return;
    const row = scene.rows[selected];
    const gap = 5 / map.getZoomScale(map.getZoom(), 0);
    const [xmin, ymin, xmax, ymax] = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"].map((name) => field(row, name));
    const around = bounds(xmin - gap, ymin - gap, xmax + gap, ymax + gap);
    for (const style of [{ weight: 6, color: "#111" }, { weight: 3, color: "#fff" }]) {
      L.rectangle(around, { ...style, fill: false, interactive: false }).addTo(selection);
    }
  }

  function zoomTo(row) {
    const closeZoom = Math.min(map.getBoundsZoom(boundsOf(row).pad(4)), map.getMaxZoom());
    map.setView(boundsOf(row).getCenter(), Math.max(map.getZoom(), closeZoom), { animate: false });
  }

  /* ---- one airplane's fields ---- */

  function fieldsOf(row) {
    const value = (name) => field(row, name);
    const sides = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"].map((name) => number(value(name), 1));
    return [
      ["Score", scoreText(row)],
      ["Size", measured(value("size_m"), 1, "m")],
      ["Length", measured(value("length_m"), 1, "m")],
      ["Wingspan", measured(value("wingspan_m"), 1, "m")],
      ["Heading", measured(value("heading_deg"), 0, "°")],
      ["Longitude", number(value("longitude"), 6)],
      ["Latitude", number(value("latitude"), 6)],
      ["Detected at", `${number(value("resolution_m"), 2)} m per pixel`],
      ["Box, pixels", `x ${sides[0]} to ${sides[2]}, y ${sides[1]} to ${sides[3]}`],
      ["Acquired", scene.shared.acquired_at || "unknown"],
      ["Id", value("detection_id")],
      ["Scene id", scene.shared.scene_id],
      ["Model", scene.shared.model],
    ];
  }

  function drawDetails() {
    byId("previous").setAttribute("aria-disabled", neighbour(-1) === selected);
    byId("next").setAttribute("aria-disabled", neighbour(1) === selected);
    if (selected < 0) {
      const text = shownCount()
        ? "Select a box on the image, or step through by descending score."
        : "No airplanes to show.";
      byId("details").replaceChildren(element("p", { class: "quiet" }, text));
      return;
    }
    const terms = fieldsOf(scene.rows[selected]).flatMap(([name, text]) => [
      element("dt", {}, name),
      element("dd", {}, ...(name === "Score" ? [swatch(field(scene.rows[selected], "score"))] : []), text),
    ]);
    byId("details").replaceChildren(element("dl", {}, ...terms));
  }

  // Index of the previous (-1) or next (1) airplane by score; stops at either end.
  function neighbour(by) {
    return Math.min(Math.max(selected + by, 0), shownCount() - 1);
  }

  function step(by) {
    if (neighbour(by) !== selected) select(neighbour(by), true);
  }

  function select(index, move) {
    selected = index;
    if (index >= listed) {
      listed = index + 1;
      drawList();
    }
    if (move) zoomTo(scene.rows[index]);
    drawSelection();
    drawDetails();
    highlightRow();
  }

  /* ---- charts ---- */

  const CHART = { width: 320, height: 130, left: 4, right: 4, top: 14, bottom: 18 };

  function chart(parent, bins, ticks, title) {
    const maxCount = Math.max(1, ...bins.map((bin) => bin.count));
    const binWidth = (CHART.width - CHART.left - CHART.right) / bins.length;
    const plotHeight = CHART.height - CHART.top - CHART.bottom;
    const base = CHART.top + plotHeight;
    const summary = bins.filter((bin) => bin.count).map((bin) => `${bin.label}: ${bin.count}`).join("; ") || "none";
    const svg = svgElement("svg", {
      class: "chart",
      viewBox: `0 0 ${CHART.width} ${CHART.height}`,
      role: "img",
      "aria-label": `${title}. ${summary}`,
    });
    bins.forEach((bin, index) => {
      const x = CHART.left + index * binWidth;
      const height = (bin.count / maxCount) * plotHeight;
      const size = { x: x + 0.75, y: base - height, width: binWidth - 1.5, height, fill: bin.fill, rx: 1.5 };
      const bar = svgElement("rect", { ...size, class: bin.hidden ? "off" : "on" });
      bar.append(svgElement("title", {}, `${bin.label}: ${bin.count}`));
      svg.append(bar);
      if (bin.count && maxCount < 1000) {
        svg.append(svgElement("text", { x: x + binWidth / 2, y: base - height - 3, "text-anchor": "middle" }, bin.count));
      }
    });
    svg.append(svgElement("line", { x1: CHART.left, x2: CHART.width - CHART.right, y1: base, y2: base }));
    ticks.forEach((tick) => {
      const x = CHART.left + tick.at * (CHART.width - CHART.left - CHART.right);
      const anchor = tick.at === 0 ? "start" : tick.at === 1 ? "end" : "middle";
      svg.append(svgElement("text", { x, y: CHART.height - 4, "text-anchor": anchor }, tick.text));
    });
    parent.replaceChildren(svg);
  }

  // Bins are half-open; the last one includes its upper end.
  function histogram(values, width, bins) {
    const counts = new Array(bins).fill(0);
    for (const value of values) counts[Math.min(Math.floor(value / width + 1e-9), bins - 1)] += 1;
    return counts;
  }

  function drawScores() {
    const bins = 20;
    const counts = histogram(scene.rows.map((row) => field(row, "score")), 1 / bins, bins);
    const bars = counts.map((count, index) => ({
      count,
      label: `${(index / bins).toFixed(2)} to ${((index + 1) / bins).toFixed(2)}`,
      fill: colour((index + 0.5) / bins),
      hidden: (index + 1) / bins <= minScore,
    }));
    const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1].map((at) => ({ at, text: at.toFixed(1) }));
    chart(byId("scores"), bars, ticks, "Airplanes by score");
  }

  function drawSizes() {
    const sizes = scene.rows.map((row) => field(row, "size_m"));
    const largest = Math.max(20, ...sizes);
    const width = [2, 5, 10, 20, 50, 100, 200, 500, 1000].find((step) => largest / step <= 20) || largest / 20;
    const bins = Math.max(1, Math.ceil(largest / width));
    const shown = histogram(sizes.slice(0, shownCount()), width, bins);
    const bars = shown.map((count, index) => ({
      count,
      label: `${index * width} to ${(index + 1) * width} m`,
      fill: "var(--accent)",
      hidden: false,
    }));
    const every = Math.max(1, Math.ceil(bins / 6));
    const ticks = [];
    for (let index = 0; index <= bins; index += every) ticks.push({ at: index / bins, text: String(index * width) });
    chart(byId("sizes"), bars, ticks, "Airplanes shown, by size");
  }

  /* ---- the list ---- */

  function listRow(row, index) {
    const button = element("button", { type: "button", "aria-label": `Show airplane ${index + 1}` }, String(index + 1));
    button.addEventListener("click", () => {
      select(index, true);
      byId("map").scrollIntoView({ block: "nearest", behavior: reducedMotion ? "auto" : "smooth" });
    });
    const texts = [
      number(field(row, "size_m"), 1),
      number(field(row, "resolution_m"), 2),
      number(field(row, "longitude"), 6),
      number(field(row, "latitude"), 6),
    ];
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, button),
      element("td", { class: "number" }, swatch(field(row, "score")), scoreText(row)),
      ...texts.map((text) => element("td", { class: "number" }, text)),
    );
  }

  function drawList() {
    const end = Math.min(shownCount(), listed);
    const none = element("tr", {}, element("td", { class: "quiet", colspan: 6 }, "No airplanes to show."));
    byId("list").tBodies[0].replaceChildren(...(end ? scene.rows.slice(0, end).map(listRow) : [none]));
    byId("more").hidden = end === shownCount();
    highlightRow();
  }

  function highlightRow() {
    [...byId("list").tBodies[0].rows].forEach((row, index) => {
      if (index === selected) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    });
  }

  /* ---- the controls ---- */

  function drawShown() {
    const total = scene.rows.length;
    byId("shown").textContent = `${shownCount().toLocaleString("en")} of ${plural(total, "airplane")} shown`;
    byId("score-value").textContent = number(minScore, 2);
  }

  function changeScore() {
    minScore = Number(byId("score").value);
    if (selected >= shownCount()) selected = -1;
    drawShown();
    drawBoxes();
    drawScores();
    drawSizes();
    drawDetails();
    drawList();
  }

  function changeScene() {
    scene = report.scenes[Number(byId("scene").value)];
    selected = -1;
    listed = LIST_START;
    byId("note").textContent = scene.note;
    byId("note").hidden = scene.note === "";
    drawBackground();
    changeScore();
  }

  function start() {
    report.scenes.forEach((candidate, index) => {
      const text = `${candidate.name} (${candidate.status === "complete" ? candidate.rows.length : `${candidate.rows.length}, ${candidate.status}`})`;
      byId("scene").append(element("option", { value: index, title: candidate.uri }, text));
    });
    byId("scene").value = report.scenes.indexOf(scene);
    byId("score").style.setProperty("--ramp", `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(colour).join(", ")})`);
    boxes.bindTooltip(
      (layer) => {
        const row = scene.rows[layer.airplane];
        return `${scoreText(row)}, ${number(field(row, "size_m"), 0)} m`;
      },
      { sticky: true },
    );
    boxes.on("click", (event) => select(event.layer.airplane, false));
    map.on("zoomend", drawBoxes);
    byId("scene").addEventListener("change", changeScene);
    byId("score").addEventListener("input", changeScore);
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    byId("more").addEventListener("click", () => {
      listed += LIST_STEP;
      drawList();
    });
    changeScene();
  }

  start();
})();
