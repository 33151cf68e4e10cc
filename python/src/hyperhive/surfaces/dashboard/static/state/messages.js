/**
 * Messages: the newest ones as rows, and every dead one however old.
 *
 * Rows are bounded, so that a page left open for days stays small. Pages of older messages join the
 * same rows when asked for; they then follow events like the others.
 */

/** @typedef {import("../types.js").MessagesState} MessagesState */
/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").HiveEvent} HiveEvent */

/** Rows that are kept while the newest message is in view. */
export const FOLLOWING_LIMIT = 500;

/** Rows that are kept while someone reads further up: enough to read on, and still bounded. */
export const READING_LIMIT = 2000;

/** Messages in a snapshot when there are more; fewer means that these are all. */
const SNAPSHOT_SIZE = 200;

/**
 * @param {import("../types.js").Snapshot} snapshot
 * @returns {MessagesState}
 */
export function fromSnapshot(snapshot) {
  return {
    rows: new Map(snapshot.messages.map((message) => [message.id, message])),
    dead: new Map(snapshot.dead.map((message) => [message.id, message])),
    more: snapshot.messages.length >= SNAPSHOT_SIZE,
    limit: FOLLOWING_LIMIT,
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
    return trimmed({ ...messages, rows: new Map(messages.rows).set(message.id, message) });
  }
  if (!(event.kind in CHANGES)) return messages;
  const { id } = event.data;
  const row = messages.rows.get(id);
  const message = changed(row ?? messages.dead.get(id) ?? unseen(event), event);
  const rows = row ? new Map(messages.rows).set(id, message) : messages.rows;
  return { ...messages, rows, dead: withDead(messages.dead, message) };
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
 * Take a page of older messages in.
 *
 * @param {MessagesState} messages
 * @param {{messages: readonly Message[], more: boolean}} page newest first
 * @returns {MessagesState}
 */
export function withOlder(messages, page) {
  const older = page.messages.filter((message) => !messages.rows.has(message.id)).reverse();
  const rows = new Map(older.map((message) => [message.id, message]));
  for (const [id, message] of messages.rows) rows.set(id, message);
  return trimmed({ ...messages, rows, more: page.more, limit: READING_LIMIT });
}

/**
 * Say whether the newest message is in view, which decides how many rows are kept.
 *
 * @param {MessagesState} messages
 * @param {boolean} following
 * @returns {MessagesState}
 */
export function withFollowing(messages, following) {
  const limit = following ? FOLLOWING_LIMIT : READING_LIMIT;
  return limit === messages.limit ? messages : trimmed({ ...messages, limit });
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
 * @param {MessagesState} messages
 * @returns {MessagesState}
 */
function trimmed(messages) {
  const excess = messages.rows.size - messages.limit;
  if (excess <= 0) return messages;
  return { ...messages, rows: new Map([...messages.rows].slice(excess)), more: true };
}
