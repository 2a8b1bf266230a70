'use strict';
// Tables that a click on a heading sorts, and a word filters.

const toNumber = text => text === '–' || text === 'n/a' ? -Infinity : text === '' ? NaN : Number(text.replace(/[\s,]/g, ''));

function compareCells(a, b) {
  const x = toNumber(a), y = toNumber(b);
  if (!Number.isNaN(x) && !Number.isNaN(y)) return x === y ? 0 : x < y ? -1 : 1;
  return a.localeCompare(b, undefined, {numeric: true});
}

const cellText = cell => cell.dataset.sort ?? cell.textContent.trim();

// Sorts the rows by a column; the heading says in which direction. Equal rows stay as they are.
function sortBy(table, column) {
  const headings = [...table.tHead.rows[0].cells];
  const isAscending = headings[column].getAttribute('aria-sort') !== 'ascending';
  const rows = [...table.tBodies[0].rows];
  const keys = new Map(rows.map(row => [row, cellText(row.cells[column])]));
  rows.sort((a, b) => (isAscending ? 1 : -1) * compareCells(keys.get(a), keys.get(b)));
  table.tBodies[0].append(...rows);
  headings.forEach((heading, k) => {
    if (k === column) heading.setAttribute('aria-sort', isAscending ? 'ascending' : 'descending');
    else heading.removeAttribute('aria-sort');
  });
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((heading, k) => {
    heading.querySelector('button').addEventListener('click', () => sortBy(table, k));
  });
}

// Hides the rows that do not hold the word, and says how many are left.
function makeSearchable(table, input, told) {
  const apply = () => {
    const word = input.value.trim().toLowerCase(), rows = [...table.tBodies[0].rows];
    rows.forEach(row => { row.hidden = !row.textContent.toLowerCase().includes(word); });
    told.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length}`;
  };
  input.addEventListener('input', apply);
  apply();
}

// Gives a text as a file.
function saveText(name, text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'text/tab-separated-values'}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
