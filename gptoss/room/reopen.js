// What a lecturer's browser keeps of a room, and how it opens the room again after the server was started anew. The key is
// in a cookie that no script reads: the server takes it from there, and the room's code follows from it.

// Windows of a browser may read what another has written a moment ago as it was before. So what only the presenter's window
// knows has a name of its own, which no other window writes.
const ROOM = 'gptoss-room-' // order, address, place
const CLOCK = 'gptoss-clock-' // spent, runs, leftOut, spentAt
const MOST = 4 // lectures that are kept
const OLD = 6 * 3600e3 // ms after which a room has ended by itself

export const keep = (code, parts) => write(ROOM + code, parts)
export const keepClock = (code, parts) => write(CLOCK + code, parts)
export const kept = code => ({ ...read(CLOCK + code), ...read(ROOM + code) })

// Some browsers keep nothing.
function write(name, parts) {
  try {
    localStorage.setItem(name, JSON.stringify({ ...read(name), ...parts, at: Date.now() }))
    for (const old of codes().slice(MOST)) forget(old)
  } catch {}
}

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? {}
  } catch {
    return {}
  }
}

export function forget(code) {
  try {
    for (const name of [ROOM, CLOCK]) localStorage.removeItem(name + code)
  } catch {}
}

// The rooms that are kept and can still be, the newest first.
export function codes() {
  try {
    const all = Object.keys(localStorage).filter(name => name.startsWith(ROOM)).map(name => name.slice(ROOM.length))
    const young = all.filter(code => /^[A-Z]{4}$/.test(code) && Date.now() - (kept(code).at ?? 0) < OLD)
    return young.sort((a, b) => kept(b).at - kept(a).at)
  } catch {
    return []
  }
}

// The same room again, from `base`, the address where the app is. Returns '' where it is open, or a sentence why it is not.
// Where another window of this browser was faster, the room stays as that one opened it.
export async function reopen(code, base) {
  const { order, place, leftOut, runs, spent, spentAt } = kept(code)
  if (!order) return 'This browser does not have the running order any more.'
  if (runs) spent[place[0]] += (Date.now() - spentAt) / 1000 // the lecture went on meanwhile
  const answer = await fetch(new URL('room/open', base), {
    method: 'POST', headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ order, code, place, spent, runs, left_out: leftOut }) })
  if (answer.ok) return ''
  const said = await answer.json().catch(() => ({}))
  return said.error || 'The server did not open the room again.'
}
