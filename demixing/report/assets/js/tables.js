// Tables that are sorted by a click on a title.

function valueOf(row, column) {
  const text = row.cells[column].dataset.value;
  if (text === "") return null;
  return column > 0 && Number.isFinite(Number(text)) ? Number(text) : text;
}

function compareValues(one, other) {
  if (typeof one === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

function sortBy(table, column, descending) {
  const rows = [...table.tBodies[0].rows];
  rows.sort((one, other) => {
    const [a, b] = [valueOf(one, column), valueOf(other, column)];
    if (a === null || b === null) return (a === null) - (b === null); // undefined scores come last
    return descending ? -compareValues(a, b) : compareValues(a, b);
  });
  table.tBodies[0].append(...rows);
}

function makeSortable(table) {
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => {
    title.querySelector("button").addEventListener("click", () => {
      const before = title.getAttribute("aria-sort");
      const numbers = title.classList.contains("number");
      const descending = before === "none" ? numbers : before === "ascending";
      for (const one of titles) one.setAttribute("aria-sort", "none");
      title.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortBy(table, column, descending);
    });
  });
}
