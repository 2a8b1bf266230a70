// The viewer of one scan: NiiVue with the images that stand in the page.

async function inflate(element) {
  const bytes = Uint8Array.from(atob(element.textContent), sign => sign.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')));
}

// NiiVue itself, once for all viewers of a page.
let niivue = null;
function loadNiivue() {
  niivue ??= (async () => {
    const script = await (await inflate(document.getElementById('niivue'))).text();
    const address = URL.createObjectURL(new Blob([script], {type: 'text/javascript'}));
    return (await import(address)).Niivue;
  })();
  return niivue;
}

const LABELS = ['viewClusters', 'viewRegions'];
// Overlays in the order in which they cover each other, and how strong they are beside each other.
const OVERLAYS = {viewRegions: 0.4, viewProbability: 1, viewClusters: 1};
const OPTIONS = {
  logLevel: 'silent', dragAndDropEnabled: false, isColorbar: false, multiplanarShowRender: 0, multiplanarLayout: 0,
  crosshairWidth: 0.2, crosshairWidthUnit: 'percent', crosshairGap: 12, crosshairColor: [0.95, 0.25, 0.25, 0.8], dragMode: 9,
  viewModeHotKey: '', clipPlaneHotKey: '', cycleClipPlaneHotKey: '', isSliceMM: false,
};

class Viewer {
  // Clusters have an index, a colour and a centre in mm, regions an index, a name and a colour; `onCluster` is
  // told the cluster under the crosshair.
  constructor(section, {clusters, regions}, onCluster) {
    this.box = section.querySelector('.viewer');
    this.images = Object.fromEntries(
      [...section.querySelectorAll('script[data-volume]')].map(e => [e.dataset.volume, e]));
    this.clusters = clusters;
    this.regions = regions;
    this.onCluster = onCluster;
    this.screens = [];
    this.box.querySelectorAll('[data-role], [data-overlay]').forEach(control => {
      control.addEventListener('input', () => this.changed(control.dataset.role ?? 'overlays'));
    });
    this.box.querySelector('.canvases').addEventListener('contextmenu', event => event.preventDefault());
    this.target = clusters[0] ?? null;
  }

  control(role) { return this.box.querySelector(`[data-role="${role}"]`); }

  // Starts once; whoever asks again waits for the same start.
  start() {
    this.started ??= this.open().catch(error => {
      this.box.dataset.state = 'failed';
      this.tell(`The viewer cannot start in this browser: ${error.message}`);
    });
    return this.started;
  }

  async open() {
    if (!document.createElement('canvas').getContext('webgl2')) throw new Error('it has no WebGL2');
    this.tell('The viewer starts …');
    const main = await this.addScreen(0);
    main.nv.onLocationChange = place => this.located(place);
    main.nv.onIntensityChange = () => this.readWindow();
    for (const screen of this.screens) await this.show(screen);
    this.box.dataset.state = 'ready';
    if (this.target) { this.onCluster(this.target.index); this.goTo(this.target); }
    else main.nv.createOnLocationChange();
  }

  // The first screen has overlays, the second one has none.
  async addScreen(k) {
    const Niivue = await loadNiivue();
    const nv = new Niivue(OPTIONS), canvas = this.box.querySelectorAll('canvas')[k];
    canvas.parentElement.hidden = false;
    await nv.attachToCanvas(canvas);
    const screen = {nv, volumes: {}, hasOverlays: k === 0};
    this.screens.push(screen);
    return screen;
  }

  async load(screen, name) {
    const buffer = await (await inflate(this.images[name])).arrayBuffer();
    if (LABELS.includes(name)) new DataView(buffer).setInt16(68, 1002, true);  // NIFTI_INTENT_LABEL
    await screen.nv.loadFromArrayBuffer(buffer, `${name}.nii`);
    const volume = screen.nv.volumes.at(-1);
    if (name === 'viewClusters') volume.setColormapLabel(labelColours(this.clusters));
    if (name === 'viewRegions') volume.setColormapLabel(labelColours(this.regions));
    if (name === 'viewProbability') Object.assign(volume, {colormap: 'viridis', cal_min: 8, cal_max: 255});
    screen.volumes[name] = volume;
  }

  // Brings a screen to what the controls say.
  async show(screen) {
    const {nv, volumes} = screen, base = this.control('base').value;
    const wanted = new Map([[base, 1]]), opacity = Number(this.control('opacity').value) / 100;
    if (screen.hasOverlays) {
      this.box.querySelectorAll('[data-overlay]').forEach(box => {
        if (box.checked) wanted.set(box.dataset.overlay, opacity * OVERLAYS[box.dataset.overlay]);
      });
      wanted.set('viewClusters', wanted.get('viewClusters') ?? 0);  // a click asks it for the cluster
    }
    for (const name of wanted.keys()) if (!volumes[name]) await this.load(screen, name);
    const order = [base, ...Object.keys(OVERLAYS), 'viewT1w', 'viewT2w'];
    nv.volumes = Object.keys(volumes).sort((a, b) => order.indexOf(a) - order.indexOf(b)).map(name => volumes[name]);
    nv.back = volumes[base];
    nv.overlays = nv.volumes.slice(1);
    for (const [name, volume] of Object.entries(volumes)) volume.opacity = wanted.get(name) ?? 0;
    volumes[base].cal_min = Number(this.control('low').value);
    volumes[base].cal_max = Math.max(Number(this.control('high').value), volumes[base].cal_min + 1);
    nv.opts.sliceType = Number(this.control('slices').value);
    nv.opts.crosshairWidth = this.control('crosshair').checked ? OPTIONS.crosshairWidth : 0;
    nv.updateGLVolume();
    nv.opts.isNearestInterpolation = true;  // overlays show their voxels as they are
    nv.updateInterpolation(1);
    nv.opts.isNearestInterpolation = !this.control('smooth').checked;
    nv.updateInterpolation(0);
    nv.drawScene();
  }

  async changed(role) {
    await this.start();
    if (this.box.dataset.state !== 'ready' || role === 'previous' || role === 'next') return;
    if (role === 'zoom') { this.zoom(); return; }
    const second = this.box.querySelectorAll('.canvases > div')[1];
    if (role === 'side') {
      const isWanted = this.control('side').checked;
      if (isWanted && !this.screens[1]) await this.addScreen(1);
      second.hidden = !isWanted;
      this.box.querySelector('.canvases').classList.toggle('side', isWanted);
    }
    this.box.dataset.state = 'busy';
    for (const screen of this.screens) if (screen.hasOverlays || !second.hidden) await this.show(screen);
    this.box.dataset.state = 'ready';
    this.follow();
  }

  // Enlarges around the crosshair, which stays where it is.
  zoom() {
    const {nv} = this.screens[0], factor = Number(this.control('zoom').value);
    const mm = nv.frac2mm(nv.scene.crosshairPos);
    nv.setPan2Dxyzmm([0, 1, 2].map(k => (1 - factor) * mm[k]).concat(factor));
    this.follow();
  }

  readWindow() {
    const volume = this.screens[0].nv.volumes[0];
    this.control('low').value = volume.cal_min;
    this.control('high').value = volume.cal_max;
    if (this.screens[1]) this.show(this.screens[1]);
  }

  // The second screen shows the place of the first one.
  follow() {
    if (!this.screens[1]) return;
    const [{nv: first}, {nv: second}] = this.screens;
    second.scene.crosshairPos = second.mm2frac(first.frac2mm(first.scene.crosshairPos, 0, true), 0, true);
    second.scene.pan2Dxyzmm = [...first.scene.pan2Dxyzmm];
    second.drawScene();
  }

  // Moves the crosshair to a point in mm.
  moveTo(mm) {
    const {nv} = this.screens[0];
    nv.scene.crosshairPos = nv.mm2frac(mm, 0, true);
    if (Number(this.control('zoom').value) > 1) this.zoom();
    nv.drawScene();
    nv.createOnLocationChange();
  }

  async goTo(cluster) {
    this.target = cluster;
    if (this.box.dataset.state === undefined) { await this.start(); return; }
    if (this.box.dataset.state === 'failed') return;
    this.moveTo(['x_mm', 'y_mm', 'z_mm'].map(name => Number(cluster[name])));
  }

  step(x, y, z) {
    if (this.box.dataset.state !== 'ready') return;
    this.screens[0].nv.moveCrosshairInVox(x, y, z);
  }

  located(place) {
    const {volumes} = this.screens[0];
    const valueOf = image => place.values.find(value => value.id === volumes[image]?.id)?.value ?? 0;
    const index = valueOf('viewClusters'), area = valueOf('viewRegions');
    const mm = [...place.mm].slice(0, 3).map(value => value.toFixed(1));
    this.box.dataset.mm = mm.join(' ');
    this.box.dataset.cluster = index;
    const name = this.clusters.find(c => Number(c.index) === index)?.name;
    const region = this.regions.find(r => Number(r.index) === area)?.name;
    this.tell([`x ${mm[0]}, y ${mm[1]}, z ${mm[2]} mm`, name, region].filter(part => part).join(': '));
    this.follow();
    if (name) this.onCluster(String(index));
  }

  tell(text) { this.box.querySelector('.place').textContent = text; }
}

// NiiVue's table of the colours of labels; 0 is clear.
function labelColours(labels) {
  const part = k => [0, ...labels.map(label => label.colour[k])];
  return {R: part(0), G: part(1), B: part(2), A: [0, ...labels.map(() => 255)], I: [0, ...labels.map(label => Number(label.index))]};
}
