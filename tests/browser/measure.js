// Put at the end of a report by tests/suite/browser.rs: measures how it is laid out, and tells the page
// that holds it in a frame.
"use strict";
(() => {
  const errors = [];
  window.addEventListener("error", (event) => errors.push(String(event.message)));

  const luminance = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const page = getComputedStyle(document.body).backgroundColor;
  const inside = (inner, outer) =>
    inner.left >= outer.left - 1 && inner.right <= outer.right + 1 &&
    inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
  const touch = (a, b) =>
    a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 2 && b.top < a.bottom - 2;

  const measure = (svg) => {
    const frame = svg.getBoundingClientRect();
    const scale = frame.width / svg.viewBox.baseVal.width;
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim());
    const boxes = texts.map((text) => text.getBoundingClientRect());
    const marks = [...svg.querySelectorAll("path.line, rect.bar")];
    const clipped = texts.filter((_, i) => !inside(boxes[i], frame)).map((text) => text.textContent);
    const overlapping = [];
    boxes.forEach((a, i) => boxes.forEach((b, k) => {
      if (i < k && touch(a, b)) overlapping.push(`${texts[i].textContent} | ${texts[k].textContent}`);
    }));
    return {
      label: svg.getAttribute("aria-label") || "",
      role: svg.getAttribute("role"),
      width: frame.width,
      marks: marks.filter((mark) => mark.getTotalLength() > 1).length,
      outside: marks.filter((mark) => !inside(mark.getBoundingClientRect(), frame)).length,
      font: Math.min(...texts.map((text) => parseFloat(getComputedStyle(text).fontSize) * scale)),
      contrast: Math.min(...texts.map((text) => contrast(getComputedStyle(text).fill, page))),
      clipped,
      overlapping,
    };
  };

  const charts = [...document.querySelectorAll("figure")].filter((figure) => figure.offsetParent !== null);
  const shown = (figure) => [...figure.querySelectorAll("svg")].filter((svg) => svg.getBoundingClientRect().width > 0);
  const words = [...document.querySelectorAll("h1, h2, h3, p, small, td, th, dt, dd, summary, footer")];
  parent.postMessage({
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: page,
    contrast: Math.min(...words.map((word) => contrast(getComputedStyle(word).color, page))),
    font: Math.min(...words.map((word) => parseFloat(getComputedStyle(word).fontSize))),
    scripts: document.scripts.length - 1,
    resources: performance.getEntriesByType("resource").map((entry) => entry.name),
    charts: charts.map((figure) => ({
      name: figure.dataset.chart,
      tables: figure.querySelectorAll("details table").length,
      svgs: shown(figure).map(measure),
    })),
    errors,
  }, "*");
})();
