// Keeps a page that the server draws up to date: when something happens that
// it shows, the page is asked for anew and what is in #fresh is replaced.

const box = document.getElementById("fresh");
const link = document.getElementById("link");
const atMost = 1000; // milliseconds between two drawings, however much happens

function since(time) {
  const s = Math.max(0, Math.floor((Date.now() - new Date(time)) / 1000));
  const pad = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${pad(s % 60)}` : `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
}

function tick() {
  for (const e of document.querySelectorAll("[data-since]")) e.textContent = since(e.dataset.since);
}

function say(lost) {
  link.textContent = lost ? "connection lost: what is shown may be old" : "live";
  link.classList.toggle("lost", lost);
}

async function draw() {
  const answer = await fetch(location.href);
  if (!answer.ok) throw new Error(answer.status);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  box.replaceChildren(...page.getElementById("fresh").childNodes);
  say(false);
}

let planned = false;
function later() {
  if (planned) return;
  planned = true;
  setTimeout(() => {
    planned = false;
    draw().catch(() => say(true));
  }, atMost);
}

const source = new EventSource(`/v1/events?after=${box.dataset.after}`);
for (const kind of box.dataset.kinds.split(" ")) source.addEventListener(kind, later);
source.addEventListener("open", () => { say(false); later(); });
source.addEventListener("error", () => say(true));
setInterval(tick, 1000);
