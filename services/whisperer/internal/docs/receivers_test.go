package docs_test

import (
	"bytes"
	"database/sql"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// receivers are complete programs. They listen on PORT, verify with SECRET, and print "done: TYPE ID" once for each
// webhook.
func receivers() []language {
	return []language{
		{"python receiver", "python3", true, []string{"receiver.py"}, map[string]string{"receiver.py": "", "verify.py": "python verify"}},
		{"js receiver", "node", true, []string{"main.mjs"}, map[string]string{"receiver.mjs": "", "verify.mjs": "js verify", "main.mjs": `
import { receiver } from "./receiver.mjs";
const inbox = new Set();
receiver(process.env.SECRET, async (id, type) => {
  if (!inbox.has(id)) console.log("done:", type, id);
  inbox.add(id);
}).listen(process.env.PORT, "127.0.0.1");
`}},
		{"go receiver", "go", true, []string{"build", "-o", "program", "receiver.go", "verify.go", "main.go"}, map[string]string{"receiver.go": "", "verify.go": "go verify", "main.go": `
package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"time"

	_ "github.com/lib/pq"
)

func main() {
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		panic(err)
	}
	if _, err := db.Exec(inbox); err != nil {
		panic(err)
	}
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			for found := true; found; {
				var err error
				found, err = work(db, func(_ *sql.Tx, eventType string, body []byte) error {
					fmt.Println("done:", eventType, len(body))
					return nil
				})
				if err != nil {
					panic(err)
				}
			}
		}
	}()
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), receive(db, os.Getenv("SECRET"))))
}
`}},
	}
}

func TestReceiversTakeEachWebhookOnce(t *testing.T) {
	t.Parallel()
	for _, l := range receivers() {
		t.Run(l.Info, func(t *testing.T) {
			t.Parallel()
			if !l.there(t) {
				return
			}
			page := readPage(t, receiving)
			for name, text := range l.Files {
				if found := page.of(text); text != "" && len(found) == 1 {
					l.Files[name] = found[0]
				}
			}
			require.Len(t, page.of(l.Info), 1)
			program := l.command(t, page.of(l.Info)[0])
			address := freeAddress(t)
			_, port, err := net.SplitHostPort(address)
			require.NoError(t, err)
			program.Env = append(program.Env, "PORT="+port, "SECRET=secret", "DATABASE_URL="+testenv.EmptyPostgres(t))
			output, err := os.Create(filepath.Join(program.Dir, "output"))
			require.NoError(t, err)
			defer output.Close()
			program.Stdout, program.Stderr = output, output
			stop := startGroup(t, program)
			t.Cleanup(stop)
			printed := func() string {
				text, err := os.ReadFile(output.Name())
				require.NoError(t, err)
				return string(text)
			}
			require.Eventually(t, func() bool {
				c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
				if err == nil {
					_ = c.Close()
				}
				return err == nil
			}, 120*time.Second, 20*time.Millisecond, "%s does not listen", l.Info)

			const body = `{"event_type":"order.created","data":{"id":1042}}`
			good := signed(t, "d-1", body, time.Now(), "secret")
			forged := signed(t, "forged", body, time.Now(), "another")
			require.Equal(t, http.StatusNoContent, post(t, address, good, body), printed())
			require.Equal(t, http.StatusUnauthorized, post(t, address, forged, body))
			require.Equal(t, http.StatusUnauthorized, post(t, address, nil, body))
			require.Equal(t, http.StatusNoContent, post(t, address, good, body), "what comes again is answered as before")
			require.Equal(t, http.StatusNoContent, post(t, address, signed(t, "d-3", "{}", time.Now(), "secret"), "{}"))
			require.Eventually(t, func() bool { return strings.Count(printed(), "done: order.created") == 2 }, time.Minute, 20*time.Millisecond, printed())
			require.NotContains(t, printed(), "forged")
		})
	}
}

func post(t *testing.T, address string, headers map[string]string, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", strings.NewReader(body))
	require.NoError(t, err)
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("X-Whisperer-Event", "order.created")
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	return res.StatusCode
}

func TestTheNewestEventWins(t *testing.T) {
	t.Parallel()
	statement := slices.DeleteFunc(readPage(t, receiving).of("sql receiver"), func(s string) bool { return !strings.Contains(s, "parcels") })
	require.Len(t, statement, 1)
	db, err := sql.Open("postgres", testenv.EmptyPostgres(t))
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `CREATE TABLE parcels (id int PRIMARY KEY, status text, sequence bigint)`)
	require.NoError(t, err)
	var b bytes.Buffer
	for _, event := range []struct{ status, sequence string }{
		{"packed", "1795973252411024"}, {"shipped", "1795973252411029"}, {"labelled", "1795973252411027"},
	} {
		_, err := db.ExecContext(t.Context(), statement[0], 61, event.status, event.sequence)
		require.NoError(t, err)
		var status string
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT status FROM parcels WHERE id = 61`).Scan(&status))
		b.WriteString(status + " ")
	}
	require.Equal(t, "packed shipped shipped ", b.String())
}
