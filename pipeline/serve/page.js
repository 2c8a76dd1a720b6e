/* The map: imagery, analysis tile by tile, boxes by score, one airplane at a time; a second map for a second model. */
"use strict";
const App = (() => {
  const { byId, element, number, plural, colour } = Page;
  const POLL_MS = 250;
  // Boxes of two models are of one airplane from this intersection over union on.
  const MIN_IOU = 0.3;
  const { models, airports, map: otherMap } = Page.data;

  // Of one model. Airplanes are features of GeoJSON, by falling score; until it is final, boxes of tiles.
  const noResult = () => ({ job: null, model: null, airplanes: [], isRunning: false, isFinal: false, progress: 0, status: "" });

  // A map with the result of one model.
  function createPane(suffix) {
    const map = L.map(`map${suffix}`, { preferCanvas: true, zoomSnap: 0.5, worldCopyJump: false }).setView([20, 0], 2);
    map.attributionControl.setPrefix("Leaflet");
    const [tileMarks, boxes, selection] = [L.layerGroup(), L.featureGroup(), L.layerGroup()].map((layer) => layer.addTo(map));
    return { suffix, map, tileMarks, boxes, selection, imagery: null, ...noResult() };
  }

  const panes = ["", "-2"].map(createPane);
  const [{ map }] = panes;
  // `run` counts what ends an analysis: a later one, or another scene. `pairs`: candidates of one airplane in both panes.
  const state = { sources: [], source: null, selected: null, run: 0, pairs: new Map(), matches: new Map() };
  // What other scripts of the page do when the scene or the airplanes of the first map change.
  const listeners = [];
  const changed = () => listeners.forEach((listener) => listener());

  const isComparing = () => Boolean(byId("other-model")?.value);
  const shownPanes = () => (isComparing() ? panes : [panes[0]]);

  async function request(path, options = {}) {
    const answer = await fetch(path, options);
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.error);
    return content;
  }

  const post = (path, content) =>
    request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });

  function complain(error) {
    byId("problem").textContent = error ? String(error.message ?? error) : "";
    byId("problem").hidden = !error;
  }

  const say = (text) => (byId("status").textContent = text);

  // Imagery.

  async function loadSources() {
    const { scenes } = await request("/scenes");
    state.sources = scenes.map((scene) => ({ ...scene, label: scene.error ? `${scene.id} (cannot be read)` : scene.id }));
    if (otherMap) state.sources.push({ id: "map", label: "Map (--tiles)", isMap: true });
    byId("source").replaceChildren(...state.sources.map((source) => element("option", { value: source.id }, source.label)));
    const first = state.sources.findIndex((source) => !source.error);
    if (first < 0) return say(scenes.length ? "None of the scenes can be read." : "No scenes: start the service with --scenes.");
    byId("source").selectedIndex = first;
    showSource();
    if (state.source.isMap && airports.length) goTo(airports[0].bounds);
  }

  function showSource() {
    const source = state.sources[byId("source").selectedIndex];
    stop();
    state.source = source;
    clear();
    changed();
    complain(source.error);
    setRunning(false);
    say(source.error ? "" : "Press Analyze to find the airplanes.");
    for (const pane of panes) {
      pane.imagery?.remove();
      pane.imagery = source.error ? null : imageryOf(source).addTo(pane.map);
    }
    if (source.error) return;
    byId("in-view").disabled = byId("in-view").checked = Boolean(source.isMap);
    if (!source.isMap) goTo(source.bounds);
  }

  function imageryOf(source) {
    if (source.isMap) return L.tileLayer("/map/{z}/{x}/{y}", { maxNativeZoom: otherMap.max_zoom, maxZoom: 22 });
    const url = `/scenes/${encodeURIComponent(source.id)}/tiles/{z}/{x}/{y}.webp`;
    const [west, south, east, north] = source.bounds;
    const bounds = L.latLngBounds([south, west], [north, east]);
    return L.tileLayer(url, { bounds, noWrap: true, maxNativeZoom: 21, maxZoom: 22 });
  }

  function goTo([west, south, east, north]) {
    map.fitBounds([[south, west], [north, east]], { animate: false });
  }

  // To imagery that shows the airport, if there is any: the present one rather than another.
  function goToAirport({ name, bounds }) {
    const [west, south, east, north] = bounds;
    const shows = ({ isMap, bounds: own }) => isMap || (own[0] < east && own[2] > west && own[1] < north && own[3] > south);
    const source = [state.source, ...state.sources].find((each) => each && !each.error && shows(each));
    if (source && source !== state.source) {
      byId("source").selectedIndex = state.sources.indexOf(source);
      showSource();
    }
    complain(source ? null : `No scene shows ${name}.`);
    goTo(bounds);
  }

  // Both maps show the same view; one that follows the other must not lead it.
  let isFollowing = false;
  function follow(leader, follower) {
    if (isFollowing || !isComparing()) return;
    isFollowing = true;
    follower.map.setView(leader.map.getCenter(), leader.map.getZoom(), { animate: false });
    isFollowing = false;
  }

  function showPanes() {
    const other = panes[1];
    const wasComparing = !byId("map-2").parentElement.hidden;
    byId("map-2").parentElement.hidden = !isComparing();
    byId("maps").classList.toggle("two", isComparing());
    if (isComparing() !== wasComparing) {
      // A scene that is all in view stays so; else what is in the middle stays there.
      const [west, south, east, north] = state.source?.bounds ?? [-180, -90, 180, 90];
      const isAllInView = map.getBounds().contains([[south, west], [north, east]]);
      const [centre, zoom] = [map.getCenter(), map.getZoom()];
      for (const pane of panes) pane.map.invalidateSize({ pan: false }).setView(centre, zoom, { animate: false });
      if (isAllInView && state.source?.bounds) goTo(state.source.bounds);
    }
    if (other.isRunning) request(`/jobs/${other.job}`, { method: "DELETE" }).catch(complain);
    clearPane(other);
    if (!isComparing()) for (const name of ["caption", "downloads-model"]) byId(name).hidden = true;
    if (panes[0].status) showProgress();
    draw();
  }

  // Analysis.

  function clearPane(pane) {
    Object.assign(pane, noResult());
    for (const layer of [pane.tileMarks, pane.boxes]) layer.clearLayers();
    byId(`downloads${pane.suffix}`).hidden = true;
    byId(`caption${pane.suffix}`).hidden = true;
    state.pairs = new Map();
  }

  function clear() {
    state.run += 1;
    select(null);
    panes.forEach(clearPane);
    byId("results").hidden = true;
  }

  function inView() {
    const bounds = map.getBounds();
    return [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
  }

  function task(model) {
    const content = { scene: state.source.id, model, min_score: 0.05 };
    if (state.source.isMap) return { ...content, bounds: inView() };
    if (!byId("in-view").checked) return content;
    const [west, south, east, north] = inView();
    const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
    return { ...content, aoi: { type: "Polygon", coordinates: [ring] } };
  }

  async function analyze() {
    clear();
    complain(null);
    setThreshold(models[byId("model").selectedIndex].min_score);
    const { run } = state;
    const names = [byId("model").value, byId("other-model")?.value];
    setRunning(true);
    await Promise.all(shownPanes().map((pane, index) => detect(pane, names[index], run)));
    if (run === state.run) setRunning(false);
  }

  async function detect(pane, model, run) {
    try {
      pane.model = model;
      byId(`caption${pane.suffix}`).textContent = model;
      byId(`caption${pane.suffix}`).hidden = !isComparing();
      const { jobID: id } = await post("/detect", task(model));
      if (run !== state.run) return void request(`/jobs/${id}`, { method: "DELETE" });
      pane.job = id;
      pane.isRunning = true;
      byId("results").hidden = false;
      await watch(pane);
    } catch (error) {
      if (run !== state.run) return;
      Object.assign(pane, { isRunning: false, status: "" });
      showProgress();
      complain(error);
    }
  }

  function setRunning(isRunning) {
    byId("analyze").disabled = isRunning || Boolean(state.source.error);
    byId("dismiss").hidden = byId("progress").hidden = !isRunning;
  }

  // Dismisses the jobs that run.
  function stop() {
    for (const { job, isRunning } of panes) if (isRunning) request(`/jobs/${job}`, { method: "DELETE" }).catch(complain);
  }

  function showProgress() {
    const shown = shownPanes();
    byId("progress").value = shown.reduce((sum, pane) => sum + pane.progress, 0) / shown.length;
    say(shown.map((pane) => pane.status).filter(Boolean).join("; "));
  }

  async function watch(pane) {
    const id = pane.job;
    const prefix = isComparing() ? `${pane.model}: ` : "";
    let drawn = 0;
    while (pane.job === id) {
      const { job, tiles } = await request(`/jobs/${id}/tiles?start=${drawn}`);
      if (pane.job !== id) return;
      drawn += tiles.length;
      tiles.forEach((tile) => lightUp(pane, tile));
      if (tiles.length) draw();
      pane.progress = job.progress;
      if (!["accepted", "running"].includes(job.status)) return finish(pane, job);
      const isWaiting = job.status === "accepted";
      pane.status = prefix + (isWaiting ? "waiting for other jobs or for the model" : `${drawn} of ${plural(job.tiles_planned, "tile")}`);
      showProgress();
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  function lightUp(pane, tile) {
    const failed = tile.status === "failed";
    const style = { color: failed ? "#d55e00" : "#56b4e9", weight: 1.5, fillOpacity: failed ? 0.35 : 0.12, interactive: false };
    const corners = tile.ring.map(([lon, lat]) => [lat, lon]);
    L.polygon(corners, { ...style, dashArray: failed ? "6 4" : null }).addTo(pane.tileMarks);
    for (const [score, west, south, east, north] of tile.airplanes) {
      const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
      pane.airplanes.push({ geometry: { type: "Polygon", coordinates: [ring] }, properties: { score } });
    }
  }

  async function finish(pane, job) {
    if (job.links.length > 1) {
      const { features } = await request(`/jobs/${job.jobID}/results`);
      if (pane.job !== job.jobID) return;
      pane.airplanes = features;
      pane.isFinal = true;
      byId(`downloads${pane.suffix}`).hidden = false;
      byId(`downloads-model${pane.suffix}`).textContent = `${pane.model}: `;
      byId(`downloads-model${pane.suffix}`).hidden = !isComparing();
      // Only tiles that failed stay on the map.
      pane.tileMarks.eachLayer((mark) => mark.options.dashArray || mark.remove());
    }
    if (job.message) complain(job.message);
    pane.isRunning = false;
    state.pairs = isComparing() && panes.every(({ isFinal }) => isFinal) ? candidatePairs() : new Map();
    link();
    draw();
    const outcome = { successful: "Done", failed: "Failed", dismissed: "Stopped" }[job.status];
    pane.status = `${outcome}: ${plural(job.tiles_done, "tile")}${job.km2 ? `, ${number(job.km2, 2)} km²` : ""}, ${job.model}`;
    showProgress();
    if (pane === panes[0]) changed();
  }

  // Comparison.

  // Of the upright boxes: the geometry is turned with the airplane only where it was measured, maybe by one model alone.
  function iou({ properties: first }, { properties: second }) {
    const width = Math.min(first.xmax_px, second.xmax_px) - Math.max(first.xmin_px, second.xmin_px);
    const height = Math.min(first.ymax_px, second.ymax_px) - Math.max(first.ymin_px, second.ymin_px);
    if (width <= 0 || height <= 0) return 0;
    const area = (box) => (box.xmax_px - box.xmin_px) * (box.ymax_px - box.ymin_px);
    return (width * height) / (area(first) + area(second) - width * height);
  }

  // For each airplane of the first map those of the second that overlap it, the best first.
  function candidatePairs() {
    const pairs = new Map();
    for (const airplane of panes[0].airplanes) {
      const overlapping = [];
      for (const other of panes[1].airplanes) {
        const overlap = iou(airplane, other);
        if (overlap >= MIN_IOU) overlapping.push([overlap, other]);
      }
      overlapping.sort(([first], [second]) => second - first);
      pairs.set(airplane, overlapping.map(([, other]) => other));
    }
    return pairs;
  }

  // Each airplane of the first map with one of the second, the highest scores first; both ways.
  function match() {
    const matches = new Map();
    for (const airplane of shown()) {
      const partner = (state.pairs.get(airplane) ?? []).find((other) => other.properties.score >= threshold() && !matches.has(other));
      if (partner) matches.set(airplane, partner).set(partner, airplane);
    }
    return matches;
  }

  function showComparison() {
    byId("comparison").hidden = !state.pairs.size;
    if (!state.pairs.size) return;
    const both = state.matches.size / 2;
    const alone = panes.map((pane) => `only ${pane.model}: ${Page.count(shown(pane).length - both)}`);
    byId("comparison").textContent = `Both models: ${Page.count(both)}. Dashed: ${alone.join(", ")}.`;
  }

  // Boxes.

  const threshold = () => Number(byId("score").value);
  const shown = (pane = panes[0]) => pane.airplanes.filter((airplane) => airplane.properties.score >= threshold());

  function rings(geometry) {
    const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
    return polygons.map((polygon) => polygon.map((ring) => ring.map(([lon, lat]) => [lat, lon])));
  }

  function draw() {
    state.matches = match();
    for (const pane of panes) drawBoxes(pane);
    const visible = shown();
    byId("count").textContent = Page.count(visible.length);
    byId("count-noun").textContent = visible.length === 1 ? "airplane" : "airplanes";
    showComparison();
    if (state.selected && !panes.some((pane) => shown(pane).includes(state.selected))) select(null);
  }

  function drawBoxes(pane) {
    pane.boxes.clearLayers();
    for (const airplane of shown(pane)) {
      const shape = rings(airplane.geometry);
      const dashArray = state.pairs.size && !state.matches.has(airplane) ? "5 4" : null;
      L.polygon(shape, { color: "#10151a", weight: 4, fill: false, interactive: false }).addTo(pane.boxes);
      const box = L.polygon(shape, { color: colour(airplane.properties.score), weight: 2, fillOpacity: 0.06, dashArray });
      box.on("click", () => select(airplane)).addTo(pane.boxes);
    }
  }

  function setThreshold(value) {
    byId("score").value = value;
    showThreshold();
  }

  function showThreshold() {
    byId("score-value").textContent = threshold().toFixed(2);
    draw();
    link();
  }

  function link() {
    for (const { job, suffix } of panes) {
      for (const format of ["geojson", "gpkg", "report"]) {
        byId(format + suffix).href = `/jobs/${job}/results?format=${format}&min_score=${threshold()}`;
      }
    }
  }

  function select(airplane) {
    const pane = panes.find(({ airplanes, isFinal }) => isFinal && airplanes.includes(airplane));
    state.selected = airplane;
    for (const { selection } of panes) selection.clearLayers();
    if (!pane) {
      byId("details").replaceChildren(element("p", { class: "quiet" }, "Click a box, or step through them by score."));
      return;
    }
    const shape = rings(airplane.geometry);
    const style = { color: "#ffffff", weight: 6, opacity: 0.9, fill: false, interactive: false };
    for (const { selection } of panes) L.polygon(shape, style).addTo(selection);
    const centre = L.polygon(shape).getBounds().getCenter();
    if (!map.getBounds().pad(-0.1).contains(centre)) map.panTo(centre, { animate: false });
    const facts = airplane.properties;
    const box = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"].map((side) => facts[side]).join(",");
    const rows = [["Score", number(facts.score, 3)], ["Size", `${number(facts.size_m, 1)} m`]];
    const partner = state.matches.get(airplane);
    const other = panes.find((each) => each !== pane);
    if (state.pairs.size) rows.push(["Model", pane.model], [other.model, partner ? `score ${number(partner.properties.score, 3)}` : "not detected"]);
    rows.push(["Lat, lon", `${number(centre.lat, 5)}, ${number(centre.lng, 5)}`], ["Id", facts.detection_id]);
    if (facts.length_m != null) {
      rows.push(["Length", `${number(facts.length_m, 1)} ± ${number(facts.length_sd_m, 1)} m`]);
      rows.push(["Wingspan", `${number(facts.wingspan_m, 1)} ± ${number(facts.wingspan_sd_m, 1)} m`]);
    }
    if (facts.heading_deg != null) rows.push(["Heading", `${number(facts.heading_deg, 0)} ± ${number(facts.heading_sd_deg, 0)}°`]);
    byId("details").replaceChildren(
      element("img", { src: `/jobs/${pane.job}/crop?box=${box}`, alt: `The airplane from above, score ${number(facts.score, 2)}` }),
      element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    );
  }

  // Through the airplanes of the first map, then those that the second one alone has.
  function step(by) {
    const alone = isComparing() ? shown(panes[1]).filter((airplane) => !state.matches.has(airplane)) : [];
    const visible = [...shown(), ...alone];
    if (!visible.length || panes.some(({ isRunning }) => isRunning) || !panes[0].isFinal) return;
    const index = visible.indexOf(state.selected);
    select(visible[index < 0 ? (by > 0 ? 0 : visible.length - 1) : (index + by + visible.length) % visible.length]);
  }

  panes[0].map.on("move", () => follow(panes[0], panes[1]));
  panes[1].map.on("move", () => follow(panes[1], panes[0]));
  byId("ramp").style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(colour).join(", ")})`;
  byId("source").addEventListener("change", showSource);
  byId("other-model")?.addEventListener("change", showPanes);
  byId("airport")?.addEventListener("change", (event) => {
    if (event.target.value !== "") goToAirport(airports[Number(event.target.value)]);
  });
  byId("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    analyze();
  });
  byId("dismiss").addEventListener("click", stop);
  byId("score").addEventListener("input", showThreshold);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  setThreshold(models[0].min_score);
  loadSources().catch(complain);

  return { panes, state, listeners, request, post, complain, rings, select, threshold };
})();
