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

// natsFromDocker starts a container for each test, which takes half a second: the names of streams are the product's.
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

// recoverDocker makes an error of the panic with which testcontainers answers where it finds no engine.
func recoverDocker(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("use Docker: %v", r)
	}
}

// reachContainers corrects where testcontainers looks for published ports on a host that it takes for a container: a
// machine with /.dockerenv that has the engine's bridge itself.
func reachContainers() {
	const override = "TESTCONTAINERS_HOST_OVERRIDE"
	if _, set := os.LookupEnv(override); set {
		return
	}
	if _, err := os.Stat("/.dockerenv"); err != nil {
		return
	}
	if _, err := net.InterfaceByName("docker0"); err == nil {
		_ = os.Setenv(override, "127.0.0.1") // it fails for malformed names only
	}
}

// silent keeps the progress of containers out of the tests' output; what fails is in the error.
type silent struct{}

// Printf implements testcontainers' Logger.
func (silent) Printf(string, ...any) {}
