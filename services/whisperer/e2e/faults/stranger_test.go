//go:build faults

package faults_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stranger is an independent client of the nats-server. It speaks the protocol itself, so that our code neither helps nor
// hinders it.
type stranger struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (w *world) stranger() *stranger {
	w.t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(w.t.Context(), "tcp", w.natsURL()[len("nats://"):])
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	s := &stranger{t: w.t, conn: conn, in: bufio.NewReader(conn)}
	_, err = s.in.ReadString('\n') // INFO
	require.NoError(w.t, err)
	_, err = io.WriteString(conn, "CONNECT {\"verbose\":false,\"name\":\"stranger\"}\r\nSUB answers 1\r\n")
	require.NoError(w.t, err)
	return s
}

// ask sends a request to JetStream's API and returns the response, including an error.
func (s *stranger) ask(subject string, request any) map[string]any {
	s.t.Helper()
	var body []byte
	if request != nil {
		var err error
		body, err = json.Marshal(request)
		require.NoError(s.t, err)
	}
	require.NoError(s.t, s.conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err := fmt.Fprintf(s.conn, "PUB $JS.API.%s answers %d\r\n%s\r\n", subject, len(body), body)
	require.NoError(s.t, err)
	for {
		line, err := s.in.ReadString('\n')
		require.NoError(s.t, err)
		words := strings.Fields(line)
		switch words[0] {
		case "PING":
			_, err := io.WriteString(s.conn, "PONG\r\n")
			require.NoError(s.t, err)
		case "MSG":
			size, err := strconv.Atoi(words[len(words)-1])
			require.NoError(s.t, err)
			content := make([]byte, size+len("\r\n"))
			_, err = io.ReadFull(s.in, content)
			require.NoError(s.t, err)
			var answer map[string]any
			require.NoError(s.t, json.Unmarshal(content, &answer))
			return answer
		}
	}
}

// done sends a request that must succeed.
func (s *stranger) done(subject string, request any) map[string]any {
	s.t.Helper()
	answer := s.ask(subject, request)
	require.NotContains(s.t, answer, "error", subject)
	return answer
}

// config returns the configuration and state of the stream, or of its consumer; nil while it does not exist.
func (s *stranger) config(stream, consumer string) map[string]any {
	s.t.Helper()
	subject := "STREAM.INFO." + stream
	if consumer != "" {
		subject = "CONSUMER.INFO." + stream + "." + consumer
	}
	config, _ := s.ask(subject, nil)["config"].(map[string]any)
	return config
}

// change changes a setting of the stream, or of its consumer.
func (s *stranger) change(stream, consumer, setting string, value any) {
	s.t.Helper()
	config := s.config(stream, consumer)
	require.NotNil(s.t, config)
	config[setting] = value
	if consumer == "" {
		s.done("STREAM.UPDATE."+stream, config)
		return
	}
	s.done("CONSUMER.DURABLE.CREATE."+stream+"."+consumer, map[string]any{"stream_name": stream, "config": config})
}

// first returns the sequence of the stream's first message.
func (s *stranger) first(stream string) int {
	s.t.Helper()
	first, _ := s.config(stream, "")["first_seq"].(float64) // absent means 1
	return max(1, int(first))
}

// redelivered returns the number of redelivered messages. All messages of the stream must belong to one of the consumers.
func (s *stranger) redelivered(stream string, consumers ...string) int {
	s.t.Helper()
	handed, last := 0, 0
	for _, consumer := range consumers {
		var info struct {
			Delivered struct {
				Consumer int `json:"consumer_seq"`
				Stream   int `json:"stream_seq"`
			} `json:"delivered"`
		}
		content, err := json.Marshal(s.done("CONSUMER.INFO."+stream+"."+consumer, nil))
		require.NoError(s.t, err)
		require.NoError(s.t, json.Unmarshal(content, &info))
		handed, last = handed+info.Delivered.Consumer, max(last, info.Delivered.Stream)
	}
	require.Positive(s.t, handed)
	return handed - (last - s.first(stream) + 1)
}
