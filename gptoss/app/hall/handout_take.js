// What a handout takes of a page: its picture as it is drawn, its words and formulas, all of it so that it stands alone.

const OPENS = 60_000 // ms within which a page has to be drawn
const QUIET = 500 // ms without any change, after which it is
const STARTS = 1_500 // ms in which a press shows its first effect
const HIDDEN = 'position: fixed; left: -10000px; top: 0; border: 0'
const SCREEN = `${HIDDEN}; width: 1360px; height: 1800px`

const INHERITED = `color font-family font-size font-weight font-style line-height letter-spacing text-align text-transform
  white-space list-style-type border-collapse border-spacing overflow-wrap word-break`.split(/\s+/)
const OWN = `display position top right bottom left z-index float box-sizing width min-width max-width flex-direction
  flex-wrap flex-grow flex-shrink flex-basis align-items align-self justify-content justify-items row-gap column-gap
  grid-template-columns grid-template-rows grid-column-start grid-column-end grid-row-start grid-row-end vertical-align
  margin-top margin-right margin-bottom margin-left padding-top padding-right padding-bottom padding-left
  border-top-width border-right-width border-bottom-width border-left-width border-top-style border-right-style
  border-bottom-style border-left-style border-top-color border-right-color border-bottom-color border-left-color
  border-top-left-radius border-top-right-radius border-bottom-right-radius border-bottom-left-radius background-color
  background-image background-size background-position background-repeat opacity text-decoration-line transform
  outline-width outline-style outline-color box-shadow image-rendering`.split(/\s+/)
const MEANS = /^(src|alt|colspan|rowspan|role|aria-label)$/ // attributes that say something without the page around
const LEFT_OUT = `style, script, button, [data-testid=stElementToolbar], .stTooltipIcon, .vega-bindings, .vega-embed summary,
  form, title, span[role=img], [data-testid=stIconMaterial]`

// A page in a frame that nobody sees, drawn to its end. `aborted` throws as soon as somebody has pressed Stop.
async function opened(address, aborted) {
  const frame = document.createElement('iframe')
  Object.assign(frame, {tabIndex: -1, inert: true, title: ''})
  frame.style.cssText = SCREEN
  frame.setAttribute('aria-hidden', 'true')
  frame.src = address
  document.body.append(frame)
  try {
    await settled(frame, aborted)
  } catch (why) {
    frame.remove()
    throw why
  }
  return frame
}

// Wait until nothing changes any more. A page on which something always moves is taken as it then is.
async function settled(frame, aborted) {
  const start = performance.now()
  let seen = '', since = start
  while (performance.now() - start < OPENS) {
    await new Promise(done => setTimeout(done, 100))
    aborted()
    const page = frame.contentDocument
    const now = drawn(page) ? fingerprint(page) : ''
    if (now !== seen) [seen, since] = [now, performance.now()]
    if (now && performance.now() - since >= QUIET) return
  }
  if (!drawn(frame.contentDocument)) throw new Error('The page was not drawn within a minute.')
}

function drawn(page) {
  return page?.querySelector('.page-head h1') && page.querySelector('.way-foot')
    && page.querySelector('.stApp[data-test-script-state=notRunning]')
    && [...page.querySelectorAll('.st-key-main_picture .stVegaLiteChart')].every(chart => chart.querySelector('svg, canvas'))
}

// Long enough to notice what is still being drawn.
function fingerprint(page) {
  const main = page.querySelector('[data-testid=stMain]')
  return `${main.getElementsByTagName('*').length} ${main.textContent.length} ${main.scrollHeight} ${page.location.search}`
}

async function pressed(frame, button, aborted) {
  const page = frame.contentDocument, before = fingerprint(page), start = performance.now()
  button.click()
  while (fingerprint(page) === before && drawn(page) && performance.now() - start < STARTS) {
    await new Promise(done => setTimeout(done, 50))
    aborted()
  }
  await settled(frame, aborted)
}

