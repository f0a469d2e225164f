package history

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"
)

// ManifestFigures are the results for one long manifest.
type ManifestFigures struct {
	Rows int           `json:"rows"`
	Took time.Duration `json:"took"`
	// Heap is the peak heap in use by this process, which contains the API, while the manifest was read. Before is
	// the heap in use before that.
	Heap   uint64 `json:"heap"`
	Before uint64 `json:"before"`
}

// measureManifest reads the manifest of the busiest hook over all days.
func (w *world) measureManifest(ctx context.Context) (*ManifestFigures, error) {
	now := time.Now().UTC()
	address := fmt.Sprintf("%s/whisperer/hooks/%s/manifest/?from=%s&to=%s", w.api, w.hooks[0], now.AddDate(0, 0, -30).Format(time.RFC3339), now.Format(time.RFC3339))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Authorization", "Token "+w.token)
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	m := &ManifestFigures{Before: stats.HeapInuse}
	begin := time.Now()
	client := &http.Client{Timeout: 10 * time.Minute}
	answer, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask for the manifest: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for the manifest: %s", answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if m.Rows++; m.Rows%10_000 == 0 {
			runtime.ReadMemStats(&stats)
			m.Heap = max(m.Heap, stats.HeapInuse)
		}
	}
	m.Rows-- // the last line is the signed end
	m.Took = time.Since(begin)
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if m.Rows < 1 {
		return nil, errors.New("read the manifest: it has no deliveries")
	}
	return m, nil
}
