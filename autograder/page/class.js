"use strict";
// Tables that sort, a search through their rows, and a student's feedback on a click. No library, no network.

for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of table.tHead.rows[0].cells) {
    if (header.classList.contains("fixed")) continue;
    const button = document.createElement("button");
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sort(table, header));
  }
}

function valueOf(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text);
  return text === "" || text === "–" ? -Infinity : Number.isNaN(number) ? text : number;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one === other ? 0 : one < other ? -1 : 1;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

function sort(table, header) {
  const column = header.cellIndex;
  const down = header.getAttribute("aria-sort") !== "descending" && header.classList.contains("number");
  const descending = header.hasAttribute("aria-sort") ? header.getAttribute("aria-sort") === "ascending" : down;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, column), row]);
  rows.sort((one, other) => (descending ? -1 : 1) * compare(one[0], other[0]));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

const search = document.getElementById("search");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of document.querySelectorAll("table.sortable > tbody > tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
});

// Feedback is HTML made from Markdown when the page was; all tags in it are the renderer's own.
const dialog = document.getElementById("feedback");
const tests = JSON.parse(document.getElementById("all-tests").textContent);

function element(name, text, ...classes) {
  const made = document.createElement(name);
  made.textContent = text;
  made.classList.add(...classes);
  return made;
}

function show() {
  const place = /^#(s\d+)$/.exec(location.hash);
  const source = place && document.getElementById(place[1]);
  document.body.classList.toggle("reading", Boolean(source));
  if (!source) {
    dialog.close();
    return;
  }
  const link = document.querySelector(`#students a[href="${place[0]}"]`);
  const { output, problem: why, tests: found } = JSON.parse(source.textContent);
  const [title, problem, body] = dialog.querySelectorAll(":scope > h2, :scope > p, :scope > div");
  title.textContent = link.textContent;
  problem.textContent = why;
  body.innerHTML = output;
  found.forEach(([score, html], index) => {
    const [number, name, points, , visibility] = tests[index];
    const article = document.createElement("article");
    const head = document.createElement("h3");
    const right = score === points;
    article.classList.toggle("failed", !right);
    head.append(
      element("span", `${number} ${name}${visibility === "visible" ? "" : ` (${visibility.replaceAll("_", " ")})`}`),
      element("span", `${right ? "✓" : "✗"} ${score} / ${points}`),
    );
    const text = document.createElement("div");
    text.innerHTML = html;
    article.append(head, text);
    body.append(article);
  });
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

addEventListener("hashchange", show);
dialog.addEventListener("close", () => {
  if (/^#s\d+$/.test(location.hash)) history.replaceState(null, "", location.pathname);
  document.body.classList.remove("reading");
});
show();
