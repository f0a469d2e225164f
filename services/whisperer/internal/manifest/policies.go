package manifest

import (
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Policies are settings for all hooks and events of a tenant.
type Policies struct {
	// Handshake is empty if the file does not mention it, or it is unknown.
	Handshake webhook.Handshake
	// Retention is nil if the file does not mention it.
	Retention []api.RetentionPolicy
}

// retention is a policy in the file.
type retention struct {
	EventType string `json:"event_type"`
	Days      int    `json:"days"`
}

func (p *Policies) readHandshake(node *yaml.Node, wrong *[]error) {
	if p.Handshake = webhook.Handshake(node.Value); node.Kind != yaml.ScalarNode || !slices.Contains(webhook.Handshakes(), p.Handshake) {
		*wrong = append(*wrong, fmt.Errorf("line %d: handshake must be off, new_hosts or always", node.Line))
	}
}

func (p *Policies) readRetention(r *reader, node *yaml.Node, wrong *[]error) {
	p.Retention = []api.RetentionPolicy{}
	for _, n := range items(node, "retention", wrong) {
		policy, err := readPolicy(r, n)
		if err == nil && slices.ContainsFunc(p.Retention, func(other api.RetentionPolicy) bool { return other.EventType == policy.EventType }) {
			err = fmt.Errorf("event type %s is there twice", policy.EventType)
		}
		if err != nil {
			*wrong = append(*wrong, fmt.Errorf("line %d: retention: %w", n.Line, err))
			continue
		}
		p.Retention = append(p.Retention, policy)
	}
}

func readPolicy(r *reader, n *yaml.Node) (api.RetentionPolicy, error) {
	var fields retention
	v, err := r.read(n)
	if err == nil {
		err = strict(v.real, &fields)
	}
	if err != nil {
		return api.RetentionPolicy{}, err
	}
	policy := api.RetentionPolicy{EventType: webhook.NormalizeEventType(fields.EventType), Days: fields.Days}
	if err := webhook.ValidatePattern(policy.EventType); err != nil {
		return policy, fmt.Errorf("event_type: %w", err)
	}
	if policy.Days < 1 || policy.Days > webhook.MaxRetentionDays {
		return policy, fmt.Errorf("days: must be a whole number from 1 to %d", webhook.MaxRetentionDays)
	}
	return policy, nil
}

// planPolicies compares the tenant's policies with the file's.
func (f *File) planPolicies(tenant string, have Policies, o PlanOptions) []Change {
	var plan []Change
	if f.Policies.Handshake != "" && f.Policies.Handshake != have.Handshake && !o.OnlyNew {
		plan = append(plan, Change{
			Kind: Update, Noun: OfTenant, Name: tenant, handshake: f.Policies.Handshake,
			Fields: []FieldChange{{Name: "handshake", Old: string(have.Handshake), New: string(f.Policies.Handshake)}},
		})
	}
	for _, want := range f.Policies.Retention {
		c := Change{Kind: Create, Noun: OfRetention, Name: want.EventType, days: &want.Days, Fields: []FieldChange{{Name: "days", New: strconv.Itoa(want.Days)}}}
		i := slices.IndexFunc(have.Retention, func(p api.RetentionPolicy) bool { return p.EventType == want.EventType })
		if i >= 0 {
			c.Kind, c.Fields[0].Old = Update, strconv.Itoa(have.Retention[i].Days)
		}
		if i < 0 || have.Retention[i].Days != want.Days && !o.OnlyNew {
			plan = append(plan, c)
		}
	}
	if !o.Prune || f.Policies.Retention == nil {
		return plan
	}
	for _, p := range have.Retention {
		if !slices.ContainsFunc(f.Policies.Retention, func(w api.RetentionPolicy) bool { return w.EventType == p.EventType }) {
			plan = append(plan, Change{Kind: Delete, Noun: OfRetention, Name: p.EventType})
		}
	}
	return plan
}

// put writes the policies into a file.
func (p *Policies) put(root *yaml.Node) {
	if p.Handshake != "" && p.Handshake != webhook.HandshakeOff {
		put(root, "handshake", scalar(string(p.Handshake)))
	}
	if len(p.Retention) == 0 {
		return
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, policy := range p.Retention {
		node := mapping()
		node.Style = yaml.FlowStyle
		put(node, "event_type", scalar(policy.EventType))
		put(node, "days", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(policy.Days)})
		list.Content = append(list.Content, node)
	}
	put(root, "retention", list)
}

// Has is the current state of a tenant.
type Has struct {
	Tenant   string
	Policies Policies
	Types    []api.EventType
	Hooks    []client.Hook
}
