/* The page: what the user does becomes an input, a sparsity, a criterion and a focus; a frame shows what changed. */
const $ = (id) => document.getElementById(id);
const facts = JSON.parse($("facts").textContent);
const n = facts.weights, isImage = facts.inputs.kind === "image";
const nets = { dense: makeNet(facts.dense), now: makeNet(facts.dense) };
if (facts.pruned) nets.pruned = makeNet(facts.pruned);
const weighted = (net) => net.layers.filter((layer) => layer.w);
const whole = (net) => { const all = new Float32Array(n); let at = 0; for (const layer of weighted(net)) { all.set(layer.w, at); at += layer.w.length; } return all; };
const model = { dense: nets.dense, weights: whole(nets.dense), masked: whole(nets.dense) };
const samples = facts.inputs.samples.map((sample) => ({ label: sample.label, x: Float64Array.from(unpack(sample.x)) }));
const judged = facts.criteria.map(ranked);
const slopes = slopesOf();
const state = { criterion: 0, stop: 0, row: samples[0].x, focus: null, pinned: false, sample: 0, cursor: 0 };
const dirty = { ink: false, input: true, mask: true, focus: true, pad: true };
const colours = {};
const names = facts.classes || outputs();
let pad = null, wires = null, seen = {};

/* A criterion with the place of each weight in the order of removal; of coarse ones the first place of its stop. */
function ranked(criterion) {
  let place;
  if (criterion.stops) {
    const stops = unpack(criterion.stops);
    place = Uint32Array.from(stops, (stop) => (stop === 0 ? 0 : facts.counts[stop - 1]));
  } else if (criterion.order) place = unpack(criterion.order);
  else {
    const size = model.weights.map(Math.abs), by = Uint32Array.from(size, (_, i) => i).sort((a, b) => size[a] - size[b] || a - b);
    place = new Uint32Array(n);
    by.forEach((weight, i) => { place[weight] = i; });
  }
  return { ...criterion, place, knots: unpack(criterion.knots) };
}

function scoreOf(criterion, weight) {
  const { knots, place } = criterion, at = place[weight] * (knots.length - 1) / Math.max(n - 1, 1);
  const i = Math.min(Math.floor(at), knots.length - 2);
  return knots.length < 2 ? knots[0] : knots[i] + (knots[i + 1] - knots[i]) * (at - i);
}

function slopesOf() {
  if (facts.gradient) {
    const codes = unpack(facts.gradient.codes), book = unpack(facts.gradient.book);
    return (weight) => book[codes[weight]];
  }
  const negative = bytesOf(facts.negative), by = judged.find((criterion) => criterion.name === "gradient");
  return (weight) => scoreOf(by, weight) * (bitOf(negative, weight) ? -1 : 1);
}

function outputs() {
  const target = facts.target;
  if (Array.isArray(target)) return target;
  return Array.from({ length: facts.dense.outputs }, (_, i) => (facts.dense.outputs === 1 ? target || "prediction" : `${i}`));
}

/* --- words --- */
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
const count = (k) => k.toLocaleString("en");
const number = (v) => {
  const size = Math.abs(v);
  if (v === 0 || !Number.isFinite(v)) return `${v}`;
  return size >= 1e6 || size < 0.001 ? v.toExponential(2) : size >= 100 ? count(Math.round(v)) : v.toPrecision(3);
};
const isNumbers = facts.task === "numbers";
const scored = (found) => (isNumbers ? found.toFixed(3) : percent(found));

function text(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function drawn(name, attributes, words) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (words !== undefined) made.textContent = words;
  return made;
}

/* --- input --- */
function setInput(row, sample = -1) {
  state.row = row;
  state.sample = sample;
  dirty.input = dirty.pad = true;
  for (const [i, button] of [...$("samples").children].entries()) button.setAttribute("aria-pressed", i === sample);
  request();
}

function useSample(i) {
  dirty.ink = false;
  if (pad) pad.show(samples[i].x);
  else showRow(samples[i].x);
  setInput(samples[i].x, i);
}

