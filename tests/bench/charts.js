// Two charts of the same data, ours and uPlot's, for the benchmark: bench.charts(static, points) makes their data,
// bench.make(name) draws one, bench.redraw(name, times) gives it other data. Both end when all of it was on the screen.
(() => {
  const HOURS_MS = 72 * 3600000;
  const SIZE = { width: 1200, height: 300 };
  const NAMES = ["CPU", "Memory"];
  const SHARE = 100;
  let lineChart = null;
  let sets = [];
  let turn = 0;
  const charts = {};

  bench.charts = async (base, points) => {
    ({ lineChart } = await import(base + "/charts/line.js"));
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`.host { width: ${SIZE.width}px }
      .host .chart-plot { height: ${SIZE.height}px } ${globalThis.uPlotStyle || ""}`);
    document.adoptedStyleSheets = [sheet];
    document.body.replaceChildren();
    sets = [dataOf(points, 1), dataOf(points, 2)];
  };

  /** A walk between 0 and 100 for each line, the same for the same seed. */
  function dataOf(points, seed) {
    const to = Date.UTC(2026, 0, 4);
    const t = Float64Array.from({ length: points }, (_, i) => to - HOURS_MS + HOURS_MS * i / (points - 1));
    let state = seed;
    const step = () => { state = (state * 48271) % 2147483647; return state / 2147483647 - 0.5; };
    const lines = NAMES.map((_, line) => {
      let value = 30 + 30 * line;
      return Float64Array.from(t, () => { value = Math.min(SHARE, Math.max(0, value + 6 * step())); return value; });
    });
    return { ours: { t, lines: lines.map((v) => ({ v })), from: t[0], to, stepMs: HOURS_MS / points },
      uplot: [Array.from(t, (ms) => ms / 1000), ...lines.map((v) => Array.from(v))] };
  }

  const makers = {
    ours(host, data) {
      const lines = [{ name: NAMES[0], tone: "cpu" }, { name: NAMES[1], tone: "memory" }];
      const chart = lineChart({ label: "Bench", lines, max: SHARE, format: (value) => `${value.toFixed(1)} %` });
      host.append(chart.el);
      chart.set(data);
      return (next) => chart.set(next);
    },
    uplot(host, data) {
      const series = NAMES.map((label, i) => (
        { label, stroke: ["#3b82f6", "#a855f7"][i], fill: ["#3b82f61f", "#a855f71f"][i], width: 1 }));
      const chart = new uPlot({ ...SIZE, series: [{}, ...series], scales: { y: { range: [0, SHARE] } } }, data, host);
      return (next) => chart.setData(next);
    },
  };

  /** A chart may put off its drawing to the next frame, and find its size in that one. */
  async function shown() {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    await new Promise(setTimeout);
  }

  bench.make = (name) => {
    const host = document.createElement("div");
    host.className = "host";
    host.dataset.name = name;
    document.body.append(host);
    charts[name] = makers[name](host, sets[0][name]);
    return shown();
  };

  bench.redraw = async (name, times) => {
    for (; times > 0; times--) {
      turn += 1;
      charts[name](sets[turn % 2][name]);
      await shown();
    }
  };
})();
