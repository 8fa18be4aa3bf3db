"use strict";
// Draws the overview. Data reaches the page as text only: elements are made, never parsed from strings.

const SYMBOLS = { complete: "✓", refused: "✕", missing: "○", not_due: "·" };
const SVG = "http://www.w3.org/2000/svg";
let latest = null;

function count(number) {
  return number.toLocaleString(language);
}

function shortCount(number) {
  if (number < 10000) return count(number);
  const units = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [size, unit] = units.find(([least]) => number >= least);
  return `${(number / size).toFixed(number / size < 10 ? 1 : 0)}${unit}`;
}

function decimal(value, digits = 4) {
  return value === null || value === undefined ? "–" : value.toLocaleString(language, { maximumSignificantDigits: digits });
}

function probability(value) {
  return typeof value === "number" && value < 0.0001 ? "< 0.0001" : decimal(value, 2);
}

function moment(text, timeZone) {
  return new Date(text).toLocaleString(language === "zh" ? "zh-CN" : "en-GB", {
    timeZone, dateStyle: "short", timeStyle: "short",
  });
}

function drawWords() {
  drawStaticWords();
  document.title = word("title");
  const entries = Object.entries(SYMBOLS).map(([state, symbol]) =>
    element("li", {}, [element("span", { className: state, text: `${symbol} ${word(state)}` })]));
  replace("legend", ...entries);
}

function drawSummary(seen) {
  const summary = document.getElementById("summary");
  summary.className = "";
  if (!seen.days.length) {
    summary.textContent = word("summary_empty");
    return;
  }
  const last = seen.tables.map((table) => table.days.at(-1).state);
  summary.textContent = word("summary", {
    when: moment(seen.generated_at, seen.tz),
    day: seen.days.at(-1),
    complete: last.filter((state) => state === "complete").length,
    missing: last.filter((state) => state === "missing").length,
    refused: seen.gate.filter((day) => day.refused).length,
    published: seen.published ?? word("none_published"),
  });
}

function dayCell(table, cell) {
  const rows = cell.rows === null ? "" : word(cell.state === "refused" ? "rows_kept" : "rows", { n: count(cell.rows) });
  const title = [table, cell.ds, word(cell.state), rows].filter(Boolean).join(" · ");
  return element("td", { className: `cell ${cell.state}`, title, "data-state": cell.state, "data-table": table, "data-day": cell.ds }, [
    element("span", { className: "symbol", text: SYMBOLS[cell.state], role: "img", "aria-label": word(cell.state) }),
    cell.rows === null ? "" : shortCount(cell.rows),
  ]);
}

function tableRow(table, timeZone) {
  return [
    element("th", { text: table.table, scope: "row", title: `${word("job")}: ${table.job}` }),
    ...table.days.map((cell) => dayCell(table.table, cell)),
    textCell(table.newest ?? word("never")),
    numberCell(table.days_behind),
    textCell(table.built_at ? moment(table.built_at, timeZone) : null),
  ];
}

function drawGrid(seen) {
  const headings = [word("table"), ...seen.days.map((day) => day.slice(5)), word("newest"), word("behind"), word("built")];
  const rows = [];
  let layer = null;
  for (const table of seen.tables) {
    if (table.layer !== layer) {
      layer = table.layer;
      rows.push([element("th", { text: word(layer), className: "layer", colspan: headings.length, scope: "colgroup" })]);
    }
    rows.push(tableRow(table, seen.tz));
  }
  const drawn = tableOf(headings, rows);
  document.getElementById("grid").replaceChildren(...drawn.childNodes);
}

function drawGate(seen) {
  if (!seen.gate.length) {
    replace("gate", element("p", { className: "quiet", text: word("no_gate") }));
    return;
  }
  const blocks = seen.gate.map((day) => {
    const state = day.refused ? "day_refused" : day.overridden ? "day_overridden" : "day_warned";
    return dayBlock(word(state, { day: day.ds }), day.refused, [ruleTable(day.rules), docLink("rules", day.ds, seen)]);
  });
  replace("gate", ...blocks);
}

function ruleTable(rules) {
  const headings = [word("rule"), word("severity"), word("observed"), word("reason")];
  const rows = rules.map((rule) => [
    textCell(rule.rule, "rule"),
    textCell(word(rule.severity), rule.severity === "fail" ? "refused" : ""),
    textCell(rule.observed),
    textCell(rule.reason),
  ]);
  return element("div", { className: "scroll" }, [tableOf(headings, rows)]);
}

function dayBlock(heading, open, children) {
  return element("details", { ...(open ? { open: "" } : {}) }, [element("summary", { text: heading }), ...children]);
}

function docLink(kind, day, seen) {
  if (!seen.data_docs.includes(day)) return "";
  return element("p", {}, [element("a", { text: word("full_page"), href: `data-docs/${kind}-${day}.html` })]);
}

const SHARES = ["share", "null_share", "late_share"];

