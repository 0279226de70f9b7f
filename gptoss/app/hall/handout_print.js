// The three documents of an order, each a page of HTML that stands alone: the handout, the exercises, their answers.

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
const LARGE = {wide: 690, tall: 800}, SMALL = {wide: 660, tall: 400} // px of a picture on paper, at most
const USUAL = 560 // px of one whose stop takes more than a page all the same
const PAGE = 955 // px within the margins of a page, of A4 and of Letter
const HOW = 'Open a page by its code. Write down what you expect before you press; then press, look, and say why.'
const PURPOSE = 'To the predictions, the votes and the exercises.'

async function documents(sheet, taken, look, asked) {
  const made = [['Handout', 'one page for each stop', await fitted(handout(sheet, taken, asked.all), look)]]
  if (asked.tries) {
    made.push(['Exercises', 'from what each page suggests to try', exercises(sheet, taken)])
    made.push(['Answers', 'to the predictions, the votes and the exercises', answers(sheet, taken)])
  }
  return made.map(([title, words, body]) => ({title, words, html: whole(`${title} · ${sheet.title}`, body, look)}))
}

// The same body, with a picture as much smaller as its stop needs to be on one sheet of A4 or Letter, where that can be.
async function fitted(body, look) {
  const frame = document.createElement('iframe')
  frame.style.cssText = `${HIDDEN}; width: 732px; height: 1000px`
  frame.inert = true
  frame.srcdoc = whole('', body, look)
  await new Promise(done => { frame.onload = done; document.body.append(frame) })
  const inside = frame.contentDocument
  await inside.fonts.ready
  const above = inside.querySelector('.front').offsetHeight
  inside.querySelectorAll('section').forEach((section, place) => {
    const picture = section.querySelector('.picture'), over = section.offsetHeight + (place ? 0 : above) - PAGE
    if (!picture || over <= 0) return
    const tall = picture.getBoundingClientRect().height, left = tall - over
    picture.style.zoom = (picture.style.zoom * (left > 0.4 * tall ? left : Math.min(tall, USUAL)) / tall).toFixed(3)
  })
  const said = inside.body.innerHTML
  frame.remove()
  return said
}

