package console

import (
	"errors"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// timetable lists the retries of a delivery that always fails.
type timetable struct {
	Steps []retryLine
	// Problem says why there is none.
	Problem string
	// Last is the latest time of the last attempt, relative to the first.
	Last string
	Bars []bar
}

type retryLine struct {
	Retry       int
	Wait, After string
}

// preview returns the timetable of the unsaved form.
func preview(f *hookForm) timetable {
	countdown, err := webhook.ParseCountdown(f.retries())
	var invalid *webhook.ValidationError
	switch {
	case errors.As(err, &invalid):
		return timetable{Problem: "Fill in the schedule to see when deliveries are tried."}
	case err != nil:
		return timetable{Problem: "There is no timetable for this schedule."}
	}
	t := timetable{}
	for _, s := range countdown.Timetable() {
		t.Steps = append(t.Steps, retryLine{Retry: s.Retry, Wait: span(s.DelayMin, s.DelayMax), After: span(s.AfterMin, s.AfterMax)})
		t.Last = wait(s.AfterMax)
	}
	if len(t.Steps) == 0 {
		t.Problem = "No retry fits into the deadline: a delivery is tried once."
	}
	t.Bars = retryBars(countdown.Timetable())
	return t
}

// span formats a range of durations, or a single one if both ends read the same.
func span(low, high time.Duration) string {
	if wait(low) == wait(high) {
		return wait(low)
	}
	return fmt.Sprintf("%s to %s", wait(low), wait(high))
}