function amount(measure, value) {
  if (value === null || value === undefined) return "–";
  if (SHARES.includes(measure)) return `${(100 * value).toLocaleString(language, { maximumFractionDigits: 2 })} %`;
  if (measure === "rows" || measure === "rows_of_feed") return count(Math.round(value));
  return decimal(value, 3);
}

function alarmRow(alarm) {
  const about = [alarm.column, alarm.category].filter(Boolean).join(" = ");
  return [
    textCell(alarm.table), textCell(word(`measure_${alarm.measure}`)), textCell(about, "rule"),
    element("td", { text: amount(alarm.measure, alarm.observed), className: "number alarm" }),
    numberCell(amount(alarm.measure, alarm.expected)),
    numberCell(`${amount(alarm.measure, alarm.low)} … ${amount(alarm.measure, alarm.high)}`),
    textCell(alarm.reason),
  ];
}

function drawWatch(seen) {
  if (!seen.watch.length) {
    replace("watch", element("p", { className: "quiet", text: word("no_watch") }));
    return;
  }
  const headings = ["table", "measure", "about", "observed", "expected", "range", "why"].map((name) => word(name));
  const blocks = seen.watch.map((day) => {
    const counts = { day: day.ds, alarms: day.alarms.length, measures: day.measures, learning: day.learning, rules: day.rules.length };
    const parts = [];
    if (day.alarms.length) parts.push(element("div", { className: "scroll" }, [tableOf(headings, day.alarms.map(alarmRow))]));
    if (day.rules.length) parts.push(ruleTable(day.rules));
    parts.push(docLink("watch", day.ds, seen));
    return dayBlock(word("day_watched", counts), day.alarms.length > 0, parts);
  });
  replace("watch", ...blocks);
}

const CLASSES = ["clean", "quarantined", "duplicate", "superseded", "replaced", "suppressed", "waiting"];

function ofClass(delivery, name) {
  return name in delivery.rows ? delivery.rows[name] : delivery[name];
}

function classCells(delivery) {
  return CLASSES.map((name) => {
    const number = ofClass(delivery, name);
    const cell = numberCell(number ? count(number) : "·");
    if (name === "waiting" && number) cell.className = "number missing";
    return cell;
  });
}

function drawDeliveries(seen) {
  if (!seen.deliveries.length) {
    replace("deliveries", element("p", { className: "quiet", text: word("no_deliveries") }));
    return;
  }
  const headings = [word("table"), word("feed"), word("read"), ...CLASSES.map((name) => word(`class_${name}`))];
  const days = [...new Set(seen.deliveries.map((delivery) => delivery.delivered_ds))];
  const blocks = days.map((day, place) => {
    const feeds = seen.deliveries.filter((delivery) => delivery.delivered_ds === day && delivery.read);
    const rows = feeds.map((feed) => [
      textCell(feed.table), textCell(feed.feed, "rule"), numberCell(count(feed.read)), ...classCells(feed),
    ]);
    const sum = (name) => feeds.reduce((total, feed) => total + ofClass(feed, name), 0);
    const read = feeds.reduce((total, feed) => total + feed.read, 0);
    const heading = word("day_delivered", { day, read: count(read), clean: count(sum("clean")), waiting: count(sum("waiting")) });
    const drawn = element("div", { className: "scroll", "data-delivery": day }, [tableOf(headings, rows)]);
    return dayBlock(heading, place === 0, [drawn]);
  });
  replace("deliveries", ...blocks);
}

function drawChampions(decided) {
  if (!decided) {
    replace("champions", element("p", { className: "quiet", text: word("no_champions") }));
    return;
  }
  const headings = ["target_domain", "model", "version", "metric", "value", "challenger", "people", "decision", "why"];
  const rows = decided.rows.map((row) => [
    textCell(row.target_domain), textCell(row.model), textCell(row.model_version, "rule"), textCell(row.metric),
    numberCell(decimal(row.value)),
    numberCell(row.challenger_version ? `${row.challenger_version}: ${decimal(row.challenger_value)}` : null),
    numberCell(row.n), textCell(row.decision ? word(row.decision) : null), textCell(row.reason),
  ]);
  replace("champions", element("p", { className: "quiet", text: word("as_of", { day: decided.ds }) }), tableOf(headings.map((name) => word(name)), rows));
}

function drawModelDrift(seen) {
  if (!seen) {
    replace("model-drift", element("p", { className: "quiet", text: word("no_model_drift") }));
    return;
  }
  const alarms = seen.rows.filter((row) => row.status === "alarm");
  const said = element("p", {
    className: alarms.length ? "refused" : "quiet",
    text: word("model_drift_day", { day: seen.ds, measures: seen.rows.length, alarms: alarms.length }),
  });
  if (!alarms.length) {
    replace("model-drift", said);
    return;
  }
  const headings = ["target_domain", "segment", "source", "measure", "value", "before", "drift", "threshold"];
  const rows = alarms.map((row) => [
    textCell(row.target_domain), textCell(word(`segment_${row.segment}`)), textCell(row.source, "rule"),
    textCell(word(`drift_${row.measure}`)), numberCell(decimal(row.value)), numberCell(decimal(row.before)),
    element("td", { text: decimal(row.drift), className: "number alarm" }), numberCell(decimal(row.threshold)),
  ]);
  replace("model-drift", said, tableOf(headings.map((name) => word(name)), rows));
}

