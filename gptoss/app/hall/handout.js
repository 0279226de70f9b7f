// The panel that makes the handouts: what is made, how far it is, and the documents in the end. The work goes on when
// Streamlit mounts the panel anew, as it does when something else on the page comes or goes.

const PAGE_LEFT = 'gptoss-last-page' // where Start leads back to: pages that are opened here are none that the reader was on
const LEFT = 2000 // ms without a panel after which the reader has left

const work = (window.gptossHandouts ??= {running: false, stopped: false, said: '', share: 0, made: [], panel: null})

export default function ({data, parentElement}) {
  const panel = (work.panel = parentElement.querySelector('.handout'))
  const written = JSON.stringify(data.sheet)
  if (!work.running && work.written !== written) {
    forget()
    Object.assign(work, {data, written, said: ''})
  }
  panel.querySelector('.make').disabled = data.sheet.stops.length === 0
  panel.querySelector('.make').onclick = run
  panel.querySelector('.stop').onclick = () => { work.stopped = true }
  show()
  return () => setTimeout(() => { if (!work.panel.isConnected) work.stopped = true }, LEFT)
}

function show() {
  const at = name => work.panel.querySelector(name)
  at('.make').hidden = at('fieldset').disabled = work.running
  at('.stop').hidden = at('progress').hidden = !work.running
  at('progress').value = work.share
  if (at('.said').textContent !== work.said) at('.said').textContent = work.said
  at('.made').replaceChildren(...work.made.map(line))
}

function line({title, words, address}) {
  const item = document.createElement('li'), open = document.createElement('a'), save = document.createElement('a')
  Object.assign(open, {href: address, target: '_blank', textContent: `Open ${title.toLowerCase()} to print`})
  Object.assign(save, {href: address, download: `${title.toLowerCase()}.html`, textContent: 'Download'})
  save.setAttribute('aria-label', `Download ${title.toLowerCase()}`)
  item.append(open, ` (${words}) · `, save)
  return item
}

function say(said, share) {
  Object.assign(work, {said, share})
  show()
}

function aborted() {
  if (work.stopped) throw new Error('stopped')
}

async function run() {
  const asked = Object.fromEntries([...work.panel.querySelectorAll('input')].map(box => [box.name, box.checked]))
  const sheet = JSON.parse(work.written), left = lastPage()
  forget()
  Object.assign(work, {running: true, stopped: false, look: work.data.style})
  try {
    const taken = []
    for (const stop of sheet.stops) taken.push(await one(sheet, stop, asked.tries))
    const made = await documents(sheet, taken, work.look, asked)
    work.made = made.map(each => ({...each, address: URL.createObjectURL(new Blob([each.html], {type: 'text/html'}))}))
    const wrong = sheet.stops.filter((stop, place) => !taken[place]).map(stop => stop.number)
    work.said = `Made for “${sheet.title}”${wrong.length ? `, but nothing could be taken at stop ${wrong.join(', ')}` : ''}.`
  } catch (why) {
    work.said = work.stopped ? 'Stopped. Nothing was made.' : `The handouts could not be made: ${why.message}`
  } finally {
    work.running = false
    goBack(left)
    show()
  }
}

// All that is taken of a stop; nothing, and the reason in the stop, where its page does not come.
async function one(sheet, stop, tries) {
  const tell = (words, share) => say(`${stop.number} of ${sheet.stops.length}: ${stop.headline || stop.path}${words}`,
    (stop.number - 1 + share) / sheet.stops.length)
  tell('', 0)
  if (!stop.address) return null
  let frame
  try {
    const joint = stop.address.includes('?') ? '&' : '?'
    frame = await opened(new URL(`${stop.address}${joint}${work.data.forPaper}`, document.baseURI), aborted)
    const page = frame.contentDocument
    if (work.look === work.data.style) work.look += await fonts(page)
    const found = {...words(page), picture: picture(page, `s${stop.number}`)}
    for (const attempt of tries ? found.tries : []) {
      tell(`, exercise ${attempt.place + 1} of ${found.tries.length}`, (attempt.place + 1) / (found.tries.length + 1))
      await tried(frame, stop, attempt)
      attempt.link = sheet.home + state(frame)
    }
    return found
  } catch (why) {
    aborted()
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

async function tried(frame, stop, attempt) {
  const button = frame.contentDocument.querySelector(`.st-key-${stop.path}_try_${attempt.place} button`)
  try {
    await pressed(frame, button, aborted)
    attempt.picture = picture(frame.contentDocument, `s${stop.number}t${attempt.place}`)
  } catch (why) {
    aborted()
    attempt.missed = `Its picture is missing. ${why.message}`
  }
}

function forget() {
  work.made.splice(0).forEach(each => URL.revokeObjectURL(each.address))
}

function lastPage() {
  try { return localStorage.getItem(PAGE_LEFT) } catch { return null }
}

function goBack(left) {
  try {
    if (left === null) localStorage.removeItem(PAGE_LEFT)
    else localStorage.setItem(PAGE_LEFT, left)
  } catch { /* this browser keeps nothing */ }
}