// The words of a page, each as HTML: nothing in it but text, formulas and plain marks.
function words(page) {
  const said = '[data-testid=stMarkdownContainer]'
  const part = name => [...page.querySelectorAll(`.st-key-paper_${name} ${said}`)].map(each => plain(each))
  const tries = []
  for (let place = 0; part(`try_${place}`).length; place += 1) {
    const [label, why] = part(`try_${place}`)
    tries.push({place, label, why})
  }
  return {
    title: page.querySelector('.page-head h1').textContent,
    model: [...page.querySelectorAll('.head-band > :not(a, button)')].map(each => clean(each).textContent.trim())
      .join(' · '),
    opening: [...page.querySelectorAll('.head-opening p')].map(each => [each.querySelector('strong').textContent,
      clean(each, 'strong').textContent.trim()]),
    question: part('question')[0] ?? '', choices: part('choices'), unit: part('unit')[0] ?? '',
    answer: part('answer')[0] ?? '', mistakes: part('mistakes'), maths: steps(page), tries,
  }
}

// The maths, a formula and the numbers under it at a time.
function steps(page) {
  const all = page.querySelector('.st-key-paper_maths [data-testid=stMarkdownContainer]')
  const found = [[]]
  for (const child of all?.children ?? []) {
    found.at(-1).push(plain(child, true))
    if (child.textContent.startsWith('With the numbers above')) found.push([])
  }
  return found.map(step => step.join('')).filter(Boolean)
}

const SIGNS = '.head-icon, [data-testid=stIconMaterial], [role=img], style'

function clean(element, more = 'style') {
  const copy = element.cloneNode(true)
  for (const each of copy.querySelectorAll(`${more}, ${SIGNS}`)) each.remove()
  return copy
}

// Text, with formulas in MathML, which every browser draws by itself.
function plain(element, whole = false) {
  const around = element.ownerDocument.createElement('div'), copy = clean(element, 'annotation')
  around.append(copy)
  for (const formula of around.querySelectorAll('.katex')) {
    const math = formula.querySelector('math')
    math.querySelectorAll('[mathvariant=script]').forEach(letters)
    math.toggleAttribute('data-block', formula.closest('.katex-display') !== null)
    ;(formula.closest('.katex-display') ?? formula).replaceWith(math)
  }
  for (const link of around.querySelectorAll('a')) link.replaceWith(...link.childNodes)
  for (const each of around.querySelectorAll(':not(math, math *)')) {
    for (const {name} of [...each.attributes]) each.removeAttribute(name)
  }
  if (whole) return around.innerHTML
  const [only, ...others] = copy.children
  return only?.localName === 'p' && !others.length ? only.innerHTML : copy.innerHTML
}

// Letters in script have characters of their own; browsers draw no others in MathML.
const SCRIPT = {B: 'ℬ', E: 'ℰ', F: 'ℱ', H: 'ℋ', I: 'ℐ', L: 'ℒ', M: 'ℳ', R: 'ℛ'}

function letters(each) {
  each.textContent = each.textContent.replace(/[A-Z]/g, letter =>
    SCRIPT[letter] ?? String.fromCodePoint(0x1D49C + letter.charCodeAt(0) - 65))
  each.setAttribute('mathvariant', 'normal')
}

// The main picture as it is drawn, with the look of every element written into it, and its size in px. Null without one.
function picture(page, prefix) {
  const main = [...page.querySelectorAll('.st-key-main_picture')].find(each => each.checkVisibility() && each.offsetHeight)
  if (!main) return null
  const initial = page.createElement('span')
  initial.style.all = 'initial'
  page.body.append(initial)
  const first = page.defaultView.getComputedStyle(initial)
  const unset = Object.fromEntries([...INHERITED, ...OWN].map(name => [name, first.getPropertyValue(name)]))
  initial.remove()
  const copy = copied(main, unset, null)
  separate(copy, prefix)
  return {html: copy.outerHTML, width: main.offsetWidth, height: main.scrollHeight}
}

function copied(element, unset, around) {
  const view = element.ownerDocument.defaultView, style = view.getComputedStyle(element)
  if (element.matches(LEFT_OUT) || style.display === 'none' && !element.closest('svg')) return null
  if (element.localName === 'canvas') return image(element, style)
  if (element.localName === 'svg') return shapes(element, style)
  if (element.localName === 'span' && element.classList.contains('katex')) return formula(element)
  const copy = element.cloneNode(false)
  for (const {name} of [...copy.attributes]) if (!MEANS.test(name)) copy.removeAttribute(name)
  copy.style.cssText = look(element, style, unset, around)
  for (const child of element.childNodes) {
    const inside = child.nodeType === Node.ELEMENT_NODE ? copied(child, unset, style)
      : child.nodeType === Node.TEXT_NODE ? child.cloneNode() : null
    if (inside) copy.append(inside)
  }
  return copy
}

