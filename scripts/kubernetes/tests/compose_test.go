package kubernetes_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
}

type dependent struct {
	Condition string `json:"condition"`
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
