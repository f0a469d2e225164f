package kubernetes_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

func TestPodsAreAdmittedWherePodSecurityIsRestricted(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	all := variants(t)
	all["a try-out"] = tryOut
	delete(all, "everything") // has somebody else's container
	for name, values := range all {
		objects := mustRender(t, values)
		found := pods(objects)
		for _, p := range of[*core.Pod](objects) {
			found[p.Name] = core.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
		}
		require.GreaterOrEqual(t, len(found), 3, name)
		for part, pod := range found {
			for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
				require.True(t, result.Allowed, "%s, %s: %s %s", name, part, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
	}
}

func TestPodsStayAsTheyAreWhenOnlyTheChartIsNewer(t *testing.T) {
	t.Parallel()
	for part, pod := range pods(mustRender(t, most)) {
		require.Equal(t, map[string]string{
			"app.kubernetes.io/name": "whisperer", "app.kubernetes.io/instance": "shop", "app.kubernetes.io/component": part,
			"team": "shop", "sidecar": "no",
		}, pod.Labels)
	}
}

func TestEachPartHasItsOwnOfWhatIsForAll(t *testing.T) {
	t.Parallel()
	found := pods(mustRender(t, most))
	for part, pod := range found {
		require.Equal(t, "wait", pod.Spec.InitContainers[0].Name, part)
		require.Equal(t, "proxies", pod.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name, part)
		account, priority := "shop-whisperer", "high"
		switch part {
		case "migrate":
			account = "" // the hook comes before the chart's account
		case "delivery-worker":
			priority = "highest"
		}
		require.Equal(t, account, pod.Spec.ServiceAccountName, part)
		require.Equal(t, priority, pod.Spec.PriorityClassName, part)
	}
	require.Equal(t, "zone", found["delivery-worker"].Spec.TopologySpreadConstraints[0].TopologyKey)
	require.Equal(t, "kubernetes.io/hostname", found["subscription-api"].Spec.TopologySpreadConstraints[0].TopologyKey)

	objects := mustRender(t, most)
	for _, part := range []string{"subscription-api", "delivery-worker", "migrate"} {
		require.True(t, mayReach(t, objects, part, "10.9.9.9", 4318), part)
	}
	require.Equal(t, "r", of[*core.ServiceAccount](objects)[0].Annotations["role"])
	require.Equal(t, gateway.ObjectName("shop-whisperer-subscription-api"), of[*gateway.HTTPRoute](objects)[0].Spec.Rules[0].BackendRefs[0].Name)
}

func TestEachPartHasItsOwnProbesOverThoseOfAll(t *testing.T) {
	t.Parallel()
	found := pods(mustRender(t, least+`
probes: {liveness: {periodSeconds: 20}}
api: {probes: {liveness: {timeoutSeconds: 5}, startup: {failureThreshold: 30}}}
worker: {probes: {readiness: {failureThreshold: 4}}}`))
	api, worker := found["subscription-api"].Spec.Containers[0], found["delivery-worker"].Spec.Containers[0]
	require.Equal(t, []int32{20, 5}, []int32{api.LivenessProbe.PeriodSeconds, api.LivenessProbe.TimeoutSeconds})
	require.Equal(t, []int32{20, 3}, []int32{worker.LivenessProbe.PeriodSeconds, worker.LivenessProbe.TimeoutSeconds})
	require.Equal(t, []int32{2, 4}, []int32{api.ReadinessProbe.FailureThreshold, worker.ReadinessProbe.FailureThreshold})
	require.Equal(t, "/healthz", api.StartupProbe.HTTPGet.Path)
	require.Nil(t, worker.StartupProbe)
}

func TestNamesAndImagesAreAsTheValuesSay(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	objects := mustRender(t, least+"\nfullnameOverride: hooks\nimage: {digests: {delivery-worker: '"+digest+"'}}")
	for _, o := range objects {
		require.True(t, strings.HasPrefix(o.GetName(), "hooks"), o.GetName())
	}
	require.Equal(t, "ghcr.io/whisperer-oms/whisperer/delivery-worker@"+digest, pods(objects)["delivery-worker"].Spec.Containers[0].Image)
	require.Equal(t, "ghcr.io/whisperer-oms/whisperer/subscription-api:dev", pods(objects)["subscription-api"].Spec.Containers[0].Image)
}

func TestEachSecretMayBeSomewhereElse(t *testing.T) {
	t.Parallel()
	from := func(pod core.PodTemplateSpec, name string) string {
		for _, v := range pod.Spec.Containers[0].Env {
			if v.Name == name {
				return v.ValueFrom.SecretKeyRef.Name + "/" + v.ValueFrom.SecretKeyRef.Key
			}
		}
		return ""
	}
	objects := mustRender(t, `
existingSecrets: {databaseURL: {name: pg-app, key: uri}, natsURL: {name: bus}, masterKey: {name: vault, key: k}, nats: {name: bus}}`)
	require.Empty(t, of[*core.Secret](objects), "nothing is left to make one of")
	found := pods(objects)
	for _, part := range []string{"subscription-api", "delivery-worker"} {
		require.Equal(t, "pg-app/uri", from(found[part], "WHISPERER_DATABASE_URL"))
		require.Equal(t, "bus/nats-url", from(found[part], "WHISPERER_NATS_URL"))
		require.Equal(t, "vault/k", from(found[part], "WHISPERER_MASTER_KEY"))
		require.Equal(t, "bus/nats-creds", from(found[part], "WHISPERER_NATS_CREDS"))
		require.Empty(t, found[part].Annotations)
	}
	require.Equal(t, "pg-app/uri", from(found["migrate"], "WHISPERER_DATABASE_URL"))

	objects = mustRender(t, "existingSecret: mine\nexistingSecrets: {masterKey: {name: vault}}")
	require.Equal(t, "mine/database-url", from(pods(objects)["migrate"], "WHISPERER_DATABASE_URL"))
	require.Equal(t, "vault/master-key", from(pods(objects)["delivery-worker"], "WHISPERER_MASTER_KEY"))
}

func TestTheMigrationMayReachItsDatabaseBeforeTheChartIsThere(t *testing.T) {
	t.Parallel()
	objects := mustRender(t, variants(t)["outside services, one R1"])
	job := of[*batch.Job](objects)[0]
	for _, p := range of[*networking.NetworkPolicy](objects) {
		if p.Name != job.Name {
			continue
		}
		require.Equal(t, job.Annotations["helm.sh/hook"], p.Annotations["helm.sh/hook"])
		require.Equal(t, []string{"-10", "0"}, []string{p.Annotations["helm.sh/hook-weight"], job.Annotations["helm.sh/hook-weight"]})
		require.Equal(t, []string{"migrate"}, selected(t, objects, &p.Spec.PodSelector))
		require.Equal(t, "10.1.2.3/32", p.Spec.Egress[1].To[0].IPBlock.CIDR)
		return
	}
	require.Fail(t, "no policy of its own")
}

func TestATryOutBringsWhatItNeeds(t *testing.T) {
	t.Parallel()
	objects := mustRender(t, tryOut)
	secret := of[*core.Secret](objects)
	require.Len(t, secret, 1)
	services := map[string]bool{}
	for _, s := range of[*core.Service](objects) {
		services[s.Name] = true
	}
	require.Contains(t, secret[0].StringData["database-url"], "@shop-whisperer-postgres:5432/")
	require.Equal(t, "nats://shop-whisperer-nats:4222", secret[0].StringData["nats-url"])
	require.True(t, services["shop-whisperer-postgres"] && services["shop-whisperer-nats"])
	job := of[*batch.Job](objects)[0]
	require.Empty(t, job.Annotations, "its database comes with the chart, not before it")
	require.Equal(t, "shop-whisperer-migrate-1", job.Name)
	require.Equal(t, secret[0].Name, job.Spec.Template.Spec.Containers[0].Env[0].ValueFrom.SecretKeyRef.Name)
}

func TestTheManualOfTheValuesIsWrittenFromThem(t *testing.T) {
	t.Parallel()
	c := exec.CommandContext(t.Context(), "../../../bin/helm-docs", "--dry-run", "--log-level=error")
	c.Dir = chartDir
	out, err := c.Output()
	require.NoError(t, err, "make chart builds it")
	require.Equal(t, strings.TrimSpace(read(t, chartDir+"/README.md")), strings.TrimSpace(string(out)), "make generate writes it")
}

// ignored are the checks of kube-score that we do not hold, each for a reason.
var ignored = []string{
	"container-image-pull-policy",              // IfNotPresent: tags of releases do not move, and digests cannot
	"container-security-context-user-group-id", // in the pod's context, where OpenShift's users take it out
	"deployment-has-host-podantiaffinity",      // topologySpreadConstraints spread them
}

func TestKubeScoreHasNothingToSay(t *testing.T) {
	t.Parallel()
	all := variants(t)
	delete(all, "everything")               // has somebody else's container
	delete(all, "without what is optional") // such as what it wants
	for name, values := range all {
		var manifests bytes.Buffer
		for _, o := range mustRender(t, values) {
			text, err := yaml.Marshal(o)
			require.NoError(t, err)
			manifests.WriteString("---\n")
			manifests.Write(text)
		}
		args := []string{"score", "--output-format=ci", "--ignore-container-cpu-limit", "-"} // throttling makes deliveries late
		for _, check := range ignored {
			args = append(args, "--ignore-test", check)
		}
		c := exec.CommandContext(t.Context(), "../../../bin/kube-score", args...)
		c.Stdin = &manifests
		out, _ := c.Output() // its code is 1 for what is critical; all it says is looked at
		for line := range strings.Lines(string(out)) {
			require.True(t, strings.HasPrefix(line, "[OK]") || strings.HasPrefix(line, "[SKIPPED]"), "%s: %s", name, line)
		}
		require.Contains(t, string(out), "[OK]")
	}
}
