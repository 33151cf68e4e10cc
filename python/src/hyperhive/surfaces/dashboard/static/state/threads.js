/**
 * What hangs on one agent: taken over from a listing once, and from then on kept true by events.
 *
 * Each event of a question, an approval, a reminder, a pull request or a message tells enough of it to say
 * whether it hangs and how that reads, so nothing has to be listed again.
 */

/** @typedef {import("../types.js").Thread} Thread */
/** @typedef {import("../types.js").HiveEvent} HiveEvent */
/** @typedef {ReadonlyMap<string, Thread>} Threads by kind and id */

const SUMMARY_CHARACTERS = 160;

/**
 * @param {readonly Thread[]} listed
 * @returns {Threads}
 */
export function fromListing(listed) {
  return new Map(listed.map((thread) => [keyOf(thread), thread]));
}

/**
 * @param {Threads} threads
 * @param {HiveEvent} event
 * @param {string} agent on whom they hang
 * @returns {Threads}
 */
export function apply(threads, event, agent) {
  const told = toldOf(event, agent);
  if (!told) return threads;
  const key = keyOf(told);
  if (!told.thread && !threads.has(key)) return threads;
  const next = new Map(threads);
  if (told.thread) next.set(key, told.thread);
  else next.delete(key);
  return next;
}

/**
 * @param {Threads} threads
 * @returns {Threads} those that hang longest first
 */
export function inOrder(threads) {
  return new Map([...threads].sort(([, a], [, b]) => a.since - b.since || (a.kind < b.kind ? -1 : 1) || a.id - b.id));
}

/**
 * @param {{kind: string, id: number}} thread
 * @returns {string}
 */
function keyOf({ kind, id }) {
  return `${kind}-${id}`;
}

/**
 * @param {HiveEvent} event
 * @param {string} agent
 * @returns {{kind: Thread["kind"], id: number, thread: Thread | null} | null} null for what never hangs
 */
function toldOf({ kind, agent: to, data }, agent) {
  if (data.question) return { kind: "question", id: data.question.id, thread: ofQuestion(data.question, agent) };
  if (data.approval) return { kind: "approval", id: data.approval.id, thread: ofApproval(data.approval, agent) };
  if (data.reminder) return { kind: "reminder", id: data.reminder.id, thread: ofReminder(data.reminder, agent) };
  if (data.pull_request) return { kind: "pull_request", id: data.pull_request.id, thread: ofPull(data.pull_request, agent) };
  if (!kind.startsWith("message_")) return null;
  const { message = { ...data, to } } = data;
  return { kind: "message", id: message.id, thread: message.from === agent ? ofMessage(kind, message) : null };
}

/**
 * @param {import("../types.js").Question} question
 * @param {string} agent
 * @returns {Thread | null}
 */
function ofQuestion({ id, asker, target, question, state, at }, agent) {
  if (state !== "open" || (asker !== agent && target !== agent)) return null;
  const owes = target === agent;
  const summary = line(owes ? "owes an answer" : "waits for an answer", question);
  return { kind: "question", id, summary, since: at, with: owes ? asker : target };
}

/**
 * @param {import("../types.js").Approval} approval
 * @param {string} agent
 * @returns {Thread | null}
 */
function ofApproval({ id, kind, requester, state, title, at, closed_at: closed }, agent) {
  if (closed !== null || requester !== agent) return null;
  return { kind: "approval", id, summary: line(`${kind}, ${state}`, title), since: at, with: "operator" };
}

/**
 * @param {import("../types.js").Reminder} reminder
 * @param {string} agent
 * @returns {Thread | null}
 */
function ofReminder({ id, agent: whose, state, preview, at, due_at: due, closed_at: closed }, agent) {
  if (closed !== null || whose !== agent) return null;
  const [day = "", time = ""] = new Date(due * 1000).toISOString().split("T");
  return { kind: "reminder", id, summary: line(`${state}, due ${day} ${time.slice(0, 8)} UTC`, preview), since: at, with: null };
}

/**
 * @param {import("../types.js").PullRequest} pull
 * @param {string} agent
 * @returns {Thread | null}
 */
function ofPull({ id, repository, number, title, author, reviewers, state, at, url }, agent) {
  const isOwn = author === agent;
  if (state !== "open" || (!isOwn && !reviewers.includes(agent))) return null;
  const lead = `${repository}#${number}, ${isOwn ? "your pull request" : "to be reviewed by you"}`;
  return { kind: "pull_request", id, summary: line(lead, title), since: at, with: isOwn ? reviewers.join(", ") || null : author, url };
}

/**
 * @param {string} kind of the event
 * @param {import("../types.js").Message} message
 * @returns {Thread | null} while nobody has taken it up, and when it is dead
 */
function ofMessage(kind, { id, to, state, at, preview }) {
  const isDead = kind === "message_dead";
  const waits = kind === "message_queued" ? state === "queued" : kind === "message_released" || kind === "message_requeued";
  if (!isDead && !waits) return null;
  return { kind: "message", id, summary: line(isDead ? "dead" : "not yet taken up", preview), since: at ?? 0, with: to };
}

/**
 * @param {string} lead
 * @param {string} text
 * @returns {string} one line, cut as the hive cuts it
 */
function line(lead, text) {
  const whole = [...`${lead}: ${text.split(/\s+/).filter(Boolean).join(" ")}`];
  return whole.length <= SUMMARY_CHARACTERS ? whole.join("") : `${whole.slice(0, SUMMARY_CHARACTERS - 1).join("")}…`;
}
