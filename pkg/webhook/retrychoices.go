package webhook

// retryChoices describes the choices of a retry_countdown_config, each with its kwargs.
var retryChoices = Variants{By: "choice", In: "kwargs", List: []Variant{
	{
		Name: string(Fixed), Help: "The same delay before every retry", Example: `{"choice": "fixed", "kwargs": {"seconds": 60}}`,
		Members: []Field{delayField("seconds", "The delay before each retry, in seconds", "60")},
	},
	{
		Name: string(Linear), Help: "Delays that grow by the same amount: base*n before retry n", Example: `{"choice": "linear", "kwargs": {"base": 60, "limit": 600}}`,
		Members: []Field{
			{Name: "base", Kind: KindReal, AsWritten: true, High: MaxRetryDelay.Seconds(), Needed: true, Example: "60", Help: "The delay before the first retry, in seconds, and the amount by which it grows with each retry"},
			limitField(),
		},
	},
	{
		Name: string(Exponential), Help: "Delays that grow by a factor: factor*base^n before retry n", Example: `{"choice": "exponential", "kwargs": {"base": 2, "factor": 5, "limit": 3600}}`,
		Members: []Field{
			{Name: "base", Kind: KindReal, AsWritten: true, High: 1000, Needed: true, Example: "2", Help: "What each delay is multiplied by to get the next"},
			{Name: "factor", Kind: KindReal, AsWritten: true, Low: 0.001, High: MaxRetryDelay.Seconds(), Default: "1", Example: "5", Help: "The number of seconds by which base^n is multiplied"},
			limitField(),
		},
	},
	{
		Name: string(Random), Help: "Random delays", Example: `{"choice": "random", "kwargs": {"min_value": 30, "max_value": 90}}`,
		Members: []Field{
			delayField("min_value", "The shortest delay, in seconds", "30"),
			delayField("max_value", "The longest delay, in seconds; more than min_value", "90"),
		},
	},
	{
		Name: string(Schedule), Help: "A list of delays, one for each retry", Example: `{"choice": "schedule", "kwargs": {"seconds": [5, 300, 1800]}}`,
		Members: []Field{{
			Name: "seconds", Kind: KindNumbers, AsWritten: true, High: MaxRetryDelay.Seconds(), MaxItems: MaxRetries, Needed: true, Example: "[5, 300, 1800]",
			Help: "The delays in seconds, in ascending order, at most 8 days in total",
		}},
	},
}}

// retryOptions describes the options that every choice has in addition to its kwargs.
var retryOptions = []Field{
	{
		Name: "max_retries", Kind: KindNumber, AsWritten: true, Low: 1, High: MaxRetries, Example: "5",
		Help: "The number of retries after the first attempt: 24 if absent; for a schedule the number of its delays, which is also the maximum",
	},
	{Name: "jitter", Kind: KindReal, AsWritten: true, High: 1, Default: "0", Example: "0.2", Help: "The largest part of each delay that is added to it at random"},
	{
		Name: "deadline", Kind: KindSeconds, AsWritten: true, Low: 1, High: MaxRetrySpan.Seconds(), Example: "86400",
		Help: "How many seconds after its publication an event may still be delivered; if absent, as long as there are retries",
	},
}

func delayField(name, help, example string) Field {
	return Field{Name: name, Kind: KindSeconds, AsWritten: true, High: MaxRetryDelay.Seconds(), Needed: true, Example: example, Help: help}
}

func limitField() Field {
	return Field{Name: "limit", Kind: KindSeconds, AsWritten: true, High: MaxRetryDelay.Seconds(), Default: "86400", Example: "600", Help: "The longest delay, in seconds"}
}
