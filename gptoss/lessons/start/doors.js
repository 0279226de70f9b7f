// The way back to the page where this browser was last: `keys.js` notes it on every page. Where nothing is noted, only the way
// to the first page is there. An element without a box; `data` holds the names of all pages.

export default function ({ data }) {
  const link = document.querySelector('.doors .continue')
  let last = ''
  try {
    last = localStorage.getItem('gptoss-last-page')
  } catch {}
  if (!link || !Object.hasOwn(data, last)) return
  link.textContent = `Continue: ${data[last]} →`
  link.setAttribute('href', `./${last}`)
  link.hidden = false
}
