package usecase

import "context"

// PublishedBefore finds events that were published with these ids within a day. If there is a key, it claims that
// first; it returns store.ErrKeyReused if the key was used for a different request.
func (s *Deliveries) PublishedBefore(ctx context.Context, tenant string, key IdempotencyKey, events []Published) (map[EventKey]SeenEvent, error) {
	if key.Key != "" {
		if err := s.ledger.ClaimPublishKey(ctx, tenant, key); err != nil {
			return nil, err
		}
	}
	return s.ledger.SeenEvents(ctx, events)
}
