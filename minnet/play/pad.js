/* The pad: strokes of a round brush, as ink in a fine grid, and read as the image that the net takes.

Strokes are kept: to centre and fit them they are drawn again, larger or smaller, by the same brush. */
class Pad {
  constructor(canvas, inputs, changed) {
    Object.assign(this, { canvas, inputs, changed });
    [this.h, this.w, this.channels] = inputs.shape;
    this.fine = Math.max(4, Math.floor(64 / this.h));
    this.rows = this.h * this.fine;
    this.columns = this.w * this.fine;
    this.ink = new Float32Array(this.rows * this.columns);
    this.fitted = new Float32Array(this.ink.length);
    this.strokes = [];
    this.onSample = false;
    this.radius = Math.max(0.75, this.h / 22) * this.fine;
    this.cursor = [Math.floor(this.h / 2), Math.floor(this.w / 2)];
    this.fit = true;
    this.last = null;
    canvas.width = this.columns;
    canvas.height = this.rows;
    this.listen();
  }

  listen() {
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientY - box.top) / box.height * this.rows, (event.clientX - box.left) / box.width * this.columns];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.last = place(event);
      this.line(this.last, this.last, event.button === 2 || event.shiftKey);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.last) return;
      const steps = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const step of steps.length ? steps : [event]) {
        const at = place(step);
        this.line(this.last, at, (event.buttons & 2) > 0 || event.shiftKey);
        this.last = at;
      }
    });
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => { this.last = null; });
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("focus", () => { this.focused = this.canvas.matches(":focus-visible"); this.changed(false); });
    this.canvas.addEventListener("blur", () => { this.focused = false; this.changed(false); });
  }

  key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const middle = () => this.cursor.map((v) => (v + 0.5) * this.fine);
    if (moves[event.key]) {
      const before = middle(), [down, right] = moves[event.key];
      this.cursor = [clamp(this.cursor[0] + down, 0, this.h - 1), clamp(this.cursor[1] + right, 0, this.w - 1)];
      this.focused = true;
      if (event.shiftKey) this.line(before, middle(), false); else this.changed(false);
    } else if (event.key === " " || event.key === "Enter") this.line(middle(), middle(), false);
    else if (event.key === "Backspace") this.line(middle(), middle(), true);
    else if (event.key === "Delete") this.clear();
    else return;
    event.preventDefault();
  }

  clear() {
    this.ink.fill(0);
    this.strokes = [];
    this.box = "";
    this.onSample = false;
    this.changed(true);
  }

  line(a, b, erase) {
    this.strokes.push([a, b, erase]);
    this.trace(this.ink, a, b, erase);
    this.changed(true);
  }

  trace(grid, a, b, erase) {
    const steps = Math.max(1, Math.ceil(Math.hypot(b[0] - a[0], b[1] - a[1]) * 3 / this.radius));
    for (let i = 0; i <= steps; i++) this.stamp(grid, a[0] + (b[0] - a[0]) * i / steps, a[1] + (b[1] - a[1]) * i / steps, erase);
  }

  stamp(grid, row, column, erase) {
    const r = this.radius;
    for (let i = Math.max(0, Math.floor(row - r - 1)); i < Math.min(this.rows, row + r + 1); i++) {
      for (let j = Math.max(0, Math.floor(column - r - 1)); j < Math.min(this.columns, column + r + 1); j++) {
        const cover = clamp(r + 0.5 - Math.hypot(i + 0.5 - row, j + 0.5 - column), 0, 1), at = i * this.columns + j;
        grid[at] = erase ? Math.min(grid[at], 1 - cover) : Math.max(grid[at], cover);
      }
    }
  }

  /* Show a row of the data: each pixel as a square of ink. */
  show(row) {
    const { paper, ink } = this.inputs, c = this.channels;
    this.strokes = [];
    this.box = "";
    this.onSample = true;
    for (let i = 0; i < this.rows; i++) for (let j = 0; j < this.columns; j++) {
      const at = (Math.floor(i / this.fine) * this.w + Math.floor(j / this.fine)) * c;
      let sum = 0;
      for (let k = 0; k < c; k++) sum += row[at + k];
      this.ink[i * this.columns + j] = clamp((sum / c - paper) / (ink - paper), 0, 1);
    }
  }

  /* The image (h, w, c) in the numbers of the data: each pixel is the mean of the ink in it. */
  read() {
    const { paper, ink } = this.inputs, grid = this.fit && !this.onSample ? this.centred() : this.ink, f = this.fine;
    const out = new Float64Array(this.h * this.w * this.channels);
    for (let i = 0; i < this.h; i++) for (let j = 0; j < this.w; j++) {
      let sum = 0;
      for (let u = 0; u < f; u++) for (let v = 0; v < f; v++) sum += grid[(i * f + u) * this.columns + j * f + v];
      const value = paper + (ink - paper) * sum / (f * f);
      for (let k = 0; k < this.channels; k++) out[(i * this.w + j) * this.channels + k] = value;
    }
    return out;
  }

  /* The strokes once more, as large as the drawings of the training and in the middle. */
  centred() {
    const low = [Infinity, Infinity], high = [-Infinity, -Infinity], sides = [this.rows, this.columns];
    for (const [a, b, erase] of this.strokes) for (const at of erase ? [] : [a, b]) for (const k of [0, 1]) {
      low[k] = Math.min(low[k], at[k]);
      high[k] = Math.max(high[k], at[k]);
    }
    const box = [...low, ...high].join();
    if (box !== this.box) {
      this.fitted.fill(0);
      this.traced = 0;
      this.box = box;
    }
    if (low[0] === Infinity) return this.fitted;
    const room = [0, 1].map((k) => Math.max(this.inputs.box[k] * sides[k] - 2 * this.radius, this.fine));
    const scale = clamp(Math.min(...[0, 1].map((k) => room[k] / Math.max(high[k] - low[k], 1))), 0.4, 4);
    const moved = (at) => at.map((v, k) => (v - (low[k] + high[k]) / 2) * scale + sides[k] / 2);
    for (; this.traced < this.strokes.length; this.traced++) {
      const [a, b, erase] = this.strokes[this.traced];
      this.trace(this.fitted, moved(a), moved(b), erase);
    }
    return this.fitted;
  }

  draw(colours) {
    const context = this.canvas.getContext("2d"), image = context.createImageData(this.columns, this.rows);
    const [back, text] = [colours.pad, colours.text];
    for (let i = 0; i < this.ink.length; i++) {
      for (let k = 0; k < 3; k++) image.data[4 * i + k] = back[k] + (text[k] - back[k]) * this.ink[i];
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    if (!this.focused) return;
    context.strokeStyle = css(colours.one);
    context.lineWidth = 1.5;
    context.strokeRect(this.cursor[1] * this.fine + 0.75, this.cursor[0] * this.fine + 0.75, this.fine - 1.5, this.fine - 1.5);
  }
}

const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const css = (rgb, alpha = 1) => `rgba(${rgb.join(",")},${alpha})`;
