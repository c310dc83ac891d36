// Sound and pictures of one stem of a song: a "part". It is in the page, or in a file beside it.
//
// A page from disk may not read other files, but it may load them as scripts. Such a file calls
// listening.add, which gives the part to the promise that waits for it.

// The mark of scripts that this page allows; see the policy in its head.
const nonce = document.currentScript.nonce;

const waiting = new Map(); // name -> { resolve, reject }
const loaded = new Map(); // name -> promise of { track: { sound, picture } }

window.listening = {
  add(key, name, part) {
    const job = waiting.get(name);
    waiting.delete(name);
    if (!job) return;
    if (key === data.key) job.resolve(part);
    else job.reject(new Error(`The files in ${data.folder} belong to another page. Make the report again.`));
  },
};

function loadPart(name) {
  if (!loaded.has(name)) loaded.set(name, data.folder ? beside(name) : inside(name));
  return loaded.get(name);
}

// So that a page with many songs does not keep all of their sound.
function releasePart(name) {
  loaded.delete(name);
}

async function inside(name) {
  return JSON.parse(byId(`part-${name}`).textContent);
}

function beside(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.nonce = nonce;
    script.src = `${encodeURIComponent(data.folder)}/${name}.js`;
    script.onload = () => script.remove();
    script.onerror = () => {
      script.remove();
      releasePart(name);
      reject(new Error(`The file ${name}.js is missing. Keep the folder ${data.folder} beside this page.`));
    };
    waiting.set(name, { resolve, reject });
    document.head.append(script);
  });
}

function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// Decode an Ogg file; does not need a click first, unlike a context that plays.
async function decode(text) {
  const decoder = new OfflineAudioContext(1, 1, RATE_HZ);
  try {
    return await decoder.decodeAudioData(bytesOf(text).buffer);
  } catch {
    throw new Error(
      "This browser cannot decode the sound (Opus in Ogg). Safari can since version 18.4; Chrome, Edge and Firefox can.",
    );
  }
}
