"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const plots = [...document.querySelectorAll(".plot")];
const slider = document.getElementById("time");
const play = document.getElementById("play");
const LISTED = 16; // readings below a figure, which are its legend too
const COLUMNS = 8; // of readings of several cases
const BANDS = 3; // more would mix their colours
const FRAMES = [70, 150]; // milliseconds of one, and how many a flow is shown in
const STYLES = { solid: "solid", dot: "dotted" };
const CONFIG = { displayModeBar: false, responsive: true };
const figures = data.figures.map(({ traces, layout }, i) => {
  for (const trace of traces) trace.x = data.axes[trace.x];
  const frame = plots[i].closest("figure");
  return { traces, layout, plot: plots[i], frame, key: frame.dataset.key, list: frame.querySelector(".reading"), timed: plots[i].dataset.timed };
});
const timed = figures.filter((figure) => figure.timed);
const phase = figures.find((figure) => figure.key === "phase");

const boxes = (kind) => [...document.querySelectorAll(`input[data-choice="${kind}"]`)];
const several = boxes("case").length > 1;
const make = (tag, properties = {}, ...inside) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside);
  return element;
};
const told = (value) => {
  if (value == null) return "–";
  const short = Number(value.toPrecision(4));
  return short && Math.abs(short) < 1e-3 ? short.toExponential() : `${short}`;
};
const now = () => data.times[slider?.value ?? 0];

/** Figures are drawn when they come near the screen, and again when they have changed. */
const near = new Set();
const draw = (some) => {
  for (const figure of some) figure.stale = true;
  for (const figure of near) {
    if (!figure.stale) continue;
    figure.stale = false;
    const first = !figure.plot.on;
    Plotly.react(figure.plot, figure.traces, figure.layout, CONFIG);
    if (first) figure.plot.on("plotly_relayout", (change) => figure.timed && follow(change, figure));
  }
};
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) near[isIntersecting ? "add" : "delete"](figures[plots.indexOf(target)]);
  draw([]);
}, { rootMargin: "400px" });

/** Zooming one figure over time zooms the others. */
function follow(change, source) {
  if (!Object.keys(change).some((key) => /^xaxis\.(range|autorange)/.test(key))) return;
  const { range, autorange } = source.layout.xaxis;
  const others = timed.filter((figure) => figure !== source);
  for (const { layout } of others) Object.assign(layout.xaxis, { range: autorange ? undefined : [...range], autorange });
  draw(others);
}

/** Shown is what has its case, layer, law and seed ticked (or has no box for them); bands only
 * while they can be told apart. */
function select() {
  const ticked = ["case", "layer", "law", "seed"].map((kind) => {
    const all = boxes(kind);
    return [kind, all.length ? new Set(all.filter((box) => box.checked).map((box) => box.value)) : null];
  });
  const within = (kinds, { meta }) => kinds.every(([kind, set]) => !set || meta[kind] === "" || set.has(meta[kind]));
  const chosen = (trace) => within(ticked, trace);
  const whosever = ticked.filter(([kind]) => kind !== "case");
  portray(chosen);
  for (const { traces, frame } of figures) {
    const bands = traces.filter((trace) => trace.fill && chosen(trace)).length;
    for (const trace of traces) {
      trace.visible = chosen(trace) && (!trace.fill || bands <= BANDS);
      trace.listed = within(whosever, trace);
    }
    frame.hidden = !traces.some((trace) => trace.visible);
  }
  read();
  draw(figures);
}

/** A figure's place at a time: the last known save up to it. */
function at(trace, time) {
  const last = trace.x.findLastIndex((x) => x <= time);
  const known = trace.y.findLastIndex((y, i) => i <= last && y != null);
  return { value: trace.y[known] ?? null, until: known < last ? trace.x[known] : null };
}

/** The line at the slider's time, and what the curves are there: their last known save up to it,
 * with its own time where that is not the last save (a flow that ended before). */
function read() {
  const time = now();
  if (slider) {
    document.getElementById("now").textContent = `t = ${told(time)}`;
    slider.setAttribute("aria-valuetext", `t = ${told(time)}`);
  }
  const line = { type: "line", x0: time, x1: time, yref: "paper", y0: 0, y1: 1, line: { width: 1.5, dash: "dot", color: "#888" } };
  for (const { traces, layout, list, frame } of timed) {
    layout.shapes = !slider || (layout.xaxis.type === "log" && time <= 0) ? [] : [line];
    const shown = traces.filter(({ visible, listed, meta }) => (meta.read && (visible || (several && listed))) || (meta.guide && visible));
    list.replaceChildren(several ? byCase(shown, time, frame.querySelector("h3").textContent) : byCurve(shown, time));
  }
  for (const trace of phase?.traces ?? []) mark(trace, time);
}
const swatch = ({ line }) => {
  const item = make("i", { className: "line" });
  item.style.borderTop = `3px ${STYLES[line.dash] ?? "dashed"} ${line.color}`;
  return item;
};
const said = (trace, time) => {
  const { value, until } = at(trace, time);
  const text = `${told(value)}${value != null && until != null ? ` (until t = ${told(until)})` : ""}`;
  return { text, data: { ...trace.meta, value: value ?? "" } };
};

