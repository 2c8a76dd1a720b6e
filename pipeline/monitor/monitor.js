/* The map of airports, and the comparison of two dates of one airport with a slider between them. */
"use strict";
(() => {
  const { byId, element, number } = Page;
  const airports = Page.data;
  const STYLES = getComputedStyle(document.documentElement);
  const colourOf = (change) => STYLES.getPropertyValue(`--${change}`).trim();
  const dateOf = (visit) => visit.time.slice(0, 16).replace("T", " ");
  const boundsOf = ([west, south, east, north]) => L.latLngBounds([south, west], [north, east]);
  const options = { attributionControl: false, zoomSnap: 0.25, zoomAnimation: false, fadeAnimation: false };
  const state = { airport: null, before: null, after: null };

  // Whether a point lies in polygons, given as rings, by the even-odd rule.
  function covers(rings, [lat, lon]) {
    let inside = false;
    for (const ring of rings) {
      for (let i = 0, j = ring.length - 1; i < ring.length; j = i, i += 1) {
        const [[yi, xi], [yj, xj]] = [ring[i], ring[j]];
        if (yi > lat !== yj > lat && lon < ((xj - xi) * (lat - yi)) / (yj - yi) + xi) inside = !inside;
      }
    }
    return inside;
  }

  /* ---- all airports ---- */

  const world = L.map("world", options).setView([20, 0], 1);
  // No map from elsewhere is loaded: a net of meridians and parallels, every 30 degrees.
  for (let degrees = -180; degrees <= 180; degrees += 30) {
    const style = { color: colourOf("quiet"), weight: degrees ? 0.5 : 1, opacity: 0.6, interactive: false };
    L.polyline([[-85, degrees], [85, degrees]], style).addTo(world);
    if (Math.abs(degrees) < 90) L.polyline([[degrees, -180], [degrees, 180]], style).addTo(world);
  }
  for (const airport of airports) {
    const last = airport.visits.findLast((visit) => visit.seen > 0);
    const text = last ? `${airport.name}: ${number(last.count, 1)} on ${last.time.slice(0, 10)}` : `${airport.name}: no scene`;
    L.polygon(airport.outline, { color: colourOf("first"), weight: 2 }).addTo(world);
    L.circleMarker(boundsOf(airport.bounds).getCenter(), {
      radius: 7, color: colourOf("first"), fillOpacity: 0.6, className: "marker",
    })
      .bindTooltip(element("span", {}, text), { permanent: airports.length <= 12, direction: "top", offset: [0, -6] })
      .on("click", () => choose(airport))
      .addTo(world);
  }
  const everywhere = L.latLngBounds(airports.map((airport) => boundsOf(airport.bounds).getCenter()));
  if (everywhere.isValid()) world.fitBounds(everywhere.pad(0.2), { maxZoom: 4 });

  /* ---- two dates ---- */

  const map = L.map("map", { ...options, maxZoom: 20 }).setView([0, 0], 2);
  const sides = ["before", "after"].map((name, index) => {
    const pane = map.createPane(name);
    pane.style.zIndex = 400 + 10 * index;
    return { name, pane, layers: L.layerGroup().addTo(map), renderer: L.svg({ pane: name, padding: 1 }) };
  });

  // The change of each airplane of two dates; unknown is what the other date did not see, and what may be no airplane.
  function compare(before, after) {
    const [earlier, later] = [before, after].map((visit) => new Map(visit.airplanes.map((plane) => [plane.track, plane])));
    const between = state.airport.visits.filter((visit) => visit.time > before.time && visit.time <= after.time);
    const movedTracks = new Set(
      between.flatMap((visit) => visit.airplanes.filter((plane) => plane.change === "moved").map((plane) => plane.track)),
    );
    const kept = (track) => (movedTracks.has(track) ? "moved" : "stayed");
    const gone = (plane, change, other) => (plane.change === "unconfirmed" || covers(other.unseen, plane.at) ? "unknown" : change);
    return {
      before: before.airplanes.map((plane) => [plane, later.has(plane.track) ? kept(plane.track) : gone(plane, "left", after)]),
      after: after.airplanes.map((plane) => [plane, earlier.has(plane.track) ? kept(plane.track) : gone(plane, "arrived", before)]),
    };
  }

  function drawSide({ name, layers, renderer }, visit, changes) {
    layers.clearLayers();
    if (visit.picture) L.imageOverlay(visit.picture, boundsOf(state.airport.bounds), { pane: name }).addTo(layers);
    const common = { pane: name, renderer };
    L.polygon(visit.unseen, { ...common, stroke: false, fillColor: "#808890", fillOpacity: 0.45, interactive: false }).addTo(layers);
    L.polyline(state.airport.outline.map((ring) => [...ring, ring[0]]), { ...common, color: "#fff", weight: 1, interactive: false }).addTo(layers);
    for (const [plane, change] of changes) {
      const text = `${change}, ${number(plane.size, 0)} m, score ${number(plane.score, 2)}`;
      L.polygon(plane.outline, { ...common, color: colourOf(change), weight: 2, fillOpacity: 0.05, className: `plane ${change}` })
        .bindTooltip(element("span", {}, text))
        .addTo(layers);
    }
  }

  // Each side is cut at the divider; the panes move with the map.
  function cut() {
    const x = (map.getSize().x * Number(byId("slider").value)) / 100;
    const [origin, end] = [[0, 0], map.getSize()].map((point) => map.containerPointToLayerPoint(point));
    const divider = origin.x + x;
    const rectangle = (left, right) => `polygon(${left}px ${origin.y}px, ${right}px ${origin.y}px, ${right}px ${end.y}px, ${left}px ${end.y}px)`;
    sides[0].pane.style.clipPath = rectangle(origin.x, divider);
    sides[1].pane.style.clipPath = rectangle(divider, end.x);
    byId("divider").style.left = `${x}px`;
  }

  function draw() {
    const { before, after } = state;
    const changes = compare(before, after);
    drawSide(sides[0], before, changes.before);
    drawSide(sides[1], after, changes.after);
    const count = (side, change) => changes[side].filter(([, other]) => other === change).length;
    byId("summary").textContent =
      `${dateOf(before)} to ${dateOf(after)} UTC: ${count("after", "arrived")} arrived, ${count("before", "left")} left, ` +
      `${count("after", "stayed")} stayed, ${count("after", "moved")} moved, ` +
      `${count("before", "unknown") + count("after", "unknown")} unknown`;
    const missing = [before, after].filter((visit) => !visit.picture).map(dateOf);
    byId("no-picture").textContent = `No image of ${missing.join(" and ")}: the page has images of the latest visits only, and only if their scenes can be read.`;
    byId("no-picture").hidden = missing.length === 0;
    cut();
  }

  function pick() {
    const [first, second] = ["before", "after"].map((name) => Number(byId(name).value));
    [state.before, state.after] = [Math.min(first, second), Math.max(first, second)].map((index) => state.airport.visits[index]);
    draw();
  }

  function choose(airport) {
    state.airport = airport;
    byId("airport").value = airport.id;
    for (const section of document.querySelectorAll("section.airport")) section.hidden = section.id !== `airport-${airport.id}`;
    const { visits } = airport;
    byId("compare").hidden = visits.length < 2;
    if (visits.length < 2) return;
    for (const name of ["before", "after"]) {
      byId(name).replaceChildren(
        ...visits.map((visit, index) => element("option", { value: index }, `${dateOf(visit)} (${Math.round(100 * visit.seen)} % seen)`)),
      );
    }
    byId("before").value = visits.length - 2;
    byId("after").value = visits.length - 1;
    map.invalidateSize({ animate: false });
    map.fitBounds(boundsOf(airport.bounds), { animate: false });
    pick();
  }

  byId("before").addEventListener("change", pick);
  byId("after").addEventListener("change", pick);
  byId("slider").addEventListener("input", cut);
  byId("airport").addEventListener("change", (event) => choose(airports.find((airport) => airport.id === event.target.value)));
  map.on("move zoom resize viewreset", cut);
  byId("chooser").hidden = airports.length < 2;
  if (airports.length) choose(airports[0]);
})();
