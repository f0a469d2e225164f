package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of retry schedules.
const (
	// MaxRetries bounds the retries after the first attempt.
	MaxRetries = 24
	// MaxRetryDelay bounds one delay.
	MaxRetryDelay = 24 * time.Hour
	// MaxRetrySpan bounds the time from the first attempt to the last.
	MaxRetrySpan = 8 * 24 * time.Hour
)

// Choice is how the delays of a schedule grow.
type Choice string

// The choices.
const (
	Fixed       Choice = "fixed"       // seconds, every time
	Linear      Choice = "linear"      // base*n, never over limit
	Exponential Choice = "exponential" // factor*base^n, never over limit
	Random      Choice = "random"      // evenly between min_value and max_value
	Schedule    Choice = "schedule"    // a list, one delay for each retry
)

// Countdown is a hook's retry schedule. Create one with ParseCountdown or DefaultCountdown: only those are valid.
type Countdown struct {
	Choice Choice
	// Delays are the fixed delay, or the list of Schedule.
	Delays []time.Duration
	// Base is in seconds for Linear and a plain number for Exponential; Factor is in seconds.
	Base, Factor float64
	// Min and Max bound Random.
	Min, Max time.Duration
	// Limit bounds the delays of Linear and Exponential, including jitter.
	Limit time.Duration
	// MaxRetries is how many retries follow the first attempt.
	MaxRetries int
	// Jitter is the maximum fraction of each delay, 0 to 1, that is added at random.
	Jitter float64
	// Deadline is how long after its publication an event is worth delivering; 0 means forever.
	Deadline time.Duration
}

// DefaultCountdown returns the schedule of a hook without a retry_countdown_config.
func DefaultCountdown() Countdown {
	return Countdown{
		Choice: Schedule,
		Delays: []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
			10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		},
		MaxRetries: 9,
		Jitter:     0.2,
	}
}

// Delay returns the wait before retry n, counted from 1. random, in [0, 1), determines the jitter and the random
// choice. ok is false if the schedule is exhausted.
func (c Countdown) Delay(n int, random float64) (delay time.Duration, ok bool) {
	if n < 1 || n > c.MaxRetries {
		return 0, false
	}
	low, high := c.bounds(n)
	return low + time.Duration(random*float64(high-low)), true
}

// bounds returns the shortest and the longest wait before retry n, including jitter.
func (c Countdown) bounds(n int) (low, high time.Duration) {
	switch c.Choice {
	case Fixed:
		low = c.Delays[0]
	case Linear:
		low = atMost(c.Base*float64(n), c.Limit)
	case Exponential:
		low = atMost(c.Factor*math.Pow(c.Base, float64(n)), c.Limit)
	case Random:
		return c.Min, c.Max + time.Duration(c.Jitter*float64(c.Max))
	case Schedule:
		low = c.Delays[n-1]
	}
	high = low + time.Duration(c.Jitter*float64(low))
	if c.Choice == Linear || c.Choice == Exponential {
		high = min(high, c.Limit)
	}
	return low, high
}

func atMost(seconds float64, limit time.Duration) time.Duration {
	if seconds >= limit.Seconds() {
		return limit
	}
	return time.Duration(seconds * float64(time.Second))
}

// RetryStep is one line of a timetable.
type RetryStep struct {
	// Retry counts from 1.
	Retry int
	// DelayMin and DelayMax bound the wait after the previous attempt.
	DelayMin, DelayMax time.Duration
	// AfterMin and AfterMax bound the time since the first attempt, if attempts take no time.
	AfterMin, AfterMax time.Duration
}

// Timetable returns the retries of a delivery that always fails, within MaxRetrySpan and the deadline.
func (c Countdown) Timetable() []RetryStep {
	var steps []RetryStep
	var low, high time.Duration
	for n := 1; n <= c.MaxRetries; n++ {
		l, h := c.bounds(n)
		low, high = low+l, high+h
		if low > MaxRetrySpan || c.Deadline > 0 && low > c.Deadline {
			break
		}
		steps = append(steps, RetryStep{Retry: n, DelayMin: l, DelayMax: h, AfterMin: low, AfterMax: high})
	}
	return steps
}

// countdownJSON is retry_countdown_config as integrators write it.
type countdownJSON struct {
	Choice     Choice                     `json:"choice"`
	Kwargs     map[string]json.RawMessage `json:"kwargs"`
	MaxRetries *json.RawMessage           `json:"max_retries"`
	Jitter     *json.RawMessage           `json:"jitter"`
	Deadline   *json.RawMessage           `json:"deadline"`
}

// ParseCountdown parses a retry_countdown_config. Null, an empty text and an empty object mean DefaultCountdown. A
// *ValidationError points at each invalid field, relative to the config.
func ParseCountdown(raw json.RawMessage) (Countdown, error) {
	c, err := parseCountdown(raw)
	if err == nil && c.Choice == Random && c.Min >= c.Max {
		return Countdown{}, invalid("/kwargs/max_value", "must be more than min_value")
	}
	return c, err
}

