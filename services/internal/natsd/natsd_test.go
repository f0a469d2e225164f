package natsd_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

func start(t *testing.T, o natsd.Options) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	return s
}

func stream(t *testing.T, url string, options ...nats.Option) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	conn, err := nats.Connect(url, options...)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	require.NoError(t, err)
	return js, s
}

func TestStoreSurvivesARestart(t *testing.T) {
	t.Parallel()
	for name, durability := range map[string]natsd.Durability{"fast": natsd.Fast, "strict": natsd.Strict} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := natsd.Options{StoreDir: filepath.Join(t.TempDir(), "nats"), Port: natsd.RandomPort, Durability: durability}
			first := start(t, options)
			js, _ := stream(t, first.ClientURL())
			_, err := js.Publish(t.Context(), "s", make([]byte, natsd.MaxPayload/2))
			require.NoError(t, err)
			require.NoError(t, first.Shutdown(t.Context()))

			second := start(t, options)
			_, kept := stream(t, second.ClientURL())
			info, err := kept.Info(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1, info.State.Msgs)
		})
	}
}

func TestInProcessConnectionNeedsNoPort(t *testing.T) {
	t.Parallel()
	s := start(t, natsd.Options{StoreDir: t.TempDir(), DontListen: true})
	js, _ := stream(t, "", nats.InProcessServer(s))
	_, err := js.Publish(t.Context(), "s", nil)
	require.NoError(t, err)
}

func TestMaxStoreDefaultsToAShareOfTheDisk(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ given, least, most int64 }{
		"given":   {64 << 20, 64 << 20, 64 << 20},
		"default": {0, 1 << 20, 1 << 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, natsd.Options{StoreDir: t.TempDir(), DontListen: true, MaxStore: test.given})
			js, _ := stream(t, "", nats.InProcessServer(s))
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "FITS", MaxBytes: test.least})
			require.NoError(t, err)
			_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "TOO_BIG", MaxBytes: test.most})
			require.ErrorContains(t, err, "insufficient storage")
		})
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().(*net.TCPAddr).Port

	busy := t.TempDir()
	start(t, natsd.Options{StoreDir: busy, DontListen: true})

	broken := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(broken, "jetstream"), nil, 0o600))

	tests := map[string]struct {
		options natsd.Options
		want    string
	}{
		"no store folder":                {natsd.Options{DontListen: true}, "no store folder"},
		"a store that is in use":         {natsd.Options{StoreDir: busy, DontListen: true}, "in use by another"},
		"a store that is no folder":      {natsd.Options{StoreDir: broken, DontListen: true}, "storage directory is not a directory"},
		"a port that is taken":           {natsd.Options{StoreDir: t.TempDir(), Port: port}, "address already in use"},
		"a durability that is not there": {natsd.Options{StoreDir: t.TempDir(), DontListen: true, Durability: 7}, "durability"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			_, err := natsd.Start(t.Context(), test.options)
			require.ErrorContains(t, err, test.want)
			require.Less(t, time.Since(begin), 10*time.Second, "the reason must not wait for a timeout")

			if test.options.StoreDir != "" && test.options.StoreDir != busy {
				_, err = natsd.Start(t.Context(), test.options)
				require.NotErrorIs(t, err, natsd.ErrInUse, "a failed start gives the store back")
			}
		})
	}
}

func TestFatalLineIsLoggedAndEndsNothing(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	broken := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(broken, "jetstream"), nil, 0o600))
	_, err := natsd.Start(t.Context(), natsd.Options{StoreDir: broken, DontListen: true, Logger: zap.New(core)})
	require.Error(t, err)
	require.Equal(t, zapcore.ErrorLevel, logs.FilterMessage("nats-server gave up").All()[0].Level)
}

func TestShutdownObeysItsContextAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	s := start(t, natsd.Options{StoreDir: t.TempDir(), DontListen: true})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ended); err != nil { // it may have finished already
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, s.Shutdown(t.Context()))
}
