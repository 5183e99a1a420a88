/* Nets: arrays unpacked, a pass forward, and a pass back from one unit to the input. */
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const bitOf = (bytes, i) => (bytes[i >> 3] >> (i & 7)) & 1;

function half(h) {
  const sign = h & 0x8000 ? -1 : 1, e = (h >> 10) & 31, f = h & 1023;
  return e === 0 ? sign * f * 2 ** -24 : e === 31 ? sign * (f ? NaN : Infinity) : sign * (1 + f / 1024) * 2 ** (e - 15);
}

function unpack(packed) {
  const raw = bytesOf(packed.d);
  const live = packed.k === "u1" ? raw : packed.k === "u2" ? new Uint16Array(raw.buffer)
    : packed.k === "f4" ? new Float32Array(raw.buffer) : Float32Array.from(new Uint16Array(raw.buffer), half);
  if (!packed.m) return live;
  const mask = bytesOf(packed.m), all = new live.constructor(packed.n);
  for (let i = 0, j = 0; i < packed.n; i++) if (bitOf(mask, i)) all[i] = live[j++];
  return all;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const CURVES = {
  relu: (x) => (x > 0 ? x : 0), relu6: (x) => Math.min(Math.max(x, 0), 6), tanh: Math.tanh, sigmoid,
  silu: (x) => x * sigmoid(x), hardswish: (x) => x * Math.min(Math.max(x + 3, 0), 6) / 6,
  elu: (x, layer) => (x > 0 ? x : layer.alpha * Math.expm1(x)),
  leaky: (x, layer, i) => (x > 0 ? x : layer.slopes[i % layer.slopes.length] * x),
};

/* visit(y, x, tap): each place of the output, each place of the input that its window holds, and which tap that is */
function windows(layer, visit) {
  const [h, w] = layer.in, [ho, wo] = layer.out, [kh, kw] = layer.kernel, [sh, sw] = layer.stride;
  for (let i = 0; i < ho; i++) for (let j = 0; j < wo; j++) for (let u = 0; u < kh; u++) {
    const r = i * sh + u - layer.top;
    if (r < 0 || r >= h) continue;
    for (let v = 0; v < kw; v++) {
      const c = j * sw + v - layer.left;
      if (c >= 0 && c < w) visit(i * wo + j, r * w + c, u * kw + v);
    }
  }
}

function linear(layer, x, y, from, to, tap) {
  const [I, O] = layer.units, w = layer.w;
  for (let i = 0; i < I; i++) {
    const value = x[from * I + i];
    if (value === 0) continue;
    for (let o = 0, at = (tap * I + i) * O; o < O; o++) y[to * O + o] += value * w[at + o];
  }
}

function linearBack(layer, dy, dx, from, to, tap) {
  const [I, O] = layer.units, w = layer.w;
  for (let i = 0; i < I; i++) {
    let sum = 0;
    for (let o = 0, at = (tap * I + i) * O; o < O; o++) sum += dy[to * O + o] * w[at + o];
    dx[from * I + i] += sum;
  }
}

const sized = (shape) => new Float64Array(shape.reduce((a, b) => a * b, 1));

function biased(layer) {
  const y = sized(layer.out), O = layer.units[1];
  if (layer.b) for (let i = 0; i < y.length; i++) y[i] = layer.b[i % O];
  return y;
}

const FORWARD = {
  dense(layer, x) { const y = biased(layer); linear(layer, x, y, 0, 0, 0); return y; },
  conv(layer, x) {
    const y = biased(layer);
    windows(layer, (to, from, tap) => linear(layer, x, y, from, to, tap));
    return y;
  },
  max(layer, x) {
    const y = sized(layer.out).fill(-Infinity), c = layer.out[2];
    windows(layer, (to, from) => { for (let k = 0; k < c; k++) y[to * c + k] = Math.max(y[to * c + k], x[from * c + k]); });
    return y;
  },
  avg(layer, x) {
    const y = sized(layer.out), c = layer.out[2], n = inside(layer);
    windows(layer, (to, from) => { for (let k = 0; k < c; k++) y[to * c + k] += x[from * c + k] / n[to]; });
    return y;
  },
  gmax(layer, x) { const y = sized(layer.out).fill(-Infinity), c = y.length; x.forEach((v, i) => { y[i % c] = Math.max(y[i % c], v); }); return y; },
  gavg(layer, x) { const y = sized(layer.out), c = y.length; x.forEach((v, i) => { y[i % c] += v * c / x.length; }); return y; },
  scale(layer, x) { const c = layer.scale.length; return x.map((v, i) => v * layer.scale[i % c] + layer.offset[i % c]); },
  flatten: (layer, x) => x,
};

function inside(layer) {
  const n = new Float64Array(layer.out[0] * layer.out[1]);
  windows(layer, (to) => { n[to]++; });
  return n;
}

const BACKWARD = {
  dense(layer, x, y, dy) { const dx = sized(layer.in); linearBack(layer, dy, dx, 0, 0, 0); return dx; },
  conv(layer, x, y, dy) {
    const dx = sized(layer.in);
    windows(layer, (to, from, tap) => linearBack(layer, dy, dx, from, to, tap));
    return dx;
  },
  max(layer, x, y, dy) {
    const dx = sized(layer.in), c = layer.out[2], taken = new Uint8Array(y.length);
    windows(layer, (to, from) => {
      for (let k = 0; k < c; k++) {
        const at = to * c + k;
        if (!taken[at] && x[from * c + k] === y[at]) { dx[from * c + k] += dy[at]; taken[at] = 1; }
      }
    });
    return dx;
  },
  avg(layer, x, y, dy) {
    const dx = sized(layer.in), c = layer.out[2], n = inside(layer);
    windows(layer, (to, from) => { for (let k = 0; k < c; k++) dx[from * c + k] += dy[to * c + k] / n[to]; });
    return dx;
  },
  gmax(layer, x, y, dy) { const c = y.length; return x.map((v, i) => (v === y[i % c] ? dy[i % c] : 0)); },
  gavg(layer, x, y, dy) { const c = y.length; return x.map((v, i) => dy[i % c] * c / x.length); },
  scale(layer, x, y, dy) { const c = layer.scale.length; return dy.map((v, i) => v * layer.scale[i % c]); },
  flatten: (layer, x, y, dy) => dy,
};

function apply(layer, x) {
  const curve = CURVES[layer.kind];
  return curve ? x.map((v, i) => curve(v, layer, i)) : FORWARD[layer.kind](layer, x);
}

function applyBack(layer, x, y, dy) {
  const curve = CURVES[layer.kind], e = 1e-4;
  if (!curve) return BACKWARD[layer.kind](layer, x, y, dy);
  return dy.map((v, i) => v * (curve(x[i] + e, layer, i) - curve(x[i] - e, layer, i)) / (2 * e));
}

/* A net, from its description. */
function makeNet(facts) {
  const layers = facts.layers.map((layer) => {
    const made = { ...layer };
    for (const name of ["w", "b", "scale", "offset", "slopes"]) if (layer[name]) made[name] = unpack(layer[name]);
    return made;
  });
  return { ...facts, layers };
}

/* The numbers that the first layer takes: columns picked, scaled in double precision and rounded once. */
function inputOf(net, row) {
  const picked = net.columns ? net.columns.map((column) => row[column]) : Array.from(row);
  if (!net.scaling) return Float64Array.from(picked, Math.fround);
  const [shift, scale] = net.scaling, c = shift.length, d = scale.length;
  return Float64Array.from(picked, (v, i) => Math.fround((v - shift[i % c]) / scale[i % d]));
}

/* What each layer gives: [input, output of layer 0, ...]. */
function run(net, row) {
  const seen = [inputOf(net, row)];
  for (const layer of net.layers) seen.push(apply(layer, seen[seen.length - 1]));
  return seen;
}

/* How a unit of a layer moves with each number of the input, at the pass `seen`; a channel where it gives most. */
function gradientOf(net, seen, at, unit) {
  const out = seen[at + 1], c = net.layers[at].out[net.layers[at].out.length - 1];
  let place = unit;
  for (let i = unit; i < out.length; i += c) if (out[i] > out[place]) place = i;
  let back = out.map((_, i) => (i === place ? 1 : 0));
  for (let i = at; i >= 0; i--) back = applyBack(net.layers[i], seen[i], seen[i + 1], back);
  return back;
}

/* Probabilities of classes or labels, or numbers in their own units. */
function answerOf(net, logits, task) {
  if (task === "multilabel") return Array.from(logits, sigmoid);
  if (task === "classes") {
    const top = Math.max(...logits), odds = Array.from(logits, (z) => Math.exp(z - top));
    const sum = odds.reduce((a, b) => a + b, 0);
    return odds.map((p) => p / sum);
  }
  if (!net.target_scaling) return Array.from(logits);
  const [shift, scale] = net.target_scaling;
  return Array.from(logits, (z, i) => z * scale[i % scale.length] + shift[i % shift.length]);
}