function thumbnail(canvas, row, [h, w, c], invert) {
  const { paper, ink } = facts.inputs, context = canvas.getContext("2d"), image = context.createImageData(w, h);
  for (let i = 0; i < h * w; i++) {
    for (let k = 0; k < 3; k++) {
      const share = clamp((row[i * c + (c === 3 ? k : 0)] - (c === 3 ? Math.min(paper, ink) : paper)) / (c === 3 ? Math.abs(ink - paper) : ink - paper), 0, 1);
      image.data[4 * i + k] = c === 3 ? 255 * share : colours.pad[k] + (colours.text[k] - colours.pad[k]) * share;
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.width = w;
  canvas.height = h;
  context.putImageData(image, 0, 0);
}

function makeSamples() {
  samples.forEach((sample, i) => {
    const button = element("button", { type: "button", "aria-pressed": i === 0, onclick: () => useSample(i) });
    if (isImage) button.append(element("canvas", { "aria-hidden": "true" }));
    else button.append(sample.label);
    button.setAttribute("aria-label", `test ${isImage ? "image" : "row"} ${i + 1}, ${facts.target && !isImage ? facts.target + " " : "a "}${sample.label}`);
    $("samples").append(button);
  });
}

function makeColumns() {
  facts.inputs.columns.forEach((column, i) => {
    const id = `column${i}`, change = () => { setInput(readRow()); };
    const control = column.options
      ? element("select", { id, onchange: change }, ...column.options.map((option, k) => element("option", { value: k }, option)))
      : element("input", { id, type: "range", min: column.low, max: column.high, step: column.step, oninput: change });
    $("columns").append(element("label", { for: id }, column.name), control, element("output", { for: id, id: `${id}value` }));
  });
}

function readRow() {
  const row = Float64Array.from(state.row);
  facts.inputs.columns.forEach((column, i) => {
    const value = Number($(`column${i}`).value);
    if (column.options) column.places.forEach((place, k) => { row[place] = k === value ? 1 : 0; });
    else row[column.places[0]] = value;
  });
  showValues();
  return row;
}

function showRow(row) {
  facts.inputs.columns.forEach((column, i) => {
    $(`column${i}`).value = column.options ? Math.max(column.places.findIndex((place) => row[place] === 1), 0) : row[column.places[0]];
  });
  showValues();
}

function showValues() {
  facts.inputs.columns.forEach((column, i) => { if (!column.options) text(`column${i}value`, number(Number($(`column${i}`).value))); });
}

/* --- pruning --- */
const removedCount = () => facts.counts[state.stop];
const isLive = (weight, criterion = state.criterion) => judged[criterion].place[weight] >= removedCount();

function setMask() {
  for (let i = 0; i < n; i++) model.masked[i] = isLive(i) ? model.weights[i] : 0;
  let at = 0;
  for (const layer of weighted(nets.now)) {
    layer.w.set(model.masked.subarray(at, at + layer.w.length));
    at += layer.w.length;
  }
}

function setStop(stop) {
  state.stop = stop;
  $("stop").value = stop;
  dirty.mask = dirty.input = dirty.focus = true;
  request();
}

function setCriterion(k) {
  state.criterion = k;
  text("about", judged[k].about);
  dirty.mask = dirty.input = dirty.focus = true;
  request();
}

function makeCriteria() {
  judged.forEach((criterion, k) => {
    const input = element("input", { type: "radio", name: "criterion", value: k, id: `criterion${k}`, onchange: () => setCriterion(k) });
    input.checked = k === 0;
    $("criteria").append(element("label", { for: `criterion${k}` }, input, criterion.name));
  });
}

function showPruning() {
  const stop = facts.stops[state.stop], criterion = judged[state.criterion], found = criterion.found[state.stop];
  text("removed", `${percent(stop, 0)} removed: ${count(n - removedCount())} of ${count(n)} weights left`);
  $("stop").setAttribute("aria-valuetext", `${percent(stop, 0)} of the weights removed by ${criterion.name}, ${facts.measure} ${scored(found)}`);
  text("accuracy", `${scored(found)}`);
  text("before", `dense ${scored(criterion.found[0])}`);
  mark();
}

/* --- chart: the score at each stop under each criterion --- */
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "1 5"], CHART = { w: 420, h: 190, left: 40, right: 8, top: 10, bottom: 34 };
const chartX = (stop) => CHART.left + (CHART.w - CHART.left - CHART.right) * stop / (facts.stops.length - 1);

function chartY(found) {
  const values = judged.flatMap((criterion) => criterion.found);
  const low = Math.max(Math.min(0, ...values), -1);
  return CHART.top + (CHART.h - CHART.top - CHART.bottom) * (1 - (clamp(found, low, 1) - low) / (1 - low));
}

function makeChart() {
  const svg = $("chart");
  const lines = judged.map((criterion) => `${criterion.name} ${facts.stops.map((stop, i) => [stop, i]).filter(([stop]) => [0.5, 0.8, 0.9, 0.95].includes(stop)).map(([stop, i]) => `${percent(stop, 0)} ${scored(criterion.found[i])}`).join(", ")}`);
  svg.setAttribute("aria-label", `${facts.measure} after removing a share of the weights, without training. ${lines.join("; ")}`);
  for (const level of [0, 0.5, 1]) {
    const y = chartY(level);
    svg.append(drawn("line", { x1: CHART.left, x2: CHART.w - CHART.right, y1: y, y2: y, class: "grid" }));
    svg.append(drawn("text", { x: CHART.left - 6, y: y + 4, "text-anchor": "end" }, isNumbers ? level : `${100 * level} %`));
  }
  for (const stop of [0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99]) {
    svg.append(drawn("text", { x: chartX(facts.stops.indexOf(stop)), y: CHART.h - 18, "text-anchor": "middle" }, `${Math.round(100 * stop)}`));
  }
  svg.append(drawn("text", { x: CHART.w - CHART.right, y: CHART.h - 3, "text-anchor": "end" }, "% of the weights removed"));
  judged.forEach((criterion, k) => {
    const points = criterion.found.map((found, i) => `${chartX(i).toFixed(1)},${chartY(found).toFixed(1)}`).join(" ");
    svg.append(drawn("polyline", { points, class: "curve", id: `curve${k}`, "stroke-dasharray": DASHES[k] }));
    const key = drawn("svg", { viewBox: "0 0 34 8", "aria-hidden": "true" });
    key.append(drawn("line", { x1: 1, x2: 33, y1: 4, y2: 4, class: "curve", "stroke-dasharray": DASHES[k] }));
    $("key").append(element("li", { id: `key${k}` }, key, criterion.name));
  });
  if (facts.after) {
    const stop = nearestStop(1 - facts.after.weights / n);
    svg.append(drawn("path", { d: `M${chartX(stop)} ${chartY(facts.after.found) - 6}l6 6l-6 6l-6 -6z`, class: "run" }));
    $("key").append(element("li", {}, "◆ pruned and trained"));
  }
  svg.append(drawn("line", { id: "here", y1: CHART.top, y2: CHART.h - CHART.bottom, class: "here" }), drawn("circle", { id: "dot", r: 5 }));
  const pick = (event) => {
    const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * CHART.w;
    setStop(clamp(Math.round((x - CHART.left) / (CHART.w - CHART.left - CHART.right) * (facts.stops.length - 1)), 0, facts.stops.length - 1));
  };
  svg.addEventListener("pointerdown", pick);
  svg.addEventListener("pointermove", (event) => { if (event.buttons & 1) pick(event); });
}

const nearestStop = (share) => facts.stops.reduce((best, stop, i) => (Math.abs(stop - share) < Math.abs(facts.stops[best] - share) ? i : best), 0);

function mark() {
  const x = chartX(state.stop);
  for (const [key, value] of [["x1", x], ["x2", x]]) $("here").setAttribute(key, value);
  $("dot").setAttribute("cx", x);
  $("dot").setAttribute("cy", chartY(judged[state.criterion].found[state.stop]));
  judged.forEach((_, k) => { for (const id of [`curve${k}`, `key${k}`]) $(id).classList.toggle("chosen", k === state.criterion); });
}

/* --- answers --- */
const SHOWN = Object.keys(nets);

function makeAnswers() {
  $("heads").append(...SHOWN.map((net) => element("th", { scope: "col" }, { dense: "dense", now: "pruned here", pruned: "pruned and trained" }[net])));
  names.forEach((name, i) => {
    $("answers").append(element("tr", {}, element("th", { scope: "row" }, name),
      ...SHOWN.map((net) => element("td", {}, element("span", { class: "bar", id: `${net}bar${i}` }), element("span", { class: "figure", id: `${net}figure${i}` })))));
  });
  $("scores").append(element("th", { scope: "row" }, facts.measure), ...SHOWN.map((net) => element("td", { id: `${net}score` })));
  $("sizes").append(element("th", { scope: "row" }, "weights"), ...SHOWN.map((net) => element("td", { id: `${net}size` })));
}

function showAnswers() {
  const words = [];
  for (const name of SHOWN) {
    seen[name] = run(nets[name], state.row);
    const answer = answerOf(nets[name], seen[name][seen[name].length - 1], facts.task), best = answer.indexOf(Math.max(...answer));
    answer.forEach((value, i) => {
      const isShare = facts.task === "classes" || facts.task === "multilabel";
      text(`${name}figure${i}`, isShare ? percent(value, 0) : number(value));
      $(`${name}bar${i}`).style.width = isShare ? `${100 * value}%` : "0";
      $(`${name}bar${i}`).parentElement.classList.toggle("best", facts.task === "classes" ? i === best : facts.task === "multilabel" && value > 0.5);
    });
    words.push(facts.task === "classes" ? `${{ dense: "dense net", now: "pruned here", pruned: "pruned and trained" }[name]}: ${names[best]}` : "");
  }
  text("verdict", words.filter(Boolean).join(" · "));
  const found = judged[state.criterion].found;
  text("densescore", scored(found[0]));
  text("nowscore", scored(found[state.stop]));
  text("densesize", count(n));
  text("nowsize", count(n - removedCount()));
  if (facts.after) {
    text("prunedscore", scored(facts.after.found));
    text("prunedsize", count(facts.after.weights));
  }
}

/* --- the net --- */
function unitValues() {
  return wires.columns.map((column) => {
    const out = seen.now[column.last], sums = new Float64Array(column.n), layer = column.last ? nets.now.layers[column.last - 1] : null;
    if (column === wires.columns[wires.columns.length - 1]) return { units: answerOf(nets.now, out, facts.task) };
    out.forEach((v, i) => { sums[i % column.n] += v; });
    let most = 1e-9;
    for (const v of sums) most = Math.max(most, Math.abs(v));
    const shape = layer ? layer.out : facts.dense.shape;
    return { units: sums.map((v) => Math.abs(v) / most), map: out, shape: shape.length === 3 ? shape : [1, 1, column.n] };
  });
}

function setFocus(focus, pinned) {
  state.focus = focus;
  state.pinned = pinned && focus !== null;
  dirty.focus = true;
  request();
}

function listenToNet() {
  const canvas = $("units"), at = (event) => { const box = canvas.getBoundingClientRect(); return wires.find(event.clientX - box.left, event.clientY - box.top); };
  canvas.addEventListener("pointermove", (event) => { const found = state.pinned || event.pointerType !== "mouse" ? null : at(event); if (found) setFocus(found, false); });
  canvas.addEventListener("click", (event) => { const found = at(event); setFocus(found, found !== null); });
  canvas.addEventListener("keydown", netKey);
}

function netKey(event) {
  const focus = state.focus || { column: 1, unit: 0 }, columns = wires.columns;
  const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 }[event.key], side = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === "Escape") setFocus(focus.wire && focus.wire.home ? focus.wire.home : null, true);
  else if (!state.focus && (step || side || event.key === "Enter")) setFocus(focus, true);
  else if (focus.wire) {
    const { wire } = focus, link = wires.links[wire.link];
    if (step) {
      const order = incoming(wire.link, wire.to), place = order.indexOf(wire.from);
      setFocus({ wire: { ...wire, from: order[(place + step + 100 * order.length) % order.length] } }, true);
    } else if (side) setFocus({ wire: { ...wire, tap: (wire.tap + side + link.taps) % link.taps } }, true);
    else return;
  } else if (step) setFocus({ column: focus.column, unit: (focus.unit + step + 100 * columns[focus.column].n) % columns[focus.column].n }, true);
  else if (side) {
    const column = clamp(focus.column + side, 0, columns.length - 1);
    setFocus({ column, unit: Math.min(Math.floor(focus.unit * columns[column].n / columns[focus.column].n), columns[column].n - 1) }, true);
  } else if (event.key === "Enter" && focus.column > 0) {
    setFocus({ wire: { link: focus.column - 1, from: incoming(focus.column - 1, focus.unit)[0], to: focus.unit, tap: 0, home: focus } }, true);
  } else return;
  event.preventDefault();
}

