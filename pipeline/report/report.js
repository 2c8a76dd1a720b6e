/* The report: the map of a scene, its airplanes above a threshold in a list, their scores and sizes. */
"use strict";
(function () {
  const { byId, element, svgElement, number, count, plural, colour } = Page;
  const { fields, scenes, min_score: keptScore } = Page.data;
  if (scenes.length === 0) return;

  /* ---- airplanes: a row of the data each, and what is needed often ---- */

  const column = Object.fromEntries(fields.map((name, index) => [name, index]));

  const pairs = (numbers) => numbers && [0, 2, 4, 6].map((start) => numbers.slice(start, start + 2));

  function toPlane(scene, row) {
    const value = (name) => row[column[name]];
    return {
      scene,
      value,
      score: value("score"),
      size: value("size_m"),
      left: value("xmin_px"),
      top: value("ymin_px"),
      right: value("xmax_px"),
      bottom: value("ymax_px"),
      corners: pairs(value("corners")), // beside the nose: the first and the last
      hasNose: value("corners") !== null && value("heading_deg") !== null,
    };
  }

  for (const scene of scenes) scene.planes = scene.rows.map((row) => toPlane(scene, row)); // by falling score
  const byScore = (a, b) => b.score - a.score;
  const bySize = (a, b) => b.size - a.size || byScore(a, b);
  const allPlanes = scenes.flatMap((scene) => scene.planes).sort(byScore);

  // Rounded down, so that scores agree with the threshold, and only 1 is shown as 1.00.
  const scoreText = (plane) => number(Math.floor(plane.score * 100 + 1e-9) / 100, 2);
  const sizeText = (plane) => `${number(plane.size, 1)} m`;

  function swatch(plane) {
    const made = element("span", { class: "swatch", "aria-hidden": "true" });
    made.style.background = colour(plane.score);
    return made;
  }

  /* ---- state ---- */

  const state = {
    filter: scenes.length === 1 ? scenes[0] : null, // the list's scene; null: all
    scene: (allPlanes[0] || { scene: scenes[0] }).scene, // on the map
    sort: byScore,
    minScore: 0,
    selected: null,
  };
  let inFilter = []; // planes of the filter, sorted
  let listed = []; // those of them above the threshold

  const map = SceneMap.create(byId("map"), {
    onSelect: (plane) => select(plane, false),
    describe: (plane) => `${scoreText(plane)} · ${sizeText(plane)}`,
    onLoad: repaintSoon,
  });

  const isShown = (plane) => plane.score >= state.minScore;

  // Airplanes, or their order, have changed.
  function applyFilter() {
    inFilter = (state.filter ? state.filter.planes : allPlanes).slice().sort(state.sort);
    applyScore();
  }

  function applyScore() {
    listed = inFilter.filter(isShown);
    if (state.selected && !isShown(state.selected)) state.selected = null;
    const shownOfAll = state.filter ? allPlanes.reduce((sum, plane) => sum + isShown(plane), 0) : listed.length;
    byId("total").textContent =
      shownOfAll === allPlanes.length ? count(shownOfAll) : `${count(shownOfAll)} of ${count(allPlanes.length)}`;
    byId("shown").textContent =
      listed.length === inFilter.length
        ? plural(listed.length, "airplane")
        : `${count(listed.length)} of ${plural(inFilter.length, "airplane")}`;
    byId("score-value").textContent = number(state.minScore, 2);
    drawScores();
    drawSizes();
    drawMap();
    drawDetails();
    drawList();
  }

  function drawMap() {
    map.showScene(state.scene);
    byId("caption").textContent = state.filter ? "" : state.scene.name;
    byId("note").textContent = state.scene.note;
    byId("note").hidden = state.scene.note === "";
    map.setPlanes(state.scene.planes.filter(isShown), state.selected);
  }

  function select(plane, fly) {
    state.selected = plane;
    if (plane) state.scene = plane.scene;
    drawMap();
    if (plane && fly) {
      byId("map").scrollIntoView({ block: "nearest" });
      map.flyTo(plane);
    }
    drawDetails();
    revealSelected();
    drawList();
  }

  // By +1 or -1 in the list; from its start or end if nothing is selected.
  function step(by) {
    if (listed.length === 0) return;
    const index = listed.indexOf(state.selected);
    const next = index < 0 ? (by > 0 ? 0 : listed.length - 1) : index + by;
    selectAt(next);
  }

  const selectAt = (index) => select(listed[Math.min(Math.max(index, 0), listed.length - 1)], true);

  /* ---- the selected airplane ---- */

  function fieldsOf(plane) {
    const { value, scene } = plane;
    const measured = (name, sd, digits, unit) =>
      value(name) === null ? null : `${number(value(name), digits)} ± ${number(value(sd), digits)}${unit}`;
    return [
      ["Length", measured("length_m", "length_sd_m", 1, " m")],
      ["Wingspan", measured("wingspan_m", "wingspan_sd_m", 1, " m")],
      ["Heading", measured("heading_deg", "heading_sd_deg", 0, "°")],
      ["Longitude", number(value("longitude"), 6)],
      ["Latitude", number(value("latitude"), 6)],
      ["Detected at", `${number(value("resolution_m"), 2)} m per pixel`],
      ["Columns", `${number(plane.left, 1)} to ${number(plane.right, 1)}`],
      ["Rows", `${number(plane.top, 1)} to ${number(plane.bottom, 1)}`],
      ["Acquired", scene.shared.acquired_at],
      ["Scene", scene.name],
      ["Id", value("detection_id")],
    ].filter(([, text]) => text !== null);
  }

  function drawDetails() {
    const plane = state.selected;
    byId("details").hidden = plane === null;
    if (plane === null) return;
    const index = listed.indexOf(plane);
    byId("details-title").textContent = sizeText(plane);
    byId("details-score").replaceChildren(swatch(plane), `Score ${scoreText(plane)}`);
    byId("previous").disabled = index === 0;
    byId("next").disabled = index === listed.length - 1;
    const terms = fieldsOf(plane).map(([name, text]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, text)),
    );
    byId("fields").replaceChildren(...terms);
  }

  /* ---- charts ---- */

  const CHART = { width: 320, height: 72, top: 4, labels: 16 };

  // Bars of those shown, before pale bars of all; bins are half-open but for the last one.
  function histogram(planes, bins, binOf) {
    const counts = Array.from({ length: bins }, () => ({ all: 0, shown: 0 }));
    for (const plane of planes) {
      const bin = counts[Math.min(Math.max(Math.floor(binOf(plane) + 1e-9), 0), bins - 1)];
      bin.all += 1;
      bin.shown += isShown(plane);
    }
    return counts;
  }

  function chart(parent, counts, { title, label, fill, ticks }) {
    const highest = Math.max(1, ...counts.map(({ all }) => all));
    const step = CHART.width / counts.length;
    const base = CHART.height;
    const text = counts.map(({ shown }, index) => [label(index), shown]).filter(([, shown]) => shown);
    const svg = svgElement("svg", {
      class: "chart",
      viewBox: `0 0 ${CHART.width} ${CHART.height + CHART.labels}`,
      role: "img",
      "aria-label": `${title}. ${text.map((parts) => parts.join(": ")).join("; ") || "none"}`,
    });
    const bar = (index, value, attributes) => {
      const height = Math.max(value ? 3 : 0, (value / highest) * (base - CHART.top));
      return svgElement("rect", { x: index * step + 0.6, y: base - height, width: step - 1.2, height, ...attributes });
    };
    counts.forEach(({ all, shown }, index) => {
      const group = svgElement("g", {}, svgElement("title", {}, `${label(index)}: ${count(shown)} of ${count(all)}`));
      group.append(bar(index, all, { class: "all" }), bar(index, shown, { fill: fill(index) }));
      svg.append(group);
    });
    svg.append(svgElement("line", { x1: 0, x2: CHART.width, y1: base, y2: base }));
    for (const [position, tick] of ticks) {
      const anchor = position === 0 ? "start" : position === 1 ? "end" : "middle";
      const x = position * CHART.width;
      svg.append(svgElement("text", { x, y: base + CHART.labels - 3, "text-anchor": anchor }, tick));
    }
    parent.replaceChildren(svg);
  }

  function drawScores() {
    const bins = 25;
    chart(byId("scores"), histogram(inFilter, bins, (plane) => plane.score * bins), {
      title: "Airplanes by score",
      label: (index) => `${number(index / bins, 2)} to ${number((index + 1) / bins, 2)}`,
      fill: (index) => colour((index + 0.5) / bins),
      ticks: [0, 0.2, 0.4, 0.6, 0.8, 1].map((tick) => [tick, number(tick, 1)]),
    });
  }

  function drawSizes() {
    const largest = inFilter.reduce((most, plane) => Math.max(most, plane.size), 20);
    const width = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((step) => largest / step <= 30) || largest / 30;
    const bins = Math.floor(largest / width) + 1;
    const every = Math.ceil(bins / 6);
    const ticks = [];
    for (let index = 0; index <= bins; index += every) ticks.push([index / bins, `${index * width} m`]);
    chart(byId("sizes"), histogram(inFilter, bins, (plane) => plane.size / width), {
      title: "Airplanes by size",
      label: (index) => `${index * width} to ${(index + 1) * width} m`,
      fill: () => "var(--accent)",
      ticks,
    });
    const sizes = listed.map((plane) => plane.size).sort((a, b) => a - b);
    byId("sizes-summary").textContent = sizes.length
      ? `median ${number(sizes[Math.floor((sizes.length - 1) / 2)], 1)} m, largest ${number(sizes[sizes.length - 1], 1)} m`
      : "";
  }

  /* ---- the list: only the rows in view exist ---- */

  const ROW_PX = 64; // as in report.css
  const SPARE_ROWS = 3; // above and below those in view
  const list = byId("list");
  let thumbnails = []; // of the rows that exist: plane and canvas

  function listRow(plane, index) {
    const thumbnail = element("canvas", { width: 104, height: 104, "aria-hidden": "true" });
    thumbnails.push([plane, thumbnail]);
    const position = `${number(plane.value("longitude"), 4)}, ${number(plane.value("latitude"), 4)}`;
    const row = element(
      "div",
      {
        id: `row-${index}`,
        role: "option",
        "aria-selected": plane === state.selected,
        "aria-setsize": listed.length,
        "aria-posinset": index + 1,
      },
      thumbnail,
      element(
        "div",
        {},
        element("b", {}, sizeText(plane)),
        element("span", { class: "quiet" }, state.filter ? position : plane.scene.name),
      ),
      element("span", { class: "score" }, swatch(plane), scoreText(plane)),
    );
    row.style.top = `${index * ROW_PX}px`;
    return row;
  }

  function drawList() {
    const start = Math.max(0, Math.floor(list.scrollTop / ROW_PX) - SPARE_ROWS);
    const end = Math.min(listed.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_PX) + SPARE_ROWS);
    byId("rows").style.height = `${listed.length * ROW_PX}px`;
    thumbnails = [];
    const rows = listed.slice(start, end).map((plane, offset) => listRow(plane, start + offset));
    const none = element("p", { class: "quiet" }, inFilter.length ? "None above this score." : "No airplanes detected.");
    byId("rows").replaceChildren(...(listed.length ? rows : [none]));
    drawThumbnails();
    const index = listed.indexOf(state.selected);
    if (index >= start && index < end) list.setAttribute("aria-activedescendant", `row-${index}`);
    else list.removeAttribute("aria-activedescendant");
  }

  function drawThumbnails() {
    for (const [plane, canvas] of thumbnails) SceneMap.drawThumbnail(canvas, plane.scene, plane, repaintSoon);
    if (state.selected) SceneMap.drawThumbnail(byId("portrait"), state.selected.scene, state.selected, repaintSoon);
  }

  function revealSelected() {
    const index = listed.indexOf(state.selected);
    if (index < 0) return;
    const [top, bottom] = [index * ROW_PX, (index + 1) * ROW_PX];
    if (top < list.scrollTop) list.scrollTop = top;
    else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
  }

  let repaintRequest = 0;
  // Pixels have been decoded: draws map and thumbnails again, once a frame.
  function repaintSoon() {
    repaintRequest ||= requestAnimationFrame(() => {
      repaintRequest = 0;
      map.repaint();
      drawThumbnails();
    });
  }

  let listRequest = 0;
  function drawListSoon() {
    listRequest ||= requestAnimationFrame(() => {
      listRequest = 0;
      drawList();
    });
  }

  /* ---- controls ---- */

  function setScore(score) {
    byId("score").value = score;
    state.minScore = Number(byId("score").value);
    applyScore();
  }

  function setSort(sort) {
    state.sort = sort;
    byId("by-score").setAttribute("aria-pressed", sort === byScore);
    byId("by-size").setAttribute("aria-pressed", sort === bySize);
    list.scrollTop = 0;
    applyFilter();
    revealSelected();
  }

  // The scene of the list and the map, or null: all airplanes are in the list, and the map stays.
  function chooseScene(scene) {
    state.filter = scene;
    state.selected = null;
    if (scene) state.scene = scene;
    byId("scene").value = scene ? scenes.indexOf(scene) : "all";
    list.scrollTop = 0;
    applyFilter();
  }

  function stepScene(by) {
    const index = scenes.indexOf(state.scene) + by;
    if (scenes[index]) chooseScene(scenes[index]);
  }

  function sceneOption(scene, index) {
    const status = scene.status === "complete" ? "" : `, ${scene.status}`;
    return element("option", { value: index, title: scene.uri }, `${scene.name} (${count(scene.planes.length)}${status})`);
  }

  function describePixels() {
    const sharp = scenes.reduce((sum, scene) => sum + scene.sharp, 0);
    byId("pixels").hidden = sharp === allPlanes.length;
    byId("pixels").textContent =
      `To keep this file small, the ${count(sharp)} airplanes with the highest scores have their real pixels here; ` +
      `the other ${count(allPlanes.length - sharp)} are seen in the reduced overview only.`;
  }

  const KEYS = {
    n: () => step(1),
    p: () => step(-1),
    N: () => stepScene(1),
    P: () => stepScene(-1),
    ",": () => setScore(state.minScore - 0.05),
    ".": () => setScore(state.minScore + 0.05),
    s: () => setSort(state.sort === byScore ? bySize : byScore),
    "+": () => map.zoomBy(0.5),
    "=": () => map.zoomBy(0.5),
    "-": () => map.zoomBy(-0.5),
    "−": () => map.zoomBy(-0.5),
    0: () => map.fit(),
    z: () => state.selected && map.flyTo(state.selected),
    Escape: () => select(null, false),
    "?": () => {
      byId("keys").scrollIntoView({ block: "nearest" });
      byId("keys").focus();
    },
  };
  const PAN_PX = 120;
  const MAP_KEYS = {
    ArrowLeft: () => map.panBy(-PAN_PX, 0),
    ArrowRight: () => map.panBy(PAN_PX, 0),
    ArrowUp: () => map.panBy(0, -PAN_PX),
    ArrowDown: () => map.panBy(0, PAN_PX),
  };
  const PAGE_ROWS = 6;
  const LIST_KEYS = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    PageDown: () => selectAt(listed.indexOf(state.selected) + PAGE_ROWS),
    PageUp: () => selectAt(listed.indexOf(state.selected) - PAGE_ROWS),
    Home: () => selectAt(0),
    End: () => selectAt(listed.length - 1),
  };

  function press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
    const own = { map: MAP_KEYS, list: listed.length ? LIST_KEYS : {} }[event.target.id] || {};
    const act = own[event.key] || KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  function start() {
    if (scenes.length > 1) byId("scene").append(element("option", { value: "all" }, `All scenes (${count(allPlanes.length)})`));
    byId("scene").append(...scenes.map(sceneOption));
    for (const id of ["previous-scene", "next-scene"]) byId(id).hidden = scenes.length === 1;
    byId("score").style.setProperty("--ramp", `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(colour).join(", ")})`);
    byId("kept").textContent = keptScore > 0 ? `The run kept what scores ${Number(keptScore.toFixed(4))} or more.` : "";
    describePixels();
    byId("scene").addEventListener("change", ({ target }) => chooseScene(scenes[target.value] || null));
    byId("previous-scene").addEventListener("click", () => stepScene(-1));
    byId("next-scene").addEventListener("click", () => stepScene(1));
    byId("zoom-in").addEventListener("click", () => map.zoomBy(0.5));
    byId("zoom-out").addEventListener("click", () => map.zoomBy(-0.5));
    byId("fit").addEventListener("click", () => map.fit());
    byId("close").addEventListener("click", () => select(null, false));
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    byId("score").addEventListener("input", ({ target }) => setScore(target.value));
    byId("by-score").addEventListener("click", () => setSort(byScore));
    byId("by-size").addEventListener("click", () => setSort(bySize));
    list.addEventListener("scroll", drawListSoon);
    // By position: a row may be drawn anew between the press and the release of the button, and is another element then.
    list.addEventListener("click", ({ clientY }) => {
      const plane = listed[Math.floor((clientY - byId("rows").getBoundingClientRect().top) / ROW_PX)];
      if (plane) select(plane, true);
    });
    new ResizeObserver(drawListSoon).observe(list);
    document.addEventListener("keydown", press);
    state.minScore = Math.floor(keptScore * 100) / 100;
    byId("score").value = state.minScore;
    chooseScene(state.filter);
  }

  start();
})();
