// The page of a phone in the room: says the newest state that the server sends, and sends an answer to its vote.

const SILENT = 40e3 // ms without a word from the server, which speaks every 15 s, after which the connection counts as lost
const AGAIN = [1000, 2000, 4000, 8000, 15000] // ms until the next try
const OVER = 10 * 60e3 // ms without a room after which the lecture counts as over
const THOUSANDS = /^-?[1-9]\d{0,2}(,\d{3})+(\.\d+)?$/ // as the app writes them; another comma stands for a point
const REPEAT = 1500 // ms after which an answer that did not arrive is sent again

const $ = id => document.getElementById(id)
const code = location.pathname.split('/').pop().toUpperCase()
let state = null // the newest message
let source = null
let heard = 0
let tries = 0
let lostAt = 0
let later = null
let answer = null // { round, value, sent } of this phone

// ---- what is on the page

function put(id, words) {
  if ($(id).textContent !== words) $(id).textContent = words
}

function show(id, on) {
  $(id).hidden = !on
}

function render() {
  const { stop, stops, headline, sentence, address, vote, title } = state
  put('title', title || 'Lecture')
  put('where', stops ? `${stop + 1} of ${stops}` : '')
  put('headline', headline || title)
  put('sentence', sentence)
  show('open', address)
  if (address) $('open').href = inOwnHands(address)
  document.title = `${vote?.open ? 'Vote · ' : ''}${headline || title || 'Lecture'}`
  renderVote(vote)
  dispatchEvent(new CustomEvent('told', { detail: state }))
}

// What the projector shows, with everything that the lecturer has put away there.
function inOwnHands(address) {
  const [path, query] = address.split('?'), said = new URLSearchParams(query)
  said.delete('hide')
  said.set('room', state.code)
  return `../${path}?${said}`
}

function renderVote(vote) {
  show('vote', vote)
  if (!vote) return
  if (answer?.round !== vote.round) answer = remembered(vote.round)
  $('vote').classList.toggle('closed', !vote.open)
  put('kind', !vote.open ? 'The vote is closed' : vote.again ? 'Once more: your answer, please' : 'Your answer, please')
  put('question', vote.text)
  drawChoices(vote)
  show('choices', vote.choices.length)
  show('number', !vote.choices.length && vote.open)
  put('unit', vote.unit)
  if (!vote.choices.length && $('number').dataset.round !== String(vote.round)) {
    $('number').dataset.round = vote.round
    $('value').value = answer ? String(answer.value) : ''
  }
  say(vote)
}

// The buttons stay the same ones while their question does: what has the focus keeps it.
function drawChoices(vote) {
  const drawn = JSON.stringify([vote.text, vote.choices])
  if ($('choices').dataset.drawn !== drawn) {
    $('choices').dataset.drawn = drawn
    $('choices').replaceChildren(...vote.choices.map(choice => {
      const button = Object.assign(document.createElement('button'), { type: 'button', textContent: choice, onclick: () => choose(choice) })
      button.setAttribute('role', 'radio')
      return button
    }))
  }
  for (const button of $('choices').children) {
    const chosen = button.textContent === answer?.value
    button.setAttribute('aria-checked', chosen)
    button.setAttribute('aria-disabled', !vote.open)
    button.tabIndex = chosen || (!answer && button === $('choices').firstChild) ? 0 : -1
  }
}

function say(vote) {
  const mine = answer && !vote.choices.length ? `: ${[answer.value, vote.unit].filter(Boolean).join(' ')}` : ''
  if (!vote.open) put('said', answer?.sent ? `Your answer is counted${mine}. The result is on the screen.` : 'The result is on the screen.')
  else if (!answer) put('said', '')
  else put('said', answer.sent ? `Your answer counts${mine}. You can change it until the vote is closed.` : 'Sending')
}

// ---- answers

function choose(value) {
  if (!state.vote?.open || (answer?.value === value && answer.sent)) return
  answer = { round: state.vote.round, value, sent: false }
  renderVote(state.vote)
  send()
}

