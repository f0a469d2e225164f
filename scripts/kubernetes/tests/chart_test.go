// Package kubernetes_test renders the Helm chart and holds what comes out against the types of Kubernetes, and the
// dashboard and alerts against the language of Prometheus. Its libraries are large and of no use to anything else, so it
// is a module outside of the workspace: `make chart`.
package kubernetes_test

import (
	"errors"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const chartDir = "../whisperer"

// scaledObject is what the chart uses of KEDA's type.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int `json:"minReplicaCount"`
		MaxReplicaCount int `json:"maxReplicaCount"`
		Triggers        []struct {
			Type     string            `json:"type"`
			Metadata map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// kinds makes an empty object of each kind that the chart may have, by apiVersion and kind.
var kinds = map[string]func() meta.Object{
	"apps/v1/Deployment":                      func() meta.Object { return &apps.Deployment{} },
	"v1/Service":                              func() meta.Object { return &core.Service{} },
	"v1/Secret":                               func() meta.Object { return &core.Secret{} },
	"v1/Pod":                                  func() meta.Object { return &core.Pod{} },
	"v1/ServiceAccount":                       func() meta.Object { return &core.ServiceAccount{} },
	"gateway.networking.k8s.io/v1/HTTPRoute":  func() meta.Object { return &gateway.HTTPRoute{} },
	"v1/ConfigMap":                            func() meta.Object { return &core.ConfigMap{} },
	"batch/v1/Job":                            func() meta.Object { return &batch.Job{} },
	"networking.k8s.io/v1/Ingress":            func() meta.Object { return &networking.Ingress{} },
	"networking.k8s.io/v1/NetworkPolicy":      func() meta.Object { return &networking.NetworkPolicy{} },
	"policy/v1/PodDisruptionBudget":           func() meta.Object { return &policy.PodDisruptionBudget{} },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() meta.Object { return &autoscaling.HorizontalPodAutoscaler{} },
	"keda.sh/v1alpha1/ScaledObject":           func() meta.Object { return &scaledObject{} },
	"monitoring.coreos.com/v1/ServiceMonitor": func() meta.Object { return &monitoring.ServiceMonitor{} },
	"monitoring.coreos.com/v1/PrometheusRule": func() meta.Object { return &monitoring.PrometheusRule{} },
}

// Values of an installation with as little as possible, and with everything.
const (
	least = `existingSecret: mine`
	most  = `
fullnameOverride: ""
commonLabels: {team: shop}
podLabels: {sidecar: "no"}
envFrom: [{configMapRef: {name: proxies}}]
initContainers: [{name: wait, image: "busybox:1.37"}]
serviceAccount: {create: true, annotations: {role: r}}
priorityClassName: high
secret: {databaseURL: "postgres://u:p@db/w", natsURL: "nats://nats:4222", masterKey: "aW5zZWN1cmUtZGV2ZWxvcG1lbnQtbWFzdGVyLWtleSE=", nats: {user: whisperer, password: secret, clientCert: pem}}
imagePullSecrets: [{name: pull}]
settings: {WHISPERER_LOG_LEVEL: debug}
egress: {allow: ["10.20.0.0/16", "192.168.7.7"], ports: [443]}
api:
  autoscaling: {enabled: true}
  settings: {WHISPERER_HOOK_QUOTA: "50"}
  service: {annotations: {a: b}}
  httpRoute: {enabled: true, parentRefs: [{name: public, namespace: gateways}], hostnames: [hooks.example.com]}
  nodeSelector: {disk: big}
  ingress: {enabled: true, host: hooks.example.com, className: nginx, tlsSecret: tls, annotations: {a: b}}
worker:
  settings: {WHISPERER_SLOTS: "1024"}
  autoscaling: {by: keda, natsMonitoring: "nats:8222"}
  priorityClassName: highest
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]
networkPolicy: {extraEgress: [{to: [{ipBlock: {cidr: 10.9.9.9/32}}], ports: [{port: 4318}]}], extraIngress: [{ports: [{port: 15020}]}]}
monitoring: {enabled: true, labels: {release: prometheus}}
podAnnotations: {a: b, inject: "true"}
migrate: {podAnnotations: {inject: "false"}}
extraVolumes: [{name: authorities, configMap: {name: authorities}}]
extraVolumeMounts: [{name: authorities, mountPath: /etc/authorities, readOnly: true}]
extraEnv: [{name: SSL_CERT_DIR, value: /etc/authorities}, {name: PGPASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]
nodeSelector: {disk: ssd}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {}}
`
	tryOut = `{tryOut: {enabled: true}, streamReplicas: 1, secret: {masterKey: "aW5zZWN1cmUtZGV2ZWxvcG1lbnQtbWFzdGVyLWtleSE="}}`
)

// render returns what Helm would apply, and the notes; an error is what Helm would say.
func render(t *testing.T, values string) (objects []meta.Object, notes string, err error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	require.NoError(t, err)
	given, err := chartutil.ReadValues([]byte(values))
	require.NoError(t, err)
	release := chartutil.ReleaseOptions{Name: "shop", Namespace: "whisperer", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(chart, given, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return nil, "", err
	}
	for name, text := range files {
		switch {
		case path.Ext(name) == ".txt":
			notes = text
		case path.Ext(name) == ".yaml":
			for _, document := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
				if o := decode(t, document); o != nil {
					objects = append(objects, o)
				}
			}
		}
	}
	return objects, notes, nil
}

// decode reads a manifest, without forgiving a field that its kind does not have.
func decode(t *testing.T, document string) meta.Object {
	t.Helper()
	var kind meta.TypeMeta
	require.NoError(t, yaml.Unmarshal([]byte(document), &kind), document)
	if kind.Kind == "" {
		require.Empty(t, strings.TrimSpace(regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(document, "")))
		return nil
	}
	empty, known := kinds[kind.APIVersion+"/"+kind.Kind]
	require.True(t, known, "%+v", kind)
	o := empty()
	text, err := yaml.YAMLToJSONStrict([]byte(document))
	require.NoError(t, err, document)
	problems, err := json.UnmarshalStrict(text, o) // as the API server: with another case a field is another field
	require.NoError(t, errors.Join(append(problems, err)...), document)
	return o
}

func mustRender(t *testing.T, values string) []meta.Object {
	t.Helper()
	objects, _, err := render(t, values)
	require.NoError(t, err)
	return objects
}

// of returns the objects of one type.
func of[T meta.Object](objects []meta.Object) (found []T) {
	for _, o := range objects {
		if x, ok := o.(T); ok {
			found = append(found, x)
		}
	}
	return found
}

func variants(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{
		"the least": least, "everything": most,
		"scaled by Prometheus":     least + "\nworker: {autoscaling: {by: prometheus}}",
		"without what is optional": least + "\nmigrate: {enabled: false}\nnetworkPolicy: {enabled: false}\npodDisruptionBudget: {enabled: false}\napi: {drainSeconds: 0}",
		"outside services, one R1": least + "\nstreamReplicas: 1\nnetworkPolicy: {postgres: {to: [{ipBlock: {cidr: 10.1.2.3/32}}]}, clients: [{podSelector: {}}]}",
		"OpenShift":                least + "\n" + example(t, "OpenShift"),
		"a private authority":      least + "\n" + example(t, "Private certificate authorities"),
	}
}

// example returns the values that the manual gives below its paragraph of that name.
func example(t *testing.T, name string) string {
	t.Helper()
	_, text, found := strings.Cut(read(t, manualFile), "\n**"+name)
	require.True(t, found, name)
	_, text, _ = strings.Cut(text, "\n```yaml\n")
	text, _, _ = strings.Cut(text, "```\n")
	return text
}

func TestEveryManifestIsValidAndNamedOnce(t *testing.T) {
	t.Parallel()
	for name, values := range variants(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{}
			for _, o := range mustRender(t, values) {
				id := strings.TrimPrefix(strings.ToLower(typeName(o)), "*") + "/" + o.GetName()
				require.False(t, seen[id], "two of %s", id)
				seen[id] = true
				require.Empty(t, validation.IsDNS1123Subdomain(o.GetName()))
				for key, value := range o.GetLabels() {
					require.Empty(t, validation.IsQualifiedName(key))
					require.Empty(t, validation.IsValidLabelValue(value))
				}
			}
			require.Len(t, of[*apps.Deployment](mustRender(t, values)), 2)
		})
	}
}

func TestValuesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ values, complaint string }{
		"nothing at all":                   {"", "existingSecret or secret."},
		"a misspelt value":                 {least + "\nworkers: {replicas: 3}", "workers"},
		"a misspelt probe of a part":       {least + "\napi: {probes: {alive: {periodSeconds: 5}}}", "alive"},
		"a misspelt value further down":    {least + "\nworker: {replica: 3}", "replica"},
		"a setting that is none":           {least + "\nsettings: {LOG_LEVEL: debug}", "LOG_LEVEL"},
		"a secret among the settings":      {least + "\nsettings: {WHISPERER_MASTER_KEY: x}", "WHISPERER_MASTER_KEY"},
		"a number that would lose digits":  {least + "\nsettings: {WHISPERER_OMS_MAX_BYTES: 21474836480}", "WHISPERER_OMS_MAX_BYTES"},
		"two copies of streams":            {least + "\nstreamReplicas: 2", "streamReplicas"},
		"a master key that is too short":   {"secret: {databaseURL: 'postgres://x', natsURL: 'nats://x', masterKey: c2hvcnQ=}", "masterKey"},
		"keda without NATS' monitoring":    {least + "\nworker: {autoscaling: {by: keda}}", "natsMonitoring"},
		"an ingress for no host":           {least + "\napi: {ingress: {enabled: true}}", "host"},
		"a policy that lets everybody out": {least + "\nnetworkPolicy: {postgres: {to: []}}", "postgres"},
		"DNS on any port":                  {least + "\nnetworkPolicy: {dns: {ports: []}}", "/networkPolicy/dns/ports"},
		"root":                             {least + "\npodSecurityContext: {runAsUser: 0}", "runAsUser"},
		"maybe root":                       {least + "\npodSecurityContext: {runAsNonRoot: null}", "runAsNonRoot"},
		"a misspelt user":                  {least + "\npodSecurityContext: {runAsuser: 7}", "runAsuser"},
		"a setting among the environment":  {least + "\nextraEnv: [{name: WHISPERER_LOG_LEVEL, value: debug}]", "extraEnv"},
		"a volume of nothing":              {least + "\nextraVolumes: [{name: a}]", "extraVolumes"},
		"privileges":                       {least + "\nsecurityContext: {allowPrivilegeEscalation: true}", "allowPrivilegeEscalation"},
		"a digest that is none":            {least + "\nimage: {digests: {whisperer: latest}}", "digests"},
		"a route to nowhere":               {least + "\napi: {httpRoute: {enabled: true}}", "parentRefs"},
		"a try-out on a cluster":           {strings.Replace(tryOut, "streamReplicas: 1", "streamReplicas: 3", 1), "streamReplicas: 1"},
		"a Secret for some":                {"existingSecrets: {databaseURL: {name: pg}, natsURL: {name: bus}}", "existingSecret or secret.masterKey"},
		"a mount without a path":           {least + "\nextraVolumeMounts: [{name: a}]", "mountPath"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := render(t, test.values)
			require.ErrorContains(t, err, test.complaint)
		})
	}
}

