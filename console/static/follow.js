// Keeps a page up to date: an event says that something happened, the page is
// then asked for anew and what differs is taken over. What it looks like is the
// server's alone; everything is text by the time it is here.

const kinds = ["agent.signedin", "agent.signedout", "alert.acknowledged", "alert.escalated", "alert.raised",
  "alert.resolved", "assist.ended", "assist.requested", "call.answered", "call.ended", "call.failed", "call.offered",
  "callback.answered", "callback.dialled", "callback.done", "callback.missed", "callback.owed", "callback.started",
  "intake.marked", "node.degraded", "node.reloaded", "node.started", "node.stopped", "recording.closed",
  "recording.started", "release.allowed", "release.intercepted", "release.requested", "rescue.answered",
  "rescue.calledoff", "rescue.failed", "rescue.offered", "rescue.prompted", "supervisor.failed", "supervisor.joined",
  "supervisor.left", "supervisor.mode", "surge.ended", "surge.started", "unrelayed.done"];

export const refused = 5000; // ms before a stream that was refused is asked for again
let ahead = 0; // ms that this clock is ahead of the server's

export function since(time) {
  const s = Math.max(0, Math.floor((Date.now() - ahead - new Date(time)) / 1000));
  const pad = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${pad(s % 60)}` : `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
}

function tick() {
  for (const e of document.querySelectorAll("[data-since]")) e.textContent = since(e.dataset.since);
}

// face is what an element looks like, without its clocks and meters, which run
// by themselves.
function face(e) {
  const copy = e.cloneNode(true);
  for (const running of copy.querySelectorAll("[data-since], [data-meter]")) running.replaceChildren();
  for (const meter of copy.querySelectorAll("[data-meter]")) meter.removeAttribute("data-state");
  return copy.outerHTML;
}

const faces = new WeakMap();

// mergeList takes over what is new in a list. Items that stay the same are not
// touched: neither the focus nor what a screen reader has said is lost.
function mergeList(list, fresh) {
  const old = new Map([...list.children].map((e) => [e.dataset.key, e]));
  const focused = document.activeElement?.closest("[data-key]");
  const at = [...list.children].indexOf(focused);
  const within = document.activeElement?.dataset.do;
  list.replaceChildren(...keep(old, [...fresh.children]));
  if (at < 0 || focused.contains(document.activeElement)) return;
  const next = [...list.children].find((e) => e.dataset.key === focused.dataset.key) || list.children[Math.min(at, list.children.length - 1)];
  (next?.querySelector(`[data-do="${within}"]`) || next)?.focus();
}

function keep(old, fresh) {
  return fresh.map((e) => {
    const is = face(e), was = old.get(e.dataset.key);
    if (was && faces.get(was) === is) return was;
    faces.set(e, is);
    return document.adoptNode(e);
  });
}

function merge(page) {
  for (const e of document.querySelectorAll("[data-part], [data-list]")) {
    const fresh = page.getElementById(e.id);
    if (!fresh) continue;
    if ("list" in e.dataset) mergeList(e, fresh);
    else if (face(e) !== face(fresh)) e.replaceChildren(...fresh.childNodes);
  }
}

// say tells in #link whether what is shown is as it is.
export function say(lost) {
  const link = document.getElementById("link");
  link.textContent = lost ? "connection lost: what is shown may be old" : "live";
  link.classList.toggle("lost", lost);
}

// follow keeps this page up to date from the record that root names on, for the
// kinds of records it names, or all. gather is for how long records are one
// drawing, in milliseconds. drawn() is called after each drawing, event(record)
// for each event, lost(true or false) when the connection goes or comes.
export function follow(root, { recent = 0, gather = 150, drawn = () => {}, event = () => {}, lost = say } = {}) {
  let planned = false, again = false;
  const draw = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) return location.assign(answer.url); // the session is over
    if (!answer.ok) throw new Error(`${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    ahead = Date.now() - new Date(page.getElementById(root.id).dataset.now);
    merge(page);
    tick();
    drawn();
  };
  const later = () => {
    if (planned) { again = true; return; }
    planned = true;
    setTimeout(() => {
      again = false;
      draw().catch(() => lost(true)).finally(() => {
        planned = false;
        if (again) later();
      });
    }, gather);
  };
  let last = Math.max(0, Number(root.dataset.last) - recent);
  const listen = () => {
    const source = new EventSource(`/v1/events?after=${last}`);
    const take = (e) => {
      last = Number(e.lastEventId) || last;
      event(JSON.parse(e.data));
      later();
    };
    for (const kind of root.dataset.kinds?.split(" ") || kinds) source.addEventListener(kind, take);
    source.addEventListener("open", () => { lost(false); later(); });
    source.addEventListener("error", () => {
      lost(true);
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      later(); // the session may be over: then the page leads to the sign-in
      setTimeout(listen, refused);
    });
  };
  listen();
  ahead = Date.now() - new Date(root.dataset.now);
  for (const e of document.querySelectorAll("[data-list] > *")) faces.set(e, face(e));
  setInterval(tick, 1000);
  drawn();
  return later;
}