function look(element, style, unset, around) {
  const said = OWN.filter(name => style.getPropertyValue(name) !== unset[name])
    .concat(INHERITED.filter(name => style.getPropertyValue(name) !== (around?.getPropertyValue(name) ?? unset[name])))
  // A box that holds something is as tall as that: what scrolls on the screen is whole on paper. And one that is as wide as
  // its words gets the room that other letters need.
  if (!element.textContent.trim() && !element.childElementCount || element.localName === 'img') said.push('height')
  const fitted = element.textContent.trim() && (/^inline/.test(style.display) || /flex|grid/.test(around?.display))
  const written = said.filter(name => !fitted || !/width$/.test(name) || /^(border|outline)/.test(name))
    .map(name => `${name}: ${style.getPropertyValue(name)}`)
  return [...written, ...(fitted ? [`min-width: ${style.width}`] : [])].join('; ')
}

function image(canvas, style) {
  const copy = canvas.ownerDocument.createElement('img')
  copy.src = canvas.toDataURL()
  copy.style.cssText = `width: ${style.width}; height: ${style.height}`
  return copy
}

function shapes(drawing, style) {
  const copy = drawing.cloneNode(true), box = drawing.getBoundingClientRect()
  copy.querySelectorAll('style').forEach(each => each.remove())
  Object.assign(copy.style, {width: `${box.width}px`, height: `${box.height}px`, color: style.color,
    fontFamily: style.fontFamily})
  copy.querySelectorAll('a').forEach(link => { link.removeAttribute('href'); link.removeAttribute('aria-label') })
  return copy
}

function formula(element) {
  const copy = element.ownerDocument.createElement('span')
  copy.innerHTML = plain(element, true)
  return copy
}

// Names within a drawing get the stop's in front: on one sheet, two drawings must not take each other's.
function separate(copy, prefix) {
  const named = [...copy.querySelectorAll('svg [id], svg[id]')]
  for (const each of named) each.id = `${prefix}-${each.id}`
  for (const each of copy.querySelectorAll('svg *')) {
    for (const {name, value} of [...each.attributes]) {
      if (value.includes('url(#')) each.setAttribute(name, value.replaceAll(/url\((["']?)#/g, `url($1#${prefix}-`))
      else if (/href$/.test(name) && value.startsWith('#')) each.setAttribute(name, `#${prefix}-${value.slice(1)}`)
    }
  }
}

// The letters of the pictures, so that they stand on paper as on the screen also where no network is.
async function fonts(page) {
  const faces = [...page.styleSheets].flatMap(sheet => { try { return [...sheet.cssRules] } catch { return [] } })
    .filter(rule => rule instanceof page.defaultView.CSSFontFaceRule)
    .filter(face => face.style.getPropertyValue('font-style') !== 'italic')
  const wanted = ['Source Sans', 'Source Code'].map(name => faces.find(face =>
    face.style.getPropertyValue('font-family').replaceAll(/["']/g, '').startsWith(name))).filter(Boolean)
  return (await Promise.all(wanted.map(embedded))).join('\n')
}

const PIECE = 32_768 // bytes that are spelt at once

async function embedded(face) {
  const [, address] = /url\(["']?([^"')]+)/.exec(face.style.getPropertyValue('src'))
  const found = await fetch(new URL(address, face.parentStyleSheet.href ?? document.baseURI))
  const bytes = new Uint8Array(await found.arrayBuffer())
  let letters = ''
  for (let start = 0; start < bytes.length; start += PIECE) {
    letters += String.fromCharCode(...bytes.subarray(start, start + PIECE))
  }
  return `@font-face {font-family: ${face.style.getPropertyValue('font-family')}; font-weight: ${
    face.style.getPropertyValue('font-weight')}; src: url(data:font/woff2;base64,${btoa(letters)})}`
}
