// The panel that makes the handouts: what is made, how far it is, and the documents in the end.

const PAGE_LEFT = 'gptoss-last-page' // where Start leads back to: pages that are opened here are none that the reader was on

export default function ({data, parentElement}) {
  const panel = parentElement.querySelector('.handout')
  const work = (panel.work ??= {stopped: false, running: false, made: []})
  const written = JSON.stringify(data.sheet)
  if (work.written !== written && !work.running) forget(panel, work)
  if (!work.running) Object.assign(work, {data, written})
  const make = panel.querySelector('.make')
  make.onclick = () => run(panel, work)
  make.disabled = data.sheet.stops.length === 0
  panel.querySelector('.stop').onclick = () => { work.stopped = true }
  return () => setTimeout(() => { if (!panel.isConnected) { work.stopped = true; forget(panel, work) } })
}

async function run(panel, work) {
  const {sheet, style, forPaper} = work.data
  const asked = Object.fromEntries([...panel.querySelectorAll('input')].map(box => [box.name, box.checked]))
  Object.assign(work, {running: true, stopped: false, look: style})
  forget(panel, work)
  busy(panel, true)
  const left = kept()
  try {
    const taken = []
    for (const stop of sheet.stops) {
      const told = (words, share) => say(panel, `${stop.number} of ${sheet.stops.length}: ${words}`,
        (taken.length + share) / sheet.stops.length)
      told(stop.headline || stop.path, 0)
      taken.push(await one(stop, work, forPaper, asked.tries && told))
    }
    offer(panel, work, await documents(sheet, taken, work.look, asked))
    const wrong = sheet.stops.filter((stop, place) => !taken[place]).map(stop => stop.number)
    say(panel, wrong.length ? `Made, but nothing could be taken at stop ${wrong.join(', ')}.` : 'Made.', 1)
  } catch (why) {
    say(panel, work.stopped ? 'Stopped. Nothing was made.' : `The handouts could not be made: ${why.message}`, 0)
  } finally {
    work.running = false
    restore(left)
    busy(panel, false)
  }
}

// All that is taken of a stop; nothing, and the reason in the stop, where its page does not come.
async function one(stop, work, forPaper, tell) {
  const aborted = () => { if (work.stopped) throw new Error('stopped') }
  if (!stop.address) return null
  let frame
  try {
    const joint = stop.address.includes('?') ? '&' : '?'
    frame = await opened(new URL(`${stop.address}${joint}${forPaper}`, document.baseURI), aborted)
    const page = frame.contentDocument
    if (work.look === work.data.style) work.look += await fonts(page)
    const found = {...words(page), picture: picture(page, `s${stop.number}`)}
    for (const attempt of tell ? found.tries : []) {
      tell(`${stop.headline || stop.path}, exercise ${attempt.place + 1} of ${found.tries.length}`,
        (attempt.place + 1) / (found.tries.length + 1))
      await tried(frame, stop, attempt, aborted)
      attempt.link = work.data.sheet.home + state(frame)
    }
    return found
  } catch (why) {
    if (work.stopped) throw why
    stop.problem = [stop.problem, why.message].filter(Boolean).join(' ')
    return null
  } finally {
    frame?.remove()
  }
}

// What a page shows by now, as an address.
function state(frame) {
  const here = new URL(frame.contentWindow.location.href)
  for (const key of ['paper', 'embed', 'embed_options']) here.searchParams.delete(key)
  return here.pathname.split('/').pop() + here.search
}

async function tried(frame, stop, attempt, aborted) {
  const button = frame.contentDocument.querySelector(`.st-key-${stop.path}_try_${attempt.place} button`)
  try {
    await pressed(frame, button, aborted)
    attempt.picture = picture(frame.contentDocument, `s${stop.number}t${attempt.place}`)
  } catch (why) {
    aborted()
    attempt.missed = `Its picture is missing. ${why.message}`
  }
}

function offer(panel, work, made) {
  for (const one of made) {
    const address = URL.createObjectURL(new Blob([one.html], {type: 'text/html'}))
    const line = document.createElement('li'), open = document.createElement('a'), save = document.createElement('a')
    Object.assign(open, {href: address, target: '_blank', textContent: `Open ${one.title.toLowerCase()} to print`})
    Object.assign(save, {href: address, download: `${one.title.toLowerCase()}.html`, textContent: 'Download'})
    line.append(open, ` (${one.words}) · `, save)
    panel.querySelector('.made').append(line)
    work.made.push(address)
  }
}

function forget(panel, work) {
  work.made.splice(0).forEach(address => URL.revokeObjectURL(address))
  panel.querySelector('.made').replaceChildren()
  if (!work.running) panel.querySelector('.said').textContent = ''
}

function busy(panel, on) {
  panel.querySelector('.make').hidden = on
  panel.querySelector('fieldset').disabled = on
  for (const name of ['.stop', 'progress']) panel.querySelector(name).hidden = !on
}

function say(panel, words, share) {
  panel.querySelector('.said').textContent = words
  panel.querySelector('progress').value = share
}

function kept() {
  try { return localStorage.getItem(PAGE_LEFT) } catch { return null }
}

function restore(left) {
  try {
    if (left === null) localStorage.removeItem(PAGE_LEFT)
    else localStorage.setItem(PAGE_LEFT, left)
  } catch { /* this browser keeps nothing */ }
}
