// Words of the glossary. A link to `#word-…` opens the word's entry of the drawer (drawer.py) as a card beside the link. The
// number in it is asked for when somebody looks: nobody pays for it at other moves.

const words = (window.gptossWords ??= {listens: false, live: {}, ask: () => {}})

// Once for every drawing of the head: `ask` sends for the numbers, `live` has come with it, by id.
function hearOfWords(ask, live) {
  Object.assign(words, {ask, live})
  if (!words.listens) {
    words.listens = true
    document.addEventListener('click', openWord)
    document.addEventListener('toggle', openDrawer, true) // it does not bubble
  }
  for (const entry of document.querySelectorAll('.words[open] [id], .word-card:popover-open')) fill(entry)
}

function openWord(event) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
  const link = event.composedPath().find(each => each instanceof Element && each.matches('a[href^="#word"]'))
  if (link?.getAttribute('href') === '#words') return openAll(event)
  const entry = link && document.getElementById(link.getAttribute('href').slice(1))
  const card = document.querySelector('.word-card')
  if (!entry || !card?.showPopover) return // the browser follows the link to the drawer
  event.preventDefault()
  card.innerHTML = `<dl>${entry.innerHTML}</dl>`
  card.dataset.word = entry.id
  card.showPopover()
  place(card, link.getClientRects()[0])
  card.focus({preventScroll: true})
  fill(card)
  if (!words.live[entry.id]) words.ask(entry.id)
}

function openAll(event) {
  const drawer = document.querySelector('details.words')
  if (!drawer) return
  event.preventDefault()
  document.querySelector('#head-help:popover-open')?.hidePopover()
  drawer.open = true
  drawer.querySelector('summary').focus({preventScroll: true})
  drawer.scrollIntoView()
}

// Below the link where there is room, else above it; narrow screens have it at their lower edge (style.css).
function place(card, link) {
  const below = link.bottom + 6
  const top = below + card.offsetHeight <= innerHeight ? below : Math.max(8, link.top - 6 - card.offsetHeight)
  card.style.setProperty('--top', `${top}px`)
  card.style.setProperty('--left', `${Math.max(8, Math.min(link.left, innerWidth - card.offsetWidth - 8))}px`)
}

function openDrawer(event) {
  if (event.target.matches?.('details.words')) words.ask(event.target.open ? 'all' : '')
}

function fill(entry) {
  const sentence = words.live[entry.dataset.word ?? entry.id]
  if (sentence) entry.querySelector('.word-live').textContent = sentence
}
