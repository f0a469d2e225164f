package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	tagLedger  = "Ledger"
	tagSigning = "Signing keys"
	asidePath  = root + "/ledger/set-aside/"
)

type (
	asideListInput struct {
		Limit limitParam `query:"limit"`
		After intParam   `query:"after" doc:"Entries with greater numbers"`
	}
	asideEntry struct {
		Number        uint64    `json:"number" doc:"Names the entry"`
		What          string    `json:"what" enum:"facts,events" doc:"facts: outcomes of deliveries; events: an event"`
		SetAsideDate  time.Time `json:"set_aside_date"`
		PublishedDate time.Time `json:"published_date"`
		Subject       string    `json:"subject" doc:"The NATS subject that it was published to"`
		Size          int       `json:"size" doc:"In bytes"`
		Reason        string    `json:"reason" doc:"Why it could not be recorded"`
	}
	asidePage struct {
		Next     *string      `json:"next" doc:"URL of the next page; null on the last one"`
		Previous *string      `json:"previous" doc:"Always null"`
		Results  []asideEntry `json:"results" nullable:"false"`
	}
	asideListOutput struct{ Body asidePage }

	putBackInput struct {
		Numbers optional[[]uint64] `json:"numbers,omitzero" doc:"Numbers from the list, at most 1,000"`
		All     optional[bool]     `json:"all,omitzero" doc:"Put back all entries"`
	}
	keptEntry struct {
		Number uint64 `json:"number"`
		Detail string `json:"detail" doc:"The reason, as reported by PostgreSQL or the decoder"`
	}
	putBackBody struct {
		PutBack int         `json:"put_back" doc:"Number of entries that are in the ledger now"`
		Stay    int         `json:"stay" doc:"Number of entries that stay set aside"`
		More    bool        `json:"more" doc:"Time ran out before all were tried: repeat the request"`
		Kept    []keptEntry `json:"kept" nullable:"false" doc:"The first 100 entries that stay set aside"`
	}
	putBackOutput struct{ Body putBackBody }
)

func (s *server) registerAside() {
	tag := []string{tagLedger}
	register(s, route{role: usecase.Viewer, operator: true, limit: usecase.SetAsideTimeout}, huma.Operation{
		OperationID: "list-set-aside", Method: http.MethodGet, Path: asidePath, Tags: tag,
		Summary:     "List ledger entries that are set aside, oldest first (operators)",
		Description: "PostgreSQL refused these entries while it took others. They are kept whole, for all tenants, until they are put back.",
	}, s.listAside)
	register(s, route{role: usecase.Admin, operator: true, body: bodyOf[putBackInput](s), limit: usecase.PutBackTime + usecase.SetAsideTimeout}, huma.Operation{
		OperationID: "put-back-set-aside", Method: http.MethodPost, Path: asidePath + "put-back/", Tags: tag,
		Summary: "Put back ledger entries that were set aside (operators)",
		Description: "Entries that PostgreSQL now accepts are recorded and no longer set aside; the rest stays. Repeating the request is harmless. " +
			"A request takes at most 20 seconds.",
	}, s.putBack)
}

func (s *server) listAside(ctx context.Context, c *call, in *asideListInput) (*asideListOutput, error) {
	limit, err := readLimit(string(in.Limit))
	if err != nil {
		return nil, err
	}
	var after uint64
	if in.After != "" {
		if after, err = strconv.ParseUint(string(in.After), 10, 63); err != nil {
			return nil, badParameter("after", "must be a whole number")
		}
	}
	list, err := s.Cases.Ledger.List(ctx, &c.Caller, after, limit+1)
	if err != nil {
		return nil, err
	}
	out := asidePage{}
	if len(list) > limit {
		list = list[:limit]
		next := c.base + asidePath + "?" + url.Values{"after": {strconv.FormatUint(list[limit-1].Seq, 10)}, "limit": {strconv.Itoa(limit)}}.Encode()
		out.Next = &next
	}
	out.Results = make([]asideEntry, len(list))
	for i := range list {
		e := &list[i]
		out.Results[i] = asideEntry{
			Number: e.Seq, What: e.What, SetAsideDate: e.At, PublishedDate: e.PublishedAt, Subject: e.Subject, Size: e.Size, Reason: e.Reason,
		}
	}
	return &asideListOutput{Body: out}, nil
}

func (s *server) putBack(ctx context.Context, c *call, _ *noInput) (*putBackOutput, error) {
	var in putBackInput
	if err := decodeBody(c.body, &in); err != nil {
		return nil, err
	}
	result, err := s.Cases.Ledger.PutBack(ctx, &c.Caller, usecase.PutBack{Numbers: in.Numbers.Optional, All: in.All.Value})
	if err != nil {
		return nil, err
	}
	out := putBackBody{PutBack: result.PutBack, Stay: result.Stay, More: result.More, Kept: make([]keptEntry, len(result.Kept))}
	for i, k := range result.Kept {
		out.Kept[i] = keptEntry{Number: k.Number, Detail: k.Err.Error()}
	}
	return &putBackOutput{Body: out}, nil
}
