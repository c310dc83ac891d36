// The SDR of each second as bars, and a list of the worst ones.

const HIGHEST_DB = 30;
const LOWEST_DB = -15;
const SHOWN = 8;

// The least range in steps of 5 dB that shows all bars, within limits.
function rangeOf(charts) {
  const values = charts.flatMap((chart) => chart.db.filter((db, at) => db !== null && !chart.silent.includes(at)));
  const low = Math.floor(Math.min(0, ...values) / 5) * 5;
  const high = Math.ceil(Math.max(5, ...values) / 5) * 5;
  return [Math.max(low, LOWEST_DB), Math.min(high, HIGHEST_DB)];
}

function drawSeconds(lane, charts, duration) {
  const [low, high] = rangeOf(charts);
  const y = (db) => (100 * (high - clamp(db, low, high))) / (high - low);
  const svg = drawn("svg", { viewBox: `0 0 ${duration} 100`, preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", summaryOf(charts));
  svg.append(hatch(duration));
  const lines = [low, 0, high].filter((db, at, all) => all.indexOf(db) === at);
  const grid = [...new Set([...lines, ...(high >= 20 ? [10, 20] : [10])])].filter((db) => db < high);
  for (const db of grid) {
    svg.append(drawn("line", { x1: 0, x2: duration, y1: y(db), y2: y(db), class: db ? "grid" : "grid zero" }));
  }
  for (const second of charts[0].silent) {
    svg.append(drawn("rect", { x: second, y: 0, width: Math.min(1, duration - second), height: 100, class: "silent" }));
  }
  const width = 0.86 / charts.length;
  charts.forEach((chart, place) => {
    chart.db.forEach((db, second) => {
      const room = Math.min(1, duration - second);
      const [top, bottom] = [y(Math.max(db ?? low, 0)), y(Math.min(db ?? low, 0))];
      const x = second + room * (0.07 + place * width);
      const colour = charts.length > 1 ? `bar s${chart.system % 4}` : "bar estimate";
      const height = Math.max(bottom - top, 0.6);
      svg.append(drawn("rect", { x, y: top, width: width * room, height, class: colour }));
    });
  });
  const labels = [...grid, high].map((db) => scaleLabel(`${decibels(db, 0)}${db === high ? " dB" : ""}`, y(db)));
  lane.replaceChildren(svg, ...labels);
}

// Text at the left of a lane; top in percent.
function scaleLabel(text, top) {
  const label = element("span", { class: "scale", "aria-hidden": "true" }, text);
  label.style.top = `${clamp(top, 6, 94)}%`;
  return label;
}

function hatch(duration) {
  const size = Math.max(duration / 150, 0.02);
  const definitions = drawn("defs");
  const pattern = drawn("pattern", { id: "hatch", width: size, height: 8, patternUnits: "userSpaceOnUse" });
  pattern.append(drawn("path", { d: `M0 8L${size} 0`, "vector-effect": "non-scaling-stroke" }));
  definitions.append(pattern);
  return definitions;
}

function summaryOf(charts) {
  const said = charts.map((chart) => {
    const values = chart.db.filter((db, at) => db !== null && !chart.silent.includes(at));
    const range = values.length ? `from ${decibels(Math.min(...values))} to ${decibels(Math.max(...values))} dB` : "silent";
    return `${chart.name}: ${range}, ${decibels(chart.sdr)} dB over the song`;
  });
  return `SDR of each second. ${said.join(". ")}. The worst seconds are listed below.`;
}

// What all recipes have in one second, in words.
function secondInWords(charts, second) {
  if (second < 0 || second >= charts[0].db.length) return "";
  const values = charts.map((chart) => {
    const name = charts.length > 1 ? `${letter(chart.system)} ` : "";
    return `${name}${decibels(chart.db[second])}`;
  });
  const silent = charts[0].silent.includes(second) ? ", silent reference" : "";
  return `${clock(second, 0)}: ${values.join(" · ")} dB${silent}`;
}

// The ways to sort the list; each gives a number, lowest first.
const ORDERS = {
  sdr: ["lowest SDR", (chart, second) => chart.db[second] ?? -Infinity],
  share: ["share of the error", (chart, second) => -chart.share[second]],
  difference: [
    "difference of A and B",
    (chart, second, charts) => -Math.abs((charts[0].db[second] ?? 0) - (charts[1].db[second] ?? 0)),
  ],
};

function worstSeconds(charts, order) {
  const [, rank] = ORDERS[order];
  const shown = order === "difference" ? [charts[0]] : charts;
  const all = shown.flatMap((chart) => chart.db.map((_, second) => ({ chart, second })));
  const active = all.filter(({ chart, second }) => order === "share" || !chart.silent.includes(second));
  active.sort((one, other) => rank(one.chart, one.second, charts) - rank(other.chart, other.second, charts));
  return active.slice(0, SHOWN);
}

function worstButton({ chart, second }, charts, order) {
  const name = charts.length > 1 && order !== "difference" ? `${letter(chart.system)} ` : "";
  const values =
    order === "difference"
      ? charts.slice(0, 2).map((one) => decibels(one.db[second])).join(" / ")
      : decibels(chart.db[second]);
  const share = `${(100 * chart.share[second]).toFixed(chart.share[second] < 0.1 ? 1 : 0)} %`;
  const button = element("button", { type: "button" }, element("b", {}, `${name}${clock(second, 0)}`));
  button.append(`  ${values} dB`, order === "difference" ? "" : `, ${share}`);
  return button;
}
