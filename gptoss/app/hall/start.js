// Opens a room for a running order, and goes to its first stop. The server gives the room's key as a cookie.
// Behind `reopen.js`, in one script: what the browser remembers of a room.

export default function ({ data, parentElement }) {
  const home = parentElement.querySelector('.lecture-start') ?? parentElement.appendChild(document.createElement('div'))
  home.className = 'lecture-start'
  home.replaceChildren(made('button', 'Start the lecture', () => start(home, data)))
}

function made(tag, words, does) {
  const one = document.createElement(tag)
  one.textContent = words
  if (does) Object.assign(one, { type: 'button', onclick: does })
  return one
}

async function start(home, data) {
  const begin = home.querySelector('button')
  begin.disabled = true
  let refused = 'This server serves no rooms, so phones cannot follow. Keys and beats work all the same.'
  try {
    const answer = await fetch(new URL('./room/open', location.href), {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ order: data.order }) })
    const said = await answer.json()
    if (answer.ok && said.code) {
      keep(said.code, { order: data.order, place: [0, 0] })
      return go(data, said.code)
    }
    refused = said.error || refused
  } catch {}
  begin.disabled = false
  const sentence = made('p', refused)
  sentence.setAttribute('role', 'alert')
  home.replaceChildren(begin, sentence, made('button', 'Lead without a room', () => {
    if (data.name === 'own') keep('own', { order: data.order })
    go(data, data.name)
  }))
}

function go(data, lead) {
  const there = new URL(`./${data.to}`, location.href)
  there.searchParams.set('lead', lead)
  location.assign(there)
}
