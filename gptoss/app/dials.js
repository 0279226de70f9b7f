// All dials of the sidebar, or the main sliders of a page, as one element that sends while they are dragged.
//
// Python says in `data` what there is and how far it has heard (`token`, `heard`); this file says in the value `message`
// what a hand did. One message is on its way at a time: the next one leaves when the run that answered it is over and
// painted, and takes along the newest position of every dial. What nobody answered is sent again.

const PATIENCE = 2000 // ms after which a newer position may overtake a run that goes on
const LOST = 1500 // ms after which a message that nobody heard is sent again
const STAYED = 10000 // ms after which a page that was about to go stays, as it does when a download begins
const BURST = 700 // ms between keys that still are one gesture
const MOST_STEPS = 100 // in one message
const UNSENT = "dials-unsent" // where a reload finds what had not been heard
const PAGE_KEYS = ["PageUp", "PageDown"] // these turn pages

const lines = new Map() // by the element's key: what was said and heard, which outlives its drawing
let gestures = 0

// ---------------------------------------------------------------- what is said

const running = () => document.querySelector(".stApp")?.dataset.testScriptState === "running"
const afterPaint = (then) => (document.hidden ? setTimeout(then, 0) : requestAnimationFrame(() => setTimeout(then, 0)))
const isHeard = (line) => !line.flight || line.heard >= line.flight.number

function lineOf(key) {
  if (!lines.has(key)) {
    lines.set(key, { token: "", number: 0, heard: 0, steps: [], flight: null, sent: 0, held: "", timer: 0, send: null,
      firsts: {}, leaving: [] })
    lines.get(key).steps = leftBeforeReload(key)
  }
  return lines.get(key)
}

function leftBeforeReload(key) {
  const left = JSON.parse(sessionStorage.getItem(UNSENT) ?? "{}")
  const reloaded = performance.getEntriesByType("navigation")[0]?.type === "reload"
  const steps = (reloaded && left[key]) || []
  delete left[key]
  sessionStorage.setItem(UNSENT, JSON.stringify(left))
  for (const step of steps) step.gesture = ++gestures
  return steps
}

function unheard(line) {
  return [...(isHeard(line) ? [] : line.flight.steps), ...line.steps]
}

// A reload goes to the address that stood there when it began: an answer that comes after that is seen by nobody.
window.addEventListener("beforeunload", () => {
  for (const line of lines.values()) line.leaving = unheard(line)
  setTimeout(() => lines.forEach((line) => { line.leaving = [] }), STAYED)
})
window.addEventListener("pagehide", () => {
  const left = {}
  for (const [key, line] of lines) {
    const steps = [...new Set([...line.leaving, ...unheard(line)])]
    if (steps.length) left[key] = steps
  }
  sessionStorage.setItem(UNSENT, JSON.stringify(left))
})

// The hand did something. Of one gesture only the newest position counts.
function say(line, step) {
  const last = line.steps.at(-1)
  if (last && last.gesture === step.gesture) last.value = step.value
  else line.steps.push(step)
  pump(line)
}

function hear(line, { token, heard }) {
  if (line.token !== token) { // another session answers: it knows nothing of what the last one did not hear
    if (!isHeard(line)) line.steps.unshift(...line.flight.steps)
    Object.assign(line, { token, number: 0, flight: null })
  }
  line.heard = heard
  line.number = Math.max(line.number, heard)
  pump(line)
}

function pump(line) {
  clearTimeout(line.timer)
  const waited = performance.now() - line.sent
  if (line.flight && isHeard(line) && (!running() || waited > PATIENCE)) line.flight = null
  if (!line.flight && line.steps.length && line.token) {
    const steps = line.steps.splice(0, MOST_STEPS)
    line.flight = { token: line.token, number: ++line.number, steps, held: line.held !== "", times: 0 }
    if (!line.held) writeAddress(line)
    deliver(line)
  } else if (!isHeard(line) && !running() && waited > LOST) deliver(line)
  if (line.flight) line.timer = setTimeout(() => pump(line), 250)
}

function deliver(line) {
  line.sent = performance.now()
  line.flight.times += 1 // so that Python can tell what is sent again from what it knows
  line.last = line.flight
  line.send("message", { ...line.flight })
}

