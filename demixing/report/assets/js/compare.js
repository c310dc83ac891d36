// A and B: two tracks to switch between, and a blind test of them.
//
// In a blind test, X and Y are the two in random order, drawn again for each vote. Nothing on the
// page shows which one plays until the result is revealed.

class Compare {
  constructor(mixer) {
    this.mixer = mixer;
    this.test = null; // { pair, swapped, playing, votes: [] }
    this.changed = () => {};
    byId("first").addEventListener("change", () => this.changed());
    byId("second").addEventListener("change", () => this.changed());
    byId("to-first").addEventListener("click", () => this.hear(0));
    byId("to-second").addEventListener("click", () => this.hear(1));
    byId("hear-x").addEventListener("click", () => this.hear(0));
    byId("hear-y").addEventListener("click", () => this.hear(1));
    byId("blind-start").addEventListener("click", () => this.begin());
    byId("vote-x").addEventListener("click", () => this.vote(0));
    byId("vote-y").addEventListener("click", () => this.vote(1));
    byId("vote-none").addEventListener("click", () => this.vote(null));
    byId("reveal").addEventListener("click", () => this.reveal());
  }

  // Another view: the same tracks if they are there, otherwise those that are usually compared.
  load(tracks, separated) {
    const keys = tracks.map((track) => track.key);
    const estimates = tracks.filter((track) => track.role === ROLES.estimate).map((track) => track.key);
    const usual = separated ? ["mixture", estimates[0]] : estimates.length > 1 ? estimates : ["reference", estimates[0]];
    ["first", "second"].forEach((id, place) => {
      const before = byId(id).value;
      fillSelect(byId(id), tracks.map((track) => [track.key, track.name]));
      byId(id).value = keys.includes(before) ? before : usual[place];
    });
    byId("blind-start").hidden = separated;
    this.tracks = tracks;
    if (this.test && !this.test.pair.every((key) => keys.includes(key))) this.end();
    if (this.test) this.draw();
  }

  // Keys of the tracks on A and B.
  get pair() {
    return [byId("first").value, byId("second").value];
  }

  nameOf(key) {
    return this.tracks.find((track) => track.key === key).name;
  }

  // Hear A or B alone, or X or Y.
  hear(place) {
    if (!this.test) {
      this.mixer.setSolo(this.pair[place]);
      return;
    }
    this.test.playing = place;
    this.mixer.setBlind(this.keyAt(place));
    this.refresh();
  }

  // The track behind X (0) or Y (1).
  keyAt(place) {
    return this.test.pair[this.test.swapped ? 1 - place : place];
  }

  get seeksReference() {
    return this.test.pair.includes("reference");
  }

  begin() {
    const pair = this.pair;
    if (pair[0] === pair[1]) {
      this.say("Choose two different tracks for A and B.");
      return;
    }
    this.test = { pair, votes: [] };
    byId("verdict").hidden = true;
    this.draw();
    byId("hear-x").focus();
  }

  // Draw the next trial.
  draw() {
    this.test.swapped = crypto.getRandomValues(new Uint8Array(1))[0] % 2 === 1;
    this.hear(0);
  }

  vote(place) {
    if (place !== null) this.test.votes.push(this.keyAt(place));
    this.draw();
    announce(`Vote ${this.test.votes.length} counted`);
  }

  reveal() {
    const { pair, votes } = this.test;
    const counts = pair.map((key) => votes.filter((vote) => vote === key).length);
    const n = votes.length;
    const [k, p] = this.seeksReference
      ? [counts[pair.indexOf("reference")], oneSided(counts[pair.indexOf("reference")], n)]
      : [counts[0], twoSided(counts[0], n)];
    const text = this.seeksReference
      ? `The reference was recognised in ${k} of ${n} votes.`
      : `${this.nameOf(pair[0])}: ${counts[0]} of ${n} votes, ${this.nameOf(pair[1])}: ${counts[1]}.`;
    this.end();
    this.say(n ? `${text} By chance alone, this or more happens with p = ${p.toPrecision(2)}.` : "No votes, no result.");
  }

  say(text) {
    byId("verdict").textContent = text;
    byId("verdict").hidden = false;
  }

  end() {
    this.test = null;
    this.mixer.setBlind(null);
    this.refresh();
    byId("blind-start").focus();
  }

  refresh() {
    const blind = this.test !== null;
    document.body.classList.toggle("blinded", blind);
    byId("blind").hidden = !blind;
    byId("compare").hidden = blind;
    for (const head of document.querySelectorAll("#tracks .head, #worst, #scores")) head.inert = blind;
    if (blind) {
      const asked = this.seeksReference ? "Which one is the reference?" : "Which one is better?";
      byId("question").textContent = `Vote ${this.test.votes.length + 1}. ${asked} Order is random each time.`;
      press(byId("hear-x"), this.test.playing === 0);
      press(byId("hear-y"), this.test.playing === 1);
      return;
    }
    const alone = this.mixer.solo.size === 1 ? [...this.mixer.solo][0] : null;
    press(byId("to-first"), alone === byId("first").value);
    press(byId("to-second"), alone === byId("second").value);
  }
}