function whole(title, body, look) {
  const head = ['<meta charset="utf-8">', `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
    '<meta name="viewport" content="width=device-width">', `<title>${text(title)}</title>`, `<style>${look}</style>`]
  return `<!doctype html><html lang="en"><head>${head.join('')}</head><body>${body}</body></html>`
}

// What an order says, as text.
function text(said) {
  const box = document.createElement('i')
  box.textContent = said
  return box.innerHTML.replaceAll('"', '&quot;')
}

function all(list, write) {
  return list.map(write).join('')
}

function front(sheet, kind, how) {
  return `<header class="front"><h1>${text(sheet.title)}</h1><p>${kind}. ${how}</p></header>`
}

function handout(sheet, taken, everything) {
  const how = `${sheet.stops.length} stops, ${sheet.minutes} minutes. The code on each page opens what it shows, live.`
  return front(sheet, 'Handout', how) + all(sheet.stops, (stop, place) => page(stop, taken[place], everything))
}

function page(stop, found, everything) {
  if (!found) return `<section>${head(stop, '')}${problem(stop.problem)}</section>`
  const asked = all(predictions(stop, found), room) || box(blank('What I take home:') + blank(''))
  return `<section>${head(stop, found.title)}${opening(found)}${figure(found.picture, LARGE, found.model)}${asked}${
    maths(everything ? found.maths : found.maths.slice(0, 1))}</section>`
}

function head(stop, title) {
  const to = inside => `<a href="${text(stop.link)}">${inside}</a>`
  const bare = text(stop.link.split('?')[0].replace(/^https?:\/\//, ''))
  const where = [stop.number, text(title), `${stop.minutes} min`, stop.link && to(bare)].filter(Boolean).join(' · ')
  return `<header>${stop.code && `<div class="code">${to(stop.code)}</div>`}<p class="where">${where}</p>
<h2>${text(stop.headline || title || `Stop ${stop.number}`)}</h2><p>${text(stop.sentence)}</p></header>`
}

function opening(found) {
  const told = all(found.opening, ([name, said]) => `<p><b>${text(name)}</b> ${text(said)}</p>`)
  return told && `<div class="opening">${told}</div>`
}

function figure(picture, most, words = '') {
  if (!picture) return ''
  const zoom = Math.min(1, most.wide / picture.width, most.tall / picture.height).toFixed(3)
  return `<figure><div class="picture" style="width: ${picture.width}px; zoom: ${zoom}">${picture.html}</div>${
    words && `<figcaption>${text(words)}</figcaption>`}</figure>`
}

function maths(steps) {
  return steps.length ? `<div class="maths"><h3>The maths</h3>${all(steps, step => `<div>${step}</div>`)}</div>` : ''
}

// What is asked at a stop: its own question, and the page's.
function predictions(stop, found) {
  const vote = stop.vote
  const own = vote && {question: text(vote.text), choices: vote.choices.map(text), unit: text(vote.unit), mistakes: [],
    answer: vote.answer && `<b>${text(vote.answer)}</b>. ${text(vote.because)}`}
  const pages = found?.question && found
  const same = own && pages && (own.question === pages.question || vote.source.startsWith(`${stop.path}:`))
  return same ? [pages] : [own, pages].filter(Boolean)
}

function room(asked) {
  const choices = asked.choices.length ? `<ul class="choices">${all(asked.choices, choice => `<li>${choice}</li>`)}</ul>`
    : blank('My prediction:', asked.unit)
  return box(`<p><b>Predict:</b> ${asked.question}</p>${choices}${blank('What it is, and why:')}${blank('')}`)
}

function answer(asked) {
  const mistakes = asked.mistakes.length ? `<ul>${all(asked.mistakes, each => `<li>${each}</li>`)}</ul>` : ''
  return box(`<p><b>Predict:</b> ${asked.question}</p><p>${asked.answer || 'The room has to find it.'}</p>${mistakes}`)
}

function box(inside) {
  return `<div class="asked">${inside}</div>`
}

function blank(words, after = '') {
  return `<p class="blank">${words} <i></i> ${after}</p>`
}

function problem(words) {
  return words ? `<p class="wrong">${text(words)}</p>` : ''
}

// Every experiment once, at the first stop on its page, with its number.
function experiments(sheet, taken) {
  const seen = new Set()
  const fresh = name => !seen.has(name) && seen.add(name)
  return sheet.stops.map((stop, place) => (taken[place]?.tries ?? []).filter(({label}) => fresh(`${stop.path} ${label}`))
    .map((attempt, number) => ({...attempt, number: `${stop.number}.${number + 1}`})))
}

function exercises(sheet, taken) {
  const tries = experiments(sheet, taken)
  const lines = all(['I expect:', 'I see:', 'Because:'], each => blank(each))
  return front(sheet, 'Exercises', HOW) + all(sheet.stops, (stop, place) => {
    const inside = all(tries[place], attempt =>
      box(`<p><b>${attempt.number} Press “${attempt.label}”</b> under the picture.</p>${lines}`))
    return inside && part(stop, taken[place], inside)
  })
}

function answers(sheet, taken) {
  const tries = experiments(sheet, taken)
  return front(sheet, 'Answers', PURPOSE) + all(sheet.stops, (stop, place) => {
    const inside = all(predictions(stop, taken[place]), answer) + all(tries[place], seen)
    return inside && part(stop, taken[place], inside)
  })
}

function seen(attempt) {
  const name = attempt.link ? `<a href="${text(attempt.link)}">${attempt.label}</a>` : attempt.label
  const told = `<p><b>${attempt.number} ${name}${/[.?!]$/.test(attempt.label) ? '' : '.'}</b> ${attempt.why}</p>`
  return box(told + figure(attempt.picture, SMALL) + problem(attempt.missed))
}

function part(stop, found, inside) {
  return `<section class="sheet">${head(stop, found?.title ?? '')}${inside}</section>`
}
