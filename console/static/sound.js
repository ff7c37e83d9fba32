// The sound of alerts, made here so that no file is needed. Browsers keep pages
// silent until somebody has used them: the button says so, and unlocks it.

const repeat = 15; // seconds, while an urgent alert is unanswered
const notes = { critical: [880, 660, 880, 660, 880, 660], warning: [660, 880], info: [660] }; // in Hz

let audio;
let wanted = localStorage.getItem("sound") !== "off";
const known = new Set();
let first = true;

function play(severity) {
  document.body.dataset.rang = Number(document.body.dataset.rang || 0) + 1;
  if (!wanted || !audio || audio.state !== "running") return;
  (notes[severity] || notes.info).forEach((hz, i) => {
    const tone = audio.createOscillator(), volume = audio.createGain();
    const at = audio.currentTime + i * 0.22;
    tone.frequency.value = hz;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.4, at + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.2);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.22);
  });
}

const urgent = (a) => a.severity === "critical" && (a.state === "open" || a.state === "escalated");
let open = [];

// ring plays for alerts that were not there before; the most urgent one decides
// how it sounds.
export function ring(alerts) {
  open = alerts;
  const fresh = alerts.filter((a) => !known.has(a.id));
  for (const a of alerts) known.add(a.id);
  const worst = ["critical", "warning", "info"].find((s) => fresh.some((a) => a.severity === s));
  if (worst && !(first && !fresh.some(urgent))) play(worst);
  first = false;
}

// soundButton makes the button that switches the sound.
export function soundButton(button) {
  const say = () => {
    const heard = wanted && audio && audio.state === "running";
    button.textContent = heard ? "Sound: on" : "Sound: off";
    button.setAttribute("aria-pressed", String(Boolean(heard)));
  };
  const unlock = async () => {
    audio ||= new AudioContext();
    await audio.resume();
    say();
  };
  button.addEventListener("click", async (e) => {
    e.stopPropagation();
    const heard = wanted && audio && audio.state === "running";
    wanted = !heard;
    localStorage.setItem("sound", wanted ? "on" : "off");
    if (wanted) {
      await unlock();
      play("info"); // so that the volume can be judged
    }
    say();
  });
  document.addEventListener("click", () => { if (wanted) unlock(); });
  button.hidden = false;
  say();
}

setInterval(() => { if (open.some(urgent)) play("critical"); }, repeat * 1000);
