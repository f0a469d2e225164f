// Package outbox publishes an event if, and only if, the transaction that makes it true commits (the transactional outbox
// pattern), on the program's own PostgreSQL and with its own driver.
//
// The program makes the tables of Schema with its own migrations, calls Write in its transactions, and runs a Relay,
// which moves what was committed to NATS: in each of its processes if it likes, of which one is active at a time.
//
// # Promises
//
// Nothing is lost: a row is deleted only after JetStream has stored its event, so that an outage of NATS, however long,
// and the end of any process at any time, only delay. A transaction that is rolled back publishes nothing.
//
// Order: events are stored in the order in which they were written, as long as the writes did not overlap: those of one
// transaction, and those of two transactions of which the first had committed before the second called Write. Events of
// one thing are therefore in order if those who change it lock it (SELECT … FOR UPDATE, or an UPDATE) before they call
// Write, which most do anyway. Of transactions that overlap without a lock neither is the first; the relay does not wait
// for any that is open, and takes what commits late when it commits.
//
// Once: each event is stored at least once, and fanned out to hooks once. The relay publishes an event again if the
// process, the database or the connection dies between JetStream's acknowledgement and the deletion of the row. JetStream
// itself drops the repetition within two minutes; after that it is in the stream twice with the same id and the same
// content, and Whisperer's workers drop the second one for 24 hours. (They ask their ledger, and where that cannot
// answer in time they deliver: receivers, which remember the webhook-id as ever, may then see it again.) A repetition never
// changes the order of those that came first.
//
// An event that can never be published, such as one that was written past Write and is too large, is moved to
// whisperer_outbox_rejected with the reason and reported, and holds nothing up.
package outbox
