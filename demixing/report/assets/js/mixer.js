// Which tracks are audible: solo, mute, and how loud the error is.
//
// If any track is on solo, only those are audible; otherwise all that are not muted.

class Mixer {
  constructor(player) {
    this.player = player;
    this.tracks = [];
    this.solo = new Set();
    this.muted = new Set();
    this.blind = null; // key of the only audible track in a blind test
    this.boost = 1;
    this.changed = () => {};
  }

  // Other tracks: what is on solo stays so if it is there again.
  load(tracks, separated) {
    const keys = new Set(tracks.map((track) => track.key));
    this.tracks = tracks;
    this.solo = new Set([...this.solo].filter((key) => keys.has(key)));
    this.muted = new Set(tracks.filter((track) => !audibleAtFirst(track, separated)).map((track) => track.key));
    if (!separated && !this.solo.size) this.solo.add(tracks.find((track) => track.role === ROLES.estimate).key);
    this.update();
  }

  audible(key) {
    if (this.blind !== null) return key === this.blind;
    return this.solo.size ? this.solo.has(key) : !this.muted.has(key);
  }

  // Hear one track alone; again: no solo. With others, it joins those on solo.
  toggleSolo(key, withOthers = false) {
    const on = this.solo.has(key) && (withOthers || this.solo.size === 1);
    if (!withOthers) this.solo.clear();
    if (on) this.solo.delete(key);
    else this.solo.add(key);
    this.update();
  }

  setSolo(key) {
    this.solo = new Set(key === null ? [] : [key]);
    this.update();
  }

  toggleMute(key) {
    if (!this.muted.delete(key)) this.muted.add(key);
    this.update();
  }

  setBlind(key) {
    this.blind = key;
    this.update();
  }

  setBoost(db) {
    this.boost = 10 ** (db / 20);
    this.update();
  }

  update() {
    const gains = this.tracks.map((track) => {
      const loudness = track.role === ROLES.error ? this.boost : 1;
      return [track.key, this.audible(track.key) ? loudness : 0];
    });
    this.player.setGains(new Map(gains));
    this.changed();
  }
}

// Without solo, the estimate plays; of a separated song, all stems.
function audibleAtFirst(track, separated) {
  return track.role === ROLES.estimate && (separated || track.system === 0);
}
