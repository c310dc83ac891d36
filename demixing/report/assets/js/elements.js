// Short ways to make and find elements. Text is always set as text, never as HTML.

function byId(id) {
  return document.getElementById(id);
}

// element("button", { class: "switch", "aria-pressed": "false" }, "S", child)
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// The same for the elements of a drawing.
function drawn(name, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function press(button, pressed) {
  button.setAttribute("aria-pressed", String(pressed));
}

// Said by screen readers.
function announce(text) {
  byId("status").textContent = text;
}

function complain(text) {
  byId("fault").textContent = text;
  byId("fault").hidden = !text;
}

function fillSelect(select, options) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
}
