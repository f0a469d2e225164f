package client

import (
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// queryOf is a query of the parameters that are not empty.
func queryOf(parameters map[string]string) url.Values {
	q := url.Values{}
	for name, value := range parameters {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// timeParameter, idParameter and numberParameter write a value of a query; zero is empty.
func timeParameter(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

func idParameter(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

func numberParameter(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
