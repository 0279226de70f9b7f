// A session's part in a lecture, in the browser: hears of the room, tells it what is on the projector, has the next stop
// computed ahead of time, and lets a follower alone once a hand has touched something. Python decides where a session goes.
// Behind `reopen.js`, in one script: what the browser remembers of a room.

const SOON = 1500 // ms for which a projector is at rest before the next stop is computed
const LONGEST = 30000 // ms that this may take
const LOST = 2000 // ms after which a stream that the server has closed is opened again, and somewhat later for some
const QUIET = 250 // ms between looks at what is on the projector, and until it counts as standing
const TRIES = 8 // looks, in half of `SOON`, whether the page has come to where a press is meant for
const AGAIN = 5000 // ms after which the room is told once more what it has not taken in
const OWN = 1500 // ms in which the room's move is one that this window's own hands have made
const SETTLED = 800 // ms after a key or a question to Python in which its answer may not have begun yet
const DIGITS = 1200 // ms in which another digit belongs to the same number
const FREE = 'gptoss-free-' // that a follower's hands have touched something
const HANDS = `button, a[href], input, select, textarea, summary, canvas, label, [role=slider], [role=tab], [role=radio],
  [role=option], [contenteditable=true], .mark-symbol, .mark-rect, .mark-line`
const NOT_HANDS = '.lecture-bar, .st-key-ballot, .head-fold, [popovertarget], a[href^="#"], .words summary'
const MOVES = ['Enter', ' ', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End']

const room = (window.gptossLecture ??= {
  now: null, code: '', stream: null, event: null, asked: '', told: '', toldAt: 0, seen: '', seenAt: 0, can: '', taken: 0, taking: Promise.resolve(), keyAt: -OWN, handAt: -OWN, turnAt: 0, askedAt: -AGAIN, seat: {}, black: false, digits: '', fetched: '',
  byTab: false, listens: false, isSettled, pressed: key => room.now && (leads() ? led(key) : turned(key)),
})

export default function (component) {
  const mine = (room.now = { data: component.data, home: component.parentElement,
    send: message => component.setTriggerValue('said', message) })
  room.seat = component.data.seat
  if (!room.listens) listen()
  if (room.now.data.code !== room.code || !room.now.data.stream) open(room.now.data)
  document.documentElement.classList.add('lectured')
  draw()
  look()
  return () => {
    if (room.now !== mine) return
    room.now = null
    setTimeout(() => room.now || leave(), 2000)
  }
}

const data = () => room.now?.data ?? {}
const leads = () => data().role === 'lead'
const isConnected = () => document.querySelector('.stApp')?.dataset.testConnectionState === 'CONNECTED'
const isRunning = () => document.querySelector('[data-test-script-state=running]') !== null
// Whether the page is drawn that belongs to where the room is, so that parts of it can be drawn anew.
function isSettled() {
  const lately = performance.now() - Math.max(room.keyAt, room.askedAt) < SETTLED
  return room.now !== null && !isRunning() && !lately && (room.event?.turn === data().turn || !leads() && isFree())
}

const here = path => new URL(`./${path}`, location.href)

function listen() {
  room.listens = true
  keepSeat()
  const app = document.querySelector('.stApp') ?? document.body
  new MutationObserver(() => setTimeout(look, 0)).observe(app, {
    attributeFilter: ['data-test-script-state', 'data-test-connection-state'] })
  setInterval(look, QUIET)
  window.addEventListener('keydown', event => {
    if (event.isTrusted) room.byTab = event.key === 'Tab' || (room.byTab && !/^(Page|F5|Esc|b$)/.test(event.key))
    if (MOVES.includes(event.key) || event.target.matches?.('input, textarea')) touch(event)
    if (event.key === 'Escape') close()
  }, true)
  window.addEventListener('popstate', () => { // Back is a hand's, too
    room.handAt = performance.now()
    if (!isSeated(new URL(location.href))) giveUpSeat()
    if (room.now && !leads()) setFree(true)
  })
  window.addEventListener('pointerdown', event => {
    Object.assign(room, { byTab: false, handAt: performance.now() })
    touch(event)
    dropFrame(true)
  }, true)
}

// While a page is being changed, what Streamlit writes says nothing of the lecture. A reload just then, or a server that was
// started anew, would know nothing else of this session.
function keepSeat() {
  for (const name of ['pushState', 'replaceState']) {
    const write = history[name].bind(history)
    history[name] = (state, unused, to) => write(state, unused, withSeat(to))
  }
}

function withSeat(to) {
  const address = new URL(to ?? location.href, location.href)
  if (isSeated(address)) return address.href
  for (const [name, value] of Object.entries(room.seat)) address.searchParams.set(name, value)
  return address.href
}

const isSeated = ({ searchParams }) => searchParams.has('lead') || searchParams.has('room')

// To where this window neither led nor followed, or by the button: what is written from now on has no seat.
const giveUpSeat = () => (room.seat = {})

function leave() {
  room.stream?.close()
  dropFrame()
  for (const one of document.querySelectorAll('.lecture-over')) one.remove()
  document.documentElement.classList.remove('lectured')
  Object.assign(room, { code: '', stream: null, event: null, asked: '', told: '', black: false, fetched: '', seat: {} })
}

// ---------------------------------------------------------------- the room

function open({ code, stream }) {
  room.stream?.close()
  Object.assign(room, { code, stream: null, event: null, asked: '', told: '', can: '', taken: 0 })
  if (!stream || !code) return
  const source = (room.stream = new EventSource(here(`room/${code}/events`)))
  source.onmessage = message => {
    if (!room.event && leads()) learn(code)
    const event = JSON.parse(message.data)
    if (event.turn !== room.event?.turn) room.turnAt = performance.now()
    room.event = event
    keepPlace()
    if (room.event.over) source.close()
    blacken(leads() && room.event.black)
    for (const press of room.event.presses ?? []) room.taking = room.taking.then(() => take(press))
    draw()
    look()
  }
  source.onerror = () => {
    if (room.stream !== source || source.readyState !== EventSource.CLOSED) return
    room.stream = null
    draw()
    setTimeout(() => room.code === code && !room.stream && !room.event?.over && comeBack(code), LOST * (1 + Math.random()))
  }
}

// The stream is closed where the server knows no such room: after a restart the lecturer's browser opens it again.
async function comeBack(code) {
  if (leads()) await reopen(code, here('')).catch(() => {})
  if (room.code === code && !room.stream) open({ code, stream: true })
}

// What the lecturer's browser keeps of its room: the order, and the address that phones have to open.
async function learn(code) {
  const { order, address } = kept(code)
  if (order && address) return
  const said = await fetch(here(`presenter/order?room=${code}`)).then(answer => answer.json()).catch(() => ({}))
  if (said.order) keep(code, { order: said.order, address: said.address })
}

const act = (name, more = {}) => post(`${room.code}/act`, { act: name, ...more })

const post = (path, body) => fetch(here(`room/${path}`), {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }).catch(() => {})

function keepPlace() {
  const { code, stop, beat, over } = room.event
  if (!leads()) return
  if (over) forget(code)
  else keep(code, { place: [stop, beat] })
}

// What is on the screen, without what belongs to the session that shows it.
function shown() {
  const said = [...new URLSearchParams(location.search)].filter(([key]) => !OF_A_SESSION.includes(key))
  return `${location.pathname.split('/').pop() || 'start'}?${new URLSearchParams(said)}`
}

const sorted = address => [...new URLSearchParams(address.split('?')[1] ?? '')].map(String).sort().join() +
  address.split('?')[0]

// Once nothing runs: go where the room is, or tell it what is on the projector.
function look() {
  const { event } = room
  if (!room.now || isRunning()) return
  if (data().want) sendOrder()
  if (leads()) prepare()
  if (!event || event.over) return
  const away = event.turn !== data().turn
  if (leads()) return away || data().gone ? isOwnMove() || ask() : (tell(), tellPage())
  if (!isFree() && (away || event.address !== data().address)) ask()
}

// Where this window has moved the room, by a key, a click or Back, it hears of that from the room before Streamlit says that
// a run has begun. Asked then, Python would run the page that is being left, and the lecture would go back to it.
function isOwnMove() {
  const time = performance.now()
  return time - Math.max(room.keyAt, room.handAt) < OWN || time - room.turnAt < QUIET
}

// Python looks at the room itself, so a message says only that there is something to see. One on its way is enough.
function ask() {
  const wanted = `${room.event.turn} ${room.event.address}`
  const again = room.asked === wanted
  if (again && performance.now() - room.askedAt < AGAIN) return
  // A server that was started anew knows no fragment, and passes over what one says: a run of the whole page makes it anew.
  Object.assign(room, { asked: wanted, askedAt: performance.now(),
    byPage: again && !room.byPage && Boolean(window.gptossKeys?.now) })
  if (room.byPage) window.gptossKeys.now.send({ does: 'heard' })
  else room.now.send({ does: 'heard' })
}

function tell() {
  const address = shown(), time = performance.now()
  const same = sorted(address) === sorted(room.event.address)
  if (address !== room.seen) Object.assign(room, { seen: address, seenAt: time })
  const stands = time - room.seenAt >= QUIET // what still changes is told once it stands
  if (!stands || same || data().card || (room.told === address && time - room.toldAt < AGAIN)) return
  Object.assign(room, { told: address, toldAt: time })
  act('showing', { address })
}

// What a press would do here, which the presenter's window says beforehand.
function tellPage() {
  const can = does => Boolean(window.gptossKeys?.button(does))
  const said = { turn: room.event.turn, forward: can('forward'), back: can('back'), aside: Boolean(data().aside) }
  const words = JSON.stringify(said)
  if (room.can === words) return
  room.can = words
  act('page', said)
}

// A press in the presenter's window is one of the clicker's here, where no other projector was faster. A page that does not
// come to where the room is leaves it to the server: after a restart nobody there hears what it says.
async function take({ number, step }) {
  if (number <= room.taken) return
  room.taken = number
  for (let tries = 0; tries < TRIES && !isAble(); tries += 1) await new Promise(done => setTimeout(done, SOON / TRIES / 2))
  if (!isAble()) return
  const answer = await act('take', { number })
  const does = answer?.ok && clicked(step)
  if (does) window.gptossKeys.queue({ does })
}

const isAble = () => leads() && !data().gone && data().turn === room.event?.turn && Boolean(window.gptossKeys?.now) && isConnected()

function sendOrder() {
  const text = kept('own').order
  if (!text || room.sentOrder) return
  room.sentOrder = true
  room.now.send({ does: 'order', text })
}

// ---------------------------------------------------------------- a follower's hands

function isFree() {
  try {
    return sessionStorage.getItem(FREE + room.code) === '1'
  } catch {
    return room.free === true
  }
}

function setFree(on) {
  room.free = on
  try {
    if (on) sessionStorage.setItem(FREE + room.code, '1')
    else sessionStorage.removeItem(FREE + room.code)
  } catch {}
  draw()
}

function touch(event) {
  if (!room.now || leads() || !event.isTrusted || isFree()) return
  const path = event.composedPath().filter(one => one instanceof Element)
  if (path.some(one => one.matches(HANDS)) && !path.some(one => one.matches(NOT_HANDS))) setFree(true)
}

// The keys that lead from page to page, which nobody else hears of.
function turned({ name, event }) {
  if (event.isTrusted && /^(Page|Alt\+Arrow)/.test(name)) setFree(true)
}

// ---------------------------------------------------------------- the lecturer's keys

// What a key means while this session leads: `forward` or `back`, a message, '' where it was done here, undefined where none.
function led({ name, event }) {
  const own = room.byTab && event.composedPath().some(one => one instanceof Element && one.matches(
    'button, a[href], summary, input, [role=slider], [role=radio], [role=tab], [role=checkbox], [role=switch]'))
  if (/^\d$/.test(name)) return digit(name)
  if (name === 'Enter' && room.digits) return jump()
  if (name === 'b' || name === '.') return turnBlack()
  if (name === 'r') return showCode()
  const step = { ' ': 'forward', ArrowRight: 'forward', PageDown: 'forward', ArrowLeft: 'back', PageUp: 'back' }[name]
  if (!step || (own && !name.startsWith('Page'))) return undefined
  return clicked(step)
}

function clicked(step) {
  if (room.black) return turnBlack()
  close()
  room.keyAt = performance.now()
  return step
}

function digit(name) {
  const { stops } = data()
  room.digits = (room.digits + name).slice(-2)
  const number = Number(room.digits)
  clearTimeout(room.jumping)
  const there = stops?.[number - 1]
  over('digits', [['strong', room.digits], ['span', there ?? 'There is no such stop.']])
  const whole = number * 10 > (stops?.length ?? 0) // no further digit makes a stop of it
  room.jumping = setTimeout(jump, whole && there !== undefined ? 250 : DIGITS)
  return ''
}

function jump() {
  clearTimeout(room.jumping)
  const stop = Number(room.digits)
  Object.assign(room, { digits: '', keyAt: performance.now() })
  document.querySelector('.lecture-over.digits')?.remove()
  if (stop >= 1 && stop <= (data().stops?.length ?? 0)) window.gptossKeys.queue({ does: 'jump', stop })
  return ''
}

function turnBlack() {
  const on = !room.black
  blacken(on)
  if (data().stream) act('black', { on })
  return ''
}

function blacken(on) {
  room.black = on
  const there = document.querySelector('.lecture-over.black')
  if (on && !there) over('black', [['span', 'The projector is black. The key b shows it again.']])
  if (!on) there?.remove()
}

// The code large, for whoever comes late, until a key or a click takes it away.
function showCode() {
  if (document.querySelector('.lecture-over.code')) return close()
  if (!data().stream) return ''
  const picture = document.createElement('img')
  picture.src = here(`room/${room.code}/qr.svg`)
  picture.alt = `The address of room ${room.code} as a code`
  const box = over('code', [['strong', room.code], ['span', (kept(room.code).address ?? here('room').href).replace(/^https?:\/\//, '').replace(/\/\w{4}$/, '')]])
  box.prepend(picture)
  box.onclick = close
  return ''
}

function close() {
  document.querySelector('.lecture-over.code')?.remove()
  return ''
}

// Something over the whole screen: parts are tags with their texts.
function over(kind, parts) {
  const box = document.querySelector(`.lecture-over.${kind}`) ?? document.createElement('div')
  box.className = `lecture-over ${kind}`
  box.setAttribute('role', 'status')
  box.replaceChildren(...parts.map(([tag, words]) => node(tag, words)))
  if (!box.isConnected) document.body.append(box)
  return box
}

function node(tag, words, attributes = {}) {
  const made = document.createElement(tag)
  made.textContent = words
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

// ---------------------------------------------------------------- the bar

function draw() {
  if (!room.now) return
  const { home } = room.now
  const bar = home.querySelector('.lecture-bar') ?? home.appendChild(node('aside', '', { class: 'lecture-bar',
    'aria-label': 'Lecture' }))
  const parts = leads() ? ofLeader() : ofFollower()
  const written = JSON.stringify(parts.map(one => one.outerHTML))
  if (bar.written !== written) bar.replaceChildren(...parts)
  bar.written = written
  const { card } = data()
  if (card) over('card', [['h2', card.headline], ['p', card.sentence], ['small', card.problem]])
  else document.querySelector('.lecture-over.card')?.remove()
}

function ofLeader() {
  const { code, stream, stops, stop, beat, beats, gone, aside } = data()
  const lost = gone || (stream && !room.stream)
  const state = room.event?.over ? 'The lecture is over.' : lost ? 'Waiting for the room …'
    : aside ? `Aside. Page down: back to stop ${stop + 1}` : stops
      ? `${stops.length ? stop + 1 : 0} / ${stops.length}${beats ? ` ${'●'.repeat(beat)}${'○'.repeat(beats - beat)}` : ''}` : ''
  return [...(code ? [button(code, `Room ${code}: show its code large (r)`, showCode, 'code')] : []),
    node('span', state, { role: 'status' }),
    ...(code && stream ? [node('a', 'Presenter', { href: here(`presenter?room=${code}`).href, target: '_blank' })] : []),
    button('Leave', 'Stop leading in this window', goAway)]
}

function ofFollower() {
  const { code } = data()
  const state = room.event?.over ? 'The lecture is over.' : !room.event ? `Waiting for room ${code} …`
    : isFree() ? 'In your own hands' : `Following the lecture, stop ${room.event.stop + 1} of ${room.event.stops}`
  const back = isFree() && room.event && !room.event.over
  return [node('span', state, { role: 'status' }),
    ...(back ? [button('Back to the lecture', 'Go where the lecturer is', come, 'main')] : []),
    button('Leave', 'Stop following', goAway)]
}

function goAway() {
  giveUpSeat()
  room.now.send({ does: 'leave' })
}

function come() {
  setFree(false)
  Object.assign(room, { asked: `${room.event.turn} ${room.event.address}`, askedAt: performance.now() })
  room.now.send({ does: 'heard', again: true })
}

function button(words, says, does, kind = '') {
  const made = node('button', words, { type: 'button', title: says, 'aria-label': words === says ? words : `${words}. ${says}`,
    class: kind })
  made.onclick = does
  return made
}

// ---------------------------------------------------------------- the next stop, ahead of time

// It runs in a frame that nobody sees, in a session of its own: what it computes, this server keeps for everybody.
function prepare() {
  const { next } = data()
  if (room.wanted === next) return
  dropFrame()
  Object.assign(room, { wanted: next })
  if (next && next !== room.fetched) room.soon = setTimeout(makeFrame, SOON, next)
}

function makeFrame(next) {
  if (isRunning()) return void (room.soon = setTimeout(makeFrame, SOON, next))
  const frame = (room.frame = document.createElement('iframe'))
  const began = performance.now()
  frame.className = 'lecture-ahead'
  Object.assign(frame, { src: here(next), inert: true, tabIndex: -1, title: 'The next stop, computed ahead of time' })
  frame.setAttribute('aria-hidden', 'true')
  document.body.append(frame)
  quiet(frame.contentWindow) // which the page takes over from the empty one, before any of its scripts runs
  room.watch = setInterval(() => {
    if (!frame.contentDocument) return dropFrame(true) // the browser's own page: the server is gone
    const inside = frame.contentWindow, app = frame.contentDocument.querySelector('.stApp')
    quiet(inside) // where a browser gave the page a window of its own
    if (document.activeElement === frame) window.focus() // the keys stay the projector's
    const done = app?.dataset.testScriptState === 'notRunning' && frame.contentDocument.querySelector('.page-head h1')
    if (done) room.fetched = next
    if (done || performance.now() - began > LONGEST) dropFrame()
  }, 20)
}

// The frame adds nothing to the history that Back goes through. An entry would stay when the frame is gone, and a press of
// Back would do nothing.
function quiet(inside) {
  if (!inside || inside.gptossQuiet) return
  inside.gptossQuiet = true
  inside.history.pushState = inside.history.replaceState
}

// A hand on the projector comes first: the frame goes, and comes back once there is peace.
function dropFrame(again = false) {
  clearTimeout(room.soon)
  clearInterval(room.watch)
  const there = room.frame
  there?.remove()
  room.frame = null
  if (again && leads() && room.wanted && room.wanted !== room.fetched) room.soon = setTimeout(makeFrame, 2 * SOON, room.wanted)
}
