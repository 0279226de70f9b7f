// The presenter's window: follows the room, draws its newest state, and sends what the lecturer presses. The clock ticks
// here between two messages. After a restart of the server the room is opened again.

import { $, draw, element, fill, put, show, tick } from './presenter_view.js'
import { codes, forget, keep, keepClock, kept, reopen } from './reopen.js'

const BASE = new URL('..', import.meta.url)
const WIDE = matchMedia('(min-width: 1101px)')
const TICK = 250 // ms
const SILENT = 40e3 // ms without a word from the server after which the connection counts as lost
const AGAIN = [500, 1000, 2000, 4000] // ms until the next try
const DIGITS = 2000 // ms in which a number is typed
const SAID = 4000 // ms for which a sentence stays
const SCROLL = 120 // px
const SIZES = [1, 1.15, 1.3, 1.5, 1.75, 2, 2.4, 2.8] // rem of the notes
const NOT_YOURS = 'Only the browser in which the lecture was started can lead it, and the room must not be over.'
const NO_STOP = 'Mend it on the page of running orders, then start the lecture again.'

const code = (new URLSearchParams(location.search).get('room') ?? '').trim().toUpperCase()
let state = null // the newest message
let heard = 0 // when it came, as performance.now() tells
let tries = 0
let source = null
let digits = ''

// ---- what is sent

async function send(act, more = {}) {
  try {
    const answer = await fetch(new URL(`room/${code}/act`, BASE), {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ act, ...more }) })
    const said = answer.ok ? {} : await answer.json().catch(() => ({}))
    if (!answer.ok) say(said.error || 'The server did not take that.')
  } catch {
    say('The server cannot be reached: nothing has changed in the room.')
  }
}

const go = (stop, beat) => send('go', { stop, beat })
const leaveOut = stops => send('leave_out', { stops })
const does = { send, go, leaveOut }

function say(words) {
  put('said', words)
  clearTimeout(say.later)
  say.later = setTimeout(() => put('said', ''), SAID)
}

const ACTS = {
  forward: () => send('forward'), back: () => send('back'), ship: () => send('ship'),
  freeze: () => send('freeze', { on: !state.frozen }), black: () => send('black', { on: !state.black }),
  start: () => send('clock', { on: !state.clock.runs }), reset: () => send('reset'),
  'leave-out': () => leaveOut([...new Set([...state.left_out, ...state.plan.skip])]),
  smaller: () => resize(-1), larger: () => resize(1),
  'ask-join': join, 'ask-keys': () => $('keys').showModal(), 'ask-end': () => $('end').showModal(),
}
const KEYS = {
  PageDown: 'forward', ' ': 'forward', ArrowRight: 'forward', PageUp: 'back', ArrowLeft: 'back', f: 'freeze', b: 'black',
  '.': 'black', r: 'ask-join', s: 'ship', c: 'start', '+': 'larger', '=': 'larger', '-': 'smaller', '?': 'ask-keys',
}
const SCROLLS = { ArrowUp: -SCROLL, ArrowDown: SCROLL }

function press(event) {
  const other = event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')
  if (other || !state || (event.key === ' ' && event.target.matches('button, a, summary'))) return
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]
  if (/^\d$/.test(event.key) || (event.key === 'Enter' && digits)) type(event.key)
  else if (event.key in SCROLLS) $('notes').scrollBy(0, SCROLLS[event.key])
  else if (!act) return
  else if (!event.repeat) ACTS[act]()
  event.preventDefault()
}

// A number and Enter jump to that stop.
function type(key) {
  clearTimeout(type.later)
  const number = Number(digits)
  digits = key === 'Enter' ? '' : (digits + key).slice(-2)
  if (key === 'Enter' && number >= 1 && number <= state.all.length) go(number - 1, 0)
  else if (key === 'Enter') say(`There is no stop ${number}.`)
  put('digits', digits)
  show('digits', digits)
  type.later = setTimeout(() => { digits = ''; show('digits', false) }, DIGITS)
}

function resize(by) {
  const size = Math.min(Math.max(sizeKept() + by, 0), SIZES.length - 1)
  document.documentElement.style.setProperty('--notes', `${SIZES[size]}rem`)
  try {
    if (by) localStorage.setItem('gptoss-notes', size)
  } catch {}
}

