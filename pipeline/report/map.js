/* A scene as a Leaflet map in scene pixels, x to the right and y down, on two canvases: its pixels with the parts that
   failed, and above them the outlines of airplanes. There is no element for each airplane: 20,000 are drawn as one. */
"use strict";
const SceneMap = (() => {
  const { element, colour, number } = Page;

  /* ---- pixels ---- */

  const MAX_IMAGES = 4000; // decoded at a time
  const MIN_TILE_SCREEN_PX = 24; // tiles smaller than this on the screen show no more than the overview
  const images = new Map();

  // A decoded image, or null until it is; then `loaded` is called.
  function decoded(base64, loaded) {
    let image = images.get(base64);
    if (!image) {
      image = new Image();
      image.addEventListener("load", loaded, { once: true });
      image.src = `data:image/webp;base64,${base64}`;
      images.set(base64, image);
      if (images.size > MAX_IMAGES) images.delete(images.keys().next().value);
    }
    return image.complete && image.naturalWidth ? image : null;
  }

  /* A view places a scene on a canvas: scene pixel (0, 0) at (x, y), `scale` canvas units per scene pixel, and the
     visible part of the canvas as left, top, right, bottom. */

  function drawImage(context, image, view, left, top, right, bottom) {
    const perColumn = image.naturalWidth / (right - left);
    const perRow = image.naturalHeight / (bottom - top);
    const limit = (value, end) => Math.min(Math.max(value, 0), end);
    const x0 = limit(Math.floor(((view.left - view.x) / view.scale - left) * perColumn), image.naturalWidth);
    const x1 = limit(Math.ceil(((view.right - view.x) / view.scale - left) * perColumn), image.naturalWidth);
    const y0 = limit(Math.floor(((view.top - view.y) / view.scale - top) * perRow), image.naturalHeight);
    const y1 = limit(Math.ceil(((view.bottom - view.y) / view.scale - top) * perRow), image.naturalHeight);
    if (x1 <= x0 || y1 <= y0) return;
    // Whole units, so that no seam shows between tiles.
    const screenX = (column) => Math.round(view.x + (left + column / perColumn) * view.scale);
    const screenY = (row) => Math.round(view.y + (top + row / perRow) * view.scale);
    const width = screenX(x1) - screenX(x0);
    const height = screenY(y1) - screenY(y0);
    context.drawImage(image, x0, y0, x1 - x0, y1 - y0, screenX(x0), screenY(y0), width, height);
  }

  function drawTiles(context, scene, view, loaded) {
    const { tiles } = scene;
    const stepX = (tiles.side * scene.width) / tiles.width;
    const stepY = (tiles.side * scene.height) / tiles.height;
    if (stepX * view.scale < MIN_TILE_SCREEN_PX) return;
    const first = (start, offset, step) => Math.max(0, Math.floor((start - offset) / view.scale / step));
    const [startColumn, startRow] = [first(view.left, view.x, stepX), first(view.top, view.y, stepY)];
    const endColumn = Math.min((view.right - view.x) / view.scale / stepX, Math.ceil(tiles.width / tiles.side));
    const endRow = Math.min((view.bottom - view.y) / view.scale / stepY, Math.ceil(tiles.height / tiles.side));
    for (let row = startRow; row < endRow; row += 1) {
      for (let column = startColumn; column < endColumn; column += 1) {
        const base64 = tiles.images[`${column},${row}`];
        const image = base64 && decoded(base64, loaded);
        if (!image) continue;
        const right = Math.min((column + 1) * stepX, scene.width);
        const bottom = Math.min((row + 1) * stepY, scene.height);
        drawImage(context, image, view, column * stepX, row * stepY, right, bottom);
      }
    }
  }

  function drawPixels(context, scene, view, loaded) {
    context.imageSmoothingEnabled = view.scale < 4; // beyond, the pixels themselves are to be seen
    const overview = scene.overview && decoded(scene.overview, loaded);
    if (overview) drawImage(context, overview, view, 0, 0, scene.width, scene.height);
    if (scene.tiles) drawTiles(context, scene, view, loaded);
  }

  // Fills a square canvas with an airplane and its surroundings.
  function drawThumbnail(canvas, scene, plane, loaded) {
    const side = canvas.width;
    const around = 1.6 * Math.max(plane.right - plane.left, plane.bottom - plane.top, 8);
    const scale = side / around;
    const x = side / 2 - ((plane.left + plane.right) / 2) * scale;
    const y = side / 2 - ((plane.top + plane.bottom) / 2) * scale;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    drawPixels(context, scene, { x, y, scale, left: 0, top: 0, right: side, bottom: side }, loaded);
  }

  /* ---- outlines ---- */

  const CASING = "rgba(12, 14, 18, 0.75)";
  const FAILED = "#ff7a1a";
  const TINY_PX = 9; // an airplane smaller than this on the screen is drawn as a dot
  const SHADES = 25;

  const screenBox = (plane, view) => ({
    left: view.x + plane.left * view.scale,
    top: view.y + plane.top * view.scale,
    right: view.x + plane.right * view.scale,
    bottom: view.y + plane.bottom * view.scale,
  });

  const inView = (box, view) =>
    box.right > view.left && box.left < view.right && box.bottom > view.top && box.top < view.bottom;

  // Dots are drawn once for each shade and then copied, which takes a tenth of the time of drawing each.
  const DOT_PX = 12;
  const DETAIL = L.Browser.retina ? 2 : 1; // canvas pixels per pixel of the screen, as Leaflet has them
  const shadeOf = (score) => Math.min(SHADES - 1, Math.floor(score * SHADES));
  const shades = Array.from({ length: SHADES }, (_, shade) => {
    const fill = colour((shade + 0.5) / SHADES);
    const dot = element("canvas", { width: DOT_PX * DETAIL, height: DOT_PX * DETAIL });
    const context = dot.getContext("2d");
    context.arc((DOT_PX * DETAIL) / 2, (DOT_PX * DETAIL) / 2, 4 * DETAIL, 0, 2 * Math.PI);
    context.fillStyle = fill;
    context.fill();
    context.strokeStyle = CASING;
    context.lineWidth = 1.5 * DETAIL;
    context.stroke();
    return { fill, dot };
  });

  function unit([fromX, fromY], [toX, toY]) {
    const length = Math.hypot(toX - fromX, toY - fromY) || 1;
    return [(toX - fromX) / length, (toY - fromY) / length];
  }

  // A box, or the outline turned with the airplane.
  function trace(context, plane, view, gap = 0) {
    context.beginPath();
    if (!plane.corners) {
      const box = screenBox(plane, view);
      const [left, top] = [Math.round(box.left), Math.round(box.top)];
      context.rect(left - gap, top - gap, Math.round(box.right) - left + 2 * gap, Math.round(box.bottom) - top + 2 * gap);
      return;
    }
    const [first, second, , last] = plane.corners;
    const [ahead, across] = [unit(second, first), unit(last, first)];
    for (const [index, [x, y]] of plane.corners.entries()) {
      const [forward, aside] = [index === 0 || index === 3 ? gap : -gap, index < 2 ? gap : -gap];
      context.lineTo(
        view.x + x * view.scale + forward * ahead[0] + aside * across[0],
        view.y + y * view.scale + forward * ahead[1] + aside * across[1],
      );
    }
    context.closePath();
  }

  // A triangle on the front edge of the outline, which points ahead.
  function drawNose(context, { corners, hasNose, score }, view) {
    if (!hasNose) return;
    const [first, second, , last] = corners;
    const [aheadX, aheadY] = unit(second, first);
    const length = Math.hypot(first[0] - second[0], first[1] - second[1]);
    const side = Math.min(Math.max(0.14 * length * view.scale, 4), 10);
    const x = view.x + ((first[0] + last[0]) / 2) * view.scale;
    const y = view.y + ((first[1] + last[1]) / 2) * view.scale;
    context.beginPath();
    context.moveTo(x + 1.4 * side * aheadX, y + 1.4 * side * aheadY);
    context.lineTo(x - side * aheadY, y + side * aheadX);
    context.lineTo(x + side * aheadY, y - side * aheadX);
    context.closePath();
    context.strokeStyle = CASING;
    context.lineWidth = 2;
    context.stroke();
    context.fillStyle = shades[shadeOf(score)].fill;
    context.fill();
  }

  // Planes come by falling score; the highest is drawn last, so that it lies on top. Whole pixels are drawn faster.
  function drawOutlines(context, planes, view) {
    for (let index = planes.length - 1; index >= 0; index -= 1) {
      const box = screenBox(planes[index], view);
      if (!inView(box, view)) continue;
      const { fill, dot } = shades[shadeOf(planes[index].score)];
      if (Math.max(box.right - box.left, box.bottom - box.top) < TINY_PX) {
        const [x, y] = [(box.left + box.right - DOT_PX) / 2, (box.top + box.bottom - DOT_PX) / 2];
        context.drawImage(dot, Math.round(x), Math.round(y), DOT_PX, DOT_PX);
        continue;
      }
      for (const [style, width] of [[CASING, 4], [fill, 2]]) {
        context.strokeStyle = style;
        context.lineWidth = width;
        trace(context, planes[index], view);
        context.stroke();
      }
      drawNose(context, planes[index], view);
    }
  }

  function drawSelection(context, plane, view) {
    trace(context, plane, view, 6);
    for (const [style, width] of [[CASING, 6], ["#fff", 3]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.stroke();
    }
    drawNose(context, plane, view);
  }

  function drawFailures(context, scene, view) {
    context.strokeStyle = FAILED;
    context.lineWidth = 2;
    context.setLineDash([8, 5]);
    for (const { box: [left, top, right, bottom] } of scene.failures) {
      const box = screenBox({ left, top, right, bottom }, view);
      context.fillStyle = "rgba(255, 122, 26, 0.22)";
      context.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
      context.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    }
    context.setLineDash([]);
  }

  /* ---- the map ---- */

  // Leaflet's canvas renderer with the shapes that `paint` draws, at every zoom of a flight, too.
  const SceneCanvas = L.Canvas.extend({
    initialize(paint) {
      L.Canvas.prototype.initialize.call(this, { padding: 0.4 });
      this._paint = paint;
    },
    _draw() {
      this._paint(this._ctx, this._bounds);
    },
    _onZoom() {
      this._reset();
    },
    repaint() {
      this._redrawRequest = this._redrawRequest || L.Util.requestAnimFrame(this._redraw, this);
    },
  });

  const CLICK_TOLERANCE_PX = 5;
  const MAX_ZOOM = 3; // a scene pixel is 8 pixels of the screen
  const CLOSE_ZOOM = 1.5; // where an airplane is flown to, at most
  const reducedMotion = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const latLng = (x, y) => L.latLng(-y, x);
  const bounds = (box) => L.latLngBounds(latLng(box.left, box.top), latLng(box.right, box.bottom));

  /* Options: `onSelect(plane or null)`, `describe(plane)` gives the text of the tooltip, `onLoad()` is called when
     more pixels can be drawn. */
  function create(container, { onSelect, describe, onLoad }) {
    let scene = null;
    let planes = []; // shown, by falling score
    let selected = null;

    const map = L.map(container, {
      crs: L.CRS.Simple,
      attributionControl: false,
      zoomControl: false,
      keyboard: false, // the page has keys of its own
      zoomSnap: 0.25,
      zoomDelta: 0.5,
      zoomAnimation: !reducedMotion,
      fadeAnimation: false,
      maxBoundsViscosity: 0.8,
      minZoom: -20,
      maxZoom: MAX_ZOOM,
    });
    const tooltip = L.tooltip({ direction: "top", offset: [0, -6] });
    const bar = element("div", { class: "scale", "aria-hidden": "true" });
    container.append(bar);

    function viewOf(visible) {
      const origin = map.latLngToLayerPoint(latLng(0, 0));
      const scale = map.getZoomScale(map.getZoom(), 0);
      const { min, max } = visible;
      return { x: origin.x, y: origin.y, scale, left: min.x, top: min.y, right: max.x, bottom: max.y };
    }

    const pixels = new SceneCanvas((context, visible) => {
      drawPixels(context, scene, viewOf(visible), onLoad);
      drawFailures(context, scene, viewOf(visible));
    });
    const outlines = new SceneCanvas((context, visible) => {
      drawOutlines(context, planes, viewOf(visible));
      if (selected) drawSelection(context, selected, viewOf(visible));
    });

    // The smallest of the airplanes under a point, or null.
    function planeAt(point) {
      const view = viewOf(L.bounds(point, point));
      let best = null;
      for (const plane of planes) {
        const box = screenBox(plane, view);
        const near =
          point.x > box.left - CLICK_TOLERANCE_PX && point.x < box.right + CLICK_TOLERANCE_PX &&
          point.y > box.top - CLICK_TOLERANCE_PX && point.y < box.bottom + CLICK_TOLERANCE_PX;
        if (near && (!best || plane.right - plane.left < best.right - best.left)) best = plane;
      }
      return best;
    }

    function failureAt({ lat, lng }) {
      return scene.failures.find(({ box: [left, top, right, bottom] }) => lng > left && lng < right && -lat > top && -lat < bottom);
    }

    function hover(event) {
      const plane = planeAt(event.layerPoint);
      const failure = plane ? null : failureAt(event.latlng);
      container.classList.toggle("over", plane !== null);
      if (!plane && !failure) return void tooltip.close();
      // An element: Leaflet takes text for HTML.
      tooltip.setContent(element("span", {}, plane ? describe(plane) : `Not processed: ${failure.error}`));
      map.openTooltip(tooltip.setLatLng(plane ? latLng((plane.left + plane.right) / 2, plane.top) : event.latlng));
    }

    function drawScale() {
      const metresPerPixel = (scene.resolution_m || 0) / map.getZoomScale(map.getZoom(), 0);
      bar.hidden = !metresPerPixel;
      if (bar.hidden) return;
      const longest = 110 * metresPerPixel;
      const power = 10 ** Math.floor(Math.log10(longest));
      const metres = power * [5, 2, 1].find((step) => step * power <= longest);
      bar.style.width = `${metres / metresPerPixel}px`;
      bar.textContent = metres >= 1000 ? `${metres / 1000} km` : `${number(metres, metres < 1 ? 1 : 0)} m`;
    }

    function fit() {
      map.fitBounds(bounds({ left: 0, top: 0, right: scene.width, bottom: scene.height }), { animate: false });
    }

    function showScene(next) {
      if (scene === next) return;
      scene = next;
      const frame = bounds({ left: 0, top: 0, right: scene.width, bottom: scene.height });
      map.setMaxBounds(null);
      map.options.minZoom = -20;
      map.invalidateSize();
      const fitZoom = map.getBoundsZoom(frame);
      fit();
      map.setMinZoom(fitZoom - 0.5);
      map.setMaxZoom(Math.max(MAX_ZOOM, fitZoom));
      map.setMaxBounds(frame.pad(0.5));
      if (!map.hasLayer(pixels)) map.addLayer(pixels).addLayer(outlines);
      drawScale();
      pixels.repaint();
    }

    function flyTo(plane) {
      const box = bounds(plane);
      const close = Math.min(map.getBoundsZoom(box.pad(2.5)), CLOSE_ZOOM);
      const zoom = Math.max(map.getZoom(), close);
      if (reducedMotion) map.setView(box.getCenter(), zoom, { animate: false });
      else map.flyTo(box.getCenter(), zoom, { duration: 0.6 });
    }

    map.on("click", (event) => onSelect(planeAt(event.layerPoint)));
    map.on("mousemove", hover);
    map.on("mouseout movestart", () => tooltip.close());
    map.on("zoom", drawScale);
    new ResizeObserver(() => map.invalidateSize()).observe(container);

    return {
      showScene,
      flyTo,
      fit,
      zoomBy: (delta) => map.setZoom(map.getZoom() + delta),
      panBy: (x, y) => map.panBy([x, y], { animate: !reducedMotion }),
      repaint: () => pixels.repaint(),
      setPlanes(shown, selection) {
        planes = shown;
        selected = selection;
        outlines.repaint();
      },
    };
  }

  return { create, drawThumbnail };
})();
