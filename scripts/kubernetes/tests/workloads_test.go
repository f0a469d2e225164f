package kubernetes_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func typeName(o meta.Object) string { return fmt.Sprintf("%T", o) }

// pods returns the templates of all pods by their part.
func pods(objects []meta.Object) map[string]core.PodTemplateSpec {
	found := map[string]core.PodTemplateSpec{}
	for _, d := range of[*apps.Deployment](objects) {
		found[d.Spec.Template.Labels["app.kubernetes.io/component"]] = d.Spec.Template
	}
	for _, j := range of[*batch.Job](objects) {
		found[j.Spec.Template.Labels["app.kubernetes.io/component"]] = j.Spec.Template
	}
	return found
}

// selected returns the parts whose pods a selector takes.
func selected(t *testing.T, objects []meta.Object, s *meta.LabelSelector) (parts []string) {
	t.Helper()
	selector, err := meta.LabelSelectorAsSelector(s)
	require.NoError(t, err)
	for _, part := range []string{"subscription-api", "delivery-worker", "migrate"} {
		if pod, ok := pods(objects)[part]; ok && selector.Matches(labels.Set(pod.Labels)) {
			parts = append(parts, part)
		}
	}
	return parts
}

func TestPodsMayDoNothingThatTheyNeedNot(t *testing.T) {
	t.Parallel()
	for name, values := range variants(t) {
		for part, pod := range pods(mustRender(t, values)) {
			where := name + ", " + part
			require.False(t, *pod.Spec.AutomountServiceAccountToken, where)
			require.True(t, *pod.Spec.SecurityContext.RunAsNonRoot, where)
			require.Equal(t, core.SeccompProfileTypeRuntimeDefault, pod.Spec.SecurityContext.SeccompProfile.Type, where)
			for _, c := range pod.Spec.Containers {
				require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, where)
				require.False(t, *c.SecurityContext.AllowPrivilegeEscalation, where)
				require.Equal(t, []core.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, where)
				require.NotEmpty(t, c.Resources.Limits, where)
			}
		}
	}
}

func TestPodsRunAsWhomTheValuesSay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values      string
		user, group *int64
	}{
		"the image's":   {least, new(int64(65532)), new(int64(65532))},
		"another":       {least + "\npodSecurityContext: {runAsUser: 1000, runAsGroup: 2000}", new(int64(1000)), new(int64(2000))},
		"the cluster's": {variants(t)["OpenShift"], nil, nil},
	} {
		found := pods(mustRender(t, test.values))
		require.Len(t, found, 3)
		for part, pod := range found {
			require.Equal(t, test.user, pod.Spec.SecurityContext.RunAsUser, "%s, %s", name, part)
			require.Equal(t, test.group, pod.Spec.SecurityContext.RunAsGroup, "%s, %s", name, part)
		}
	}
}

func TestAllPodsHaveWhatIsForAllOfThem(t *testing.T) {
	t.Parallel()
	minimal, found := pods(mustRender(t, least)), pods(mustRender(t, most))
	require.Len(t, found, 3)
	for part, pod := range found {
		require.Empty(t, minimal[part].Annotations, part)
		require.Empty(t, minimal[part].Spec.Volumes, part)
		require.Empty(t, minimal[part].Spec.Containers[0].VolumeMounts, part)

		require.Equal(t, "b", pod.Annotations["a"], part)
		require.Equal(t, part == "migrate", pod.Annotations["inject"] == "false", part)
		require.Equal(t, []core.LocalObjectReference{{Name: "pull"}}, pod.Spec.ImagePullSecrets, part)
		disk := map[string]string{"subscription-api": "big", "delivery-worker": "ssd", "migrate": "ssd"}[part]
		require.Equal(t, map[string]string{"disk": disk}, pod.Spec.NodeSelector, part)
		require.Equal(t, "dedicated", pod.Spec.Tolerations[0].Key, part)
		require.NotNil(t, pod.Spec.Affinity, part)
		require.Equal(t, "authorities", pod.Spec.Volumes[0].ConfigMap.Name, part)
		c := pod.Spec.Containers[0]
		require.Equal(t, []core.VolumeMount{{Name: "authorities", MountPath: "/etc/authorities", ReadOnly: true}}, c.VolumeMounts, part)
		require.Contains(t, c.Env, core.EnvVar{Name: "SSL_CERT_DIR", Value: "/etc/authorities"}, part)
		require.Equal(t, "db", c.Env[len(c.Env)-1].ValueFrom.SecretKeyRef.Name, part)
	}
}

