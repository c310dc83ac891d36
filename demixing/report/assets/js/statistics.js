// How likely chance alone is, for a blind test of n votes with two answers.

// Probability of at least k of n, if both answers are equally likely.
function atLeast(k, n) {
  let term = 0.5 ** n; // of 0 of n
  let sum = 0;
  for (let i = 0; i <= n; i++) {
    if (i >= k) sum += term;
    term *= (n - i) / (i + 1);
  }
  return Math.min(sum, 1);
}

// One answer is right: how likely as many right ones, or more, are by guessing.
function oneSided(k, n) {
  return n ? atLeast(k, n) : 1;
}

// No answer is right: how likely a majority like this, for either, is.
function twoSided(k, n) {
  return n ? Math.min(2 * atLeast(Math.max(k, n - k), n), 1) : 1;
}
