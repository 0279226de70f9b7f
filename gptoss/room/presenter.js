// The presenter's window: shows the newest state that the server sends, and sends what the lecturer presses. The clock ticks
// here between two messages; what it is measured against is computed by the server.

import { codes, forget, keep, kept, reopen } from './reopen.js'

const BASE = new URL('..', import.meta.url)
const WIDE = matchMedia('(min-width: 1101px)')
const TICK = 250 // ms
const SILENT = 40e3 // ms without a word from the server after which the connection counts as lost
const AGAIN = [500, 1000, 2000, 4000] // ms until the next try
const DIGITS = 2000 // ms in which a number is typed
const SCROLL = 120 // px
const SAID = 4000 // ms for which a sentence stays
const SIZES = [1, 1.15, 1.3, 1.5, 1.75, 2, 2.4, 2.8] // rem of the notes

const query = new URLSearchParams(location.search)
const code = (query.get('room') ?? '').trim().toUpperCase()
const $ = id => document.getElementById(id)
let state = null // the newest message
let heard = 0 // when it came, as performance.now() tells
let tries = 0
let source = null
let digits = ''

// ---- words and elements

function put(id, words) {
  const node = $(id)
  if (node.textContent !== words) node.textContent = words
}

function show(id, on) {
  $(id).hidden = !on
}

function element(name, properties = {}, ...inside) {
  const node = Object.assign(document.createElement(name), properties)
  node.append(...inside)
  return node
}

// Draw a part anew only where it changed: what has the focus, or is scrolled, stays as it is.
function fill(id, from, draw) {
  const node = $(id), now = JSON.stringify(from)
  if (node.drawn === now) return
  const place = [...node.querySelectorAll('button')].indexOf(document.activeElement)
  node.drawn = now
  node.replaceChildren(...draw())
  if (place >= 0) node.querySelectorAll('button')[place]?.focus()
}

function clock(seconds) {
  const whole = Math.floor(Math.abs(seconds)), two = number => String(number).padStart(2, '0')
  const hours = Math.floor(whole / 3600), rest = whole % 3600
  return (seconds <= -1 ? '−' : '') + (hours ? `${hours}:${two(Math.floor(rest / 60))}` : Math.floor(rest / 60)) + `:${two(rest % 60)}`
}

const minutes = number => `${Math.round(number * 10) / 10}\u00a0min`
const timeOfDay = at => new Date(at).toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' })

// ---- what is on the page

function render() {
  const { place, all, frozen } = state, here = all[place.stop], vote = state.vote
  document.body.dataset.state = 'open'
  document.body.classList.toggle('running', state.clock.runs)
  put('title', state.title)
  put('code', state.code)
  put('phones', state.phones === 1 ? '1 phone' : `${state.phones} phones`)
  put('where', `Stop ${place.stop + 1} of ${all.length}`)
  put('headline', here.headline)
  put('sentence', state.here.sentence)
  put('problem', state.problem)
  show('problem', state.problem)
  show('dark', state.black)
  show('frozen', frozen)
  put('frozen', `Frozen: the room sees stop ${state.stop + 1}, ${all[state.stop].headline}, until you let it go on.`)
  fill('notes', state.note, () => (state.note || 'No note for this stop.').split(/\n\s*\n/).map(words =>
    element('p', { textContent: words.replace(/\s*\n\s*/g, ' ') })))
  fill('beats', [place, state.here.beats], () => state.here.beats.map(drawBeat))
  renderActs()
  renderNext()
  renderVote(vote)
  fill('stops', [all, place.stop, state.left_out, state.clock.spent.map(seconds => seconds > 0)], () => all.map(drawStop))
  fill('line', [all, place.stop, state.left_out], () => [...all.map(drawPiece), element('b')])
  fill('skips', state.plan.skip, () => state.plan.skip.map(number => element('li', {}, `${number + 1} · ${all[number].headline} `,
    element('small', { textContent: `${minutes(all[number].minutes)}${all[number].asks ? ', with a vote' : ''}` }))))
  tick()
}

function drawBeat(words, number) {
  const { stop, beat } = state.place
  const item = element('li', { className: number < beat ? 'done' : '' },
    element('button', { type: 'button', textContent: words, onclick: () => go(stop, number + 1) }))
  if (number === beat) item.setAttribute('aria-current', 'step')
  return item
}

function drawPiece(stop, number) {
  const piece = element('i', { className: standing(number) })
  piece.style.flexGrow = Math.max(stop.minutes, 0.2)
  return piece
}

