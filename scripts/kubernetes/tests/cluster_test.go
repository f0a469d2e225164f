//go:build cluster

package kubernetes_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// cluster is a real API server of Kubernetes. Nothing runs on it, since it has no nodes and no controllers.
type cluster struct {
	url, token string
	http       http.Client
	// plurals are the names that kinds have in URLs, by apiVersion and kind.
	plurals map[string]string
}

// newCluster starts an API server, which takes some seconds.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	c := &cluster{url: "https://" + address, token: "token-of-" + filepath.Base(t.TempDir()), plurals: map[string]string{}}
	c.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it makes its certificate itself
	t.Cleanup(c.http.CloseIdleConnections)

	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, "../../../bin/kube-apiserver", t.TempDir(), port, c.token)
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	require.NoError(t, server.Start(), "make chart-cluster builds it")
	ended := make(chan struct{})
	go func() { _ = server.Wait(); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	require.Eventually(t, func() bool {
		select {
		case <-ended:
			require.FailNow(t, "the API server ended", said.String())
		default:
		}
		status, _, err := c.try(http.MethodGet, "/readyz", "", nil)
		return err == nil && status == http.StatusOK
	}, 5*time.Minute, 100*time.Millisecond)
	return c
}

func (c *cluster) try(method, path, contentType string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(context.Background(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", contentType)
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// apply applies an object as kubectl and Helm do, and returns what the server said against it.
func (c *cluster) apply(t *testing.T, namespace string, object any) (status int, said string) {
	t.Helper()
	text, err := yaml.Marshal(object)
	require.NoError(t, err)
	var o meta.PartialObjectMetadata
	require.NoError(t, yaml.Unmarshal(text, &o))
	group := "/apis/" + o.APIVersion
	if !strings.Contains(o.APIVersion, "/") {
		group = "/api/" + o.APIVersion
	}
	if o.Kind != "Namespace" && o.Kind != "CustomResourceDefinition" {
		namespace = "/namespaces/" + namespace
	} else {
		namespace = ""
	}
	status, answer, err := c.try(http.MethodPatch, group+namespace+"/"+c.plural(t, group, o.Kind)+"/"+o.Name+
		"?fieldManager=helm&fieldValidation=Strict&force=true", "application/apply-patch+yaml", text)
	require.NoError(t, err)
	return status, string(answer)
}

// plural asks the server by which name URLs have a kind, until it knows it.
func (c *cluster) plural(t *testing.T, group, kind string) string {
	t.Helper()
	if c.plurals[group+kind] == "" {
		require.Eventually(t, func() bool {
			_, answer, err := c.try(http.MethodGet, group, "", nil)
			var list meta.APIResourceList
			if err != nil || json.Unmarshal(answer, &list) != nil {
				return false
			}
			for _, r := range list.APIResources {
				if r.Kind == kind && !strings.Contains(r.Name, "/") {
					c.plurals[group+kind] = r.Name
				}
			}
			return c.plurals[group+kind] != ""
		}, time.Minute, 100*time.Millisecond, "%s has no %s", group, kind)
	}
	return c.plurals[group+kind]
}

// must applies what has to be taken.
func (c *cluster) must(t *testing.T, namespace string, object any) {
	t.Helper()
	status, said := c.apply(t, namespace, object)
	require.Contains(t, []int{http.StatusOK, http.StatusCreated}, status, said)
}

// object is anything by its manifest.
func object(t *testing.T, manifest string) (o map[string]any) {
	t.Helper()
	require.NoError(t, yaml.Unmarshal([]byte(manifest), &o))
	return o
}

// namespace makes one in which pods have to be of the strictest standard.
func (c *cluster) namespace(t *testing.T, name string) {
	t.Helper()
	c.must(t, "", object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: `+name+`, labels: {pod-security.kubernetes.io/enforce: restricted}}}`))
	for _, account := range []string{"default", "shop-whisperer"} { // nobody makes the first one here
		c.must(t, name, object(t, `{apiVersion: v1, kind: ServiceAccount, metadata: {name: `+account+`}}`))
	}
}

func TestAClusterTakesTheChart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	gateways, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	require.NoError(t, err)
	routes, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(gateways)), "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"))
	require.NoError(t, err)
	c.must(t, "", object(t, string(routes)))
	for _, name := range []string{"high", "highest"} {
		status, said, err := c.try(http.MethodPost, "/apis/scheduling.k8s.io/v1/priorityclasses", "application/json",
			[]byte(`{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"`+name+`"},"value":1000}`))
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, status, string(said))
	}

	all := variants(t)
	all["a try-out"] = tryOut
	i, applied := 0, map[string]int{}
	for name, values := range all {
		i++
		namespace := fmt.Sprintf("whisperer-%d", i)
		c.namespace(t, namespace)
		objects := mustRender(t, values)
		for _, o := range objects {
			text, err := yaml.Marshal(o)
			require.NoError(t, err)
			manifest := object(t, strings.ReplaceAll(string(text), "namespace: whisperer\n", "namespace: "+namespace+"\n"))
			kind, _ := manifest["kind"].(string)
			if slices.Contains([]string{"ScaledObject", "ServiceMonitor", "PrometheusRule"}, kind) {
				continue // kinds of others, which their types are held against
			}
			delete(manifest, "status")
			status, said := c.apply(t, namespace, manifest)
			if kind == "Pod" && name == "everything" { // which has somebody else's container
				require.Equal(t, http.StatusForbidden, status, said)
				require.Contains(t, said, "violates PodSecurity")
				continue
			}
			require.Contains(t, []int{http.StatusOK, http.StatusCreated}, status, "%s: %s %s: %s", name, kind, o.GetName(), said)
			applied[kind]++
		}
		if name == "everything" {
			continue
		}
		for part, pod := range pods(objects) { // which the controllers would make of them
			p := core.Pod{TypeMeta: meta.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
			p.Name = part
			status, said := c.apply(t, namespace, &p)
			require.Contains(t, []int{http.StatusOK, http.StatusCreated}, status, "%s: a pod of %s: %s", name, part, said)
		}
	}
	for _, kind := range []string{"Deployment", "Service", "Secret", "Job", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress", "HTTPRoute", "Pod"} {
		require.Positive(t, applied[kind], "none of the kind %s", kind)
	}

	// It is as strict as it has to be for that to mean anything.
	bad := object(t, `{apiVersion: v1, kind: Pod, metadata: {name: bad}, spec: {containers: [{name: a, image: "a:1"}]}}`)
	status, said := c.apply(t, "whisperer-1", bad)
	require.Equal(t, http.StatusForbidden, status, said)
	require.Contains(t, said, "violates PodSecurity")
	status, said = c.apply(t, "whisperer-1", object(t, `{apiVersion: v1, kind: Service, metadata: {name: bad}, spec: {ports: [{port: 80}], selektor: {a: b}}}`))
	require.GreaterOrEqual(t, status, http.StatusBadRequest, said)
	require.Contains(t, said, "selektor")
}
