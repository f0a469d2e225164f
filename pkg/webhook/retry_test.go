package webhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func seconds(numbers ...float64) []time.Duration {
	list := make([]time.Duration, len(numbers))
	for i, n := range numbers {
		list[i] = time.Duration(n * float64(time.Second))
	}
	return list
}

// delays returns the delays of all retries, without jitter.
func delays(c webhook.Countdown) []time.Duration {
	var list []time.Duration
	for n := 1; ; n++ {
		d, ok := c.Delay(n, 0)
		if !ok {
			return list
		}
		list = append(list, d)
	}
}

func TestCountdownsWaitAsTheirConfigSays(t *testing.T) {
	t.Parallel()
	standard := seconds(5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
	tests := map[string]struct {
		config string
		want   []time.Duration
	}{
		"nothing means the default":                    {``, standard},
		"null means the default":                       {` null `, standard},
		"fixed waits the same each time":               {`{"choice":"fixed","kwargs":{"seconds":60},"max_retries":3}`, seconds(60, 60, 60)},
		"linear grows by its base":                     {`{"choice":"linear","kwargs":{"base":60},"max_retries":3}`, seconds(60, 120, 180)},
		"linear stops growing at its limit":            {`{"choice":"linear","kwargs":{"base":60,"limit":150},"max_retries":4}`, seconds(60, 120, 150, 150)},
		"linear takes fractions of a second":           {`{"choice":"linear","kwargs":{"base":1.5},"max_retries":2}`, seconds(1.5, 3)},
		"exponential is the factor times a power":      {`{"choice":"exponential","kwargs":{"base":2,"factor":3},"max_retries":4}`, seconds(6, 12, 24, 48)},
		"exponential has factor 1 unless told":         {`{"choice":"exponential","kwargs":{"base":2},"max_retries":3}`, seconds(2, 4, 8)},
		"exponential takes null for an absent limit":   {`{"choice":"exponential","kwargs":{"base":2,"limit":null},"max_retries":1}`, seconds(2)},
		"exponential stops growing at its limit":       {`{"choice":"exponential","kwargs":{"base":10,"limit":3600},"max_retries":5}`, seconds(10, 100, 1000, 3600, 3600)},
		"exponential without a limit stops at a day":   {`{"choice":"exponential","kwargs":{"base":1000},"max_retries":3}`, seconds(1000, 86400, 86400)},
		"random waits at least its minimum":            {`{"choice":"random","kwargs":{"min_value":30,"max_value":90},"max_retries":2}`, seconds(30, 30)},
		"a schedule has as many retries as delays":     {`{"choice":"schedule","kwargs":{"seconds":[5,300,1800]}}`, seconds(5, 300, 1800)},
		"a schedule can be cut short":                  {`{"choice":"schedule","kwargs":{"seconds":[5,300,1800]},"max_retries":2}`, seconds(5, 300)},
		"a schedule may repeat a delay":                {`{"choice":"schedule","kwargs":{"seconds":[5,5]}}`, seconds(5, 5)},
		"null options are absent options":              {`{"choice":"schedule","kwargs":{"seconds":[5]},"max_retries":null,"jitter":null,"deadline":null}`, seconds(5)},
		"an empty object means the default":            {` { } `, standard},
		"a choice is a word in any case":               {`{"choice":"Fixed","kwargs":{"seconds":60},"max_retries":1}`, seconds(60)},
		"numbers may be in quotes":                     {`{"choice":"linear","kwargs":{"base":"60","limit":"90"},"max_retries":"2","jitter":"0","deadline":"60"}`, seconds(60, 90)},
		"a whole number may have a fraction of 0":      {`{"choice":"fixed","kwargs":{"seconds":60.0},"max_retries":1}`, seconds(60)},
		"a delay of 0 is at once":                      {`{"choice":"fixed","kwargs":{"seconds":0},"max_retries":1}`, seconds(0)},
		"a base of 0 is at once":                       {`{"choice":"linear","kwargs":{"base":0},"max_retries":1}`, seconds(0)},
		"a limit of 0 is at once":                      {`{"choice":"exponential","kwargs":{"base":2,"limit":0},"max_retries":1}`, seconds(0)},
		"the longest schedule is 24 delays of 8 hours": {`{"choice":"schedule","kwargs":{"seconds":[` + strings.Repeat("28800,", 23) + `28800]}}`, repeat(8*time.Hour, 24)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := webhook.ParseCountdown(json.RawMessage(test.config))
			require.NoError(t, err)
			require.Equal(t, test.want, delays(c))
		})
	}
}

