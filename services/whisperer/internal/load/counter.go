package load

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/signature"
)

// maxBody bounds the bytes read of a webhook.
const maxBody = 2 << 20

// counter is the receiver.
type counter struct {
	key signature.VerifyKey
	// reached is closed when every hook has received a probe.
	reached chan struct{}

	mu sync.Mutex
	// times counts how often each event came, by hook.
	times      [][]uint8
	probed     map[int]bool
	distinct   int
	repeated   int
	unverified int
	first      time.Time
	last       time.Time
	latencies  []float64 // in milliseconds
}

func newCounter(hooks int, key signature.VerifyKey) *counter {
	return &counter{key: key, reached: make(chan struct{}), times: make([][]uint8, hooks), probed: map[int]bool{}}
}

// ServeHTTP accepts a webhook whose path ends with the number of its hook.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	hook, badPath := strconv.Atoi(path.Base(r.URL.Path))
	if err != nil || badPath != nil || hook < 0 || hook >= len(c.times) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err := signature.Verify(r.Header, body, []signature.VerifyKey{c.key}, now, signature.DefaultTolerance); err != nil {
		c.mu.Lock()
		c.unverified++
		c.mu.Unlock()
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var event struct {
		Data mark `json:"data"`
	}
	if json.Unmarshal(body, &event) != nil || event.Data.Seq < 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.count(hook, event.Data, now)
	w.WriteHeader(http.StatusNoContent)
}

func (c *counter) count(hook int, m mark, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Probe {
		if c.probed[hook] = true; len(c.probed) == len(c.times) {
			select {
			case <-c.reached:
			default:
				close(c.reached)
			}
		}
		return
	}
	for len(c.times[hook]) <= m.Seq {
		c.times[hook] = append(c.times[hook], 0)
	}
	if c.times[hook][m.Seq] > 0 {
		c.repeated++
		return
	}
	c.times[hook][m.Seq] = 1
	if c.distinct++; c.distinct == 1 {
		c.first = now
	}
	c.last = now
	c.latencies = append(c.latencies, float64(now.UnixNano()-m.At)/1e6)
}

func (c *counter) received() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.distinct
}

func (c *counter) report(accepted, hooks int) *Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &Report{
		Hooks: hooks, Accepted: accepted, Expected: accepted * hooks, Received: c.distinct, Repeated: c.repeated, Unverified: c.unverified,
	}
	r.Lost = max(r.Expected-r.Received, 0)
	if took := c.last.Sub(c.first).Seconds(); took > 0 {
		r.PerSecond = float64(c.distinct) / took
	}
	slices.Sort(c.latencies)
	r.Latency = Latency{
		P50: quantile(c.latencies, 0.5), P95: quantile(c.latencies, 0.95), P99: quantile(c.latencies, 0.99), Max: quantile(c.latencies, 1),
	}
	return r
}

// quantile returns a quantile of sorted values, or 0 if there are none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}
