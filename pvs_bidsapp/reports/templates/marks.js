// What a reader thinks of each cluster: right, wrong or unsure. Kept in this browser, given and taken as a table.

const MARKS = ['right', 'wrong', 'unsure'];
// Largest distance in mm between the centres of a cluster in two tables.
const SAME_PLACE = 0.5;

class Marks {
  constructor(stem, columns, clusters, table) {
    this.columns = columns;
    this.clusters = new Map(clusters.map(cluster => [cluster.index, cluster]));
    this.name = `${stem}_desc-pvs_marks.tsv`;
    this.key = `pvs marks ${stem} ${table}`;
    this.of = new Map();
    this.takeAll(this.stored());
  }

  // Storage may be forbidden, and what is in it damaged.
  stored() {
    try { return Object.entries(JSON.parse(localStorage.getItem(this.key)) ?? {}); } catch { return []; }
  }

  takeAll(entries) {
    for (const [index, mark] of entries) if (this.clusters.has(index) && MARKS.includes(mark)) this.of.set(index, mark);
  }

  // The same mark again takes it back.
  toggle(index, mark) {
    if (this.of.get(index) === mark) this.of.delete(index);
    else this.of.set(index, mark);
    this.store();
  }

  store() {
    try { localStorage.setItem(this.key, JSON.stringify(Object.fromEntries(this.of))); } catch { /* not kept */ }
  }

  toTsv() {
    const rows = [...this.clusters.values()].filter(cluster => this.of.has(cluster.index));
    const lines = rows.map(row => this.columns.map(name => name === 'mark' ? this.of.get(row.index) : row[name]).join('\t'));
    return [this.columns.join('\t'), ...lines].join('\n') + '\n';
  }

  // Takes the marks of a table; says how many belong to clusters of this page, and how many to others.
  fromTsv(text) {
    const [header, ...lines] = text.replace(/\r/g, '').split('\n').filter(line => line).map(line => line.split('\t'));
    const at = Object.fromEntries((header ?? []).map((name, k) => [name, k]));
    if (!['index', 'mark', 'x_mm', 'y_mm', 'z_mm'].every(name => name in at)) return null;
    const taken = lines.filter(line => {
      const cluster = this.clusters.get(line[at.index]);
      return cluster && MARKS.includes(line[at.mark]) && ['x_mm', 'y_mm', 'z_mm'].every(
        name => Math.abs(Number(cluster[name]) - Number(line[at[name]])) <= SAME_PLACE);
    });
    this.takeAll(taken.map(line => [line[at.index], line[at.mark]]));
    this.store();
    return {taken: taken.length, others: lines.length - taken.length};
  }
}
