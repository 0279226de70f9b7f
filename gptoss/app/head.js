// The head of a page: shows what Python wrote, sends what is pressed, and puts the whole page into projector mode.

const SCHEME = '(prefers-color-scheme: dark)'

export default function ({data, parentElement, setTriggerValue}) {
  const head = parentElement.querySelector('header')
  // Pixels are computed on the server: when the reader changes the theme, it has to hear of it.
  const theme = getComputedStyle(head).colorScheme
  if (head.theme && head.theme !== theme) setTriggerValue('theme', theme)
  head.theme = theme
  if (head.written !== data.html) head.innerHTML = head.written = data.html
  show(head)
  head.onclick = event => {
    const pressed = event.target.closest('[data-message]')
    if (pressed) setTriggerValue('pressed', pressed.dataset.message)
    if (event.target.closest('.head-fold')) fold(head)
  }
  hearOfWords(word => setTriggerValue('word', word), data.live)
  document.documentElement.classList.toggle('stage', data.scheme !== '')
  document.documentElement.classList.toggle('drawn-dark', data.dark) // for paper
  paint(data.scheme)
}

// The page's opening is there until a reader folds it; then it stays folded in this browser, on all pages.
const FOLDED = 'gptoss-opening-folded'

let away = false // where the browser keeps nothing

function folded() {
  try { return localStorage.getItem(FOLDED) === '1' } catch { return away }
}

function fold(head) {
  away = !folded()
  try { localStorage.setItem(FOLDED, away ? '1' : '0') } catch { /* then it stays so as long as the page does */ }
  document.cookie = `${FOLDED}=1; path=/; samesite=lax; max-age=${away ? 31536000 : 0}` // for the room that is kept
  show(head)
}

function show(head) {
  document.documentElement.classList.toggle('folded', folded())
  head.querySelector('.head-fold')?.setAttribute('aria-expanded', String(!folded()))
}

// Have Streamlit take the theme that projector mode asks for in place of the system's, or the system's again. It looks at the
// system's whenever that changes and after printing, so that is what it is told; a theme chosen in its menu stays.
function paint(scheme) {
  if ((window.gptossScheme ?? '') === scheme) return
  window.gptossScheme = scheme
  const system = (window.gptossSystem ??= window.matchMedia)
  window.matchMedia = scheme === '' ? system : query => {
    const found = system.call(window, query)
    if (query !== SCHEME) return found
    return new Proxy(found, {get: (real, name) => {
      if (name === 'matches') return scheme === 'dark'
      const value = real[name]
      return typeof value === 'function' ? value.bind(real) : value
    }})
  }
  window.dispatchEvent(new Event('afterprint'))
}
