package kubernetes_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/strvals"
	"sigs.k8s.io/yaml"
)

// publishedChart is where the release workflow pushes the chart.
const publishedChart = "oci://ghcr.io/whisperer-oms/whisperer/charts/whisperer"

// helmCommands returns each `helm install` and `helm upgrade` of README.md and docs, with the values that it sets.
func helmCommands(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	files := []string{"../../../README.md", chartDir + "/README.md"}
	more, err := filepath.Glob("../../../docs/*.md")
	require.NoError(t, err)
	for _, file := range append(files, more...) {
		text := strings.ReplaceAll(read(t, file), "\\\n", " ")
		text = strings.ReplaceAll(text, `"$(openssl rand -base64 32)"`, "aW5zZWN1cmUtZGV2ZWxvcG1lbnQtbWFzdGVyLWtleSE=")
		for _, m := range regexp.MustCompile("helm (?:install|upgrade) ([^`\n#]+)").FindAllStringSubmatch(text, -1) {
			found[file+": helm … "+m[1]] = helmValues(t, strings.Fields(m[1]))
		}
	}
	require.GreaterOrEqual(t, len(found), 4)
	return found
}

// helmValues are the values that a command gives, as YAML. Its chart must be one that there is, with images that there are.
func helmValues(t *testing.T, words []string) string {
	t.Helper()
	values := map[string]any{}
	var names []string
	for i := 0; i < len(words); i++ {
		switch word := words[i]; {
		case word == "--set" || word == "--set-string":
			i++
			require.Less(t, i, len(words), word)
			parse := strvals.ParseInto
			if word == "--set-string" {
				parse = strvals.ParseIntoString
			}
			require.NoError(t, parse(words[i], values))
		case word == "--values" || word == "-f":
			i++
			require.Less(t, i, len(words), word)
			require.NoError(t, yaml.Unmarshal([]byte(read(t, "../../../"+words[i])), &values), "the file is in the repository")
		case word == "--version" || word == "--namespace" || word == "-n":
			i++
		case strings.HasPrefix(word, "-"):
			require.Contains(t, []string{"--install", "--wait", "--create-namespace", "--atomic", "--reuse-values"}, word)
		default:
			names = append(names, word)
		}
	}
	require.Len(t, names, 2, "%v: a release and a chart", words)
	if names[1] != publishedChart {
		require.Equal(t, "scripts/kubernetes/whisperer", names[1])
		image, _ := values["image"].(map[string]any)
		require.Regexp(t, `^v\d`, image["tag"], "%v: the chart of a checkout names no images that are published", words)
	}
	text, err := yaml.Marshal(values)
	require.NoError(t, err)
	return string(text)
}

func TestEveryHelmCommandOfOursInstalls(t *testing.T) {
	t.Parallel()
	for command, values := range helmCommands(t) {
		_, notes, err := render(t, values)
		require.NoError(t, err, command)
		require.NotEmpty(t, notes, command)
	}
	workflow := read(t, "../../../.github/workflows/release.yml")
	require.Contains(t, workflow, `helm push whisperer-*.tgz "oci://$REGISTRY/$GITHUB_REPOSITORY/charts"`)
	require.Contains(t, workflow, "REGISTRY: ghcr.io")
}
