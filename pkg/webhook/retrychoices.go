package webhook

// retryChoices are the choices of a retry_countdown_config, each with its kwargs.
var retryChoices = Variants{By: "choice", In: "kwargs", List: []Variant{
	{
		Name: string(Fixed), Help: "The same delay before every retry", Example: `{"choice": "fixed", "kwargs": {"seconds": 60}}`,
		Members: []Field{delayField("seconds", "The delay before each retry, in seconds", "60")},
	},
	{
		Name: string(Linear), Help: "Delays that grow by the same amount: base*n before retry n", Example: `{"choice": "linear", "kwargs": {"base": 60, "limit": 600}}`,
		Members: []Field{
			{Name: "base", Kind: KindReal, AsWritten: true, High: MaxRetryDelay.Seconds(), Needed: true, Example: "60", Help: "The delay before the first retry, in seconds, and what each later one has more"},
			limitField(),
		},
	},
	{
		Name: string(Exponential), Help: "Delays that grow by a factor: factor*base^n before retry n", Example: `{"choice": "exponential", "kwargs": {"base": 2, "factor": 5, "limit": 3600}}`,
		Members: []Field{
			{Name: "base", Kind: KindReal, AsWritten: true, High: 1000, Needed: true, Example: "2", Help: "What each delay is multiplied by"},
			{Name: "factor", Kind: KindReal, AsWritten: true, Low: 0.001, High: MaxRetryDelay.Seconds(), Default: "1", Example: "5", Help: "The seconds that base^n is multiplied by"},
			limitField(),
		},
	},
	{
		Name: string(Random), Help: "Each delay is drawn at random", Example: `{"choice": "random", "kwargs": {"min_value": 30, "max_value": 90}}`,
		Members: []Field{
			delayField("min_value", "The shortest delay, in seconds", "30"),
			delayField("max_value", "The longest delay, in seconds; more than min_value", "90"),
		},
	},
	{
		Name: string(Schedule), Help: "A list of delays, one for each retry", Example: `{"choice": "schedule", "kwargs": {"seconds": [5, 300, 1800]}}`,
		Members: []Field{{
			Name: "seconds", Kind: KindNumbers, AsWritten: true, High: MaxRetryDelay.Seconds(), MaxItems: MaxRetries, Needed: true, Example: "[5, 300, 1800]",
			Help: "The delays in seconds, none less than the one before it, at most 8 days in all",
		}},
	},
}}

// retryOptions are what every choice may have beside its kwargs.
var retryOptions = []Field{
	{
		Name: "max_retries", Kind: KindNumber, AsWritten: true, Low: 1, High: MaxRetries, Example: "5",
		Help: "How many retries follow the first attempt: 24 if absent, or as many as a schedule has delays, which is its most",
	},
	{Name: "jitter", Kind: KindReal, AsWritten: true, High: 1, Default: "0", Example: "0.2", Help: "The part of each delay that is added to it at random, at most"},
	{
		Name: "deadline", Kind: KindSeconds, AsWritten: true, Low: 1, High: MaxRetrySpan.Seconds(), Example: "86400",
		Help: "How many seconds after its publication an event is still worth delivering; absent for as long as the retries last",
	},
}

func delayField(name, help, example string) Field {
	return Field{Name: name, Kind: KindSeconds, AsWritten: true, High: MaxRetryDelay.Seconds(), Needed: true, Example: example, Help: help}
}

func limitField() Field {
	return Field{Name: "limit", Kind: KindSeconds, AsWritten: true, High: MaxRetryDelay.Seconds(), Default: "86400", Example: "600", Help: "The longest delay, in seconds"}
}
