package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// DefaultTimeout bounds a whole call where Options.HTTP is nil. A test of a hook takes as long as its receiver may.
const DefaultTimeout = 45 * time.Second

// maxAnswer bounds what is read of an answer: a full page of deliveries with their bodies stays far below.
const maxAnswer = 32 << 20

// ErrUnavailable says that the API could not be reached or could not do its work now: try again later.
var ErrUnavailable = errors.New("unavailable")

// ErrRefused says that the token is missing, unknown, or may not do this.
var ErrRefused = errors.New("refused")

// Options say where the API is and who calls it.
type Options struct {
	// URL is the API's root, such as http://127.0.0.1:8080.
	URL string
	// Token goes into the Authorization header; empty for none.
	Token string
	// Tenant is chosen by an operator's token; empty for the token's own, or the default one.
	Tenant string
	// UserAgent names the calling program; empty for Go's own.
	UserAgent string
	// HTTP makes the requests; nil for one with DefaultTimeout.
	HTTP *http.Client
}

// Client calls the API. What it can be asked stands in a field for each kind of thing. It may be used from many goroutines.
type Client struct {
	*core

	Audit       Audit
	Deliveries  Deliveries
	Erasures    Erasures
	Events      Events
	EventTypes  EventTypes
	Hooks       Hooks
	Jobs        Jobs
	Retention   Retention
	SigningKeys SigningKeys
	Tenants     Tenants
	Tokens      Tokens
}

// core makes the calls of all fields of a Client.
type core struct {
	root   *url.URL
	header http.Header
	http   *http.Client
}

// New makes a client. It does not connect. It fails where the URL is not an absolute http or https URL.
func New(o Options) (*Client, error) {
	root, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("read API URL: %w", err)
	}
	if (root.Scheme != "http" && root.Scheme != "https") || root.Host == "" {
		return nil, fmt.Errorf("read API URL: %q is not an http:// or https:// URL", o.URL)
	}
	root.Path = strings.TrimRight(root.Path, "/")
	root.RawQuery, root.Fragment = "", ""
	c := &core{root: root, header: http.Header{}, http: o.HTTP}
	if c.http == nil {
		c.http = &http.Client{Timeout: DefaultTimeout}
	}
	for name, value := range map[string]string{"X-Whisperer-Tenant": o.Tenant, "User-Agent": o.UserAgent} {
		if value != "" {
			c.header.Set(name, value)
		}
	}
	if o.Token != "" {
		c.header.Set("Authorization", "Token "+o.Token)
	}
	return &Client{
		core: c, Audit: Audit{c}, Deliveries: Deliveries{c}, Erasures: Erasures{c}, Events: Events{c}, EventTypes: EventTypes{c}, Hooks: Hooks{c},
		Jobs: Jobs{c}, Retention: Retention{c}, SigningKeys: SigningKeys{c}, Tenants: Tenants{c}, Tokens: Tokens{c},
	}, nil
}

// URL is the API's root, without a slash at its end.
func (c *Client) URL() string { return c.root.String() }

// request is one call.
type request struct {
	method string
	path   string // below the root, with its slashes
	query  url.Values
	header http.Header
	body   any // encoded as JSON; nil for none
}

// do makes the call and decodes a 2xx answer into the value, unless that is nil or the answer is empty. It returns a
// *ProblemError for what the API refuses, and ErrUnavailable where no answer came.
func (c *core) do(ctx context.Context, r request, into any) error {
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("read answer of %s: %w", c.root.Host, errors.Join(ErrUnavailable, err))
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return newProblem(answer, body)
	case into == nil || len(bytes.TrimSpace(body)) == 0:
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read answer of %s %s: %w", r.method, r.path, err)
	}
	return nil
}

// stream makes a call whose answer is read as it comes, however long it is: ctx bounds it, not the client's timeout. The errors are
// those of do.
func (c *core) stream(ctx context.Context, r request) (*http.Response, error) {
	streaming := *c
	streaming.http = new(*c.http)
	streaming.http.Timeout = 0
	answer, err := streaming.send(ctx, r)
	if err != nil || answer.StatusCode == http.StatusOK {
		return answer, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", c.root.Host, errors.Join(ErrUnavailable, err))
	}
	return nil, newProblem(answer, body)
}

func (c *core) send(ctx context.Context, r request) (*http.Response, error) {
	target := *c.root
	target.Path += r.path
	target.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	maps.Copy(req.Header, c.header)
	maps.Copy(req.Header, r.header)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(req)
	if err != nil {
		if where, ok := errors.AsType[*url.Error](err); ok {
			err = where.Err // its text repeats the method and the whole URL
		}
		return nil, fmt.Errorf("reach API at %s: %w", c.root.Host, errors.Join(ErrUnavailable, err))
	}
	return answer, nil
}

// call makes a call and returns its decoded answer.
func call[T any](ctx context.Context, c *core, r request) (T, error) {
	var answer T
	err := c.do(ctx, r, &answer)
	return answer, err
}

func get[T any](ctx context.Context, c *core, path string) (T, error) {
	return call[T](ctx, c, request{method: http.MethodGet, path: path})
}

// post sends a body; nil for none.
func post[T any](ctx context.Context, c *core, path string, body any) (T, error) {
	return call[T](ctx, c, request{method: http.MethodPost, path: path, body: body})
}

// pages walks a list. Of the API's link to the next page only the query counts: the token is not sent elsewhere.
func pages[T any](ctx context.Context, c *core, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			p, err := call[api.Page[T]](ctx, c, request{method: http.MethodGet, path: path, query: query})
			var none T
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range p.Results {
				if !yield(item, nil) {
					return
				}
			}
			if p.Next == nil || *p.Next == "" {
				return
			}
			next, err := url.Parse(*p.Next)
			if err != nil {
				yield(none, err)
				return
			}
			query = next.Query()
		}
	}
}
