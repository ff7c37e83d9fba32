// Supervisors in calls, from the browser. A page imports what it needs:
//
//   import { join, switchMode, leave, takeOver, buttons } from "/static/join.js";
//   const part = await join(callId, "listen");      // microphone and speaker
//   await switchMode(part, "barge");
//   await takeOver(part);
//   await leave(part);
//
// or lets buttons() make the controls of a call. Every function rejects with an
// Error whose message can be shown. Nothing is sent to anybody but Holdline,
// and the microphone is off in listen mode.

const api = (call, rest = "") => `/v1/calls/${encodeURIComponent(call)}${rest}`;

async function send(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body ? JSON.stringify(body) : undefined,
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Error([answer.error || `the server answered ${response.status}`, answer.hint].filter(Boolean).join("; "));
  }
  return answer;
}

// gathered resolves when the offer names this browser's addresses, or after a
// second with those that are known by then.
function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => { if (peer.iceGatheringState === "complete") resolve(); };
    peer.addEventListener("icegatheringstatechange", done);
    setTimeout(resolve, 1000);
  });
}

// onlyG711 leaves PCMU and PCMA in the offer: what the telephone network and
// Holdline's mixer speak.
function onlyG711(transceiver) {
  const codecs = RTCRtpReceiver.getCapabilities("audio").codecs.filter((c) => /^audio\/pcm[ua]$/i.test(c.mimeType));
  if (codecs.length === 0) throw new Error("this browser does not speak G.711");
  transceiver.setCodecPreferences(codecs);
}

// join brings this browser into a call. options: by (who joins), audio (the
// element that plays; one is made when it is left out), microphone (constraints
// of getUserMedia), onEnd(why).
export async function join(call, mode = "listen", options = {}) {
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: options.microphone || { echoCancellation: true, noiseSuppression: true, channelCount: 1 },
  });
  const peer = new RTCPeerConnection();
  const part = { call, mode, by: options.by, peer, microphone, audio: options.audio || new Audio(), ended: false };
  const end = (why) => {
    if (part.ended) return;
    part.ended = true;
    microphone.getTracks().forEach((t) => t.stop());
    peer.close();
    part.audio.srcObject = null;
    if (options.onEnd) options.onEnd(why);
  };
  part.end = end;
  try {
    const [track] = microphone.getAudioTracks();
    track.enabled = mode !== "listen";
    onlyG711(peer.addTransceiver(track, { direction: "sendrecv" }));
    peer.ontrack = (event) => {
      part.audio.srcObject = new MediaStream([event.track]);
      part.audio.autoplay = true;
      part.audio.play().catch(() => {}); // a page without a click may not play; its button does
    };
    peer.onconnectionstatechange = () => {
      if (["failed", "closed"].includes(peer.connectionState)) end("the connection is closed");
      if (peer.connectionState === "disconnected") setTimeout(() => {
        if (peer.connectionState === "disconnected") end("the call is over, or the connection is lost");
      }, 8000);
    };
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    const answer = await send("POST", api(call, "/join"), { mode, by: options.by, sdp: peer.localDescription.sdp });
    part.id = answer.id;
    part.call = answer.call;
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    window.addEventListener("pagehide", () => { if (!part.ended) leave(part).catch(() => {}); }, { once: true });
    return part;
  } catch (error) {
    end(error.message);
    throw error;
  }
}

// switchMode goes to listen, whisper or barge.
export async function switchMode(part, mode) {
  const [track] = part.microphone.getAudioTracks();
  if (mode === "listen") track.enabled = false; // off before anything else
  const answer = await send("PATCH", api(part.call, `/join/${encodeURIComponent(part.id)}`), { mode, by: part.by });
  track.enabled = answer.mode !== "listen";
  part.mode = answer.mode;
  return part;
}

// takeOver makes this supervisor the taker; whoever had the caller is let go.
export async function takeOver(part) {
  const answer = await send("POST", api(part.call, "/takeover"), { join: part.id, by: part.by });
  part.microphone.getAudioTracks()[0].enabled = true;
  part.mode = "taker";
  return answer;
}

// leave ends this browser's part. A caller whom it has taken over is kept, and
// goes to the fallback queue unless policy lets the call end.
export async function leave(part) {
  try {
    const by = part.by ? `?by=${encodeURIComponent(part.by)}` : "";
    await fetch(api(part.call, `/join/${encodeURIComponent(part.id)}${by}`), { method: "DELETE", keepalive: true });
  } finally {
    part.end("left");
  }
}

// buttons fills an element with the controls of a call and returns it.
export function buttons(element, call, options = {}) {
  let part = null;
  const note = document.createElement("span");
  note.setAttribute("role", "status");
  const make = (label, what, act) => {
    const b = document.createElement("button");
    b.type = "button";
    b.textContent = label;
    b.dataset.join = what;
    b.addEventListener("click", async () => {
      try {
        note.textContent = "";
        await act();
      } catch (error) {
        note.textContent = error.message;
      }
      show();
    });
    return b;
  };
  const to = (mode) => async () => {
    if (part && !part.ended) await switchMode(part, mode);
    else part = await join(call, mode, { ...options, onEnd: (why) => { note.textContent = why; show(); } });
  };
  const all = [
    make("Listen", "listen", to("listen")),
    make("Whisper to the call taker", "whisper", to("whisper")),
    make("Speak with both", "barge", to("barge")),
    make("Take the call over", "takeover", async () => {
      if (!part || part.ended) await to("barge")();
      await takeOver(part);
    }),
    make("Leave", "leave", async () => { await leave(part); }),
  ];
  const show = () => {
    const inside = part && !part.ended;
    for (const b of all) {
      const what = b.dataset.join;
      b.setAttribute("aria-pressed", String(Boolean(inside && part.mode === what)));
      b.disabled = what === "leave" ? !inside : Boolean(inside && part.mode === "taker");
    }
  };
  element.replaceChildren(...all, note);
  show();
  return element;
}
