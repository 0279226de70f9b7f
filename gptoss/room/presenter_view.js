// What the presenter's window shows of the newest state. A part of the page is drawn anew only where it has changed, so that
// what has the focus, or was scrolled, stays as it is. All words go in as text.

const BASE = new URL('..', import.meta.url)

export const $ = id => document.getElementById(id)

export function put(id, words) {
  const node = $(id)
  if (node.textContent !== words) node.textContent = words
}

export function show(id, on) {
  $(id).hidden = !on
}

export function element(name, properties = {}, ...inside) {
  const node = Object.assign(document.createElement(name), properties)
  node.append(...inside)
  return node
}

// Fill an element with what `draw` returns where `from`, on which that depends, is another than before.
export function fill(id, from, draw) {
  const node = $(id), now = JSON.stringify(from)
  if (node.drawn === now) return
  const place = [...node.querySelectorAll('button')].indexOf(document.activeElement)
  node.drawn = now
  node.replaceChildren(...draw())
  if (place >= 0) node.querySelectorAll('button')[place]?.focus()
}

const words = (name, text, className = '') => element(name, { textContent: text, className })
const button = (textContent, onclick, className = '') =>
  element('button', { type: 'button', textContent, className, onclick })
const minutes = number => `${Math.round(number * 10) / 10}\u00a0min`
const timeOfDay = at => new Date(at).toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' })
const percent = share => `${100 * share}%`

// Seconds as they are read from a clock: 12:05, or 1:02:05.
export function clock(seconds) {
  const whole = Math.floor(Math.abs(seconds)), two = number => String(number).padStart(2, '0')
  const hours = Math.floor(whole / 3600), rest = whole % 3600
  return `${hours ? `${hours}:${two(Math.floor(rest / 60))}` : Math.floor(rest / 60)}:${two(rest % 60)}`
}

// All of it. `does` has what buttons do: `send(act)`, `go(stop, beat)` and `leaveOut(stops)`.
export function draw(state, does) {
  drawHead(state)
  drawHere(state, does)
  drawNext(state)
  drawVote(state, does)
  drawStops(state, does)
  drawPressed(state)
}

function drawHead({ title, code, phones, all, place, left_out }) {
  put('title', title)
  put('code', code)
  put('phones', `${phones} in the room`)
  fill('line', [all, place.stop, left_out], () => [...all.map((stop, number) => {
    const piece = element('i', { className: standing(number, place, left_out) })
    piece.style.flexGrow = Math.max(stop.minutes, 0.2)
    return piece
  }), element('b')])
}

function standing(number, place, leftOut) {
  if (number === place.stop) return 'here'
  if (leftOut.includes(number)) return 'left-out'
  return number < place.stop ? 'over' : ''
}

function drawHere({ place, all, here, note, problem, black, frozen, stop, code, address, lecturers }, { go }) {
  put('where', `Stop ${place.stop + 1} of ${all.length}`)
  put('headline', all[place.stop].headline)
  put('sentence', here.sentence)
  put('problem', problem)
  show('problem', problem)
  show('alone', lecturers < 2 && address)
  $('projector').href = new URL(`${address}${address.includes('?') ? '&' : '?'}lead=${code}&stage=1`, BASE)
  show('dark', black)
  show('frozen', frozen)
  show('prepare', here.address)
  $('prepare').href = new URL(here.address, BASE)
  put('frozen-words', `Frozen: the room sees stop ${stop + 1}, ${all[stop].headline}, until you let it go on.`)
  const parts = (note || 'No note for this stop.').split(/\n\s*\n/)
  fill('notes', [place.stop, parts], () => parts.map(part => words('p', part.trim())))
  fill('beats', [place, here.beats], () => here.beats.map((name, number) => {
    const press = button(name, () => go(place.stop, number + 1))
    const item = element('li', { className: number < place.beat ? 'done' : '' }, press)
    if (number === place.beat) item.setAttribute('aria-current', 'step')
    return item
  }))
}

function drawNext({ next, address }) {
  put('next-headline', next ? next.headline : 'This is the last stop.')
  put('next-when', next ? `· ${minutes(next.minutes)}` : '')
  put('next-note', next ? next.note : '')
  show('next-note', next?.note)
  show('next-open', next?.address)
  if (next?.address) $('next-open').href = new URL(next.address, BASE)
  show('sees', address)
  $('sees').href = new URL(address, BASE)
}

function drawPressed({ place, page, coming, frozen, black }) {
  $('back').disabled = place.stop === 0 && place.beat === 0 && !page?.back
  $('forward').disabled = !coming
  put('forward-name', coming || 'The end')
  $('freeze').setAttribute('aria-pressed', frozen)
  $('black').setAttribute('aria-pressed', black)
  $('ship').disabled = frozen
}

// ---- the list of stops

function drawStops(state, does) {
  const { all, place, left_out, plan } = state
  fill('stops', [all, place.stop, left_out], () => all.map((stop, number) => drawStop(state, number, does)))
  fill('skips', [all, plan.skip], () => plan.skip.map(number => element('li', {}, `${number + 1} · ${all[number].headline} `,
    words('small', `${minutes(all[number].minutes)}${all[number].asks ? ', with a vote' : ''}`))))
}

function drawStop({ all, place, left_out }, number, { go, leaveOut }) {
  const stop = all[number], begins = all.slice(0, number).reduce((sum, each) => sum + each.minutes, 0)
  const jump = button('', () => go(number, 0))
  const name = element('span', {}, stop.headline, ...(stop.asks ? [' ', words('span', 'vote', 'tag')] : []))
  jump.append(words('span', number + 1), name, words('span', clock(begins * 60)))
  if (number === place.stop) jump.setAttribute('aria-current', 'step')
  const item = element('li', { className: standing(number, place, left_out) }, jump)
  if (number > place.stop) item.append(outButton(number, left_out, leaveOut))
  return item
}