// parseCountdown is like ParseCountdown for a stored config. It accepts equal bounds of Random, which used to be
// valid.
func parseCountdown(raw json.RawMessage) (Countdown, error) {
	if isNull(raw) || isEmptyObject(raw) {
		return DefaultCountdown(), nil
	}
	var in countdownJSON
	if err := decodeStrict(raw, &in); err != nil {
		return Countdown{}, err
	}
	in.Choice = Choice(strings.ToLower(string(in.Choice)))
	p := &ValidationError{}
	c := Countdown{Choice: in.Choice, MaxRetries: MaxRetries, Limit: MaxRetryDelay}
	c.kwargs(in.Kwargs, p)
	c.options(in, p)
	if err := p.OrNil(); err != nil {
		return Countdown{}, err
	}
	return c, nil
}

// kwargs parses the parameters of the choice, as retryChoices describes them.
func (c *Countdown) kwargs(given map[string]json.RawMessage, p *ValidationError) {
	choice := retryChoices.Named(string(c.Choice))
	if choice == nil {
		p.Add("/choice", "must be one of %s", strings.Join(retryChoices.names(), ", "))
		choice = &Variant{}
	}
	values := map[string]float64{}
	for i := range choice.Members {
		f := &choice.Members[i]
		raw := given[f.Name]
		switch {
		case f.Kind == KindNumbers:
			c.Delays = scheduleOf(f, raw, p)
			c.MaxRetries = len(c.Delays)
			continue
		case isNull(raw) && !f.Needed:
			raw = json.RawMessage(f.Default)
		}
		if problem := f.Refuses(raw); problem != "" {
			p.Add("/kwargs/"+f.Name, "%s", problem)
		}
		values[f.Name], _ = number(raw)
	}
	for _, name := range sortedKeys(given) {
		if !slices.ContainsFunc(choice.Members, func(f Field) bool { return f.Name == name }) {
			p.Add("/kwargs/"+escapePointer(name), "is not a parameter of this choice")
		}
	}
	seconds := func(name string) time.Duration { return time.Duration(values[name]) * time.Second }
	switch c.Choice {
	case Fixed:
		c.Delays = []time.Duration{seconds("seconds")}
	case Linear, Exponential:
		c.Base, c.Factor, c.Limit = values["base"], values["factor"], seconds("limit")
	case Random:
		c.Min, c.Max = seconds("min_value"), seconds("max_value")
	case Schedule: // its delays are a list
	}
}

// options parses the options that every choice has.
func (c *Countdown) options(in countdownJSON, p *ValidationError) {
	given := map[string]*json.RawMessage{"max_retries": in.MaxRetries, "jitter": in.Jitter, "deadline": in.Deadline}
	for i := range retryOptions {
		f := &retryOptions[i]
		if raw := given[f.Name]; raw != nil {
			if problem := f.Refuses(*raw); problem != "" {
				p.Add("/"+f.Name, "%s", problem)
				given[f.Name] = nil
			}
		}
	}
	if raw := given["max_retries"]; raw != nil {
		n, _ := wholeNumber(*raw)
		if c.MaxRetries = n; in.Choice == Schedule && n > len(c.Delays) {
			p.Add("/max_retries", "must not be more than the schedule's %d delays", len(c.Delays))
		}
	}
	if raw := given["jitter"]; raw != nil {
		c.Jitter, _ = number(*raw)
	}
	if raw := given["deadline"]; raw != nil {
		n, _ := wholeNumber(*raw)
		c.Deadline = time.Duration(n) * time.Second
	}
}

// scheduleOf parses the delays of a schedule.
func scheduleOf(f *Field, raw json.RawMessage, p *ValidationError) []time.Duration {
	var list []json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > f.MaxItems {
		p.Add("/kwargs/"+f.Name, "must be a list of 1 to %d delays in whole seconds", f.MaxItems)
		return nil
	}
	delays := make([]time.Duration, len(list))
	delay := Field{Kind: KindSeconds, Low: f.Low, High: f.High}
	var sum time.Duration
	for i, item := range list {
		problem := delay.Refuses(item)
		if problem != "" {
			p.Add(fmt.Sprintf("/kwargs/%s/%d", f.Name, i), "%s", problem)
		} else {
			n, _ := wholeNumber(item)
			delays[i] = time.Duration(n) * time.Second
		}
		if problem == "" && i > 0 && delays[i] < delays[i-1] {
			p.Add(fmt.Sprintf("/kwargs/%s/%d", f.Name, i), "must not be less than the delay before it")
		}
		sum += delays[i]
	}
	if sum > MaxRetrySpan {
		p.Add("/kwargs/"+f.Name, "adds up to more than %d days", int(MaxRetrySpan.Hours()/24))
	}
	return delays
}

// digits returns the text of a number, possibly in quotes as forms and the predecessor's clients send it.
func digits(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		return strings.TrimSpace(text)
	}
	return string(bytes.TrimSpace(raw))
}

// wholeNumber parses a whole number, which may be in quotes or be written as 60.0.
func wholeNumber(raw json.RawMessage) (int, bool) {
	text := digits(raw)
	if whole, fraction, ok := strings.Cut(text, "."); ok && fraction != "" && strings.Trim(fraction, "0") == "" {
		text = whole
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// number parses a number, which may be in quotes. Only JSON's notation is valid, so there is no infinity.
func number(raw json.RawMessage) (float64, bool) {
	var f float64
	text := digits(raw)
	err := json.Unmarshal([]byte(text), &f)
	return f, err == nil && text != "null"
}
