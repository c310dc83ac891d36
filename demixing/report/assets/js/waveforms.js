// Waveforms, drawn by wavesurfer.js from outlines that were computed before. It plays nothing.

// A half of an outline: bytes in base64, where 255 is the track's peak.
function halfOf(text, scale) {
  return Float32Array.from(bytesOf(text), (byte) => (byte / 255) * scale);
}

// The amplitude at full height, one for all tracks of a view. A few clicks may go beyond it.
const WITHIN = 0.995;

function fullHeight(tracks) {
  const highest = tracks.map((track) => {
    const sorted = halfOf(track.top, track.peak).sort();
    return sorted[Math.floor(WITHIN * (sorted.length - 1))];
  });
  return Math.max(...highest) * 1.05;
}

// What wavesurfer draws: amplitudes up to 1.
function outlineOf(track, height) {
  const scale = height ? track.peak / height : 0;
  return [track.top, track.bottom].map((half) => halfOf(half, scale).map((value) => Math.min(value, 1)));
}

function drawWaveform(lane, track, seconds, height) {
  const container = element("div");
  lane.append(container);
  return WaveSurfer.create({
    container,
    height: container.clientHeight,
    peaks: outlineOf(track, height),
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
  return { waveColor: `${colour}b0`, progressColor: colour };
}