function sizeKept() {
  try {
    return Number(localStorage.getItem('gptoss-notes') ?? (WIDE.matches ? 3 : 2))
  } catch {
    return 3
  }
}

// The picture is asked for when somebody wants to see it.
function join() {
  $('join-picture').src = new URL(`room/${code}/qr.svg`, BASE)
  $('join').showModal()
}

// ---- the connection

// Learn the order, which is kept for a restart, and follow.
async function begin() {
  try {
    const answer = await fetch(new URL(`presenter/order?room=${code}`, BASE))
    if (answer.status === 410) return over()
    if (answer.status === 404 || answer.status === 403) return gone(answer.status)
    if (answer.ok) learn(await answer.json())
    follow()
  } catch {
    lost()
  }
}

function learn({ order, address }) {
  keep(code, { order, address })
  $('join-link').href = address
  put('join-link', address.replace(/^https?:[/][/]/, ''))
}

function follow() {
  source?.close()
  source = new EventSource(new URL(`presenter/events?room=${code}`, BASE))
  source.onmessage = event => receive(JSON.parse(event.data))
  source.onerror = lost
}

function receive(message) {
  heard = performance.now()
  tries = 0
  document.body.dataset.state = 'open'
  put('link', 'Connected')
  if (message.over) return over()
  if (state && message.version < state.version) return
  if (!message.plan) return apart('This running order has no stop', NO_STOP)
  state = message
  there(true)
  draw(state, does)
  tick(state, 0)
  const { place, clock, left_out } = state
  keep(code, { place: [place.stop, place.beat] })
  keepClock(code, { leftOut: left_out, runs: clock.runs, spent: clock.spent, spentAt: Date.now() })
}

// The stream has ended, or is silent. Where the server answers and does not know the room, it was started anew.
function lost() {
  heard = performance.now()
  document.body.dataset.state = 'lost'
  put('link', 'Connection lost: the room keeps what it shows')
  source?.close()
  clearTimeout(lost.later)
  lost.later = setTimeout(begin, AGAIN[Math.min(tries++, AGAIN.length - 1)])
}

async function gone(status) {
  if (status === 403 || !kept(code).order) return apart('This room cannot be opened here', NOT_YOURS)
  try {
    const refused = await reopen(code, BASE)
    if (refused) return apart('This room cannot be opened here', refused)
    say('The server was started anew. The room is open again.')
    begin()
  } catch {
    lost()
  }
}

function over() {
  source?.close()
  forget(code)
  apart('The lecture is over', 'The room is closed, and its votes are gone with it.')
}

// Whether the lecture is on the page, or what is said in its place.
function there(on) {
  for (const id of ['lecture', 'acts', 'room']) show(id, on)
  show('apart', !on)
  document.body.classList.toggle('no-lecture', !on)
}

// In the place of the lecture: why it is not there, and the way on.
function apart(name, words) {
  state = null
  there(false)
  put('apart-name', name)
  put('apart-words', words)
  const others = codes().filter(each => each !== code)
  const link = (href, textContent) => element('a', { href, textContent })
  fill('apart-acts', others, () => [...others.map(each => link(`presenter?room=${each}`, `Room ${each}`)),
    link('lecture', 'Running orders')])
}

function listen() {
  for (const [id, act] of Object.entries(ACTS)) $(id).onclick = act
  addEventListener('keydown', press)
  $('end').addEventListener('close', () => { if ($('end').returnValue === 'end') send('end') })
  $('votes-file').href = new URL(`room/${code}/votes.csv`, BASE)
  WIDE.onchange = () => { $('agenda').open = WIDE.matches }
  WIDE.onchange()
  setInterval(() => {
    if (!state) return
    tick(state, state.clock.runs ? (performance.now() - heard) / 1000 : 0)
    if (performance.now() - heard > SILENT) lost()
  }, TICK)
}

// A phone that lies on the desk does not fall asleep.
async function stayAwake() {
  if (document.visibilityState === 'visible') await navigator.wakeLock?.request('screen').catch(() => null)
}

resize(0)
listen()
stayAwake()
document.addEventListener('visibilitychange', stayAwake)
if (code) begin()
else apart('No room', 'Open this window from the lecture that you started.')
