"use strict";
// Shows the pictures of a day's content, made by job bundles, and the day's strongest bundles.

let latest = null;

function daysOf(seen) {
  return seen.days.map((day) => element("option", { text: day, ...(day === seen.ds ? { selected: "" } : {}) }));
}

function drawPlots(seen) {
  for (const image of document.querySelectorAll("img.plot")) {
    const name = image.dataset.plot;
    image.hidden = !seen.ds;
    image.alt = word(name);
    if (seen.ds) image.src = `content/${seen.ds}/${name}.svg`;
  }
}

function drawModels(seen) {
  for (const place of document.querySelectorAll("p.saved")) {
    const name = place.dataset.plot;
    const links = seen.models.filter((model) => model.pictures.includes(name)).map((model) => {
      const text = word("saved_with", { version: model.version, day: model.trained });
      return element("a", { text, href: `models/${model.kind}/${model.version}/${name}.svg` });
    });
    place.replaceChildren(...links);
  }
}

function price(row) {
  if (row.price_min === null) return "–";
  return row.price_min === row.price_max ? row.price_min : `${row.price_min} … ${row.price_max}`;
}

function bundleRow(row) {
  const line = language === "zh" ? 0 : 1;
  const said = (text) => text.split("\n")[line] ?? text.split("\n")[0];
  const similar = row.strength.toLocaleString(language, { maximumFractionDigits: 3 });
  return [
    textCell(row.title), textCell(said(row.blurb)), textCell(said(row.reason)), numberCell(similar),
    numberCell(`${row.knowledge_items.length} + ${row.beauty_items.length}`), numberCell(price(row)),
  ];
}

function drawBundles(seen) {
  if (!seen.bundles.length) {
    replace("bundles", element("p", { className: "quiet", text: word("no_bundles") }));
    return;
  }
  const headings = ["bundle", "blurb", "why", "strength", "items", "price"].map((name) => word(name));
  const count = word("bundles_count", { shown: seen.bundles.length, all: seen.bundle_count });
  replace("bundles", element("p", { className: "quiet", text: count }), tableOf(headings, seen.bundles.map(bundleRow)));
}

function draw() {
  drawStaticWords();
  document.title = word("content_title");
  if (!latest) return;
  const foreign = new URLSearchParams(location.search).get("dag");
  const elsewhere = foreign && foreign !== latest.dag ? ` ${word("made_by", { dag: latest.dag })}` : "";
  const summary = document.getElementById("summary");
  summary.className = "";
  summary.textContent = (latest.ds ? word("content_of", { day: latest.ds }) : word("no_content")) + elsewhere;
  replace("day", ...daysOf(latest));
  drawPlots(latest);
  drawModels(latest);
  drawBundles(latest);
  document.body.dataset.ready = "yes";
}

function fail(reason) {
  const summary = document.getElementById("summary");
  summary.className = "error";
  summary.textContent = word("failed", { reason });
}

async function load(day) {
  try {
    const answer = await fetch(`content.json${day ? `?ds=${day}` : ""}`, { credentials: "same-origin" });
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

document.getElementById("day").addEventListener("change", (event) => load(event.target.value));
document.getElementById("language").addEventListener("click", () => {
  changeLanguage();
  draw();
});
drawStaticWords();
load();
