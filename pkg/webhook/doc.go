// Package webhook is Whisperer's domain: events, hooks, deliveries, attempts and their rules. It does no I/O and
// depends on no technology. Databases, buses and HTTP convert to and from its values.
//
// # The life of a delivery
//
// An event fans out to the hooks that match it. Each pair of event and hook is one delivery. Its id is derived from
// the pair, so fanning out an event twice yields the same delivery.
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
// If the hook collapses deliveries, a waiting delivery is superseded when a newer event of its entity waits as well.
//
// Delivered, dead, cancelled and superseded are final; only a replay leaves them.
package webhook