/** One line of readings, of the curves of one case. */
function byCurve(shown, time) {
  const more = shown.length > LISTED ? [make("li", {}, `and ${shown.length - LISTED} more`)] : [];
  return make("ul", {}, ...shown.slice(0, LISTED).map((trace) => {
    if (trace.meta.guide) return make("li", {}, swatch(trace), trace.meta.label);
    const { text, data: of } = said(trace, time);
    const item = make("li", {}, swatch(trace), `${trace.meta.label}: ${text}`);
    Object.assign(item.dataset, of);
    return item;
  }), ...more);
}

/** Cases in rows, by colour, also those that are not drawn; what they have in columns, by dashes. */
function byCase(shown, time, title) {
  const curves = shown.filter((trace) => trace.meta.read);
  const what = ({ meta }) => [meta.what === title ? "" : meta.what, meta.seed && meta.seed !== "median" ? `seed ${meta.seed}` : meta.seed].filter(Boolean).join(", ");
  const columns = [...new Set(curves.map(what))].slice(0, COLUMNS);
  const cases = [...new Set(curves.map(({ meta }) => meta.case))];
  const head = columns.map((name) => {
    const { line } = curves.find((trace) => what(trace) === name);
    return make("th", {}, ...(columns.length > 1 ? [swatch({ line: { dash: line.dash, color: "currentColor" } })] : []), name);
  });
  const rows = cases.map((name) => {
    const mine = curves.filter(({ meta }) => meta.case === name);
    const cells = columns.map((column) => {
      const trace = mine.find((one) => what(one) === column);
      if (!trace) return make("td", {}, "–");
      const { text, data: of } = said(trace, time);
      const cell = make("td", {}, text);
      Object.assign(cell.dataset, of);
      return cell;
    });
    const dot = make("i", { className: "dot" });
    dot.style.background = mine[0].line.color;
    const row = make("tr", {}, make("th", {}, dot, ` ${name}`), ...cells);
    if (!mine.some((trace) => trace.visible)) Object.assign(row, { className: "off", title: "not drawn: tick it under Choose curves" });
    return row;
  });
  const guides = shown.filter(({ meta }) => meta.guide).slice(0, LISTED).map((trace) => make("li", {}, swatch(trace), trace.meta.label));
  const table = make("table", {}, make("thead", {}, make("tr", {}, make("th"), ...head)), make("tbody", {}, ...rows));
  return make("div", {}, table, ...(guides.length ? [make("ul", {}, ...guides)] : []));
}

