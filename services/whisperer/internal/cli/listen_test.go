package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

// listen runs the command. It returns the address, and a function that interrupts it and returns what it printed.
func listen(t *testing.T, args ...string) (url string, stop func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := &bytes.Buffer{}
	words, say := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, cli.Program{Args: append([]string{"listen", "--port", "0"}, args...), Out: out, Err: say})
		_ = say.Close()
	}()
	lines := bufio.NewScanner(words)
	require.True(t, lines.Scan())
	url = strings.Fields(lines.Text())[2]
	go func() {
		for lines.Scan() { // later output is not read
		}
	}()
	return url, func() string {
		cancel()
		require.Equal(t, 0, <-code)
		return out.String()
	}
}

func post(t *testing.T, url, body, secret string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"hooks/1", strings.NewReader(body))
	require.NoError(t, err)
	key, err := signature.ParseKey(secret)
	require.NoError(t, err)
	now := time.Now()
	r.Header.Set("X-Whisperer-Event", "package.created")
	r.Header.Set(signature.HeaderID, "d-1")
	r.Header.Set(signature.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(signature.HeaderSignature, signature.Sign("d-1", now, []byte(body), []signature.Key{key}))
	answer, err := (&http.Client{}).Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode
}

func TestListenPrintsWhatComes(t *testing.T) {
	t.Parallel()
	url, stop := listen(t, "--secret", "old", "--secret", "new", "--status", "202")
	require.Equal(t, http.StatusAccepted, post(t, url, `{"data":{"id":61}}`, "new"))
	require.Equal(t, http.StatusUnauthorized, post(t, url, `{}`, "wrong"))
	printed := stop()
	require.Regexp(t, `package\.created +- +/hooks/1 +- +202 .*✓ verified`, printed)
	require.Regexp(t, `package\.created +- +/hooks/1 +- +401 .*✗ wrong`, printed)
	require.Contains(t, printed, "webhook-id: d-1")
	require.Contains(t, printed, `      "id": 61`)
}

func TestListenPrintsJSONLinesForPrograms(t *testing.T) {
	t.Parallel()
	url, stop := listen(t, "--json", "--secret", "s")
	require.Equal(t, http.StatusOK, post(t, url, `{"data":1}`, "s"))
	printed := stop()
	require.Equal(t, 1, strings.Count(printed, "\n"))
	require.Contains(t, printed, `"signature":"verified","status":200`)
	require.Contains(t, printed, `"body":"{\"data\":1}"`)
}

func TestListenForwards(t *testing.T) {
	t.Parallel()
	behind, stopBehind := listen(t, "--status", "503", "--secret", "s", "--brief")
	url, stop := listen(t, "--forward", behind+"hooks/2")
	require.Equal(t, http.StatusServiceUnavailable, post(t, url, `{}`, "s"))
	require.Contains(t, stop(), "- not checked")
	require.Regexp(t, `/hooks/2 .* 503 .*✓ verified\n$`, stopBehind())
}