func TestHelmLintHasNothingToSay(t *testing.T) {
	t.Parallel()
	for name, values := range variants(t) {
		given, err := chartutil.ReadValues([]byte(values))
		require.NoError(t, err)
		for _, m := range lint.All(chartDir, given, "whisperer", true).Messages {
			require.Less(t, m.Severity, support.WarningSev, "%s: %s", name, m)
		}
	}
}

func TestNotesSayHowToGoOn(t *testing.T) {
	t.Parallel()
	_, notes, err := render(t, most)
	require.NoError(t, err)
	require.Contains(t, notes, "token create first --role admin")
	require.Equal(t, 1, strings.Count(notes, "https://hooks.example.com/whisperer/docs"), "of the ingress and the route")
	require.NotContains(t, notes, "port-forward")
	require.NotContains(t, notes, "postgres://u:p")

	_, notes, err = render(t, least+"\napi: {httpRoute: {enabled: true, parentRefs: [{name: public}], hostnames: [one.example.com, two.example.com]}}")
	require.NoError(t, err)
	require.Contains(t, notes, "The API is at\n  https://one.example.com/whisperer/docs\n  https://two.example.com/whisperer/docs\n")
	require.NotContains(t, notes, "port-forward")
	require.Contains(t, notes, "image.tag is dev")

	_, notes, err = render(t, least+"\nimage: {tag: v1.0.0}")
	require.NoError(t, err)
	require.Contains(t, notes, "To reach the API from this machine:\n  kubectl --namespace whisperer port-forward service/shop-whisperer-subscription-api 8080:80\n  then open http://127.0.0.1:8080/whisperer/docs\n")
	require.NotContains(t, notes, "image.tag")
}

