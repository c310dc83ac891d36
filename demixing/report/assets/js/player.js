// Plays all tracks of a view at once, from one clock, so that they are aligned to the sample.
//
// Each track has a gain, 0 if it is silent. Switching only moves gains, within a few
// milliseconds, so there is no click and no gap. To pause or to seek, a whole "run" of sources
// fades out and another one begins.

const RATE_HZ = 48000;
const FADE_S = 0.012;
const AHEAD_S = 0.03; // sources are started this long before they sound, all at the same time

class Player {
  constructor() {
    this.context = null; // made with the first click, as browsers demand
    this.buffers = new Map(); // key -> AudioBuffer
    this.gains = new Map(); // key -> what it should be
    this.duration = 0;
    this.volume = 1;
    this.loop = null; // { start, end } in seconds
    this.rest = 0; // where it will begin to play
    this.run = null;
    this.changed = () => {}; // called when playing starts or ends
  }

  get playing() {
    return this.run !== null;
  }

  // Position of the cursor, in seconds.
  get position() {
    return this.run ? this.positionOf(this.run.sources.values().next().value) : this.rest;
  }

  // Position of one source: what the clock says since it was started.
  positionOf({ startedAt, offset }) {
    const at = offset + Math.max(this.context.currentTime - startedAt, 0);
    if (!this.run.loop) return Math.min(at, this.duration);
    const { start, end } = this.run.loop;
    return at < end ? at : start + ((at - start) % (end - start));
  }

  load(buffers, duration) {
    this.buffers = buffers;
    this.duration = duration;
    this.rest = Math.min(this.rest, duration);
  }

  // Stop and forget the sound, but not the position.
  unload() {
    this.pause();
    this.buffers = new Map();
  }

  play() {
    if (this.run || !this.buffers.size) return;
    this.context ??= new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
    this.context.resume();
    const loop = this.possibleLoop();
    if (loop && (this.rest < loop.start || this.rest >= loop.end)) this.rest = loop.start;
    if (!loop && this.rest >= this.duration - 0.02) this.rest = 0;
    this.run = this.newRun(this.context.currentTime + AHEAD_S, this.rest, loop);
    this.changed();
  }

  // The loop within the sound, which may be shorter than the song.
  possibleLoop() {
    if (!this.loop || this.loop.start >= this.duration) return null;
    return { start: this.loop.start, end: Math.min(this.loop.end, this.duration) };
  }

  newRun(startedAt, offset, loop) {
    const bus = this.context.createGain();
    bus.gain.setValueAtTime(0, startedAt);
    bus.gain.linearRampToValueAtTime(this.volume, startedAt + FADE_S);
    bus.connect(this.context.destination);
    const run = { bus, loop, sources: new Map() };
    for (const [key, buffer] of this.buffers) {
      const node = new AudioBufferSourceNode(this.context, { buffer });
      const gain = new GainNode(this.context, { gain: this.gains.get(key) ?? 0 });
      if (loop) Object.assign(node, { loop: true, loopStart: loop.start, loopEnd: loop.end });
      node.connect(gain).connect(bus);
      node.start(startedAt, offset);
      run.sources.set(key, { node, gain, startedAt, offset });
    }
    run.sources.values().next().value.node.onended = () => this.ended(run);
    return run;
  }

  pause() {
    if (!this.run) return;
    this.rest = this.position;
    this.stop();
    this.changed();
  }

  seek(seconds) {
    const again = this.playing;
    this.stop();
    this.rest = this.buffers.size ? clamp(seconds, 0, this.duration) : Math.max(seconds, 0);
    if (again) this.play();
    else this.changed();
  }

  setLoop(loop) {
    this.loop = loop;
    if (this.playing) this.seek(this.position);
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.run) this.glide(this.run.bus.gain, volume);
  }

  setGains(gains) {
    this.gains = gains;
    if (!this.run) return;
    for (const [key, { gain }] of this.run.sources) this.glide(gain.gain, gains.get(key) ?? 0);
  }

  glide(parameter, value) {
    const now = this.context.currentTime;
    parameter.cancelScheduledValues(now);
    parameter.setTargetAtTime(value, now, FADE_S / 3);
  }

  // End the run: fade out, then stop.
  stop() {
    if (!this.run) return;
    const { bus, sources } = this.run;
    this.run = null;
    this.glide(bus.gain, 0);
    const end = this.context.currentTime + 4 * FADE_S;
    for (const { node } of sources.values()) node.stop(end);
  }

  // The sound has come to its end.
  ended(run) {
    if (run !== this.run) return;
    this.stop();
    this.rest = 0;
    this.changed();
  }

  // Position of each track, for tests and for those who want to know.
  positions() {
    if (!this.run) return Object.fromEntries([...this.buffers.keys()].map((key) => [key, this.rest]));
    return Object.fromEntries(
      [...this.run.sources].map(([key, source]) => [key, this.positionOf(source)]),
    );
  }
}
