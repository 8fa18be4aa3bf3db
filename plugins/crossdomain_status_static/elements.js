"use strict";
// What both pages need: words in the language chosen, and elements that are made, never parsed from strings.

const STORED_LANGUAGE = "crossdomain-status-language";
let language = localStorage.getItem(STORED_LANGUAGE) || (navigator.language.startsWith("zh") ? "zh" : "en");

function word(name, values = {}) {
  const text = WORDS[language][name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

function element(name, { text, className, title, ...attributes } = {}, children = []) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (title) made.title = title;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function replace(id, ...children) {
  document.getElementById(id).replaceChildren(...children);
}

function tableOf(headings, rows) {
  const cells = headings.map((text) => element("th", { text, scope: "col" }));
  return element("table", {}, [
    element("thead", {}, [element("tr", {}, cells)]),
    element("tbody", {}, rows.map((row) => element("tr", {}, row))),
  ]);
}

const textCell = (text, className) => element("td", { text: text ?? "–", className });
const numberCell = (text) => textCell(text, "number");

function drawStaticWords() {
  document.documentElement.lang = language;
  for (const place of document.querySelectorAll("[data-word]")) place.textContent = word(place.dataset.word);
}

function changeLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(STORED_LANGUAGE, language);
}
