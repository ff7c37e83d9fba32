// Keeps the live page up to date: events say that something changed, and the
// calls and alerts are then asked for anew. Everything is written as text,
// never as markup, because callers choose their own names.

import { ring, soundButton } from "./sound.js";

const $ = (id) => document.getElementById(id);
const mostEvents = 200;

function el(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function since(time) {
  const s = Math.max(0, Math.floor((Date.now() - new Date(time)) / 1000));
  const pad = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${pad(s % 60)}` : `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
}

function clock(tag, time) {
  const e = el(tag, since(time), "clock");
  e.dataset.since = time;
  return e;
}

function tick() {
  for (const e of document.querySelectorAll("[data-since]")) e.textContent = since(e.dataset.since);
}

const fields = ["location", "callback", "nature", "incident", "dispatched", "disposition"];

function intake(call) {
  const words = fields.filter((f) => call.intake && call.intake[f])
    .map((f) => call.intake[f].value === "true" ? f : `${f}: ${call.intake[f].value}`);
  return (call.intakeComplete ? "complete: " : "") + (words.join(", ") || "nothing yet");
}

function waitingItem(call) {
  const li = el("li", undefined, "call waiting");
  li.append(clock("strong", call.waitingSince || call.started), el("span", call.from, "who"), el("span", call.id, "quiet"),
    el("span", call.rescues ? `rescued ${call.rescues}×` : "no position took the call"));
  return li;
}

function callRow(call) {
  const tr = el("tr");
  const who = el("td", call.from);
  who.append(el("br"), el("span", call.id, "quiet"));
  tr.append(clock("td", call.started), who,
    el("td", call.state + (call.kind === "emergency" ? "" : ` (${call.kind})`)),
    el("td", (call.taker || "") + (call.agent ? ` (${call.agent})` : "")),
    el("td", intake(call)), el("td", call.rescues));
  return tr;
}

function show(list, empty, items) {
  $(list).replaceChildren(...items);
  $(empty).hidden = items.length > 0;
}

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function drawCalls() {
  const { calls } = await ask("/v1/calls");
  const waits = (c) => c.state === "waiting";
  show("waiting", "no-waiting", calls.filter(waits).map(waitingItem));
  show("calls", "no-calls", calls.filter((c) => !waits(c)).map(callRow));
}

// now says how things stand for the caller of an alert.
function now(alert) {
  const s = alert.situation;
  if (alert.resolved) return el("b", alert.resolved.why, "resolved");
  if (!s) return el("span", "");
  if (s.waitingSince) {
    const b = el("b", "caller ALONE ");
    b.append(clock("span", s.waitingSince));
    return b;
  }
  return el("span", s.with ? `caller is with ${s.with}${s.agent ? ` (${s.agent})` : ""}` : s.state === "over" ? "call is over" : s.state);
}

function alertItem(alert) {
  const li = el("li", undefined, alert.severity);
  const button = el("button", "Acknowledge");
  button.addEventListener("click", async () => {
    button.disabled = true;
    const answer = await fetch(`/v1/alerts/${encodeURIComponent(alert.id)}/ack`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: "{}",
    });
    if (!answer.ok) button.disabled = false;
    later(drawAlerts);
  });
  li.append(el("span", new Date(alert.raised).toLocaleTimeString(), "clock"), el("strong", alert.severity), el("span", alert.summary), now(alert));
  if (alert.repeats) li.append(el("span", `${alert.repeats + 1} times`));
  if (alert.escalated) li.append(el("span", `told ${alert.escalated.channels.join(", ")}: ${alert.escalated.why}`, "quiet"));
  li.append(el("span", alert.situation?.from || alert.call || "", "quiet"), button);
  return li;
}

async function drawAlerts() {
  const { alerts } = await ask("/v1/alerts?open=true");
  show("alerts", "no-alerts", alerts.map(alertItem));
  ring(alerts);
}

// later runs draw soon, once, however many events ask for it meanwhile.
const planned = new Set();
function later(draw) {
  if (planned.has(draw)) return;
  planned.add(draw);
  setTimeout(() => {
    planned.delete(draw);
    draw().catch(() => linkLost(true));
  }, 150);
}

function linkLost(lost) {
  $("link").textContent = lost ? "connection lost: what is shown may be old" : "live";
  $("link").classList.toggle("lost", lost);
}

function addEvent(event) {
  const r = JSON.parse(event.data);
  const li = el("li");
  li.append(el("span", new Date(r.time).toLocaleTimeString() + " "), el("span", r.kind, "kind"), el("span", " " + (r.call || ""), "quiet"));
  li.title = JSON.stringify(r.data);
  $("events").prepend(li);
  while ($("events").children.length > mostEvents) $("events").lastChild.remove();
  later(drawCalls);
  if (r.kind.startsWith("alert.")) later(drawAlerts);
}

const kinds = ["call.offered", "call.answered", "call.failed", "call.ended", "intake.marked", "release.requested",
  "release.allowed", "release.intercepted", "rescue.prompted", "rescue.offered", "rescue.failed", "rescue.answered",
  "alert.raised", "alert.acknowledged", "alert.resolved", "alert.escalated", "supervisor.joined", "supervisor.left", "recording.started", "recording.closed",
  "node.started", "node.degraded", "node.stopped"];

const recent = 50; // events shown when the page is opened
const source = new EventSource(`/v1/events?after=${Math.max(0, Number(document.body.dataset.last) - recent)}`);
for (const kind of kinds) source.addEventListener(kind, addEvent);
source.addEventListener("open", () => { linkLost(false); later(drawCalls); later(drawAlerts); });
source.addEventListener("error", () => linkLost(true));
setInterval(tick, 1000);
soundButton($("sound"));
