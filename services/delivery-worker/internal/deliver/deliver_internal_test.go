package deliver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestTimeParkedIsNotTheSchedules(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	daily := webhook.Countdown{Choice: webhook.Fixed, Delays: []time.Duration{24 * time.Hour}, MaxRetries: 24}
	for name, c := range map[string]struct {
		began, parked time.Time
		want          time.Time
		state         webhook.DeliveryState
	}{
		"the first attempt":                       {time.Time{}, now.Add(-time.Hour), now, webhook.Waiting},
		"not parked":                              {now.Add(-time.Hour), time.Time{}, now.Add(-time.Hour), webhook.Waiting},
		"not parked, for too long":                {now.Add(-8 * 24 * time.Hour), time.Time{}, now.Add(-8 * 24 * time.Hour), webhook.Dead},
		"parked for nearly all of the time":       {now.Add(-30 * 24 * time.Hour), now.Add(-29 * 24 * time.Hour), now.Add(-24 * time.Hour), webhook.Waiting},
		"parked at the end of its eight days":     {now.Add(-30 * 24 * time.Hour), now.Add(-22 * 24 * time.Hour), now.Add(-8 * 24 * time.Hour), webhook.Dead},
		"parked by a clock that is ahead of ours": {now.Add(-time.Hour), now.Add(time.Second), now.Add(-time.Hour), webhook.Waiting},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			round := webhook.Round{StartedAt: c.began, PublishedAt: c.began}
			begin(&round, c.parked, now)
			require.Equal(t, c.want, round.StartedAt)
			require.Equal(t, c.state, webhook.Decide(daily, nil, round, webhook.Result{Status: 503, Class: webhook.ClassStatus}, now, 0).State)
		})
	}
}