function standing(number) {
  if (number === state.place.stop) return 'here'
  if (state.left_out.includes(number)) return 'left-out'
  return number < state.place.stop ? 'over' : ''
}

const TAG = () => element('span', { className: 'tag', textContent: 'vote' })

function drawStop(stop, number) {
  const begins = state.all.slice(0, number).reduce((sum, each) => sum + each.minutes, 0)
  const item = element('li', { className: standing(number) }, element('button', { type: 'button', onclick: () => go(number, 0) },
    element('span', { textContent: number + 1 }), element('span', {}, stop.headline, ...(stop.asks ? [' ', TAG()] : [])),
    element('span', { textContent: clock(begins * 60) })))
  if (number === state.place.stop) item.firstChild.setAttribute('aria-current', 'step')
  if (number > state.place.stop) item.append(outButton(number))
  return item
}

function outButton(number) {
  const out = state.left_out.includes(number)
  const button = element('button', { type: 'button', className: 'out', textContent: 'skip',
    onclick: () => leaveOut(out ? state.left_out.filter(each => each !== number) : [...state.left_out, number]) })
  button.setAttribute('aria-label', `Leave out stop ${number + 1}`)
  button.setAttribute('aria-pressed', out)
  return button
}

function renderActs() {
  const { place, all } = state, [first, last] = [place.stop === 0 && place.beat === 0, !state.coming]
  $('back').disabled = first
  $('forward').disabled = last
  put('forward-name', last ? 'The end' : state.coming)
  for (const [id, on] of [['freeze', state.frozen], ['black', state.black]]) $(id).setAttribute('aria-pressed', on)
  $('sees').href = new URL(state.address, BASE)
  show('sees', state.address)
  $('ship').disabled = state.frozen || !all.length
}

function renderNext() {
  const next = state.next
  put('next-headline', next ? next.headline : 'This is the last stop.')
  put('next-when', next ? `· ${minutes(next.minutes)}` : '')
  put('next-note', next ? next.note : '')
  show('next-note', next?.note)
  show('next-open', next?.address)
  if (next?.address) $('next-open').href = new URL(next.address, BASE)
}

// ---- votes

function renderVote(vote) {
  show('vote', vote || state.here.asks)
  $('vote').classList.toggle('open', Boolean(vote?.open))
  put('vote-name', vote ? (vote.open ? 'Votes coming in' : 'Vote, closed') : 'A vote of this stop')
  put('vote-count', vote ? String(vote.count) : '')
  put('question', vote ? vote.text : state.here.asks)
  put('because', vote && state.because ? state.because : '')
  fill('rounds', [vote?.text, state.tally, state.answer], () => vote ? state.tally.map(drawRound) : [])
  fill('vote-acts', [!vote, vote?.open], () => voteActs(vote))
}

function voteActs(vote) {
  const button = (words, act) => element('button', { type: 'button', textContent: words, onclick: () => send(act) })
  if (!vote) return [button('Ask the room', 'vote')]
  return vote.open ? [button('Close', 'close_vote'), button('Drop', 'drop_vote')] : [button('Vote again', 'vote_again'), button('Drop', 'drop_vote')]
}

function drawRound(round, number, rounds) {
  const before = number < rounds.length - 1 ? ' before' : ''
  const part = element('div')
  if (rounds.length > 1) part.append(element('h3', { className: 'hint', textContent: `Round ${number + 1}: ${round.count}` }))
  part.append(...(Array.isArray(round.answers) ? drawNumbers(round.answers) : drawChoices(round, before)))
  return part
}

function drawChoices({ answers, count }, before) {
  return Object.entries(answers).map(([choice, number]) => {
    const bar = element('i')
    bar.style.width = `${count ? (100 * number) / count : 0}%`
    return element('div', { className: `choice${choice === state.answer ? ' true' : ''}` }, element('span', { textContent: choice }),
      element('b', { textContent: number }), element('div', { className: `bar${before}` }, bar))
  })
}

function drawNumbers(numbers) {
  const truth = typeof state.answer === 'number' ? [state.answer] : []
  if (!numbers.length) return []
  const [least, most] = [Math.min(...numbers, ...truth), Math.max(...numbers, ...truth)]
  const across = number => `${most > least ? 2 + (96 * (number - least)) / (most - least) : 50}%`
  const strip = element('div', { className: 'strip' }, ...numbers.map(number => placed('i', across(number))),
    ...truth.map(number => placed('b', across(number))))
  strip.setAttribute('role', 'img')
  strip.setAttribute('aria-label', `${numbers.length} numbers from ${least} to ${most}`)
  const middle = numbers[Math.floor(numbers.length / 2)], unit = state.vote?.unit ? ` ${state.vote.unit}` : ''
  return [strip, element('p', { className: 'ends' }, element('span', { textContent: written(least) }),
    element('span', { textContent: `middle ${written(middle)}${unit}${truth.length ? `, truth ${written(truth[0])}` : ''}` }), element('span', { textContent: written(most) }))]
}

