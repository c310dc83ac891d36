// Waveforms, drawn by wavesurfer.js from outlines that were computed before. It plays nothing.

// A half of an outline: bytes in base64, where 255 is the track's peak.
function halfOf(text, scale) {
  return Float32Array.from(bytesOf(text), (byte) => (byte / 255) * scale);
}

// highest: the peak of all tracks of the view, so that they have one scale.
function drawWaveform(lane, track, seconds, highest) {
  const container = element("div");
  lane.append(container);
  const scale = highest ? track.peak / highest : 0;
  return WaveSurfer.create({
    container,
    height: "auto",
    peaks: [halfOf(track.top, scale), halfOf(track.bottom, scale)],
    duration: seconds,
    interact: false,
    cursorWidth: 0,
    hideScrollbar: true,
    cspNonce: nonce,
    ...waveColours(lane),
  });
}

function waveColours(lane) {
  const colour = getComputedStyle(lane).getPropertyValue("--colour").trim();
  return { waveColor: `${colour}a6`, progressColor: colour };
}
