// Everything here is comfort: without it all pages can be read.
"use strict";

function live() {
  const part = document.querySelector("[data-live]");
  if (!part || !window.EventSource) return;
  let newest;
  const follow = () => {
    if (part.contains(document.activeElement)) return; // nobody's button moves away under their finger
    if (!newest || newest === part.querySelector("[data-state]")?.dataset.state) return;
    htmx.ajax("GET", part.dataset.live, { target: part, swap: "innerHTML" });
  };
  const events = new EventSource("/events");
  events.addEventListener("changed", (event) => { newest = event.data; follow(); });
  part.addEventListener("focusout", () => setTimeout(follow));
}

function ago(seconds) {
  const [, unit, word] = [[60, 1, "s"], [3600, 60, "min"], [2 * 86400, 3600, "h"], [Infinity, 86400, "days"]]
    .find(([below]) => Math.abs(seconds) < below);
  const told = `${Math.round(Math.abs(seconds) / unit)} ${word}`;
  return seconds >= 0 ? `${told} ago` : `in ${told}`;
}

function ageing() { // the server tells only of what changes, and its clock need not be this one
  const part = document.querySelector("[data-live]");
  if (!part) return;
  let shown, cameAt;
  const age = () => {
    const made = part.querySelector("[data-made-at]");
    if (made !== shown) [shown, cameAt] = [made, Date.now()];
    if (!made) return;
    const now = Date.parse(made.dataset.madeAt) + Date.now() - cameAt;
    for (const time of part.querySelectorAll("time[datetime]:not([datetime=''])")) {
      const told = ago((now - Date.parse(time.dateTime)) / 1000).replace(time.closest(".since") ? " ago" : "", "");
      time.setAttribute("aria-live", "off"); // nobody wants it read out every second
      if (time.textContent !== told) time.textContent = told;
    }
  };
  age();
  setInterval(age, 1000);
}

function copying() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
    } catch {
      window.prompt("Copy it from here", button.dataset.copy);
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  });
}

function keys() {
  const step = (by) => {
    const cards = [...document.querySelectorAll(".card")];
    if (!cards.length) return;
    const at = cards.indexOf(document.activeElement.closest(".card"));
    cards[Math.min(Math.max(at + by, 0), cards.length - 1)].focus();
  };
  const does = {
    "/": () => document.querySelector('input[type="search"], input[name="from"]')?.focus(),
    j: () => step(1),
    k: () => step(-1),
    n: () => { location.href = "/"; },
    h: () => { location.href = "/history"; },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) return;
    if (event.key === "Enter" && event.target.matches(".card")) {
      event.target.querySelector("a")?.click();
    } else if (does[event.key]) {
      event.preventDefault();
      does[event.key]();
    }
  });
}

function swiping() {
  const bar = document.querySelector(".swipe");
  const large = document.querySelector(".large");
  if (!bar || !large) return;
  const [range, flip, after] = [bar.querySelector("input"), bar.querySelector("button"), large.querySelector(".after")];
  const show = () => { after.style.clipPath = `inset(0 0 0 ${range.value}%)`; };
  bar.hidden = false;
  large.classList.add("over");
  range.addEventListener("input", show);
  flip.addEventListener("click", () => {
    const pressed = flip.getAttribute("aria-pressed") !== "true";
    flip.setAttribute("aria-pressed", String(pressed));
    range.value = pressed ? 0 : 100;
    show();
  });
  show();
}

function again() {
  const waiting = document.querySelector("[data-again]");
  if (waiting) setTimeout(() => location.replace(waiting.dataset.again), 300);
}

live();
ageing();
again();
copying();
keys();
swiping();
