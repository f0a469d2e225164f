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

// Choice is how the delays of a countdown grow.
type Choice string

// The choices of a countdown.
const (
	Fixed       Choice = "fixed"       // seconds, every time
	Linear      Choice = "linear"      // base*n, never over limit
	Exponential Choice = "exponential" // factor*base^n, never over limit
	Random      Choice = "random"      // evenly between min_value and max_value
	Schedule    Choice = "schedule"    // a list, one delay for each retry
)

// Countdown is a hook's retry schedule. Make one with ParseCountdown or DefaultCountdown: only those are valid.
type Countdown struct {
	Choice Choice
	// Delays are the fixed one or the schedule's.
	Delays []time.Duration
	// Base is seconds for Linear and a number for Exponential; Factor is in seconds.
	Base, Factor float64
	// Min and Max bound Random.
	Min, Max time.Duration
	// Limit bounds Linear and Exponential, jitter included.
	Limit time.Duration
	// MaxRetries is how many retries follow the first attempt.
	MaxRetries int
	// Jitter is the part of each delay, 0 to 1, that is added at random at the most.
	Jitter float64
	// Deadline is how long after its publication an event is worth delivering; 0 is for ever.
	Deadline time.Duration
}

// DefaultCountdown is what a hook without a retry_countdown_config gets.
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

// Delay returns the wait before retry n, counted from 1; random is a number in [0, 1) that places jitter and the
// random choice. ok is false when the schedule is exhausted.
func (c Countdown) Delay(n int, random float64) (delay time.Duration, ok bool) {
	if n < 1 || n > c.MaxRetries {
		return 0, false
	}
	low, high := c.bounds(n)
	return low + time.Duration(random*float64(high-low)), true
}

// bounds are the shortest and the longest wait before retry n, jitter included.
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
	// DelayMin and DelayMax bound the wait after the attempt before.
	DelayMin, DelayMax time.Duration
	// AfterMin and AfterMax bound the time since the first attempt, the attempts themselves taking none.
	AfterMin, AfterMax time.Duration
}

// Timetable lists the retries that a delivery which always fails would get: those that MaxRetrySpan and the deadline
// leave.
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

// ParseCountdown reads a retry_countdown_config. Null, an empty text and an empty object mean DefaultCountdown. A
// *ValidationError points at each bad field, relative to the config.
func ParseCountdown(raw json.RawMessage) (Countdown, error) {
	c, err := parseCountdown(raw)
	if err == nil && c.Choice == Random && c.Min >= c.Max {
		return Countdown{}, invalid("/kwargs/max_value", "must be more than min_value")
	}
	return c, err
}

// parseCountdown is ParseCountdown for a config that is stored already: it lets bounds of Random be equal, as they could be
// once.
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
	k := kwargs{values: in.Kwargs, p: p}
	switch in.Choice {
	case Fixed:
		c.Delays = []time.Duration{k.seconds("seconds")}
	case Linear:
		c.Base, c.Limit = k.number("base", 0, MaxRetryDelay.Seconds()), k.optionalSeconds("limit", MaxRetryDelay)
	case Exponential:
		c.Base, c.Factor = k.number("base", 0, 1000), k.optionalNumber("factor", 1, 0.001, MaxRetryDelay.Seconds())
		c.Limit = k.optionalSeconds("limit", MaxRetryDelay)
	case Random:
		c.Min, c.Max = k.seconds("min_value"), k.seconds("max_value")
	case Schedule:
		c.Delays = k.schedule("seconds")
		c.MaxRetries = len(c.Delays)
	default:
		p.Add("/choice", "must be one of fixed, linear, exponential, random, schedule")
	}
	k.refuseUnknown()
	c.options(in, p)
	if err := p.OrNil(); err != nil {
		return Countdown{}, err
	}
	return c, nil
}

// options reads what every choice may have.
func (c *Countdown) options(in countdownJSON, p *ValidationError) {
	if in.MaxRetries != nil {
		n, ok := wholeNumber(*in.MaxRetries)
		switch {
		case !ok || n < 1 || n > MaxRetries:
			p.Add("/max_retries", "must be a whole number from 1 to %d", MaxRetries)
		case in.Choice == Schedule && n > len(c.Delays):
			p.Add("/max_retries", "must not be more than the schedule's %d delays", len(c.Delays))
		default:
			c.MaxRetries = n
		}
	}
	if in.Jitter != nil {
		var ok bool
		if c.Jitter, ok = number(*in.Jitter); !ok || c.Jitter < 0 || c.Jitter > 1 {
			p.Add("/jitter", "must be a number from 0 to 1")
		}
	}
	if in.Deadline != nil {
		d, ok := secondsOf(*in.Deadline, MaxRetrySpan)
		if !ok {
			p.Add("/deadline", "must be whole seconds from 1 to %d", int(MaxRetrySpan.Seconds()))
		}
		c.Deadline = d
	}
}

