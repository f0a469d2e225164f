package usecase

import "context"

// PublishedBefore finds what was published under the ids of events within a day. With a key it claims that first: the error is
// store.ErrKeyReused where the key was used for something else.
func (s *Deliveries) PublishedBefore(ctx context.Context, tenant string, key IdempotencyKey, events []Published) (map[EventKey]SeenEvent, error) {
	if key.Key != "" {
		if err := s.ledger.ClaimPublishKey(ctx, tenant, key); err != nil {
			return nil, err
		}
	}
	return s.ledger.SeenEvents(ctx, events)
}