const written = number => number.toLocaleString('en', { maximumSignificantDigits: 4 })

function placed(name, left) {
  const node = element(name)
  node.style.left = left
  return node
}

// ---- the clock

// Seconds that have passed since the message, if the clock runs.
function since() {
  return state.clock.runs ? (performance.now() - heard) / 1000 : 0
}

function tick() {
  if (!state) return
  const { plan, clock: { runs, spent } } = state, passed = since(), total = spent.reduce((sum, each) => sum + each, 0) + passed
  const left = plan.left_here * 60 - plan.over_here * 60 - passed
  put('elapsed', clock(total))
  put('planned', `of ${clock(plan.total * 60)}`)
  renderStanding(plan, total, plan.late + Math.max(passed / 60 - plan.left_here, 0))
  put('left', left >= 0 ? `This stop: ${clock(Math.ceil(left))} left` : `This stop: ${clock(-left)} over`)
  $('left').classList.toggle('over', left < 0)
  document.body.classList.toggle('held', !runs)
  put('start', runs ? 'Hold the clock' : total ? 'Go on' : 'Start the clock')
  show('reset', !runs && total)
  put('until', `· until ${clock((plan.begins + state.all[state.place.stop].minutes) * 60)} by plan`)
  renderSaving(plan, total)
}

function renderStanding(plan, total, late) {
  const idle = !total && !state.clock.runs
  const words = Math.abs(late) <= plan.punctual ? 'On time' : `${clock(Math.abs(late) * 60)} ${late > 0 ? 'late' : 'to spare'}`
  put('stand', idle ? 'Not begun' : words)
  put('ends', `ends ${timeOfDay(Date.now() + (plan.total + late) * 60e3 - total * 1000)}`)
  $('stand').classList.toggle('idle', idle)
  $('stand').classList.toggle('late', late > plan.punctual)
}

function renderSaving(plan, total) {
  show('save', plan.skip.length || plan.shorter !== null)
  show('leave-out', plan.skip.length)
  put('leave-out', plan.skip.length > 1 ? 'Leave them out' : 'Leave it out')
  const kept = plan.shorter !== null ? `${plan.skip.length ? 'Or take' : 'Take'} ${clock(plan.shorter * 60)} less at each stop that is left.` : ''
  put('shorter', plan.still_late > plan.punctual ? `Even so it ends ${minutes(plan.still_late)} late.` : kept)
  const mark = $('line').querySelector('b')
  if (mark) mark.style.left = `calc(1.2rem + (100% - 2.4rem) * ${Math.min(total / 60 / Math.max(plan.total, 0.1), 1)})`
}

// ---- what is sent

async function send(act, more = {}) {
  try {
    const answer = await fetch(new URL(`room/${code}/act`, BASE), {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ act, ...more }) })
    const said = await answer.json().catch(() => ({}))
    if (said.error || !answer.ok) say(said.error || 'The server did not take that.')
  } catch {
    say('The server cannot be reached: nothing has changed in the room.')
  }
}

const go = (stop, beat) => send('go', { stop, beat })
const leaveOut = stops => send('leave_out', { stops })

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
  up: () => $('notes').scrollBy(0, -SCROLL), down: () => $('notes').scrollBy(0, SCROLL),
  'ask-join': join, 'ask-keys': () => $('keys').showModal(), 'ask-end': () => $('end').showModal(),
}

// The code is asked for when somebody wants to see it.
function join() {
  $('join-picture').src = new URL(`room/${code}/qr.svg`, BASE)
  $('join').showModal()
}

const KEYS = { PageDown: 'forward', ' ': 'forward', ArrowRight: 'forward', PageUp: 'back', ArrowLeft: 'back', ArrowUp: 'up', ArrowDown: 'down', f: 'freeze', b: 'black', '.': 'black',
  r: 'ship', c: 'start', '+': 'larger', '=': 'larger', '-': 'smaller', '?': 'ask-keys' }

function press(event) {
  const other = event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')
  if (other || !state || (event.key === ' ' && event.target.matches('button, a, summary'))) return
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key]
  if (/^\d$/.test(event.key) || (event.key === 'Enter' && digits)) typed(event.key)
  else if (!act) return
  else if (!event.repeat || act === 'up' || act === 'down') ACTS[act]()
  event.preventDefault()
}

