package kubernetes_test

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// What our commands of docker compose may have: flags before the command, which have values, and after each command.
var (
	composeFlags = map[string]bool{"-f": true, "--profile": true, "--env-file": true}
	afterCommand = map[string][]string{
		"up":   {"-d", "--detach", "--build", "--wait", "--scale="},
		"down": {"-v", "--volumes"}, "run": {"--rm", "--no-TTY", "-T"}, "exec": {"--no-TTY", "-T"}, "port": nil, "build": nil,
		"logs": {"--follow", "-f"}, "stop": nil, "start": nil, "restart": nil, "ps": nil, "pull": nil, "config": nil, "create": nil,
	}
)

// composeCommand is `docker compose …` somewhere in our texts.
type composeCommand struct {
	where           string
	files, profiles []string
	name            string
	services        []string
}

// composeCommands reads them in everything that tells people what to type, by the script that scripts/containers.sh goes by, too.
func composeCommands(t *testing.T) (found []composeCommand) {
	t.Helper()
	for line := range strings.Lines(printedCommands(t)) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		require.Len(t, columns, 3, line)
		found = append(found, parseCompose(t, columns[0], strings.Fields(columns[1])[2:]))
	}
	require.Greater(t, len(found), 10)
	return found
}

func printedCommands(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "bash", append([]string{"../../compose/commands.sh"}, args...)...).Output()
	require.NoError(t, err)
	return string(out)
}

func TestTheCommandsThatAreTypedAfterMakeUpLeaveContainersRunning(t *testing.T) {
	t.Parallel()
	plain := strings.Split(strings.TrimSpace(printedCommands(t, "--plain")), "\n")
	require.Contains(t, plain, "docker compose up -d --scale delivery-worker=4")
	require.Contains(t, plain, "docker compose run --rm whisperer doctor")
	require.Contains(t, plain, "docker compose up -d --wait")
	for _, command := range plain {
		c := parseCompose(t, "plain", strings.Fields(command)[2:])
		require.Empty(t, slices.Concat(c.files, c.profiles), command)
		require.NotContains(t, []string{"down", "build", "pull"}, c.name)
		require.NotContains(t, command, "--build")
		require.NotContains(t, command, "…")
		require.Empty(t, strings.Trim(command, "abcdefghijklmnopqrstuvwxyz0123456789 -=."), "it is not printed whole")
	}
}

func parseCompose(t *testing.T, where string, words []string) composeCommand {
	t.Helper()
	c := composeCommand{where: where + ": " + strings.Join(words, " ")}
	for len(words) > 1 && composeFlags[words[0]] {
		switch words[0] {
		case "-f":
			c.files = append(c.files, words[1])
		case "--profile":
			c.profiles = append(c.profiles, words[1])
		}
		words = words[2:]
	}
	require.NotEmpty(t, words, c.where)
	flags, known := afterCommand[words[0]]
	require.True(t, known, "%s: %s is no command that is known here", c.where, words[0])
	c.name = words[0]
	for i := 1; i < len(words); i++ {
		switch word := words[i]; {
		case word == "--scale":
			i++
			require.Less(t, i, len(words), c.where)
			require.Contains(t, flags, "--scale=", c.where)
			c.services = append(c.services, strings.Split(words[i], "=")[0])
		case strings.HasPrefix(word, "-"):
			require.Contains(t, flags, word, c.where)
		default:
			c.services = append(c.services, word)
			if c.name == "run" || c.name == "exec" || c.name == "port" {
				return c // what follows is the container's
			}
		}
	}
	return c
}

// compose loads a project as docker compose does, with the .env that `make up` writes and nothing else.
func compose(t *testing.T, env []string, c composeCommand) *types.Project {
	t.Helper()
	const root = "../../../"
	files := []string{root + "docker-compose.yml"}
	if len(c.files) > 0 {
		files = nil
		for _, f := range c.files {
			files = append(files, root+f)
		}
	}
	options, err := cli.NewProjectOptions(files, cli.WithName("whisperer"), cli.WithEnv(env), cli.WithProfiles(append(c.profiles, cliProfile(c)...)))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err, c.where)
	return project
}

// cliProfile is the profile that `docker compose run NAME` enables by itself.
func cliProfile(c composeCommand) []string {
	if c.name == "run" {
		return []string{"cli"}
	}
	return nil
}