func repeat(d time.Duration, n int) []time.Duration {
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = d
	}
	return list
}

func TestCountdownsThatSayNothingOfRetriesHaveTheMost(t *testing.T) {
	t.Parallel()
	c, err := webhook.ParseCountdown(json.RawMessage(`{"choice":"fixed","kwargs":{"seconds":60}}`))
	require.NoError(t, err)
	require.Equal(t, webhook.MaxRetries, c.MaxRetries)
	require.Zero(t, c.Jitter)
	require.Zero(t, c.Deadline)
}

func TestRefusedCountdownsPointAtWhatIsWrong(t *testing.T) {
	t.Parallel()
	fixed := func(options string) string { return `{"choice":"fixed","kwargs":{"seconds":60}` + options + `}` }
	kwargs := func(choice, kwargs string) string {
		return fmt.Sprintf(`{"choice":%q,"kwargs":%s}`, choice, kwargs)
	}
	many := `[` + strings.Repeat("1,", 24) + `1]`
	tests := map[string]struct {
		config string
		want   []string
	}{
		"a list":                                  {`[]`, []string{""}},
		"a string":                                {`"fixed"`, []string{""}},
		"a number":                                {`3`, []string{""}},
		"no JSON":                                 {`{'choice': 'fixed'}`, []string{""}},
		"two objects":                             {fixed(``) + fixed(``), []string{""}},
		"an object without a choice":              {`{"max_retries":3}`, []string{"/choice"}},
		"an unknown choice":                       {kwargs("weekly", `{}`), []string{"/choice"}},
		"a choice that is a number":               {`{"choice":1}`, []string{"/choice"}},
		"an unknown field":                        {fixed(`,"max_retrys":3`), []string{"/max_retrys"}},
		"an unknown field with a slash":           {fixed(`,"a/b~c":3`), []string{"/a~1b~0c"}},
		"kwargs that are a list":                  {kwargs("fixed", `[60]`), []string{"/kwargs"}},
		"kwargs of another choice":                {kwargs("fixed", `{"seconds":60,"base":2}`), []string{"/kwargs/base"}},
		"max_retries of -1":                       {fixed(`,"max_retries":-1`), []string{"/max_retries"}},
		"max_retries of 0":                        {fixed(`,"max_retries":0`), []string{"/max_retries"}},
		"max_retries of 25":                       {fixed(`,"max_retries":25`), []string{"/max_retries"}},
		"max_retries of 1e9":                      {fixed(`,"max_retries":1e9`), []string{"/max_retries"}},
		"max_retries of a thousand million":       {fixed(`,"max_retries":1000000000`), []string{"/max_retries"}},
		"max_retries in words":                    {fixed(`,"max_retries":"three"`), []string{"/max_retries"}},
		"max_retries of one and a half":           {fixed(`,"max_retries":1.5`), []string{"/max_retries"}},
		"max_retries that overflows":              {fixed(`,"max_retries":9223372036854775808`), []string{"/max_retries"}},
		"max_retries beyond the schedule":         {`{"choice":"schedule","kwargs":{"seconds":[5]},"max_retries":2}`, []string{"/max_retries"}},
		"a delay of half a second in quotes":      {kwargs("fixed", `{"seconds":"0.5"}`), []string{"/kwargs/seconds"}},
		"a delay that is an empty text":           {kwargs("fixed", `{"seconds":""}`), []string{"/kwargs/seconds"}},
		"a delay that is the word null":           {kwargs("fixed", `{"seconds":"null"}`), []string{"/kwargs/seconds"}},
		"a delay of -1":                           {kwargs("fixed", `{"seconds":-1}`), []string{"/kwargs/seconds"}},
		"a delay of 1e18":                         {kwargs("fixed", `{"seconds":1e18}`), []string{"/kwargs/seconds"}},
		"a delay that overflows a duration":       {kwargs("fixed", `{"seconds":1000000000000000000}`), []string{"/kwargs/seconds"}},
		"a delay over a day":                      {kwargs("fixed", `{"seconds":86401}`), []string{"/kwargs/seconds"}},
		"a delay that is NaN":                     {kwargs("fixed", `{"seconds":"NaN"}`), []string{"/kwargs/seconds"}},
		"a delay that is an ISO 8601 duration":    {kwargs("fixed", `{"seconds":"PT0S"}`), []string{"/kwargs/seconds"}},
		"a delay that is null":                    {kwargs("fixed", `{"seconds":null}`), []string{"/kwargs/seconds"}},
		"no delay":                                {kwargs("fixed", `{}`), []string{"/kwargs/seconds"}},
		"no kwargs":                               {`{"choice":"fixed"}`, []string{"/kwargs/seconds"}},
		"a linear base below 0":                   {kwargs("linear", `{"base":-0.5}`), []string{"/kwargs/base"}},
		"a linear base of 1e400":                  {kwargs("linear", `{"base":1e400}`), []string{"/kwargs/base"}},
		"a linear base without a value":           {kwargs("linear", `{"limit":600}`), []string{"/kwargs/base"}},
		"a linear limit below 0":                  {kwargs("linear", `{"base":60,"limit":-1}`), []string{"/kwargs/limit"}},
		"an exponential base below 0":             {kwargs("exponential", `{"base":-1}`), []string{"/kwargs/base"}},
		"random bounds that are equal":            {kwargs("random", `{"min_value":5,"max_value":5}`), []string{"/kwargs/max_value"}},
		"an exponential factor of 0":              {kwargs("exponential", `{"base":2,"factor":0}`), []string{"/kwargs/factor"}},
		"an exponential limit over a day":         {kwargs("exponential", `{"base":2,"limit":86401}`), []string{"/kwargs/limit"}},
		"random bounds the wrong way round":       {kwargs("random", `{"min_value":90,"max_value":30}`), []string{"/kwargs/max_value"}},
		"random without bounds":                   {kwargs("random", `{}`), []string{"/kwargs/min_value", "/kwargs/max_value"}},
		"an empty schedule":                       {kwargs("schedule", `{"seconds":[]}`), []string{"/kwargs/seconds"}},
		"a schedule that is a number":             {kwargs("schedule", `{"seconds":5}`), []string{"/kwargs/seconds"}},
		"a schedule of 25 delays":                 {kwargs("schedule", `{"seconds":`+many+`}`), []string{"/kwargs/seconds"}},
		"a schedule with a bad delay in it":       {kwargs("schedule", `{"seconds":[1,-1,3]}`), []string{"/kwargs/seconds/1"}},
		"a schedule with null in it":              {kwargs("schedule", `{"seconds":[1,null]}`), []string{"/kwargs/seconds/1"}},
		"a schedule that is not in order":         {kwargs("schedule", `{"seconds":[300,5,1800]}`), []string{"/kwargs/seconds/1"}},
		"a schedule of more than 8 days":          {kwargs("schedule", `{"seconds":[`+strings.Repeat("86400,", 8)+`86400]}`), []string{"/kwargs/seconds"}},
		"jitter over 1":                           {fixed(`,"jitter":1.01`), []string{"/jitter"}},
		"jitter below 0":                          {fixed(`,"jitter":-0.1`), []string{"/jitter"}},
		"jitter in words":                         {fixed(`,"jitter":"some"`), []string{"/jitter"}},
		"a deadline of 0":                         {fixed(`,"deadline":0`), []string{"/deadline"}},
		"a deadline of more than 8 days":          {fixed(`,"deadline":691201`), []string{"/deadline"}},
		"several faults, each with its own place": {`{"choice":"fixed","kwargs":{"seconds":-1,"x":1},"jitter":2}`, []string{"/kwargs/seconds", "/kwargs/x", "/jitter"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParseCountdown(json.RawMessage(test.config))
			require.Equal(t, test.want, pointers(t, err))
		})
	}
}

