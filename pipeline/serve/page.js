/* The map: imagery, analysis tile by tile, boxes by score, one airplane at a time. */
"use strict";
const App = (() => {
  const { byId, element, number, plural, colour } = Page;
  const POLL_MS = 250;
  const { models, airports, map: otherMap } = Page.data;

  const map = L.map("map", { preferCanvas: true, zoomSnap: 0.5, worldCopyJump: false }).setView([20, 0], 2);
  map.attributionControl.setPrefix("Leaflet");
  const tileMarks = L.layerGroup().addTo(map);
  const boxes = L.featureGroup().addTo(map);
  const selection = L.layerGroup().addTo(map);
  // What the page knows; airplanes are features of GeoJSON, by falling score.
  const state = { sources: [], source: null, imagery: null, job: null, airplanes: [], selected: null, isFinal: false };
  // What other scripts of the page do when the scene or the airplanes change.
  const listeners = [];
  const changed = () => listeners.forEach((listener) => listener());

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
    if (otherMap) state.sources.push({ id: "map", label: "The map", isMap: true });
    byId("source").replaceChildren(...state.sources.map((source) => element("option", { value: source.id }, source.label)));
    const first = state.sources.findIndex((source) => !source.error);
    if (first < 0) return say(scenes.length ? "None of the scenes can be read." : "No scenes: start the service with --scenes.");
    byId("source").selectedIndex = first;
    showSource();
    if (state.source.isMap && airports.length) goTo(airports[0].bounds);
  }

  function showSource() {
    const source = state.sources[byId("source").selectedIndex];
    state.source = source;
    state.imagery?.remove();
    state.imagery = null;
    clear();
    changed();
    complain(source.error);
    byId("analyze").disabled = Boolean(source.error);
    say(source.error ? "" : "Press Analyze to find the airplanes.");
    if (source.error) return;
    if (source.isMap) {
      state.imagery = L.tileLayer("/map/{z}/{x}/{y}", { maxNativeZoom: otherMap.max_zoom, maxZoom: 22 });
      byId("in-view").checked = true;
    } else {
      const url = `/scenes/${encodeURIComponent(source.id)}/tiles/{z}/{x}/{y}.webp`;
      const [west, south, east, north] = source.bounds;
      const bounds = L.latLngBounds([south, west], [north, east]);
      state.imagery = L.tileLayer(url, { bounds, noWrap: true, maxNativeZoom: 21, maxZoom: 22 });
      goTo(source.bounds);
    }
    byId("in-view").disabled = Boolean(source.isMap);
    state.imagery.addTo(map);
  }

  function goTo([west, south, east, north]) {
    map.fitBounds([[south, west], [north, east]], { animate: false });
  }

  // Analysis.

  function clear() {
    state.job = null;
    state.airplanes = [];
    state.isFinal = false;
    select(null);
    for (const layer of [tileMarks, boxes]) layer.clearLayers();
    byId("results").hidden = true;
    byId("downloads").hidden = true;
  }

  function inView() {
    const bounds = map.getBounds();
    return [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
  }

  function task() {
    const content = { scene: state.source.id, model: byId("model").value, min_score: 0.05 };
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
    try {
      const job = await post("/detect", task());
      state.job = job.jobID;
      byId("results").hidden = false;
      setRunning(true);
      await follow(job.jobID);
    } catch (error) {
      complain(error);
      say("");
    } finally {
      setRunning(false);
    }
  }

  function setRunning(isRunning) {
    byId("analyze").disabled = isRunning;
    byId("dismiss").hidden = byId("progress").hidden = !isRunning;
  }

  async function follow(id) {
    let drawn = 0;
    while (state.job === id) {
      const { job, tiles } = await request(`/jobs/${id}/tiles?start=${drawn}`);
      if (state.job !== id) return;
      drawn += tiles.length;
      tiles.forEach(lightUp);
      byId("progress").value = job.progress;
      if (job.status === "accepted") say("Waiting for other jobs, or for the model.");
      else say(`${drawn} of ${plural(job.tiles_planned, "tile")}`);
      if (!["accepted", "running"].includes(job.status)) return finish(job);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  function lightUp(tile) {
    const failed = tile.status === "failed";
    const style = { color: failed ? "#d55e00" : "#56b4e9", weight: 1.5, fillOpacity: failed ? 0.35 : 0.12, interactive: false };
    const corners = tile.ring.map(([lon, lat]) => [lat, lon]);
    L.polygon(corners, { ...style, dashArray: failed ? "6 4" : null }).addTo(tileMarks);
    for (const [score, west, south, east, north] of tile.airplanes) {
      const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
      state.airplanes.push({ geometry: { type: "Polygon", coordinates: [ring] }, properties: { score } });
    }
    draw();
  }

  async function finish(job) {
    if (job.message) complain(job.message);
    if (job.links.length > 1) {
      state.airplanes = (await request(`/jobs/${job.jobID}/results`)).features;
      state.isFinal = true;
      byId("downloads").hidden = false;
      link();
      // The tiles have told what they had to tell; those that failed stay.
      tileMarks.eachLayer((mark) => mark.options.dashArray || mark.remove());
    }
    say(`${job.status}: ${plural(job.tiles_done, "tile")}${job.km2 ? `, ${number(job.km2, 2)} km²` : ""}, ${job.model}`);
    draw();
    changed();
  }

  // Boxes.

  const threshold = () => Number(byId("score").value);
  const shown = () => state.airplanes.filter((airplane) => airplane.properties.score >= threshold());

  function rings(geometry) {
    const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
    return polygons.map((polygon) => polygon.map((ring) => ring.map(([lon, lat]) => [lat, lon])));
  }

  function draw() {
    const visible = shown();
    boxes.clearLayers();
    for (const airplane of visible) {
      const shape = rings(airplane.geometry);
      L.polygon(shape, { color: "#10151a", weight: 4, fill: false, interactive: false }).addTo(boxes);
      const box = L.polygon(shape, { color: colour(airplane.properties.score), weight: 2, fillOpacity: 0.06 });
      box.on("click", () => select(airplane)).addTo(boxes);
    }
    byId("count").textContent = Page.count(visible.length);
    byId("count-noun").textContent = visible.length === 1 ? "airplane" : "airplanes";
    if (state.selected && !visible.includes(state.selected)) select(null);
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
    for (const [id, format] of [["geojson", "geojson"], ["gpkg", "gpkg"], ["report", "report"]]) {
      byId(id).href = `/jobs/${state.job}/results?format=${format}&min_score=${threshold()}`;
    }
  }

  function select(airplane) {
    state.selected = airplane;
    selection.clearLayers();
    if (!airplane || !state.isFinal) {
      byId("details").replaceChildren(element("p", { class: "quiet" }, "Click a box, or step through them by score."));
      return;
    }
    const shape = L.polygon(rings(airplane.geometry), { color: "#ffffff", weight: 6, opacity: 0.9, fill: false, interactive: false });
    shape.addTo(selection);
    const centre = shape.getBounds().getCenter();
    if (!map.getBounds().pad(-0.1).contains(centre)) map.panTo(centre, { animate: false });
    const facts = airplane.properties;
    const box = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"].map((side) => facts[side]).join(",");
    const rows = [["Score", number(facts.score, 3)], ["Size", `${number(facts.size_m, 1)} m`]];
    rows.push(["Position", `${number(centre.lat, 5)}, ${number(centre.lng, 5)}`], ["Id", facts.detection_id]);
    if (facts.length_m != null) rows.push(["Length", `${number(facts.length_m, 1)} m`]);
    if (facts.heading_deg != null) rows.push(["Heading", `${number(facts.heading_deg, 0)}°`]);
    byId("details").replaceChildren(
      element("img", { src: `/jobs/${state.job}/crop?box=${box}`, alt: `The airplane from above, score ${number(facts.score, 2)}` }),
      element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    );
  }

  function step(by) {
    const visible = shown();
    if (!visible.length || !state.isFinal) return;
    const index = visible.indexOf(state.selected);
    select(visible[index < 0 ? (by > 0 ? 0 : visible.length - 1) : (index + by + visible.length) % visible.length]);
  }

  byId("ramp").style.background = `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(colour).join(", ")})`;
  byId("source").addEventListener("change", showSource);
  byId("airport")?.addEventListener("change", (event) => {
    if (event.target.value !== "") goTo(airports[Number(event.target.value)].bounds);
  });
  byId("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    analyze();
  });
  byId("dismiss").addEventListener("click", () => request(`/jobs/${state.job}`, { method: "DELETE" }).catch(complain));
  byId("score").addEventListener("input", showThreshold);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  setThreshold(models[0].min_score);
  loadSources().catch(complain);

  return { map, state, boxes, selection, listeners, request, post, complain, draw, shown, rings, select, threshold };
})();
