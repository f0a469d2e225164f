package usecase

import (
	"context"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const maxPolicies = 100

// Retention lists the tenant's retention policies.
func (s *Erasures) Retention(ctx context.Context, c *Caller) ([]store.RetentionPolicy, error) {
	return s.retention.List(ctx, c.Tenant)
}

// SetRetention sets for how many days payloads of an event type, or of the types that a pattern matches, are kept.
// Null days mean the installation's default. The error is *webhook.ValidationError.
func (s *Erasures) SetRetention(ctx context.Context, c *Caller, eventType string, days Optional[int]) ([]store.RetentionPolicy, error) {
	invalid := &webhook.ValidationError{}
	if types := webhook.CanonicalEventTypes([]string{eventType}); eventType == "" || len(types) != 1 {
		invalid.Add("/event_type", "is required")
	} else {
		eventType = types[0]
		if err := webhook.ValidatePattern(eventType); err != nil {
			invalid.Add("/event_type", "%q %s", webhook.Clip(eventType), err)
		}
	}
	switch {
	case !days.Set:
		invalid.Add("/days", "is required: a whole number of days, or null")
	case days.Given() && (days.Value < 1 || days.Value > webhook.MaxRetentionDays):
		invalid.Add("/days", "must be a whole number from 1 to %d", webhook.MaxRetentionDays)
	}
	if err := invalid.OrNil(); err != nil {
		return nil, err
	}
	if err := s.retention.Set(ctx, c.Actor(), c.Tenant, eventType, days.Value, maxPolicies); err != nil {
		return nil, err
	}
	return s.retention.List(ctx, c.Tenant)
}
