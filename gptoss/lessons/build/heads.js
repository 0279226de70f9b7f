// The heads of a layer as tiles to choose from: shows what Python wrote, and sends the number of the tile that is pressed.

export default function ({data, parentElement, setTriggerValue}) {
  const tiles = parentElement.querySelector('.head-tiles')
  if (tiles.written !== data.html) tiles.innerHTML = tiles.written = data.html
  tiles.onclick = event => {
    const pressed = event.target.closest('[data-head]')
    if (pressed) setTriggerValue('head', Number(pressed.dataset.head))
  }
}
