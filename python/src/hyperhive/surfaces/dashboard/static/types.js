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
 * @property {boolean} declared whether it was; one that was spawned can be revived
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
 * @property {{differences: string[], remarks: string[], facts?: string[]} | null} probe what its box found out about itself
 * @property {number | null} bytes what its files took when they were last measured
 *
 * @typedef {object} Alert
 * @property {string} key
 * @property {string} severity
 * @property {string} text
 * @property {string | null} agent
 * @property {number} raised_at
 *
 * @typedef {"open" | "answered" | "expired" | "cancelled"} QuestionState
 *
 * @typedef {object} Question Of an agent, to the operator or to another agent.
 * @property {number} id
 * @property {string} asker
 * @property {string} target
 * @property {string} question
 * @property {string[]} options advisory: free text is always possible
 * @property {boolean} multi
 * @property {QuestionState} state
 * @property {number} at
 * @property {number | null} expires_at
 * @property {string | string[] | null} answer
 * @property {string | null} answerer
 * @property {number | null} answered_at
 * @property {boolean} late
 * @property {number | null} closed_at
 *
 * @typedef {"pending" | "approved" | "running" | "done" | "failed" | "denied" | "cancelled"} ApprovalState
 *
 * @typedef {object} Approval
 * @property {number} id
 * @property {string} kind
 * @property {string} requester
 * @property {string | null} agent whom it concerns, where that is one agent
 * @property {string} title
 * @property {string} digest of exactly what is shown
 * @property {ApprovalState} state
 * @property {number} at
 * @property {number | null} expires_at
 * @property {number | null} decided_at
 * @property {string | null} decided_by
 * @property {string | null} note
 * @property {number | null} started_at
 * @property {number | null} closed_at
 * @property {string | null} error
 * @property {any} result
 * @property {number | null} [used_at] of one that lets a single call through: when that call was made
 *
 * @typedef {Approval & {shown: Record<string, any>}} WholeApproval
 *
 * @typedef {"proposed" | "pending" | "delivered" | "failed" | "cancelled"} ReminderState
 *
 * @typedef {object} Reminder
 * @property {number} id
 * @property {string} agent
 * @property {ReminderState} state
 * @property {string} preview
 * @property {number} bytes
 * @property {number} at
 * @property {number} due_at
 * @property {number} next_at
 * @property {string | null} file_path
 * @property {number | null} repeat_every_seconds
 * @property {number} attempts
 * @property {string | null} last_error
 * @property {boolean} late
 * @property {number} deliveries
 * @property {number | null} delivered_at
 * @property {number | null} message
 * @property {number | null} closed_at
 *
 * @typedef {object} PullRequest
 * @property {number} id
 * @property {string} repository
 * @property {number} number
 * @property {string} title
 * @property {string} author
 * @property {"open" | "closed" | "merged"} state
 * @property {string} head
 * @property {string} base
 * @property {string} url
 * @property {string[]} reviewers
 * @property {string | null} merged_by
 * @property {number} at
 * @property {number} updated_at
 * @property {number | null} closed_at
 *
 * @typedef {object} PlannedAction What is being done to an agent, and why.
 * @property {string} action
 * @property {string} agent
 * @property {string} reason
 *
 * @typedef {object} Repository On the forge, as it was when the hive last looked.
 * @property {string} name with its organisation
 * @property {string} description
 * @property {string} url
 * @property {string} clone_url
 * @property {string} branch
 * @property {boolean} empty
 * @property {number} open_pulls
 * @property {number | null} updated_at
 *
 * @typedef {object} Deployment A state that a spawned agent was brought to.
 * @property {string} commit
 * @property {string} subject
 * @property {string} author
 * @property {number} at
 * @property {string[]} tags
 *
 * @typedef {object} Thread One thing that hangs on an agent.
 * @property {"approval" | "question" | "reminder" | "message" | "pull_request"} kind
 * @property {number} id of the thing among its kind
 * @property {string} summary
 * @property {number} since
 * @property {string | null} with who is at its other end
 * @property {string} [url]
 *
 * @typedef {object} ForgeState
 * @property {Record<string, any>} facts its kind, url and state
 * @property {ReadonlyMap<number, PullRequest>} pulls by id
 *
 * @typedef {object} Hive
 * @property {string} name
 * @property {string} version
 * @property {number} started_at
 * @property {readonly Pause[]} pauses
 * @property {Rollout | null} rollout
 * @property {number} spent_today_usd
 * @property {{agents: number, spend_per_day_usd: number | null}} limits
 *
 * @typedef {object} Snapshot
 * @property {number} seq
 * @property {string} epoch
 * @property {number} at
 * @property {Hive} hive
 * @property {Agent[]} agents
 * @property {PlannedAction[]} plan
 * @property {Message[]} messages oldest first
 * @property {Message[]} dead
 * @property {{unread: number}} operator
 * @property {Alert[]} alerts
 * @property {Tombstone[]} tombstones
 * @property {Question[]} questions
 * @property {Approval[]} approvals
 * @property {{counts: Record<string, {pending: number, failed: number}>}} reminders
 * @property {(Record<string, any> & {pull_requests: PullRequest[]}) | null} forge
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
 * @property {ReadonlyMap<number, Message>} older a stretch of earlier ones that somebody reads, by id, ascending
 * @property {boolean} gap whether there are others between `older` and `rows`
 * @property {boolean} more whether the server has older ones than these
 * @property {boolean} reading whether somebody reads further up than the newest
 * @property {ReadonlyMap<number, Message>} dead every dead message, by id, however old
 *
 * @typedef {object} State Everything the page shows that the hive decides. Never changed in place.
 * @property {number} seq
 * @property {string} epoch
 * @property {Hive & {stopping: boolean}} hive
 * @property {ReadonlyMap<string, Agent>} agents
 * @property {readonly PlannedAction[]} plan
 * @property {MessagesState} messages
 * @property {{unread: number}} operator
 * @property {ReadonlyMap<string, Alert>} alerts
 * @property {ReadonlyMap<string, Tombstone>} tombstones
 * @property {ReadonlyMap<number, Question>} questions all open ones and the last closed, by id
 * @property {ReadonlyMap<number, Approval>} approvals all open ones and the last closed, by id
 * @property {ReadonlyMap<string, {pending: number, failed: number}>} reminders how many wait or have failed, by agent
 * @property {ForgeState | null} forge
 *
 * @typedef {object} Turn One run of an agent's program.
 * @property {number} id
 * @property {string} agent
 * @property {string} kind
 * @property {string | null} model
 * @property {number} started_at
 * @property {number | null} ended_at
 * @property {string | null} outcome
 * @property {string | null} error
 * @property {{input_tokens?: number | null, output_tokens?: number | null, cost_usd?: number | null}} usage
 * @property {number | null} context_tokens
 * @property {Record<string, number>} tools
 * @property {number[]} messages
 *
 * @typedef {object} Line One line of a turn's transcript.
 * @property {number} n
 * @property {number} at
 * @property {string} kind
 * @property {Record<string, any>} data
 *
 * @typedef {Message & {body: string, history: HiveEvent[]}} WholeMessage
 *
 * @typedef {"connecting" | "live" | "reconnecting" | "stale"} ConnectionState
 */

export {};
