// The values that Python has written into the page. Nothing here comes from anywhere else.

const data = JSON.parse(document.getElementById("data").textContent);
const ROLES = { mixture: "mixture", reference: "reference", estimate: "estimate", error: "error" };

// All tracks of a view, the mixture first.
function tracksOf(song, view) {
  return [song.mixture, ...view.tracks];
}

// Names of the recipes of a song.
function systemsOf(song) {
  return data.systems[song.track];
}

function letter(system) {
  return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[system % 26];
}

// Class names of a track, which decide its colour.
function colours(track, song) {
  if (track.role !== ROLES.estimate || (systemsOf(song).length === 1 && !data.separated)) return track.role;
  const number = Number(track.key.split("-")[1]); // of the recipe, or of the stem
  return `${track.role} s${number % 4}`;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// 83.24 -> "1:23.2"
function clock(seconds, digits = 1) {
  const unit = 10 ** digits;
  const whole = Math.round(Math.max(seconds, 0) * unit);
  const minutes = Math.floor(whole / (60 * unit));
  const rest = ((whole - minutes * 60 * unit) / unit).toFixed(digits);
  return `${minutes}:${rest.padStart(digits ? digits + 3 : 2, "0")}`;
}

// -3.217 -> "−3.2"
function decibels(value, digits = 1) {
  return value === null ? "−∞" : value.toFixed(digits).replace("-", "−");
}
