// The keys of the app, and its links from page to page. One listener for the whole document, however often Streamlit
// mounts the component: `now` is the one that is mounted.

const PATIENCE = 3000 // ms to wait for the answer to a key before the next one counts
const START = 400 // ms in which an answer begins
const MOST = 4 // keys that wait
// What has the focus and needs its keys. Closed lists leave page up and page down to us, and so do sliders.
const OWN_KEYS = `textarea, select, input:not([type=range], [type=checkbox], [type=radio]), [contenteditable=true],
  [data-testid=stDataFrame], [role=dialog], [role=grid], [role=listbox], [role=menu], [role=combobox], [role=textbox],
  [role=spinbutton]`
const CLOSED = 'select, [role=combobox][aria-expanded=false]' // the browser keeps the keys of its own open lists
const PAGING = ['PageDown', 'PageUp']

const app = (window.gptossKeys ??= { now: null, waiting: 0, last: Promise.resolve(), listens: false, queue, button })

export default function (component) {
  const mine = (app.now = { data: component.data, send: message => component.setTriggerValue('act', message) })
  remember(component.data.here)
  if (!app.listens) {
    app.listens = true
    window.addEventListener('keydown', press, true)
    document.addEventListener('click', click)
    for (const kind of ['pointerover', 'focusin', 'contextmenu']) document.addEventListener(kind, complete, true)
  }
  return () => { if (app.now === mine) app.now = null }
}

function press(event) {
  const letter = event.key.length === 1
  const name = (event.altKey ? 'Alt+' : '') + (letter ? event.key.toLowerCase() : event.key)
  const other = event.ctrlKey || event.metaKey || event.isComposing || (event.shiftKey && !letter)
  if (!app.now || other || isTheirs(event)) return
  const does = window.gptossLecture?.pressed({ name, event }) ?? app.now.data.does[name] // who leads a lecture has more keys
  if (does === undefined) return
  event.preventDefault()
  event.stopImmediatePropagation()
  if (does && !event.repeat) queue({ does })
}

function isTheirs(event) {
  if (document.querySelector('[role=dialog]')) return true
  const elements = event.composedPath().filter(each => each instanceof Element)
  if (PAGING.includes(event.key) && elements[0]?.matches(CLOSED)) return false
  return elements.some(each => each.matches(OWN_KEYS))
}

function click(event) {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
  const button = find(event, 'button[data-does]')
  const link = find(event, 'a.way')
  if (!app.now || !(button || link)) return
  event.preventDefault()
  queue(button ? { does: button.dataset.does } : { does: 'go', to: target(link).pathname.split('/').pop(), with: link.dataset.with ?? '' })
}

// A link that is opened in another tab, or copied, takes along what the address says of the model by then.
function complete(event) {
  const link = find(event, 'a.way')
  if (!app.now || !link) return
  const url = target(link)
  const kept = [...new URLSearchParams(location.search)].filter(([key]) => app.now.data.keep.includes(key))
  const own = [...new URLSearchParams(link.dataset.with ?? '')]
  const href = `./${url.pathname.split('/').pop()}?${new URLSearchParams({ ...Object.fromEntries(kept), ...Object.fromEntries(own) })}`
  if (link.getAttribute('href') !== href) link.setAttribute('href', href)
}

// Where this browser is on the way through the pages: Start leads back to it. Some browsers keep nothing.
function remember(page) {
  try {
    if (page && window.top === window) localStorage.setItem('gptoss-last-page', page)
  } catch {}
}

function find(event, selector) {
  return event.composedPath().find(each => each instanceof Element && each.matches(selector))
}

function target(link) {
  return new URL(link.getAttribute('href'), location.href)
}

// One after the other: a second press counts from what the first one led to.
function queue(message) {
  if (app.waiting >= MOST) return
  app.waiting += 1
  app.last = app.last.then(() => act(message)).then(answered).finally(() => { app.waiting -= 1 })
}

function act(message) {
  const pressed = button(message.does)
  if (pressed) pressed.click()
  else app.now?.send(message)
}

// The page's own button for something, where there is one that can be pressed.
function button(does) {
  const found = document.querySelector(`:is(.st-key-steps_${does} button, .${does}-button):not(:disabled)`)
  return found?.checkVisibility() ? found : null
}

function answered() {
  const start = performance.now()
  let seen = false
  return new Promise(done => {
    const look = () => {
      const running = document.querySelector('[data-test-script-state=running]') !== null
      const time = performance.now() - start
      seen ||= running
      if ((seen && !running) || time > (seen ? PATIENCE : START)) done()
      else setTimeout(look, 20)
    }
    look()
  })
}