/** The phase portrait: what can be chosen, and the curves of what is. */
const quantities = new Map();
if (phase) {
  for (const { traces, key, frame } of timed) {
    for (const trace of traces) {
      if (!trace.meta.read || !["", "median"].includes(trace.meta.seed)) continue;
      const name = frame.querySelector("h3").textContent;
      const id = `${key}|${trace.meta.what}`;
      if (!quantities.has(id)) quantities.set(id, { name: trace.meta.what === name ? name : `${name}: ${trace.meta.what}`, curves: [] });
      quantities.get(id).curves.push(trace);
    }
  }
  const ids = [...quantities.keys()];
  const first = (beginning) => ids.find((id) => id.startsWith(beginning));
  const start = { x: first("loss") ?? ids[0], y: first("alignment_degrees") ?? first("norms") ?? ids[1] ?? ids[0] };
  for (const axis of ["x", "y"]) {
    const chooser = document.getElementById(`phase-${axis}`);
    chooser.append(...ids.map((id) => make("option", { value: id, textContent: quantities.get(id).name })));
    chooser.value = start[axis];
    chooser.addEventListener("change", select);
  }
}
function portray(chosen) {
  if (!phase) return;
  const [x, y] = ["x", "y"].map((axis) => quantities.get(document.getElementById(`phase-${axis}`).value));
  phase.traces.length = 0;
  for (const across of x.curves.filter(chosen)) {
    const up = y.curves.find(({ meta }) => meta.case === across.meta.case);
    if (!up) continue;
    const there = new Map(up.x.map((time, i) => [time, up.y[i]]));
    const points = across.x.map((time, i) => [time, across.y[i], there.get(time)]).filter(([, a, b]) => a != null && b != null);
    if (points.length < 2) continue;
    const symbols = points.map((_, i) => (i === 0 ? "circle-open" : "circle"));
    const sizes = points.map((_, i) => (i === 0 || i === points.length - 1 ? 9 : 0));
    phase.traces.push({
      type: "scatter", mode: "lines+markers", x: points.map(([, a]) => a), y: points.map(([, , b]) => b), times: points.map(([t]) => t),
      line: { color: across.line.color, width: 2 }, marker: { color: across.line.color, symbol: symbols, size: sizes, opacity: 1 },
      text: points.map(([t]) => `t = ${told(t)}`), hovertemplate: "%{text}: %{x:.4~g}, %{y:.4~g}<extra></extra>",
      name: across.name, meta: { case: across.meta.case, layer: "", law: "", seed: "", label: across.meta.case },
    });
  }
  for (const [axis, { name, curves }] of [["xaxis", x], ["yaxis", y]]) {
    const positive = curves.every((trace) => trace.y.every((value) => value == null || value > 0));
    const values = curves.flatMap((trace) => trace.y.filter((value) => value != null));
    const wide = positive && values.reduce((a, b) => Math.max(a, b)) > 20 * values.reduce((a, b) => Math.min(a, b));
    const title = { text: name.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") };
    Object.assign(phase.layout[axis], { title, type: wide ? "log" : "linear", exponentformat: "power", range: undefined, autorange: true });
  }
  phase.layout.showlegend = false;
}
/** The cross at the slider's time. */
function mark(trace, time) {
  const last = Math.max(0, trace.times.findLastIndex((t) => t <= time));
  const end = trace.times.length - 1;
  trace.marker.size = trace.times.map((_, i) => (i === 0 || i === end || i === last ? 10 : 0));
  trace.marker.symbol = trace.times.map((_, i) => (i === last && i !== end ? "x" : i === 0 ? "circle-open" : "circle"));
}

let waiting = false;
const moved = () => {
  if (!waiting) requestAnimationFrame(() => { waiting = false; read(); draw([...timed, ...(phase ? [phase] : [])]); });
  waiting = true;
};
slider?.addEventListener("input", () => { stop(); moved(); });

let playing = null;
function stop() {
  if (playing) clearInterval(playing);
  playing = null;
  play?.setAttribute("aria-pressed", "false");
  play?.setAttribute("aria-label", "Play");
}
play?.addEventListener("click", () => {
  if (playing) return stop();
  const last = Number(slider.max);
  if (Number(slider.value) === last) slider.value = 0;
  play.setAttribute("aria-pressed", "true");
  play.setAttribute("aria-label", "Pause");
  const [frame, count] = FRAMES;
  playing = setInterval(() => {
    slider.value = Math.min(last, Number(slider.value) + Math.max(1, Math.round(last / count)));
    if (Number(slider.value) === last) stop();
    moved();
  }, frame);
});

document.addEventListener("change", ({ target }) => {
  const axis = { type: target.checked ? "log" : "linear", range: undefined, autorange: true };
  if (target.dataset.choice) select();
  if (target.id === "log-time") {
    for (const { layout } of timed) Object.assign(layout.xaxis, axis);
    read();
    draw(timed);
  }
  if ("log" in target.dataset) {
    const figure = of(target);
    Object.assign(figure.layout.yaxis, axis);
    draw([figure]);
  }
});
const of = (element) => figures.find(({ frame }) => frame === element.closest("figure"));
document.addEventListener("click", ({ target }) => {
  if (target.dataset?.save) save(of(target), target.dataset.save);
  const kind = target.dataset?.all ?? target.dataset?.none;
  if (!kind) return;
  for (const box of boxes(kind)) box.checked = "all" in target.dataset;
  select();
});

/** What a figure shows as a file. */
async function save({ traces, layout, key, plot }, kind) {
  const shown = traces.filter((trace) => trace.visible);
  if (kind === "csv") return hand(table(shown, layout), "text/csv", `${key}.csv`);
  const look = { ...layout, paper_bgcolor: "#fff", plot_bgcolor: "#fff", showlegend: shown.length > 1, shapes: [], margin: { l: 70, r: 20, t: 20, b: 60 }, font: { ...layout.font, color: "#1b1d21" } };
  const address = await Plotly.toImage({ data: shown, layout: look }, { format: "svg", width: 900, height: Math.max(420, plot.clientHeight) });
  hand(decodeURIComponent(address.slice(address.indexOf(",") + 1)), "image/svg+xml", `${key}.svg`);
}
function table(shown, { xaxis, yaxis }) {
  const plain = (text) => make("textarea", { innerHTML: text ?? "" }).value;
  const rows = [["curve", "case", "law", "layer", "seed", plain(xaxis.title?.text) || "x", plain(yaxis.title?.text) || "y"]];
  for (const trace of shown.filter((one) => !one.fill)) {
    const { meta } = trace;
    const who = [meta.label ?? plain(trace.name), meta.case, meta.law, meta.layer, meta.seed];
    if (trace.z) trace.z.forEach((row, i) => row.forEach((z, j) => z == null || rows.push([`${who[0]} ${trace.text[i][j]}`, ...who.slice(1), trace.x[j], z])));
    else trace.x.forEach((x, i) => x == null || rows.push([...who, x, trace.y[i] ?? ""]));
  }
  return rows.map((row) => row.map((cell) => (/[",\n]/.test(cell) ? `"${String(cell).replace(/"/g, '""')}"` : cell)).join(",")).join("\n") + "\n";
}
function hand(content, type, name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
}
document.getElementById("download").addEventListener("click", () => {
  hand(Uint8Array.from(atob(data.zip), (letter) => letter.charCodeAt(0)), "application/zip", "faflow-report.zip");
});
window.addEventListener("beforeprint", () => { for (const figure of figures) near.add(figure); draw([]); });

select();
for (const plot of plots) watcher.observe(plot);
