// "Add this view as a stop": what is on the screen becomes the last stop of the lecturer's own running order, which this
// browser keeps. One listener for the whole document.
if (!window.gptossDraft) {
  window.gptossDraft = true
  const KEPT = 'gptoss-order'
  document.addEventListener('click', event => {
    const button = event.composedPath().find(each => each instanceof Element && each.matches('button[data-stop]'))
    if (!button) return
    const said = add(JSON.parse(button.dataset.stop))
    const link = button.closest('nav').querySelector('.stop-added')
    link.textContent = said
    link.hidden = false
  })

  function add(told) {
    const query = new URLSearchParams(location.search)
    for (const key of told.without) query.delete(key)
    const address = told.path + (query.size ? `?${query}` : '')
    const stop = `\n[[stop]]\naddress = ${JSON.stringify(address)}\nminutes = ${told.minutes}\n` +
      `headline = ${JSON.stringify(told.headline)}\nsentence = ${JSON.stringify(told.sentence)}\nnote = """\n"""\n`
    try {
      const text = (localStorage.getItem(KEPT) || 'title = "My lecture"\n') + stop
      const stops = text.match(/^[ \t]*\[\[[ \t]*stop[ \t]*\]\]/gm).length
      if (stops > told.most || new Blob([text]).size > told.bytes) return 'Your order is full: edit it →'
      localStorage.setItem(KEPT, text)
      return `Stop ${stops} of your own order →`
    } catch {
      return 'This browser keeps nothing: your order →'
    }
  }
}
