// Chooses song and stem, and connects everything.

const LAZY_S = 60; // longer songs are decoded only when they are played: it takes memory

const player = new Player();
const mixer = new Mixer(player);
const selection = new Selection(player);
const timeline = new Timeline(player, mixer, selection);
const compare = new Compare(mixer);

const now = { song: -1, view: 0, opening: 0, ready: null, wanted: false, order: "sdr" };

// Song and stem

function openSong(index, view = now.view) {
  const same = index === now.song;
  if (!same) forgetSong();
  const song = data.songs[index];
  if (!same) drawStems(song);
  byId("song").value = String(index);
  byId("previous").disabled = index === 0;
  byId("next").disabled = index === data.songs.length - 1;
  openView(index, Math.min(view, song.views.length - 1));
}

function openView(index, place) {
  const song = data.songs[index];
  const view = song.views[place];
  const sameSong = index === now.song;
  if (sameSong && place !== now.view) releasePart(`${index}-${now.view}`);
  const wanted = player.playing || now.wanted;
  Object.assign(now, { song: index, view: place, opening: now.opening + 1 });
  selection.duration = song.seconds;
  player.unload();
  if (!sameSong) {
    selection.clear();
    player.seek(0);
  }
  const tracks = tracksOf(song, view);
  timeline.show(song, view);
  mixer.load(tracks, data.separated);
  compare.load(tracks, data.separated);
  drawWorst(view);
  const checked = byId("stems").querySelector(`input[value="${place}"]`);
  if (checked) checked.checked = true;
  byId("length").value = clock(song.seconds);
  byId("seek").max = String(song.seconds);
  loadView(index, place, wanted);
}

// Load sound and pictures. If another view is opened meanwhile, forget them.
async function loadView(index, place, wanted) {
  const opening = now.opening;
  Object.assign(now, { ready: null, wanted });
  busy(true);
  try {
    const [mixture, part] = await Promise.all([loadPart(`${index}-mixture`), loadPart(`${index}-${place}`)]);
    if (opening !== now.opening) return;
    complain("");
    timeline.drawPictures(part);
    now.ready = { parts: { ...mixture, ...part }, decoding: false };
    if (now.wanted || data.songs[index].seconds <= LAZY_S) await decodeAll();
  } catch (error) {
    if (opening === now.opening) complain(error.message);
  } finally {
    if (opening === now.opening) busy(false);
  }
}

// Decode all tracks; the mixture stays decoded for all stems of a song.
async function decodeAll() {
  const { ready, opening } = now;
  if (ready.decoding) return;
  ready.decoding = true;
  busy(true);
  try {
    const song = data.songs[now.song];
    const tracks = tracksOf(song, song.views[now.view]);
    const kept = now.mixture?.song === now.song ? now.mixture.buffer : null;
    const jobs = tracks.map(async ({ key }) => {
      const buffer = key === "mixture" && kept ? kept : await decode(ready.parts[key].sound);
      return [key, buffer];
    });
    const buffers = new Map(await Promise.all(jobs));
    if (opening !== now.opening) return;
    now.mixture = { song: now.song, buffer: buffers.get("mixture") };
    player.load(buffers, Math.min(...[...buffers.values()].map((buffer) => buffer.duration)));
    mixer.update();
    if (now.wanted) player.play();
    now.wanted = false;
  } catch (error) {
    if (opening === now.opening) complain(error.message);
  } finally {
    if (opening === now.opening) busy(false);
  }
}

function busy(loading) {
  document.body.classList.toggle("loading", loading);
  byId("loading").hidden = !loading;
}

function forgetSong() {
  if (now.song < 0) return;
  now.mixture = null;
  releasePart(`${now.song}-mixture`);
  releasePart(`${now.song}-${now.view}`);
}

function play() {
  if (player.playing) player.pause();
  else if (player.buffers.size) player.play();
  else {
    now.wanted = !now.wanted; // it plays as soon as it is decoded
    if (now.wanted && now.ready) decodeAll();
  }
}

// What is drawn

function drawSongs() {
  const several = new Set(data.songs.map((song) => song.track)).size > 1;
  const name = (song) => (several ? `${song.name} (${song.track})` : song.name);
  fillSelect(byId("song"), data.songs.map((song, index) => [String(index), name(song)]));
}

function drawStems(song) {
  const choices = song.views.map((view, place) => {
    const input = element("input", { type: "radio", name: "stem", value: String(place) });
    input.addEventListener("change", () => openView(now.song, place));
    const scores = view.charts.map((chart) => decibels(chart.sdr)).join(" / ");
    return element("label", { title: "SDR of the song in dB" }, input, view.name, " ", element("small", {}, scores));
  });
  byId("stems").hidden = choices.length === 1;
  byId("stems").replaceChildren(byId("stems").querySelector("legend"), ...choices);
}

function drawWorst(view) {
  const several = view.charts.length > 1;
  const orders = Object.entries(ORDERS).filter(([key]) => several || key !== "difference");
  if (!orders.some(([key]) => key === now.order)) now.order = "sdr";
  fillSelect(byId("worst-by"), orders.map(([key, [text]]) => [key, text]));
  byId("worst-by").value = now.order;
  byId("worst-note").textContent = now.order === "difference" ? "SDR of A and B" : "SDR, share of the whole error";
  const buttons = worstSeconds(view.charts, now.order).map((one) => {
    const button = worstButton(one, view.charts, now.order);
    button.addEventListener("click", () => playSecond(one.chart.system, one.second));
    return element("li", {}, button);
  });
  byId("worst-list").replaceChildren(...buttons);
}

