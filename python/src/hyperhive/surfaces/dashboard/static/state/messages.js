/**
 * Messages: the newest ones as rows, a stretch of older ones that somebody reads, and every dead one however old.
 *
 * Both are bounded, so that a page left open for days stays small. The stretch adjoins the rows until it is
 * cut at its newest end, or lies elsewhere: then there is a gap. Its messages follow events like the others.
 */

/** @typedef {import("../types.js").MessagesState} MessagesState */
/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").HiveEvent} HiveEvent */

/** How many of the newest are kept. */
export const NEWEST_KEPT = 500;

/** How many older ones are kept while somebody reads further up: enough to read on, and still bounded. */
export const OLDER_KEPT = 1500;

/** Messages in a snapshot when there are more; fewer means that these are all. */
const SNAPSHOT_SIZE = 200;

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {MessagesState}
 */
export function fromSnapshot(snapshot) {
  return {
    rows: new Map(snapshot.messages.map((message) => [message.id, message])),
    older: new Map(),
    gap: false,
    more: snapshot.messages.length >= SNAPSHOT_SIZE,
    reading: false,
    dead: new Map(snapshot.dead.map((message) => [message.id, message])),
  };
}

/** @type {Readonly<Record<string, (event: HiveEvent) => Partial<Message>>>} what each step of its life changes in a message */
const CHANGES = {
  message_leased: () => ({ state: "leased" }),
  message_acked: () => ({ state: "acked" }),
  message_released: ({ data: { attempts, redelivered, not_before, reason } }) => ({ state: "queued", attempts, redelivered, not_before, reason }),
  message_dead: ({ data }) => data.message ?? { state: "dead", attempts: data.attempts, redelivered: true, reason: data.reason },
  message_requeued: () => ({ state: "queued", attempts: 0, redelivered: true, not_before: null }),
  message_dropped: () => ({ state: "dropped" }),
  message_withdrawn: ({ data }) => ({ state: "dropped", reason: data.reason }),
  message_read: ({ at }) => ({ read_at: at }),
};

/**
 * @param {MessagesState} messages
 * @param {HiveEvent} event
 * @returns {MessagesState}
 */
export function apply(messages, event) {
  if (event.kind === "message_queued") {
    const { message } = event.data;
    return cut({ ...messages, rows: new Map(messages.rows).set(message.id, message) });
  }
  if (!(event.kind in CHANGES)) return messages;
  const { id } = event.data;
  const message = changed(held(messages, id) ?? unseen(event), event);
  const replaced = (/** @type {MessagesState["rows"]} */ rows) => (rows.has(id) ? new Map(rows).set(id, message) : rows);
  return { ...messages, rows: replaced(messages.rows), older: replaced(messages.older), dead: withDead(messages.dead, message) };
}

/**
 * @param {MessagesState} messages
 * @param {number} id
 * @returns {Message | undefined} it, if the page holds it
 */
export function held({ rows, older, dead }, id) {
  return rows.get(id) ?? older.get(id) ?? dead.get(id);
}

/**
 * @param {MessagesState} messages
 * @returns {ReadonlyMap<number, Message>} those that can be read without a gap, by id, ascending
 */
export function readable({ rows, older, gap }) {
  if (older.size === 0) return rows;
  return gap ? older : new Map([...older, ...rows]);
}

/**
 * @param {Message} message
 * @param {HiveEvent} event
 * @returns {Message} as it is after the event, which may be about another
 */
export function changed(message, event) {
  const change = event.data.id === message.id && CHANGES[event.kind];
  return change ? { ...message, ...change(event) } : message;
}

/**
 * Take the page of messages before the readable ones in. What is too much then goes at the newest end, away
 * from where somebody reads.
 *
 * @param {MessagesState} messages
 * @param {{messages: readonly Message[], more: boolean}} page newest first
 * @returns {MessagesState}
 */
export function withOlder(messages, page) {
  const older = new Map([...ascending(messages, page), ...messages.older]);
  return bounded({ ...messages, older, more: page.more, reading: true });
}

/**
 * Read elsewhere: a page of messages stands alone, unless it reaches the newest ones.
 *
 * @param {MessagesState} messages
 * @param {{messages: readonly Message[], more: boolean}} page newest first
 * @returns {MessagesState}
 */
export function withStretch(messages, page) {
  const older = new Map(ascending({ ...messages, older: new Map() }, page));
  const gap = page.messages.every(({ id }) => !messages.rows.has(id));
  return { ...messages, older, gap, more: page.more, reading: true };
}

/**
 * Say whether somebody reads further up; who does not sees the newest ones only.
 *
 * @param {MessagesState} messages
 * @param {boolean} reading
 * @returns {MessagesState}
 */
export function withReading(messages, reading) {
  if (reading === messages.reading) return messages;
  if (reading) return { ...messages, reading };
  const more = messages.more || messages.gap;
  const rows = messages.gap ? messages.rows : readable(messages);
  return cut({ ...messages, rows, older: new Map(), gap: false, more, reading });
}

/**
 * @param {MessagesState} messages
 * @param {{messages: readonly Message[]}} page newest first
 * @returns {[number, Message][]} those that are not held yet, oldest first
 */
function ascending({ rows, older }, page) {
  const fresh = page.messages.filter(({ id }) => !rows.has(id) && !older.has(id));
  return fresh.reverse().map((message) => [message.id, message]);
}

/**
 * @param {MessagesState["dead"]} dead
 * @param {Message} message
 * @returns {MessagesState["dead"]}
 */
function withDead(dead, message) {
  if (message.state !== "dead" && !dead.has(message.id)) return dead;
  const next = new Map(dead);
  if (message.state === "dead") next.set(message.id, message);
  else next.delete(message.id);
  return next;
}

/**
 * What is known of a message that is older than every row: enough to act on it. Opening it fetches the rest.
 *
 * @param {HiveEvent} event
 * @returns {Message}
 */
function unseen(event) {
  return {
    id: event.data.id,
    from: event.data.from ?? "",
    to: event.data.to ?? event.agent ?? "",
    at: event.data.at ?? null,
    in_reply_to: null,
    broadcast: false,
    state: "queued",
    attempts: 0,
    redelivered: false,
    not_before: null,
    reason: null,
    preview: event.data.preview ?? "",
    size: 0,
    read_at: null,
  };
}

/**
 * Keep the newest rows only. What falls out of them stays readable for whoever reads there.
 *
 * @param {MessagesState} messages
 * @returns {MessagesState}
 */
function cut(messages) {
  const excess = messages.rows.size - NEWEST_KEPT;
  if (excess <= 0) return messages;
  const all = [...messages.rows];
  const rows = new Map(all.slice(excess));
  if (!messages.reading) return { ...messages, rows, more: true };
  if (messages.gap) return { ...messages, rows };
  return bounded({ ...messages, rows, older: new Map([...messages.older, ...all.slice(0, excess)]) });
}

/**
 * @param {MessagesState} messages
 * @returns {MessagesState} with no more older ones than are kept
 */
function bounded(messages) {
  if (messages.older.size <= OLDER_KEPT) return messages;
  return { ...messages, older: new Map([...messages.older].slice(0, OLDER_KEPT)), gap: true };
}
