// The curve that a phone expects, while the room is where models are trained: five heights along the run, sent as points.

const form = document.getElementById('curve')
const sliders = [...form.querySelectorAll('input')]
const said = form.querySelector('.said')
const code = location.pathname.split('/').pop().toUpperCase()

const points = () => sliders.map((slider, place) => [place / (sliders.length - 1), Number(slider.value)])

function draw() {
  form.querySelector('polyline').setAttribute('points', points().map(([x, y]) => `${100 * x},${50 - 5 * y}`).join(' '))
  for (const slider of sliders) slider.nextElementSibling.value = Number(slider.value).toFixed(1)
}

async function give(event) {
  event.preventDefault()
  said.textContent = 'Sending'
  try {
    const reply = await fetch(`${code}/curve`, { method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ points: points() }) })
    const { error } = await reply.json().catch(() => ({}))
    said.textContent = reply.ok ? 'The room has your curve. Give it again to change it.' : error || 'The server did not take it.'
  } catch {
    said.textContent = 'It has not arrived. Please give it again.'
  }
}

form.addEventListener('input', draw)
form.addEventListener('submit', give)
addEventListener('told', ({ detail }) => { form.hidden = detail?.address?.split('?')[0] !== 'training' })
draw()