// Go to a second and play what is wrong there.
function playSecond(system, second) {
  const tracks = data.songs[now.song].views[now.view].tracks;
  const error = tracks.find((track) => track.role === ROLES.error && track.system === system);
  mixer.setSolo(error.key);
  player.seek(second);
  if (!player.playing) play();
  announce(`${error.name} from ${clock(second, 0)}`);
}

// Once for each frame of the screen.
function tick() {
  const { position } = player;
  timeline.draw(position);
  const text = clock(position);
  if (byId("time").value !== text) {
    byId("time").value = text;
    if (!seeking) byId("seek").value = String(position);
    byId("seek").setAttribute("aria-valuetext", `${clock(position, 0)} of ${clock(timeline.duration, 0)}`);
  }
  requestAnimationFrame(tick);
}

let seeking = false;

// Connections

player.changed = () => {
  document.body.classList.toggle("playing", player.playing);
  byId("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
};
mixer.changed = () => {
  timeline.refresh();
  compare.refresh();
};
compare.changed = () => compare.refresh();
selection.changed = () => {
  timeline.drawSelection();
  press(byId("loop"), selection.looping);
};

byId("play").addEventListener("click", play);
byId("loop").addEventListener("click", () => selection.toggleLoop());
byId("song").addEventListener("change", (event) => openSong(Number(event.target.value)));
byId("previous").addEventListener("click", () => openSong(now.song - 1));
byId("next").addEventListener("click", () => openSong(now.song + 1));
byId("seek").addEventListener("input", (event) => {
  seeking = true;
  player.seek(Number(event.target.value));
});
byId("seek").addEventListener("change", () => (seeking = false));
byId("volume").addEventListener("input", (event) => {
  const db = Number(event.target.value);
  player.setVolume(db <= -40 ? 0 : 10 ** (db / 20));
  event.target.setAttribute("aria-valuetext", db <= -40 ? "off" : `${decibels(db, 0)} dB`);
});
byId("zoom").addEventListener("change", (event) => timeline.setZoom(Number(event.target.value)));
byId("boost").addEventListener("change", (event) => mixer.setBoost(Number(event.target.value)));
byId("worst-by").addEventListener("change", (event) => {
  now.order = event.target.value;
  drawWorst(data.songs[now.song].views[now.view]);
});
byId("help-button").addEventListener("click", () => byId("help").showModal());
for (const table of document.querySelectorAll(".scores")) makeSortable(table);
for (const button of document.querySelectorAll(".open")) {
  button.addEventListener("click", () => {
    const { song, view, system } = button.dataset;
    openSong(Number(song), view === undefined ? now.view : Number(view));
    if (system !== undefined) mixer.setSolo(`estimate-${system}`);
    byId("desk").scrollIntoView();
    byId("desk").focus({ preventScroll: true });
  });
}
window.addEventListener("resize", () => timeline.drawRuler());

const step = (seconds) => (event) => player.seek(player.position + Math.sign(seconds) * (event.shiftKey ? 5 : 1));
const mark = (edge) => () => {
  const range = selection.range ?? { start: 0, end: selection.duration };
  selection.set(edge === "start" ? player.position : range.start, edge === "end" ? player.position : range.end);
};

listenToKeys({
  track(place, shift) {
    const track = mixer.tracks[place];
    if (!track || compare.test) return;
    if (shift) mixer.toggleMute(track.key);
    else mixer.setSolo(track.key);
  },
  keys: {
    " ": play,
    "arrowleft": step(-1),
    "arrowright": step(1),
    "home": () => player.seek(selection.range?.start ?? 0),
    "0": () => compare.test || mixer.setSolo(null),
    "a": () => compare.hear(0),
    "b": () => compare.hear(1),
    "x": () => compare.test && compare.hear(0),
    "y": () => compare.test && compare.hear(1),
    "l": () => selection.toggleLoop(),
    "[": mark("start"),
    "]": mark("end"),
    "escape": () => selection.clear(),
    "n": () => now.song < data.songs.length - 1 && openSong(now.song + 1),
    "p": () => now.song > 0 && openSong(now.song - 1),
    "s": () => {
      const views = data.songs[now.song].views.length;
      if (views > 1) openView(now.song, (now.view + 1) % views);
    },
    "?": () => byId("help").showModal(),
  },
});

// What a test may look at; nothing can be changed through it.
window.player = Object.freeze({
  positions: () => player.positions(),
  playing: () => player.playing,
  loaded: () => [...player.buffers.keys()],
  audible: () => mixer.tracks.filter((track) => mixer.audible(track.key)).map((track) => track.key),
  loop: () => player.run?.loop ?? null,
  samples: (key, start, end) => Array.from(player.buffers.get(key).getChannelData(0).slice(start, end)),
});

drawSongs();
openSong(0);
requestAnimationFrame(tick);
