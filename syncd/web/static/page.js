// Everything here is comfort: without it all pages can be read.
"use strict";

function live() {
  const part = document.querySelector("[data-live]");
  if (!part || !window.EventSource) return;
  const events = new EventSource("/events");
  events.addEventListener("changed", () => {
    if (part.contains(document.activeElement)) return; // nobody's button moves away under their finger
    htmx.ajax("GET", part.dataset.live, { target: part, swap: "innerHTML" });
  });
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
again();
copying();
keys();
swiping();