function intervalBar(row, widest) {
  const bar = document.createElementNS(SVG, "svg");
  bar.setAttribute("class", "bar");
  bar.setAttribute("viewBox", "-90 -9 180 18");
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", `${decimal(row.low)} … ${decimal(row.high)}`);
  const at = (value) => (85 * value) / widest;
  const parts = [
    ["line", { class: "axis", x1: 0, x2: 0, y1: -9, y2: 9 }],
    ["line", { class: "span", x1: at(row.low), x2: at(row.high), y1: 0, y2: 0 }],
    ["circle", { class: "dot", cx: at(row.estimate), cy: 0, r: 4 }],
  ];
  for (const [name, attributes] of parts) {
    const part = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    bar.append(part);
  }
  return bar;
}

function experimentRow(row) {
  const measured = row.estimate !== null && row.low !== null && row.high !== null;
  const share = `${decimal(100 * (1 - row.alpha))} %`;
  const metric = row.is_primary ? `${row.metric} (${word("main_metric")})` : row.metric;
  const interval = measured ? `${decimal(row.low)} … ${decimal(row.high)} (${share})` : word(row.verdict);
  const shape = measured ? intervalBar(row, Math.max(Math.abs(row.low), Math.abs(row.high)) || 1) : "";
  return [
    textCell(row.experiment_id), textCell(metric), textCell(row.variant),
    numberCell(decimal(row.mean_control)), numberCell(decimal(row.mean)), numberCell(decimal(row.estimate)),
    numberCell(interval), element("td", {}, [shape]),
    numberCell(probability(row.p)), numberCell(`${count(row.n)} / ${count(row.n_control)}`),
  ];
}

function checkLines(checks) {
  if (!checks) return [];
  const experiments = [...new Set(checks.rows.map((row) => row.experiment_id))];
  const lines = experiments.flatMap((experiment) => {
    const failed = checks.rows.filter((row) => row.experiment_id === experiment && !row.ok);
    if (!failed.length) return [element("li", { text: `✓ ${word("checks_fine", { experiment })}` })];
    return failed.map((row) => element("li", {
      text: `✕ ${word("check_failed", { experiment, check: row.check_name, detail: row.detail })}`, className: "refused",
    }));
  });
  return [element("h3", { text: word("checks") }), element("ul", {}, lines)];
}

function pageLines(pages) {
  const experiments = Object.keys(pages).sort();
  if (!experiments.length) return [];
  const lines = experiments.map((experiment) => {
    const links = pages[experiment].flatMap((day) => [
      element("a", { text: day, href: `experiments/${encodeURIComponent(experiment)}/${day}.html` }), " ",
    ]);
    return element("li", { text: `${experiment}: ` }, links);
  });
  return [element("h3", { text: word("experiment_pages") }), element("ul", { className: "pages" }, lines)];
}

function drawExperiments(results, checks, pages) {
  if (!results) {
    replace("experiments", element("p", { className: "quiet", text: word("no_experiments") }));
    return;
  }
  const headings = ["experiment", "metric", "variant", "control", "treated", "difference"].map((name) => word(name));
  headings.push(word("interval"), word("shape"), word("p_value"), word("units"));
  const ordered = [...results.rows].sort((one, other) =>
    one.experiment_id.localeCompare(other.experiment_id) || Number(other.is_primary) - Number(one.is_primary));
  replace(
    "experiments",
    element("p", { className: "quiet", text: word("as_of", { day: results.ds }) }),
    tableOf(headings, ordered.map(experimentRow)),
    ...checkLines(checks),
    ...pageLines(pages),
  );
}

function draw() {
  drawWords();
  if (!latest) return;
  drawSummary(latest);
  drawGrid(latest);
  drawGate(latest);
  drawWatch(latest);
  drawDeliveries(latest);
  drawChampions(latest.champions);
  drawModelDrift(latest.recommendation_drift);
  drawExperiments(latest.experiments, latest.experiment_checks, latest.experiment_pages);
  document.body.dataset.ready = "yes";
}

function fail(reason) {
  const summary = document.getElementById("summary");
  summary.className = "error";
  summary.textContent = word("failed", { reason });
}

async function load() {
  try {
    const answer = await fetch(`overview.json?days=${document.getElementById("days").value}`, { credentials: "same-origin" });
    const content = await answer.json();
    if (!answer.ok) {
      fail(content.error ?? content.detail ?? answer.status);
      return;
    }
    latest = content;
    draw();
  } catch (error) {
    fail(error.message);
  }
}

document.getElementById("reload").addEventListener("click", load);
document.getElementById("days").addEventListener("change", load);
document.getElementById("language").addEventListener("click", () => {
  changeLanguage();
  draw();
});
drawWords();
load();
