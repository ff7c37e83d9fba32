// The live page: what can be done on it, by mouse, finger and keyboard. What it
// shows is kept up to date by follow.js.

import { follow, refused, since } from "./follow.js";
import { buttons } from "./join.js";
import { ring, soundButton } from "./sound.js";

const $ = (id) => document.getElementById(id);
const mostEvents = 200;
const recent = 50; // events shown when the page is opened

function addEvent(r) {
  const li = document.createElement("li");
  const part = (text, className) => {
    const e = document.createElement("span");
    e.textContent = text;
    e.className = className;
    li.append(e, " ");
  };
  part(new Date(r.time).toLocaleTimeString(), "clock");
  part(r.kind, "kind");
  part(r.call || "", "quiet");
  li.title = JSON.stringify(r.data);
  $("events").prepend(li);
  while ($("events").children.length > mostEvents) $("events").lastChild.remove();
}

// The meters say once a second who can be heard. What they said last is kept for
// rows that are drawn anew.
const heard = new Map();

function show(meter) {
  const m = heard.get(meter.dataset.meter);
  if (!m) return;
  meter.dataset.state = m.state;
  meter.querySelector(".now").setAttribute("width", m.share);
  const words = meter.querySelector(".does-what");
  words.textContent = m.state;
  if (!m.since) return;
  const clock = document.createElement("span");
  clock.className = "clock";
  clock.dataset.since = m.since;
  clock.textContent = since(m.since);
  words.append(" ", clock);
}

function listen() {
  const meters = new EventSource("/v1/meters");
  meters.addEventListener("open", () => heard.clear());
  meters.addEventListener("meters", (e) => {
    const news = new Set();
    for (const m of JSON.parse(e.data).meters) {
      heard.set(`${m.call} ${m.role}`, m);
      news.add(`${m.call} ${m.role}`);
    }
    for (const meter of document.querySelectorAll("[data-meter]")) if (news.has(meter.dataset.meter)) show(meter);
  });
  meters.addEventListener("error", () => { if (meters.readyState === EventSource.CLOSED) setTimeout(listen, refused); });
}
listen();

function drawn() {
  document.querySelectorAll("[data-meter]:not([data-state])").forEach(show);
  ring([...document.querySelectorAll("#alerts > li")].map((e) => ({ id: e.dataset.alert, severity: e.dataset.severity, state: e.dataset.state })));
}

const later = follow($("live"), { recent, drawn, event: addEvent });

// send does what a button or a form says, and tells when it did not work.
async function send(method, path, body) {
  $("said").textContent = "";
  try {
    const answer = await fetch(path, {
      method, headers: { "Content-Type": "application/json" }, body: method === "DELETE" ? undefined : JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error([said.error || `the server answered ${answer.status}`, said.hint].filter(Boolean).join("; "));
    return true;
  } catch (error) {
    $("said").textContent = error.message;
    return false;
  } finally {
    later();
  }
}

// enter shows the controls of a call, and presses the one of mode.
function enter(call, mode) {
  if ($("join").hidden || $("join").dataset.call !== call) {
    $("join-buttons").querySelector("[data-join=leave]:enabled")?.click(); // one call at a time
    const box = document.createElement("div");
    $("join-buttons").replaceWith(box);
    box.id = "join-buttons";
    box.className = "acts";
    buttons(box, call);
    $("join").dataset.call = call;
    $("join-call").textContent = call;
    $("join-call").href = `/calls/${encodeURIComponent(call)}`;
    $("join").hidden = false;
  }
  $("join-buttons").querySelector(`[data-join=${mode}]`).click();
}

function openDialog(name, of) {
  const dialog = $(name);
  if (!dialog) return;
  dialog.dataset.of = of || "";
  dialog.showModal();
}

document.addEventListener("click", (e) => {
  const b = e.target.closest("button");
  if (!b) return;
  if (b.dataset.of !== undefined && b.dataset.join) enter(b.dataset.of, b.dataset.join);
  else if (b.dataset.open) openDialog(b.dataset.open, b.dataset.of);
  else if ("close" in b.dataset) b.closest("dialog").close();
  else if (b.dataset.send) {
    b.disabled = true;
    send(b.dataset.send, b.dataset.to, {}).then(() => { b.disabled = false; });
  }
});

document.addEventListener("submit", async (e) => {
  const form = e.target;
  if (!form.dataset.send) return;
  e.preventDefault();
  const dialog = form.closest("dialog");
  const path = form.dataset.to.replace("{of}", encodeURIComponent(dialog.dataset.of));
  dialog.close();
  if (await send(form.dataset.send, path, Object.fromEntries(new FormData(form)))) form.reset();
});

// The keys act on the item that has the focus, or the first that they fit.
function move(step) {
  const items = [...document.querySelectorAll("#live [data-key][tabindex]")];
  const at = items.indexOf(document.activeElement?.closest("[data-key]"));
  items[at < 0 ? (step > 0 ? 0 : items.length - 1) : Math.min(Math.max(at + step, 0), items.length - 1)]?.focus();
}

function act(selector) {
  const item = document.activeElement?.closest("[data-key]");
  (item ? item.querySelector(selector) : document.querySelector(`#live [data-key][tabindex] ${selector}`))?.click();
}

const keys = {
  j: () => move(1), k: () => move(-1),
  a: () => act("[data-do=ack]"), d: () => act("[data-do=done]"), o: () => act("[data-do=open]"),
  l: () => act("[data-join=listen]"), w: () => act("[data-join=whisper]"), b: () => act("[data-join=barge]"),
  s: () => $("sound").click(), "?": () => openDialog("help"),
};

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select, textarea, dialog")) return;
  const does = keys[e.key];
  if (!does) return;
  e.preventDefault();
  does();
});

soundButton($("sound"));
