/**
 * The shapes that cross the wire and the shape of the page's state, for the type checker only.
 *
 * Times are seconds since 1970 by the server's clock.
 *
 * @typedef {"queued" | "leased" | "acked" | "dead" | "dropped"} MessageState
 *
 * @typedef {object} Message One message as a list shows it; its whole body is fetched when it is opened.
 * @property {number} id
 * @property {string} from
 * @property {string} to
 * @property {number | null} at null only in a message the page has never seen in full
 * @property {number | null} in_reply_to
 * @property {boolean} broadcast
 * @property {MessageState} state
 * @property {number} attempts
 * @property {boolean} redelivered
 * @property {number | null} not_before
 * @property {string | null} reason
 * @property {string} preview
 * @property {number} size bytes of the whole body
 * @property {number | null} read_at
 *
 * @typedef {object} Inbox How many messages an agent has in each state that wants something.
 * @property {number} queued
 * @property {number} leased
 * @property {number} dead
 *
 * @typedef {object} Pause Why no turn starts, until when, or (null) until somebody ends it.
 * @property {string} cause
 * @property {string} reason
 * @property {number} since
 * @property {number | null} until
 *
 * @typedef {object} Rollout A restart of several agents that is under way.
 * @property {number} id
 * @property {string} reason
 * @property {string} manager
 * @property {string[]} order all of them, the manager first
 * @property {number} deadline until when running turns may end
 * @property {string} phase
 * @property {string[]} cut whose turn was ended for it
 * @property {Record<string, {incarnation: string | null, deadline: number}>} going
 * @property {string[]} restarted
 * @property {Record<string, string>} failed why
 * @property {string[]} waiting
 *
 * @typedef {object} Tombstone An agent that is gone and whose state is kept.
 * @property {string} name
 * @property {string} role
 * @property {string} description
 * @property {number} removed_at
 * @property {number | null} bytes
 *
 * @typedef {object} Agent
 * @property {string} name
 * @property {string} role
 * @property {string} description
 * @property {boolean} declared
 * @property {string} driver
 * @property {string} runtime
 * @property {string} state
 * @property {string | null} reason
 * @property {number | null} since
 * @property {string | null} status
 * @property {number | null} status_at
 * @property {{id: number, started_at: number} | null} turn
 * @property {Inbox} inbox
 * @property {readonly Pause[]} pauses
 * @property {{by: string, at: number} | null} held the operator wants it stopped
 * @property {string | null} transient what is being done to it just now
 * @property {string | null} model what its next turn uses
 * @property {string | null} declared_model what the declaration says
 * @property {{tokens: number, window: number | null} | null} context
 * @property {{differences: string[], remarks: string[]} | null} probe what its box found out about itself
 * @property {number | null} bytes what its files took when they were last measured
 *
 * @typedef {object} Alert
 * @property {string} key
 * @property {string} severity
 * @property {string} text
 * @property {string | null} agent
 * @property {number} raised_at
 *
 * @typedef {object} Hive
 * @property {string} name
 * @property {string} version
 * @property {number} started_at
 * @property {readonly Pause[]} pauses
 * @property {Rollout | null} rollout
 * @property {number} spent_today_usd
 *
 * @typedef {object} Snapshot
 * @property {number} seq
 * @property {string} epoch
 * @property {number} at
 * @property {Hive} hive
 * @property {Agent[]} agents
 * @property {Message[]} messages oldest first
 * @property {Message[]} dead
 * @property {{unread: number}} operator
 * @property {Alert[]} alerts
 * @property {Tombstone[]} tombstones
 *
 * @typedef {object} HiveEvent One fact, past tense; `data` has the fields of its kind.
 * @property {number} seq
 * @property {number} at
 * @property {string} kind
 * @property {string | null} agent whom it concerns; of a message, the recipient
 * @property {string} actor
 * @property {any} data
 *
 * @typedef {object} MessagesState
 * @property {ReadonlyMap<number, Message>} rows the newest ones, by id, ascending
 * @property {ReadonlyMap<number, Message>} dead every dead message, by id, however old
 * @property {boolean} more whether the server has older ones than `rows`
 * @property {number} limit how many rows are kept
 *
 * @typedef {object} State Everything the page shows that the hive decides. Never changed in place.
 * @property {number} seq
 * @property {string} epoch
 * @property {Hive & {stopping: boolean}} hive
 * @property {ReadonlyMap<string, Agent>} agents
 * @property {MessagesState} messages
 * @property {{unread: number}} operator
 * @property {ReadonlyMap<string, Alert>} alerts
 * @property {ReadonlyMap<string, Tombstone>} tombstones
 *
 * @typedef {Message & {body: string, history: HiveEvent[]}} WholeMessage
 *
 * @typedef {"connecting" | "live" | "reconnecting" | "stale"} ConnectionState
 */

export {};