/* The unit of the first layer that the sample moves most. */
function firstFocus() {
  const values = unitValues()[1].units;
  return { column: 1, unit: values.indexOf(Math.max(...values)) };
}

/* The wires into a unit, the largest first. */
function incoming(k, unit) {
  const link = wires.links[k];
  return Array.from({ length: link.from }, (_, i) => i).sort((a, b) => Math.abs(wires.size(link, b, unit, false)) - Math.abs(wires.size(link, a, unit, false)));
}

const unitName = (column, unit) => {
  const { image, n: units, name } = wires.columns[column];
  if (column === wires.columns.length - 1) return `output ${names[unit]}`;
  if (image) return `pixel (${Math.floor(unit / image[1])}, ${unit % image[1]})`;
  if (column === 0 && !isImage) return encodedName(unit);
  return `${name}, unit ${unit}`;
};

function encodedName(place) {
  const column = facts.inputs.columns.find((c) => c.places.includes(place));
  return column.options ? `${column.name} = ${column.options[column.places.indexOf(place)]}` : column.name;
}

function showFocus() {
  const { focus } = state;
  for (const id of ["life", "fields"]) $(id).hidden = true;
  text("what", focus === null ? "Nothing chosen" : focus.wire ? wireWords(focus.wire) : unitWords(focus));
}

