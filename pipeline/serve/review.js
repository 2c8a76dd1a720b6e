/* Review: one box after the other, right or wrong, moved, resized, added; tiles that are checked; all of it saved at once. */
"use strict";
const Review = (() => {
  const { byId, element, number, plural } = Page;
  // The first map is the one that is reviewed.
  const [pane] = App.panes;
  const { map } = pane;
  const { state, request, post, complain } = App;
  const SAVE_AFTER_MS = 200;
  // Told apart by dashes, not by colour alone.
  const STYLES = {
    right: { color: "#56b4e9", weight: 3 },
    wrong: { color: "#d55e00", weight: 3, dashArray: "6 5" },
    none: { color: "#f0e442", weight: 2, dashArray: "1 5" },
    checked: { color: "#56b4e9", weight: 2, dashArray: "2 6", fillOpacity: 0.05 },
  };
  const layer = L.featureGroup();
  // Items by id, in the order they are stepped through; and the last row that is stored of each.
  let items = new Map();
  const versions = new Map();
  let isOn = false;
  let current = null;
  let isAdding = false;
  // A moved or resized box that is not sent yet: its item, and the timer that sends it.
  let pending = null;
  // One request after the other: each is made upon the state that the last one left.
  let queue = Promise.resolve();
  // Loads of the items, one after the other, and how many are not done: keys wait for them, in their order.
  let loading = Promise.resolve();
  let loads = 0;

  const reviewer = () => byId("reviewer").value.trim();
  const steps = () => [...items.values()].filter((item) => item.verdict !== "checked" && (item.version || item.score >= App.threshold()));
  // The model whose boxes are reviewed; before an analysis the one that is chosen.
  const modelOf = () => Page.data.models.find(({ name }) => name === (pane.isFinal ? pane.model : byId("model").value)).version;
  const sceneOf = () => (state.source && !state.source.isMap && !state.source.error ? state.source.id : null);

  // `isSent`: its verdict is under way, so the next key is for another item.
  const isUndecided = (item) => item.verdict === "none" && !item.isSent;

  const boxCount = (count) => `${count} ${count === 1 ? "box" : "boxes"}`;

  function reload() {
    loads += 1;
    loading = loading.then(load).catch(complain).finally(() => {
      loads -= 1;
    });
    return loading;
  }

  async function load() {
    items = new Map();
    versions.clear();
    current = null;
    byId("review-hint").hidden = !isOn || Boolean(sceneOf());
    byId("review-tools").hidden = !isOn || !sceneOf();
    if (!isOn || !sceneOf()) return draw();
    const sides = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"];
    if (pane.isFinal) {
      const boxes = pane.airplanes.map(({ properties: facts }) => sides.map((side) => facts[side]));
      // What is judged is the upright box, not the outline turned with the airplane.
      const { geometries } = await post("/review/boxes", { scene: sceneOf(), boxes });
      for (const [index, { properties: facts }] of pane.airplanes.entries()) {
        const [box, geometry] = [boxes[index], geometries[index]];
        items.set(facts.detection_id, { item: facts.detection_id, verdict: "none", box, geometry, score: facts.score, model: facts.model, version: 0 });
      }
    }
    await refresh();
    go(steps().find(isUndecided) ?? steps()[0] ?? null);
  }

  async function refresh() {
    const scene = sceneOf();
    if (!scene) return;
    const [content, rates] = await Promise.all([
      request(`/review/items?scene=${encodeURIComponent(scene)}`),
      request(`/review/rates?min_score=${App.threshold()}`),
    ]);
    for (const item of content.items) {
      versions.set(item.item, item.version);
      if (item.item === pending?.item.item) item.box = pending.item.box;
      // An added box, or a checked tile, that was undone is no more.
      if (item.verdict === "none" && item.score === null) items.delete(item.item);
      else items.set(item.item, item);
    }
    if (current) current = items.get(current.item) ?? null;
    if (pending && items.has(pending.item.item)) pending.item = items.get(pending.item.item);
    showRates(rates, scene);
    draw();
  }

  function showRates({ models }, scene) {
    const stored = [...items.values()];
    const [boxes, tiles] = [["right", "wrong"], ["checked"]].map((verdicts) => stored.filter(({ verdict }) => verdicts.includes(verdict)).length);
    const summary = element("p", {}, `${boxCount(boxes)} and ${plural(tiles, "tile")} of this scene reviewed.`);
    const own = models.find(({ model }) => model === modelOf());
    byId("review-rates").replaceChildren(...(own ? [summary, ratesTable(own, scene)] : [summary]));
  }

  // Precision and recall of a model: in the scene, and in all reviewed scenes where there are others.
  function ratesTable({ model, all, scenes }, scene) {
    const columns = scene in scenes ? [["This scene", scenes[scene]]] : [];
    const ids = Object.keys(scenes);
    if (ids.some((id) => id !== scene)) columns.push([`All ${plural(ids.length, "scene")}`, all]);
    const rate = ({ value, low, high, hits, total }) =>
      value === null ? ["–"] : [`${number(value, 2)} (${hits} of ${total})`, element("br", {}), `${number(low, 2)} to ${number(high, 2)}`];
    const row = (name, cells) => element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, ...cell)));
    const titles = columns.map(([title]) => element("th", { scope: "col" }, title));
    return element("table", {},
      element("caption", {}, `${model}, scores from ${number(App.threshold(), 2)}, with 95 % intervals`),
      element("thead", {}, element("tr", {}, element("td", {}), ...titles)),
      element("tbody", {},
        row("Precision", columns.map(([, { precision }]) => rate(precision))),
        row("Recall", columns.map(([, { recall }]) => rate(recall))),
        row("Tiles", columns.map(([, rates]) => [String(rates.checked_tiles)]))));
  }

  function draw() {
    layer.clearLayers();
    if (!isOn) return;
    for (const item of items.values()) {
      if (item.verdict !== "checked" && !item.version && item.score < App.threshold()) continue;
      const shape = App.rings(item.geometry);
      const isTile = item.verdict === "checked";
      if (!isTile) L.polygon(shape, { color: "#10151a", weight: 6, fill: false, interactive: false }).addTo(layer);
      const box = L.polygon(shape, { fillOpacity: 0.04, interactive: !isTile, ...STYLES[item.verdict] }).addTo(layer);
      if (isTile) continue;
      box.on("click", () => go(item)).on("contextmenu", () => {
        go(item);
        say("wrong");
      });
      if (item === current) L.polygon(shape, { color: "#ffffff", weight: 9, opacity: 0.6, fill: false, interactive: false }).addTo(layer);
    }
  }

  function go(item) {
    if (pending && pending.item !== item) flush();
    current = item;
    draw();
    const list = steps();
    const words = { none: "no verdict yet", right: "right", wrong: "wrong" };
    byId("review-item").textContent = item
      ? `${list.indexOf(item) + 1} of ${list.length}: ${words[item.verdict]}${item.score === null ? ", added" : `, score ${number(item.score, 2)}`}`
      : pane.isFinal ? "No boxes here." : "Analyze the scene to review its boxes; or add some.";
    if (!item) return;
    const centre = L.polygon(App.rings(item.geometry)).getBounds().getCenter();
    if (!map.getBounds().pad(-0.15).contains(centre)) map.panTo(centre, { animate: false });
  }

  function step(by) {
    const list = steps();
    if (!list.length) return;
    const index = list.indexOf(current);
    go(list[index < 0 ? 0 : (index + by + list.length) % list.length]);
  }

  const next = () => {
    const list = steps();
    const index = list.indexOf(current);
    const undecided = [...list.slice(index + 1), ...list.slice(0, index + 1)].find(isUndecided);
    undecided ? go(undecided) : step(1);
  };

  // Actions.

  function send(content) {
    const work = async () => {
      complain(null);
      const scene = sceneOf();
      try {
        return await post("/review/actions", { scene, reviewer: reviewer(), ...content() });
      } catch (error) {
        complain(error);
        return null;
      } finally {
        await refresh().catch(complain);
      }
    };
    queue = queue.then(work);
    return queue;
  }

  function act(action, item) {
    // The version is taken when it is sent: an action before it may have changed it.
    return send(() => {
      const { item: id, box, score, model } = item;
      return { action, item: id, box, score, model, version: versions.get(id) ?? 0 };
    });
  }

  async function say(verdict) {
    if (!current) return;
    const item = current;
    flush();
    const saved = act(verdict === "wrong" && item.score === null ? "remove" : verdict, item);
    item.isSent = true;
    next();
    await saved;
    item.isSent = false;
    go(current);
  }

  function change(edit) {
    if (!current) return;
    current.box = edit([...current.box]);
    clearTimeout(pending?.timer);
    pending = { item: current, timer: setTimeout(flush, SAVE_AFTER_MS) };
  }

  async function flush() {
    if (pending === null) return;
    clearTimeout(pending.timer);
    const { item } = pending;
    pending = null;
    await act("change", item);
    go(current);
  }

  const move = (dx, dy) => change(([xmin, ymin, xmax, ymax]) => [xmin + dx, ymin + dy, xmax + dx, ymax + dy]);
  const resize = (by) =>
    change(([xmin, ymin, xmax, ymax]) => (Math.min(xmax - xmin, ymax - ymin) + 2 * by < 2 ? [xmin, ymin, xmax, ymax] : [xmin - by, ymin - by, xmax + by, ymax + by]));

  function setAdding(value) {
    isAdding = value;
    document.querySelector('[data-key="a"]').setAttribute("aria-pressed", String(value));
    map.dragging[value ? "disable" : "enable"]();
    map.getContainer().style.cursor = value ? "crosshair" : "";
  }

  async function add(bounds) {
    setAdding(false);
    const corners = [bounds.getSouthWest(), bounds.getSouthEast(), bounds.getNorthEast(), bounds.getNorthWest()];
    const saved = await send(() => ({ action: "add", lonlat: corners.map(({ lng, lat }) => [lng, lat]) }));
    if (saved) go(items.get(saved.item));
  }

  // A box of 40 px of the screen around a point of the map.
  function addAround(point) {
    const half = L.point(20, 20);
    add(L.latLngBounds(map.containerPointToLatLng(point.subtract(half)), map.containerPointToLatLng(point.add(half))));
  }

  async function undo() {
    await flush();
    const saved = await send(() => ({ action: "undo" }));
    if (saved) go(items.get(saved.item) ?? null);
  }

  async function checkTile() {
    await flush();
    await queue;
    const where = current ? L.polygon(App.rings(current.geometry)).getBounds().getCenter() : map.getCenter();
    try {
      const query = `scene=${encodeURIComponent(sceneOf())}&lon=${where.lng}&lat=${where.lat}`;
      const [left, top, right, bottom] = (await request(`/review/tile?${query}`)).box;
      const undecided = steps().filter((item) => {
        const [xmin, ymin, xmax, ymax] = item.box;
        const [x, y] = [(xmin + xmax) / 2, (ymin + ymax) / 2];
        return isUndecided(item) && x >= left && x < right && y >= top && y < bottom;
      });
      if (undecided.length) {
        go(undecided[0]);
        return complain(`${boxCount(undecided.length)} on this tile without a verdict: say right or wrong first.`);
      }
      const version = () => versions.get(`tile-${left}-${top}`) ?? 0;
      // Without an analysis no model could have missed an airplane here.
      const model = pane.isFinal ? modelOf() : null;
      await send(() => ({ action: "check", lonlat: [where.lng, where.lat], model, version: version() }));
    } catch (error) {
      complain(error);
    }
  }

  const KEYS = {
    y: () => say("right"),
    n: () => say("wrong"),
    Delete: () => say("wrong"),
    j: () => step(1),
    k: () => step(-1),
    a: () => setAdding(!isAdding),
    u: undo,
    t: checkTile,
    Enter: () => isAdding && addAround(map.getSize().divideBy(2)),
    Escape: () => setAdding(false),
    "+": () => resize(1),
    "=": () => resize(1),
    "-": () => resize(-1),
    ArrowLeft: (far) => move(-far, 0),
    ArrowRight: (far) => move(far, 0),
    ArrowUp: (far) => move(0, -far),
    ArrowDown: (far) => move(0, far),
  };

  // What is pressed before the items have come is done as soon as they are there.
  function press(key, far = 1) {
    if (!isOn || !sceneOf()) return undefined;
    return loads ? loading.then(() => press(key, far)) : KEYS[key](far);
  }

  function onKey(event) {
    const isTyping = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (!isOn || !sceneOf() || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // Enter is for the button that has the focus, unless it ends "add"; before the items have come, that may be held back.
    if (!(key in KEYS) || (key === "Enter" && !isAdding && !loads)) return;
    event.preventDefault();
    event.stopPropagation();
    press(key, event.shiftKey ? 5 : 1);
  }

  // Drawing with the mouse.
  let start = null;
  let sketch = null;
  map.on("mousedown", (event) => {
    if (!isAdding) return;
    start = event.latlng;
    sketch = L.rectangle([start, start], { color: "#ffffff", weight: 2, interactive: false }).addTo(map);
  });
  map.on("mousemove", (event) => sketch?.setBounds(L.latLngBounds(start, event.latlng)));
  map.on("mouseup", (event) => {
    if (!sketch) return;
    // Where it was released: on a busy machine the last moves come together, or not at all.
    const bounds = L.latLngBounds(start, event.latlng);
    const isClick = map.latLngToContainerPoint(start).distanceTo(event.containerPoint) < 5;
    sketch.remove();
    sketch = null;
    isClick ? addAround(event.containerPoint) : add(bounds);
  });
  // The wheel over the chosen box resizes it; elsewhere it zooms.
  map.getContainer().addEventListener("wheel", (event) => {
    if (!isOn || !current || !event.deltaY) return; // to the side, or the end of a turn
    const bounds = L.polygon(App.rings(current.geometry)).getBounds();
    if (!bounds.contains(map.mouseEventToLatLng(event))) return;
    event.preventDefault();
    event.stopPropagation();
    resize(event.deltaY < 0 ? 1 : -1);
  }, { capture: true, passive: false });

  async function toggle() {
    if (!isOn && !reviewer()) {
      byId("reviewer").focus();
      return complain("Write your name first: each verdict carries it.");
    }
    complain(null);
    localStorage.setItem("reviewer", reviewer());
    isOn = !isOn;
    byId("review-toggle").textContent = isOn ? "Stop" : "Start";
    byId("review-toggle").setAttribute("aria-pressed", String(isOn));
    setAdding(false);
    App.select(null);
    for (const [group, isShown] of [[pane.boxes, !isOn], [layer, isOn]]) map[isShown ? "addLayer" : "removeLayer"](group);
    await reload();
  }

  byId("reviewer").value = localStorage.getItem("reviewer") ?? "";
  byId("review-toggle").addEventListener("click", toggle);
  for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", () => press(button.dataset.key));
  document.addEventListener("keydown", onKey, { capture: true });
  for (const id of ["score", "model"]) byId(id).addEventListener("change", () => isOn && refresh().catch(complain));
  App.listeners.push(() => isOn && reload());

  // For tests: resolves when everything that was pressed is stored.
  async function settled() {
    await loading;
    await flush();
    await queue;
  }

  return { items: () => [...items.values()], current: () => current, settled };
})();
