// Has the vote drawn anew when the room's is another one than the page shows, and counts its answers as they come in.
// `lecture.js` hears of the room.

const OFTEN = 200 // ms between two looks
const AGAIN = 3000 // ms after which the page is told once more

const votes = (window.gptossVotes ??= { now: null, timer: 0, told: '', at: 0 })

export default function (component) {
  const mine = (votes.now = { seen: component.data.seen, send: what => component.setTriggerValue('changed', what) })
  votes.timer ||= setInterval(look, OFTEN)
  look()
  return () => { if (votes.now === mine) votes.now = null }
}

function look() {
  const { event, isSettled } = window.gptossLecture ?? {}
  if (!votes.now || !event || !isSettled()) return // a part that is drawn anew while a page is on its way would stop it
  const { vote, called } = event
  const there = JSON.stringify([vote?.round ?? null, vote?.open ?? null, called ?? false])
  for (const one of document.querySelectorAll('[data-votes]')) {
    if (vote && one.textContent !== String(vote.count)) one.textContent = vote.count
  }
  const time = performance.now()
  if (there === JSON.stringify(votes.now.seen) || (there === votes.told && time - votes.at < AGAIN)) return
  Object.assign(votes, { told: there, at: time })
  votes.now.send(there)
}