function unitWords({ column, unit }) {
  const live = (k, pick) => { const link = wires.links[k]; let sum = 0, of = 0; pick(link, (i, o) => { for (let t = 0; t < link.taps; t++) { of++; sum += isLive(wires.weight(link, i, o, t)); } }); return `${count(sum)} of ${count(of)}`; };
  const parts = [unitName(column, unit)];
  if (column > 0) parts.push(`${live(column - 1, (link, each) => { for (let i = 0; i < link.from; i++) each(i, unit); })} weights in`);
  if (column < wires.links.length) parts.push(`${live(column, (link, each) => { for (let o = 0; o < link.to; o++) each(unit, o); })} out`);
  if (column > 0) showFields(column, unit);
  const out = seen.now[wires.columns[column].last], units = wires.columns[column].n;
  let sum = 0, places = 0;
  for (let i = unit; i < out.length; i += units, places++) sum += out[i];
  parts.push(`gives ${number(sum / places)}${places > 1 ? " on average" : ""} now`);
  return parts.join("; ");
}

/* What moves a unit: for a unit of the first dense layer these are its weights. */
function showFields(column, unit) {
  $("fields").hidden = false;
  const first = column === 1 && !wires.columns[1].maps, shape = facts.dense.shape;
  text("fieldwords", first ? "Receptive field: the weight of each input" : wires.columns[column].maps ? "Receptive field: how each pixel moves it, where it gives most now" : "Receptive field: how each input moves it, at the present input");
  for (const name of ["dense", "now"]) {
    const at = wires.columns[column].at, field = gradientOf(nets[name], seen[name], at, unit);
    const holder = $(`${name}field`);
    if (isImage) fieldImage(holder, field, shape, name);
    else fieldBars(holder, field, name);
  }
}

