// The button "Share" puts the link on the clipboard while the hand is on it, which is when browsers allow that. The link
// leaves out projector mode and the lecture, as the one in the dialog does.
if (!window.gptossShare) {
  window.gptossShare = true
  document.addEventListener('click', event => {
    if (!event.composedPath().some(each => each instanceof Element && each.matches('button[data-value=share]'))) return
    const link = new URL(location.href)
    for (const key of OF_A_SESSION) link.searchParams.delete(key)
    navigator.clipboard?.writeText(link.href).catch(() => {}) // the dialog has the link, too
  }, true)
}
