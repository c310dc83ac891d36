// The rows of one view above each other: tracks, SDR by second, spectrograms; one cursor over all.

class Timeline {
  constructor(player, mixer, selection) {
    this.player = player;
    this.mixer = mixer;
    this.selection = selection;
    this.waves = []; // { track, row, wave }
    this.view = null;
    this.shownSecond = null;
    this.zoom = 1;
    for (const id of ["ruler", "seconds"]) selection.watch(byId(id));
    byId("seconds").addEventListener("pointermove", (event) => this.point(event));
    byId("seconds").addEventListener("pointerleave", () => (this.pointed = null));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
  }

  show(song, view) {
    this.song = song;
    this.view = view;
    this.duration = song.seconds;
    this.pointed = null;
    this.drawTracks(tracksOf(song, view));
    drawSeconds(byId("seconds"), view.charts, song.seconds);
    byId("seconds-name").textContent = data.separated ? `Sum against mixture: ${decibels(view.charts[0].sdr)} dB` : "SDR by second";
    byId("pictures").replaceChildren();
    this.drawRuler();
    this.refresh();
  }

  drawTracks(tracks) {
    for (const { wave } of this.waves) wave.destroy();
    this.height = fullHeight(tracks);
    const rows = tracks.map((track, place) => this.trackRow(track, place));
    byId("tracks").replaceChildren(...rows.map(({ row }) => row));
    this.waves = rows.map(({ track, row, lane }) => ({
      track,
      row,
      lane,
      wave: drawWaveform(lane, track, this.duration, this.height / this.zoom),
    }));
  }

  trackRow(track, place) {
    const key = place < 9 ? String(place + 1) : "";
    const solo = element(
      "button",
      { type: "button", class: "switch solo", title: `Hear it alone (${key}); with shift, too`, "aria-label": `Solo ${track.name}` },
      "S",
    );
    if (key) solo.dataset.key = key;
    const mute = element(
      "button",
      { type: "button", class: "switch mute", title: `Mute (shift ${key})`, "aria-label": `Mute ${track.name}` },
      "M",
    );
    solo.addEventListener("click", (event) => this.mixer.toggleSolo(track.key, event.shiftKey));
    mute.addEventListener("click", () => this.mixer.toggleMute(track.key));
    const level = element("span", { class: "level quiet" }, `${decibels(track.level)} dBFS`);
    const name = element("span", { class: "name" }, track.name);
    const head = element("div", { class: "head" }, name, element("span", { class: "together" }, solo, mute), level);
    const lane = element("div", { class: "lane" });
    this.selection.watch(lane);
    const row = element("div", { class: `row track ${colours(track, this.song)}` }, head, lane);
    row.dataset.key = track.key;
    return { track, row, lane };
  }

  // Pictures come later than the rest, with the sound.
  drawPictures(part) {
    const tracks = this.view.tracks.filter((track) => part[track.key]?.picture);
    const rows = tracks.map((track) => pictureRow(track, this.song, this.view, part[track.key].picture));
    for (const row of rows) this.selection.watch(row.querySelector(".lane"));
    byId("pictures").replaceChildren(...rows);
  }

  drawRuler() {
    const room = byId("ruler").clientWidth || 600;
    const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300];
    const step = steps.find((one) => (one / this.duration) * room >= 55) ?? 600;
    const ticks = [];
    for (let at = 0; at < 0.97 * this.duration; at += step) {
      const tick = element("span", { class: "tick" }, clock(at, step < 1 ? 1 : 0));
      tick.style.left = `${(100 * at) / this.duration}%`;
      ticks.push(tick);
    }
    byId("ruler").replaceChildren(...ticks);
  }

  // What solo and mute have changed; in a blind test it is not shown.
  refresh() {
    for (const { track, row } of this.waves) {
      row.classList.toggle("audible", this.mixer.audible(track.key));
      press(row.querySelector(".solo"), this.mixer.solo.has(track.key));
      press(row.querySelector(".mute"), this.mixer.muted.has(track.key));
    }
  }

  setZoom(zoom) {
    this.zoom = zoom;
    for (const { track, wave } of this.waves) {
      wave.setOptions({ peaks: outlineOf(track, this.height / zoom), duration: this.duration });
    }
  }

  recolour() {
    for (const { wave, lane } of this.waves) wave.setOptions(waveColours(lane));
  }

  point(event) {
    const box = byId("seconds").getBoundingClientRect();
    this.pointed = Math.floor(((event.clientX - box.left) / box.width) * this.duration);
  }

  // Once for each frame of the screen.
  draw(position) {
    const part = this.duration ? position / this.duration : 0;
    byId("cursor").style.left = `${100 * part}%`;
    for (const { wave } of this.waves) wave.setTime(position);
    const second = this.pointed ?? Math.floor(position);
    if (second !== this.shownSecond && this.view) {
      byId("second-text").textContent = secondInWords(this.view.charts, second);
      this.shownSecond = second;
    }
  }

  drawSelection() {
    const { range } = this.selection;
    const box = byId("selected");
    box.hidden = !range;
    byId("selection-text").textContent = range ? `${clock(range.start)} – ${clock(range.end)}` : "drag to select";
    if (!range) return;
    box.style.left = `${(100 * range.start) / this.duration}%`;
    box.style.width = `${(100 * (range.end - range.start)) / this.duration}%`;
  }
}
