package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// probeTimeout is shorter than the three seconds after which our container images consider a health check failed.
const probeTimeout = 2500 * time.Millisecond

// Probe asks the program on this machine whose health address is addr, as in its configuration (":9091"), for
// /readyz. It returns nil if the program is ready, and otherwise an error with the answer. Container images without a
// shell use it as their health check.
func Probe(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("probe health address: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, port) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("probe health address: %w", err)
	}
	request.Close = true
	client := http.Client{}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("probe health address: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, 16<<10))
	if err != nil {
		return fmt.Errorf("read health answer: %w", err)
	}
	return fmt.Errorf("not ready: %s", strings.TrimSpace(string(answer)))
}
