// The page of one call: the recording's waveform, seeking by a click on it or
// on the time of a moment, legal hold, and word of what happens meanwhile.
// Without this script the page has all the words, the messages and the player.
"use strict";
const page = document.getElementById("call");
const player = document.getElementById("player");
const wave = document.getElementById("wave");
const rows = [...document.querySelectorAll("#timeline li")];
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, parent) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (parent) parent.append(e);
  return e;
}

// outline is the path around the samples of one side.
function outline(peaks, middle, height) {
  const scale = height / 127;
  let up = "", down = "";
  for (let i = 0; 2 * i < peaks.length; i++) {
    const lo = Math.min(peaks[2 * i], 0), hi = Math.max(peaks[2 * i + 1], 0);
    const top = middle - hi * scale - 0.4, bottom = middle - lo * scale + 0.4;
    up += `${i ? "L" : "M"}${i} ${top}L${i + 1} ${top}`;
    down = `L${i + 1} ${bottom}L${i} ${bottom}` + down;
  }
  return up && up + down + "Z";
}

// secondsOf is where a row of the timeline is in the recording.
const secondsOf = (row, peaks) => (Date.parse(row.dataset.time) - Date.parse(peaks.began)) / 1000;

function seek(seconds) {
  player.currentTime = Math.max(0, seconds);
  player.play().catch(() => {}); // the browser wants another click, or there is no sound device
}

function draw(peaks) {
  const count = Math.max(1, peaks.left.length / 2), wide = peaks.seconds / peaks.bucket || 1;
  const svg = shape("svg", { viewBox: `0 0 ${wide} 130`, preserveAspectRatio: "none", role: "img", "aria-label": `Loudness of both sides over ${Math.round(peaks.seconds)} seconds; click to play from there` });
  for (const [side, name, middle] of [[peaks.left, "caller", 33], [peaks.right, "heard", 97]]) {
    shape("line", { x1: 0, x2: count, y1: middle, y2: middle, class: "axis" }, svg);
    shape("path", { d: outline(side, middle, 31), class: name }, svg);
  }
  const marked = rows.filter((r) => r.dataset.mark);
  marked.sort((a, b) => (a.dataset.mark === "release") - (b.dataset.mark === "release")); // over what follows at once
  for (const row of marked) {
    const x = secondsOf(row, peaks) / peaks.bucket;
    if (!(x >= 0 && x <= wide)) continue;
    const mark = shape("line", { x1: x, x2: x, y1: 0, y2: 130, class: `mark ${row.dataset.mark}` }, svg);
    shape("title", {}, mark).textContent = row.querySelector(".what").textContent;
  }
  const now = shape("line", { x1: 0, x2: 0, y1: 0, y2: 130, class: "play" }, svg);
  svg.addEventListener("click", (e) => {
    const box = svg.getBoundingClientRect();
    seek((e.clientX - box.left) / box.width * peaks.seconds);
  });
  document.getElementById("drawing").append(svg);
  wave.hidden = false;
  player.addEventListener("timeupdate", () => {
    const x = player.currentTime / peaks.bucket;
    now.setAttribute("x1", x);
    now.setAttribute("x2", x);
    follow(peaks);
  });
}

// follow shows on the timeline what is being heard.
function follow(peaks) {
  let last = null;
  for (const row of rows) {
    row.classList.remove("now");
    if (row.offsetParent !== null && secondsOf(row, peaks) <= player.currentTime) last = row;
  }
  if (last && !player.paused) last.classList.add("now");
}

// letSeek makes buttons of the times of events within the recording.
function letSeek(peaks) {
  for (const row of rows.filter((r) => r.classList.contains("event"))) {
    const at = secondsOf(row, peaks), old = row.querySelector(".at");
    if (!(at >= 0 && at <= peaks.seconds)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "at";
    button.textContent = old.textContent;
    button.title = "Play from here";
    button.addEventListener("click", () => seek(at));
    old.replaceWith(button);
  }
}

async function listen() {
  const response = await fetch(wave.dataset.peaks);
  if (!response.ok) return; // the player says why
  const peaks = await response.json();
  draw(peaks);
  if (peaks.began) letSeek(peaks);
}
if (wave) listen();

const filter = document.getElementById("words-only");
filter.parentElement.hidden = false;
filter.addEventListener("click", () => {
  const on = page.classList.toggle("words-only");
  filter.setAttribute("aria-pressed", String(on));
});

const hold = document.getElementById("hold");
if (hold) {
  hold.hidden = false;
  hold.addEventListener("submit", async (e) => {
    e.preventDefault();
    const said = hold.querySelector("output");
    const response = await fetch(`/v1/holds/${page.dataset.call}`, {
      method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ reason: hold.elements.reason.value }),
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) { // what plays goes on
      const done = document.createElement("p");
      done.textContent = `On legal hold, by ${answer.by}: ${answer.reason}`;
      done.setAttribute("role", "status");
      hold.replaceWith(done);
    } else said.textContent = [answer.error || `the server answered ${response.status}`, answer.hint].filter(Boolean).join("; ");
  });
}

// A call in progress tells of itself that there is more, and lets its reader
// decide when the page is drawn again: nobody's place is lost, nor what plays.
if (page.dataset.live === "true") {
  const events = new EventSource(`/v1/events?after=${page.dataset.last}`);
  const id = decodeURIComponent(page.dataset.call);
  const kinds = ["call.offered", "call.answered", "call.failed", "call.ended", "release.requested", "release.intercepted",
    "release.allowed", "rescue.offered", "rescue.prompted", "rescue.answered", "rescue.failed", "intake.marked", "alert.raised",
    "alert.acknowledged", "alert.resolved", "supervisor.joined", "supervisor.left"];
  const tell = (e) => { if (JSON.parse(e.data).call === id) document.getElementById("more").hidden = false; };
  for (const kind of kinds) events.addEventListener(kind, tell);
}
