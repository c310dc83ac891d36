// Spectrograms, as PNG images that were computed before.

const SHOWN_HZ = [100, 1000, 10000];

function pictureRow(track, song, view, picture) {
  const name = `Spectrogram of ${track.name}, ${view.name} of ${song.name}: ${track.description}`;
  const image = element("img", { alt: name, src: `data:image/png;base64,${picture}`, draggable: "false" });
  const lane = element("div", { class: "lane" }, image, ...frequencyLabels(song));
  const head = element("div", { class: "head" }, element("span", { class: "name" }, track.name));
  head.append(element("span", { class: "quiet" }, track.description));
  return element("div", { class: `row picture track-picture ${colours(track, song)}` }, head, lane);
}

function frequencyLabels(song) {
  const highest = Math.min(data.highestHz, song.rate / 2);
  const height = (hz) => 100 - (100 * Math.log(hz / data.lowestHz)) / Math.log(highest / data.lowestHz);
  return SHOWN_HZ.filter((hz) => hz < highest).map((hz) =>
    scaleLabel(hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`, height(hz)),
  );
}
