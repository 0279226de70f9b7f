// The lecturer's own running order between this browser and the session. What the session has changed (`mark` is another
// then) is kept here; what another window has added goes there.
const KEPT = 'gptoss-order'
const own = (window.gptossOwnOrder ??= { mark: '', sent: null })

export default function ({ data, setTriggerValue }) {
  if (data.mark && data.mark !== own.mark) {
    own.mark = data.mark
    write(data.text)
  } else look()
  window.addEventListener('storage', heard)
  return () => window.removeEventListener('storage', heard)

  function heard(event) {
    if (event.key === KEPT) look()
  }

  function look() {
    const text = read()
    if (text === data.text) own.sent = null
    else if (text !== null && text !== own.sent) setTriggerValue('text', (own.sent = text))
  }
}

function read() {
  try {
    return localStorage.getItem(KEPT) ?? ''
  } catch {
    return null // some browsers keep nothing
  }
}

function write(text) {
  try {
    localStorage.setItem(KEPT, text)
  } catch {}
}