// countdown draws a valid config and what it means.
func countdown(t *rapid.T) (config []byte, want webhook.Countdown) {
	whole := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name) }
	kwargs := map[string]any{}
	want = webhook.Countdown{MaxRetries: webhook.MaxRetries, Limit: webhook.MaxRetryDelay}
	want.Choice = rapid.SampledFrom([]webhook.Choice{
		webhook.Fixed, webhook.Linear, webhook.Exponential, webhook.Random, webhook.Schedule,
	}).Draw(t, "choice")
	limit := func() {
		if rapid.Bool().Draw(t, "limited") {
			n := whole("limit", 1, 86400)
			kwargs["limit"], want.Limit = n, time.Duration(n)*time.Second
		}
	}
	switch want.Choice {
	case webhook.Fixed:
		n := whole("seconds", 1, 86400)
		kwargs["seconds"], want.Delays = n, seconds(float64(n))
	case webhook.Linear:
		want.Base = rapid.Float64Range(1, 86400).Draw(t, "base")
		kwargs["base"] = want.Base
		limit()
	case webhook.Exponential:
		want.Base, want.Factor = rapid.Float64Range(1, 1000).Draw(t, "base"), rapid.Float64Range(0.001, 86400).Draw(t, "factor")
		kwargs["base"], kwargs["factor"] = want.Base, want.Factor
		limit()
	case webhook.Random:
		low := whole("min_value", 0, 86399)
		high := whole("max_value", low+1, 86400)
		kwargs["min_value"], kwargs["max_value"] = low, high
		want.Min, want.Max = time.Duration(low)*time.Second, time.Duration(high)*time.Second
	case webhook.Schedule:
		list, last := []int{}, 1
		for range whole("delays", 1, webhook.MaxRetries) {
			last = whole("delay", last, min(last+4000, 28800))
			list = append(list, last)
			want.Delays = append(want.Delays, time.Duration(last)*time.Second)
		}
		kwargs["seconds"], want.MaxRetries = list, len(list)
	}
	object := map[string]any{"choice": want.Choice, "kwargs": kwargs}
	if rapid.Bool().Draw(t, "has max_retries") {
		want.MaxRetries = whole("max_retries", 1, want.MaxRetries)
		object["max_retries"] = want.MaxRetries
	}
	if rapid.Bool().Draw(t, "has jitter") {
		want.Jitter = rapid.Float64Range(0, 1).Draw(t, "jitter")
		object["jitter"] = want.Jitter
	}
	if rapid.Bool().Draw(t, "has deadline") {
		n := whole("deadline", 1, 8*86400)
		object["deadline"], want.Deadline = n, time.Duration(n)*time.Second
	}
	config, err := json.Marshal(object)
	require.NoError(t, err)
	return config, want
}

func TestValidCountdownsMeanWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		config, want := countdown(t)
		got, err := webhook.ParseCountdown(config)
		require.NoError(t, err, "%s", config)
		require.Equal(t, want, got, "%s", config)
	})
}

func TestDelaysStayWithinTheirBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		_, c := countdown(t)
		random := rapid.Float64Range(0, 0.9999999).Draw(t, "random")
		bare := c
		bare.Jitter = 0
		var before time.Duration
		for n := 1; n <= c.MaxRetries; n++ {
			got, ok := c.Delay(n, random)
			require.True(t, ok, "retry %d", n)
			low, _ := bare.Delay(n, 0)
			high := low
			if c.Choice == webhook.Random {
				high = c.Max
			}
			require.GreaterOrEqual(t, got, time.Duration(0))
			require.GreaterOrEqual(t, got, low, "retry %d is never early", n)
			require.LessOrEqual(t, float64(got), float64(high)*(1+c.Jitter)+1, "retry %d", n)
			if c.Choice == webhook.Linear || c.Choice == webhook.Exponential {
				require.LessOrEqual(t, got, c.Limit, "retry %d keeps to the limit", n)
			}
			require.GreaterOrEqual(t, low, before, "delays do not get shorter")
			before = low
			least, _ := c.Delay(n, 0)
			require.LessOrEqual(t, least, got, "more random is more delay")
		}
	})
}