// Arrows move among the choices, as in every group of radio buttons; what is chosen is chosen by Space, Enter or a touch.
function move(event) {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key], all = [...$('choices').children]
  if (!step) return
  event.preventDefault()
  all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus()
}

function submit(event) {
  event.preventDefault()
  const words = $('value').value.replace(/\s/g, '').replace('−', '-'), value = Number(THOUSANDS.test(words) ? words.replaceAll(',', '') : words.replace(',', '.'))
  if (words && Number.isFinite(value)) choose(value)
  else put('said', 'Please give a number, such as 12.5.')
}

async function send() {
  const mine = answer
  clearTimeout(send.later)
  try {
    const reply = await fetch(`${code}/vote`, { method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ round: mine.round, value: mine.value }) })
    if (mine !== answer) return // another one was chosen meanwhile
    if (reply.ok) {
      mine.sent = true
      remember(mine)
      if (state.vote?.round === mine.round) say(state.vote)
      return
    }
    if (reply.status < 500 && reply.status !== 429) {
      answer = remembered(mine.round)
      if (state.vote) renderVote(state.vote)
      put('said', (await reply.json().catch(() => ({}))).error || 'The server did not take this answer.')
      return
    }
  } catch {}
  if (mine !== answer) return
  put('said', 'Your answer has not arrived yet. It is sent again.')
  send.later = setTimeout(() => { if (mine === answer && state.vote?.round === mine.round && state.vote.open) send() }, REPEAT)
}

function remember(mine) {
  try {
    sessionStorage.setItem(`gptoss-answer-${code}`, JSON.stringify(mine))
  } catch {}
}

function remembered(round) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(`gptoss-answer-${code}`))
    return kept?.round === round ? kept : null
  } catch {
    return null
  }
}

// ---- the connection

function connect() {
  clearTimeout(later)
  source?.close()
  heard = Date.now()
  source = new EventSource(`${code}/events`)
  source.onmessage = event => receive(JSON.parse(event.data))
  source.onerror = lost
}

function receive(message) {
  heard = Date.now()
  tries = lostAt = 0
  if (message.over) return over()
  put('link', '')
  if (state && message.version < state.version) return
  state = message
  render()
}

// Many phones lose a server at once, so that they do not all come back at once.
function lost() {
  const refused = source?.readyState === EventSource.CLOSED
  source?.close()
  clearTimeout(later)
  lostAt ||= Date.now()
  put('link', 'No connection to the lecture. Trying again.')
  later = setTimeout(refused ? look : connect, AGAIN[Math.min(tries++, AGAIN.length - 1)] * (0.5 + Math.random()))
}

// The server answers, but not with the room: it was started anew and the lecturer's window opens the room again, or it is over.
async function look() {
  let status = 0
  try {
    status = (await fetch(`${code}/now`)).status
  } catch {}
  if (status === 410 || (status === 404 && Date.now() - lostAt > OVER)) over()
  else if (status === 0 || status === 200) connect()
  else later = setTimeout(look, AGAIN[Math.min(tries++, AGAIN.length - 1)] * (0.5 + Math.random()))
}

function over() {
  source?.close()
  clearTimeout(later)
  source = state = null
  dispatchEvent(new CustomEvent('told', { detail: null }))
  document.title = 'The lecture is over'
  for (const id of ['vote', 'open']) show(id, false)
  for (const id of ['link', 'where']) put(id, '')
  put('headline', 'The lecture is over')
  put('sentence', 'Thank you for coming. Every page of it stays open to you.')
  $('open').href = '../'
  put('open', 'Go on by myself')
  show('open', true)
}

function awake() {
  if (document.visibilityState === 'visible' && source && (lostAt || Date.now() - heard > SILENT)) connect()
}

put('code', code)
$('choices').addEventListener('keydown', move)
$('number').addEventListener('submit', submit)
document.addEventListener('visibilitychange', awake)
addEventListener('pageshow', event => { if (event.persisted && source) connect() })
addEventListener('online', awake)
setInterval(() => lostAt || awake(), SILENT / 4)
connect()
