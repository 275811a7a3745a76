/* What the page can do without: tables that sort, a line with the values under the pointer, another scale. */
(() => {
  const key = (row, column) => {
    const cell = row.cells[column];
    const data = cell.querySelector("data");
    return data ? Number(data.value) : cell.textContent.trim();
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true }));
  const sort = (table, head, column) => {
    const rises = head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rises ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(key(a, column), key(b, column)) * (rises ? 1 : -1));
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, head, column));
    });
  }

  const number = (mark, name) => Number(mark.getAttribute(name));
  const crosshair = (svg, readout) => {
    const marks = [...svg.querySelectorAll(".hover, .bar")].map((mark) => ({
      x: mark.hasAttribute("cx") ? number(mark, "cx") : number(mark, "x") + number(mark, "width") / 2,
      text: mark.querySelector("title").textContent,
    }));
    if (marks.length === 0) return;
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    line.setAttribute("class", "cross");
    line.setAttribute("y1", "0");
    line.setAttribute("y2", String(svg.viewBox.baseVal.height));
    line.style.display = "none";
    svg.append(line);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const away = (mark) => Math.abs(mark.x - x);
      const nearest = marks.reduce((a, b) => (away(a) > away(b) ? b : a));
      const close = marks.filter((mark) => 2 > Math.abs(mark.x - nearest.x));
      readout.textContent = [...new Set(close.map((mark) => mark.text))].join(" \u00b7 ");
      line.setAttribute("x1", String(nearest.x));
      line.setAttribute("x2", String(nearest.x));
      line.style.display = "";
    });
    svg.addEventListener("pointerleave", () => {
      line.style.display = "none";
      readout.textContent = "";
    });
  };
  for (const figure of document.querySelectorAll("figure")) {
    const readout = document.createElement("p");
    readout.className = "readout quiet";
    figure.insertBefore(readout, figure.querySelector("details"));
    for (const svg of figure.querySelectorAll("svg")) crosshair(svg, readout);
    if (!figure.querySelector(".even-scale")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Linear scale";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(figure.classList.toggle("even")));
    });
    figure.prepend(button);
  }
})();
