// The page of a subject: table, viewer, contact sheet and marks of each scan belong together.

class Scan {
  constructor(section) {
    const data = JSON.parse(section.querySelector('.scan-data').textContent);
    this.section = section;
    this.table = section.querySelector('table.clusters');
    this.rows = new Map([...this.table.tBodies[0].rows].map(row => [row.dataset.index, row]));
    this.tiles = new Map([...section.querySelectorAll('.sheet button')].map(tile => [tile.dataset.index, tile]));
    this.clusters = new Map(data.clusters.map(cluster => [cluster.index, cluster]));
    this.marks = new Marks(data.stem, data.columns, data.clusters, data.table);
    this.viewer = section.querySelector('.viewer')
      ? new Viewer(section, data, index => this.choose(index)) : null;
    makeSortable(this.table);
    makeSearchable(this.table, section.querySelector('.search'), section.querySelector('.found'));
    this.listen();
    this.rows.forEach((row, index) => this.paint(index));
    this.count();
  }

  listen() {
    this.table.tBodies[0].addEventListener('click', event => {
      const row = event.target.closest('tr'), button = event.target.closest('[data-mark]');
      if (button) this.mark(row.dataset.index, button.dataset.mark);
      else if (row) this.visit(row.dataset.index);
    });
    this.section.querySelector('.sheet')?.addEventListener('click', event => {
      const tile = event.target.closest('button');
      if (tile) { this.visit(tile.dataset.index); this.viewer?.box.scrollIntoView({block: 'center'}); }
    });
    this.section.addEventListener('keydown', event => this.pressed(event), true);
    for (const [role, way] of [['previous', -1], ['next', 1]]) {
      this.section.querySelector(`[data-role="${role}"]`)?.addEventListener('click', () => this.move(way));
    }
    this.section.querySelector('[data-role="save-marks"]').addEventListener('click', () => {
      saveText(this.marks.name, this.marks.toTsv());
    });
    this.section.querySelector('[data-role="load-marks"]').addEventListener('change', async event => {
      const [file] = event.target.files;
      if (file) this.load(await file.text());
      event.target.value = '';
    });
    if (this.viewer && 'IntersectionObserver' in window) {
      new IntersectionObserver((seen, observer) => {
        if (seen.some(entry => entry.isIntersecting)) { observer.disconnect(); this.viewer.start(); }
      }).observe(this.viewer.box);
    }
  }

  // Marks a cluster as the chosen one, wherever it is shown.
  choose(index) {
    if (index === this.chosen || !this.rows.has(index)) return;
    [this.rows, this.tiles].forEach(shown => {
      shown.get(this.chosen)?.classList.remove('chosen');
      shown.get(index)?.classList.add('chosen');
    });
    this.chosen = index;
    const row = this.rows.get(index), box = this.table.closest('.scroll');
    const top = row.offsetTop - this.table.tHead.offsetHeight;
    if (top < box.scrollTop || row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top - 60;
  }

  visit(index) {
    if (!this.rows.has(index)) return;
    this.choose(index);
    this.viewer?.goTo(this.clusters.get(index));
  }

  // To the next row of the table as it is sorted and filtered.
  move(way) {
    const shown = [...this.table.tBodies[0].rows].filter(row => !row.hidden);
    const k = shown.indexOf(this.rows.get(this.chosen));
    const next = shown[k < 0 ? 0 : Math.min(Math.max(k + way, 0), shown.length - 1)];
    if (next) this.visit(next.dataset.index);
  }

  mark(index, mark) {
    if (!this.rows.has(index)) return;
    this.marks.toggle(index, mark);
    this.paint(index);
    this.count();
  }

  paint(index) {
    const mark = this.marks.of.get(index) ?? '', cell = this.rows.get(index).cells[0];
    cell.dataset.sort = mark;
    cell.querySelectorAll('button').forEach(button => {
      button.setAttribute('aria-pressed', String(button.dataset.mark === mark));
    });
  }

  count() {
    const numbers = MARKS.map(mark => `${[...this.marks.of.values()].filter(m => m === mark).length} ${mark}`);
    this.section.querySelector('.progress').textContent = `marked: ${numbers.join(', ')}, of ${this.rows.size}`;
  }

  load(text) {
    const result = this.marks.fromTsv(text);
    this.rows.forEach((row, index) => this.paint(index));
    this.count();
    this.section.querySelector('.marks-message').textContent = result === null
      ? 'This is no table of marks.'
      : `${result.taken} marks taken${result.others ? `; ${result.others} left out, since they belong to other clusters` : ''}.`;
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input, select, textarea')) return;
    const steps = {ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1]};
    const marks = {r: 'right', w: 'wrong', u: 'unsure'}, ways = {n: 1, p: -1};
    if (event.key in steps) {
      if (!event.target.closest('.viewer')) return;
      this.viewer.step(...steps[event.key]);
    } else if (event.key in marks) this.mark(this.chosen, marks[event.key]);
    else if (event.key in ways) this.move(ways[event.key]);
    else if (event.key === 'o' && this.viewer) this.toggleOverlays();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  toggleOverlays() {
    const boxes = [...this.viewer.box.querySelectorAll('[data-overlay]')], shown = boxes.filter(box => box.checked);
    if (shown.length) this.hidden = shown;
    (shown.length ? shown : this.hidden ?? [boxes[0]]).forEach(box => { box.checked = !shown.length; });
    this.viewer.changed('overlays');
  }
}

window.pvsScans = [...document.querySelectorAll('section.scan')].map(section => new Scan(section));
document.querySelectorAll('[data-copy]').forEach(button => button.addEventListener('click', async () => {
  const text = document.getElementById(button.dataset.copy).textContent;
  try { await navigator.clipboard.writeText(text); button.textContent = 'copied'; } catch {
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = 'selected: copy it';
  }
}));
