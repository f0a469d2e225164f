package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ErrHidden says that the token may not see everything that the file needs.
var ErrHidden = errors.New("the values of headers are hidden from a viewer: use an editor's token")

// Write returns the file of a tenant. A hook that the API cannot read is left out, and named in a comment. The file
// contains no secrets: ${VAR} stands for them, and vars are the names of those variables.
func Write(has *Has) (text []byte, vars []string, err error) {
	hooks, types := has.Hooks, has.Types
	w := &writer{names: map[string]bool{}, vars: map[string]bool{}}
	root := mapping()
	if has.Tenant != "" {
		put(root, "tenant", scalar(has.Tenant))
	}
	has.Policies.put(root)
	declared := &yaml.Node{Kind: yaml.SequenceNode}
	for i := range types {
		if !types[i].BuiltIn {
			if err := appendType(declared, &types[i]); err != nil {
				return nil, nil, err
			}
		}
	}
	put(root, "event_types", declared)
	list := &yaml.Node{Kind: yaml.SequenceNode}
	var left []string                      // hooks that cannot be written
	for i := len(hooks) - 1; i >= 0; i-- { // the oldest first
		if why := hooks[i].Unreadable; why != nil {
			left = append(left, fmt.Sprintf("Left out is hook %s %q, which the API cannot read: %s", hooks[i].ID, hooks[i].Name, *why))
			continue
		}
		h, err := w.hook(&hooks[i])
		if err != nil {
			return nil, nil, fmt.Errorf("write hook %s: %w", hooks[i].ID, err)
		}
		list.Content = append(list.Content, h)
	}
	put(root, "hooks", list)
	root.Content[len(root.Content)-2].HeadComment = strings.Join(left, "\n")
	b := &bytes.Buffer{}
	e := yaml.NewEncoder(b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(root), e.Close()); err != nil {
		return nil, nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), w.order, nil
}

func appendType(list *yaml.Node, t *api.EventType) error {
	node := mapping()
	put(node, "name", scalar(t.Name))
	if t.Description != "" {
		put(node, "description", scalar(escape(t.Description)))
	}
	for name, raw := range map[string]json.RawMessage{"schema": t.Schema, "example": t.Example} {
		if err := putJSON(node, name, raw); err != nil {
			return err
		}
	}
	list.Content = append(list.Content, node)
	return nil
}

type writer struct {
	names map[string]bool // of hooks that were written
	vars  map[string]bool
	order []string
}

func (w *writer) hook(h *client.Hook) (*yaml.Node, error) {
	name := w.name(h)
	node := mapping()
	put(node, "name", scalar(escape(name)))
	types := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, t := range h.EventTypes {
		types.Content = append(types.Content, scalar(t))
	}
	put(node, "event_types", types)
	put(node, "target_url", scalar(escape(h.TargetURL)))
	if h.Status != webhook.Active {
		put(node, "status", scalar(string(webhook.Paused)))
	}
	if h.HasSecret {
		put(node, "secret_key", w.variable(name, "SECRET"))
	}
	if h.HasAPIKey {
		put(node, "api_key", w.variable(name, "API_KEY"))
	}
	for _, value := range h.AdditionalHeaders {
		if value == "***" {
			return nil, ErrHidden
		}
	}
	var current map[string]json.RawMessage
	if err := strict(h, &current); err != nil {
		return nil, err
	}
	for _, f := range described() {
		absent, has := otherwise(&f)
		if !has || f.Name == "config" || same(current[f.Name], absent) {
			continue
		}
		if err := putJSON(node, f.Name, current[f.Name]); err != nil {
			return nil, err
		}
	}
	return node, w.config(node, name, h.Config)
}

// unseen are the members of config.auth that the API does not show, by the type of auth.
var unseen = map[string][]string{"basic": {"password"}, "token": {"password"}, "oauth2": {"client_secret"}}

// config writes the config, with variables for the secrets of its auth.
func (w *writer) config(node *yaml.Node, name string, raw json.RawMessage) error {
	if shown("config", plain(raw)) == "{}" {
		return nil
	}
	if err := putJSON(node, "config", raw); err != nil {
		return err
	}
	config := node.Content[len(node.Content)-1]
	auth := member(config, "auth")
	if auth == nil {
		return nil
	}
	kind := member(auth, "auth_type")
	if kind == nil {
		return nil
	}
	for _, secret := range unseen[kind.Value] {
		if member(auth, secret) == nil {
			put(auth, secret, w.variable(name, strings.ToUpper(secret)))
		}
	}
	return nil
}

func member(node *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

// name returns the hook's name, or one derived from its target. Each name is used only once.
func (w *writer) name(h *client.Hook) string {
	name := h.Name
	if strings.TrimSpace(name) == "" {
		name = "hook"
		if u, err := url.Parse(h.TargetURL); err == nil && u.Host != "" {
			name = u.Host
		}
	}
	unique := name
	for n := 2; w.names[unique]; n++ {
		unique = fmt.Sprintf("%s (%d)", name, n)
	}
	w.names[unique] = true
	return unique
}

// variable returns ${NAME_WHAT}, which is unique to the hook.
func (w *writer) variable(name, what string) *yaml.Node {
	b := strings.Builder{}
	for _, r := range strings.ToUpper(name) {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "_") {
			b.WriteByte('_')
		}
	}
	base := strings.Trim(b.String(), "_")
	if base == "" || base[0] >= '0' && base[0] <= '9' {
		base = "HOOK_" + base
	}
	variable := strings.TrimSuffix(base, "_") + "_" + what
	for n := 2; w.vars[variable]; n++ {
		variable = fmt.Sprintf("%s_%d_%s", base, n, what)
	}
	w.vars[variable] = true
	w.order = append(w.order, variable)
	return scalar("${" + variable + "}")
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func put(node *yaml.Node, key string, v *yaml.Node) {
	node.Content = append(node.Content, scalar(key), v)
}

// putJSON writes a JSON value unless it is absent or null. JSON is valid YAML, so numbers keep their notation.
func putJSON(node *yaml.Node, key string, raw json.RawMessage) error {
	if len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null" {
		return nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil || len(doc.Content) != 1 {
		return fmt.Errorf("write %s: %w", key, errors.Join(webhook.ErrInvalid, err))
	}
	restyle(doc.Content[0])
	put(node, key, doc.Content[0])
	return nil
}

// restyle writes objects as blocks, and escapes strings that look like variables.
func restyle(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		n.Value, n.Tag, n.Style = escape(n.Value), "!!str", 0
	}
	if n.Kind == yaml.MappingNode {
		n.Style = 0
	}
	if n.Kind == yaml.SequenceNode {
		n.Style = yaml.FlowStyle
	}
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			c.Style = 0
			continue
		}
		restyle(c)
	}
}
