// What a lecturer's browser keeps of a room, and how it opens the room again after the server was started anew. The key is
// in a cookie that no script reads: the server takes it from there, and the room's code follows from it.

const NAME = 'gptoss-room-'
const MOST = 4 // lectures that are kept
const OLD = 6 * 3600e3 // ms after which a room has ended by itself

// Keep parts of what is known of a room: { order, place, leftOut, runs, spent, spentAt }. Some browsers keep nothing.
export function keep(code, parts) {
  try {
    localStorage.setItem(NAME + code, JSON.stringify({ ...kept(code), ...parts, at: Date.now() }))
    for (const old of codes().slice(MOST)) forget(old)
  } catch {}
}

export function kept(code) {
  try {
    return JSON.parse(localStorage.getItem(NAME + code)) ?? {}
  } catch {
    return {}
  }
}

export function forget(code) {
  try {
    localStorage.removeItem(NAME + code)
  } catch {}
}

// The rooms that are kept and can still be, the newest first.
export function codes() {
  try {
    const all = Object.keys(localStorage).filter(name => name.startsWith(NAME)).map(name => name.slice(NAME.length))
    const young = all.filter(code => Date.now() - (kept(code).at ?? 0) < OLD)
    return young.sort((a, b) => kept(b).at - kept(a).at)
  } catch {
    return []
  }
}

// The same room again, from `base`, the address where the app is. Returns '' where it is open, or a sentence why it is not.
// Where another window of this browser was faster, the room stays as that one opened it.
export async function reopen(code, base) {
  const { order, place, leftOut, runs, spent, spentAt } = kept(code)
  if (runs) spent[place[0]] += (Date.now() - spentAt) / 1000 // the lecture went on meanwhile
  if (!order) return 'This browser does not have the running order any more.'
  const asked = { order, code, place, spent, runs, left_out: leftOut }
  const answer = await fetch(new URL('room/open', base), {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(asked) })
  if (answer.ok) return ''
  const said = await answer.json().catch(() => ({}))
  return said.error || 'The server did not open the room again.'
}
