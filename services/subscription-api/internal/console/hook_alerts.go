package console

import (
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// alertRecipe is a webhook that reports failing webhooks to people through a service that they use.
type alertRecipe struct {
	Name, Text string
	// own are the integrator's keys that its transform reads, to be filled in.
	own string
}

// alertRecipes are those of docs/alerts.md.
var alertRecipes = []alertRecipe{
	{"slack", "Slack", ""},
	{"teams", "Microsoft Teams", ""},
	{"pagerduty", "PagerDuty", `{"routing_key": ""}`},
	{"email", "E-mail by Postmark", `{"from": "", "to": ""}`},
}

// alertForm returns the form of a webhook for the recipe, without the target URL, or false if there is no such
// recipe.
func alertForm(name string) (hookForm, bool) {
	for _, r := range alertRecipes {
		if r.Name != name {
			continue
		}
		transform, err := sampleFiles.ReadFile("samples/alert-" + name + ".txt")
		if err != nil {
			return hookForm{}, false
		}
		f := newHookForm()
		f.Name, f.Own = "Alerts: "+r.Text, r.own
		f.Types = []string{"hook.failing", "hook.disabled", "hook.recovered", "delivery.dead"}
		f.Keys = map[string]string{"format": string(webhook.FormatRaw), "transform": strings.TrimSpace(string(transform))}
		return f, true
	}
	return hookForm{}, false
}
