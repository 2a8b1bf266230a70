// The page of a cohort: its list of scans, its tables, and the figures that plotly draws.

const MOST_SHOWN = 500;
const readData = id => JSON.parse(document.getElementById(id).textContent);
const asTsv = rows => rows.map(row => row.join('\t')).join('\n') + '\n';

function element(tag, text, name = '') {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

// The list of scans may be long: only its first rows stand in the page.
function showScans({columns, headings, rows, links}) {
  const table = document.getElementById('scantable'), word = document.getElementById('filter');
  const all = rows.map((cells, k) => ({cells, link: links[k]}));
  let chosen = -1, way = 1;
  const kept = () => all.filter(row => row.cells.join(' ').toLowerCase().includes(word.value.trim().toLowerCase()));
  const line = ({cells, link}) => {
    const row = document.createElement('tr'), first = element('td', '', 'text'), name = element('a', cells[0]);
    name.href = link;
    first.append(name);
    row.append(first, ...cells.slice(1).map(cell => element('td', cell)));
    return row;
  };
  const show = () => {
    const found = kept(), more = found.length > MOST_SHOWN ? `, the first ${MOST_SHOWN} shown` : '';
    document.getElementById('shown').textContent = `${found.length} of ${all.length}${more}`;
    table.tBodies[0].replaceChildren(...found.slice(0, MOST_SHOWN).map(line));
  };
  const heading = document.createElement('tr');
  headings.forEach((name, k) => {
    const cell = element('th', '', k ? '' : 'text'), button = element('button', name);
    button.type = 'button';
    button.addEventListener('click', () => {
      way = chosen === k ? -way : 1;
      chosen = k;
      all.sort((a, b) => way * compareCells(a.cells[k], b.cells[k]));
      [...heading.cells].forEach(other => other.removeAttribute('aria-sort'));
      cell.setAttribute('aria-sort', way > 0 ? 'ascending' : 'descending');
      show();
    });
    cell.append(button);
    heading.append(cell);
  });
  table.tHead.append(heading);
  word.addEventListener('input', show);
  document.getElementById('scansdown').addEventListener('click', () => {
    saveText('scans.tsv', asTsv([columns, ...kept().map(row => row.cells)]));
  });
  show();
}

// Colours of the page for a figure, which has none of its own.
function inColours(layout) {
  const style = getComputedStyle(document.documentElement), of = name => style.getPropertyValue(name).trim();
  const axes = Object.keys(layout).filter(name => /^[xy]axis/.test(name));
  const axis = {gridcolor: of('--line'), zerolinecolor: of('--quiet'), linecolor: of('--quiet')};
  return {
    ...layout, ...Object.fromEntries(axes.map(name => [name, {...axis, ...layout[name]}])),
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', font: {color: of('--text'), size: 13},
    hoverlabel: {bgcolor: of('--panel'), font: {color: of('--text')}},
    legend: {orientation: 'h', y: 1.02, yanchor: 'bottom'}, height: layout.height ?? 460,
  };
}

class Plot {
  constructor(key, choices) {
    this.key = key;
    this.choices = choices;
    this.place = document.getElementById(`plot-${key}`);
    this.select = document.querySelector(`select[data-figure="${key}"]`);
    this.select?.addEventListener('change', () => this.draw());
    document.querySelector(`[data-numbers="${key}"]`).addEventListener('click', () => {
      saveText(`${key}.tsv`, this.numbers());
    });
    this.draw();
  }

  get chosen() { return this.choices[Number(this.select?.value ?? 0)]; }

  draw() {
    const {data, layout} = this.chosen, settings = {responsive: true, displaylogo: false};
    return Plotly.react(this.place, structuredClone(data), inColours(structuredClone(layout)), settings);
  }

  // What is drawn, point by point.
  numbers() {
    const cell = value => value ?? 'n/a';
    const rows = this.chosen.data.flatMap(({name, x, y}) => Array.from(
      {length: Math.max(x?.length ?? 0, y?.length ?? 0)}, (_, k) => [cell(name), cell(x?.[k]), cell(y?.[k])]));
    return asTsv([['series', 'x', 'y'], ...rows]);
  }
}

showScans(readData('scan-data'));
document.querySelectorAll('table.sortable').forEach(table => {
  const controls = table.closest('.scroll').previousElementSibling;
  makeSortable(table);
  makeSearchable(table, controls.querySelector('.search'), controls.querySelector('.found'));
});
const plots = Object.entries(readData('figure-data')).map(([key, choices]) => new Plot(key, choices));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plots.forEach(plot => plot.draw()));
