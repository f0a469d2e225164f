package daemon_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

type config struct {
	DatabaseURL string        `env:"DATABASE_URL,required,notEmpty" desc:"Where PostgreSQL is."`
	Grace       time.Duration `env:"GRACE" envDefault:"25s" desc:"How long a stop may take."`
	Workers     int           `env:"WORKERS" envDefault:"4"`
	Health      health        `envPrefix:"HEALTH_"`
	NotFromHere string
}

type health struct {
	Addr string `env:"ADDR" envDefault:":9090" desc:"Where health checks are answered."`
}

// Validate makes config a configuration that validates itself.
func (c config) Validate() error {
	if c.Workers < 1 {
		return errors.New("WHISPERER_WORKERS: must be at least 1")
	}
	return nil
}

func TestLoadConfig(t *testing.T) {
	t.Parallel()
	got, err := daemon.LoadConfig[config]([]string{
		"WHISPERER_DATABASE_URL=postgres:///w", "WHISPERER_HEALTH_ADDR=127.0.0.1:0", "DATABASE_URL=other", "WORKERS=9",
	})
	require.NoError(t, err)
	require.Equal(t, config{
		DatabaseURL: "postgres:///w", Grace: 25 * time.Second, Workers: 4, Health: health{"127.0.0.1:0"},
	}, got)
}

func TestLoadConfigNamesEveryProblem(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		environ []string
		want    []string // one per line, after the first line
	}{
		"a missing variable":         {nil, []string{"WHISPERER_DATABASE_URL is required"}},
		"an empty one":               {[]string{"WHISPERER_DATABASE_URL="}, []string{"WHISPERER_DATABASE_URL must not be empty"}},
		"what Validate complains of": {[]string{"WHISPERER_DATABASE_URL=x", "WHISPERER_WORKERS=0"}, []string{"WHISPERER_WORKERS: must be at least 1"}},
		"several at once": {
			[]string{"WHISPERER_GRACE=soon", "WHISPERER_WORKERS=many"},
			[]string{"WHISPERER_DATABASE_URL is required", "WHISPERER_GRACE: ", "WHISPERER_WORKERS: "},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := daemon.LoadConfig[config](test.environ)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")[1:]
			require.Len(t, lines, len(test.want), err.Error())
			for i, want := range test.want {
				require.True(t, strings.HasPrefix(lines[i], want), "%q should begin with %q", lines[i], want)
			}
		})
	}
}

type pointerConfig struct{}

// Validate has a pointer receiver, which LoadConfig must find too.
func (*pointerConfig) Validate() error { return errBroken }

func TestLoadConfigFindsValidateOfThePointer(t *testing.T) {
	t.Parallel()
	_, err := daemon.LoadConfig[pointerConfig](nil)
	require.ErrorIs(t, err, errBroken)
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	type row struct {
		name, value, description string
		required                 bool
	}
	var got []row
	for _, v := range daemon.Describe[config]() {
		got = append(got, row{v.Name, v.Default, v.Description, v.Required})
	}
	require.Equal(t, []row{
		{"WHISPERER_DATABASE_URL", "", "Where PostgreSQL is.", true},
		{"WHISPERER_GRACE", "25s", "How long a stop may take.", false},
		{"WHISPERER_WORKERS", "4", "", false},
		{"WHISPERER_HEALTH_ADDR", ":9090", "Where health checks are answered.", false},
	}, got)
}
