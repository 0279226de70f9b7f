// The heads of a layer as tiles to choose from: shows what Python wrote, and sends the number of the tile that is pressed.

export default function ({data, parentElement, setTriggerValue}) {
  const tiles = parentElement.querySelector('.head-tiles')
  if (tiles.written !== data.html) {
    const held = tiles.querySelector(':focus')?.dataset.head
    tiles.innerHTML = tiles.written = data.html
    if (held !== undefined) tiles.querySelector(`[data-head="${held}"]`)?.focus()  // it was pressed by a key
  }
  tiles.onclick = event => {
    const pressed = event.target.closest('[data-head]')
    if (pressed) setTriggerValue('head', Number(pressed.dataset.head))
  }
}