/* Light where more input raises the unit, dark where it lowers it, a small dot where nothing is left. */
function fieldImage(canvas, field, [h, w, c], name) {
  const size = 132, cell = Math.max(1, Math.floor(size / Math.max(h, w))), context = canvas.getContext("2d");
  canvas.width = cell * w;
  canvas.height = cell * h;
  let most = 1e-12, high = 0, low = 0;
  const sums = new Float64Array(h * w);
  for (let i = 0; i < field.length; i++) sums[Math.floor(i / c)] += field[i];
  sums.forEach((v, i) => { most = Math.max(most, Math.abs(v)); if (v > sums[high]) high = i; if (v < sums[low]) low = i; });
  sums.forEach((v, i) => {
    const x = (i % w) * cell, y = Math.floor(i / w) * cell, share = v / most, end = share > 0 ? colours.high : colours.low;
    context.fillStyle = css(colours.mid.map((m, k) => m + (end[k] - m) * Math.abs(share)));
    context.fillRect(x, y, cell, cell);
    if (v === 0 && cell > 3) {
      context.fillStyle = css(colours.text, 0.5);
      context.fillRect(x + cell / 2 - 0.5, y + cell / 2 - 0.5, 1.5, 1.5);
    }
  });
  const place = (i) => `row ${Math.floor(i / w) + 1}, column ${i % w + 1}`, live = sums.filter((v) => v !== 0).length;
  canvas.setAttribute("aria-label", `${name === "dense" ? "dense" : "pruned here"}: ${live} of ${h * w} pixels count; raised most by ${place(high)}, lowered most by ${place(low)}`);
}

