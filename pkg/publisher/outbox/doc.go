// Package outbox publishes an event if, and only if, the program's database transaction commits (the transactional
// outbox pattern). It uses the program's own PostgreSQL and driver.
//
// The program creates the tables of Schema with its own migrations, calls Write in its transactions, and runs a
// Relay, which moves committed events to NATS. Every process may run a Relay; one of them is active at a time.
//
// # Guarantees
//
// No loss: a row is deleted only after JetStream has stored its event. An outage of NATS, however long, and the end
// of any process at any time only cause a delay. A transaction that is rolled back publishes nothing.
//
// Order: events are stored in the order in which they were written, provided that the writes did not overlap. So the
// order holds within one transaction, and between two transactions if the first had committed before the second
// called Write. Events about the same object are in order if the transactions lock it (SELECT … FOR UPDATE, or an
// UPDATE) before they call Write, which most do anyway. Overlapping transactions without a lock have no defined
// order. The relay does not wait for open transactions; it takes what commits late when it commits.
//
// Duplicates: each event is stored at least once, and fanned out to hooks once. The relay publishes an event again if
// the process, the database or the connection dies between JetStream's acknowledgement and the deletion of the row.
// Within two minutes, JetStream drops the duplicate. After that, it is in the stream twice with the same id and
// content, and for 24 hours Whisperer's workers drop the second one. (They ask their ledger. If it cannot answer in
// time they deliver the event, and receivers may see it again, with the same webhook-id.) A duplicate never changes
// the order of the originals.
//
// An event that can never be published, for example one that was inserted without Write and is too large, is moved to
// whisperer_outbox_rejected with the reason and reported. It does not block other events.
package outbox
