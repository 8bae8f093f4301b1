// Searches the dropped documents that the page lists, and opens what is linked to. Text is set as text, never as markup.
"use strict";

const at = (id) => document.getElementById(id);
const made = (name, text, style) => {
  const element = document.createElement(name);
  if (style) element.className = style;
  element.textContent = text;
  return element;
};

// Words that are found are marked: `text` as nodes, cut at every place where one of `words` stands.
const marked = (text, words) => {
  const lower = text.toLowerCase();
  const nodes = [];
  let done = 0;
  while (words.length && lower.length === text.length) {
    let [next, length] = [-1, 0];
    for (const word of words) {
      const place = lower.indexOf(word, done);
      if (place >= 0 && (next < 0 || place < next)) [next, length] = [place, word.length];
    }
    if (next < 0) break;
    nodes.push(document.createTextNode(text.slice(done, next)), made("mark", text.slice(next, next + length)));
    done = next + length;
  }
  nodes.push(document.createTextNode(text.slice(done)));
  return nodes;
};

const search = () => {
  const form = at("search");
  if (!form) return;
  const PAGE = 20;
  const { reasons, languages, rows } = JSON.parse(at("index").textContent);
  let address = "";
  const listed = rows.map(([shared, rest, reason, language, text]) => {
    address = address.slice(0, shared) + rest;
    return { address, reason, language, text, said: `${address} ${text}`.toLowerCase() };
  });
  let [found, words, shown] = [listed, [], 0];

  const more = () => {
    for (const one of found.slice(shown, shown + PAGE)) {
      const [stage, reason] = reasons[one.reason];
      const head = made("p", "", "url");
      const url = made("bdi", "");
      url.append(...marked(one.address, words));
      head.append(url, " ", made("span", `${stage}: ${reason}`, "tag"), " ");
      if (languages[one.language]) head.append(made("span", languages[one.language], "tag"));
      const text = made("p", "", "text");
      text.dir = "auto";
      text.append(...marked(one.text, words));
      if (!one.text) text.textContent = "(no text)";
      const row = made("li", "", "document");
      row.append(head, text);
      at("search-found").append(row);
    }
    shown = Math.min(shown + PAGE, found.length);
    at("search-more").hidden = shown === found.length;
  };

  const ask = () => {
    words = at("search-words").value.toLowerCase().split(/\s+/).filter(Boolean);
    const reason = at("search-reason").value;
    const asked = words.length > 0 || reason !== "";
    found = asked
      ? listed.filter((one) => (reason === "" || one.reason === Number(reason)) && words.every((word) => one.said.includes(word)))
      : [];
    shown = 0;
    at("search-found").replaceChildren();
    at("search-count").textContent = asked ? `${found.length.toLocaleString("en")} found` : "";
    more();
  };

  let waiting = 0;
  at("search-words").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, 120);
  });
  at("search-reason").addEventListener("change", ask);
  at("search-more").addEventListener("click", () => {
    const first = shown;
    more();
    const row = at("search-found").children[first];
    row.tabIndex = -1;
    row.focus();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
};

// A link to something that is folded opens it; of the stages one is open at a time, and the graph shows its edges.
const open = () => {
  const target = location.hash.length > 1 && at(decodeURIComponent(location.hash.slice(1)));
  if (!target || target.tagName !== "DETAILS") return;
  if (target.classList.contains("stage")) {
    for (const other of document.querySelectorAll("details.stage")) other.open = other === target;
  }
  target.open = true;
  target.querySelector("summary").focus({ preventScroll: true });
  target.scrollIntoView({ block: "nearest" });
};

const trace = () => {
  const chosen = new Set();
  for (const one of document.querySelectorAll("details.stage[open]")) chosen.add(one.id.slice("stage-".length));
  for (const node of document.querySelectorAll(".node")) node.classList.toggle("on", chosen.has(node.dataset.stage));
  for (const edge of document.querySelectorAll(".edge")) {
    edge.classList.toggle("on", chosen.has(edge.dataset.from) || chosen.has(edge.dataset.to));
  }
};

search();
for (const one of document.querySelectorAll("details.stage")) one.addEventListener("toggle", trace);
// The same link twice changes no address, and is to open what was closed in between.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.getAttribute("href") === location.hash) open();
});
window.addEventListener("hashchange", open);
open();
