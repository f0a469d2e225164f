// Package webhook is Whisperer's domain: events, hooks, deliveries, attempts and the rules that bind them.
// It does no I/O and knows no technology; databases, buses and HTTP translate to and from its values.
//
// # The life of a delivery
//
// An event fans out to the hooks that match it. Each pair is one delivery, whose id is derived from the pair, so that
// doing it twice is the same delivery.
//
//	            match                     2xx
//	event ─────────────► [in flight] ──────────────► delivered
//	                      ▲   │  │
//	     due / drained    │   │  ├─ failed, schedule goes on ─► waiting ─┐
//	     ┌────────────────┘   │  └─ failed for good ──────────► dead     │
//	     │                    └─ hook cannot take it now ─────► parked ─┐│
//	     └─────────────────────────────────────────────────────────────┴┘
//	                                  hook deleted ───────────► cancelled
//
// A delivery that waits while a newer event of its entity does is superseded by that one, if its hook wants so.
//
// Delivered, dead, cancelled and superseded are final; only a person's replay leaves them.
package webhook