function typed(key) {
  clearTimeout(typed.later)
  const number = Number(digits)
  digits = key === 'Enter' ? '' : (digits + key).slice(-2)
  if (key === 'Enter' && number >= 1 && number <= state.all.length) go(number - 1, 0)
  else if (key === 'Enter') say(`There is no stop ${number}.`)
  put('digits', digits)
  show('digits', digits)
  typed.later = setTimeout(() => { digits = ''; show('digits', false) }, DIGITS)
}

function resize(by) {
  const now = Number(localStorage.getItem('gptoss-notes') ?? 3)
  const size = Math.min(Math.max(now + by, 0), SIZES.length - 1)
  document.documentElement.style.setProperty('--notes', `${SIZES[size]}rem`)
  localStorage.setItem('gptoss-notes', size)
}

// ---- the connection

function connect() {
  source?.close()
  source = new EventSource(new URL(`presenter/events?room=${code}`, BASE))
  source.onmessage = event => receive(JSON.parse(event.data))
  source.onerror = lost
}

function receive(message) {
  heard = performance.now()
  tries = 0
  put('link', 'Connected')
  if (message.over) return over()
  if (state && message.version < state.version) return
  state = message
  for (const id of ['lecture', 'acts', 'room']) show(id, true)
  show('apart', false)
  render()
  keep(code, { place: [state.place.stop, state.place.beat], spent: state.clock.spent, runs: state.clock.runs, leftOut: state.left_out })
}

// The stream has ended. Where the server answers and does not know the room, it was started anew: open the room again.
async function lost() {
  heard = performance.now()
  document.body.dataset.state = 'lost'
  put('link', 'Connection lost: the room keeps what it shows')
  source?.close()
  const wait = AGAIN[Math.min(tries++, AGAIN.length - 1)]
  let status = 0
  try {
    status = (await fetch(new URL(`presenter/order?room=${code}`, BASE))).status
  } catch {}
  if (status === 404 || status === 403) return gone(status)
  setTimeout(begin, wait)
}

async function gone(status) {
  const refused = status === 404 && kept(code).order ? await reopen(code, BASE).catch(() => null) : NOT_YOURS
  if (refused === null) setTimeout(lost, AGAIN.at(-1))
  else if (refused) apart('This room cannot be opened here', refused)
  else { say('The server was started anew. The room is open again.'); connect() }
}

const NOT_YOURS = 'Only the browser in which the lecture was started can lead it, and the room must not be over.'

function over() {
  source?.close()
  forget(code)
  apart('The lecture is over', 'The room is closed, and its votes are gone with it.')
}

function apart(name, words) {
  state = null
  for (const id of ['lecture', 'acts', 'room', 'link']) show(id, false)
  show('apart', true)
  put('apart-name', name)
  put('apart-words', words)
  fill('apart-acts', codes(), () => [...codes().filter(each => each !== code).map(each => element('a', {
    href: `presenter?room=${each}`, textContent: `Room ${each}` })), element('a', { href: 'lecture', textContent: 'Running orders' })])
}

// Learn the order, which is kept for a restart, and follow.
async function begin() {
  try {
    const answer = await fetch(new URL(`presenter/order?room=${code}`, BASE))
    if (answer.status === 404 || answer.status === 403) return gone(answer.status)
    if (answer.ok) learn(await answer.json())
    connect()
  } catch {
    lost()
  }
}

function learn({ order, address }) {
  keep(code, { order })
  $('join-link').href = address
  put('join-link', address.replace(/^https?:[/][/]/, ''))
}

function listen() {
  for (const [id, act] of Object.entries(ACTS)) if ($(id)) $(id).onclick = act
  addEventListener('keydown', press)
  $('end').addEventListener('close', () => { if ($('end').returnValue === 'end') send('end') })
  $('votes-file').href = new URL(`room/${code}/votes.csv`, BASE)
  WIDE.onchange = () => { $('agenda').open = WIDE.matches }
  WIDE.onchange()
  setInterval(tick, TICK)
  setInterval(() => { if (state && performance.now() - heard > SILENT) lost() }, TICK * 20)
  document.addEventListener('visibilitychange', awake)
}

// A phone that lies on the desk does not fall asleep.
async function awake() {
  if (document.visibilityState === 'visible') await navigator.wakeLock?.request('screen').catch(() => null)
}

resize(0)
listen()
awake()
if (code) begin()
else apart('No room', 'Open this window from the lecture that you started.')
