// Runs in the page before its own scripts. Notes when the main area last changed on the screen after a key press.
// A change is: a mutation of the DOM, a picture that arrived, or a drawing call on a canvas (which is no mutation).
// With `watching`, also when the first sign of work was to be seen; looking for it costs the page some time.
// Times are of the frame after the change, in milliseconds since the key press.
(() => {
  const nothing = { last: 0, ran: 0, finished: 0, sign: 0, changes: 0, newCharts: 0 };
  const now = { pressed: 0, framed: true, watching: false, ...nothing };
  window.repaint = now;

  const note = () => {
    now.changes += 1;
    if (!now.framed) return;
    now.framed = false;
    requestAnimationFrame(() => setTimeout(() => {
      now.framed = true;
      now.last = performance.now() - now.pressed;
    }, 0));
  };

  for (const name of ["clearRect", "fillRect", "fillText", "stroke", "fill", "drawImage", "putImageData"]) {
    const original = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function (...given) {
      note();
      return original.apply(this, given);
    };
  }

  const element = (node) => (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement);
  const inMain = (node) => {
    const here = element(node);
    return Boolean(here?.closest('[data-testid="stMain"]') && !here.closest('[data-testid="stHeader"]'));
  };
  // Streamlit marks what is stale at once and fades it later, so a mark alone is no sign: it has to be seen.
  const signs = '[data-testid="stStatusWidget"], [data-testid="stSpinner"]';
  const showsBar = () => {
    const bar = getComputedStyle(document.querySelector(".stApp"), "::before");
    return bar.content === '""' && bar.opacity > 0.9;
  };
  const showsWork = () => document.querySelector(signs) !== null || showsBar()
    || [...document.querySelectorAll('[data-stale="true"]')].some((stale) => getComputedStyle(stale).opacity < 0.9);
  const watch = () => {
    if (showsWork()) now.sign = performance.now() - now.pressed;
    else if (!now.finished) setTimeout(watch, 50);
  };

  const noteRun = (state) => {
    if (state === "running") now.ran ||= performance.now() - now.pressed;
    else now.finished = performance.now() - now.pressed;
  };

  const look = (mutations) => {
    for (const { target, addedNodes, attributeName } of mutations) {
      if (attributeName === "data-test-script-state") noteRun(target.dataset.testScriptState);
      if (!inMain(target)) continue;
      note();
      for (const added of addedNodes) {
        if (added.matches?.("svg.marks, canvas.marks") || added.querySelector?.("svg.marks, canvas.marks")) now.newCharts += 1;
      }
    }
  };
  const everything = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(look).observe(document, everything);
  document.addEventListener("load", (event) => inMain(event.target) && note(), true);
  document.addEventListener("keydown", (event) => {
    Object.assign(now, nothing, { pressed: event.timeStamp });
    if (now.watching) setTimeout(watch, 50);
  }, true);

  // Resolves to what was noted, once a script ran (or none came), none runs and nothing has changed for `quiet` ms.
  window.settled = (quiet, timeout) => new Promise((resolve) => {
    const check = () => {
      const state = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;
      const since = performance.now() - now.pressed;
      const still = now.framed && since - Math.max(now.last, now.finished) > quiet;
      if (since > timeout) resolve({ ...now, timedOut: true });
      else if (state === "notRunning" && still && (now.ran || since > 5 * quiet)) resolve({ ...now, timedOut: false });
      else setTimeout(check, 25);
    };
    check();
  });
})();
