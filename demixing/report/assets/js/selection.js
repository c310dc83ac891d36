// A part of the song, by dragging anywhere on the time line; a click goes there.

const LEAST_DRAG_PX = 4;
const LEAST_SELECTION_S = 0.05;

class Selection {
  constructor(player) {
    this.player = player;
    this.range = null; // { start, end }
    this.looping = false;
    this.duration = 0;
    this.changed = () => {};
  }

  // Listen to the pointer on one lane.
  watch(lane) {
    let from = null;
    const secondsAt = (event) => {
      const box = lane.getBoundingClientRect();
      return clamp((event.clientX - box.left) / box.width, 0, 1) * this.duration;
    };
    lane.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      from = { x: event.clientX, seconds: secondsAt(event), dragged: false };
      lane.setPointerCapture(event.pointerId);
    });
    lane.addEventListener("pointermove", (event) => {
      if (!from) return;
      from.dragged ||= Math.abs(event.clientX - from.x) > LEAST_DRAG_PX;
      if (from.dragged) this.show(from.seconds, secondsAt(event));
    });
    lane.addEventListener("pointerup", (event) => {
      if (!from) return;
      if (from.dragged) this.set(from.seconds, secondsAt(event));
      else this.player.seek(secondsAt(event));
      from = null;
    });
    lane.addEventListener("pointercancel", () => {
      from = null;
      this.changed();
    });
  }

  // While it is drawn.
  show(one, other) {
    this.range = { start: Math.min(one, other), end: Math.max(one, other) };
    this.changed();
  }

  set(one, other) {
    this.show(one, other);
    if (this.range.end - this.range.start < LEAST_SELECTION_S) this.range = null;
    this.looping = this.range !== null;
    this.apply();
    if (this.range && !this.player.playing) this.player.seek(this.range.start);
  }

  clear() {
    this.range = null;
    this.looping = false;
    this.apply();
  }

  toggleLoop() {
    this.looping = !this.looping;
    this.apply();
  }

  apply() {
    const all = { start: 0, end: this.duration };
    this.player.setLoop(this.looping ? this.range ?? all : null);
    this.changed();
  }
}
