// Keys. They do nothing while text is typed or a list is open, or with Ctrl, Alt or Meta.

const SHIFTED = { Digit1: 1, Digit2: 2, Digit3: 3, Digit4: 4, Digit5: 5, Digit6: 6, Digit7: 7, Digit8: 8, Digit9: 9 };

function takesKeys(target, key) {
  if (target.closest("dialog[open]")) return true;
  if (target.matches("select, textarea, input:not([type=range]):not([type=radio])")) return true;
  if (target.matches("input")) return key.startsWith("Arrow") || key === "Home" || key === "End";
  // A button that was reached by keyboard is pressed with space; one that was clicked is not.
  const pressed = key === " " && target.matches("button, summary, a") && target.matches(":focus-visible");
  return pressed;
}

function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || takesKeys(event.target, event.key)) return;
    const digit = SHIFTED[event.code];
    const action = digit
      ? () => actions.track(digit - 1, event.shiftKey)
      : actions.keys[event.key] ?? actions.keys[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}
