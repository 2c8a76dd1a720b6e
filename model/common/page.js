/* What the scripts of all pages share: the page's data, elements, numbers, and colours by score. */
"use strict";
const Page = (() => {
  const island = document.getElementById("page-data");

  const byId = (id) => document.getElementById(id);

  function fill(made, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  // Children are elements or text; text is never parsed as HTML.
  const element = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

  const svgElement = (name, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

  const number = (value, digits) => value.toFixed(digits).replace("-", "−");
  const count = (value) => value.toLocaleString("en");
  const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

  // The colour of a score. Its brightness rises with the score, so that it can be told without seeing hues.
  const RAMP = [[94, 60, 200], [205, 60, 170], [244, 110, 90], [252, 180, 60], [250, 240, 90]];

  function colour(score) {
    const position = Math.min(Math.max(score, 0), 1) * (RAMP.length - 1);
    const low = Math.min(Math.floor(position), RAMP.length - 2);
    const mix = RAMP[low].map((value, index) => Math.round(value + (RAMP[low + 1][index] - value) * (position - low)));
    return `rgb(${mix.join(", ")})`;
  }

  return { data: island && JSON.parse(island.textContent), byId, element, svgElement, number, count, plural, colour };
})();
