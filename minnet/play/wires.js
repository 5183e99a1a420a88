/* The net as units in columns and wires between them.

Wires are drawn into two grids of numbers, positive and negative. Where a weight goes, its wire is subtracted, and what
is shown follows in a few frames: the wire fades. */
const PITCH = 9, SLOW = 0.22, TONES = 1024, HIGHEST = 8;
const TONE = Float32Array.from({ length: TONES + 1 }, (_, i) => 1 - Math.exp(-1.1 * Math.sqrt(i / TONES * HIGHEST)));

class Wires {
  constructor(below, above, model) {
    Object.assign(this, { below, above, model });
    this.columns = columnsOf(model.dense);
    this.links = this.columns.slice(1).map((column, k) => {
      const [I, O] = column.layer.units, from = this.columns[k].n;
      const taps = column.layer.w.length / (from * O);
      return { from, to: O, taps, offset: column.offset, wires: from * O, drawn: new Float32Array(from * O), scale: 1, I };
    });
    this.picture = document.createElement("canvas");
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  /* Weight numbers of the wire from unit i to unit o: tap t is (t from + i) to + o, after those of earlier layers. */
  weight(link, i, o, tap) { return link.offset + (tap * link.from + i) * link.to + o; }

  /* Signed size of a wire: its weight, or the norm of its weights with the sign of their sum. */
  size(link, i, o, masked) {
    const w = masked ? this.model.masked : this.model.weights;
    if (link.taps === 1) return w[this.weight(link, i, o, 0)];
    let square = 0, sum = 0;
    for (let tap = 0; tap < link.taps; tap++) {
      const value = w[this.weight(link, i, o, tap)];
      square += value * value;
      sum += value;
    }
    return Math.sign(sum || 1) * Math.sqrt(square);
  }

  resize() {
    const box = this.above.parentElement.getBoundingClientRect();
    this.width = Math.round(box.width);
    this.height = Math.round(box.height);
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const canvas of [this.below, this.above]) {
      canvas.width = this.width * ratio;
      canvas.height = this.height * ratio;
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    this.place();
    this.gridWidth = Math.ceil(this.width / 2);
    const size = this.gridWidth * this.height;
    this.target = [new Float32Array(size), new Float32Array(size)];
    this.shown = [new Float32Array(size), new Float32Array(size)];
    this.picture.width = this.gridWidth;
    this.picture.height = this.height;
    for (const [k, link] of this.links.entries()) {
      link.drawn.fill(0);
      let sum = 0, most = 0;
      for (let i = 0; i < link.from; i++) for (let o = 0; o < link.to; o++) {
        const size = Math.abs(this.size(link, i, o, false));
        sum += size;
        most = Math.max(most, size);
      }
      link.scale = Math.min(0.35 * this.height / (sum || 1), 1.2 / (most || 1));
      link.gap = [this.columns[k].right + 3, this.columns[k + 1].left - 3];
    }
    this.update(true);
  }

  /* Where units are: an image as its pixels, others in a block that is as high as it may be. */
  place() {
    const sizes = this.columns.map((column, k) => {
      if (column.image) {
        const pitch = clamp(Math.floor(Math.min(this.height * 0.5 / column.image[0], this.width * 0.16 / column.image[1])), 1, 14);
        return { pitch, rows: column.image[0], wide: column.image[1] };
      }
      if (k === 0 && column.maps) return { pitch: Math.floor(Math.min(this.height * 0.6 / column.n, this.width * 0.15)), rows: column.n, wide: 1 };
      const few = Math.floor(this.height / column.n), pitch = clamp(few, this.width < 500 ? 5 : 7, column.maps ? 30 : 26);
      const rows = Math.min(column.n, Math.floor(this.height / pitch));
      return { pitch, rows, wide: Math.ceil(column.n / rows) };
    });
    const labels = 74, taken = sizes.reduce((sum, size) => sum + size.wide * size.pitch, 0);
    const gap = Math.max((this.width - labels - taken - 8) / Math.max(sizes.length - 1, 1), 6);
    let x = 4;
    this.columns.forEach((column, k) => {
      const { pitch, rows, wide } = sizes[k];
      column.left = x;
      column.right = x + wide * pitch;
      column.pitch = pitch;
      const top = (this.height - rows * pitch) / 2;
      column.box = [x - 1, top - 1, wide * pitch + 2, rows * pitch + 2];
      column.x = new Float32Array(column.n);
      column.y = new Float32Array(column.n);
      for (let i = 0; i < column.n; i++) {
        const [r, c] = column.image ? [Math.floor(i / wide), i % wide] : [i % rows, Math.floor(i / rows)];
        column.x[i] = x + (c + 0.5) * pitch;
        column.y[i] = top + (r + 0.5) * pitch;
      }
      x = column.right + gap;
    });
  }

  /* Draw what changed into the grids. */
  update(all) {
    this.links.forEach((link, k) => {
      const [a, b] = [this.columns[k], this.columns[k + 1]];
      for (let i = 0, at = 0; i < link.from; i++) for (let o = 0; o < link.to; o++, at++) {
        const now = this.size(link, i, o, true) * link.scale, before = link.drawn[at];
        if (now === before) continue;
        if (before) this.trace(a.x[i], a.y[i], b.x[o], b.y[o], before > 0 ? 0 : 1, -Math.abs(before));
        if (now) this.trace(a.x[i], a.y[i], b.x[o], b.y[o], now > 0 ? 0 : 1, Math.abs(now));
        link.drawn[at] = now;
      }
    });
    this.fading = true;
    if (all || this.still) this.settle();
  }

  settle() {
    this.shown.forEach((grid, k) => grid.set(this.target[k]));
  }

  trace(x0, y0, x1, y1, sign, amount) {
    const grid = this.target[sign], w = this.gridWidth;
    const first = Math.round(x0 / 2), last = Math.round(x1 / 2), slope = (y1 - y0) / Math.max(last - first, 1);
    let y = y0;
    for (let x = first; x <= last; x++, y += slope) {
      const row = y | 0, part = (y - row) * amount, at = row * w + x;
      grid[at] += amount - part;
      grid[at + w] += part;
    }
  }

  /* One frame of the wires; true while they still move. */
  fade(colours) {
    if (!this.fading) return false;
    let moved = 0;
    const image = new ImageData(this.gridWidth, this.height), data = image.data;
    const [one, two] = [colours.one, colours.two], [up, down] = this.shown, [upTo, downTo] = this.target;
    const speed = this.still ? 1 : SLOW;
    for (let i = 0, j = 0; i < up.length; i++, j += 4) {
      const a = (upTo[i] - up[i]) * speed, b = (downTo[i] - down[i]) * speed;
      up[i] += a;
      down[i] += b;
      if (a > 0.002 || a < -0.002 || b > 0.002 || b < -0.002) moved++;
      const p = TONE[Math.min(up[i], HIGHEST) * (TONES / HIGHEST) | 0] || 0;
      const n = TONE[Math.min(down[i], HIGHEST) * (TONES / HIGHEST) | 0] || 0, share = p * p / (p * p + n * n);
      if (p + n < 0.004) continue;
      data[j] = two[0] + (one[0] - two[0]) * share;
      data[j + 1] = two[1] + (one[1] - two[1]) * share;
      data[j + 2] = two[2] + (one[2] - two[2]) * share;
      data[j + 3] = 255 * (1 - (1 - p) * (1 - n));
    }
    this.picture.getContext("2d").putImageData(image, 0, 0);
    const context = this.below.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    context.drawImage(this.picture, 0, 0, this.gridWidth * 2, this.height);
    this.fading = moved > 0;
    return this.fading;
  }

  /* Units by what they give now, names of the outputs, and what has the focus. */
  units(values, names, focus, colours) {
    const context = this.above.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    if (focus) this.light(context, focus, colours);
    this.columns.forEach((column, k) => {
      const size = column.pitch - (column.pitch > 4 ? 1.5 : 0), shown = values[k].units;
      context.fillStyle = css(colours.card);
      context.fillRect(...column.box);
      if (column.maps && column.pitch > 7) this.maps(context, column, values[k], size, colours);
      else for (let i = 0; i < column.n; i++) {
        const x = column.x[i] - size / 2, y = column.y[i] - size / 2;
        context.fillStyle = css(colours.off);
        context.fillRect(x, y, size, size);
        context.fillStyle = css(colours.text, clamp(shown[i], 0, 1));
        context.fillRect(x, y, size, size);
      }
    });
    const last = this.columns[this.columns.length - 1], outputs = values[values.length - 1].units, best = outputs.indexOf(Math.max(...outputs));
    context.textBaseline = "middle";
    for (let i = 0; i < last.n && last.pitch >= 9; i++) {
      context.font = `${i === best ? "bold " : ""}${clamp(last.pitch - 2, 9, 14)}px system-ui, sans-serif`;
      context.fillStyle = css(i === best ? colours.text : colours.soft);
      context.fillText(names[i], last.right + 5, last.y[i], 70);
    }
    if (focus && focus.unit !== undefined) {
      const column = this.columns[focus.column];
      context.lineWidth = 2;
      context.strokeStyle = css(colours.text);
      context.strokeRect(column.x[focus.unit] - column.pitch / 2 - 1, column.y[focus.unit] - column.pitch / 2 - 1, column.pitch + 2, column.pitch + 2);
    }
  }

  /* Each channel as the picture that it gives. */
  maps(context, column, { map, shape: [h, w, c] }, size, colours) {
    let most = 1e-9;
    for (const v of map) most = Math.max(most, Math.abs(v));
    column.sheet = column.sheet || document.createElement("canvas");
    column.sheet.width = w;
    column.sheet.height = h * c;
    const sheet = column.sheet.getContext("2d"), image = sheet.createImageData(w, h * c);
    map.forEach((v, i) => {
      const at = 4 * ((i % c) * h * w + Math.floor(i / c)), share = Math.abs(v) / most;
      for (let k = 0; k < 3; k++) image.data[at + k] = colours.off[k] + (colours.text[k] - colours.off[k]) * share;
      image.data[at + 3] = 255;
    });
    sheet.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    for (let i = 0; i < c; i++) context.drawImage(column.sheet, 0, i * h, w, h, column.x[i] - size / 2, column.y[i] - size / 2, size, size);
  }

  /* The wires of the unit or the one wire that has the focus: solid where positive, dashed where negative. */
  light(context, focus, colours) {
    const draw = (k, i, o, thick) => {
      const link = this.links[k], [a, b] = [this.columns[k], this.columns[k + 1]], now = this.size(link, i, o, true);
      const size = Math.abs(this.size(link, i, o, false)) * link.scale;
      if (!now && !thick) return;
      context.setLineDash(now > 0 ? [] : now < 0 ? [5, 3] : [1, 5]);
      context.strokeStyle = css(now > 0 ? colours.one : now < 0 ? colours.two : colours.text, thick ? 1 : 0.9);
      context.lineWidth = thick ? 3 : clamp(0.5 + size * 2, 0.6, 3);
      context.beginPath();
      context.moveTo(a.x[i], a.y[i]);
      context.lineTo(b.x[o], b.y[o]);
      context.stroke();
    };
    if (focus.wire) draw(focus.wire.link, focus.wire.from, focus.wire.to, true);
    else {
      const { column, unit } = focus;
      if (column > 0) for (let i = 0; i < this.columns[column - 1].n; i++) draw(column - 1, i, unit, false);
      if (column < this.links.length) for (let o = 0; o < this.columns[column + 1].n; o++) draw(column, unit, o, false);
    }
    context.setLineDash([]);
  }

  /* What is at a place: a unit, a wire, or nothing. */
  find(x, y) {
    for (const [k, column] of this.columns.entries()) {
      if (x < column.left - 3 || x > column.right + 3) continue;
      let best = -1, least = (column.pitch * 0.75 + 3) ** 2;
      for (let i = 0; i < column.n; i++) {
        const far = (column.x[i] - x) ** 2 + (column.y[i] - y) ** 2;
        if (far < least) [best, least] = [i, far];
      }
      return best < 0 ? null : { column: k, unit: best };
    }
    for (const [k, link] of this.links.entries()) if (x >= link.gap[0] && x <= link.gap[1]) return this.nearest(k, link, x, y);
    return null;
  }

  /* The wire at a place: the heaviest that is left within two pixels, else the nearest. */
  nearest(k, link, x, y) {
    const [a, b] = [this.columns[k], this.columns[k + 1]];
    let found = null, weight = 0, near = null, least = 6;
    for (let i = 0, at = 0; i < link.from; i++) for (let o = 0; o < link.to; o++, at++) {
      const far = Math.abs(a.y[i] + (b.y[o] - a.y[i]) * (x - a.x[i]) / (b.x[o] - a.x[i]) - y);
      if (far < least) { near = [i, o]; least = far; }
      if (far < 2 && Math.abs(link.drawn[at]) > weight) { found = [i, o]; weight = Math.abs(link.drawn[at]); }
    }
    const wire = found || near;
    return wire ? { wire: { link: k, from: wire[0], to: wire[1], tap: 0 } } : null;
  }
}

/* The columns of a net: its input, and each layer with weights with what follows it up to the next. */
function columnsOf(net) {
  const first = net.layers.find((layer) => layer.w), shape = net.shape;
  const maps = first.kind === "conv";
  const columns = [{
    name: "input", n: maps ? shape[2] : shape.reduce((a, b) => a * b, 1), last: 0, maps,
    image: !maps && shape.length === 3 ? [shape[0], shape[1] * shape[2]] : null,
  }];
  let offset = 0;
  net.layers.forEach((layer, i) => {
    if (layer.w) {
      columns.push({ name: layer.name, n: layer.units[1], layer, at: i, offset, maps: layer.kind === "conv" });
      offset += layer.w.length;
    }
    if (layer.kind !== "flatten") columns[columns.length - 1].last = i + 1;
  });
  return columns;
}