function outButton(number, leftOut, leaveOut) {
  const out = leftOut.includes(number)
  const others = leftOut.filter(each => each !== number)
  const pressed = button('skip', () => leaveOut(out ? others : [...others, number]), 'out')
  pressed.setAttribute('aria-label', `skip stop ${number + 1}`)
  pressed.setAttribute('aria-pressed', out)
  return pressed
}

// ---- the vote

function drawVote({ vote, here, tally, answer, because }, { send }) {
  $('vote').classList.toggle('put', Boolean(vote))
  const before = here.asks ? 'A vote of this stop' : 'The question of this page'
  put('vote-name', !vote ? before : vote.open ? 'Votes coming in' : 'Vote, closed')
  put('vote-count', vote ? String(vote.count) : '')
  put('question', vote ? vote.text : here.asks || 'What this page asks its readers, put to the room by the projector.')
  $('question').classList.toggle('idle', !vote && !here.asks)
  put('because', vote ? because : '')
  fill('rounds', [vote?.text, tally, answer], () =>
    vote ? tally.map((round, number) => drawRound(round, number, tally, answer, vote.unit)) : [])
  fill('vote-acts', [!vote, vote?.open], () => vote
    ? [vote.open ? button('Close', () => send('close_vote')) : button('Vote again', () => send('vote_again')),
       button('Drop', () => send('drop_vote'))]
    : [button('Ask the room', () => send('vote'))])
}

function drawRound({ answers, count }, number, tally, answer, unit) {
  const last = number === tally.length - 1
  return element('div', {}, ...(tally.length > 1 ? [words('h3', `Round ${number + 1}: ${count}`, 'hint')] : []),
    ...(Array.isArray(answers) ? drawNumbers(answers, answer, unit) : Object.entries(answers).map(([choice, chosen]) =>
      drawChoice(choice, chosen, count ? chosen / count : 0, choice === answer, last))))
}

function drawChoice(choice, chosen, share, right, last) {
  const bar = element('i')
  bar.style.width = percent(share)
  return element('div', { className: right ? 'choice true' : 'choice' }, words('span', choice), words('b', chosen),
    element('div', { className: last ? 'bar' : 'bar before' }, bar))
}

// Numbers on a strip, with the true one as a line.
function drawNumbers(numbers, answer, unit) {
  const truth = typeof answer === 'number' ? [answer] : []
  if (!numbers.length) return []
  const least = Math.min(...numbers, ...truth), most = Math.max(...numbers, ...truth)
  const mark = (name, number) => {
    const node = element(name)
    node.style.left = percent(most > least ? 0.02 + (0.96 * (number - least)) / (most - least) : 0.5)
    return node
  }
  const marks = [...numbers.map(number => mark('i', number)), ...truth.map(number => mark('b', number))]
  const strip = element('div', { className: 'strip' }, ...marks)
  strip.setAttribute('role', 'img')
  strip.setAttribute('aria-label', `${numbers.length} numbers from ${least} to ${most}`)
  const middle = `median ${written(numbers[Math.floor(numbers.length / 2)])}${unit ? ` ${unit}` : ''}`
  const ends = element('p', { className: 'ends' }, words('span', written(least)),
    words('span', truth.length ? `${middle}, truth ${written(truth[0])}` : middle), words('span', written(most)))
  return [strip, ends]
}

const written = number => number.toLocaleString('en', { maximumSignificantDigits: 4 })

// ---- the clock

// The clock `passed` seconds after the state came. How late it is, is computed by the server, and goes on here meanwhile.
export function tick({ plan, clock: { runs, spent }, all, place }, passed) {
  const total = spent.reduce((sum, each) => sum + each, 0) + passed, left = (plan.left_here - plan.over_here) * 60 - passed
  document.body.classList.toggle('held', !runs)
  document.body.classList.toggle('running', runs)
  put('elapsed', clock(total))
  put('planned', `of ${clock(plan.total * 60)}`)
  put('left', left >= 0 ? `This stop: ${clock(Math.ceil(left))} left` : `This stop: ${clock(left)} over`)
  $('left').classList.toggle('over', left < 0)
  put('until', `· until ${clock((plan.begins + all[place.stop].minutes) * 60)} by plan`)
  put('start', runs ? 'Hold the clock' : total ? 'Go on' : 'Start the clock')
  show('reset', !runs && total)
  const share = Math.min(total / 60 / Math.max(plan.total, 0.1), 1)
  $('line').querySelector('b').style.left = `calc(1.2rem + (100% - 2.4rem) * ${share})`
  tickStanding(plan, total, !total && !runs, plan.late + Math.max(passed / 60 - plan.left_here, 0))
}

function tickStanding({ punctual, total: planned, skip, still_late, shorter }, total, idle, late) {
  const off = `${clock(Math.abs(late) * 60)} ${late > 0 ? 'late' : 'to spare'}`
  put('stand', idle ? 'Not begun' : Math.abs(late) <= punctual ? 'On time' : off)
  $('stand').className = idle ? 'idle' : late > punctual ? 'late' : ''
  put('ends', `ends ${timeOfDay(Date.now() + (planned + late) * 60e3 - total * 1000)}`)
  show('save', skip.length || shorter !== null)
  show('leave-out', skip.length)
  put('leave-out', skip.length > 1 ? 'Leave them out' : 'Leave it out')
  const take = skip.length ? 'Or take' : 'Take'
  const less = shorter === null ? '' : `${take} ${clock(shorter * 60)} less at each stop that is left.`
  put('shorter', still_late > punctual ? `Even so it ends ${minutes(still_late)} late.` : less)
}
