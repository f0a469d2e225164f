package cli

import "iter"

// listFlags bound every list that can be long.
type listFlags struct {
	Limit int `help:"Print at most this many." default:"100" placeholder:"N"`
}

// dataFlags narrow a list by the events' data.
type dataFlags struct {
	DataContains string `help:"Only those whose event's data contains this; needs --since, at most 31 days." placeholder:"JSON"`
	DataPath     string `help:"Only those whose event's data this SQL/JSON path matches; needs --since, too." placeholder:"PATH"`
	DataText     string `help:"Only those with this text in their event's data; needs --since, too." placeholder:"TEXT"`
}

// take collects at most limit elements. It never returns nil, so that JSON shows a list.
func take[T any](list iter.Seq2[T, error], limit int) ([]T, error) {
	taken := []T{}
	if limit < 1 {
		return taken, usage("--limit: must be at least 1")
	}
	for item, err := range list {
		if err != nil {
			return nil, err
		}
		if taken = append(taken, item); len(taken) == limit {
			break
		}
	}
	return taken, nil
}