func TestThePodOfTheFirstTokenHasWhatAllPodsHave(t *testing.T) {
	t.Parallel()
	for name, values := range map[string]string{"the least": least, "everything": most, "an apostrophe": least + "\nextraEnv: [{name: A, value: it's}]"} {
		objects, notes, err := render(t, values)
		require.NoError(t, err)
		_, overrides, found := strings.Cut(notes, "--override-type strategic --overrides '")
		require.True(t, found)
		overrides, _, _ = strings.Cut(overrides, "' \\\n")
		overrides = strings.ReplaceAll(overrides, `'\''`, "'") // as a shell reads it

		// What kubectl makes of its other flags, and the overrides over it.
		made := `{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "whisperer-token", "image": "i", "args": ["token"], "env": [{"name": "WHISPERER_DATABASE_URL", "value": "postgres://db"}]}]}}`
		patched, err := strategicpatch.StrategicMergePatch([]byte(made), []byte(overrides), core.Pod{})
		require.NoError(t, err)
		var pod core.Pod
		problems, err := json.UnmarshalStrict(patched, &pod)
		require.NoError(t, errors.Join(append(problems, err)...))

		want := pods(objects)["migrate"].Spec
		want.RestartPolicy = ""
		require.Len(t, pod.Spec.Containers, 1)
		c := pod.Spec.Containers[0]
		require.Equal(t, "i", c.Image, name)
		require.ElementsMatch(t, append(slices.Clone(want.Containers[0].Env[1:]), core.EnvVar{Name: "WHISPERER_DATABASE_URL", Value: "postgres://db"}), c.Env, name)
		require.Equal(t, want.Containers[0].SecurityContext, c.SecurityContext, name)
		require.Equal(t, want.Containers[0].VolumeMounts, c.VolumeMounts, name)
		pod.Spec.Containers, want.Containers = nil, nil
		require.Equal(t, want, pod.Spec, name)
	}
}

func TestTheChartSetsOnlyVariablesThatTheManualHas(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../../docs/configuration.md")
	require.NoError(t, err)
	for _, values := range variants(t) {
		for _, d := range of[*apps.Deployment](mustRender(t, values)) {
			var names []string
			for _, v := range d.Spec.Template.Spec.Containers[0].Env {
				if !strings.HasPrefix(v.Name, "WHISPERER_") {
					continue // extraEnv
				}
				require.Contains(t, string(manual), "| `"+v.Name+"` |")
				names = append(names, v.Name)
				secret := slices.Contains([]string{"WHISPERER_DATABASE_URL", "WHISPERER_NATS_URL", "WHISPERER_MASTER_KEY"}, v.Name) ||
					strings.HasPrefix(v.Name, "WHISPERER_NATS_")
				require.Equal(t, secret, v.ValueFrom != nil, v.Name)
			}
			require.Len(t, slices.Compact(slices.Sorted(slices.Values(names))), len(names), "a variable is set twice")
		}
	}
}