func TestServicesAreProbedAndHaveTimeToStop(t *testing.T) {
	t.Parallel()
	for part, pod := range pods(mustRender(t, most)) {
		if part == "migrate" {
			continue
		}
		c := pod.Spec.Containers[0]
		require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
		require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
		needs := int64(25 + 9) // WHISPERER_SHUTDOWN_TIMEOUT and three times the last words
		if c.Lifecycle != nil {
			needs += c.Lifecycle.PreStop.Sleep.Seconds
		}
		require.Greater(t, *pod.Spec.TerminationGracePeriodSeconds, needs, part)
	}
}

func TestWhatSelectsPodsFindsThem(t *testing.T) {
	t.Parallel()
	for name, values := range variants(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := mustRender(t, values)
			for _, d := range of[*apps.Deployment](objects) {
				require.Equal(t, []string{d.Labels["app.kubernetes.io/component"]}, selected(t, objects, d.Spec.Selector))
			}
			for _, b := range of[*policy.PodDisruptionBudget](objects) {
				require.Equal(t, []string{b.Labels["app.kubernetes.io/component"]}, selected(t, objects, b.Spec.Selector))
			}
			for _, s := range of[*core.Service](objects) {
				parts := selected(t, objects, &meta.LabelSelector{MatchLabels: s.Spec.Selector})
				require.Len(t, parts, 1)
				for _, port := range s.Spec.Ports {
					requirePort(t, pods(objects)[parts[0]], port.TargetPort.StrVal)
				}
			}
			for _, m := range of[*monitoring.ServiceMonitor](objects) {
				selector, err := meta.LabelSelectorAsSelector(&m.Spec.Selector)
				require.NoError(t, err)
				var scraped int
				for _, s := range of[*core.Service](objects) {
					if selector.Matches(labels.Set(s.Labels)) {
						require.Equal(t, m.Spec.Endpoints[0].Port, s.Spec.Ports[0].Name)
						require.Regexp(t, "delivery-worker|subscription-api", s.Name, "alerts select jobs by this")
						scraped++
					}
				}
				require.Equal(t, 2, scraped)
			}
		})
	}
}

func requirePort(t *testing.T, pod core.PodTemplateSpec, name string) {
	t.Helper()
	for _, p := range pod.Spec.Containers[0].Ports {
		if p.Name == name {
			return
		}
	}
	require.Fail(t, "no such port", name)
}

func TestWhatIsScaledByItselfHasNoNumberOfReplicas(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values string
		scaled []string
	}{
		"nothing":             {least, nil},
		"the worker, adapter": {least + "\nworker: {autoscaling: {by: prometheus}}", []string{"shop-whisperer-delivery-worker"}},
		"the API, and KEDA":   {most, []string{"shop-whisperer-subscription-api", "shop-whisperer-delivery-worker"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := mustRender(t, test.values)
			var targets []string
			for _, h := range of[*autoscaling.HorizontalPodAutoscaler](objects) {
				targets = append(targets, h.Spec.ScaleTargetRef.Name)
			}
			for _, s := range of[*scaledObject](objects) {
				targets = append(targets, s.Spec.ScaleTargetRef.Name)
				consumers := []string{"fanout"}
				for n := range 16 {
					consumers = append(consumers, fmt.Sprintf("fanout-%02d", n))
				}
				for i, trigger := range s.Spec.Triggers {
					require.Equal(t, "nats-jetstream", trigger.Type)
					require.Equal(t, consumers[i], trigger.Metadata["consumer"])
				}
				require.Len(t, s.Spec.Triggers, len(consumers))
			}
			require.Equal(t, test.scaled, targets)
			for _, d := range of[*apps.Deployment](objects) {
				require.Equal(t, d.Spec.Replicas == nil, slices.Contains(targets, d.Name), d.Name)
			}
		})
	}
}

func TestTheMigrationRunsBeforeEverythingWithWhatIsThereThen(t *testing.T) {
	t.Parallel()
	job := of[*batch.Job](mustRender(t, least))[0]
	require.Equal(t, "pre-install,pre-upgrade", job.Annotations["helm.sh/hook"])
	require.Equal(t, []string{"migrate", "up"}, job.Spec.Template.Spec.Containers[0].Args)
	require.Equal(t, "mine", job.Spec.Template.Spec.Containers[0].Env[0].ValueFrom.SecretKeyRef.Name)

	objects := mustRender(t, most)
	uses := of[*batch.Job](objects)[0].Spec.Template.Spec.Containers[0].Env[0].ValueFrom.SecretKeyRef.Name
	for _, s := range of[*core.Secret](objects) {
		if s.Name == uses {
			require.Equal(t, "pre-install,pre-upgrade", s.Annotations["helm.sh/hook"])
			require.Equal(t, "postgres://u:p@db/w", s.StringData["database-url"])
			return
		}
	}
	require.Fail(t, "the migration's Secret is not there")
}