// A page's own slider is in the address unless it stands where it is at first. Streamlit would add to the history.
function writeAddress(line) {
  const search = new URLSearchParams(location.search)
  for (const { name, value } of line.flight.steps) {
    if (!(name in line.firsts)) continue
    if (value === line.firsts[name]) search.delete(name)
    else search.set(name, value)
  }
  const address = `${location.pathname}?${search}`
  if (`?${search}` !== location.search) history.replaceState(history.state, "", address)
}

// The hand let go: Python writes the address of what was sent while it was held.
function release(line) {
  if (!line.held) return
  line.held = ""
  if (!line.steps.length && line.last?.held) line.steps.push(line.last.steps.at(-1))
  pump(line)
}

new MutationObserver(() => afterPaint(() => lines.forEach(pump)))
  .observe(document.querySelector(".stApp") ?? document.body, { attributeFilter: ["data-test-script-state"] })
for (const end of ["pointerup", "pointercancel", "blur"]) window.addEventListener(end, () => lines.forEach(release), true)

// ---------------------------------------------------------------- what is drawn

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made[name] = value
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value)
  }
  made.append(...children.filter((child) => child))
  return made
}

const icon = (name) => name && node("span", { class: "icon", "aria-hidden": "true" }, name)
const spelled = (option) => (Array.isArray(option) ? option[0] : option)
const shown = (option) => (Array.isArray(option) ? option[1] : option)

// A mark that opens a sentence, and the sentence.
function help(id, about, words) {
  if (!words) return []
  const sentence = node("p", { class: "help", id, hidden: true }, words)
  const toggle = () => {
    sentence.hidden = !sentence.hidden
    mark.setAttribute("aria-expanded", String(!sentence.hidden))
  }
  const mark = node("button", { class: "mark", type: "button", title: words, "aria-label": `Help for ${about}`,
    "aria-expanded": "false", "aria-controls": id, onclick: toggle }, "?")
  return [mark, sentence]
}

class Dial {
  constructor(home, { name, label, help: words }) {
    Object.assign(this, { home, name, gesture: 0, moved: 0, key: "" })
    const [mark, sentence] = help(`help-${name}`, label, words)
    this.value = node("output", { for: `dial-${name}`, "aria-hidden": "true" })
    this.reason = node("p", { class: "reason", id: `reason-${name}`, "aria-live": "polite" })
    this.range = node("input", { type: "range", id: `dial-${name}`, min: 0, step: 1, "aria-label": label,
      "aria-describedby": `reason-${name}${words ? ` help-${name}` : ""}`,
      oninput: () => this.move(), onpointerdown: () => this.grasp(), onkeydown: (event) => this.press(event),
      onkeyup: () => release(home.line) })
    this.element = node("div", { class: "dial" }, node("div", { class: "label" },
      node("label", { for: `dial-${name}` }, label), mark, this.value), sentence, this.range, this.reason)
  }

  grasp() {
    if (this.range.disabled) return
    this.gesture = ++gestures
    this.home.line.held = this.name
  }

  press(event) {
    this.key = event.key
    if (performance.now() - this.moved > BURST) this.gesture = ++gestures
    if (event.repeat) this.home.line.held = this.name
  }

  move() {
    if (PAGE_KEYS.includes(this.key)) this.range.value = this.at
    else {
      this.moved = performance.now()
      this.gesture ||= ++gestures
      this.show(Number(this.range.value))
      say(this.home.line, { gesture: this.gesture, name: this.name, value: spelled(this.options[this.at]) })
    }
  }

  show(at) {
    this.at = at
    const words = shown(this.options[at])
    if (this.value.textContent !== words) this.value.textContent = words
    this.range.value = at
    this.range.setAttribute("aria-valuetext", words)
    this.range.style.setProperty("--done", `${(100 * at) / Math.max(1, this.options.length - 1)}%`)
  }

  // What Python says of this dial. A position that a hand has newer stays until it was heard.
  take({ options, at, note = "", disabled = false }, own) {
    const values = options.map(spelled)
    this.options = options
    this.range.max = options.length - 1
    this.range.disabled = disabled || options.length === 1
    this.show(Math.max(0, values.indexOf(values.includes(own) ? own : at)))
    if (this.reason.textContent !== note) this.reason.textContent = note
  }
}

