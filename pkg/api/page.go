package api

import (
	"encoding/json"
	"time"
)

// Page is one page of a list.
type Page[T any] struct {
	Next     *string `json:"next" doc:"URL of the next page; null on the last one"`
	Previous *string `json:"previous" doc:"URL of the previous page; null on the first one"`
	Results  []T     `json:"results" nullable:"false"`
}

// SearchPage is one page of a list that may need a search.
type SearchPage[T any] struct {
	Next       *string    `json:"next" doc:"URL of the next page; null on the last one"`
	Previous   *string    `json:"previous" doc:"URL of the previous page; null on the first one"`
	Results    []T        `json:"results" nullable:"false"`
	SearchedTo *time.Time `json:"searched_to" doc:"How far a search without an index (payloads, event types, statuses of success) has got; next, or previous if you followed that, continues it. Null if it is complete, or the page is full"`
}

// OnlyPage is a list with a single page.
type OnlyPage[T any] struct {
	Next     *string `json:"next" doc:"Always null: there is one page"`
	Previous *string `json:"previous" doc:"Always null"`
	Results  []T     `json:"results" nullable:"false"`
}

// Object is a JSON object, or null.
type Object struct{ json.RawMessage }