// mayReach reports whether the policies let a part out to an address that is no pod.
func mayReach(t *testing.T, objects []meta.Object, part, addr string, port int32) bool {
	t.Helper()
	for _, p := range of[*networking.NetworkPolicy](objects) {
		if !slices.Contains(selected(t, objects, &p.Spec.PodSelector), part) {
			continue
		}
		for _, rule := range p.Spec.Egress {
			ports := len(rule.Ports) == 0
			for _, allowed := range rule.Ports {
				ports = ports || allowed.Port.IntVal == port
			}
			for _, peer := range rule.To {
				if ports && peer.IPBlock != nil && inBlock(t, peer.IPBlock, netip.MustParseAddr(addr)) {
					return true
				}
			}
			require.NotEmpty(t, rule.To, "lets everybody out")
		}
	}
	return false
}

func TestAllPodsReachTheNamesOfTheCluster(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		values    string
		ports     []int32
		namespace string
		local     bool // NodeLocal DNSCache
	}{
		"what most clusters have": {least, []int32{53}, "kube-system", true},
		"OpenShift":               {variants(t)["OpenShift"], []int32{53, 5353}, "openshift-dns", false},
		"anywhere":                {least + "\nnetworkPolicy: {dns: {to: []}}", []int32{53}, "", false},
	} {
		objects := mustRender(t, test.values)
		all := of[*networking.NetworkPolicy](objects)
		policy := all[slices.IndexFunc(all, func(p *networking.NetworkPolicy) bool { return p.Name == "shop-whisperer" })]
		require.Len(t, selected(t, objects, &policy.Spec.PodSelector), 3, name)
		rule := policy.Spec.Egress[0]
		var udp, tcp []int32
		for _, p := range rule.Ports {
			if *p.Protocol == core.ProtocolUDP {
				udp = append(udp, p.Port.IntVal)
			} else {
				tcp = append(tcp, p.Port.IntVal)
			}
		}
		require.Equal(t, test.ports, udp, name)
		require.Equal(t, test.ports, tcp, name)
		if test.namespace == "" {
			require.Nil(t, rule.To, name)
			continue
		}
		require.Equal(t, test.namespace, rule.To[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"], name)
		require.Equal(t, test.local, mayReach(t, objects, "migrate", "169.254.20.10", 53), name)
		require.False(t, mayReach(t, objects, "delivery-worker", "169.254.20.10", 80), name)
	}
}

func inBlock(t *testing.T, b *networking.IPBlock, addr netip.Addr) bool {
	t.Helper()
	block, err := netip.ParsePrefix(b.CIDR)
	require.NoError(t, err)
	inside := block.Contains(addr)
	for _, text := range b.Except {
		except, err := netip.ParsePrefix(text)
		require.NoError(t, err)
		require.True(t, block.Contains(except.Addr()) && block.Bits() < except.Bits(), "%s is not in %s", text, b.CIDR)
		require.Equal(t, except.Masked(), except)
		inside = inside && !except.Contains(addr)
	}
	return inside
}

func TestOnlyWorkersAndTheAPIReachTheInternetAndNobodyAnythingPrivate(t *testing.T) {
	t.Parallel()
	minimal, open := mustRender(t, least), mustRender(t, most)
	for _, part := range []string{"subscription-api", "delivery-worker", "migrate"} {
		internet := part != "migrate"
		for _, public := range []string{"93.184.216.34", "1.1.1.1", "2606:4700::1111"} {
			require.Equal(t, internet, mayReach(t, minimal, part, public, 443), "%s to %s", part, public)
			require.False(t, mayReach(t, minimal, part, public, 25), "%s to %s", part, public)
			require.False(t, mayReach(t, open, part, public, 80), "only 443 was given")
		}
		for _, private := range []string{
			"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
			"168.63.129.16", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "fd00::1", "fe80::1", "64:ff9b::a00:1", "2002:a00:1::1", "ff02::1",
		} {
			require.False(t, mayReach(t, minimal, part, private, 443), "%s to %s", part, private)
		}
		for _, allowed := range []string{"10.20.3.4", "192.168.7.7"} {
			require.Equal(t, internet, mayReach(t, open, part, allowed, 8443), "%s to %s", part, allowed)
		}
		require.False(t, mayReach(t, open, part, "192.168.7.8", 443))
	}
	outside := mustRender(t, variants(t)["outside services, one R1"])
	for _, part := range []string{"subscription-api", "delivery-worker", "migrate"} {
		require.True(t, mayReach(t, outside, part, "10.1.2.3", 5432), "%s to Postgres", part)
		require.False(t, mayReach(t, outside, part, "10.1.2.3", 443), "%s to another port of Postgres' machine", part)
	}
}