class Home {
  constructor(root, line) {
    Object.assign(this, { root, line, dials: new Map(), drawn: "", open: false })
    this.element = node("div", { class: "dials" })
    root.append(this.element)
  }

  take(data) {
    const everything = [...data.groups, ...(data.drawer?.groups ?? [])]
    const structure = JSON.stringify([everything.map((group) => group.dials.map((dial) => dial.name)), data.buttons?.length])
    if (structure !== this.drawn) this.build(data)
    this.drawn = structure
    const own = new Map(unheard(this.line).map((step) => [step.name, step.value]))
    if (this.line.held && !own.has(this.line.held)) {
      const held = this.dials.get(this.line.held)
      if (held) own.set(held.name, spelled(held.options[held.at]))
    }
    const dials = everything.flatMap((group) => group.dials)
    for (const dial of dials) this.dials.get(dial.name).take(dial, own.get(dial.name))
    this.line.firsts = Object.fromEntries(dials.filter((dial) => "first" in dial).map((dial) => [dial.name, dial.first]))
    if (data.preset) this.takePreset(data.preset, own.get(data.preset.name))
    this.takeButtons(data.buttons ?? [])
    this.notes.replaceChildren(...(data.notes ?? []).map((words) => node("p", {}, words)))
  }

  build(data) {
    this.dials.clear()
    this.preset = data.preset && node("select", { id: "preset", onchange: () => say(this.line,
      { gesture: ++gestures, name: data.preset.name, value: this.preset.value }) })
    const [mark, sentence] = help("help-preset", data.preset?.label, data.preset?.help)
    this.buttons = node("div", { class: "buttons" })
    this.notes = node("div", { class: "notes" })
    const drawer = data.drawer && node("details", { open: this.open, ontoggle: () => { this.open = drawer.open } },
      node("summary", {}, icon(data.drawer.icon), data.drawer.title), ...data.drawer.groups.map((group) => this.group(group)))
    this.element.replaceChildren(...[
      this.preset && node("div", { class: "label" }, node("label", { for: "preset" }, data.preset.label), mark),
      sentence, this.preset, this.buttons, this.notes, ...data.groups.map((group) => this.group(group)), drawer,
    ].filter((child) => child))
  }

  group({ title, icon: name, help: words, dials }) {
    const [mark, sentence] = help(`help-${title}-${dials[0].name}`, title, words)
    const rows = dials.map((dial) => {
      this.dials.set(dial.name, new Dial(this, dial))
      return this.dials.get(dial.name).element
    })
    return title ? node("div", { role: "group", "aria-label": title }, node("div", { class: "title" }, icon(name), title, mark),
      sentence, ...rows) : node("div", { class: "row" }, ...rows)
  }

  takePreset({ options, at }, own = at) {
    const listed = JSON.stringify(options)
    if (this.preset.dataset.listed !== listed) {
      this.preset.replaceChildren(...options.map((option) => node("option", { value: spelled(option) }, shown(option))))
      this.preset.dataset.listed = listed
    }
    if (this.preset.value !== own) this.preset.value = own
  }

  // Buttons keep their place and their focus while their words change.
  takeButtons(buttons) {
    buttons.forEach((button, place) => {
      const made = this.buttons.children[place] ?? this.buttons.appendChild(node("button", { type: "button" }))
      if (made.dataset.value !== button.value) made.replaceChildren(icon(button.icon), button.label)
      made.dataset.value = button.value
      made.title = button.help
      made.disabled = button.disabled
      made.onclick = () => say(this.line, { gesture: ++gestures, name: "button", value: button.value })
    })
  }
}

const homes = new WeakMap() // by the place where an element is drawn

export default function draw({ data, parentElement, setStateValue }) {
  const line = lineOf(data.key)
  const known = homes.get(parentElement)
  const home = known?.line === line ? known : new Home(parentElement, line)
  if (known && known !== home) known.element.remove()
  homes.set(parentElement, home)
  line.send = setStateValue
  hear(line, data)
  home.take(data)
}
