package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"
	tcpostgres "github.com/testcontainers/testcontainers-go/modules/postgres"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

func postgresFromDocker(ctx context.Context) (_ *server, err error) {
	defer recoverDocker(&err)
	reachContainers()
	container, err := tcpostgres.Run(ctx, image("WHISPERER_TEST_POSTGRES_IMAGE", "postgres:17-alpine"),
		tcpostgres.WithUsername("whisperer"), tcpostgres.WithPassword("whisperer"), tcpostgres.WithDatabase("whisperer"),
		testcontainers.WithCmdArgs("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=200"),
		testcontainers.WithTmpfs(map[string]string{"/var/lib/postgresql/data": "rw"}),
		testcontainers.WithLogger(silent{}),
		tcpostgres.BasicWaitStrategies(),
	)
	stop := func(context.Context) error { return testcontainers.TerminateContainer(container) }
	if err != nil {
		return nil, errors.Join(err, stop(ctx))
	}
	given, err := container.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		return nil, errors.Join(err, stop(ctx))
	}
	return connect(ctx, &server{
		url:      func(database string) string { return withDatabase(given, database) },
		stop:     stop,
		strategy: fileCopy,
	}, given)
}

// natsFromDocker starts a container for each test, which takes half a second. Tests cannot share one, because the
// names of the streams are fixed.
func natsFromDocker(tb testing.TB) (_ string, err error) {
	tb.Helper()
	defer recoverDocker(&err)
	reachContainers()
	const port = "4222/tcp"
	config := fmt.Sprintf("max_payload: %d\njetstream { store_dir: /tmp/jetstream }\n", natsd.MaxPayload)
	container, err := testcontainers.Run(tb.Context(), image("WHISPERER_TEST_NATS_IMAGE", "nats:2.15.3-alpine"),
		testcontainers.WithExposedPorts(port),
		testcontainers.WithFiles(testcontainers.ContainerFile{
			Reader: strings.NewReader(config), ContainerFilePath: "/tmp/nats.conf", FileMode: 0o644,
		}),
		testcontainers.WithCmd("-c", "/tmp/nats.conf"),
		testcontainers.WithLogger(silent{}),
		testcontainers.WithWaitStrategy(wait.ForLog("Server is ready"), wait.ForListeningPort(port)),
	)
	tb.Cleanup(func() {
		if err := testcontainers.TerminateContainer(container); err != nil {
			tb.Errorf("end nats-server: %v", err)
		}
	})
	if err != nil {
		return "", err
	}
	return container.PortEndpoint(tb.Context(), port, "nats")
}

// recoverDocker turns the panic of testcontainers, when it finds no engine, into an error.
func recoverDocker(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("use Docker: %v", r)
	}
}

// reachContainers corrects the address of published ports. testcontainers guesses it wrong on a machine that has
// /.dockerenv, as a container does, but also the engine's own bridge.
func reachContainers() {
	const override = "TESTCONTAINERS_HOST_OVERRIDE"
	if _, set := os.LookupEnv(override); set {
		return
	}
	if _, err := os.Stat("/.dockerenv"); err != nil {
		return
	}
	if _, err := net.InterfaceByName("docker0"); err == nil {
		_ = os.Setenv(override, "127.0.0.1") // Setenv only fails for malformed names
	}
}

// silent keeps the progress of containers out of the tests' output; errors report failures.
type silent struct{}

// Printf implements testcontainers' Logger.
func (silent) Printf(string, ...any) {}
