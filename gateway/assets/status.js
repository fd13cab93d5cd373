// Keeps the status page fresh: fetches it again and exchanges the parts that are marked, and nothing that is open.
"use strict";

const PERIOD_MILLISECONDS = 5000;
const parts = (page) => new Map([...page.querySelectorAll("[data-live]")].map((one) => [one.dataset.live, one]));
const opened = (part) => new Set([...part.querySelectorAll("details[open]")].map((one) => one.id));

function exchange(fresh) {
  const present = parts(document);
  for (const [name, part] of parts(fresh)) {
    const old = present.get(name);
    const open = opened(old);
    for (const one of part.querySelectorAll("details")) one.open = one.id !== "" && open.has(one.id);
    if (!old.isEqualNode(part)) old.replaceWith(document.adoptNode(part));
  }
  document.title = fresh.title;
}

async function refresh() {
  let answered = true;
  try {
    const answer = await fetch(location.origin + location.pathname + location.search, { cache: "no-store" });
    answered = answer.ok || answer.status === 400; // claims that are wrong: the rest of the page is right
    if (answered) exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    answered = false;
  }
  document.getElementById("stale").hidden = answered;
  later();
}

function later() {
  setTimeout(() => (document.hidden ? later() : refresh()), PERIOD_MILLISECONDS);
}

later();