// kwargs reads a choice's parameters and remembers which were asked for.
type kwargs struct {
	values map[string]json.RawMessage
	known  []string
	p      *ValidationError
}

func (k *kwargs) take(name string) (json.RawMessage, bool) {
	k.known = append(k.known, name)
	v, ok := k.values[name]
	return v, ok && !isNull(v)
}

func (k *kwargs) seconds(name string) time.Duration {
	raw, ok := k.take(name)
	d, valid := delayOf(raw)
	if !ok || !valid {
		k.p.Add("/kwargs/"+name, "must be whole seconds from 0 to %d", int(MaxRetryDelay.Seconds()))
	}
	return d
}

func (k *kwargs) optionalSeconds(name string, def time.Duration) time.Duration {
	if v, ok := k.values[name]; !ok || isNull(v) {
		k.known = append(k.known, name)
		return def
	}
	return k.seconds(name)
}

func (k *kwargs) number(name string, low, high float64) float64 {
	raw, ok := k.take(name)
	f, valid := number(raw)
	if !ok || !valid || f < low || f > high {
		k.p.Add("/kwargs/"+name, "must be a number from %g to %g", low, high)
	}
	return f
}

func (k *kwargs) optionalNumber(name string, def, low, high float64) float64 {
	if v, ok := k.values[name]; !ok || isNull(v) {
		k.known = append(k.known, name)
		return def
	}
	return k.number(name, low, high)
}

func (k *kwargs) schedule(name string) []time.Duration {
	raw, ok := k.take(name)
	var list []json.RawMessage
	if !ok || json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > MaxRetries {
		k.p.Add("/kwargs/"+name, "must be a list of 1 to %d delays in whole seconds", MaxRetries)
		return nil
	}
	delays := make([]time.Duration, len(list))
	var sum time.Duration
	for i, item := range list {
		d, valid := delayOf(item)
		if !valid {
			k.p.Add(fmt.Sprintf("/kwargs/%s/%d", name, i), "must be whole seconds from 0 to %d", int(MaxRetryDelay.Seconds()))
		}
		if valid && i > 0 && d < delays[i-1] {
			k.p.Add(fmt.Sprintf("/kwargs/%s/%d", name, i), "must not be less than the delay before it")
		}
		delays[i] = d
		sum += d
	}
	if sum > MaxRetrySpan {
		k.p.Add("/kwargs/"+name, "adds up to more than %d days", int(MaxRetrySpan.Hours()/24))
	}
	return delays
}

func (k *kwargs) refuseUnknown() {
	for _, name := range sortedKeys(k.values) {
		if !slices.Contains(k.known, name) {
			k.p.Add("/kwargs/"+escapePointer(name), "is not a parameter of this choice")
		}
	}
}

// digits returns the text of a number, which may be in quotes, as forms and the predecessor's clients send it.
func digits(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		return strings.TrimSpace(text)
	}
	return string(bytes.TrimSpace(raw))
}

// wholeNumber reads a whole number, which may be in quotes or be written as 60.0.
func wholeNumber(raw json.RawMessage) (int, bool) {
	text := digits(raw)
	if whole, fraction, ok := strings.Cut(text, "."); ok && fraction != "" && strings.Trim(fraction, "0") == "" {
		text = whole
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// number reads a number, which may be in quotes: what JSON takes for one, so that there is no infinity.
func number(raw json.RawMessage) (float64, bool) {
	var f float64
	text := digits(raw)
	err := json.Unmarshal([]byte(text), &f)
	return f, err == nil && text != "null"
}

// secondsOf reads whole seconds from 1 to the limit.
func secondsOf(raw json.RawMessage, limit time.Duration) (time.Duration, bool) {
	n, ok := wholeNumber(raw)
	if !ok || n < 1 || n > int(limit.Seconds()) {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}

// delayOf reads the whole seconds of a delay, of which 0 is at once.
func delayOf(raw json.RawMessage) (time.Duration, bool) {
	n, ok := wholeNumber(raw)
	if !ok || n < 0 || n > int(MaxRetryDelay.Seconds()) {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}
