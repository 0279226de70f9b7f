// Entries of the browser's history that are worth going back to. Streamlit makes one for every message about the address:
// for the bare addresses that it passes through on its way to a page, and for each part of what one move has changed.
if (!window.gptossHistory) {
  const BURST = 1000 // ms within which changes on one page are one entry, and a page is on its way
  const push = history.pushState.bind(history)
  const replace = history.replaceState.bind(history)
  const isWhole = url => url.searchParams.has('preset') // as every address is in the end
  const app = document.querySelector('.stApp')
  let changed = -Infinity, left = -Infinity // when the last entry of a page was made, and when a page was left
  const isRunning = () => app.dataset.testScriptState === 'running'
  let opening = isRunning() // whether the run goes on that draws a page for the first time
  window.gptossHistory = true
  new MutationObserver(() => { opening &&= isRunning() })
    .observe(app, { attributeFilter: ['data-test-script-state'] })
  history.pushState = (state, unused, to) => {
    const here = new URL(location.href), there = new URL(to, here), now = performance.now()
    const samePage = there.pathname === here.pathname
    const onItsWay = !isWhole(here) || now - left < BURST || opening && samePage && isWhole(there)
    const burst = samePage && isWhole(there) && now - changed < BURST
    ;(onItsWay || burst ? replace : push)(state, unused, to)
    changed = onItsWay || !isWhole(there) ? -Infinity : now
    if (!samePage) [left, opening] = [-Infinity, true]
    else if (!isWhole(there)) left = now
  }
}
