// The head of a page: shows what Python wrote, sends what is pressed, and tells the whole page of projector mode.
export default function ({data, parentElement, setTriggerValue}) {
  const head = parentElement.querySelector("header")
  if (head.written !== data.html) head.innerHTML = head.written = data.html
  head.onclick = event => {
    const pressed = event.target.closest("[data-message]")
    if (!pressed || event.ctrlKey || event.metaKey || event.shiftKey) return // a link in another tab is the browser's
    event.preventDefault()
    setTriggerValue("pressed", pressed.dataset.message)
  }
}
