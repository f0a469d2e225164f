package kubernetes_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// composition is what cluster.yml may change of docker-compose.yml.
type composition struct {
	Environment map[string]string    `json:"x-environment"`
	Nodes       map[string]dependent `json:"x-nodes"`
	NATS        composed             `json:"x-nats"`
	Services    map[string]composed  `json:"services"`
	Volumes     map[string]any       `json:"volumes"`
}

type composed struct {
	Image       string               `json:"image"`
	Restart     string               `json:"restart"`
	Command     []string             `json:"command"`
	Environment map[string]string    `json:"environment"`
	Volumes     []string             `json:"volumes"`
	DependsOn   map[string]dependent `json:"depends_on"`
	Deploy      map[string]int       `json:"deploy"`
	Healthcheck map[string]any       `json:"healthcheck"`
	// What TestComposedContainersMayDoNothingThatTheyNeedNot looks at.
	ReadOnly    bool     `json:"read_only"`
	CapDrop     []string `json:"cap_drop"`
	SecurityOpt []string `json:"security_opt"`
	PidsLimit   int      `json:"pids_limit"`
	MemLimit    string   `json:"mem_limit"`
	CPUs        string   `json:"cpus"`
	Logging     any      `json:"logging"`
}

type dependent struct {
	Condition string `json:"condition"`
}

func TestNATSAsksComposedAndDeployedProgramsWhoTheyAre(t *testing.T) {
	t.Parallel()
	var single struct {
		Environment map[string]string `json:"x-environment"`
		Services    map[string]struct {
			Environment map[string]string `json:"environment"`
		} `json:"services"`
	}
	var cluster composition
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "../../../docker-compose.yml")), &single))
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "../../compose/cluster.yml")), &cluster))
	accounts := read(t, "../../compose/nats-accounts.conf")
	for _, config := range []string{"nats.conf", "nats-cluster.conf"} {
		require.Contains(t, read(t, "../../compose/"+config), "include nats-accounts.conf")
	}
	require.Contains(t, accounts, "user: "+single.Environment["WHISPERER_NATS_USER"])
	require.Equal(t, single.Environment["WHISPERER_NATS_PASSWORD"], single.Services["nats"].Environment["NATS_PASSWORD_WHISPERER"])
	for name, password := range single.Services["nats"].Environment {
		require.Contains(t, accounts, "password: $"+name+",")
		for _, node := range []string{"nats-2", "nats-3"} {
			require.Equal(t, password, cluster.Services[node].Environment[name])
		}
	}
	require.Len(t, single.Services["nats"].Environment, strings.Count(accounts, "password: $"))

	objects, _, err := render(t, most)
	require.NoError(t, err)
	for _, o := range objects {
		switch o := o.(type) {
		case *core.Secret:
			if o.StringData["nats-url"] == "" {
				continue // that of the migration
			}
			require.Equal(t, "pem", o.StringData["nats-client-cert"])
		case *apps.Deployment:
			i := slices.IndexFunc(o.Spec.Template.Spec.Containers[0].Env, func(v core.EnvVar) bool { return v.Name == "WHISPERER_NATS_CLIENT_CERT" })
			require.GreaterOrEqual(t, i, 0)
			from := o.Spec.Template.Spec.Containers[0].Env[i].ValueFrom.SecretKeyRef
			require.Equal(t, "nats-client-cert", from.Key)
			require.True(t, *from.Optional, "a Secret has the keys of one way alone")
		}
	}
}

func TestTheComposedClusterIsOfThreeNodesThatKnowEachOther(t *testing.T) {
	t.Parallel()
	var cluster composition
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, "../../compose/cluster.yml")), &cluster))
	var single struct {
		Services map[string]any `json:"services"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "../../../docker-compose.yml")), &single))
	config := read(t, "../../compose/nats-cluster.conf")

	var nodes, names, urls, stores []string
	for name, service := range cluster.Services {
		if name == "whisperer" {
			continue // the command line
		}
		if !strings.HasPrefix(name, "nats") {
			require.Contains(t, single.Services, name)
			require.Equal(t, "3", service.Environment["WHISPERER_STREAM_REPLICAS"])
			require.Len(t, service.DependsOn, 3)
			continue
		}
		nodes = append(nodes, name)
		names = append(names, service.Environment["NATS_NODE"])
		urls = append(urls, "nats://"+name+":4222")
		store, _, _ := strings.Cut(service.Volumes[1], ":")
		stores = append(stores, store)
		require.Contains(t, cluster.Volumes, store)
		require.Contains(t, config, "nats://"+name+":6222")
	}
	require.Len(t, nodes, 3)
	require.Contains(t, nodes, "nats", "the node of docker-compose.yml is one of them")
	for _, distinct := range [][]string{names, stores} {
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(distinct))), 3)
	}
	require.ElementsMatch(t, urls, strings.Split(cluster.Environment["WHISPERER_NATS_URL"], ","))
}