func generatedEnv(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	out, err := exec.CommandContext(t.Context(), "bash", "../../compose/env.sh", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
	var env []string
	for line := range strings.Lines(read(t, file)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func TestEveryComposeCommandOfOursRunsTheImagesThatWereBuiltHere(t *testing.T) {
	t.Parallel()
	env := generatedEnv(t)
	images := map[string]string{}
	for _, c := range composeCommands(t) {
		project := compose(t, env, c)
		for _, name := range c.services {
			_, known := project.Services[name]
			require.True(t, known, "%s: there is no %s", c.where, name)
		}
		for _, s := range project.Services {
			if !strings.Contains(s.Image, "whisperer") {
				continue
			}
			require.Regexp(t, `^ghcr\.io/whisperer-oms/whisperer/[a-z-]+:local$`, s.Image, c.where)
			require.Equal(t, "never", s.PullPolicy, "%s: a stranger's image would get the master key", c.where)
			require.Equal(t, filepath.Base(strings.TrimSuffix(s.Image, ":local")), s.Build.Target, c.where)
			if was, ok := images[s.Name]; ok {
				require.Equal(t, was, s.Image, c.where)
			}
			images[s.Name] = s.Image
		}
	}
	require.Len(t, images, 4)
}

func TestComposedContainersMayDoNothingThatTheyNeedNot(t *testing.T) {
	t.Parallel()
	all := composeCommand{profiles: []string{"*"}}
	cluster := composeCommand{profiles: []string{"*"}, files: []string{"docker-compose.yml", "scripts/compose/cluster.yml"}}
	env := generatedEnv(t)
	for _, c := range []composeCommand{all, cluster} {
		for _, s := range compose(t, env, c).Services {
			require.True(t, s.ReadOnly, s.Name)
			require.Equal(t, []string{"ALL"}, s.CapDrop, s.Name)
			require.Equal(t, []string{"no-new-privileges:true"}, s.SecurityOpt, s.Name)
			require.Equal(t, "10m", s.Logging.Options["max-size"], s.Name)
			require.Positive(t, s.PidsLimit, s.Name)
			require.Positive(t, s.MemLimit, s.Name)
			require.InDelta(t, 1, s.CPUS, 0, "%s: more than a small machine has is refused", s.Name)
			for _, p := range s.Ports {
				require.Equal(t, "127.0.0.1", p.HostIP, s.Name)
			}
			if _, ours := s.Environment["WHISPERER_MASTER_KEY"]; ours {
				require.Contains(t, s.ExtraHosts, "host.docker.internal", s.Name)
			}
		}
	}
}

func TestMakeUpWritesSecretsThatNobodyKnows(t *testing.T) {
	t.Parallel()
	one, other := generatedEnv(t), generatedEnv(t)
	fresh := 0
	for i, line := range one {
		name, value, _ := strings.Cut(line, "=")
		switch {
		case strings.Contains(name, "PASSWORD"):
			require.Regexp(t, "^p[0-9a-f]{32}$", value, name)
		case name == "WHISPERER_MASTER_KEY":
			require.Regexp(t, "^[A-Za-z0-9+/]{43}=$", value)
		default:
			continue
		}
		fresh++
		require.NotEqual(t, line, other[i])
	}
	require.Equal(t, 5, fresh)
	require.Contains(t, read(t, "../../../.gitignore"), "\n/.env\n")

	// Without it nothing starts on a secret that is public.
	options, err := cli.NewProjectOptions([]string{"../../../docker-compose.yml"}, cli.WithName("whisperer"))
	require.NoError(t, err)
	_, err = options.LoadProject(t.Context())
	require.ErrorContains(t, err, "make up writes .env")
}

func TestTheExampleOfEnvHasEveryVariableThatHasToBeSet(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for _, line := range generatedEnv(t) {
		name, _, _ := strings.Cut(line, "=")
		given[name] = true
	}
	text := read(t, "../../../docker-compose.yml") + read(t, "../../compose/cluster.yml")
	for _, m := range regexp.MustCompile(`\$\{([A-Z_]+):\?`).FindAllStringSubmatch(text, -1) {
		require.True(t, given[m[1]], m[1])
	}
	for name := range given {
		require.Contains(t, text, "${"+name+":", "nothing reads it")
	}
}

func TestTracesGoToTheCollectorWhereItsProfileIsSet(t *testing.T) {
	t.Parallel()
	const name = "OTEL_EXPORTER_OTLP_ENDPOINT"
	env := generatedEnv(t)
	for _, test := range []struct {
		env  []string
		want string
	}{
		{nil, ""},
		{[]string{"COMPOSE_PROFILES=observability"}, "http://jaeger:4318"},
		{[]string{"COMPOSE_PROFILES=observability", name + "=http://mine:4318"}, "http://mine:4318"},
	} {
		services := compose(t, slices.Concat(env, test.env), composeCommand{profiles: []string{"observability"}}).Services
		for _, service := range []string{"subscription-api", "delivery-worker"} {
			require.Equal(t, test.want, *services[service].Environment[name], service)
		}
		require.Contains(t, services, "jaeger")
	}
}

func TestImagesThatAreBuiltHereSayOfWhat(t *testing.T) {
	t.Parallel()
	env := append(generatedEnv(t), "VERSION=v1", "REVISION=abc", "CREATED=2026-01-02T03:04:05Z")
	docker := read(t, "../../../Dockerfile")
	for _, name := range []string{"migrate", "subscription-api", "delivery-worker", "whisperer"} {
		args := compose(t, env, composeCommand{profiles: []string{"cli"}}).Services[name].Build.Args
		for arg, want := range map[string]string{"VERSION": "v1", "REVISION": "abc", "CREATED": "2026-01-02T03:04:05Z"} {
			require.Equal(t, want, *args[arg], name)
			require.Contains(t, docker, `="${`+arg+`}"`)
		}
	}
}

func TestPrometheusOfComposeFindsThePrograms(t *testing.T) {
	t.Parallel()
	var config struct {
		Scrape []struct {
			Job string `json:"job_name"`
			DNS []struct {
				Names []string `json:"names"`
				Port  int      `json:"port"`
			} `json:"dns_sd_configs"`
		} `json:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "../../observability/prometheus.yml")), &config))
	services := compose(t, generatedEnv(t), composeCommand{profiles: []string{"observability"}}).Services
	ports := map[string]int{"subscription-api": 9090, "delivery-worker": 9091}
	for _, job := range config.Scrape {
		require.Equal(t, []string{job.Job}, job.DNS[0].Names)
		require.Equal(t, ports[job.Job], job.DNS[0].Port)
		delete(ports, job.Job)
	}
	require.Empty(t, ports)
	for name := range maps.Keys(services) {
		for _, v := range services[name].Volumes {
			if v.Type == types.VolumeTypeBind {
				_, err := filepath.EvalSymlinks(v.Source)
				require.NoError(t, err, "%s mounts it", name)
			}
		}
	}
	require.Subset(t, slices.Collect(maps.Keys(services)), []string{"prometheus", "grafana", "jaeger"})
}
