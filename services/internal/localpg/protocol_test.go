package localpg_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// session speaks as much of PostgreSQL's protocol 3.0 as the tests need, so that the package needs no driver.
type session struct {
	t              *testing.T
	conn           net.Conn
	in             *bufio.Reader
	authentication int // 0 if the server requested none
}

func connect(t *testing.T, network, address string) *session {
	t.Helper()
	dialer := net.Dialer{Timeout: time.Minute}
	conn, err := dialer.DialContext(t.Context(), network, address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*time.Minute)))
	s := &session{t: t, conn: conn, in: bufio.NewReader(conn)}

	body := append(binary.BigEndian.AppendUint32(nil, 3<<16), "user\x00whisperer\x00database\x00postgres\x00\x00"...)
	s.send(nil, body)
	kind, answer := s.receive()
	require.Equal(t, "R", string(kind), "%q", answer)
	s.authentication = int(binary.BigEndian.Uint32(answer))
	if s.authentication == 0 {
		s.untilReady()
	}
	return s
}

// query returns the first column of the rows, or the error message.
func (s *session) query(sql string) []string {
	s.t.Helper()
	s.send([]byte{'Q'}, append([]byte(sql), 0))
	return s.untilReady()
}

func (s *session) untilReady() []string {
	s.t.Helper()
	var values []string
	for {
		kind, body := s.receive()
		switch kind {
		case 'D': // two bytes for the number of columns, four for the length of the first
			size := binary.BigEndian.Uint32(body[2:6])
			values = append(values, string(body[6:6+size]))
		case 'E':
			values = append(values, string(body))
		case 'Z':
			return values
		}
	}
}

func (s *session) send(kind, body []byte) {
	s.t.Helper()
	message := binary.BigEndian.AppendUint32(kind, uint32(len(body)+4))
	_, err := s.conn.Write(append(message, body...))
	require.NoError(s.t, err)
}

func (s *session) receive() (kind byte, body []byte) {
	s.t.Helper()
	head := make([]byte, 5)
	_, err := io.ReadFull(s.in, head)
	require.NoError(s.t, err)
	body = make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(s.in, body)
	require.NoError(s.t, err)
	return head[0], body
}