/* Bars to the right raise the unit, to the left lower it; a point where nothing is left. */
function fieldBars(canvas, field, name) {
  const few = field.length <= 24, row = few ? 15 : clamp(Math.floor(300 / field.length), 3, 15), label = few ? 110 : 0, wide = 130;
  canvas.width = label + wide;
  canvas.height = row * field.length;
  const context = canvas.getContext("2d"), most = Math.max(1e-12, ...field.map(Math.abs)), zero = label + wide / 2;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  field.forEach((v, i) => {
    const size = Math.abs(v) / most * (wide / 2 - 3);
    context.fillStyle = css(v > 0 ? colours.one : v < 0 ? colours.two : colours.soft);
    if (v) context.fillRect(v > 0 ? zero : zero - size, i * row + 2, size, Math.max(row - 4, 1));
    else context.fillRect(zero - 1, i * row + row / 2 - 1, 2, 2);
    context.fillStyle = css(colours.text);
    if (few) context.fillText(encodedName(i), 4, i * row + row / 2, label - 8);
  });
  const sorted = Array.from(field, (v, i) => [v, i]).filter(([v]) => v).sort((a, b) => Math.abs(b[0]) - Math.abs(a[0])).slice(0, 3);
  canvas.setAttribute("aria-label", `${name === "dense" ? "dense" : "pruned here"}: ${sorted.map(([v, i]) => `${encodedName(i)} ${number(v)}`).join(", ") || "no input counts"}`);
}