func TestCountdownsAreExhaustedAfterTheirLastRetry(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		_, c := countdown(t)
		n := rapid.IntRange(-3, 2*webhook.MaxRetries).Draw(t, "n")
		d, ok := c.Delay(n, 0.5)
		require.Equal(t, n >= 1 && n <= c.MaxRetries, ok)
		require.Equal(t, ok, d > 0)
	})
}

func TestTimetablesAgreeWithTheDelays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		_, c := countdown(t)
		random := rapid.Float64Range(0, 0.9999999).Draw(t, "random")
		steps := c.Timetable()
		var low, high time.Duration
		for i, step := range steps {
			require.Equal(t, i+1, step.Retry)
			d, ok := c.Delay(step.Retry, random)
			require.True(t, ok)
			require.GreaterOrEqual(t, d, step.DelayMin)
			require.LessOrEqual(t, d, step.DelayMax)
			low, high = low+step.DelayMin, high+step.DelayMax
			require.Equal(t, low, step.AfterMin)
			require.Equal(t, high, step.AfterMax)
			require.LessOrEqual(t, step.AfterMin, webhook.MaxRetrySpan)
			require.True(t, c.Deadline == 0 || step.AfterMin <= c.Deadline)
		}
		if len(steps) == c.MaxRetries {
			return
		}
		d, _ := c.Delay(len(steps)+1, 0)
		require.True(t, low+d > webhook.MaxRetrySpan || c.Deadline > 0 && low+d > c.Deadline, "a step is missing")
	})
}

func TestTheDefaultTimetableIsTheOneOfTheContract(t *testing.T) {
	t.Parallel()
	steps := webhook.DefaultCountdown().Timetable()
	require.Len(t, steps, 9)
	require.Equal(t, webhook.RetryStep{
		Retry: 1, DelayMin: 5 * time.Second, DelayMax: 6 * time.Second, AfterMin: 5 * time.Second, AfterMax: 6 * time.Second,
	}, steps[0])
	require.Equal(t, 75*time.Hour+35*time.Minute+5*time.Second, steps[8].AfterMin)
	require.LessOrEqual(t, steps[8].AfterMax, webhook.MaxRetrySpan)
}

func FuzzParseCountdown(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `{"choice":"fixed","kwargs":{"seconds":60}}`, `{"choice":"linear","kwargs":{"base":1e400}}`,
		`{"choice":"exponential","kwargs":{"base":2,"factor":1,"limit":3600},"jitter":0.5,"max_retries":3,"deadline":60}`,
		`{"choice":"random","kwargs":{"min_value":30,"max_value":90}}`, `{"choice":"schedule","kwargs":{"seconds":[5,300,1800]}}`,
		`{"kwargs":{"a/b":1}}`, `{"choice":{}}`, `{"kwargs":null,"kwargs":[]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		c, err := webhook.ParseCountdown(config)
		if err != nil {
			require.NotEmpty(t, pointers(t, err))
			return
		}
		list := delays(c)
		require.Len(t, list, c.MaxRetries)
		for _, d := range list {
			require.GreaterOrEqual(t, d, time.Duration(0))
			require.LessOrEqual(t, d, webhook.MaxRetryDelay)
		}
		require.NotEmpty(t, append(c.Timetable(), webhook.RetryStep{}))
	})
}

func TestAStoredCountdownMayHaveEqualBounds(t *testing.T) {
	t.Parallel()
	h := webhook.Hook{RetryConfig: json.RawMessage(`{"choice":"random","kwargs":{"min_value":5,"max_value":5},"max_retries":2}`)}
	require.Equal(t, seconds(5, 5), delays(h.Countdown()))
}
