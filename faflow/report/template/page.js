"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const plots = [...document.querySelectorAll(".plot")];
const slider = document.getElementById("time");
const LISTED = 16; // readings below a figure, which are its legend too
const STYLES = { solid: "solid", dot: "dotted" };
const CONFIG = {
  displaylogo: false, displayModeBar: "hover", responsive: true,
  modeBarButtons: [["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};
const figures = data.figures.map(({ traces, layout }, i) => {
  for (const trace of traces) trace.x = data.axes[trace.x];
  const frame = plots[i].closest("figure");
  return { traces, layout, plot: plots[i], frame, list: frame.querySelector(".reading"), timed: plots[i].dataset.timed };
});
const timed = figures.filter((figure) => figure.timed);

const boxes = (kind) => [...document.querySelectorAll(`input[data-choice="${kind}"]`)];
const told = (value) => {
  if (value == null) return "–";
  const short = Number(value.toPrecision(4));
  return short && Math.abs(short) < 1e-3 ? short.toExponential() : `${short}`;
};

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

/** Shown is what has its case, layer, law and seed ticked (or has no box for them). */
function select() {
  const ticked = ["case", "layer", "law", "seed"].map((kind) => {
    const all = boxes(kind);
    return [kind, all.length ? new Set(all.filter((box) => box.checked).map((box) => box.value)) : null];
  });
  for (const { traces, frame } of figures) {
    for (const trace of traces) {
      trace.visible = ticked.every(([kind, set]) => !set || trace.meta[kind] === "" || set.has(trace.meta[kind]));
    }
    frame.hidden = !traces.some((trace) => trace.visible);
  }
  read();
  draw(figures);
}

/** The line at the slider's time, and what the curves are there: their last known save up to it, with
 * its own time where that is not the last save (a flow that ended before). */
function read() {
  if (!slider) return;
  const time = data.times[slider.value];
  document.getElementById("now").textContent = `t = ${told(time)}`;
  slider.setAttribute("aria-valuetext", `t = ${told(time)}`);
  const line = { type: "line", x0: time, x1: time, yref: "paper", y0: 0, y1: 1, line: { width: 1.5, dash: "dot", color: "#888" } };
  for (const { traces, layout, list } of timed) {
    layout.shapes = layout.xaxis.type === "log" && time <= 0 ? [] : [line];
    const curves = traces.filter((trace) => trace.meta.read && trace.visible).slice(0, LISTED);
    list.replaceChildren(...curves.map((trace) => {
      const [item, swatch] = [document.createElement("li"), document.createElement("i")];
      const now = trace.x.findLastIndex((x) => x <= time);
      const known = trace.y.findLastIndex((y, i) => i <= now && y != null);
      const value = trace.y[known] ?? null;
      const since = value != null && known < now ? ` (until t = ${told(trace.x[known])})` : "";
      swatch.style.borderTop = `3px ${STYLES[trace.line.dash] ?? "dashed"} ${trace.line.color}`;
      Object.assign(item.dataset, { ...trace.meta, value: value ?? "" });
      item.append(swatch, `${trace.meta.label}: ${told(value)}${since}`);
      return item;
    }));
  }
}

let waiting = false;
slider?.addEventListener("input", () => {
  if (!waiting) requestAnimationFrame(() => { waiting = false; read(); draw(timed); });
  waiting = true;
});
document.addEventListener("change", ({ target }) => {
  const axis = { type: target.checked ? "log" : "linear", range: undefined, autorange: true };
  if (target.dataset.choice) select();
  if (target.id === "log-time") {
    for (const { layout } of timed) Object.assign(layout.xaxis, axis);
    read();
    draw(timed);
  }
  if (target.dataset.log) {
    const figure = figures[target.dataset.log];
    Object.assign(figure.layout.yaxis, axis);
    draw([figure]);
  }
});
document.addEventListener("click", ({ target }) => {
  const kind = target.dataset.all ?? target.dataset.none;
  if (!kind) return;
  for (const box of boxes(kind)) box.checked = "all" in target.dataset;
  select();
});
document.getElementById("download").addEventListener("click", () => {
  const bytes = Uint8Array.from(atob(data.zip), (letter) => letter.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "application/zip" }));
  link.download = "faflow-report.zip";
  link.click();
});
window.addEventListener("beforeprint", () => { for (const figure of figures) near.add(figure); draw([]); });

select();
for (const plot of plots) watcher.observe(plot);