/* A weight's life: what it is, and what each criterion says of it. */
function wireWords(wire) {
  const link = wires.links[wire.link], weight = wires.weight(link, wire.from, wire.to, wire.tap);
  $("life").hidden = false;
  $("verdicts").replaceChildren(...judged.map((criterion, k) => {
    const place = criterion.place[weight], last = criterion.stops ? facts.counts.find((c) => c > place) || n : place + 1;
    const rank = last - place > 1 ? `${count(place + 1)} to ${count(last)}` : count(place + 1);
    const goes = facts.counts.findIndex((c) => c > place);
    return element("tr", k === state.criterion ? { class: "chosen" } : {}, element("th", { scope: "row" }, criterion.name),
      element("td", {}, number(scoreOf(criterion, weight))), element("td", {}, rank),
      element("td", {}, isLive(weight, k) ? "kept" : "removed"), element("td", {}, goes < 0 ? "last" : percent(facts.stops[goes], 0)));
  }));
  const kernel = link.taps > 1 ? `, weight ${wire.tap + 1} of ${link.taps}` : "";
  const [from, to] = [unitName(wire.link, wire.from), unitName(wire.link + 1, wire.to)];
  return `${from} → ${to}${kernel}: value ${number(model.weights[weight])}, gradient ${number(slopes(weight))}; ${isLive(weight) ? "kept" : "removed"}: number ${count(judged[state.criterion].place[weight] + 1)} of ${count(n)} by ${judged[state.criterion].name}, of which ${count(removedCount())} are removed`;
}

/* --- frames --- */
let asked = false;
function request() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(frame);
}

function frame() {
  asked = false;
  if (dirty.ink) setInput(pad.read());
  if (dirty.mask) { setMask(); wires.update(false); showPruning(); }
  if (dirty.input) { showAnswers(); if (isImage) thumbnail($("eye"), state.row, facts.inputs.shape); }
  if (dirty.pad && pad) pad.draw(colours);
  if (dirty.focus || (dirty.input && state.focus)) showFocus();
  if (dirty.input || dirty.focus) wires.units(unitValues(), names, state.focus, colours);
  const moves = wires.fade(colours);
  for (const key of Object.keys(dirty)) dirty[key] = false;
  if (moves) request();
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["text", "card", "soft", "off", "one", "two", "pad", "high", "low", "mid"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim().split(/\s+/).map(Number);
  }
  if (isImage) [...$("samples").children].forEach((button, i) => thumbnail(button.firstChild, samples[i].x, facts.inputs.shape));
}

function layOut() {
  wires.resize();
  setMask();
  wires.update(true);
  for (const key of ["input", "mask", "focus", "pad"]) dirty[key] = true;
  request();
}

function start() {
  makeSamples();
  readColours();
  makeCriteria();
  makeAnswers();
  makeChart();
  text("measured", `Measured on ${count(facts.rows)} rows of the test part, without training after weights are removed${facts.half ? "; weights of this page have 16 bits" : ""}.`);
  for (const element of document.querySelectorAll(isImage ? ".table" : ".image")) element.hidden = true;
  if (isImage) {
    pad = new Pad($("pad"), facts.inputs, (read) => { dirty.pad = true; dirty.ink = dirty.ink || read; request(); });
    $("clear").addEventListener("click", () => pad.clear());
    $("fit").addEventListener("change", () => { pad.fit = $("fit").checked; setInput(pad.read()); });
  } else makeColumns();
  wires = new Wires($("wires"), $("units"), model);
  $("stop").max = facts.stops.length - 1;
  $("stop").addEventListener("input", () => setStop(Number($("stop").value)));
  listenToNet();
  setCriterion(0);
  setStop(nearestStop(0.8));
  useSample(0);
  showAnswers();
  layOut();
  setFocus(firstFocus(), false);
  new ResizeObserver(() => { const box = $("stage").getBoundingClientRect(); if (Math.round(box.width) !== wires.width || Math.round(box.height) !== wires.height) layOut(); }).observe($("stage"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); layOut(); });
}

start();
window.playground = {
  state, facts, setStop, setCriterion, useSample, setInput, pad, wires, judged, nets, isLive,
  probabilities: (name, row) => { const all = run(nets[name], Float64Array.from(row)); return answerOf(nets[name], all[all.length - 1], facts.task); },
};
